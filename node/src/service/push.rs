//! Waking clients by push (docs/PROTOCOL.md, section 5.16): what they say of it, and who is to be woken when something came.

use std::{
    collections::HashMap,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ailurus::{
    channel::{Address, PushMessage, VapidKey},
    crypto::Pseudonym,
    wire::{
        node::{Push, PushState, PushTrouble, Pushing, Reason, Response, push, response::Kind},
        time::UnixMillis,
    },
};
use bytes::Bytes;

use super::{Network, Service, Session, commit::answer};
use crate::{
    push::{Body, Challenge, Due, Outcome, Pushes, Rates, Target, TargetError},
    store::{PushRow, PushStage, StoreError},
};

/// In which ways a node pushes.
#[derive(Clone, Copy, Debug)]
pub struct PushOffer {
    /// The key under which it speaks to push services.
    pub vapid_key: VapidKey,
    /// The operator has a gateway for platforms with one token.
    pub gateway: bool,
    /// Endpoints may be on this machine: for tests.
    pub loopback: bool,
    /// Requests to one push service per second, in the long run.
    pub requests_per_second_per_host: u32,
}

/// A push that is to be sent now.
#[derive(Debug)]
pub(crate) struct Delivery {
    due: Due,
    challenge: Challenge,
    pub(crate) target: Target,
    /// What to say.
    pub(crate) message: PushMessage,
}

/// Who waits to be woken. Nobody, where the node does not push.
#[derive(Default)]
pub(super) struct Wakeups {
    node: OnceLock<Node>,
    /// Somebody is woken by push, or was since the start.
    used: AtomicBool,
}

struct Node {
    offer: PushOffer,
    pushes: Mutex<Pushes>,
}

impl Service {
    /// Pushes from now on. What was to be challenged before a restart is challenged again.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn offer_push(&self, offer: PushOffer, now: UnixMillis) -> Result<(), StoreError> {
        let mut pushes = Pushes::new(Rates::per_host(offer.requests_per_second_per_host));
        let (challenged, confirmed) = self.store.read(|reader| {
            let since = now.before(CHALLENGED_BEFORE);
            Ok((
                reader.challenged_since(since, CHALLENGED_AT_ONCE)?,
                reader.count_pushes()?,
            ))
        })?;
        for (client, row) in &challenged {
            pushes.challenge(client, &row.target.host(), now);
        }
        self.wakeups.used.store(confirmed > 0, Ordering::Release);
        self.metrics.set_pushes(confirmed, challenged.len());
        // A second call changes nothing.
        let _ = self.wakeups.node.set(Node {
            offer,
            pushes: Mutex::new(pushes),
        });
        Ok(())
    }

    /// Answers what a client says of push. Reads and writes the database, so it belongs on a thread that may wait.
    pub(crate) fn push(&self, session: &Session, now: UnixMillis, push: &Push) -> Response {
        let client = &session.pseudonym;
        let answered = match &push.kind {
            None => self.push_row(client).map(Ok),
            Some(kind) => self.set_push(client, kind, now),
        };
        match answered {
            Ok(Ok(row)) => {
                if push.kind.is_some() {
                    self.seen.note_visit(client, now);
                }
                self.pushing(row.map_or_else(Stand::default, |row| Stand::of(row.stage)))
            }
            Ok(Err(Refusal::Reason(reason))) => self.refuse(reason, now),
            Ok(Err(Refusal::Target(trouble))) => self.pushing(Stand::dropped(trouble)),
            Err(_) => self.refuse(Reason::Storage, now),
        }
    }

    /// Takes in that something came for addresses: their clients are to be woken, but not those who brought all of it.
    /// Reads the database.
    pub(crate) fn wake(
        &self,
        came: &HashMap<Address, Option<Pseudonym>>,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        if !self.wakes() {
            return Ok(());
        }
        let mut wanted = HashMap::new();
        self.store.read(|reader| {
            for (address, origin) in came {
                reader.pushed_at(address, now, |client, row| {
                    if *origin != Some(client) {
                        wanted.insert(client, row.target.host());
                    }
                })?;
            }
            Ok(())
        })?;
        let Some(node) = self.wakeups.node.get() else {
            return Ok(());
        };
        let mut left_out = 0;
        {
            let mut pushes = node.lock();
            for (client, host) in &wanted {
                left_out += u64::from(!pushes.wanted(client, host, now));
            }
        }
        self.metrics.wakeups_left_out.inc_by(left_out);
        Ok(())
    }

    /// Whether somebody may have to be woken when something comes.
    pub(crate) fn wakes(&self) -> bool {
        self.wakeups.used.load(Ordering::Acquire)
    }

    /// A client has asked for what is new, in whatever way: it need not be woken for what came before.
    pub(crate) fn polled(&self, client: &Pseudonym, now: UnixMillis) {
        if let Some(node) = self.wakeups.node.get()
            && self.wakes()
        {
            node.lock().polled(client, now);
        }
    }

    /// A client follows no more; `lost` if its connection just fell silent.
    pub(crate) fn left(&self, client: &Pseudonym, lost: bool, now: UnixMillis) {
        if let Some(node) = self.wakeups.node.get()
            && self.wakes()
        {
            node.lock().left(client, lost, now);
        }
    }

    /// Whom to push to now. Whoever `follows` is told there. Reads the database.
    ///
    /// # Errors
    /// If it cannot be read; those who were due are woken when something comes the next time.
    pub(crate) fn deliveries(
        &self,
        now: UnixMillis,
        follows: impl Fn(&Pseudonym) -> bool,
    ) -> Result<Vec<Delivery>, StoreError> {
        let Some(node) = self.wakeups.node.get() else {
            return Ok(Vec::new());
        };
        let due = node.lock().due(now, follows);
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let mut deliveries = Vec::with_capacity(due.len());
        let mut failure = None;
        for due in due {
            let row = match self.push_row(&due.client) {
                Ok(row) => row,
                Err(error) => {
                    failure = Some(error);
                    None
                }
            };
            let stands = row.filter(|row| {
                row.stage
                    == match due.body {
                        Body::Wakeup => PushStage::Confirmed,
                        Body::Challenge => PushStage::Challenged,
                    }
            });
            let Some(row) = stands else {
                node.lock().done(&due, Outcome::Withdrawn, now);
                continue;
            };
            let message = match due.body {
                Body::Wakeup => PushMessage::Wakeup,
                Body::Challenge => PushMessage::Challenge {
                    node: self.node,
                    challenge: row.challenge,
                },
            };
            deliveries.push(Delivery {
                due,
                challenge: row.challenge,
                target: row.target,
                message,
            });
        }
        match failure {
            Some(error) if deliveries.is_empty() => Err(error),
            _ => Ok(deliveries),
        }
    }

    /// Takes in how a push went. Writes the database where an endpoint is of no more use.
    pub(crate) fn delivered(&self, delivery: &Delivery, outcome: Outcome, now: UnixMillis) {
        let Some(node) = self.wakeups.node.get() else {
            return;
        };
        self.metrics.count_push(outcome);
        let trouble = node.lock().done(&delivery.due, outcome, now);
        if let Some(trouble) = trouble {
            let (client, challenge) = (&delivery.due.client, &delivery.challenge);
            let dropped = self
                .store
                .write(|writer| writer.drop_push_at(client, challenge, trouble, now));
            if let Err(error) = dropped {
                tracing::warn!(%error, "a push endpoint that is of no more use stays for now");
            }
        }
    }

    /// Whether a connection may be made into a network now; else how long to wait.
    pub(crate) fn may_connect(&self, network: Network, now: UnixMillis) -> Result<(), Duration> {
        match self.wakeups.node.get() {
            Some(node) => node.lock().may_connect(network, now),
            None => Ok(()),
        }
    }

    /// How long there is nothing to push, unless something comes; `None` if for ever.
    pub(crate) fn push_wait(&self, now: UnixMillis) -> Option<Duration> {
        self.wakeups.node.get()?.lock().wait(now)
    }

    /// Counts for the metrics.
    pub(super) fn note_pushes(&self) {
        let Some(node) = self.wakeups.node.get() else {
            return;
        };
        let waiting = node.lock().waiting();
        if let Ok(confirmed) = self.store.read(|reader| reader.count_pushes()) {
            self.metrics.set_pushes(confirmed, waiting);
        }
    }

    fn set_push(
        &self,
        client: &Pseudonym,
        kind: &push::Kind,
        now: UnixMillis,
    ) -> Result<Result<Option<PushRow>, Refusal>, StoreError> {
        let Some(node) = self.wakeups.node.get() else {
            return Ok(Err(Refusal::Target(PushTrouble::Refused)));
        };
        let parsed = match kind {
            push::Kind::Withdrawal(_) => {
                self.store.write(|writer| writer.withdraw_push(client))?;
                node.lock().withdrawn(client);
                return Ok(Ok(None));
            }
            push::Kind::Challenge(challenge) => return self.confirm_push(client, challenge),
            push::Kind::Gateway(_) if !node.offer.gateway => {
                return Ok(Err(Refusal::Target(PushTrouble::Refused)));
            }
            push::Kind::Gateway(said) => Target::gateway(said),
            push::Kind::WebPush(said) => Target::web_push(said, node.offer.loopback),
        };
        let target = match parsed {
            Ok(target) => target,
            Err(TargetError::Malformed) => return Ok(Err(Refusal::Reason(Reason::Malformed))),
            Err(TargetError::NotPublic) => {
                return Ok(Err(Refusal::Target(PushTrouble::NotPublic)));
            }
        };
        let known = self.push_row(client)?.filter(|row| row.target == target);
        if let Some(row) = known {
            let age = now.since(row.since);
            let stands = match row.stage {
                PushStage::Confirmed => true,
                PushStage::Challenged => age < CHALLENGED_BEFORE,
                PushStage::Dropped(_) => age < DROPPED_FOR,
            };
            if stands && row.since <= now {
                return Ok(Ok(Some(row)));
            }
        }
        if !node.lock().may_challenge(client, now) {
            return Ok(Err(Refusal::Reason(Reason::RateLimited)));
        }
        if !self
            .store
            .write(|writer| writer.set_push(client, &target, now))?
        {
            return Ok(Err(Refusal::Reason(Reason::NotRegistered)));
        }
        node.lock().challenge(client, &target.host(), now);
        Ok(Ok(self.push_row(client)?))
    }

    fn confirm_push(
        &self,
        client: &Pseudonym,
        challenge: &Bytes,
    ) -> Result<Result<Option<PushRow>, Refusal>, StoreError> {
        let Ok(challenge) = Challenge::try_from(challenge.as_ref()) else {
            return Ok(Err(Refusal::Reason(Reason::Malformed)));
        };
        // Before it is there, so that nothing that comes after is missed.
        self.wakeups.used.store(true, Ordering::Release);
        let confirmed = self
            .store
            .write(|writer| writer.confirm_push(client, &challenge))?;
        if confirmed && let Some(node) = self.wakeups.node.get() {
            node.lock().confirmed(client);
        }
        Ok(Ok(self.push_row(client)?))
    }

    fn push_row(&self, client: &Pseudonym) -> Result<Option<PushRow>, StoreError> {
        self.store.read(|reader| reader.push(client))
    }

    fn pushing(&self, stand: Stand) -> Response {
        let offer = self.wakeups.node.get().map(|node| node.offer);
        answer(Kind::Pushing(Pushing {
            state: stand.state.into(),
            trouble: stand.trouble.into(),
            vapid_key: offer.map_or_else(Bytes::new, |offer| {
                Bytes::copy_from_slice(offer.vapid_key.as_bytes())
            }),
            gateway: offer.is_some_and(|offer| offer.gateway),
        }))
    }
}

impl Node {
    fn lock(&self) -> std::sync::MutexGuard<'_, Pushes> {
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why what a client said is not taken.
enum Refusal {
    Reason(Reason),
    Target(PushTrouble),
}

/// What a client is told.
struct Stand {
    state: PushState,
    trouble: PushTrouble,
}

impl Default for Stand {
    fn default() -> Self {
        Self {
            state: PushState::None,
            trouble: PushTrouble::None,
        }
    }
}

impl Stand {
    fn of(stage: PushStage) -> Self {
        let state = match stage {
            PushStage::Challenged => PushState::Challenged,
            PushStage::Confirmed => PushState::Confirmed,
            PushStage::Dropped(trouble) => return Self::dropped(trouble),
        };
        Self {
            state,
            trouble: PushTrouble::None,
        }
    }

    fn dropped(trouble: PushTrouble) -> Self {
        Self {
            state: PushState::Dropped,
            trouble,
        }
    }
}

/// A challenge that was not answered for so long is repeated when the client asks for it, and not after a restart.
const CHALLENGED_BEFORE: Duration = Duration::from_secs(600);
/// Challenges that are repeated after a restart.
const CHALLENGED_AT_ONCE: usize = 10_000;
/// How long an endpoint that was dropped is not tried again.
const DROPPED_FOR: Duration = Duration::from_secs(20 * 3_600);
