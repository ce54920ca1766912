//! Clocks that are set, and phones that sleep.

use ailurus::power::{Due, Needs, Power, WakeupReason};
use ailurus::wire::time::UnixMillis;

use super::phone::{CELLULAR, START, hours, minutes};

fn at(power: &mut Power, now: UnixMillis) -> UnixMillis {
    let wakeup = power.plan(now).wakeup.unwrap();
    assert!(wakeup.at >= now);
    wakeup.at.after(wakeup.slack)
}

/// Follows the plan for some hours, and counts wake-ups.
fn follow(power: &mut Power, from: UnixMillis, hours_on: u64) -> usize {
    let mut now = from;
    let mut count = 0;
    loop {
        now = at(power, now);
        if now > from.after(hours(hours_on)) {
            return count;
        }
        count += 1;
        power.attempted(now);
        power.synced(now);
    }
}

#[test]
fn a_clock_set_back_a_year_delays_nothing() {
    let mut power = Power::new(START);
    power.set_network(CELLULAR, START);
    let due = Due {
        from: START.after(hours(20)),
        by: START.after(hours(30)),
        needs: Needs::UnmeteredAndCharging,
    };
    power.set_due(WakeupReason::Resync, Some(due), START);
    let interval = at(&mut power, START).since(START);
    let past = START.before(hours(24 * 365));
    assert!(at(&mut power, past).since(past) <= interval);
    // And the limit of what waits is no further away than it was.
    let late = past.after(hours(30));
    power.attempted(past.after(hours(29)));
    let wakeup = power.plan(late).wakeup.unwrap();
    assert!(wakeup.carries.contains(&WakeupReason::Resync), "{wakeup:?}");
}

#[test]
fn a_clock_set_ahead_a_day_makes_everything_due_once() {
    let mut power = Power::new(START);
    power.set_network(CELLULAR, START);
    let soon = |hour| {
        Some(Due {
            from: START.after(hours(hour)),
            by: START.after(hours(hour + 1)),
            needs: Needs::Any,
        })
    };
    power.set_due(WakeupReason::Registration, soon(5), START);
    power.set_due(WakeupReason::Upkeep, soon(9), START);
    let ahead = START.after(hours(24));
    let wakeup = power.plan(ahead).wakeup.unwrap();
    assert_eq!(wakeup.at, ahead);
    assert_eq!(
        wakeup.carries,
        [
            WakeupReason::Sync,
            WakeupReason::Registration,
            WakeupReason::Upkeep
        ]
    );
    // One wake-up; then it goes on as ever, also when what was due has not been dealt with.
    power.attempted(ahead);
    power.synced(ahead);
    assert!(at(&mut power, ahead) >= ahead.after(minutes(1)));
    let storm = follow(&mut power, ahead, 1);
    assert!(storm <= 8, "{storm} wake-ups in the hour after");
    power.set_due(WakeupReason::Registration, None, ahead);
    power.set_due(WakeupReason::Upkeep, None, ahead);
    let usual = follow(&mut power, ahead.after(hours(2)), 4);
    assert!(usual <= 16, "{usual}");
    // The user sees the mistake, and sets it back.
    let right = START.after(minutes(5));
    let next = at(&mut power, right);
    assert!(next.since(right) <= hours(1), "{next:?}");
}

#[test]
fn a_phone_suspended_for_three_days_wakes_once() {
    let mut power = Power::new(START);
    power.set_network(CELLULAR, START);
    let day = Due {
        from: START.after(hours(20)),
        by: START.after(hours(24)),
        needs: Needs::Any,
    };
    power.set_due(WakeupReason::Registration, Some(day), START);
    let later = START.after(hours(72));
    let wakeup = power.plan(later).wakeup.unwrap();
    assert_eq!((wakeup.at, wakeup.slack.as_secs()), (later, 0));
    assert!(wakeup.carries.contains(&WakeupReason::Registration));
    power.attempted(later);
    power.set_due(WakeupReason::Registration, None, later);
    power.synced(later);
    assert!(at(&mut power, later) >= later.after(minutes(10)));
    assert!(follow(&mut power, later, 1) <= 4);
}

#[test]
fn clock_readings_that_overtake_each_other_move_nothing() {
    let mut power = Power::new(START);
    power.set_network(CELLULAR, START);
    let plan = power.plan(START);
    for _ in 0..1_000 {
        power.plan(START.after(std::time::Duration::from_millis(900)));
        assert_eq!(power.plan(START), plan);
    }
}
