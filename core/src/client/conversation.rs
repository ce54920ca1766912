//! A conversation with one super node over QUIC, step by step as [`Session`] says.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::channel::{Address, Envelope, Kind};
use crate::crypto::NodeKey;
use crate::net::{Connection, FrameReceiver, FrameSender, NetError};
use crate::store::StoredNode;
use crate::sync::session::{Session, Step};
use crate::wire::{
    limits::MAX_FRAME,
    node::{Batch, Fetch, Item, Reason, Request, Response, request, response},
    time::UnixMillis,
};

use super::engine::Change;
use super::types::{Notice, reason};
use super::{Error, Inner, lock};

/// How a poll of one node went.
pub(super) struct Outcome {
    pub(super) result: Result<(), Error>,
    pub(super) changes: Vec<Change>,
    pub(super) bytes: (u64, u64),
}

/// Connects, does all there is to do, and closes.
pub(super) async fn poll(inner: &Arc<Inner>, node: &StoredNode) -> Outcome {
    let connection = match connect(inner, node).await {
        Ok(connection) => connection,
        Err(error) => {
            return Outcome {
                result: Err(error),
                changes: Vec::new(),
                bytes: (0, 0),
            };
        }
    };
    let mut talk = Conversation::new(inner, *node.link.key(), connection);
    let result = talk.run().await;
    if result.is_ok() {
        talk.connection.resumable(TICKET).await;
    }
    talk.connection.close(0, "done");
    Outcome {
        result,
        bytes: talk.connection.bytes(),
        changes: talk.changes,
    }
}

pub(super) async fn connect(inner: &Arc<Inner>, node: &StoredNode) -> Result<Connection, Error> {
    let dialer = inner.dialer(node)?;
    Ok(dialer.connect(node.link.host(), node.link.port()).await?)
}

/// One connection, and what it has brought.
pub(super) struct Conversation {
    inner: Arc<Inner>,
    node: NodeKey,
    pub(super) connection: Connection,
    pub(super) changes: Vec<Change>,
}

impl Conversation {
    pub(super) fn new(inner: &Arc<Inner>, node: NodeKey, connection: Connection) -> Self {
        Self {
            inner: Arc::clone(inner),
            node,
            connection,
            changes: Vec::new(),
        }
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
    pub(super) async fn catch_up_on_work(&mut self) -> Result<(), Error> {
        let node = self.node;
        let work = self
            .inner
            .blocking(move |engine, now| engine.work(&node, now))
            .await?;
        let mut session = Session::new(work);
        loop {
            match session.next() {
                Step::Idle => return Ok(()),
                Step::Register => self.register(&mut session).await?,
                Step::Sync => session.caught_up(),
                Step::Release => self.release(&mut session).await?,
                Step::Publish => self.publish(&mut session).await?,
            }
        }
    }

    async fn register(&mut self, session: &mut Session) -> Result<(), Error> {
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
                    let changes = self
                        .inner
                        .blocking(move |engine, _| engine.registered(&node, &registration, &answer))
                        .await?;
                    self.heard(changes);
                }
                other => self.refused(other)?,
            }
        }
        session.registered();
        Ok(())
    }

    async fn release(&mut self, session: &mut Session) -> Result<(), Error> {
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
            other => self.refused(other)?,
        }
        session.released();
        Ok(())
    }

    /// Sends all that waits, many requests on one stream, and takes in the acknowledgements in order.
    async fn publish(&mut self, session: &mut Session) -> Result<(), Error> {
        self.connection.established().await?;
        let node = self.node;
        let (publications, expired) = self
            .inner
            .blocking(move |engine, now| engine.publish(&node, now))
            .await?;
        self.heard(expired);
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
                    let changes = self
                        .inner
                        .blocking(move |engine, _| engine.published(&node, &publication, &answer))
                        .await?;
                    self.heard(changes);
                }
                other => self.refused(other)?,
            }
        }
        session.published();
        Ok(())
    }

    async fn sync(&mut self, session: &mut Session) -> Result<(), Error> {
        let mut follow = self.follow(false).await?;
        let ended = loop {
            match follow.next(&self.connection).await {
                Ok(Some(Chunk::Hello {
                    held,
                    changes,
                    expected,
                })) => {
                    self.heard(changes);
                    session.hello(held, expected);
                }
                Ok(Some(Chunk::CaughtUp)) => break Ok(()),
                Ok(None) => break Err(protocol(self.node)),
                Err(error) => break Err(error),
            }
        };
        // What stopped the intake matters more than that it stopped, and what it had stored is told.
        self.changes.extend(follow.finish().await?);
        ended?;
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
        Ok(Follow::new(&self.inner, node, receiver, !follow))
    }

    async fn ask(&mut self, request: &Request) -> Result<response::Kind, Error> {
        let (mut sender, mut receiver) = open(&self.connection).await?;
        sender.send(&request.encode_to_vec()).await?;
        sender.finish()?;
        answer(&mut receiver, self.node).await
    }

    /// A refusal is told and the conversation goes on; any other answer breaks the protocol.
    fn refused(&mut self, answer: response::Kind) -> Result<(), Error> {
        let response::Kind::Refused(refused) = answer else {
            return Err(protocol(self.node));
        };
        self.heard(vec![Change::Notice(Notice::Refused {
            node: self.node,
            reason: reason(refused.reason()),
        })]);
        Ok(())
    }

    fn heard(&mut self, changes: Vec<Change>) {
        for change in &changes {
            self.inner.tell(change.clone());
        }
        self.changes.extend(changes);
    }
}

/// A sync stream: frames are read here, and taken in on a thread of their own, so that the network does not wait.
pub(super) struct Follow {
    inner: Arc<Inner>,
    node: NodeKey,
    receiver: FrameReceiver,
    waiting: Vec<Batch>,
    fetched: HashSet<Bytes>,
    caught_up: bool,
    intake: mpsc::Sender<(Vec<Batch>, Option<Bytes>)>,
    taken: tokio::task::JoinHandle<Result<Vec<Change>, Error>>,
}

/// What a sync stream says besides messages.
pub(super) enum Chunk {
    /// It begins.
    Hello {
        held: u32,
        expected: u32,
        changes: Vec<Change>,
    },
    /// All that the node had has been read.
    CaughtUp,
}

impl Follow {
    /// With `keep` the changes are handed out at the end; a live stream only tells of them as they come.
    fn new(inner: &Arc<Inner>, node: NodeKey, receiver: FrameReceiver, keep: bool) -> Self {
        let (intake, mut chunks) = mpsc::channel::<(Vec<Batch>, Option<Bytes>)>(CHUNKS);
        let taker = Arc::clone(inner);
        let taken = tokio::task::spawn_blocking(move || {
            let mut changes = Vec::new();
            while let Some((mut batches, mut cursor)) = chunks.blocking_recv() {
                // What has piled up goes into one transaction, up to a limit.
                while items(&batches) < TRANSACTION {
                    let Ok((more, later)) = chunks.try_recv() else {
                        break;
                    };
                    batches.extend(more);
                    cursor = later.or(cursor);
                }
                let now = taker.clock.now();
                let done = lock(&taker.engine).ingest(&node, &batches, cursor.as_deref(), now)?;
                for change in &done.changes {
                    taker.tell(change.clone());
                }
                if keep {
                    changes.extend(done.changes);
                }
                taker.wake();
            }
            Ok(changes)
        });
        Self {
            inner: Arc::clone(inner),
            node,
            receiver,
            waiting: Vec::new(),
            fetched: HashSet::new(),
            caught_up: false,
            intake,
            taken,
        }
    }

    /// Reads until something else than messages comes; `None` when the node ends the stream.
    pub(super) async fn next(&mut self, connection: &Connection) -> Result<Option<Chunk>, Error> {
        loop {
            let frame = match self.receiver.try_buffered(MAX_FRAME)? {
                Some(frame) => frame,
                None => {
                    let next = self.receiver.next(MAX_FRAME);
                    let next = if self.caught_up {
                        next.await?
                    } else {
                        timeout(ANSWER, next)
                            .await
                            .map_err(|_| NetError::Timeout)??
                    };
                    match next {
                        Some(frame) => frame,
                        None => return Ok(None),
                    }
                }
            };
            // What a later version of the protocol adds is passed over.
            let Some(kind) = decode(frame, self.node)? else {
                continue;
            };
            match kind {
                response::Kind::Hello(hello) => {
                    let held = hello.leases;
                    let node = self.node;
                    let (expected, changes) = self
                        .inner
                        .blocking(move |engine, now| engine.hello(&node, &hello, now))
                        .await?;
                    return Ok(Some(Chunk::Hello {
                        held,
                        expected,
                        changes,
                    }));
                }
                response::Kind::Batch(mut batch) => {
                    self.complete(connection, &mut batch).await?;
                    self.waiting.push(batch);
                    // A node that never tells a position must not fill the memory.
                    if items(&self.waiting) >= TRANSACTION {
                        self.pass_on(None).await?;
                    }
                }
                response::Kind::Position(position) => {
                    self.pass_on(Some(position.cursor)).await?;
                }
                response::Kind::CaughtUp(_) => {
                    if !self.waiting.is_empty() {
                        self.pass_on(None).await?;
                    }
                    self.caught_up = true;
                    return Ok(Some(Chunk::CaughtUp));
                }
                response::Kind::Refused(refused) => {
                    return Err(Error::Refused(reason(refused.reason())));
                }
                _ => return Err(protocol(self.node)),
            }
        }
    }

    /// Waits until everything read is stored; returns what it brought.
    pub(super) async fn finish(self) -> Result<Vec<Change>, Error> {
        drop(self.intake);
        self.taken.await.map_err(|_| Error::ShutDown)?
    }

    async fn pass_on(&mut self, cursor: Option<Bytes>) -> Result<(), Error> {
        let batches = std::mem::take(&mut self.waiting);
        // The intake ends early only by an error, which `finish` tells.
        if self.intake.send((batches, cursor)).await.is_err() {
            return Err(Error::ShutDown);
        }
        Ok(())
    }

    /// Fetches bodies that were too large to ride along; what is no longer there is left out.
    async fn complete(&mut self, connection: &Connection, batch: &mut Batch) -> Result<(), Error> {
        if batch.items.iter().all(|item| !item.sealed.is_empty()) {
            return Ok(());
        }
        let mut at = batch.base_time_ms;
        let mut kept = Vec::with_capacity(batch.items.len());
        let mut pending_delta = 0_i64;
        for mut item in std::mem::take(&mut batch.items) {
            at = at.saturating_add_signed(item.time_delta_ms);
            if item.sealed.is_empty() {
                match self.fetch(connection, &batch.address, &item).await? {
                    Some(sealed) if is_announced(&batch.address, at, &item, &sealed) => {
                        item.sealed = sealed;
                    }
                    _ => {
                        pending_delta = pending_delta.saturating_add(item.time_delta_ms);
                        continue;
                    }
                }
            }
            item.time_delta_ms = item.time_delta_ms.saturating_add(pending_delta);
            pending_delta = 0;
            kept.push(item);
        }
        batch.items = kept;
        Ok(())
    }

    async fn fetch(
        &mut self,
        connection: &Connection,
        address: &Bytes,
        item: &Item,
    ) -> Result<Option<Bytes>, Error> {
        if self.fetched.len() >= MAX_FETCHED {
            // The next connection goes on from here.
            return Err(NetError::Timeout.into());
        }
        if !self.fetched.insert(item.id.clone()) {
            return Ok(None);
        }
        connection.established().await?;
        let request = Request {
            kind: Some(request::Kind::Fetch(Fetch {
                address: address.clone(),
                id: item.id.clone(),
            })),
        };
        let (mut sender, mut receiver) = open(connection).await?;
        sender.send(&request.encode_to_vec()).await?;
        sender.finish()?;
        match answer(&mut receiver, self.node).await? {
            response::Kind::Batch(batch) => {
                Ok(batch.items.into_iter().next().map(|item| item.sealed))
            }
            response::Kind::Refused(refused) if refused.reason() == Reason::NotFound => Ok(None),
            response::Kind::Refused(refused) => Err(Error::Refused(reason(refused.reason()))),
            _ => Err(protocol(self.node)),
        }
    }
}

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(15);
/// How long to wait for the ticket that makes the next poll cheap.
const TICKET: Duration = Duration::from_millis(500);
/// Pieces that wait to be taken in.
const CHUNKS: usize = 8;
/// Messages in one transaction.
const TRANSACTION: usize = 2_000;
/// Large bodies fetched in one stream.
const MAX_FETCHED: usize = 10_000;

/// Whether a fetched body is the one whose id came with the header.
fn is_announced(address: &[u8], time_ms: u64, item: &Item, sealed: &Bytes) -> bool {
    let (Ok(address), Ok(kind)) = (Address::try_from(address), Kind::try_from(item.kind)) else {
        return false;
    };
    let time = UnixMillis::from_millis(time_ms);
    Envelope::parse(address, time, kind, sealed.clone())
        .is_ok_and(|envelope| envelope.id().as_bytes()[..] == item.id[..])
}

fn items(batches: &[Batch]) -> usize {
    batches.iter().map(|batch| batch.items.len()).sum()
}

/// Opens a stream; a node that grants none is as good as gone.
async fn open(connection: &Connection) -> Result<(FrameSender, FrameReceiver), Error> {
    Ok(timeout(ANSWER, connection.open())
        .await
        .map_err(|_| NetError::Timeout)??)
}

async fn answer(receiver: &mut FrameReceiver, node: NodeKey) -> Result<response::Kind, Error> {
    let frame = timeout(ANSWER, receiver.next(MAX_FRAME))
        .await
        .map_err(|_| NetError::Timeout)??
        .ok_or_else(|| protocol(node))?;
    decode(frame, node)?.ok_or_else(|| protocol(node))
}

/// What a frame says; `None` if it is of a kind that this version does not know.
fn decode(frame: Bytes, node: NodeKey) -> Result<Option<response::Kind>, Error> {
    Response::decode(frame)
        .map(|response| response.kind)
        .map_err(|_| protocol(node))
}

fn protocol(node: NodeKey) -> Error {
    Error::Protocol(node.to_string().chars().take(8).collect())
}
