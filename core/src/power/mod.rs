//! Room `power`: when a light client connects, decided from what the platform tells about the phone.
//!
//! In the foreground a client is live; in the background it holds no connection, because carrier NATs forget UDP in
//! about 30 seconds, and wakes up now and then instead. The plan is the same for all phones as yet.

mod plan;
mod state;
mod usage;

use std::time::Duration;

use crate::wire::time::UnixMillis;

pub use plan::{Plan, Wakeup, WakeupReason};
pub use state::{AppState, NetworkKind, NetworkState, PowerState, Preference, StandbyBucket};
pub use usage::{Usage, UsagePeriod, UsageReport, UsageRow};

/// Turns what the platform tells into a plan.
///
/// Battery and network change nothing yet: they are kept, and a later version decides by them.
#[derive(Clone, Copy, Debug)]
pub struct Power {
    power: PowerState,
    network: NetworkState,
    app: AppState,
    /// A push wakes this phone when something comes.
    push: bool,
    /// Live connections that have caught up.
    connections: usize,
    synced: UnixMillis,
}

impl Power {
    /// Begins in the background; the first wake-up is counted from `now`.
    pub fn new(now: UnixMillis) -> Self {
        Self {
            power: PowerState::default(),
            network: NetworkState::default(),
            app: AppState::default(),
            push: false,
            connections: 0,
            synced: now,
        }
    }

    /// Takes in the battery's state; returns whether it is another one.
    pub fn set_power(&mut self, state: PowerState) -> bool {
        std::mem::replace(&mut self.power, state) != state
    }

    /// Takes in the network's state; returns whether it is another one.
    pub fn set_network(&mut self, state: NetworkState) -> bool {
        std::mem::replace(&mut self.network, state) != state
    }

    /// Takes in whether the app is on the screen from `now` on; returns whether that is new.
    pub fn set_app_state(&mut self, state: AppState, now: UnixMillis) -> bool {
        // What is connected has heard everything until now.
        if self.connections > 0 {
            self.synced = now;
        }
        std::mem::replace(&mut self.app, state) != state
    }

    /// Takes in whether a push wakes this phone when something comes; returns whether that is new.
    pub fn set_push(&mut self, available: bool) -> bool {
        std::mem::replace(&mut self.push, available) != available
    }

    /// Notes that a live connection has caught up at `now`.
    pub fn connected(&mut self, now: UnixMillis) {
        self.connections = self.connections.saturating_add(1);
        self.synced = now;
    }

    /// Notes that a live connection that had caught up is gone at `now`.
    pub fn disconnected(&mut self, now: UnixMillis) {
        self.connections = self.connections.saturating_sub(1);
        self.synced = now;
    }

    /// Notes that the super nodes were asked at `now`.
    pub fn synced(&mut self, now: UnixMillis) {
        self.synced = now;
    }

    /// What to do, seen from `now`.
    pub fn plan(&mut self, now: UnixMillis) -> Plan {
        if self.app == AppState::Foreground {
            return Plan {
                live: true,
                wakeup: None,
                keep_alive: None,
                relay: false,
            };
        }
        // A sync "later than now" is from before the clock was set back.
        self.synced = self.synced.min(now);
        Plan {
            live: false,
            wakeup: Some(Wakeup {
                at: self.synced.after(INTERVAL).max(now),
                slack: SLACK,
                reasons: vec![WakeupReason::Sync],
                carries: vec![WakeupReason::Sync],
            }),
            keep_alive: None,
            relay: false,
        }
    }
}

/// Between two syncs in the background: Android grants periodic work no more often.
const INTERVAL: Duration = Duration::from_secs(15 * 60);
/// How much later a wake-up may come.
const SLACK: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis::from_secs(1_800_000_000);

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    fn wakeup(power: &mut Power, now: UnixMillis) -> UnixMillis {
        let plan = power.plan(now);
        assert!(!plan.live);
        let wakeup = plan.wakeup.unwrap();
        assert_eq!(wakeup.slack, minutes(5));
        assert_eq!(wakeup.reasons, [WakeupReason::Sync]);
        wakeup.at
    }

    #[test]
    fn a_new_client_is_in_the_background_and_wakes_after_a_quarter_of_an_hour() {
        let mut power = Power::new(START);
        assert_eq!(wakeup(&mut power, START), START.after(minutes(15)));
        let later = START.after(minutes(4));
        assert_eq!(wakeup(&mut power, later), START.after(minutes(15)));
        power.synced(later);
        assert_eq!(wakeup(&mut power, later), later.after(minutes(15)));
    }

    #[test]
    fn a_wakeup_that_is_overdue_is_now() {
        let mut power = Power::new(START);
        let late = START.after(minutes(600));
        assert_eq!(wakeup(&mut power, late), late);
    }

    #[test]
    fn a_clock_that_was_set_back_delays_no_wakeup_for_ever() {
        let mut power = Power::new(START);
        let before = START.before(minutes(100_000));
        assert_eq!(wakeup(&mut power, before), before.after(minutes(15)));
        // Time goes on, and so the wake-up comes.
        let due = before.after(minutes(15));
        assert_eq!(wakeup(&mut power, due), due);
    }

    #[test]
    fn the_foreground_is_live() {
        let mut power = Power::new(START);
        assert!(power.set_app_state(AppState::Foreground, START));
        assert!(
            !power.set_app_state(AppState::Foreground, START),
            "nothing new"
        );
        assert!(power.plan(START).live);
        assert!(power.set_app_state(AppState::Background, START));
        assert_eq!(wakeup(&mut power, START), START.after(minutes(15)));
    }

    #[test]
    fn whoever_was_connected_until_now_need_not_wake_at_once() {
        let mut power = Power::new(START);
        power.set_app_state(AppState::Foreground, START);
        power.connected(START);
        let later = START.after(minutes(60));
        power.set_app_state(AppState::Background, later);
        assert_eq!(wakeup(&mut power, later), later.after(minutes(15)));
        // And whoever lost the connection long before does.
        power.set_app_state(AppState::Foreground, later);
        power.disconnected(later);
        let late = later.after(minutes(60));
        power.set_app_state(AppState::Background, late);
        assert_eq!(wakeup(&mut power, late), late);
    }

    #[test]
    fn battery_and_network_are_told_apart_but_change_no_plan_yet() {
        let mut power = Power::new(START);
        let plan = power.plan(START);
        assert!(!power.set_power(PowerState::default()));
        assert!(power.set_power(PowerState {
            battery_percent: Some(3),
            saver: true,
            ..PowerState::default()
        }));
        assert!(!power.set_network(NetworkState::default()));
        assert!(power.set_network(NetworkState {
            kind: NetworkKind::Cellular,
            metered: true,
            roaming: true,
        }));
        assert_eq!(power.plan(START), plan);
    }
}
