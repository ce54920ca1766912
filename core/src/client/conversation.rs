//! A conversation with one super node over QUIC, step by step as [`Session`] says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::time::timeout;

use crate::crypto::NodeKey;
use crate::net::{Connection, FrameReceiver, FrameSender, NetError};
use crate::store::StoredNode;
use crate::sync::session::{Session, Step};
use crate::wire::{
    limits::MAX_FRAME,
    node::{Request, Response, response},
};

use super::engine::Change;
use super::follow::{Chunk, Follow};
use super::types::{Notice, reason};
use super::{Error, Inner};

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
