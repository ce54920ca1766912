//! What the phone's state makes of the plan.

use std::time::Duration;

use ailurus::power::{
    AppState, Due, Memory, Needs, NetworkState, Power, PowerState, Preference, StandbyBucket,
    WakeupReason,
};

use super::phone::{CELLULAR, OFFLINE, START, WIFI, hours, minutes};

/// How long a phone sleeps in this state.
fn interval(network: NetworkState, power: PowerState) -> Duration {
    let mut planner = Power::new(START);
    planner.set_network(network, START);
    planner.set_power(power, START);
    // What flaps counts only once it has stood for a while.
    let later = START.after(minutes(2));
    planner.attempted(later);
    planner.synced(later);
    planner.plan(later).wakeup.unwrap().at.since(later)
}

const FULL: PowerState = PowerState {
    battery_percent: Some(100),
    charging: false,
    saver: false,
    doze: false,
    bucket: StandbyBucket::Active,
};

#[test]
fn a_battery_that_runs_low_saver_and_roaming_stretch_the_interval() {
    let usual = interval(CELLULAR, FULL);
    assert!(usual >= minutes(15) && usual <= minutes(25), "{usual:?}");
    let low = PowerState {
        battery_percent: Some(19),
        ..FULL
    };
    assert!(interval(CELLULAR, low) > usual.mul_f64(1.7));
    let saver = PowerState {
        saver: true,
        ..FULL
    };
    assert!(interval(CELLULAR, saver) > usual.mul_f64(1.7));
    assert!(interval(CELLULAR, PowerState { saver: true, ..low }) > usual.mul_f64(3.0));
    let abroad = NetworkState {
        roaming: true,
        ..CELLULAR
    };
    assert!(interval(abroad, FULL) > usual.mul_f64(1.7));
    let unknown = PowerState {
        battery_percent: None,
        ..FULL
    };
    assert_eq!(interval(CELLULAR, unknown), usual);
}

#[test]
fn a_low_battery_recovers_with_a_distance_or_a_charger() {
    let mut power = Power::new(START);
    power.set_network(CELLULAR, START);
    let percent = |battery_percent, charging| PowerState {
        battery_percent: Some(battery_percent),
        charging,
        ..FULL
    };
    let mut at = |state| {
        power.set_power(state, START);
        power.plan(START).wakeup.unwrap().at
    };
    let usual = at(percent(30, false));
    let low = at(percent(19, false));
    assert!(low > usual);
    assert_eq!(at(percent(24, false)), low, "between the thresholds");
    assert_eq!(at(percent(25, false)), usual);
    assert_eq!(at(percent(21, false)), usual);
    assert_eq!(at(percent(3, true)), usual, "charging");
}

#[test]
fn doze_and_buckets_ask_no_more_than_the_system_gives() {
    let doze = PowerState { doze: true, ..FULL };
    assert!(interval(CELLULAR, doze) >= minutes(55));
    for (bucket, least) in [
        (StandbyBucket::WorkingSet, 2),
        (StandbyBucket::Frequent, 8),
        (StandbyBucket::Rare, 23),
        (StandbyBucket::Restricted, 23),
    ] {
        let asleep = interval(CELLULAR, PowerState { bucket, ..FULL });
        assert!(
            asleep >= hours(least).mul_f64(0.9),
            "{bucket:?}: {asleep:?}"
        );
        assert!(asleep <= hours(24), "{bucket:?}: {asleep:?}");
    }
}

#[test]
fn charging_on_wifi_shortens_the_interval_and_relays() {
    let charging = PowerState {
        charging: true,
        ..FULL
    };
    let usual = interval(WIFI, FULL);
    assert!(interval(WIFI, charging) < usual.mul_f64(0.6));
    assert_eq!(interval(CELLULAR, charging), usual);
    let mut power = Power::new(START);
    let mut relays = |network, state| {
        power.set_network(network, START);
        power.set_power(state, START);
        power.plan(START).relay
    };
    assert!(relays(WIFI, charging));
    assert!(!relays(WIFI, FULL));
    assert!(!relays(CELLULAR, charging));
    let hotspot = NetworkState {
        metered: true,
        ..WIFI
    };
    assert!(!relays(hotspot, charging));
    assert!(!relays(OFFLINE, charging));
}

#[test]
fn the_foreground_is_live_and_only_there_packets_keep_connections_open() {
    let mut power = Power::new(START);
    power.set_network(CELLULAR, START);
    assert_eq!(power.plan(START).keep_alive, None);
    assert!(power.set_app_state(AppState::Foreground, START));
    assert!(
        !power.set_app_state(AppState::Foreground, START),
        "nothing new"
    );
    let plan = power.plan(START);
    assert!(plan.live);
    let keep_alive = plan.keep_alive.unwrap();
    assert!((20..=25).contains(&keep_alive.as_secs()));
    // The library itself looks after what is due then.
    let retry = Due {
        from: START.after(minutes(3)),
        by: START.after(hours(24)),
        needs: Needs::Any,
    };
    power.set_due(WakeupReason::Upkeep, Some(retry), START);
    let errand = power.plan(START).wakeup.unwrap();
    assert_eq!(errand.at, START.after(minutes(3)).min(errand.at));
    assert!(errand.slack.is_zero());
    power.set_network(OFFLINE, START);
    let plan = power.plan(START);
    assert!(!plan.live && plan.wakeup.is_none() && plan.keep_alive.is_none());
}

#[test]
fn whoever_was_connected_until_now_need_not_wake_at_once() {
    let mut power = Power::new(START);
    power.set_network(CELLULAR, START);
    power.set_app_state(AppState::Foreground, START);
    power.connected(START);
    let later = START.after(hours(1));
    power.set_app_state(AppState::Background, later);
    assert!(power.plan(later).wakeup.unwrap().at >= later.after(minutes(10)));
    // And whoever lost the connection long before does.
    power.set_app_state(AppState::Foreground, later);
    power.disconnected(later);
    let late = later.after(hours(3));
    power.set_app_state(AppState::Background, late);
    assert_eq!(power.plan(late).wakeup.unwrap().at, late);
}

#[test]
fn what_the_profile_keeps_goes_on_in_the_next_process() {
    let mut power = Power::new(START);
    power.set_preference(Preference::Frugal);
    power.attempted(START);
    power.received(START, START);
    let memory = power.memory();
    // Opened again and again, it does not begin anew each time.
    let later = START.after(hours(5));
    let mut again = Power::with_memory(memory.clone(), later);
    assert_eq!(again.preference(), Preference::Frugal);
    assert_eq!(again.plan(later).wakeup.unwrap().at, later);
    assert_eq!(again.memory().habits, memory.habits);
    // A memory of the future is from before the clock was set back.
    let mut past = Power::with_memory(memory, START.before(hours(1_000)));
    let wakeup = past.plan(START.before(hours(1_000))).wakeup.unwrap();
    assert!(wakeup.at <= START.before(hours(997)));
    // And a new profile counts from when it was made.
    let mut new = Power::with_memory(Memory::default(), START);
    assert!(new.plan(START).wakeup.unwrap().at >= START.after(minutes(10)));
}
