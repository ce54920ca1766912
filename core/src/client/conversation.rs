//! A conversation with one super node over QUIC, step by step as [`Session`] says.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::crypto::NodeKey;
use crate::net::{Connection, FrameReceiver, FrameSender, NetError};
use crate::power::WakeupReason;
use crate::store::{StoredNode, Unfetched};
use crate::sync::session::{Session, Step};
use crate::wire::{
    limits::MAX_FRAME,
    node::{Batch, Item, Request, Response, response},
    time::UnixMillis,
};

use super::engine::{Change, Engine, Waiting};
use super::follow::{Chunk, Follow, fetch, is_announced};
use super::inner::{Inner, Scope};
use super::poll::within;
use super::types::{Notice, reason};
use super::{Error, lock};

/// How a conversation with one node went.
pub(super) struct Outcome {
    /// `None` if the time was over.
    pub(super) result: Option<Result<(), Error>>,
    pub(super) bytes: (u64, u64),
    /// From a request to its answer.
    pub(super) rtt: Option<Duration>,
}

/// What a conversation that ends is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// All there is to do: what is new, leases, the outbox.
    Poll,
    /// Only what is due there; what is new came from another node.
    Errand,
}

/// Connects, does what there is to do, and closes; by `deadline`, done or not. What it brings goes into `heard`, and
/// nothing more is stored afterwards.
pub(super) async fn converse(
    inner: &Arc<Inner>,
    node: &StoredNode,
    (purpose, reason, scope): (Purpose, WakeupReason, Scope),
    deadline: Option<Instant>,
    heard: &Arc<Heard>,
) -> Outcome {
    let _spent = (purpose == Purpose::Errand).then(|| inner.spending.on(WakeupReason::Upkeep));
    let connection = match within(deadline, connect_briefly(inner, node)).await {
        Some(Ok(connection)) => connection,
        failed => {
            return Outcome {
                result: failed.map(|failed| failed.map(|_| ())),
                bytes: (0, 0),
                rtt: None,
            };
        }
    };
    let _stands = inner.spending.connection(reason);
    let mut talk = Conversation::new(inner, *node.link.key(), connection, Arc::clone(heard));
    talk.scope = scope;
    let result = match purpose {
        Purpose::Poll => {
            let poll = async {
                talk.run().await?;
                talk.fetch_waiting().await
            };
            within(deadline, poll).await
        }
        Purpose::Errand => {
            let errand = async {
                // If nothing is due, that it answers is all that is wanted.
                talk.connection.established().await?;
                let _ = heard.answered.set(talk.connection.rtt());
                talk.catch_up_on_work().await?;
                // What was leased just now is announced.
                talk.catch_up_on_work().await?;
                talk.fetch_waiting().await
            };
            within(deadline, errand).await
        }
    };
    if matches!(result, Some(Ok(()))) {
        within(deadline, talk.connection.resumable(TICKET)).await;
    }
    talk.connection.close(0, "done");
    heard.end().await;
    Outcome {
        result,
        bytes: talk.connection.bytes(),
        rtt: heard.answered.get().copied(),
    }
}

/// Connects for an exchange that ends.
pub(super) async fn connect_briefly(
    inner: &Arc<Inner>,
    node: &StoredNode,
) -> Result<Connection, Error> {
    let dialer = inner.dialer(node)?;
    let (host, port) = (node.link.host(), node.link.port());
    Ok(dialer.connect_briefly(host, port).await?)
}

/// Connects for as long as a person looks.
pub(super) async fn connect(inner: &Arc<Inner>, node: &StoredNode) -> Result<Connection, Error> {
    let dialer = inner.dialer(node)?;
    Ok(dialer.connect(node.link.host(), node.link.port()).await?)
}

/// One connection, and what it has brought.
pub(super) struct Conversation {
    inner: Arc<Inner>,
    node: NodeKey,
    pub(super) connection: Connection,
    changes: Arc<Heard>,
    /// What it does besides; at first everything at once.
    pub(super) scope: Scope,
}

/// What was told so far, filled by the threads that store it: whoever waits for them may give up.
pub(super) struct Heard {
    changes: Mutex<Vec<Change>>,
    /// One permit each while store work waits or runs.
    work: Arc<Semaphore>,
    /// How long the node took to answer the first request, once it has.
    pub(super) answered: OnceLock<Duration>,
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            changes: Mutex::default(),
            work: Arc::new(Semaphore::new(AT_ONCE as usize)),
            answered: OnceLock::new(),
        }
    }
}

impl Heard {
    /// Held by store work until it is done; `None` after the end.
    pub(super) async fn begin(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.work).acquire_owned().await.ok()
    }

    /// Lets no more store work begin, and waits for what has begun.
    pub(super) async fn end(&self) {
        // Fair: whoever asks after this waits behind it. Fails after the first time.
        let _all = self.work.acquire_many(AT_ONCE).await;
        self.work.close();
    }

    /// What was told since the last time.
    pub(super) fn take(&self) -> Vec<Change> {
        std::mem::take(&mut lock(&self.changes))
    }
}

impl Conversation {
    pub(super) fn new(
        inner: &Arc<Inner>,
        node: NodeKey,
        connection: Connection,
        heard: Arc<Heard>,
    ) -> Self {
        Self {
            inner: Arc::clone(inner),
            node,
            connection,
            changes: heard,
            scope: Scope {
                large: true,
                resync: true,
            },
        }
    }

    /// What this has brought since the last time.
    pub(super) fn take_changes(&self) -> Vec<Change> {
        self.changes.take()
    }

    /// Steps until nothing is left to do. Early data that the node rejected is sent again after the handshake.
    pub(super) async fn run(&mut self) -> Result<(), Error> {
        let node = self.node;
        let work = self
            .inner
            .blocking(move |engine, now| engine.work(&node, now))
            .await?;
        let mut session = Session::new(work);
        let mut rejected = false;
        loop {
            let step = session.next();
            let done = match step {
                Step::Idle => return Ok(()),
                Step::Register => self.register(&mut session).await,
                Step::Sync => self.sync(&mut session).await,
                Step::Release => self.release(&mut session).await,
                Step::Announce => self.announce(&mut session).await,
                Step::Push => self.push(&mut session).await,
                Step::Publish => self.publish(&mut session).await,
            };
            match done {
                Err(Error::Net(NetError::EarlyDataRejected)) if !rejected => {
                    rejected = true;
                    self.connection.established().await?;
                }
                other => other?,
            }
            // Taking in may have queued something: an introduction after a rotation.
            if step == Step::Sync && session.next() == Step::Idle {
                let work = self
                    .inner
                    .blocking(move |engine, now| engine.work(&node, now))
                    .await?;
                session.set_work(work);
            }
        }
    }

    /// The same for a live connection, on which another stream takes in what comes.
    /// Returns whether messages still wait for this node, because it refused them for now.
    pub(super) async fn catch_up_on_work(&mut self) -> Result<bool, Error> {
        let node = self.node;
        let work = self
            .inner
            .blocking(move |engine, now| engine.work(&node, now))
            .await?;
        let mut session = Session::new(work);
        loop {
            match session.next() {
                Step::Idle if work.outbox => {
                    let left = self
                        .inner
                        .blocking(move |engine, now| engine.work(&node, now))
                        .await?;
                    return Ok(left.outbox);
                }
                Step::Idle => return Ok(false),
                Step::Register => self.register(&mut session).await?,
                Step::Sync => session.caught_up(),
                Step::Release => self.release(&mut session).await?,
                Step::Announce => self.announce(&mut session).await?,
                Step::Push => self.push(&mut session).await?,
                Step::Publish => self.publish(&mut session).await?,
            }
        }
    }

    async fn register(&mut self, session: &mut Session) -> Result<(), Error> {
        let _spent = self.inner.spending.on(WakeupReason::Registration);
        self.connection.established().await?;
        let exporter = self.connection.exporter()?;
        let node = self.node;
        let registrations = self
            .inner
            .blocking(move |engine, now| engine.register(&node, &exporter, now))
            .await?;
        for registration in registrations {
            match self.ask(&registration.request).await? {
                response::Kind::Registered(answer) => {
                    self.storing(move |engine, now| {
                        let changes = engine.registered(&node, &registration, &answer, now)?;
                        Ok(((), changes))
                    })
                    .await?;
                }
                response::Kind::Refused(refused) => {
                    let reason = refused.reason();
                    self.inner
                        .blocking(move |engine, _| {
                            engine.registration_refused(&node, &registration, reason)
                        })
                        .await?;
                    self.refused(response::Kind::Refused(refused)).await?;
                }
                other => self.refused(other).await?,
            }
        }
        session.registered();
        Ok(())
    }

    async fn release(&mut self, session: &mut Session) -> Result<(), Error> {
        let _spent = self.inner.spending.on(WakeupReason::Registration);
        self.connection.established().await?;
        let node = self.node;
        let request = self
            .inner
            .blocking(move |engine, _| engine.release(&node))
            .await?;
        match self.ask(&request).await? {
            response::Kind::Released(_) => {
                self.inner
                    .blocking(move |engine, _| engine.released(&node))
                    .await?;
            }
            other => self.refused(other).await?,
        }
        session.released();
        Ok(())
    }

    /// Tells the node of others, and gives it the records that it wants. A refusal is nothing to tell a person of.
    async fn announce(&mut self, session: &mut Session) -> Result<(), Error> {
        let _spent = self.inner.spending.on(WakeupReason::Registration);
        self.connection.established().await?;
        let node = self.node;
        let mut waiting = self
            .inner
            .blocking(move |engine, now| engine.announce(&node, now))
            .await?;
        while let Some(announcing) = waiting.pop() {
            match self.ask(&announcing.request).await? {
                response::Kind::Announced(answer) => {
                    let records = self
                        .storing(move |engine, now| {
                            let records = engine.announced(&node, &announcing, &answer, now)?;
                            Ok((records, Vec::new()))
                        })
                        .await?;
                    waiting.extend(records);
                }
                response::Kind::Refused(refused) => {
                    let reason = refused.reason();
                    self.inner
                        .blocking(move |engine, now| {
                            engine.announcing_refused(&node, &announcing, reason, now)
                        })
                        .await?;
                }
                _ => return Err(protocol(node)),
            }
        }
        session.announced();
        Ok(())
    }

    /// Tells the node how to wake us, or brings back what came by push. A refusal is nothing to tell a person of: the app
    /// sees it in [`super::PushStatus`].
    async fn push(&mut self, session: &mut Session) -> Result<(), Error> {
        self.connection.established().await?;
        let node = self.node;
        let telling = self
            .inner
            .blocking(move |engine, now| engine.push(&node, now))
            .await?;
        if let Some(telling) = telling {
            let answer = self.ask(&telling.request).await?;
            if !matches!(
                answer,
                response::Kind::Pushing(_) | response::Kind::Refused(_)
            ) {
                return Err(protocol(node));
            }
            let inner = Arc::clone(&self.inner);
            self.storing(move |engine, now| {
                match &answer {
                    response::Kind::Pushing(answer) => {
                        engine.pushing(&node, &telling, answer, now)?;
                    }
                    response::Kind::Refused(refused) => {
                        engine.push_refused(&node, &telling, refused.reason(), now)?;
                    }
                    _ => {}
                }
                inner.replan();
                Ok(((), Vec::new()))
            })
            .await?;
        }
        session.pushed();
        Ok(())
    }

    /// Sends all that waits, many requests on one stream, and takes in the acknowledgements in order.
    async fn publish(&mut self, session: &mut Session) -> Result<(), Error> {
        let _spent = self.inner.spending.on(WakeupReason::Outbox);
        self.connection.established().await?;
        let node = self.node;
        let publications = self
            .storing(move |engine, now| engine.publish(&node, now))
            .await?;
        if publications.is_empty() {
            session.published();
            return Ok(());
        }
        let (mut sender, mut receiver) = open(&self.connection).await?;
        let send = async {
            for publication in &publications {
                sender.send(&publication.request.encode_to_vec()).await?;
            }
            sender.finish()?;
            Ok::<_, Error>(())
        };
        let mut answers = Vec::with_capacity(publications.len());
        let receive = async {
            for _ in &publications {
                answers.push(answer(&mut receiver, self.node).await?);
            }
            Ok::<_, Error>(())
        };
        tokio::try_join!(send, receive)?;
        for (publication, answer) in publications.into_iter().zip(answers) {
            match answer {
                response::Kind::Published(answer) => {
                    self.storing(move |engine, now| {
                        let changes = engine.published(&node, &publication, &answer, now)?;
                        Ok(((), changes))
                    })
                    .await?;
                }
                other => self.refused(other).await?,
            }
        }
        session.published();
        Ok(())
    }

    async fn sync(&mut self, session: &mut Session) -> Result<(), Error> {
        let asked = Instant::now();
        let mut follow = self.follow(false).await?;
        let ended = loop {
            match follow.next(&self.connection).await {
                Ok(Some(Chunk::Hello { held, expected })) => {
                    let _ = self.changes.answered.set(asked.elapsed());
                    session.hello(held, expected);
                }
                Ok(Some(Chunk::CaughtUp(tickets))) => break Ok(tickets),
                Ok(None) => break Err(protocol(self.node)),
                Err(error) => break Err(error),
            }
        };
        // What stopped the intake matters more than that it stopped, and what it had stored is told.
        follow.finish().await?;
        let tickets = ended?;
        let node = self.node;
        self.storing(move |engine, now| {
            engine.keep_tickets(&node, &tickets, now)?;
            Ok(((), Vec::new()))
        })
        .await?;
        session.caught_up();
        Ok(())
    }

    /// Opens a sync stream; with `follow` it goes on after the node has sent all it had.
    pub(super) async fn follow(&mut self, follow: bool) -> Result<Follow, Error> {
        let node = self.node;
        let request = self
            .inner
            .blocking(move |engine, _| engine.sync(&node, follow))
            .await?;
        let (mut sender, receiver) = open(&self.connection).await?;
        sender.send(&request.encode_to_vec()).await?;
        sender.finish()?;
        // A live stream only tells of what comes, as it goes on for ever.
        let heard = Arc::clone(&self.changes);
        let mut stream = Follow::new(&self.inner, node, receiver, heard, !follow);
        stream.fetches = self.scope.large;
        Ok(stream)
    }

    /// Fetches the large bodies that waited for this, whichever node announced them. One that this node does not have,
    /// though another announced it, waits on.
    pub(super) async fn fetch_waiting(&mut self) -> Result<(), Error> {
        if !self.scope.resync {
            return Ok(());
        }
        let node = self.node;
        let waiting = self
            .inner
            .blocking(move |engine, _| engine.waiting(&node))
            .await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let _spent = self.inner.spending.on(WakeupReason::Resync);
        self.connection.established().await?;
        for Waiting { body, announced } in waiting {
            let sealed = fetch(&self.connection, node, &body.address, &body.id).await?;
            let batch = sealed.and_then(|sealed| body_batch(&body, sealed));
            if batch.is_none() && !announced {
                continue;
            }
            let changes = self.storing(move |engine, now| {
                let changes = engine.fetched(&node, &body.id, batch, now)?;
                Ok(((), changes))
            });
            changes.await?;
        }
        Ok(())
    }

    pub(super) async fn ask(&mut self, request: &Request) -> Result<response::Kind, Error> {
        let asked = Instant::now();
        let (mut sender, mut receiver) = open(&self.connection).await?;
        sender.send(&request.encode_to_vec()).await?;
        sender.finish()?;
        let answer = answer(&mut receiver, self.node).await?;
        let _ = self.changes.answered.set(asked.elapsed());
        Ok(answer)
    }

    /// A refusal is told and the conversation goes on; any other answer breaks the protocol.
    async fn refused(&mut self, answer: response::Kind) -> Result<(), Error> {
        let response::Kind::Refused(refused) = answer else {
            return Err(protocol(self.node));
        };
        let (node, why) = (self.node, refused.reason());
        self.inner
            .blocking(move |engine, now| engine.refused(&node, why, now))
            .await?;
        let notice = Change::Notice(Notice::Refused {
            node: self.node,
            reason: reason(refused.reason()),
        });
        note(&self.inner, &self.changes, vec![notice]);
        Ok(())
    }

    /// Runs store work, and tells of what it changes on the same thread.
    async fn storing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine, UnixMillis) -> Result<(T, Vec<Change>), Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (inner, heard) = (Arc::clone(&self.inner), Arc::clone(&self.changes));
        let working = heard.begin().await.ok_or(Error::ShutDown)?;
        self.inner
            .blocking(move |engine, now| {
                let _working = working;
                let (done, changes) = work(engine, now)?;
                note(&inner, &heard, changes);
                Ok(done)
            })
            .await
    }
}

/// A body that was fetched, if it is the one that was announced.
fn body_batch(body: &Unfetched, sealed: Bytes) -> Option<Batch> {
    let item = Item {
        kind: body.kind,
        id: body.id.clone(),
        ..Item::default()
    };
    let time = body.time.as_millis();
    is_announced(&body.address, time, &item, &sealed).then(|| Batch {
        address: body.address.clone(),
        base_time_ms: time,
        items: vec![Item { sealed, ..item }],
    })
}

/// Tells of changes and keeps them for the report.
pub(super) fn note(inner: &Inner, heard: &Heard, changes: Vec<Change>) {
    for change in &changes {
        inner.tell(change.clone());
    }
    lock(&heard.changes).extend(changes);
}

/// Pieces of store work of one conversation at once: the intake's and its own.
const AT_ONCE: u32 = 2;
/// How long a node may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(15);
/// How long to wait for the ticket that makes the next poll cheap.
const TICKET: Duration = Duration::from_millis(500);

/// Opens a stream; a node that grants none is as good as gone.
pub(super) async fn open(connection: &Connection) -> Result<(FrameSender, FrameReceiver), Error> {
    Ok(timeout(ANSWER, connection.open())
        .await
        .map_err(|_| NetError::Timeout)??)
}

pub(super) async fn answer(
    receiver: &mut FrameReceiver,
    node: NodeKey,
) -> Result<response::Kind, Error> {
    let frame = timeout(ANSWER, receiver.next(MAX_FRAME))
        .await
        .map_err(|_| NetError::Timeout)??
        .ok_or_else(|| protocol(node))?;
    decode(frame, node)?.ok_or_else(|| protocol(node))
}

/// What a frame says; `None` if it is of a kind that this version does not know.
pub(super) fn decode(frame: Bytes, node: NodeKey) -> Result<Option<response::Kind>, Error> {
    Response::decode(frame)
        .map(|response| response.kind)
        .map_err(|_| protocol(node))
}

pub(super) fn protocol(node: NodeKey) -> Error {
    Error::Protocol(node.to_string().chars().take(8).collect())
}
