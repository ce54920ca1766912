//! A sync stream: what a node has and what it pushes, read here and taken in by a task of its own.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::channel::{Address, Envelope, Kind};
use crate::crypto::NodeKey;
use crate::net::{Connection, FrameReceiver, NetError};
use crate::power::WakeupReason;
use crate::store::Unfetched;
use crate::wire::{
    limits::MAX_FRAME,
    node::{Batch, Fetch, Item, Reason, Request, Ticket, request, response},
    time::UnixMillis,
};

use super::Error;
use super::conversation::{ANSWER, Heard, answer, decode, note, open, protocol};
use super::inner::{Inner, ended};
use super::types::reason;

/// A sync stream: frames are read here and taken in by a task of its own, so that the network does not wait. The task
/// goes on to store what was read when this is dropped.
pub(super) struct Follow {
    inner: Arc<Inner>,
    node: NodeKey,
    receiver: FrameReceiver,
    waiting: Vec<Batch>,
    fetched: HashSet<Bytes>,
    caught_up: bool,
    intake: mpsc::Sender<Piece>,
    taken: JoinHandle<Result<(), Error>>,
    heard: Arc<Heard>,
    keeps: bool,
    /// Large bodies are fetched at once; else they are noted, and wait for a better network.
    pub(super) fetches: bool,
}

/// What was read, and the position behind it.
type Piece = (Vec<Batch>, Option<Bytes>);

/// What a sync stream says besides messages.
pub(super) enum Chunk {
    /// It begins.
    Hello { held: u32, expected: u32 },
    /// All that the node had has been read; with tickets to ask for more by datagram, once it is stored.
    CaughtUp(Vec<Ticket>),
}

impl Follow {
    /// What it brings is told, and kept in `heard` if it `keeps`; nothing more is stored once that has ended.
    pub(super) fn new(
        inner: &Arc<Inner>,
        node: NodeKey,
        receiver: FrameReceiver,
        heard: Arc<Heard>,
        keeps: bool,
    ) -> Self {
        let (intake, pieces) = mpsc::channel(PIECES);
        let taken = take_in(Arc::clone(inner), node, pieces, Arc::clone(&heard), keeps);
        let taken = tokio::spawn(taken);
        Self {
            inner: Arc::clone(inner),
            node,
            receiver,
            waiting: Vec::new(),
            fetched: HashSet::new(),
            caught_up: false,
            intake,
            taken,
            heard,
            keeps,
            fetches: true,
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
                    let (inner, heard) = (Arc::clone(&self.inner), Arc::clone(&self.heard));
                    let keeps = self.keeps;
                    let working = heard.begin().await.ok_or(Error::ShutDown)?;
                    let expected = self
                        .inner
                        .blocking(move |engine, now| {
                            let _working = working;
                            let (expected, changes) = engine.hello(&node, &hello, now)?;
                            // A live stream repeats what the conversation before it has told.
                            if keeps {
                                note(&inner, &heard, changes);
                            }
                            Ok(expected)
                        })
                        .await?;
                    return Ok(Some(Chunk::Hello { held, expected }));
                }
                response::Kind::Batch(batch) => self.complete(connection, batch).await?,
                response::Kind::Position(position) => {
                    self.pass_on(Some(position.cursor)).await?;
                }
                response::Kind::CaughtUp(end) => {
                    if !self.waiting.is_empty() {
                        self.pass_on(None).await?;
                    }
                    self.caught_up = true;
                    return Ok(Some(Chunk::CaughtUp(end.tickets)));
                }
                response::Kind::Refused(refused) => {
                    return Err(Error::Refused(reason(refused.reason())));
                }
                _ => return Err(protocol(self.node)),
            }
        }
    }

    /// Waits until everything read is stored.
    pub(super) async fn finish(self) -> Result<(), Error> {
        drop(self.intake);
        self.taken.await.unwrap_or_else(|error| Err(ended(error)))
    }

    async fn pass_on(&mut self, cursor: Option<Bytes>) -> Result<(), Error> {
        let batches = std::mem::take(&mut self.waiting);
        // The intake ends early only by an error, which `finish` tells.
        if self.intake.send((batches, cursor)).await.is_err() {
            return Err(Error::ShutDown);
        }
        Ok(())
    }

    /// Fetches bodies that were too large to ride along, and keeps what is complete; what is no longer there is left
    /// out. Pieces are passed on before they fill the memory, whatever a node announces.
    async fn complete(&mut self, connection: &Connection, batch: Batch) -> Result<(), Error> {
        if batch.items.iter().all(|item| !item.sealed.is_empty()) {
            self.waiting.push(batch);
            return self.pass_on_if_full().await;
        }
        let mut at = batch.base_time_ms;
        for mut item in batch.items {
            at = at.saturating_add_signed(item.time_delta_ms);
            if item.sealed.is_empty() {
                if !self.fetches && self.put_off(&batch.address, at, &item).await? {
                    continue;
                }
                match self.fetch(connection, &batch.address, &item).await? {
                    Some(sealed) if is_announced(&batch.address, at, &item, &sealed) => {
                        item.sealed = sealed;
                    }
                    _ => continue,
                }
            }
            item.time_delta_ms = 0;
            self.waiting.push(Batch {
                address: batch.address.clone(),
                base_time_ms: at,
                items: vec![item],
            });
            self.pass_on_if_full().await?;
        }
        Ok(())
    }

    async fn pass_on_if_full(&mut self) -> Result<(), Error> {
        if is_full(&self.waiting) {
            self.pass_on(None).await?;
        }
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
        let _spent = self.inner.spending.on(WakeupReason::Resync);
        connection.established().await?;
        fetch(connection, self.node, address, &item.id).await
    }

    /// Notes a body to be fetched later; before the position behind it is stored, so that it is not lost between the
    /// two. False if that cannot be, and then it is fetched now.
    async fn put_off(&self, address: &Bytes, time_ms: u64, item: &Item) -> Result<bool, Error> {
        if item.id.len() != ID || Address::try_from(&address[..]).is_err() {
            // It would never be what it says.
            return Ok(true);
        }
        let body = Unfetched {
            address: address.clone(),
            id: item.id.clone(),
            kind: item.kind,
            time: UnixMillis::from_millis(time_ms),
            size: item.size,
        };
        let node = self.node;
        let working = self.heard.begin().await.ok_or(Error::ShutDown)?;
        self.inner
            .blocking(move |engine, now| {
                let _working = working;
                engine.put_off(&node, &body, now)
            })
            .await
    }
}

/// Fetches one body; `None` if the node does not have it.
pub(super) async fn fetch(
    connection: &Connection,
    node: NodeKey,
    address: &Bytes,
    id: &Bytes,
) -> Result<Option<Bytes>, Error> {
    let request = Request {
        kind: Some(request::Kind::Fetch(Fetch {
            address: address.clone(),
            id: id.clone(),
        })),
    };
    let (mut sender, mut receiver) = open(connection).await?;
    sender.send(&request.encode_to_vec()).await?;
    sender.finish()?;
    match answer(&mut receiver, node).await? {
        response::Kind::Batch(batch) => Ok(batch.items.into_iter().next().map(|item| item.sealed)),
        response::Kind::Refused(refused) if refused.reason() == Reason::NotFound => Ok(None),
        response::Kind::Refused(refused) => Err(Error::Refused(reason(refused.reason()))),
        _ => Err(protocol(node)),
    }
}

/// Takes in what comes until nothing more does. A thread that may block is taken for one transaction only: there may be
/// fewer of them than streams.
async fn take_in(
    inner: Arc<Inner>,
    node: NodeKey,
    mut pieces: mpsc::Receiver<Piece>,
    heard: Arc<Heard>,
    keeps: bool,
) -> Result<(), Error> {
    while let Some((mut batches, mut cursor)) = pieces.recv().await {
        let Some(working) = heard.begin().await else {
            break;
        };
        // What has piled up goes into one transaction, up to a limit.
        while !is_full(&batches) {
            let Ok((more, later)) = pieces.try_recv() else {
                break;
            };
            batches.extend(more);
            cursor = later.or(cursor);
        }
        let (teller, heard) = (Arc::clone(&inner), Arc::clone(&heard));
        inner
            .blocking(move |engine, now| {
                let _working = working;
                let done = engine.ingest(&node, &batches, cursor.as_deref(), now)?;
                if keeps {
                    note(&teller, &heard, done.changes);
                } else {
                    for change in done.changes {
                        teller.tell(change);
                    }
                }
                Ok(())
            })
            .await?;
        inner.wake();
    }
    Ok(())
}

/// Pieces that wait to be taken in.
const PIECES: usize = 8;
/// Messages in one transaction, and bytes.
const TRANSACTION: usize = 2_000;
const TRANSACTION_BYTES: usize = 4 << 20;
/// Length of an envelope's id, in bytes.
const ID: usize = 32;
/// Large bodies fetched in one stream.
const MAX_FETCHED: usize = 10_000;

/// Whether a fetched body is the one whose id came with the header.
pub(super) fn is_announced(address: &[u8], time_ms: u64, item: &Item, sealed: &Bytes) -> bool {
    let (Ok(address), Ok(kind)) = (Address::try_from(address), Kind::try_from(item.kind)) else {
        return false;
    };
    let time = UnixMillis::from_millis(time_ms);
    Envelope::parse(address, time, kind, sealed.clone())
        .is_ok_and(|envelope| envelope.id().as_bytes()[..] == item.id[..])
}

/// Whether this is enough for a transaction. Batches count too, as a hostile node may send empty ones.
fn is_full(batches: &[Batch]) -> bool {
    let count = |batch: &Batch| batch.items.len().max(1);
    let bytes = |batch: &Batch| {
        batch
            .items
            .iter()
            .map(|item| item.sealed.len())
            .sum::<usize>()
    };
    batches.iter().map(count).sum::<usize>() >= TRANSACTION
        || batches.iter().map(bytes).sum::<usize>() >= TRANSACTION_BYTES
}
