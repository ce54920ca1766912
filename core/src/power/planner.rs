//! The planner: from what the platform tells and what is due to one plan.

use std::time::Duration;

use crate::wire::time::UnixMillis;

use super::due::{Due, Dues, Needs, Task};
use super::habits::{HOURS, Habits, allot, run};
use super::pushes::Pushes;
use super::tempo::{KEEP_ALIVE, LOW, RECOVERED, Stretch, Tempo};
use super::{
    AppState, NetworkKind, NetworkState, Plan, PowerState, Preference, Wakeup, WakeupReason,
};

/// Turns what the platform tells into a plan.
///
/// Times are by the client's clock, which may be set at any moment: if it goes back, all times here go with it, so that
/// nothing is delayed; if it leaps ahead, everything is due at once, and once.
#[derive(Clone, Debug)]
pub struct Power {
    power: PowerState,
    network: NetworkState,
    app: AppState,
    preference: Preference,
    habits: Habits,
    /// Wake-ups an hour that follow from both.
    rates: [f64; HOURS],
    push: bool,
    dues: Dues,
    pushes: Pushes,
    /// The battery is low, until it has clearly recovered.
    low: bool,
    /// Since when there is power from outside and a network that costs nothing.
    plentiful: Option<UnixMillis>,
    /// Live connections that have caught up.
    connections: usize,
    /// The last attempt, or when a live connection was heard last.
    asked: UnixMillis,
    /// The last attempt.
    ran: Option<UnixMillis>,
    /// Wake-ups that conversations may still take, as of the last attempt.
    allowance: f64,
    /// Something new came with the last attempt, and the next one may be sooner.
    lively: bool,
    /// The latest time that was told.
    seen: UnixMillis,
}

/// What a profile keeps of its plan: phones end the process after each wake-up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The user's preference.
    pub preference: Preference,
    /// When messages come.
    pub habits: Habits,
    /// The last attempt, by the client's clock.
    pub asked: Option<UnixMillis>,
}

impl Power {
    /// Begins in the background; the first wake-up is counted from `now`.
    pub fn new(now: UnixMillis) -> Self {
        Self {
            power: PowerState::default(),
            network: NetworkState::default(),
            app: AppState::default(),
            preference: Preference::default(),
            habits: Habits::default(),
            rates: lay_out(Preference::default(), &Habits::default()),
            push: false,
            dues: Dues::default(),
            pushes: Pushes::new(now),
            low: false,
            plentiful: None,
            connections: 0,
            asked: now,
            ran: None,
            allowance: Tempo::of(Preference::default()).lively / 4.0,
            lively: false,
            seen: now,
        }
    }

    /// Goes on from what was kept. An attempt "later than now" is from before the clock was set back.
    #[must_use]
    pub fn with_memory(memory: Memory, now: UnixMillis) -> Self {
        let mut power = Self::new(now).with_habits(memory.habits);
        power.set_preference(memory.preference);
        power.asked = memory.asked.map_or(now, |asked| asked.min(now));
        power
    }

    /// With what was learned of when messages come.
    #[must_use]
    pub fn with_habits(mut self, habits: Habits) -> Self {
        self.habits = habits;
        self.rates = lay_out(self.preference, &self.habits);
        self
    }

    /// What to keep for the next process.
    pub fn memory(&self) -> Memory {
        Memory {
            preference: self.preference,
            habits: self.habits.clone(),
            asked: Some(self.asked),
        }
    }

    /// What the user prefers.
    pub fn preference(&self) -> Preference {
        self.preference
    }

    /// Takes in what the user prefers; returns whether it is something else.
    pub fn set_preference(&mut self, preference: Preference) -> bool {
        let changed = std::mem::replace(&mut self.preference, preference) != preference;
        self.rates = lay_out(preference, &self.habits);
        changed
    }

    /// Takes in the battery's state; returns whether it is another one.
    pub fn set_power(&mut self, state: PowerState, now: UnixMillis) -> bool {
        self.tick(now);
        self.low = match state.battery_percent {
            _ if state.charging => false,
            Some(percent) if percent < LOW => true,
            Some(percent) if percent >= RECOVERED => false,
            // In between, and not known: as before.
            _ => self.low,
        };
        let changed = std::mem::replace(&mut self.power, state) != state;
        self.look_for_plenty(now);
        changed
    }

    /// Takes in the network's state; returns whether it is another one.
    pub fn set_network(&mut self, state: NetworkState, now: UnixMillis) -> bool {
        self.tick(now);
        let changed = std::mem::replace(&mut self.network, state) != state;
        self.look_for_plenty(now);
        changed
    }

    /// Takes in whether the app is on the screen from `now` on; returns whether that is new.
    pub fn set_app_state(&mut self, state: AppState, now: UnixMillis) -> bool {
        self.tick(now);
        std::mem::replace(&mut self.app, state) != state
    }

    /// Takes in whether a push endpoint stands that tells of what is new; returns whether that changed. Then wake-ups
    /// are hours apart, for pushes that got lost.
    pub fn set_push(&mut self, available: bool) -> bool {
        std::mem::replace(&mut self.push, available) != available
    }

    /// What the phone is connected by.
    pub fn network(&self) -> NetworkState {
        self.network
    }

    /// There is a network, as far as is known.
    pub fn is_online(&self) -> bool {
        self.network.kind != NetworkKind::Offline
    }

    /// Whether what a task waits for is there now.
    pub fn meets(&self, needs: Needs) -> bool {
        let unmetered = self.is_unmetered();
        match needs {
            Needs::Any => true,
            Needs::Unmetered => unmetered,
            Needs::UnmeteredAndCharging => unmetered && self.power.charging,
        }
    }

    /// Registers when something is due; `None`: nothing is. Each reason has one time, and the last one holds. What is
    /// registered again unchanged and was tried in vain is tried later each time.
    pub fn set_due(&mut self, reason: WakeupReason, due: Option<Due>, now: UnixMillis) {
        self.tick(now);
        self.dues.set(reason, due);
    }

    /// A push came. True if there is to be an attempt now; else the plan says when.
    pub fn pushed(&mut self, now: UnixMillis) -> bool {
        self.tick(now);
        if !self.is_online() {
            // Odd, but then something is new.
            self.note_push(now);
            return false;
        }
        if self.next_push() <= now {
            self.pushes.spend(now);
            self.dues.set(WakeupReason::Push, None);
            return true;
        }
        self.note_push(now);
        false
    }

    /// An attempt to reach a node begins at `now`, whatever comes of it.
    pub fn attempted(&mut self, now: UnixMillis) {
        self.tick(now);
        let tempo = Tempo::of(self.preference);
        let passed = now.since(self.asked).as_secs_f64();
        // What was sooner than planned is paid for.
        let usual = self.next_poll(1.0).since(self.asked).as_secs_f64();
        if self.lively && passed < usual {
            self.allowance -= 1.0 - passed / usual;
        }
        let day = 24.0 * 3_600.0;
        let most = tempo.lively / 2.0;
        self.allowance = (self.allowance + passed / day * tempo.lively).clamp(0.0, most);
        self.lively = false;
        if self
            .dues
            .iter()
            .any(|(reason, task)| reason == WakeupReason::Push && task.due.from <= now)
        {
            self.pushes.spend(now);
            self.dues.set(WakeupReason::Push, None);
        }
        self.asked = now;
        self.ran = Some(now);
        let carries = self.carries(now);
        self.dues.attempted(&carries, now);
    }

    /// Live connections did at `now` what was due besides.
    pub fn ran_errands(&mut self, now: UnixMillis) {
        self.tick(now);
        self.ran = Some(now);
        let carries = self.carries(now);
        self.dues.attempted(&carries, now);
    }

    /// A node answered at `now`.
    pub fn synced(&mut self, now: UnixMillis) {
        self.tick(now);
        self.asked = now;
    }

    /// A message of somebody else came at `now`, sent at `time`.
    pub fn received(&mut self, time: UnixMillis, now: UnixMillis) {
        self.tick(now);
        let time = time.min(now);
        self.habits.received(time, now);
        self.rates = lay_out(self.preference, &self.habits);
        self.pushes.was_useful();
        if now.since(time) <= LIVELY && self.allowance >= SOONER {
            self.lively = true;
        }
    }

    /// Notes that a live connection has caught up at `now`.
    pub fn connected(&mut self, now: UnixMillis) {
        self.tick(now);
        self.connections = self.connections.saturating_add(1);
        self.asked = now;
    }

    /// Notes that a live connection that had caught up is gone at `now`.
    pub fn disconnected(&mut self, now: UnixMillis) {
        self.tick(now);
        self.connections = self.connections.saturating_sub(1);
        self.asked = now;
    }

    /// What to do, seen from `now`.
    pub fn plan(&mut self, now: UnixMillis) -> Plan {
        self.tick(now);
        let online = self.is_online();
        let live = online && self.app == AppState::Foreground;
        let wakeup = match (online, live) {
            (false, _) => None,
            (true, true) => self.errand(now),
            (true, false) => Some(self.wakeup(now)),
        };
        Plan {
            live,
            wakeup,
            keep_alive: live.then_some(KEEP_ALIVE),
            relay: online && self.power.charging && self.is_free_wifi(),
        }
    }

    /// What an exchange at `now` carries, also one that was not planned.
    pub fn carries(&mut self, now: UnixMillis) -> Vec<WakeupReason> {
        self.tick(now);
        let mut carries = vec![WakeupReason::Sync];
        let slack = Tempo::of(self.preference).slack;
        for (reason, task) in self.dues.iter() {
            if self.is_ripe(&task.due, now, slack) {
                carries.push(reason);
            }
        }
        carries.sort_unstable();
        carries.dedup();
        carries
    }

    /// When live connections have something to do besides: at once when it is of use, as the radio is up anyway.
    pub fn errand(&mut self, now: UnixMillis) -> Option<Wakeup> {
        self.tick(now);
        if !self.is_online() {
            return None;
        }
        let mut reasons = Vec::new();
        let mut at = self.ran.map_or(now, |ran| ran.after(HOUSEKEEPING));
        for (reason, task) in self.dues.iter() {
            let ready = if self.meets(task.due.needs) {
                task.due.from
            } else {
                task.due.by
            };
            let ready = ready.max(not_before(task)).max(now);
            if ready <= at {
                if ready < at {
                    reasons.clear();
                }
                at = ready;
                reasons.push(reason);
            }
        }
        if reasons.is_empty() {
            reasons.push(WakeupReason::Upkeep);
        }
        Some(Wakeup {
            at: at.max(now),
            slack: Duration::ZERO,
            carries: reasons.clone(),
            reasons,
        })
    }

    fn wakeup(&self, now: UnixMillis) -> Wakeup {
        let slack = Tempo::of(self.preference).slack;
        let mut windows = vec![self.sync_window()];
        for (reason, task) in self.dues.iter() {
            windows.push(self.window(reason, task, slack));
        }
        for window in &mut windows {
            window.from = window.from.max(now);
            window.by = window.by.max(window.from);
        }
        windows.sort_by_key(|window| (window.by, window.from));
        let (mut at, end) = windows
            .first()
            .map_or((now, now), |first| (first.from, first.by));
        // What nearly reaches into the window shares it, and so do those that end soon after it.
        for window in &windows {
            if window.from <= end && window.by <= end.after(slack) {
                at = at.max(window.from);
            }
        }
        let necessary = |window: &&Window| window.from <= at && window.by <= end.after(slack);
        let mut reasons: Vec<_> = windows
            .iter()
            .filter(necessary)
            .map(|window| window.reason)
            .collect();
        reasons.sort_unstable();
        let mut carries = reasons.clone();
        carries.push(WakeupReason::Sync);
        for (reason, task) in self.dues.iter() {
            if self.is_ripe(&task.due, at, slack) {
                carries.push(reason);
            }
        }
        carries.sort_unstable();
        carries.dedup();
        Wakeup {
            at,
            slack: end.since(at),
            reasons,
            carries,
        }
    }

    /// When to ask for what is new.
    fn sync_window(&self) -> Window {
        let tempo = Tempo::of(self.preference);
        let asked = if self.connections > 0 {
            // What is connected has heard everything until now.
            self.seen
        } else {
            self.asked
        };
        let stretch = self.stretch();
        let (due, slack) = if self.push {
            let safety = tempo.safety.mul_f64(stretch.factor.max(1.0));
            (asked.after(safety), safety / 4)
        } else {
            let polls = if self.lively { SOONER } else { 1.0 };
            let due = run(&self.rates, asked, polls * stretch.factor);
            let due = due.max(asked.after(LEAST_INTERVAL + tempo.slack / 2));
            (due, tempo.slack.mul_f64(stretch.factor.max(1.0)))
        };
        let due = due.max(asked.after(stretch.least)).min(asked.after(DAY));
        // Shorter intervals leave less room to move in.
        let slack = slack.min(due.since(asked) / 2);
        Window {
            reason: WakeupReason::Sync,
            from: due.before(slack / 2),
            by: due.after(slack / 2),
        }
    }

    fn window(&self, reason: WakeupReason, task: &Task, slack: Duration) -> Window {
        let due = task.due;
        let mut from = due.from.max(due.by.before(slack));
        if reason == WakeupReason::Push {
            from = from.max(self.next_push());
        } else if task.tries > 0 {
            from = from.max(not_before(task));
        } else if let Some(ran) = self.ran {
            from = from.max(ran.after(if reason == WakeupReason::Outbox {
                FRESH
            } else {
                GAP
            }));
        }
        // What was tried and what is late can move as much as anything else; what is new cannot.
        let by = if task.tries > 0 {
            due.by.max(from.after(slack))
        } else {
            due.by.max(from)
        };
        Window { reason, from, by }
    }

    /// Whether something due shares a wake-up at `at`.
    fn is_ripe(&self, due: &Due, at: UnixMillis, slack: Duration) -> bool {
        due.from <= at && (self.meets(due.needs) || due.by <= at.after(slack))
    }

    fn note_push(&mut self, now: UnixMillis) {
        let due = Due {
            from: now,
            by: now,
            needs: Needs::Any,
        };
        let known = |(reason, _): (WakeupReason, _)| reason == WakeupReason::Push;
        if !self.dues.iter().any(known) {
            self.dues.set(WakeupReason::Push, Some(due));
        }
    }

    fn next_push(&self) -> UnixMillis {
        self.pushes.next(self.ran.unwrap_or_default())
    }

    /// When `polls` wake-ups are due after the last, by the hours of the day.
    fn next_poll(&self, polls: f64) -> UnixMillis {
        run(&self.rates, self.asked, polls * self.stretch().factor)
    }

    fn stretch(&self) -> Stretch {
        let plentiful = self
            .plentiful
            .is_some_and(|since| self.seen >= since.after(STEADY));
        Stretch::of(&self.power, self.low, self.network.roaming, plentiful)
    }

    fn is_unmetered(&self) -> bool {
        matches!(self.network.kind, NetworkKind::Wifi | NetworkKind::Other)
            && !self.network.metered
            && !self.network.roaming
    }

    fn is_free_wifi(&self) -> bool {
        self.network.kind == NetworkKind::Wifi && self.is_unmetered()
    }

    fn look_for_plenty(&mut self, now: UnixMillis) {
        self.plentiful = if self.power.charging && self.is_free_wifi() {
            Some(self.plentiful.unwrap_or(now))
        } else {
            None
        };
    }

    /// Notes the time. A clock that was set back takes all times with it.
    fn tick(&mut self, now: UnixMillis) {
        let by = self.seen.since(now);
        // Callers read the clock at slightly different moments.
        if by > JITTER {
            self.asked = self.asked.before(by);
            self.ran = self.ran.map(|ran| ran.before(by));
            self.plentiful = self.plentiful.map(|since| since.before(by));
            self.habits.set_back(by);
            self.pushes.set_back(by);
            self.dues.set_back(by);
            self.seen = now;
        }
        self.seen = self.seen.max(now);
    }
}

/// A day's wake-ups, by the user's preference and habits.
fn lay_out(preference: Preference, habits: &Habits) -> [f64; HOURS] {
    let tempo = Tempo::of(preference);
    allot(&habits.shares(), tempo.daily, tempo.bounds)
}

/// When something due makes a wake-up necessary.
#[derive(Clone, Copy, Debug)]
struct Window {
    reason: WakeupReason,
    from: UnixMillis,
    by: UnixMillis,
}

/// When what was tried in vain is tried again.
fn not_before(task: &Task) -> UnixMillis {
    let Some(again) = task.tries.checked_sub(1) else {
        return task.due.from;
    };
    let wait = GAP.saturating_mul(1_u32.checked_shl(again).unwrap_or(u32::MAX));
    task.tried.after(wait.min(LAST_GAP))
}

/// Between two attempts, and after the first that failed; later ones wait twice as long each time.
const GAP: Duration = Duration::from_secs(60);
/// What failed is tried again after this at the latest.
const LAST_GAP: Duration = Duration::from_secs(3_600);
/// Between an attempt and a message that was queued since.
const FRESH: Duration = Duration::from_secs(5);
/// Between two syncs, at least.
const LEAST_INTERVAL: Duration = Duration::from_secs(4 * 60);
/// And at most.
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// While live: how often to look for what has no time of its own. Costs no packet.
const HOUSEKEEPING: Duration = Duration::from_secs(600);
/// A conversation goes on if its last message is not older.
const LIVELY: Duration = Duration::from_secs(30 * 60);
/// Part of an interval after which such a conversation is asked for.
const SOONER: f64 = 0.5;
/// Before plenty counts: chargers and networks come and go.
const STEADY: Duration = Duration::from_secs(60);
/// What may lie between two readings of one clock.
const JITTER: Duration = Duration::from_secs(2);
