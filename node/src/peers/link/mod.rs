//! One connection to another node, from the side that dialled: registers, follows, reconciles, forwards.

mod envelopes;
mod leases;
mod reconciliation;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use ailurus::{
    channel::{Address, Envelope, EnvelopeId},
    crypto::NodeKey,
    wire::{
        node::{Hello, Reason, Refusal, Request, Response, Sync, request, response::Kind},
        time::UnixMillis,
    },
};
use bytes::Bytes;

use self::leases::by_address;
use super::Acknowledged;
use crate::{
    service::{Reconciliation, Service, Stored, Write},
    store::{DelegatedKeys, Delegation, StoreError},
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
    /// Turned away, until then.
    refused: HashMap<Address, UnixMillis>,
    /// How often in a row each was turned away.
    refusals: HashMap<Address, u32>,
    following: Following,
    /// How far the other node's clock is ahead, in milliseconds.
    clock_ahead_ms: i64,
    reconciling: Option<Reconciliation>,
    reconciling_since: UnixMillis,
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
    offers: VecDeque<(DelegatedKeys, Envelope)>,
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
    Publish(DelegatedKeys, Vec<Envelope>),
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

impl Step {
    fn ask(kind: request::Kind) -> Self {
        Self::Ask(Request { kind: Some(kind) })
    }

    fn follow(kind: request::Kind) -> Self {
        Self::Follow(Request { kind: Some(kind) })
    }
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
            refused: HashMap::new(),
            refusals: HashMap::new(),
            following: Following::No,
            clock_ahead_ms: 0,
            reconciling: None,
            reconciling_since: now,
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

    /// What is registered at the other node.
    pub(crate) fn registered(&self) -> impl Iterator<Item = &Address> {
        self.registered.keys()
    }

    /// Begins no reconciliation before `time`: what is on its way would be taken for missing.
    pub(crate) fn reconcile_not_before(&mut self, time: UnixMillis) {
        self.next_reconciliation = self.next_reconciliation.max(time);
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
            self.release_all(&mut steps);
        }
        self.change_leases(now, &mut steps);
        if self.following == Following::No && !self.registered.is_empty() && self.asked.is_empty() {
            self.following = Following::Asked;
            steps.push(Step::follow(request::Kind::Sync(Sync {
                cursor: Bytes::new(),
                follow: true,
            })));
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
            let again = self.refused.values().min().copied();
            let next = again.map_or(self.next_reconciliation, |again| {
                again.min(self.next_reconciliation)
            });
            return next.max(self.paused);
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

/// How long nothing is asked after a limit was met.
const RATE_PAUSE: Duration = Duration::from_secs(2);
/// Envelopes of clients that wait to be forwarded, about 1 KB each.
const OFFERS: usize = 8_192;
/// Ids that wait to be fetched.
const FETCHES: usize = 262_144;
/// Ids of one reconciliation that the other node may turn out not to have: what expired meanwhile, or was its last lease's.
const MISSING: u32 = 1_000;
