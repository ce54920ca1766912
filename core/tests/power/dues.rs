//! Deadlines: what shares a wake-up, what waits for a better network, and what is tried again when.

use ailurus::power::{Due, Needs, Power, PowerState, Wakeup, WakeupReason};
use ailurus::wire::time::UnixMillis;

use super::phone::{CELLULAR, START, WIFI, hours, minutes};

const CHARGING: PowerState = PowerState {
    battery_percent: Some(80),
    charging: true,
    saver: false,
    doze: false,
    bucket: ailurus::power::StandbyBucket::Active,
};

fn phone() -> Power {
    let mut power = Power::new(START);
    power.set_network(CELLULAR, START);
    power
}

fn due(from: u64, by: u64, needs: Needs) -> Option<Due> {
    Some(Due {
        from: START.after(minutes(from)),
        by: START.after(minutes(by)),
        needs,
    })
}

fn wakeup(power: &mut Power, now: UnixMillis) -> Wakeup {
    power.plan(now).wakeup.unwrap()
}

#[test]
fn everything_within_the_slack_shares_one_wakeup() {
    let mut power = phone();
    let alone = wakeup(&mut power, START);
    assert_eq!(alone.reasons, [WakeupReason::Sync]);
    let sync = alone.at.since(START).as_secs() / 60;
    // Windows that overlap that of the sync, and one long before its limit.
    power.set_due(
        WakeupReason::Registration,
        due(sync + 1, sync + 4, Needs::Any),
        START,
    );
    power.set_due(
        WakeupReason::Upkeep,
        due(sync + 2, sync + 7, Needs::Any),
        START,
    );
    power.set_due(WakeupReason::Dust, due(5, 900, Needs::Any), START);
    let shared = wakeup(&mut power, START);
    assert_eq!(
        shared.reasons,
        [
            WakeupReason::Sync,
            WakeupReason::Registration,
            WakeupReason::Upkeep
        ]
    );
    assert!(shared.carries.contains(&WakeupReason::Dust), "{shared:?}");
    let end = shared.at.after(shared.slack);
    assert!(end <= START.after(minutes(sync + 5)), "no limit is passed");
}

#[test]
fn what_is_due_before_the_next_sync_brings_it_forward() {
    let mut power = phone();
    power.set_due(WakeupReason::Registration, due(3, 6, Needs::Any), START);
    let early = wakeup(&mut power, START);
    assert_eq!(early.at, START.after(minutes(3)));
    assert_eq!(early.slack, minutes(3));
    assert_eq!(early.reasons, [WakeupReason::Registration]);
    assert_eq!(
        early.carries,
        [WakeupReason::Sync, WakeupReason::Registration]
    );
    power.attempted(early.at);
    power.set_due(WakeupReason::Registration, None, early.at);
    power.synced(early.at);
    assert!(wakeup(&mut power, early.at).at >= early.at.after(minutes(12)));
}

#[test]
fn what_waits_for_wifi_and_charging_goes_there_and_then_or_at_its_limit() {
    let mut power = phone();
    let large = due(0, 6 * 60, Needs::UnmeteredAndCharging);
    power.set_due(WakeupReason::Resync, large, START);
    let mut now = START;
    while now < START.after(hours(5)) {
        let next = wakeup(&mut power, now);
        assert!(!next.carries.contains(&WakeupReason::Resync), "{next:?}");
        now = next.at.after(next.slack);
        power.attempted(now);
        power.synced(now);
    }
    // Wi-Fi alone is not enough, with a charger it is.
    let mut charged = power.clone();
    charged.set_network(WIFI, now);
    assert!(
        !wakeup(&mut charged, now)
            .carries
            .contains(&WakeupReason::Resync)
    );
    charged.set_power(CHARGING, now);
    assert!(
        wakeup(&mut charged, now)
            .carries
            .contains(&WakeupReason::Resync)
    );
    // On the mobile network it goes when its time is over, and before no wake-up is made for it.
    let limit = START.after(hours(6));
    let mut carried = None;
    while carried.is_none() {
        let next = wakeup(&mut power, now);
        now = next.at.after(next.slack);
        carried = next.carries.contains(&WakeupReason::Resync).then_some(now);
        power.attempted(now);
        power.synced(now);
    }
    let carried = carried.unwrap();
    assert!(
        carried <= limit && carried >= limit.before(minutes(30)),
        "{carried:?}"
    );
}

#[test]
fn a_message_goes_at_once_and_then_is_tried_later_each_time() {
    let mut power = phone();
    let queued = START.after(minutes(1));
    let outbox = Some(Due {
        from: queued,
        by: queued,
        needs: Needs::Any,
    });
    power.set_due(WakeupReason::Outbox, outbox, queued);
    let mut now = queued;
    let mut tried = Vec::new();
    for _ in 0..9 {
        let next = wakeup(&mut power, now);
        now = next.at;
        if next.reasons.contains(&WakeupReason::Outbox) {
            tried.push(now.since(queued).as_secs() / 60);
        }
        // No node answers, and the client registers again what still waits.
        power.attempted(now);
        power.set_due(WakeupReason::Outbox, outbox, now);
    }
    assert_eq!(tried[..4], [0, 1, 3, 7], "{tried:?}");
    // A second message is a new reason to try.
    let again = Some(Due {
        from: now,
        by: now,
        needs: Needs::Any,
    });
    power.set_due(WakeupReason::Outbox, again, now);
    assert!(wakeup(&mut power, now).at.since(now).as_secs() <= 5);
}

#[test]
fn a_push_storm_buys_few_wakeups_and_useful_pushes_all() {
    let mut power = phone();
    power.set_push(true);
    let mut wakeups = 0;
    for second in 0..3 * 3_600 {
        let now = START.after(std::time::Duration::from_secs(second));
        let planned = power
            .plan(now)
            .wakeup
            .is_some_and(|wakeup| wakeup.at <= now);
        if power.pushed(now) || planned {
            wakeups += 1;
            power.attempted(now);
            power.synced(now);
        }
    }
    assert!(wakeups <= 6 + 18 + 1, "{wakeups} in three hours");

    let mut power = phone();
    power.set_push(true);
    for message in 0..200 {
        let now = START.after(minutes(message));
        assert!(power.pushed(now), "message {message}");
        power.attempted(now);
        power.received(now, now);
        power.synced(now);
    }
}
