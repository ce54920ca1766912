//! Inputs that flap, and no network at all.

use std::time::Duration;

use ailurus::power::{NetworkState, Power, PowerState};
use ailurus::wire::time::UnixMillis;

use super::phone::{CELLULAR, OFFLINE, START, WIFI, hours};

fn second(second: u64) -> UnixMillis {
    START.after(Duration::from_secs(second))
}

/// Wake-ups in some hours of a phone that hears this each second. An attempt reaches a node if `works`.
fn wakeups(hours: u64, works: bool, hear: impl Fn(u64, &mut Power, UnixMillis)) -> usize {
    let mut power = Power::new(START);
    power.set_network(CELLULAR, START);
    let mut count = 0;
    for tick in 0..hours * 3_600 {
        let now = second(tick);
        hear(tick, &mut power, now);
        if power
            .plan(now)
            .wakeup
            .is_some_and(|wakeup| wakeup.at <= now)
        {
            count += 1;
            power.attempted(now);
            if works {
                power.synced(now);
            }
        }
    }
    count
}

#[test]
fn a_network_that_flaps_every_second_makes_no_wakeup_more() {
    let network = |tick: u64| {
        if tick.is_multiple_of(2) {
            CELLULAR
        } else {
            OFFLINE
        }
    };
    let calm = wakeups(12, true, |_, _, _| {});
    assert!(calm > 20);
    for works in [true, false] {
        let flapping = wakeups(12, works, |tick, power, now| {
            power.set_network(network(tick), now);
        });
        assert!(flapping <= calm, "{flapping} instead of {calm}");
    }
}

#[test]
fn battery_reports_every_second_make_no_wakeup_more() {
    // Around both thresholds, and with a charger that has a loose contact.
    let calm = wakeups(12, true, |_, _, _| {});
    for (low, high, charges) in [(18, 21, false), (24, 26, false), (50, 51, true)] {
        let flapping = wakeups(12, true, |tick, power, now| {
            let odd = tick % 2 == 1;
            power.set_power(
                PowerState {
                    battery_percent: Some(if odd { low } else { high }),
                    charging: charges && odd,
                    ..PowerState::default()
                },
                now,
            );
        });
        assert!(flapping <= calm, "{flapping} instead of {calm}");
    }
    let loose = |network: NetworkState| {
        wakeups(12, true, move |tick, power, now| {
            power.set_network(network, now);
            power.set_power(
                PowerState {
                    charging: tick % 2 == 1,
                    ..PowerState::default()
                },
                now,
            );
        })
    };
    assert!(loose(WIFI) <= calm, "on Wi-Fi");
}

#[test]
fn what_changes_nothing_moves_no_plan() {
    let mut power = Power::new(START);
    power.set_network(CELLULAR, START);
    let plan = power.plan(START);
    for tick in 0..300 {
        let now = second(tick);
        assert!(!power.set_network(CELLULAR, now));
        assert!(!power.set_push(false));
        power.set_power(
            PowerState {
                battery_percent: Some(60 - u8::try_from(tick % 5).unwrap()),
                ..PowerState::default()
            },
            now,
        );
        assert_eq!(power.plan(now), plan, "after {tick} s");
    }
}

#[test]
fn without_a_network_there_is_no_attempt_and_afterwards_one() {
    let attempts = wakeups(24, true, |_, power, now| {
        power.set_network(OFFLINE, now);
    });
    assert_eq!(attempts, 0);

    let mut power = Power::new(START);
    power.set_network(OFFLINE, START);
    assert!(power.plan(START).wakeup.is_none());
    assert!(!power.pushed(START), "a push without a network");
    let back = START.after(hours(24));
    power.set_network(CELLULAR, back);
    let wakeup = power.plan(back).wakeup.unwrap();
    assert_eq!(wakeup.at, back, "what is overdue is done at once");
    power.attempted(back);
    power.synced(back);
    // It goes away and comes back again.
    power.set_network(OFFLINE, back);
    power.set_network(CELLULAR, back);
    assert!(power.plan(back).wakeup.unwrap().at > back.after(Duration::from_secs(600)));
}
