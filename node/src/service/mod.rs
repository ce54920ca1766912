//! What the node answers, given who asks, the time and the request. No clock, no socket, no random source, no task.
//!
//! [`Service::handle`] answers a request on the spot. The server takes the same steps one by one, so that it can verify
//! and commit the requests of many clients together: [`Service::admit`], [`Checker::check`], [`Service::commit`].

mod admission;
mod announce;
mod check;
mod clock;
mod commit;
mod cursor;
mod digest;
mod load;
mod neighbours;
mod network;
mod probes;
mod push;
mod reconcile;
mod register;
mod seen;
mod sync;
mod verified;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ailurus::{
    channel::{Address, EnvelopeId},
    crypto::{NodeKey, Pseudonym},
    wire::{
        limits::MAX_LEASES,
        node::{
            Announce, Fetch, Load, Publish, Push, Reason, Reconcile, Request, Response,
            push::Kind as PushKind, request, response::Kind,
        },
        time::UnixMillis,
    },
};
use bytes::Bytes;

use self::{
    admission::Admission,
    clock::ClockGuard,
    commit::answer,
    cursor::Cursors,
    digest::{Answered, DigestQuery, ListQuery},
    load::LoadMeter,
    neighbours::Neighbours,
    probes::Probes,
    push::Wakeups,
    reconcile::Reconciliations,
    register::Rules,
    seen::Seen,
};
use crate::{
    config::Limits,
    metrics::Metrics,
    store::{Expired, Reader, Room, Store, StoreError, Writer},
};

pub(crate) use self::network::is_local_host;
pub use self::verified::Verified;
pub(crate) use self::{
    check::{Checked, CheckedKind, Checker, Write, WriteKind},
    commit::{Committed, Stored},
    probes::{Probed, Waiting},
    push::Delivery,
    reconcile::Reconciliation,
    sync::{CatchUp, Group},
};
pub use self::{network::Network, push::PushOffer};

/// Who asks, and over what kind of connection.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// The key that the client proved to the transport.
    pub pseudonym: Pseudonym,
    /// The request came before the handshake was complete, so the network may have replayed it.
    pub early: bool,
    /// The connection's exporter, which registrations sign; `None` before the handshake is complete.
    pub exporter: Option<[u8; 32]>,
    /// Where it comes from, to be limited with its neighbours; `None` if that is not known.
    pub network: Option<Network>,
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
    verified: Option<Arc<Verified>>,
    seen: Seen,
    load: LoadMeter,
    neighbours: Neighbours,
    reconciliations: Reconciliations,
    wakeups: Wakeups,
    clock: ClockGuard,
    probes: Probes,
}

/// What is to be done about a request.
pub(crate) enum Admitted {
    /// It is answered.
    Answer(Response),
    /// It is to be checked and committed.
    Write(Write),
    /// The client is to be caught up from a cursor, and followed if it asked for that.
    Sync { cursor: Bytes, follow: bool },
    /// Something is to be read, which may wait for the disk.
    Read(Read),
    /// A round of reconciliation is to be answered, which reads a lot at first.
    Reconcile(Reconcile),
}

/// What is to be read for a client, with [`Service::read`].
#[derive(Debug)]
pub(crate) enum Read {
    Fetch {
        address: Option<Address>,
        id: EnvelopeId,
    },
    Announce(Announce),
    Push(Push),
    Digest(DigestQuery),
    List(ListQuery),
}

impl Read {
    /// Whether it may read many envelopes.
    pub(crate) fn is_long(&self) -> bool {
        matches!(self, Self::Digest(_) | Self::List(_))
    }
}

/// What clients have published, to be offered to other nodes.
#[derive(Default)]
pub struct Offered(pub(crate) Vec<Stored>);

impl Service {
    /// The service of the node with key `node` over its store.
    pub fn new(store: Arc<Store>, limits: Limits, node: NodeKey) -> Self {
        Self::with(store, limits, node, None)
    }

    /// As [`Service::new`], beside others in a simulation: an envelope that one of them has verified is not verified
    /// again.
    pub fn beside(
        store: Arc<Store>,
        limits: Limits,
        node: NodeKey,
        verified: Arc<Verified>,
    ) -> Self {
        Self::with(store, limits, node, Some(verified))
    }

    fn with(
        store: Arc<Store>,
        limits: Limits,
        node: NodeKey,
        verified: Option<Arc<Verified>>,
    ) -> Self {
        let metrics = Arc::new(Metrics::new());
        metrics.set_kept(&store);
        Self {
            admission: Admission::new(&limits),
            cursors: Cursors::new(store.cursor_key(), store.generation()),
            checker: Mutex::new(Checker::new(node, verified.clone())),
            verified,
            seen: Seen::default(),
            load: LoadMeter::default(),
            neighbours: Neighbours::new(&store),
            reconciliations: Reconciliations::default(),
            wakeups: Wakeups::default(),
            clock: ClockGuard::new(store.kept_time()),
            probes: Probes::new(&store, &limits, node),
            metrics,
            store,
            limits,
            node,
        }
    }

    /// Answers a request; a `Sync` is caught up and not followed.
    pub fn handle(&self, session: &Session, now: UnixMillis, request: Request) -> Vec<Response> {
        let admitted = self.admit(session, now, request);
        self.answer_admitted(session, now, admitted)
    }

    fn write_alone(&self, now: UnixMillis, write: Write) -> Committed {
        let mut checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
        let checked = checker.check(now, vec![write]);
        self.charge(now, &checked);
        self.commit(now, &checked)
    }

    fn answer_admitted(
        &self,
        session: &Session,
        now: UnixMillis,
        admitted: Admitted,
    ) -> Vec<Response> {
        match admitted {
            Admitted::Answer(response) => vec![response],
            Admitted::Write(write) => self.write_alone(now, write).responses,
            Admitted::Read(read) => vec![self.read(session, now, &read)],
            Admitted::Reconcile(request) => vec![self.reconcile(session, now, &request)],
            Admitted::Sync { cursor, .. } => self
                .sync(session, now, &cursor)
                .unwrap_or_else(|_| vec![self.refuse(Reason::Storage, now)]),
        }
    }

    /// As [`Service::handle`], with what a client has published by it: to be offered to other nodes, see
    /// [`crate::Wires::offer`].
    pub fn handle_offering(
        &self,
        session: &Session,
        now: UnixMillis,
        request: Request,
    ) -> (Vec<Response>, Offered) {
        match self.admit(session, now, request) {
            Admitted::Write(write) => {
                let committed = self.write_alone(now, write);
                (committed.responses, Offered(committed.stored))
            }
            admitted => (
                self.answer_admitted(session, now, admitted),
                Offered::default(),
            ),
        }
    }

    /// Answers many requests, each with one response in their order: what they write is checked together and committed
    /// in one transaction, as the server does it. For tools that fill a store.
    ///
    /// What reads sees what was there before; a `Sync`, whose answer is many responses, is refused as malformed.
    pub fn handle_all(&self, requests: Vec<(Session, Request)>, now: UnixMillis) -> Vec<Response> {
        let mut writes = Vec::with_capacity(requests.len());
        let mut answers = Vec::with_capacity(requests.len());
        for (session, request) in requests {
            answers.push(match self.admit(&session, now, request) {
                Admitted::Answer(response) => Some(response),
                Admitted::Write(write) => {
                    writes.push(write);
                    None
                }
                Admitted::Read(read) => Some(self.read(&session, now, &read)),
                Admitted::Reconcile(request) => Some(self.reconcile(&session, now, &request)),
                Admitted::Sync { .. } => Some(self.refuse(Reason::Malformed, now)),
            });
        }
        let checked = {
            let mut checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
            checker.check(now, writes)
        };
        self.charge(now, &checked);
        let mut committed = self.commit(now, &checked).responses.into_iter();
        answers
            .into_iter()
            .filter_map(|answer| answer.or_else(|| committed.next()))
            .collect()
    }

    /// Takes away part of what is older than 7 days and of the leases that ended; call it again at once while
    /// [`Expired::more`] says so. For whoever knows that the time is right; a node asks [`Service::tick`].
    ///
    /// # Errors
    /// If the database cannot be written; then nothing was taken away.
    pub fn expire(&self, now: UnixMillis) -> Result<Expired, StoreError> {
        let seen = self.seen.take();
        let load = self.load(now);
        let room = Room {
            clients: self.limits.registrations,
            strangers: self.limits.strangers,
        };
        let delegations = self.store.totals().delegations;
        self.probes.turn(&self.store, now);
        let change = |writer: &mut Writer| {
            for (pseudonym, seen_s) in &seen {
                writer.see(pseudonym, *seen_s)?;
            }
            writer.keep_load(&load)?;
            writer.keep_time(now)?;
            writer.expire(now, &room)
        };
        let mut expired = self.store.write_then(change, |expired: &Expired, _| {
            self.probes.forget(expired.pseudonyms.iter());
            self.forget_ended(&expired.ended);
        })?;
        expired.more |= self.seen.is_waiting();
        self.note_ended_delegations(delegations);
        if !expired.pseudonyms.is_empty() {
            self.sort_out_peers(&expired.pseudonyms);
        }
        self.metrics.expired.inc_by(expired.envelopes as u64);
        self.metrics.count_ended(&expired.ended);
        self.note_state(now);
        Ok(expired)
    }

    /// Does what [`Service::expire`] does unless the time may be wrong, so that a clock that runs ahead deletes nothing for
    /// good: [`Expired::held`]. Call it every minute or so.
    ///
    /// `elapsed` is the time since any moment before the first call, by a clock that cannot be set.
    ///
    /// # Errors
    /// As [`Service::expire`].
    pub fn tick(&self, now: UnixMillis, elapsed: Duration) -> Result<Expired, StoreError> {
        let held = !self.clock.check(now, elapsed);
        self.metrics.clock_held.set(i64::from(held));
        if !held {
            return self.expire(now);
        }
        let load = self.load(now);
        let change = |writer: &mut Writer| {
            writer.keep_load(&load)?;
            writer.apply_revocations(now)
        };
        let ended = self
            .store
            .write_then(change, |ended: &Vec<_>, _| self.forget_ended(ended))?;
        self.metrics.count_ended(&ended);
        self.note_state(now);
        Ok(Expired {
            ended,
            held,
            ..Expired::default()
        })
    }

    /// Takes the time for right from now on, wherever it jumps.
    pub fn trust_clock(&self) {
        self.clock.trust();
    }

    fn forget_ended(&self, ended: &[(Pseudonym, Reason)]) {
        self.probes.forget(ended.iter().map(|(client, _)| client));
    }

    fn note_state(&self, now: UnixMillis) {
        self.reconciliations.expire(now);
        self.metrics.set_load(&self.load(now));
        self.metrics.set_kept(&self.store);
        self.note_pushes();
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
        Checker::new(self.node, self.verified.clone())
    }

    /// Decides what is to be done, and takes what it costs from the client's allowance.
    pub(crate) fn admit(&self, session: &Session, now: UnixMillis, request: Request) -> Admitted {
        let Some(kind) = request.kind else {
            return Admitted::Answer(self.refuse(Reason::Malformed, now));
        };
        let (items, bytes) = cost(&kind);
        let taken = self.admission.take(
            &session.pseudonym,
            session.network.as_ref(),
            now,
            items,
            bytes,
        );
        if let Err(reason) = taken {
            return Admitted::Answer(self.refuse(reason, now));
        }
        let read = |read: Option<Read>| match read {
            Some(read) => Admitted::Read(read),
            None => Admitted::Answer(self.refuse(Reason::Malformed, now)),
        };
        match kind {
            request::Kind::Sync(sync) => Admitted::Sync {
                cursor: sync.cursor,
                follow: sync.follow,
            },
            request::Kind::Fetch(fetch) => read(parse_fetch(&fetch)),
            request::Kind::Digest(digest) => read(DigestQuery::parse(&digest).map(Read::Digest)),
            request::Kind::List(list) => read(ListQuery::parse(&list).map(Read::List)),
            request::Kind::Publish(publish) => self.write(session, WriteKind::Publish(publish)),
            // A replay could undo what the client has done since.
            request::Kind::Register(_) | request::Kind::Release(_) if session.early => {
                Admitted::Answer(self.refuse(Reason::EarlyData, now))
            }
            request::Kind::Register(register) => self.write(session, WriteKind::Register(register)),
            request::Kind::Release(release) => match parse_addresses(&release.addresses) {
                Some(addresses) => self.write(session, WriteKind::Release(addresses)),
                None => Admitted::Answer(self.refuse(Reason::Malformed, now)),
            },
            // A replay could undo what the client has said since.
            request::Kind::Announce(_) if session.early => {
                Admitted::Answer(self.refuse(Reason::EarlyData, now))
            }
            request::Kind::Announce(announce) => Admitted::Read(Read::Announce(announce)),
            request::Kind::Push(_) if session.early => {
                Admitted::Answer(self.refuse(Reason::EarlyData, now))
            }
            request::Kind::Push(push) => Admitted::Read(Read::Push(push)),
            request::Kind::Reconcile(reconcile) => Admitted::Reconcile(reconcile),
        }
    }

    /// Takes false signatures from the allowance of who sent them.
    pub(crate) fn charge(&self, now: UnixMillis, checked: &[Checked]) {
        for request in checked {
            let forged = request.bad_signatures();
            if forged > 0 {
                let price = forged.saturating_mul(FORGERY_PRICE);
                self.admission
                    .penalise(&request.pseudonym, request.network.as_ref(), now, price);
            }
        }
    }

    /// Commits checked requests in one transaction.
    pub(crate) fn commit(&self, now: UnixMillis, checked: &[Checked]) -> Committed {
        let rules = Rules {
            limits: &self.limits,
            no_strangers: self.load.cpu_permille() > self.limits.refuse_strangers_above_permille,
            clock_held: self.clock.is_held(),
            admission: &self.admission,
            store: &self.store,
            now,
        };
        for request in checked {
            if matches!(request.kind, CheckedKind::Publish(..)) {
                self.seen.note_visit(&request.pseudonym, now);
            }
        }
        let seen = self.seen.take();
        let delegations = self.store.totals().delegations;
        let committed = commit::commit(
            &self.store,
            &rules,
            &self.metrics,
            &seen,
            checked,
            &self.probes,
        );
        self.note_ended_delegations(delegations);
        if !committed.changed.is_empty() {
            self.sort_out_peers(&committed.changed);
        }
        committed
    }

    /// How busy the node is.
    pub(crate) fn load(&self, now: UnixMillis) -> Load {
        self.load.load(now, &self.store.totals(), &self.limits)
    }

    /// What the server measures goes in here.
    pub(crate) fn load_meter(&self) -> &LoadMeter {
        &self.load
    }

    /// Notes that clients are here that do not ask for anything: they follow.
    pub(crate) fn see(&self, pseudonyms: &[Pseudonym], now: UnixMillis) {
        for pseudonym in pseudonyms {
            self.seen.note(pseudonym, 0, now);
        }
    }

    /// The answer that refuses a whole request; counted.
    pub(crate) fn refuse(&self, reason: Reason, now: UnixMillis) -> Response {
        self.metrics.count_refusal(reason);
        commit::refused(reason, now)
    }

    /// Answers from the store, and charges for what there is to read before it is read.
    pub(crate) fn read(&self, session: &Session, now: UnixMillis, read: &Read) -> Response {
        match read {
            Read::Announce(announce) => return self.announce(session, now, announce),
            Read::Push(push) => return self.push(session, now, push),
            Read::Fetch { .. } | Read::Digest(_) | Read::List(_) => {}
        }
        let answered = self.store.read(|reader| {
            let envelopes = match read {
                Read::Fetch { .. } | Read::Announce(_) | Read::Push(_) => 0,
                Read::Digest(query) => query.envelopes(reader, session, now)?,
                Read::List(query) => query.envelopes(reader, session, now)?,
            };
            let price = usize::try_from(envelopes / ENVELOPES_PER_ITEM).unwrap_or(usize::MAX);
            let (pseudonym, network) = (&session.pseudonym, session.network.as_ref());
            if let Err(reason) = self
                .admission
                .take_for_reading(pseudonym, network, now, price)
            {
                return Ok(Err(reason));
            }
            match read {
                Read::Fetch { address, id } => fetch(reader, session, now, address.as_ref(), id),
                Read::Announce(_) | Read::Push(_) => Ok(Err(Reason::Malformed)),
                Read::Digest(query) => query.answer(reader, session, now),
                Read::List(query) => query.answer(reader, session, now),
            }
        });
        match answered {
            Ok(Ok(response)) => {
                self.seen.note_visit(&session.pseudonym, now);
                response
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
        self.polled(&session.pseudonym, now);
        let end = self.store.end();
        let begun = self.store.read(|reader| {
            CatchUp::begin(reader, &self.cursors, session.pseudonym, end, now, cursor)
        })?;
        if let Some(seen_s) = begun.seen_s() {
            self.seen.note(&session.pseudonym, seen_s, now);
        }
        let hello = begun.hello(self.store.generation(), now, self.load(now));
        Ok((hello, begun))
    }

    /// Reads a client's leases again, after they have changed.
    pub(crate) fn reload(&self, catch_up: &mut CatchUp, now: UnixMillis) -> Result<(), StoreError> {
        let end = self.store.end();
        self.store.read(|reader| catch_up.reload(reader, end, now))
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
                let caught_up = self.caught_up(&catch_up, end, now);
                responses.push(answer(Kind::CaughtUp(caught_up)));
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

/// What a request takes from its client's allowance: items and bytes.
fn cost(kind: &request::Kind) -> (usize, usize) {
    match kind {
        request::Kind::Publish(Publish { items, .. }) => {
            let bytes = items.iter().map(|item| item.sealed.len()).sum();
            (items.len().max(1), bytes)
        }
        request::Kind::Register(register) => {
            let hops = match &register.introduction {
                Some(proof) => proof
                    .introduction
                    .as_ref()
                    .map_or(0, |chain| chain.hops.len()),
                None => 0,
            };
            (register.leases.len().saturating_add(hops).max(1), 0)
        }
        request::Kind::Announce(announce) => {
            let announcements = announce.announcements.iter();
            let signatures = announcements.map(|one| one.records.len().saturating_add(2));
            (signatures.fold(0, usize::saturating_add).max(1), 0)
        }
        request::Kind::Digest(digest) => (digest.addresses.len().max(1), 0),
        request::Kind::Push(Push {
            kind: Some(PushKind::WebPush(_) | PushKind::Gateway(_)),
        }) => (CHALLENGE_PRICE, 0),
        _ => (1, 0),
    }
}

/// Brings one envelope.
fn fetch(
    reader: &Reader,
    session: &Session,
    now: UnixMillis,
    address: Option<&Address>,
    id: &EnvelopeId,
) -> Result<Answered, StoreError> {
    let found = match address {
        Some(address) => Some(*address),
        None => reader.address_of(id)?,
    };
    let Some(found) = found else {
        return Ok(Err(Reason::NotFound));
    };
    if !reader.has_lease(&session.pseudonym, &found, now)? {
        // Without an address, nobody is told whether the envelope is here.
        return Ok(Err(match address {
            Some(_) => Reason::NotRegistered,
            None => Reason::NotFound,
        }));
    }
    let Some(row) = reader.fetch(&found, id, now)? else {
        return Ok(Err(Reason::NotFound));
    };
    let mut group = Group::new(found, row.time);
    group.push(row);
    Ok(Ok(group.into_response()))
}

/// A super node may leave the address out: a reconciliation tells it ids only.
fn parse_fetch(fetch: &Fetch) -> Option<Read> {
    let address = match fetch.address.as_ref() {
        [] => None,
        address => Some(Address::try_from(address).ok()?),
    };
    let id = EnvelopeId::try_from(fetch.id.as_ref()).ok()?;
    Some(Read::Fetch { address, id })
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
/// Setting where to push makes the node send a request to a host of the client's choice.
const CHALLENGE_PRICE: usize = 100;
/// Envelopes that are summed up or listed for the price of one item.
const ENVELOPES_PER_ITEM: u64 = 64;
