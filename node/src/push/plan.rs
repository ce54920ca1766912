//! Whom to wake, and when: at most one wake-up until the client has polled, and no more than its push service can take.

use std::{
    collections::{BTreeSet, HashMap, VecDeque, hash_map::Entry},
    time::Duration,
};

use ailurus::{
    crypto::Pseudonym,
    wire::{node::PushTrouble, time::UnixMillis},
};

use super::{
    Host,
    host::{Service, Turn},
    outcome::{Body, Due, Outcome},
    rates::{Bucket, Rates},
    steady::{Steady, back_off},
};
use crate::service::Network;

/// All clients that are to be woken or challenged, or were lately.
pub(crate) struct Pushes {
    rates: Rates,
    steady: Steady,
    clients: HashMap<Pseudonym, Client>,
    /// When a client's stage ends.
    timers: BTreeSet<(Duration, Pseudonym)>,
    services: HashMap<Host, Service>,
    /// Services that may be sent something now, in turn.
    active: VecDeque<Host>,
    /// Services that are to be looked at later.
    later: BTreeSet<(Duration, Host)>,
    networks: HashMap<Network, Bucket>,
    /// When clients had themselves challenged.
    challenged: HashMap<Pseudonym, Duration>,
    sending: usize,
    challenging: usize,
    serial: u64,
    /// When it was last looked what of the tables above can be forgotten, which takes long.
    pruned: Duration,
}

/// A client that is to be woken, or was.
struct Client {
    host: Host,
    serial: u64,
    stage: Stage,
    timer: Option<Duration>,
    /// The last wake-up, and how many came in a row.
    woken: Option<(Duration, u32)>,
    /// Wake-ups since it polled last.
    unanswered: u32,
    /// Failures of this push.
    tries: u32,
    /// Wake-ups in a row that failed for good.
    given_up: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing to say. Forgotten after a while.
    Resting,
    /// To be queued when its time comes.
    Waiting(Body),
    /// In the queue of its push service.
    Queued(Body),
    /// On its way. `polled`: the client was here meanwhile; `again`: and something came after that.
    Sending {
        body: Body,
        polled: bool,
        again: bool,
    },
    /// Woken, and did not poll yet.
    Outstanding,
    /// It follows, so it has everything unless its connection turns out to be lost.
    Following,
}

impl Pushes {
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            rates,
            steady: Steady::default(),
            clients: HashMap::new(),
            timers: BTreeSet::new(),
            services: HashMap::new(),
            active: VecDeque::new(),
            later: BTreeSet::new(),
            networks: HashMap::new(),
            challenged: HashMap::new(),
            sending: 0,
            challenging: 0,
            serial: 0,
            pruned: Duration::ZERO,
        }
    }

    /// There is something new for a client that is woken at `host`. False if too many wait already.
    pub(crate) fn wanted(&mut self, client: &Pseudonym, host: &Host, now: UnixMillis) -> bool {
        let now = self.steady.advance(now);
        if let Some(known) = self.clients.get_mut(client) {
            match &mut known.stage {
                Stage::Resting => {
                    let at = known.quiet_until().max(now + GATHER);
                    known.host = host.clone();
                    known.tries = 0;
                    self.enter(client, Stage::Waiting(Body::Wakeup), Some(at));
                }
                Stage::Following => {
                    self.enter(client, Stage::Following, Some(now + NOTICED_LOST));
                }
                Stage::Sending {
                    body,
                    polled,
                    again,
                } => *again |= *polled && *body == Body::Wakeup,
                Stage::Waiting(_) | Stage::Queued(_) | Stage::Outstanding => {}
            }
            return true;
        }
        if !self.add(client, host) {
            return false;
        }
        self.enter(client, Stage::Waiting(Body::Wakeup), Some(now + GATHER));
        true
    }

    /// Whether a client may have itself challenged again; notes that it does.
    pub(crate) fn may_challenge(&mut self, client: &Pseudonym, now: UnixMillis) -> bool {
        let now = self.steady.advance(now);
        if self.challenged.len() >= CLIENTS {
            self.prune(now);
        }
        let full = self.challenged.len() >= CLIENTS;
        match self.challenged.entry(*client) {
            Entry::Occupied(entry) if *entry.get() + CHALLENGED_AGAIN > now => false,
            Entry::Occupied(mut entry) => {
                entry.insert(now);
                true
            }
            Entry::Vacant(_) if full => false,
            Entry::Vacant(entry) => {
                entry.insert(now);
                true
            }
        }
    }

    /// A client has set where it is to be woken, so it is challenged there.
    pub(crate) fn challenge(&mut self, client: &Pseudonym, host: &Host, now: UnixMillis) {
        let now = self.steady.advance(now);
        self.forget(client);
        if self.add(client, host) {
            self.enter(client, Stage::Waiting(Body::Challenge), Some(now));
        }
    }

    /// A client has brought its challenge back, however far that seemed to have come.
    pub(crate) fn confirmed(&mut self, client: &Pseudonym) {
        let challenged = self.clients.get(client).is_some_and(|known| {
            matches!(
                known.stage,
                Stage::Waiting(Body::Challenge)
                    | Stage::Queued(Body::Challenge)
                    | Stage::Sending {
                        body: Body::Challenge,
                        ..
                    }
            )
        });
        if challenged {
            self.forget(client);
        }
    }

    /// A client does not want to be woken any more, or elsewhere.
    pub(crate) fn withdrawn(&mut self, client: &Pseudonym) {
        self.forget(client);
    }

    /// A client has asked for what is new.
    pub(crate) fn polled(&mut self, client: &Pseudonym, now: UnixMillis) {
        let now = self.steady.advance(now);
        let Some(known) = self.clients.get_mut(client) else {
            return;
        };
        known.unanswered = 0;
        match &mut known.stage {
            Stage::Sending { polled, again, .. } => {
                *polled = true;
                *again = false;
            }
            Stage::Waiting(Body::Wakeup) | Stage::Queued(Body::Wakeup) | Stage::Outstanding => {
                self.enter(client, Stage::Resting, Some(now + REMEMBERED));
            }
            _ => {}
        }
    }

    /// A client follows no more; `lost` if it did not say so, and may have missed what was pushed to it last.
    pub(crate) fn left(&mut self, client: &Pseudonym, lost: bool, now: UnixMillis) {
        let now = self.steady.advance(now);
        if self
            .clients
            .get(client)
            .is_none_or(|known| known.stage != Stage::Following)
        {
            return;
        }
        if lost {
            self.enter(client, Stage::Waiting(Body::Wakeup), Some(now));
        } else {
            self.enter(client, Stage::Resting, Some(now + REMEMBERED));
        }
    }

    /// What is to be sent now. Whoever `follows` is told there.
    pub(crate) fn due(
        &mut self,
        now: UnixMillis,
        follows: impl Fn(&Pseudonym) -> bool,
    ) -> Vec<Due> {
        let now = self.steady.advance(now);
        self.pass_time(now, follows);
        while let Some((at, host)) = self.later.pop_first() {
            if at > now {
                self.later.insert((at, host));
                break;
            }
            self.active.push_back(host);
        }
        let mut due = Vec::new();
        while self.sending < AT_ONCE
            && let Some(host) = self.active.pop_front()
        {
            let Some(service) = self.services.get_mut(&host) else {
                continue;
            };
            let clients = &self.clients;
            let may_challenge = self.challenging < CHALLENGES_AT_ONCE;
            let turn = service.turn(&self.rates, now, may_challenge, |(client, serial), body| {
                clients.get(client).is_some_and(|known| {
                    known.serial == *serial && known.stage == Stage::Queued(body)
                })
            });
            match turn {
                Turn::Send((client, serial), body) => {
                    self.active.push_back(host.clone());
                    self.sending += 1;
                    self.challenging += usize::from(body == Body::Challenge);
                    let stage = Stage::Sending {
                        body,
                        polled: false,
                        again: false,
                    };
                    self.enter(&client, stage, None);
                    due.push(Due {
                        client,
                        body,
                        host,
                        serial,
                    });
                }
                Turn::Empty | Turn::Full => service.listed = false,
                Turn::Later(at) => {
                    self.later.insert((at, host));
                }
            }
        }
        due
    }

    /// How long there is nothing to send unless something comes; `None` if for ever.
    pub(crate) fn wait(&mut self, now: UnixMillis) -> Option<Duration> {
        let now = self.steady.advance(now);
        let timer = self.timers.first().map(|(at, _)| *at);
        // Whoever is done makes room, and asks again.
        let services = (self.sending < AT_ONCE).then(|| {
            let active = self.active.front().map(|_| now);
            active.or_else(|| self.later.first().map(|(at, _)| *at))
        });
        let next = timer.into_iter().chain(services.flatten()).min()?;
        Some(next.saturating_sub(now))
    }

    /// How a push went. Returns why the client's endpoint is of no more use, if so.
    pub(crate) fn done(
        &mut self,
        due: &Due,
        outcome: Outcome,
        now: UnixMillis,
    ) -> Option<PushTrouble> {
        let now = self.steady.advance(now);
        self.sending = self.sending.saturating_sub(1);
        if due.body == Body::Challenge {
            self.challenging = self.challenging.saturating_sub(1);
        }
        self.note_service(&due.host, outcome, now);
        let known = self.clients.get_mut(&due.client)?;
        let Stage::Sending {
            body,
            polled,
            again,
        } = known.stage
        else {
            return None;
        };
        if known.serial != due.serial {
            return None;
        }
        match outcome {
            Outcome::Withdrawn => {
                self.forget(&due.client);
                None
            }
            Outcome::Gone => self.drop(&due.client, PushTrouble::Gone),
            Outcome::Delivered if body == Body::Challenge => {
                self.forget(&due.client);
                None
            }
            Outcome::Delivered => {
                known.given_up = 0;
                known.note_woken(now);
                let (stage, at) = if again {
                    (Stage::Waiting(Body::Wakeup), known.quiet_until())
                } else if polled {
                    (Stage::Resting, now + REMEMBERED)
                } else {
                    known.unanswered = known.unanswered.saturating_add(1);
                    let wait = back_off(FIRST_LAPSE, known.unanswered - 1, LONGEST_LAPSE);
                    (Stage::Outstanding, now + wait)
                };
                self.enter(&due.client, stage, Some(at));
                None
            }
            Outcome::Wait(_) if polled && !again => {
                self.enter(&due.client, Stage::Resting, Some(now + REMEMBERED));
                None
            }
            Outcome::Wait(after) => {
                self.enter(&due.client, Stage::Waiting(body), Some(now + after));
                None
            }
            Outcome::Later(after) => {
                known.tries = known.tries.saturating_add(1);
                if known.tries >= TRIES {
                    return self.give_up(due, PushTrouble::Unreachable, now);
                }
                if polled && !again {
                    self.enter(&due.client, Stage::Resting, Some(now + REMEMBERED));
                    return None;
                }
                let wait = back_off(FIRST_RETRY, known.tries - 1, LONGEST_RETRY);
                let wait = wait.max(after.min(LONGEST_RETRY));
                self.enter(&due.client, Stage::Waiting(body), Some(now + wait));
                None
            }
            Outcome::Refused => self.give_up(due, PushTrouble::Refused, now),
            Outcome::NotPublic => self.give_up(due, PushTrouble::NotPublic, now),
        }
    }

    /// Whether a connection may be made into a network now: other names lead there too.
    pub(crate) fn may_connect(
        &mut self,
        network: Network,
        now: UnixMillis,
    ) -> Result<(), Duration> {
        let now = self.steady.advance(now);
        let rate = self.rates.network();
        if self.networks.len() >= NETWORKS && !self.networks.contains_key(&network) {
            self.prune(now);
            if self.networks.len() >= NETWORKS {
                return Err(FIRST_RETRY);
            }
        }
        let bucket = self.networks.entry(network);
        let bucket = bucket.or_insert_with(|| Bucket::full(rate, now));
        bucket.take(rate, now).map_err(|later| later - now)
    }

    /// Clients that wait for a push to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.timers.len()
    }

    fn pass_time(&mut self, now: Duration, follows: impl Fn(&Pseudonym) -> bool) {
        while let Some((at, client)) = self.timers.first().copied() {
            if at > now {
                return;
            }
            let Some(known) = self.clients.get(&client) else {
                self.timers.pop_first();
                continue;
            };
            match known.stage {
                Stage::Waiting(Body::Wakeup) if follows(&client) => {
                    self.enter(&client, Stage::Following, Some(now + NOTICED_LOST));
                }
                Stage::Waiting(body) => self.queue(&client, body, now),
                // Lost on the way, or the phone is off: the next message wakes it again.
                Stage::Outstanding => {
                    self.enter(&client, Stage::Resting, Some(now + LONGEST_LAPSE));
                }
                Stage::Following => {
                    self.enter(&client, Stage::Resting, Some(now + REMEMBERED));
                }
                Stage::Resting | Stage::Queued(_) | Stage::Sending { .. } => self.forget(&client),
            }
        }
    }

    fn queue(&mut self, client: &Pseudonym, body: Body, now: Duration) {
        let Some((host, serial)) = self
            .clients
            .get(client)
            .map(|known| (known.host.clone(), known.serial))
        else {
            return;
        };
        if self.services.len() >= SERVICES && !self.services.contains_key(&host) {
            self.prune(now);
            if self.services.len() >= SERVICES {
                self.enter(client, Stage::Waiting(body), Some(now + LONGEST_RETRY));
                return;
            }
        }
        let service = self.services.entry(host.clone());
        let service = service.or_insert_with(|| Service::new(&self.rates, now));
        service.queue((*client, serial), body);
        if !service.listed {
            service.listed = true;
            self.active.push_back(host);
        }
        self.enter(client, Stage::Queued(body), None);
    }

    /// Forgets what says nothing any more; at most once a second, as it looks at everything.
    fn prune(&mut self, now: Duration) {
        if now < self.pruned + PRUNED_AGAIN {
            return;
        }
        self.pruned = now;
        let rates = self.rates;
        self.services
            .retain(|_, service| !service.is_idle(&rates, now));
        self.networks
            .retain(|_, bucket| !bucket.is_full(rates.network(), now));
        self.challenged.retain(|_, at| *at + CHALLENGED_AGAIN > now);
    }

    fn note_service(&mut self, host: &Host, outcome: Outcome, now: Duration) {
        let Some(service) = self.services.get_mut(host) else {
            return;
        };
        service.sending = service.sending.saturating_sub(1);
        match outcome {
            Outcome::Delivered | Outcome::Gone => service.succeeded(),
            Outcome::Later(after) => service.failed(now, after),
            Outcome::Refused | Outcome::NotPublic => service.failed(now, Duration::ZERO),
            Outcome::Wait(_) | Outcome::Withdrawn => {}
        }
        if !service.listed && service.is_waited_for() {
            service.listed = true;
            self.active.push_back(host.clone());
        }
    }

    /// This push has failed for good. A challenge ends with it; an endpoint that worked before is given more chances.
    fn give_up(&mut self, due: &Due, trouble: PushTrouble, now: Duration) -> Option<PushTrouble> {
        let known = self.clients.get_mut(&due.client)?;
        known.given_up = known.given_up.saturating_add(1);
        if due.body == Body::Challenge || known.given_up >= GIVEN_UP {
            return self.drop(&due.client, trouble);
        }
        // As if it had been sent, so that the next message does not try at once again.
        known.note_woken(now);
        self.enter(&due.client, Stage::Resting, Some(now + LONGEST_LAPSE));
        None
    }

    fn drop(&mut self, client: &Pseudonym, trouble: PushTrouble) -> Option<PushTrouble> {
        self.forget(client);
        Some(trouble)
    }

    fn add(&mut self, client: &Pseudonym, host: &Host) -> bool {
        if self.clients.len() >= CLIENTS && !self.make_room() {
            return false;
        }
        self.serial = self.serial.wrapping_add(1);
        let new = Client {
            host: host.clone(),
            serial: self.serial,
            stage: Stage::Resting,
            timer: None,
            woken: None,
            unanswered: 0,
            tries: 0,
            given_up: 0,
        };
        self.clients.insert(*client, new);
        true
    }

    /// Forgets somebody who is not to be woken before anybody else; at worst they are woken once more.
    fn make_room(&mut self) -> bool {
        let Some((_, last)) = self.timers.last().copied() else {
            return false;
        };
        let stage = self.clients.get(&last).map(|known| known.stage);
        let spare = matches!(stage, Some(Stage::Resting | Stage::Outstanding));
        if spare {
            self.forget(&last);
        }
        spare
    }

    fn enter(&mut self, client: &Pseudonym, stage: Stage, timer: Option<Duration>) {
        let Some(known) = self.clients.get_mut(client) else {
            return;
        };
        if let Some(before) = known.timer.take() {
            self.timers.remove(&(before, *client));
        }
        known.stage = stage;
        known.timer = timer;
        self.timers.extend(timer.map(|at| (at, *client)));
    }

    fn forget(&mut self, client: &Pseudonym) {
        let known = self.clients.remove(client);
        if let Some(timer) = known.and_then(|known| known.timer) {
            self.timers.remove(&(timer, *client));
        }
    }
}

impl Client {
    /// No wake-up before this.
    fn quiet_until(&self) -> Duration {
        self.woken.map_or(Duration::ZERO, |(at, row)| {
            at + back_off(FIRST_QUIET, row.saturating_sub(1), LONGEST_QUIET)
        })
    }

    fn note_woken(&mut self, now: Duration) {
        let row = match self.woken {
            Some((at, row)) if now.saturating_sub(at) < REMEMBERED => row.saturating_add(1),
            _ => 1,
        };
        self.woken = Some((now, row));
    }
}

/// What comes within this time shares a wake-up.
const GATHER: Duration = Duration::from_millis(300);
/// Between two wake-ups of a client that polls at each: at first, and in a lively conversation.
const FIRST_QUIET: Duration = Duration::from_secs(5);
const LONGEST_QUIET: Duration = Duration::from_secs(300);
/// How long wake-ups count as being in a row, and a client at rest is remembered.
const REMEMBERED: Duration = Duration::from_secs(900);
/// How long a wake-up without a poll holds up the next one.
const FIRST_LAPSE: Duration = Duration::from_secs(3_600);
const LONGEST_LAPSE: Duration = Duration::from_secs(24 * 3_600);
/// Until it shows that the connection of a follower is lost.
const NOTICED_LOST: Duration = Duration::from_secs(60);
/// A push that failed is tried again after this, then after twice as long, and so often in all.
const FIRST_RETRY: Duration = Duration::from_secs(10);
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);
const TRIES: u32 = 8;
/// Wake-ups in a row that fail for good before an endpoint is dropped.
const GIVEN_UP: u32 = 5;
/// A client may have itself challenged so often.
const CHALLENGED_AGAIN: Duration = Duration::from_secs(60);
/// Requests at once to all services, and of these challenges.
const AT_ONCE: usize = 64;
const CHALLENGES_AT_ONCE: usize = 16;
const PRUNED_AGAIN: Duration = Duration::from_secs(1);
/// Clients that are woken, wait or are remembered, about 300 bytes each.
const CLIENTS: usize = 131_072;
/// Push services, about 300 bytes each.
const SERVICES: usize = 16_384;
/// Networks that were connected to lately, about 40 bytes each.
const NETWORKS: usize = 65_536;

#[cfg(test)]
mod tests;
