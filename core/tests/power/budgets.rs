//! What the laboratory demands of a day, in short: LTE recalibrated, the family's messages, no push.

use std::time::Duration;

use ailurus::power::{Power, Preference};

use super::phone::{CELLULAR, Lived, START, family, keep_alive, live, minutes};

/// Days in which the habits are learned, and then those that count.
const LEARNING: u64 = 7;
const DAYS: u64 = 7;

#[test]
fn balanced_keeps_its_budget_of_wakeups_energy_and_delay() {
    for seed in SEEDS {
        let (lived, ratio) = week(Preference::Balanced, seed);
        let each_hour = lived.wakeups.len() as f64 / (DAYS * 24) as f64;
        let at_night = lived.between(0, 6) as f64 / (DAYS * 6) as f64;
        println!(
            "balanced, seed {seed}: {each_hour:.2} an hour, {at_night:.2} at night, energy {ratio:.3}, delay {:?}",
            lived.median_delay()
        );
        assert!(each_hour <= 4.0, "{each_hour} an hour");
        assert!(at_night <= 1.0, "{at_night} an hour at night");
        assert!(ratio <= 0.25, "energy {ratio}");
        assert!(
            lived.median_delay() <= minutes(8),
            "{:?}",
            lived.median_delay()
        );
    }
}

#[test]
fn frugal_costs_a_tenth_and_fast_is_faster() {
    for seed in SEEDS {
        let (frugal, ratio) = week(Preference::Frugal, seed);
        println!(
            "frugal, seed {seed}: {} a day, energy {ratio:.3}, delay {:?}",
            frugal.wakeups.len() as u64 / DAYS,
            frugal.median_delay()
        );
        assert!(ratio <= 0.1, "energy {ratio}");
        assert!(
            frugal.median_delay() <= minutes(30),
            "{:?}",
            frugal.median_delay()
        );
        let (fast, ratio) = week(Preference::Fast, seed);
        println!(
            "fast, seed {seed}: {} a day, energy {ratio:.3}, delay {:?}",
            fast.wakeups.len() as u64 / DAYS,
            fast.median_delay()
        );
        assert!(ratio <= 0.5, "energy {ratio}");
        assert!(
            fast.median_delay() <= minutes(4),
            "{:?}",
            fast.median_delay()
        );
    }
}

#[test]
fn the_first_day_keeps_the_budget_too() {
    let messages = family(1, 3);
    let mut power = phone(Preference::Balanced);
    let lived = live(&mut power, 0..1, &messages, false);
    let ratio = lived.energy.joules / keep_alive(0..1, &messages).joules;
    println!(
        "first day: {} wake-ups, energy {ratio:.3}, delay {:?}",
        lived.wakeups.len(),
        lived.median_delay()
    );
    assert!(lived.wakeups.len() <= 96 && ratio <= 0.25);
}

#[test]
fn learning_spends_the_night_less_and_the_day_more() {
    let messages = family(LEARNING, 5);
    let mut power = phone(Preference::Balanced);
    let first = live(&mut power, 0..1, &messages, false);
    let rest = live(&mut power, 1..LEARNING, &messages, false);
    let night = |lived: &Lived, days: u64| lived.between(0, 6) as f64 / days as f64;
    assert!(night(&rest, LEARNING - 1) < night(&first, 1) / 2.0);
    let last_day = live(&mut power, LEARNING..LEARNING + 1, &[], false);
    assert!(last_day.between(9, 21) > 2 * last_day.between(0, 6));
}

#[test]
fn with_push_a_phone_wakes_for_messages_only() {
    let messages = family(1, 11);
    let mut power = phone(Preference::Balanced);
    power.set_push(true);
    let lived = live(&mut power, 0..1, &messages, true);
    println!(
        "push: {} wake-ups, delay {:?}",
        lived.wakeups.len(),
        lived.median_delay()
    );
    // Some messages come while one is on its way; and some wake-ups are for pushes that may have got lost.
    assert!(
        lived.wakeups.len() <= messages.len(),
        "{}",
        lived.wakeups.len()
    );
    assert_eq!(lived.delays.len(), messages.len());
    assert!(
        lived
            .delays
            .iter()
            .all(|delay| *delay <= Duration::from_secs(10))
    );
    assert!(lived.between(0, 6) <= 3);
}

fn phone(preference: Preference) -> Power {
    let mut power = Power::new(START);
    power.set_preference(preference);
    power.set_network(CELLULAR, START);
    power
}

/// A week after one of learning, and its energy against that of a keep-alive.
fn week(preference: Preference, seed: u64) -> (Lived, f64) {
    let messages = family(LEARNING + DAYS, seed);
    let mut power = phone(preference);
    live(&mut power, 0..LEARNING, &messages, false);
    let days = LEARNING..LEARNING + DAYS;
    let lived = live(&mut power, days.clone(), &messages, false);
    let ratio = lived.energy.joules / keep_alive(days, &messages).joules;
    (lived, ratio)
}

const SEEDS: [u64; 3] = [1, 2, 3];
