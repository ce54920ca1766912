//! What the node answers, given who asks, the time and the request. No clock, no socket, no random source, no task.
//!
//! [`Service::handle`] answers a request on the spot. The server takes the same steps one by one, so that it can verify
//! and commit the requests of many clients together: [`Service::admit`], [`Checker::check`], [`Service::commit`].

mod admission;
mod announce;
mod check;
mod commit;
mod cursor;
mod reconcile;
mod sync;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use ailurus::{
    channel::{Address, EnvelopeId},
    crypto::{NodeKey, Pseudonym},
    wire::{
        limits::MAX_LEASES,
        node::{
            Announce, CaughtUp, Fetch, Publish, Reason, Reconcile, Request, Response, request,
            response::Kind,
        },
        time::UnixMillis,
    },
};
use bytes::Bytes;

use self::{
    admission::Admission, commit::answer, cursor::Cursors, reconcile::Reconciliations,
};
use crate::{
    config::Limits,
    metrics::Metrics,
    store::{Expired, Store, StoreError},
};

pub(crate) use self::{
    check::{Checked, Checker, Write, WriteKind},
    commit::{Committed, Stored},
    reconcile::{ReconcileError, Reconciliation},
    sync::{CatchUp, Group},
};

/// Who asks, and over what kind of connection.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// The key that the client proved to the transport.
    pub pseudonym: Pseudonym,
    /// The request came before the handshake was complete, so the network may have replayed it.
    pub early: bool,
    /// The connection's exporter, which registrations sign; `None` before the handshake is complete.
    pub exporter: Option<[u8; 32]>,
}

/// The decisions of a super node over its store.
pub struct Service {
    store: Arc<Store>,
    limits: Limits,
    node: NodeKey,
    metrics: Arc<Metrics>,
    admission: Admission,
    cursors: Cursors,
    checker: Mutex<Checker>,
    reconciliations: Reconciliations,
    /// Super nodes that have leases here.
    peers: RwLock<HashSet<Pseudonym>>,
    /// What is known of other nodes may have changed.
    neighbours_changed: AtomicBool,
}

/// What is to be done about a request.
pub(crate) enum Admitted {
    /// It is answered.
    Answer(Response),
    /// It is to be checked and committed.
    Write(Write),
    /// The client is to be caught up from a cursor, and followed if it asked for that.
    Sync { cursor: Bytes, follow: bool },
    /// An envelope is to be read.
    Fetch {
        address: Option<Address>,
        id: EnvelopeId,
    },
    /// Announcements are to be taken in.
    Announce(Announce),
    /// A round of reconciliation is to be answered.
    Reconcile(Reconcile),
}

impl Service {
    /// The service of the node with key `node` over its store.
    pub fn new(store: Arc<Store>, limits: Limits, node: NodeKey) -> Self {
        Self {
            admission: Admission::new(&limits),
            cursors: Cursors::new(store.cursor_key(), store.generation()),
            checker: Mutex::new(Checker::new(node)),
            reconciliations: Reconciliations::default(),
            peers: RwLock::new(known_peers(&store)),
            neighbours_changed: AtomicBool::new(true),
            metrics: Arc::new(Metrics::new()),
            store,
            limits,
            node,
        }
    }

    /// Answers a request; a `Sync` is caught up and not followed.
    pub fn handle(&self, session: &Session, now: UnixMillis, request: Request) -> Vec<Response> {
        match self.admit(session, now, request) {
            Admitted::Answer(response) => vec![response],
            Admitted::Write(write) => {
                let mut checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
                let checked = checker.check(now, vec![write]);
                self.charge(now, &checked);
                self.commit(now, &checked).responses
            }
            Admitted::Fetch { address, id } => vec![self.fetch(session, now, address.as_ref(), &id)],
            Admitted::Announce(announce) => vec![self.announce(session, now, &announce)],
            Admitted::Reconcile(request) => vec![self.reconcile(session, now, &request)],
            Admitted::Sync { cursor, .. } => self
                .sync(session, now, &cursor)
                .unwrap_or_else(|_| vec![self.refuse(Reason::Storage, now)]),
        }
    }

    /// Takes away part of what is older than 7 days and of the leases that ended; call it every minute or so, and again
    /// at once while [`Expired::more`] says so.
    ///
    /// # Errors
    /// If the database cannot be written; then nothing was taken away.
    pub fn expire(&self, now: UnixMillis) -> Result<Expired, StoreError> {
        let expired = self.store.write(|writer| writer.expire(now))?;
        self.metrics.expired.inc_by(expired.envelopes as u64);
        self.reconciliations.expire(now);
        self.metrics.set_kept(&self.store);
        Ok(expired)
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What is kept.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The node's own key.
    pub(crate) fn node(&self) -> &NodeKey {
        &self.node
    }

    /// Checks and commits on the spot what another node sent.
    pub(crate) fn take_from_peer(&self, now: UnixMillis, writes: Vec<Write>) -> Vec<Response> {
        let mut checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
        let checked = checker.check(now, writes);
        self.commit(now, &checked).responses
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Something that checks requests for this service.
    pub(crate) fn checker(&self) -> Checker {
        Checker::new(self.node)
    }

    /// Decides what is to be done, and takes what it costs from the client's allowance.
    pub(crate) fn admit(&self, session: &Session, now: UnixMillis, request: Request) -> Admitted {
        let Some(kind) = request.kind else {
            return Admitted::Answer(self.refuse(Reason::Malformed, now));
        };
        let (items, bytes) = cost(&kind);
        if !self.admission.take(&session.pseudonym, now, items, bytes) {
            return Admitted::Answer(self.refuse(Reason::RateLimited, now));
        }
        match kind {
            request::Kind::Sync(sync) => Admitted::Sync {
                cursor: sync.cursor,
                follow: sync.follow,
            },
            request::Kind::Fetch(fetch) => match parse_fetch(&fetch) {
                Some((address, id)) => Admitted::Fetch { address, id },
                None => Admitted::Answer(self.refuse(Reason::Malformed, now)),
            },
            request::Kind::Publish(publish) => self.write(session, WriteKind::Publish(publish)),
            // A replay could undo what the client has done since.
            request::Kind::Register(_) | request::Kind::Release(_) if session.early => {
                Admitted::Answer(self.refuse(Reason::EarlyData, now))
            }
            request::Kind::Register(register) => {
                self.write(session, WriteKind::Register(register.leases))
            }
            request::Kind::Release(release) => match parse_addresses(&release.addresses) {
                Some(addresses) => self.write(session, WriteKind::Release(addresses)),
                None => Admitted::Answer(self.refuse(Reason::Malformed, now)),
            },
            // A replay could undo what the client has said since.
            request::Kind::Announce(_) if session.early => {
                Admitted::Answer(self.refuse(Reason::EarlyData, now))
            }
            request::Kind::Announce(announce) => Admitted::Announce(announce),
            request::Kind::Reconcile(reconcile) => Admitted::Reconcile(reconcile),
            request::Kind::Digest(_)
            | request::Kind::List(_) => Admitted::Answer(self.refuse(Reason::Malformed, now)),
        }
    }

    /// Takes false signatures from the allowance of who sent them.
    pub(crate) fn charge(&self, now: UnixMillis, checked: &[Checked]) {
        for request in checked {
            let forged = request.bad_signatures();
            if forged > 0 {
                let price = forged.saturating_mul(FORGERY_PRICE);
                self.admission.penalise(&request.pseudonym, now, price);
            }
        }
    }

    /// Commits checked requests in one transaction.
    pub(crate) fn commit(&self, now: UnixMillis, checked: &[Checked]) -> Committed {
        let committed = commit::commit(&self.store, &self.limits, &self.metrics, now, checked);
        if !committed.changed.is_empty() {
            self.sort_out_peers(&committed.changed);
        }
        committed
    }

    /// Whether a pseudonym is that of a super node with leases here.
    pub(crate) fn is_peer(&self, pseudonym: &Pseudonym) -> bool {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.contains(pseudonym)
    }

    /// Whether what is known of other nodes may have changed since the last call.
    pub(crate) fn take_neighbours_changed(&self) -> bool {
        self.neighbours_changed.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn neighbours_changed(&self) {
        self.neighbours_changed.store(true, Ordering::Release);
    }

    /// Looks again which of these clients are super nodes.
    fn sort_out_peers(&self, changed: &[Pseudonym]) {
        // An address that was leased or released may be shared now, or no more.
        self.neighbours_changed();
        for pseudonym in changed {
            // If it cannot be read, it stays what it was.
            let Ok(peer) = self.store.read(|reader| reader.is_peer(pseudonym)) else {
                continue;
            };
            let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
            if peer {
                peers.insert(*pseudonym);
            } else {
                peers.remove(pseudonym);
            }
        }
    }

    /// The answer that refuses a whole request; counted.
    pub(crate) fn refuse(&self, reason: Reason, now: UnixMillis) -> Response {
        self.metrics.count_refusal(reason);
        commit::refused(reason, now)
    }

    /// Brings one envelope.
    pub(crate) fn fetch(
        &self,
        session: &Session,
        now: UnixMillis,
        address: Option<&Address>,
        id: &EnvelopeId,
    ) -> Response {
        let found = self.store.read(|reader| {
            let known = match address {
                Some(address) => Some(*address),
                None => reader.address_of(id)?,
            };
            let Some(known) = known else {
                return Ok(Err(Reason::NotFound));
            };
            if !reader.has_lease(&session.pseudonym, &known, now)? {
                // Without an address, nobody is told whether the envelope is here.
                return Ok(Err(match address {
                    Some(_) => Reason::NotRegistered,
                    None => Reason::NotFound,
                }));
            }
            let row = reader.fetch(&known, id, now)?;
            Ok(row.map(|row| (known, row)).ok_or(Reason::NotFound))
        });
        match found {
            Ok(Ok((address, row))) => {
                let mut group = Group::new(address, row.time);
                group.push(row);
                group.into_response()
            }
            Ok(Err(reason)) => self.refuse(reason, now),
            Err(_) => self.refuse(Reason::Storage, now),
        }
    }

    /// Begins to catch a client up: the first answer, and what to call [`Service::step`] with.
    pub(crate) fn begin(
        &self,
        session: &Session,
        now: UnixMillis,
        cursor: &[u8],
    ) -> Result<(Response, CatchUp), StoreError> {
        let end = self.store.end();
        let begun = self.store.read(|reader| {
            CatchUp::begin(reader, &self.cursors, session.pseudonym, end, now, cursor)
        })?;
        Ok((begun.hello(self.store.generation(), now), begun))
    }

    /// Reads a client's leases again, after they have changed.
    pub(crate) fn reload(&self, catch_up: &mut CatchUp, now: UnixMillis) -> Result<(), StoreError> {
        self.store.read(|reader| catch_up.reload(reader, now))
    }

    /// The next answers up to the position `end`; none once it is reached.
    pub(crate) fn step(
        &self,
        catch_up: &mut CatchUp,
        end: u64,
        now: UnixMillis,
    ) -> Result<Vec<Response>, StoreError> {
        self.store
            .read(|reader| catch_up.step(reader, &self.cursors, end, now))
    }

    /// Notes that everything up to `position` was pushed, and returns the frame that says so.
    pub(crate) fn pushed(&self, catch_up: &mut CatchUp, position: u64) -> Option<Response> {
        catch_up.pushed(&self.cursors, position)
    }

    fn sync(
        &self,
        session: &Session,
        now: UnixMillis,
        cursor: &[u8],
    ) -> Result<Vec<Response>, StoreError> {
        let end = self.store.end();
        let (hello, mut catch_up) = self.begin(session, now, cursor)?;
        let mut responses = vec![hello];
        loop {
            let answers = self.step(&mut catch_up, end, now)?;
            if answers.is_empty() {
                responses.push(caught_up());
                return Ok(responses);
            }
            responses.extend(answers);
        }
    }

    fn write(&self, session: &Session, kind: WriteKind) -> Admitted {
        Admitted::Write(Write {
            session: *session,
            peer: self.is_peer(&session.pseudonym),
            kind,
        })
    }
}

/// The frame that ends a catch-up.
pub(crate) fn caught_up() -> Response {
    answer(Kind::CaughtUp(CaughtUp {}))
}

/// What a request takes from its client's allowance: items and bytes.
fn cost(kind: &request::Kind) -> (usize, usize) {
    match kind {
        request::Kind::Publish(Publish { items, .. }) => {
            let bytes = items.iter().map(|item| item.sealed.len()).sum();
            (items.len().max(1), bytes)
        }
        request::Kind::Register(register) => (register.leases.len().max(1), 0),
        request::Kind::Announce(announce) => (announce.announcements.len().max(1), 0),
        _ => (1, 0),
    }
}

/// A super node may leave the address out: a reconciliation tells it ids only.
fn parse_fetch(fetch: &Fetch) -> Option<(Option<Address>, EnvelopeId)> {
    let address = match fetch.address.as_ref() {
        [] => None,
        address => Some(Address::try_from(address).ok()?),
    };
    let id = EnvelopeId::try_from(fetch.id.as_ref()).ok()?;
    Some((address, id))
}

/// None if they cannot be read: then they are known once they register again.
fn known_peers(store: &Store) -> HashSet<Pseudonym> {
    let peers = store.read(|reader| reader.peer_pseudonyms());
    peers.unwrap_or_default().into_iter().collect()
}

fn parse_addresses(addresses: &[Bytes]) -> Option<Vec<Address>> {
    if addresses.len() > MAX_LEASES {
        return None;
    }
    addresses
        .iter()
        .map(|address| Address::try_from(address.as_ref()).ok())
        .collect()
}

/// A false signature costs as much work as about this many good ones.
const FORGERY_PRICE: usize = 20;
