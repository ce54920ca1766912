//! One link over QUIC: carries out what [`Link`] says.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use ailurus::{
    channel::NodeLink,
    net::{Connection, Dialer, FrameReceiver, FrameSender, NetError},
    wire::{limits::MAX_FRAME, node::Response},
};
use bytes::Bytes;
use prost::Message as _;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{Command, Status};
use crate::{
    peers::{Acknowledged, End, Link, Step},
    server::{Shared, frames::frame, ingest::Job},
    service::Write,
    store::Delegation,
};

/// Whether a name that others gave stands for an address that they may not send this node to.
async fn leads_here(shared: &Shared, node: &NodeLink) -> bool {
    if !shared.service.may_dial(node.host()) {
        return true;
    }
    // What does not resolve is told by the dialler.
    let Ok(found) = tokio::net::lookup_host((node.host(), node.port())).await else {
        return false;
    };
    found
        .into_iter()
        .any(|address| !shared.service.may_dial(&address.ip().to_string()))
}

/// Dials, and stays until the link ends.
pub(super) async fn drive(
    shared: &Arc<Shared>,
    dialer: &Dialer,
    node: &NodeLink,
    leases: Vec<Delegation>,
    acknowledged: Acknowledged,
    commands: mpsc::Receiver<Command>,
    status: &Status,
) -> (End, Acknowledged) {
    if leads_here(shared, node).await {
        let end = End::Failed("its name leads into this node's own network".to_owned());
        return (end, acknowledged);
    }
    let connection = match dialer.connect(node.host(), node.port()).await {
        Ok(connection) => connection,
        Err(error) => return (End::Failed(error.to_string()), acknowledged),
    };
    let link = Link::new(
        Arc::clone(&shared.service),
        *node.key(),
        leases,
        acknowledged,
        shared.clock.now(),
    );
    let mut driver = Driver {
        shared,
        connection,
        status,
        link: Some(Box::new(link)),
        commands,
        working: None,
        following: None,
        sending: JoinSet::new(),
    };
    let broken = driver.run().await;
    let worked = status.works.load(Ordering::Acquire);
    driver.connection.close(0, "");
    let Some(link) = driver.link.take() else {
        return (End::Lost, Acknowledged::default());
    };
    let end = match (link.end(), broken) {
        (Some(end), _) => end.clone(),
        (None, _) if worked => End::Lost,
        (None, Err(error)) => End::Failed(error.to_string()),
        (None, Ok(())) => End::Lost,
    };
    (end, link.into_acknowledged())
}

struct Driver<'a> {
    shared: &'a Arc<Shared>,
    connection: Connection,
    status: &'a Status,
    /// Always there but while it is lent to a thread that may wait for the disk.
    link: Option<Box<Link>>,
    commands: mpsc::Receiver<Command>,
    working: Option<Stream>,
    following: Option<FrameReceiver>,
    /// Writes requests: while this waits for the other node, its answers are still read.
    sending: JoinSet<()>,
}

struct Stream {
    requests: mpsc::UnboundedSender<Bytes>,
    answers: FrameReceiver,
}

enum Event {
    Answer(Result<Option<Bytes>, NetError>),
    Push(Result<Option<Bytes>, NetError>),
    Command(Option<Command>),
    Tick,
    Closed(NetError),
}

#[derive(Debug, thiserror::Error)]
enum DriveError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("the other node does not answer any more")]
    Silent,
    #[error("the other node ended a stream")]
    StreamEnded,
    #[error("the node stops")]
    Stopping,
    #[error("the database could not be read")]
    Store,
}

impl Driver<'_> {
    /// Until the link has ended or the connection broke.
    async fn run(&mut self) -> Result<(), DriveError> {
        loop {
            let steps = self.steps().await?;
            let Some(link) = &self.link else {
                return Err(DriveError::Stopping);
            };
            if link.end().is_some() {
                return Ok(());
            }
            if link.works() {
                self.status.works.store(true, Ordering::Release);
            }
            if steps.is_empty() {
                self.wait().await?;
                continue;
            }
            for step in steps {
                match step {
                    Step::Ask(request) => {
                        let requests = frame(&request);
                        let stream = self.working().await?;
                        // It fails if the stream broke, which reading shows.
                        let _ = stream.requests.send(requests);
                    }
                    Step::Follow(request) => {
                        let (mut sender, answers) = self.connection.open().await?;
                        sender.send(&request.encode_to_vec()).await?;
                        // Nothing follows it; the stream goes on the other way.
                        sender.finish()?;
                        self.following = Some(answers);
                    }
                    Step::Commit(writes) => self.commit(writes).await?,
                }
            }
        }
    }

    /// What is to be done, from a thread that may wait for the disk.
    async fn steps(&mut self) -> Result<Vec<Step>, DriveError> {
        let mut link = self.link.take().ok_or(DriveError::Stopping)?;
        let now = self.shared.clock.now();
        if self.status.behind.swap(false, Ordering::AcqRel) {
            link.fell_behind(now);
        }
        let stepped = tokio::task::spawn_blocking(move || {
            let steps = link.steps(now);
            (link, steps)
        });
        let (link, steps) = stepped.await.map_err(|_| DriveError::Stopping)?;
        self.link = Some(link);
        steps.map_err(|error| {
            tracing::warn!(%error, "a link to another node is given up");
            DriveError::Store
        })
    }

    /// Waits until there may be something to do.
    async fn wait(&mut self) -> Result<(), DriveError> {
        let since = Instant::now();
        loop {
            let event = self.event().await;
            let now = self.shared.clock.now();
            let Some(link) = &mut self.link else {
                return Err(DriveError::Stopping);
            };
            match event {
                Event::Answer(body) => {
                    let mut next = Some(body?.ok_or(DriveError::StreamEnded)?);
                    while let Some(body) = next {
                        link.answered(now, decode(body));
                        next = match &mut self.working {
                            Some(stream) => stream.answers.try_buffered(MAX_FRAME)?,
                            None => None,
                        };
                    }
                    return Ok(());
                }
                Event::Push(body) => {
                    let mut next = Some(body?.ok_or(DriveError::StreamEnded)?);
                    while let Some(body) = next {
                        link.pushed(now, decode(body));
                        next = match &mut self.following {
                            Some(stream) => stream.try_buffered(MAX_FRAME)?,
                            None => None,
                        };
                    }
                    return Ok(());
                }
                Event::Command(Some(Command::Offer(stored))) => {
                    link.offer(&stored, now);
                    return Ok(());
                }
                Event::Command(Some(Command::Lease(leases))) => {
                    link.lease(leases);
                    return Ok(());
                }
                Event::Command(None) => return Err(DriveError::Stopping),
                Event::Tick if now >= link.wake() && !link.is_waiting() => return Ok(()),
                Event::Tick if self.status.behind.load(Ordering::Acquire) => return Ok(()),
                Event::Tick if link.is_owed() && since.elapsed() > PATIENCE => {
                    return Err(DriveError::Silent);
                }
                Event::Tick => {}
                Event::Closed(error) => return Err(error.into()),
            }
        }
    }

    async fn event(&mut self) -> Event {
        let waiting = self.link.as_ref().is_some_and(|link| link.is_waiting());
        let answer = async {
            match &mut self.working {
                Some(stream) if waiting => stream.answers.next(MAX_FRAME).await,
                _ => std::future::pending().await,
            }
        };
        let push = async {
            match &mut self.following {
                Some(stream) => stream.next(MAX_FRAME).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            body = answer => Event::Answer(body),
            body = push => Event::Push(body),
            command = self.commands.recv() => Event::Command(command),
            () = tokio::time::sleep(TICK) => Event::Tick,
            error = self.connection.closed() => Event::Closed(error),
        }
    }

    async fn working(&mut self) -> Result<&Stream, DriveError> {
        let stream = match self.working.take() {
            Some(stream) => stream,
            None => {
                let (sender, answers) = self.connection.open().await?;
                let (requests, received) = mpsc::unbounded_channel();
                self.sending.spawn(send(sender, received));
                Stream { requests, answers }
            }
        };
        Ok(self.working.insert(stream))
    }

    /// Has the node check and commit what came, as it does for clients.
    async fn commit(&mut self, writes: Vec<Write>) -> Result<(), DriveError> {
        let mut replies = Vec::with_capacity(writes.len());
        let mut answers = Vec::with_capacity(writes.len());
        for _ in &writes {
            let (reply, answer) = oneshot::channel();
            replies.push(reply);
            answers.push(answer);
        }
        let bytes = writes.iter().map(Write::bytes).sum();
        let job = Job {
            writes,
            replies,
            bytes,
        };
        self.shared.ingest.submit(job).await;
        let mut responses = Vec::with_capacity(answers.len());
        for answer in answers {
            responses.push(answer.await.map_err(|_| DriveError::Stopping)?);
        }
        if let Some(link) = &mut self.link {
            link.committed(&responses);
        }
        Ok(())
    }
}

/// What does not parse becomes an answer of no kind, which the link does not forgive.
fn decode(body: Bytes) -> Response {
    Response::decode(body).unwrap_or_default()
}

/// Writes requests, those that wait together.
async fn send(mut sender: FrameSender, mut requests: mpsc::UnboundedReceiver<Bytes>) {
    while let Some(first) = requests.recv().await {
        let mut frames = vec![first];
        while let Ok(next) = requests.try_recv() {
            frames.push(next);
        }
        if sender.send_all(&mut frames).await.is_err() {
            return;
        }
    }
}

/// How often a link looks at the clock and at whether it fell behind.
const TICK: Duration = Duration::from_millis(250);
/// How long another node may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
