//! One stream: requests in, answers out in the same order, and a follower at its end.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use ailurus::{
    net::{FrameReceiver, FrameSender, NetError},
    wire::{
        limits::MAX_FRAME,
        node::{Reason, Request, Response, response::Kind},
    },
};
use bytes::{Bytes, BytesMut};
use prost::Message as _;
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinError,
};

use super::{
    Client,
    frames::{append, frame},
    ingest::Job,
    live::Next,
};
use crate::{
    service::{Admitted, CatchUp, Network, Read, Session},
    store::StoreError,
};

/// Serves a stream until its client finishes it, or until either side gives it up.
pub(super) async fn serve(client: Arc<Client>, sender: FrameSender, receiver: FrameReceiver) {
    let early = receiver.is_early();
    let mut stream = Stream {
        session: Session {
            pseudonym: client.pseudonym,
            early,
            exporter: if early {
                None
            } else {
                client.connection.exporter().ok()
            },
            network: Network::of(client.connection.remote_addr().ip()),
        },
        client,
        sender,
        pending: VecDeque::new(),
    };
    match stream.answer(receiver).await {
        Ok(Some(sync)) if sync.follow => {
            // Its own task: a follower idles for hours, and needs little of what is held here.
            tokio::spawn(async move { ended(stream.follow(&sync.cursor).await) });
        }
        Ok(Some(sync)) => ended(stream.sync(&sync.cursor).await),
        Ok(None) => {
            // Fails if the client gave the stream up, which is fine.
            let _ = stream.sender.finish();
        }
        Err(error) => ended(Err(error)),
    }
}

struct Stream {
    client: Arc<Client>,
    session: Session,
    sender: FrameSender,
    /// Answers that were not sent yet, in order.
    pending: VecDeque<Pending>,
}

enum Pending {
    Ready(Response),
    /// To be answered by the commit, since this moment.
    Waiting(oneshot::Receiver<Response>, Instant),
}

struct SyncRequest {
    cursor: Bytes,
    follow: bool,
}

#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the node stops")]
    Stopping,
    #[error("a read ended early: {0}")]
    Read(#[from] JoinError),
}

impl Stream {
    /// Answers requests until the stream ends, or up to a `Sync`.
    async fn answer(
        &mut self,
        mut receiver: FrameReceiver,
    ) -> Result<Option<SyncRequest>, StreamError> {
        let mut reading = true;
        let mut sync = None;
        while reading || !self.pending.is_empty() {
            let room = reading && self.pending.len() < PENDING;
            tokio::select! {
                received = receiver.next(MAX_FRAME), if room => match received {
                    Ok(Some(first)) => match self.requests(first, &mut receiver).await? {
                        Flow::Continue => {}
                        Flow::Sync(request) => {
                            sync = Some(request);
                            reading = false;
                        }
                        Flow::Stop => reading = false,
                    },
                    Ok(None) => reading = false,
                    Err(error) => return Err(self.lost(error)),
                },
                ready = first_ready(&self.client, &mut self.pending), if !self.pending.is_empty() => {
                    let response = ready.ok_or(StreamError::Stopping)?;
                    self.send_ready(response).await?;
                }
            }
        }
        Ok(sync)
    }

    /// Takes a request and all that came with it.
    async fn requests(
        &mut self,
        first: Bytes,
        receiver: &mut FrameReceiver,
    ) -> Result<Flow, StreamError> {
        let mut job = Job {
            writes: Vec::new(),
            replies: Vec::new(),
            bytes: 0,
        };
        let mut flow = Flow::Continue;
        let mut next = Some(first);
        while let Some(body) = next {
            flow = self.request(body, &mut job).await?;
            if !matches!(flow, Flow::Continue) || self.pending.len() >= PENDING {
                break;
            }
            next = receiver
                .try_buffered(MAX_FRAME)
                .map_err(|error| self.lost(error))?;
        }
        if !job.writes.is_empty() {
            self.client.shared.ingest.submit(job).await;
        }
        Ok(flow)
    }

    async fn request(&mut self, body: Bytes, job: &mut Job) -> Result<Flow, StreamError> {
        let shared = &self.client.shared;
        let now = shared.clock.now();
        let length = body.len();
        let Ok(request) = Request::decode(body) else {
            self.client.malformed();
            let refused = shared.service.refuse(Reason::Malformed, now);
            self.pending.push_back(Pending::Ready(refused));
            return Ok(Flow::Stop);
        };
        match shared.service.admit(&self.session, now, request) {
            Admitted::Answer(response) => self.pending.push_back(Pending::Ready(response)),
            Admitted::Write(write) => {
                let (reply, answer) = oneshot::channel();
                job.writes.push(write);
                job.replies.push(reply);
                job.bytes = job
                    .bytes
                    .saturating_add(length)
                    .saturating_add(REQUEST_OVERHEAD);
                self.pending
                    .push_back(Pending::Waiting(answer, Instant::now()));
            }
            Admitted::Read(query) => {
                let session = self.session;
                let since = Instant::now();
                let pushes = matches!(query, Read::Push(_));
                let permits = if query.is_long() {
                    &shared.long_readers
                } else {
                    &shared.readers
                };
                let response = read_with(permits, &self.client, move |client| {
                    let shared = &client.shared;
                    shared.service.read(&session, shared.clock.now(), &query)
                })
                .await?;
                if pushes {
                    shared.pusher.look();
                }
                self.client.answered(since);
                self.pending.push_back(Pending::Ready(response));
            }
            Admitted::Reconcile(request) => {
                let session = self.session;
                let client = Arc::clone(&self.client);
                // Takes half a second at its first round, so none of the few permits for short reads.
                let response = tokio::task::spawn_blocking(move || {
                    let shared = &client.shared;
                    shared
                        .service
                        .reconcile(&session, shared.clock.now(), &request)
                })
                .await?;
                self.pending.push_back(Pending::Ready(response));
            }
            Admitted::Sync { cursor, follow } => {
                return Ok(Flow::Sync(SyncRequest { cursor, follow }));
            }
        }
        Ok(Flow::Continue)
    }

    /// Sends an answer and those behind it that are ready too, in one write.
    async fn send_ready(&mut self, first: Response) -> Result<(), StreamError> {
        let mut buffer = BytesMut::new();
        append(&mut buffer, &first);
        while let Some(front) = self.pending.pop_front() {
            match front {
                Pending::Ready(response) => append(&mut buffer, &response),
                Pending::Waiting(mut answer, since) => match answer.try_recv() {
                    Ok(response) => {
                        self.client.answered(since);
                        append(&mut buffer, &response);
                    }
                    Err(_) => {
                        self.pending.push_front(Pending::Waiting(answer, since));
                        break;
                    }
                },
            }
        }
        self.sender.send_all(&mut [buffer.freeze()]).await?;
        Ok(())
    }

    async fn sync(mut self, cursor: &Bytes) -> Result<(), StreamError> {
        let end = self.client.shared.service.store().end();
        let (hello, catch_up) = self.begin(cursor).await?;
        self.catch_up(catch_up, end, vec![hello], true).await?;
        self.sender.finish()?;
        Ok(())
    }

    async fn follow(mut self, cursor: &Bytes) -> Result<(), StreamError> {
        let client = Arc::clone(&self.client);
        let result = tokio::select! {
            result = self.follow_on(cursor) => result,
            error = client.connection.closed() => Err(error.into()),
        };
        // The subscription is gone by now. Whoever closes has said that it has everything.
        let lost = matches!(
            result,
            Err(StreamError::Net(NetError::Lost | NetError::Timeout))
        );
        let shared = &client.shared;
        shared
            .service
            .left(&client.pseudonym, lost, shared.clock.now());
        shared.pusher.look();
        result
    }

    async fn follow_on(&mut self, cursor: &Bytes) -> Result<(), StreamError> {
        let client = Arc::clone(&self.client);
        let shared = &client.shared;
        // Before the leases are read, so that none that comes meanwhile is missed.
        let mut subscription = {
            let pseudonym = self.session.pseudonym;
            let peer = shared.service.is_peer(&pseudonym);
            shared.live.subscribe(pseudonym, peer)
        };
        let (hello, mut catch_up) = self.begin(cursor).await?;
        let mut head = vec![hello];
        let mut tail = true;
        loop {
            subscription.listen(catch_up.addresses());
            let end = shared.service.store().end();
            let (head, tail) = (std::mem::take(&mut head), std::mem::take(&mut tail));
            catch_up = Box::pin(self.catch_up(catch_up, end, head, tail)).await?;
            loop {
                match subscription.next(catch_up.position()).await {
                    Next::Frames(mut frames, end) => {
                        let position = shared.service.pushed(&mut catch_up, end);
                        frames.extend(position.as_ref().map(frame));
                        self.sender.send_all(&mut frames).await?;
                    }
                    Next::Behind => break,
                    Next::Ended(reason) => {
                        let refused = shared.service.refuse(reason, shared.clock.now());
                        self.sender.send_all(&mut [frame(&refused)]).await?;
                        self.sender.finish()?;
                        return Ok(());
                    }
                    Next::Reload => {
                        catch_up = Box::pin(self.reload(catch_up)).await?;
                        break;
                    }
                }
            }
        }
    }

    async fn begin(&mut self, cursor: &Bytes) -> Result<(Bytes, CatchUp), StreamError> {
        let session = self.session;
        let cursor = cursor.clone();
        let (hello, catch_up) = read(&self.client, move |client| {
            let shared = &client.shared;
            shared.service.begin(&session, shared.clock.now(), &cursor)
        })
        .await??;
        Ok((frame(&hello), catch_up))
    }

    async fn reload(&mut self, mut catch_up: CatchUp) -> Result<CatchUp, StreamError> {
        let catch_up = read(&self.client, move |client| {
            let shared = &client.shared;
            shared.service.reload(&mut catch_up, shared.clock.now())?;
            Ok::<_, StoreError>(catch_up)
        })
        .await??;
        Ok(catch_up)
    }

    /// Sends what is new up to the position `end`, between `head` and `tail`. While one part is sent, the next is read.
    async fn catch_up(
        &mut self,
        catch_up: CatchUp,
        end: u64,
        mut head: Vec<Bytes>,
        tail: bool,
    ) -> Result<CatchUp, StreamError> {
        let mut reading = tokio::spawn(step(Arc::clone(&self.client), catch_up, end));
        loop {
            let Step {
                catch_up,
                frames,
                last,
            } = reading.await??;
            head.extend(frames);
            if let Some(last) = last {
                head.extend(tail.then_some(last));
                if !head.is_empty() {
                    self.sender.send_all(&mut head).await?;
                }
                return Ok(catch_up);
            }
            reading = tokio::spawn(step(Arc::clone(&self.client), catch_up, end));
            self.sender.send_all(&mut head).await?;
            head.clear();
        }
    }

    /// Notes why nothing more can be read from the client.
    fn lost(&self, error: NetError) -> StreamError {
        if matches!(error, NetError::Frame(_)) {
            self.client.close_malformed();
        }
        error.into()
    }
}

enum Flow {
    Continue,
    Stop,
    Sync(SyncRequest),
}

/// A part of a catch-up.
struct Step {
    catch_up: CatchUp,
    frames: Vec<Bytes>,
    /// What ends it, if there is nothing more.
    last: Option<Bytes>,
}

async fn step(client: Arc<Client>, mut catch_up: CatchUp, end: u64) -> Result<Step, StreamError> {
    let stepped = read(&client, move |client| {
        let (service, now) = (&client.shared.service, client.shared.clock.now());
        let responses = service.step(&mut catch_up, end, now)?;
        let last = responses.is_empty().then(|| {
            let caught_up = service.caught_up(&catch_up, end, now);
            frame(&Response {
                kind: Some(Kind::CaughtUp(caught_up)),
            })
        });
        Ok::<_, StoreError>(Step {
            catch_up,
            frames: responses.iter().map(frame).collect(),
            last,
        })
    })
    .await??;
    Ok(stepped)
}

/// Reads from the store on a thread that may wait for the disk.
async fn read<T: Send + 'static>(
    client: &Arc<Client>,
    read: impl FnOnce(&Client) -> T + Send + 'static,
) -> Result<T, StreamError> {
    read_with(&client.shared.readers, client, read).await
}

/// The same with one of these permits.
async fn read_with<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    client: &Arc<Client>,
    read: impl FnOnce(&Client) -> T + Send + 'static,
) -> Result<T, StreamError> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(|_| StreamError::Stopping)?;
    let client = Arc::clone(client);
    let value = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        read(&client)
    })
    .await?;
    Ok(value)
}

/// Waits for the first answer and takes it out; `None` if the node stops. Dropping the future loses nothing.
async fn first_ready(client: &Client, pending: &mut VecDeque<Pending>) -> Option<Response> {
    let response = match pending.front_mut() {
        Some(Pending::Waiting(answer, since)) => {
            let response = answer.await.ok()?;
            client.answered(*since);
            Some(response)
        }
        _ => None,
    };
    match (response, pending.pop_front()) {
        (Some(response), _) | (None, Some(Pending::Ready(response))) => Some(response),
        _ => None,
    }
}

fn ended(result: Result<(), StreamError>) {
    match result {
        Err(StreamError::Store(error)) => tracing::warn!(%error, "a stream could not be served"),
        Err(error) => tracing::trace!(%error, "stream ended"),
        Ok(()) => {}
    }
}

/// Requests of one stream under way at once; then it is read no further.
const PENDING: usize = 128;
/// What a request takes besides its bytes.
const REQUEST_OVERHEAD: usize = 512;
