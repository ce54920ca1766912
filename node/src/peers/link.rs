//! One connection to another node, from the side that dialled: registers, follows, reconciles, forwards.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use ailurus::{
    channel::{Address, Envelope, EnvelopeId, Epoch},
    crypto::{NodeKey, Pseudonym},
    wire::{
        limits::{EPOCH, LIFETIME, MAX_LEASES},
        node::{
            Batch, Fetch, Hello, Lease, Publish, Reason, Reconcile, Refusal, Register, Release,
            Request, Response, Sync, request, response::Kind,
        },
        time::UnixMillis,
    },
};
use bytes::Bytes;

use super::{Acknowledged, plan::jitter};
use crate::{
    service::{Reconciliation, Service, Session, Stored, Write, WriteKind},
    store::{Delegation, Keys, StoreError},
};

/// The state of a link; whoever drives it carries out its [`Step`]s and hands it the answers.
pub(crate) struct Link {
    service: Arc<Service>,
    own: NodeKey,
    node: NodeKey,
    acknowledged: Acknowledged,
    /// What is to be registered, and what is.
    wanted: BTreeMap<Address, Delegation>,
    registered: BTreeMap<Address, Delegation>,
    /// Turned away on this connection.
    refused: HashSet<Address>,
    following: Following,
    /// How far the other node's clock is ahead, in milliseconds.
    clock_ahead_ms: i64,
    reconciling: Option<Reconciliation>,
    next_reconciliation: UnixMillis,
    /// How often in a row the other node had another set of addresses.
    differed: u32,
    /// Reconciliations in a row that found nothing, and whether this one has found something.
    quiet: u32,
    found: bool,
    /// Everything that is not shared is to be released there.
    strays: bool,
    /// Nothing is asked before this time.
    paused: UnixMillis,
    /// To be fetched; the address is not known of what a reconciliation brought up.
    fetches: VecDeque<(Option<Address>, EnvelopeId)>,
    /// To be published there.
    offers: VecDeque<(Keys, Envelope)>,
    /// To be published there, not read yet.
    lacking: VecDeque<EnvelopeId>,
    /// What came and is to be committed.
    arrived: Vec<(Address, Envelope)>,
    asked: VecDeque<Asked>,
    missing: u32,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Following {
    No,
    Asked,
    Yes,
}

/// A request under way.
enum Asked {
    Register(Vec<Address>),
    Release,
    Reconcile,
    Fetch(Option<Address>, EnvelopeId),
    Publish(Keys, Vec<Envelope>),
}

/// What whoever drives a link is to do.
pub(crate) enum Step {
    /// Send this on the working stream; [`Link::answered`] takes the answers in their order.
    Ask(Request),
    /// Send this on a stream of its own; [`Link::pushed`] takes all that comes.
    Follow(Request),
    /// Check and commit these as requests of the other node; [`Link::committed`] takes the answers.
    Commit(Vec<Write>),
}

/// Why a link ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing is shared with the other node, or it follows here by itself.
    Needless,
    /// The connection broke after it had worked.
    Lost,
    /// It never worked.
    Failed(String),
    /// The other node acknowledged an envelope and does not have it.
    Withheld(EnvelopeId),
    /// The other node sent what no honest node sends.
    Misbehaved(&'static str),
}

impl Link {
    /// A link to `node` that was just connected, for the leases given.
    pub(crate) fn new(
        service: Arc<Service>,
        node: NodeKey,
        leases: Vec<Delegation>,
        acknowledged: Acknowledged,
        now: UnixMillis,
    ) -> Self {
        Self {
            own: *service.node(),
            service,
            node,
            acknowledged,
            wanted: by_address(leases),
            registered: BTreeMap::new(),
            refused: HashSet::new(),
            following: Following::No,
            clock_ahead_ms: 0,
            reconciling: None,
            next_reconciliation: now,
            differed: 0,
            quiet: 0,
            found: false,
            strays: false,
            paused: now,
            fetches: VecDeque::new(),
            offers: VecDeque::new(),
            lacking: VecDeque::new(),
            arrived: Vec::new(),
            asked: VecDeque::new(),
            missing: 0,
            end: None,
        }
    }

    /// Registers exactly these from now on.
    pub(crate) fn lease(&mut self, leases: Vec<Delegation>) {
        self.wanted = by_address(leases);
        if self.wanted.is_empty() {
            self.end.get_or_insert(End::Needless);
        }
    }

    /// Forwards what clients have published here.
    pub(crate) fn offer(&mut self, stored: &[Stored], now: UnixMillis) {
        for envelope in stored {
            if envelope.peer {
                continue;
            }
            let Some(delegation) = self.registered.get(&envelope.address) else {
                continue;
            };
            if self.offers.len() >= OFFERS {
                // The reconciliation finds them.
                self.next_reconciliation = self.next_reconciliation.min(now);
                return;
            }
            self.offers
                .push_back((delegation.keys, envelope.envelope.clone()));
        }
    }

    /// Notes that envelopes passed this link by; a reconciliation brings them.
    pub(crate) fn fell_behind(&mut self, now: UnixMillis) {
        self.next_reconciliation = self.next_reconciliation.min(now);
    }

    /// Everything that is to be done now; nothing if an answer or [`Link::wake`] has to be waited for, or the link has
    /// ended. Reads the database.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub(crate) fn steps(&mut self, now: UnixMillis) -> Result<Vec<Step>, StoreError> {
        let mut steps = Vec::new();
        if self.end.is_some() {
            return Ok(steps);
        }
        if !self.arrived.is_empty() {
            steps.push(Step::Commit(self.take_arrived()));
        }
        if now < self.paused {
            return Ok(steps);
        }
        if std::mem::take(&mut self.strays) {
            self.release_strays(&mut steps)?;
        }
        self.change_leases(&mut steps);
        if self.following == Following::No && !self.registered.is_empty() && self.asked.is_empty() {
            self.following = Following::Asked;
            steps.push(Step::Follow(request(request::Kind::Sync(Sync {
                cursor: Bytes::new(),
                follow: true,
            }))));
        }
        if self.following == Following::Yes {
            self.reconcile(now, &mut steps)?;
            self.publish(now, &mut steps)?;
            self.fetch(&mut steps)?;
        }
        Ok(steps)
    }

    /// When there is something to do again, if nothing comes before.
    pub(crate) fn wake(&self) -> UnixMillis {
        if self.works() && !self.has_work() && self.reconciling.is_none() {
            return self.next_reconciliation.max(self.paused);
        }
        self.paused
    }

    /// Whether answers are awaited on the working stream.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether the other node owes an answer on any stream.
    pub(crate) fn is_owed(&self) -> bool {
        self.is_waiting() || self.following == Following::Asked
    }

    /// Whether the link has come as far as following.
    pub(crate) fn works(&self) -> bool {
        self.following == Following::Yes
    }

    /// Why the link is to be closed, once it is.
    pub(crate) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// What is kept for the next link to the same node.
    pub(crate) fn into_acknowledged(self) -> Acknowledged {
        self.acknowledged
    }

    /// Takes the next answer of the working stream in.
    pub(crate) fn answered(&mut self, now: UnixMillis, response: Response) {
        let Some(asked) = self.asked.pop_front() else {
            self.misbehaved("an answer to nothing");
            return;
        };
        let Some(kind) = response.kind else {
            self.misbehaved("an answer of no kind");
            return;
        };
        if let Kind::Refused(refused) = &kind
            && matches!(
                refused.reason(),
                Reason::RateLimited | Reason::NetworkLimited | Reason::Storage
            )
        {
            self.try_again(now, asked);
            return;
        }
        match (asked, kind) {
            (Asked::Register(addresses), Kind::Registered(registered)) => {
                self.register_answered(now, &addresses, &registered.refusals);
            }
            (Asked::Register(addresses), Kind::Refused(refused)) => {
                let refusal = |index: usize| Refusal {
                    index: u32::try_from(index).unwrap_or(u32::MAX),
                    reason: refused.reason,
                };
                let refusals: Vec<_> = (0..addresses.len()).map(refusal).collect();
                self.register_answered(now, &addresses, &refusals);
            }
            (Asked::Release, _) => {}
            (Asked::Reconcile, Kind::Reconciled(reconciled)) => {
                self.reconcile_answered(&reconciled.message);
            }
            (Asked::Reconcile, Kind::Refused(refused)) => {
                self.reconcile_refused(now, refused.reason());
            }
            (Asked::Fetch(..), Kind::Batch(batch)) => self.take(&batch),
            (Asked::Fetch(..), Kind::Refused(_)) => {
                self.missing = self.missing.saturating_add(1);
                if self.missing > MISSING {
                    self.misbehaved("ids of envelopes that it does not have");
                }
            }
            (Asked::Publish(_, envelopes), Kind::Published(published)) => {
                let refused: HashSet<usize> = published
                    .refusals
                    .iter()
                    .filter_map(|refusal| usize::try_from(refusal.index).ok())
                    .collect();
                for (index, envelope) in envelopes.iter().enumerate() {
                    if !refused.contains(&index) {
                        self.acknowledged.insert(envelope.id());
                    }
                }
            }
            (Asked::Publish(..), Kind::Refused(_)) => {}
            _ => self.misbehaved("an answer of another kind"),
        }
    }

    /// Takes a frame of the following stream in.
    pub(crate) fn pushed(&mut self, now: UnixMillis, response: Response) {
        match response.kind {
            Some(Kind::Hello(hello)) => self.greeted(now, &hello),
            Some(Kind::CaughtUp(_)) => self.following = Following::Yes,
            Some(Kind::Batch(batch)) => self.take(&batch),
            Some(Kind::Position(_)) => {}
            Some(Kind::Refused(refused)) if refused.reason() == Reason::RateLimited => {
                self.following = Following::No;
                self.paused = now.after(RATE_PAUSE);
            }
            _ => self.misbehaved("something else than what was followed"),
        }
    }

    /// Takes the answers to a [`Step::Commit`] in.
    pub(crate) fn committed(&mut self, responses: &[Response]) {
        let forged = responses.iter().any(|response| {
            let Some(Kind::Published(published)) = &response.kind else {
                return false;
            };
            let bad = |refusal: &Refusal| refusal.reason() == Reason::BadSignature;
            published.refusals.iter().any(bad)
        });
        if forged {
            self.misbehaved("envelopes whose signature is false");
        }
    }

    fn greeted(&mut self, now: UnixMillis, hello: &Hello) {
        self.clock_ahead_ms = UnixMillis::from_millis(hello.time_ms).delta(now);
        self.acknowledged.of_generation(&hello.generation);
    }

    fn misbehaved(&mut self, how: &'static str) {
        self.end.get_or_insert(End::Misbehaved(how));
    }

    /// Puts a request back that met a limit, and waits.
    fn try_again(&mut self, now: UnixMillis, asked: Asked) {
        self.paused = now.after(RATE_PAUSE);
        match asked {
            Asked::Fetch(address, id) => self.fetches.push_back((address, id)),
            Asked::Publish(keys, envelopes) => {
                for envelope in envelopes.into_iter().rev() {
                    self.offers.push_front((keys, envelope));
                }
            }
            Asked::Reconcile => {
                self.reconciling = None;
                self.next_reconciliation = self.paused;
            }
            Asked::Register(_) | Asked::Release => {}
        }
    }
}

/// Leases.
impl Link {
    fn change_leases(&mut self, steps: &mut Vec<Step>) {
        let under_way = |asked: &Asked| matches!(asked, Asked::Register(_) | Asked::Release);
        if self.asked.iter().any(under_way) {
            return;
        }
        let strays: Vec<Address> = self
            .registered
            .keys()
            .filter(|address| !self.wanted.contains_key(*address))
            .copied()
            .collect();
        if !strays.is_empty() {
            self.release(&strays, steps);
        }
        let new: Vec<&Delegation> = self
            .wanted
            .values()
            .filter(|wanted| {
                let address = &wanted.keys.address;
                let known = self.registered.get(address);
                known.is_none_or(|known| known.until_s < wanted.until_s)
                    && !self.refused.contains(address)
            })
            .take(MAX_LEASES)
            .collect();
        if new.is_empty() {
            if self.registered.is_empty() && !self.refused.is_empty() {
                let end = End::Failed("the node takes none of the shared addresses".to_owned());
                self.end.get_or_insert(end);
            }
            return;
        }
        let leases = new.iter().map(|delegation| lease(delegation)).collect();
        let addresses = new
            .iter()
            .map(|delegation| delegation.keys.address)
            .collect();
        steps.push(Step::Ask(request(request::Kind::Register(Register {
            leases,
            ..Register::default()
        }))));
        self.asked.push_back(Asked::Register(addresses));
    }

    /// Releases all that this node knows and does not share with the other.
    fn release_strays(&mut self, steps: &mut Vec<Step>) -> Result<(), StoreError> {
        let known = self
            .service
            .store()
            .read(|reader| reader.delegated_addresses())?;
        let strays: Vec<Address> = known
            .into_iter()
            .filter(|address| !self.wanted.contains_key(address))
            .collect();
        self.release(&strays, steps);
        Ok(())
    }

    fn release(&mut self, addresses: &[Address], steps: &mut Vec<Step>) {
        for part in addresses.chunks(MAX_LEASES) {
            for address in part {
                self.registered.remove(address);
            }
            let addresses = part
                .iter()
                .map(|address| Bytes::copy_from_slice(address.as_bytes()))
                .collect();
            let release = Release { addresses };
            steps.push(Step::Ask(request(request::Kind::Release(release))));
            self.asked.push_back(Asked::Release);
        }
    }

    fn register_answered(&mut self, now: UnixMillis, addresses: &[Address], refusals: &[Refusal]) {
        let refused: HashMap<usize, Reason> = refusals
            .iter()
            .filter_map(|refusal| Some((usize::try_from(refusal.index).ok()?, refusal.reason())))
            .collect();
        for (index, address) in addresses.iter().enumerate() {
            if let Some(reason) = refused.get(&index) {
                tracing::debug!(node = ?self.node, ?reason, "another node refuses an address");
                self.refused.insert(*address);
                continue;
            }
            let Some(delegation) = self.wanted.get(address) else {
                continue;
            };
            if self
                .registered
                .insert(*address, delegation.clone())
                .is_none()
            {
                self.next_reconciliation = self.next_reconciliation.min(now);
            }
        }
    }
}

/// Reconciliation.
impl Link {
    fn reconcile(&mut self, now: UnixMillis, steps: &mut Vec<Step>) -> Result<(), StoreError> {
        let changing = self
            .asked
            .iter()
            .any(|asked| matches!(asked, Asked::Register(_) | Asked::Release));
        if changing || self.registered.is_empty() {
            return Ok(());
        }
        if self.reconciling.is_none() {
            // What was found before is exchanged first, or it would be found again.
            if now < self.next_reconciliation || !self.asked.is_empty() || self.has_work() {
                return Ok(());
            }
            let theirs = now.offset(self.clock_ahead_ms);
            let (from, to) = Reconciliation::window(now, theirs);
            let addresses: Vec<Address> = self.registered.keys().copied().collect();
            self.acknowledged.begin();
            self.missing = 0;
            let loaded = self
                .service
                .store()
                .read(|reader| Reconciliation::load(reader, &addresses, from, to))?;
            self.reconciling = Some(loaded);
        }
        let Some(reconciling) = &mut self.reconciling else {
            return Ok(());
        };
        if self
            .asked
            .iter()
            .any(|asked| matches!(asked, Asked::Reconcile))
        {
            return Ok(());
        }
        // What has been found so far goes first, so that it is never much.
        if self.fetches.len() >= FOUND || self.lacking.len() >= FOUND {
            return Ok(());
        }
        match reconciling.ask() {
            Ok(Some(reconcile)) => {
                steps.push(Step::Ask(question(reconcile)));
                self.asked.push_back(Asked::Reconcile);
            }
            Ok(None) => {
                self.reconciling = None;
                self.differed = 0;
                // What is pushed arrives; this is only for what was not, and costs both nodes a look at everything.
                self.quiet = if self.found {
                    0
                } else {
                    self.quiet.saturating_add(1)
                };
                self.found = false;
                let wait = RECONCILE_EVERY.saturating_mul(1 << self.quiet.min(10));
                self.reconcile_after(now, wait.min(RECONCILE_LAST));
            }
            Err(error) => {
                tracing::debug!(node = ?self.node, %error, "a reconciliation is given up");
                self.reconciling = None;
                self.reconcile_after(now, RECONCILE_EVERY);
            }
        }
        Ok(())
    }

    fn has_work(&self) -> bool {
        !self.fetches.is_empty() || !self.lacking.is_empty() || !self.offers.is_empty()
    }

    fn reconcile_after(&mut self, now: UnixMillis, wait: Duration) {
        let jitter = jitter(&self.own, &self.node, now, wait);
        self.next_reconciliation = now.after(wait).after(jitter);
    }

    fn reconcile_answered(&mut self, message: &[u8]) {
        let Some(reconciling) = &mut self.reconciling else {
            return;
        };
        if reconciling.answered(message).is_err() {
            self.misbehaved("a reconciliation that does not parse");
            return;
        }
        for id in reconciling.take_have() {
            if self.acknowledged.is_withheld(&id) {
                self.end.get_or_insert(End::Withheld(id));
                return;
            }
            self.lacking.push_back(id);
        }
        let need = reconciling.take_need();
        self.found |= !need.is_empty() || !self.lacking.is_empty();
        self.fetches.extend(need.into_iter().map(|id| (None, id)));
    }

    fn reconcile_refused(&mut self, now: UnixMillis, reason: Reason) {
        match reason {
            Reason::TooLarge => {
                if let Some(reconciling) = &mut self.reconciling {
                    reconciling.narrow();
                }
            }
            Reason::Busy => {
                self.reconciling = None;
                self.reconcile_after(now, BUSY_PAUSE);
            }
            Reason::AddressesDiffer | Reason::NotRegistered => {
                self.reconciling = None;
                self.differed = self.differed.saturating_add(1);
                let wait = if self.differed < 3 {
                    DIFFERENT_PAUSE
                } else {
                    RECONCILE_EVERY
                };
                self.next_reconciliation = now.after(wait);
                // It may have lost some; what it has is leased once more without harm.
                self.registered.clear();
                // Or it has some from before, which this node shares no more.
                self.strays = self.differed > 1;
            }
            _ => {
                self.reconciling = None;
                self.reconcile_after(now, RECONCILE_EVERY);
            }
        }
    }
}

/// Envelopes.
impl Link {
    /// Takes envelopes in, and the ids of those that are too large to ride along.
    fn take(&mut self, batch: &Batch) {
        let Ok(address) = Address::try_from(batch.address.as_ref()) else {
            self.misbehaved("a batch of no address");
            return;
        };
        if !self.registered.contains_key(&address) {
            // It was given up meanwhile.
            return;
        }
        let mut time = UnixMillis::from_millis(batch.base_time_ms);
        for item in &batch.items {
            if item.sealed.is_empty() {
                let Ok(id) = EnvelopeId::try_from(item.id.as_ref()) else {
                    self.misbehaved("an envelope without id");
                    return;
                };
                if self.fetches.len() < FETCHES {
                    self.fetches.push_back((Some(address), id));
                }
            } else {
                let Ok(envelope) = Envelope::from_item(address, time, item) else {
                    self.misbehaved("an envelope that does not parse");
                    return;
                };
                self.arrived.push((address, envelope));
            }
            time = time.offset(item.time_delta_ms);
        }
    }

    fn take_arrived(&mut self) -> Vec<Write> {
        let mut arrived = std::mem::take(&mut self.arrived);
        // Stable, so that each address keeps its order.
        arrived.sort_by_key(|(address, _)| *address);
        let session = Session {
            pseudonym: Pseudonym::from_bytes(*self.node.as_bytes()),
            early: false,
            exporter: None,
            network: None,
        };
        let mut writes = Vec::new();
        let mut rest = arrived.as_slice();
        while let Some((address, _)) = rest.first() {
            let count = rest
                .iter()
                .take(ITEMS)
                .take_while(|(other, _)| other == address)
                .count();
            let (part, others) = rest.split_at(count.max(1));
            rest = others;
            let Some(delegation) = self.registered.get(address) else {
                continue;
            };
            let envelopes: Vec<&Envelope> = part.iter().map(|(_, envelope)| envelope).collect();
            writes.push(Write {
                session,
                peer: true,
                kind: WriteKind::Publish(publish(&delegation.keys, &envelopes)),
            });
        }
        writes
    }

    fn fetch(&mut self, steps: &mut Vec<Step>) -> Result<(), StoreError> {
        while self.asked.len() < ASKED {
            let Some((address, id)) = self.fetches.pop_front() else {
                return Ok(());
            };
            // It may have come from somewhere else meanwhile.
            if self.service.store().read(|reader| reader.is_stored(&id))? {
                continue;
            }
            let fetch = Fetch {
                address: address.map_or_else(Bytes::new, |address| {
                    Bytes::copy_from_slice(address.as_bytes())
                }),
                id: Bytes::copy_from_slice(id.as_bytes()),
            };
            steps.push(Step::Ask(request(request::Kind::Fetch(fetch))));
            self.asked.push_back(Asked::Fetch(address, id));
        }
        Ok(())
    }

    fn publish(&mut self, now: UnixMillis, steps: &mut Vec<Step>) -> Result<(), StoreError> {
        if self.offers.is_empty() {
            self.read_lacking(now)?;
        }
        while self.asked.len() < ASKED {
            let Some((keys, first)) = self.offers.pop_front() else {
                return Ok(());
            };
            let mut bytes = first.sealed().len();
            let mut envelopes = vec![first];
            while let Some((other, next)) = self.offers.front() {
                bytes = bytes.saturating_add(next.sealed().len());
                if other.address != keys.address
                    || envelopes.len() >= ITEMS
                    || bytes > PUBLISH_BYTES
                {
                    break;
                }
                envelopes.extend(self.offers.pop_front().map(|(_, envelope)| envelope));
            }
            let together: Vec<&Envelope> = envelopes.iter().collect();
            let kind = request::Kind::Publish(publish(&keys, &together));
            steps.push(Step::Ask(request(kind)));
            self.asked.push_back(Asked::Publish(keys, envelopes));
        }
        Ok(())
    }

    /// Reads some of what the other node lacks, those of one address together.
    fn read_lacking(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        if self.lacking.is_empty() {
            return Ok(());
        }
        let count = self.lacking.len().min(READ_AT_ONCE);
        let ids: Vec<EnvelopeId> = self.lacking.drain(..count).collect();
        let mut found = self.service.store().read(|reader| {
            let mut found = Vec::with_capacity(ids.len());
            for id in &ids {
                found.extend(reader.envelope_by_id(id, now)?);
            }
            Ok(found)
        })?;
        found.sort_by_key(|(keys, envelope)| (keys.address, envelope.header().time));
        self.offers.extend(found);
        Ok(())
    }
}

fn by_address(leases: Vec<Delegation>) -> BTreeMap<Address, Delegation> {
    leases
        .into_iter()
        .map(|delegation| (delegation.keys.address, delegation))
        .collect()
}

fn lease(delegation: &Delegation) -> Lease {
    Lease {
        blinded_key: Bytes::copy_from_slice(delegation.keys.blinded.as_bytes()),
        access_key: Bytes::copy_from_slice(delegation.keys.access.as_bytes()),
        epoch: first_epoch(delegation.until_s).number(),
        lease_end: delegation.until_s,
        delegation: Bytes::copy_from_slice(&delegation.signature),
        ..Lease::default()
    }
}

/// The first epoch for which a lease may end then: announcements do not say for which they are, and nothing hangs on it.
fn first_epoch(until_s: u64) -> Epoch {
    let longest = EPOCH.as_secs().saturating_add(LIFETIME.as_secs());
    Epoch::new(until_s.saturating_sub(longest).div_ceil(EPOCH.as_secs()))
}

fn publish(keys: &Keys, envelopes: &[&Envelope]) -> Publish {
    let base = envelopes
        .first()
        .map_or(UnixMillis::default(), |envelope| envelope.header().time);
    let mut before = base;
    let mut items = Vec::with_capacity(envelopes.len());
    for envelope in envelopes {
        items.push(envelope.to_item(before));
        before = envelope.header().time;
    }
    Publish {
        blinded_key: Bytes::copy_from_slice(keys.blinded.as_bytes()),
        access_key: Bytes::copy_from_slice(keys.access.as_bytes()),
        base_time_ms: base.as_millis(),
        items,
    }
}

fn question(reconcile: Reconcile) -> Request {
    request(request::Kind::Reconcile(reconcile))
}

fn request(kind: request::Kind) -> Request {
    Request { kind: Some(kind) }
}

/// Time between two reconciliations, besides a quarter at random.
const RECONCILE_EVERY: Duration = Duration::from_secs(600);
/// And at most, when nothing is found again and again.
const RECONCILE_LAST: Duration = Duration::from_secs(6 * 3_600);
/// How long a busy node is left alone.
const BUSY_PAUSE: Duration = Duration::from_secs(30);
/// Before the next try after addresses were registered anew.
const DIFFERENT_PAUSE: Duration = Duration::from_secs(2);
/// How long nothing is asked after a limit was met.
const RATE_PAUSE: Duration = Duration::from_secs(2);
/// Requests under way on one link.
const ASKED: usize = 64;
/// Envelopes of one `Publish`, and their bytes.
const ITEMS: usize = 512;
const PUBLISH_BYTES: usize = 128 << 10;
/// Envelopes of clients that wait to be forwarded, about 1 KB each.
const OFFERS: usize = 8_192;
/// Ids found by one reconciliation before it pauses for them to be exchanged.
const FOUND: usize = 65_536;
/// Ids that wait to be fetched.
const FETCHES: usize = 4 * FOUND;
/// Envelopes read at once to be published.
const READ_AT_ONCE: usize = 1_024;
/// Ids of one reconciliation that the other node may turn out not to have: what expired meanwhile, or was its last lease's.
const MISSING: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_found_for_any_end_of_a_lease() {
        for epoch in [2_800_u64, 2_801] {
            let end = Epoch::new(epoch).lease_end().as_secs();
            assert_eq!(first_epoch(end), Epoch::new(epoch));
            assert_eq!(first_epoch(end - 1), Epoch::new(epoch));
            assert_eq!(first_epoch(end + 1), Epoch::new(epoch + 1));
        }
    }
}
