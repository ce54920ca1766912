//! Budgets: rows as `make bench` writes them, and tests that fail when a change costs battery.

use std::time::Duration;

use ailurus_bench::harness::{
    Failure,
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
};

use super::{
    course::{Course, Outcome},
    ours::{self, BALANCED, FRUGAL, Node, Os, PUSHED, Policy, Scene},
    peers::CONVERSATIONS,
    radio::LTE,
    trace::FAMILY,
    wire::{DATAGRAM, Recorded, Wire},
};

/// LTE recalibrated, in the background, the family's messages, two weeks learned, the median of some seeds.
pub const SUITE: Suite = Suite {
    specs: &SPECS,
    patience: Duration::from_secs(600),
    run: || Box::pin(async { measure() }),
};

const SPECS: [Spec; 10] = [
    at_most(
        "wakeups_per_hour",
        "1/h, balanced, from 7 to 23 o'clock",
        4.0,
    ),
    at_most(
        "wakeups_per_hour_night",
        "1/h, balanced, from 23 to 7 o'clock",
        1.0,
    ),
    at_most(
        "energy_ratio_balanced",
        "of a keep-alive every 4.5 minutes",
        0.25,
    ),
    at_most(
        "energy_ratio_frugal",
        "of a keep-alive every 4.5 minutes",
        0.1,
    ),
    at_most("delay_median_min", "min, balanced", 8.0),
    at_most("delay_median_push_s", "s, balanced with push", 10.0),
    at_most("wakeups_per_message_push", "1, balanced with push", 1.0),
    at_most("datagram_poll_bytes", "bytes of UDP payload", 300.0),
    at_most(
        "idle_hour_bytes",
        "bytes with headers, balanced, mean of a day",
        2_048.0,
    ),
    at_most("no_network_attempts", "a day", 0.0),
];

const fn at_most(name: &'static str, unit: &'static str, limit: f64) -> Spec {
    Spec {
        name,
        unit,
        limit: Limit::AtMost(limit),
    }
}

/// A value for each seed, by row.
#[derive(Default)]
struct Values(Vec<(&'static str, Vec<f64>)>);

impl Values {
    fn add(&mut self, name: &'static str, value: f64) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name, vec![value])),
        }
    }
}

fn measure() -> Result<Vec<Measured>, Failure> {
    let values = values(Node::Real, DAYS, &SEEDS)?;
    let mut rows = Vec::new();
    for (name, values) in values.0 {
        let sample = Sample::new(values).ok_or("no seed")?;
        let row =
            Measured::new(name, &sample).note(&format!("{DAYS} days for each seed, {SEEDS:?}"));
        rows.push(if name.starts_with("energy_ratio") {
            row.floor(1.0)
        } else {
            row
        });
    }
    Ok(rows)
}

fn values(node: Node, days: u32, seeds: &[u64]) -> Result<Values, Failure> {
    let wire = Wire::new(&Recorded::kept()?)?;
    let mut values = Values::default();
    for seed in seeds {
        let scene = quiet(*seed, node, &wire);
        of_family(&scene, days, &mut values)?;
        of_silence(&scene, &mut values)?;
        of_outages(&scene, &mut values)?;
    }
    values.add("datagram_poll_bytes", f64::from(2 * DATAGRAM));
    Ok(values)
}

/// Days of a family.
fn of_family(scene: &Scene<'_>, days: u32, values: &mut Values) -> Result<(), Failure> {
    let (messages, history) = FAMILY.days(days, HISTORY_DAYS, scene.seed);
    let end = DAY * days;
    let scene = Scene {
        messages: &messages,
        history: &history,
        end,
        ..*scene
    };
    let policies = [BALANCED, FRUGAL, PUSHED];
    let courses = ours::run(&scene, &policies)?;
    let of = |course: &Course| Outcome::of(course, &LTE, end);
    let [balanced, frugal, push] = [&courses[0], &courses[1], &courses[2]].map(of);
    let reference = of(&CONVERSATIONS.run(&messages, end)).milliampere_hours;
    let median = |outcome: &Outcome| outcome.delay_median_s.ok_or("no message came");
    values.add("wakeups_per_hour", balanced.wakeups_by_day);
    values.add("wakeups_per_hour_night", balanced.wakeups_by_night);
    for (name, outcome) in [
        ("energy_ratio_balanced", &balanced),
        ("energy_ratio_frugal", &frugal),
    ] {
        values.add(name, outcome.milliampere_hours / reference);
    }
    values.add("delay_median_min", median(&balanced)? / 60.0);
    values.add("delay_median_push_s", median(&push)?);
    let wakeups = push.wakeups * 24.0 * f64::from(days);
    values.add("wakeups_per_message_push", wakeups / messages.len() as f64);
    Ok(())
}

/// A day on which nothing comes: a few polls are full ones, whatever is told by datagram.
fn of_silence(scene: &Scene<'_>, values: &mut Values) -> Result<(), Failure> {
    let (_, history) = FAMILY.days(1, HISTORY_DAYS, scene.seed);
    let scene = Scene {
        history: &history,
        ..*scene
    };
    let course = only(&scene, BALANCED)?;
    let outcome = Outcome::of(&course, &LTE, DAY);
    values.add("idle_hour_bytes", outcome.bytes / 24.0);
    Ok(())
}

/// A day without a network, and one with an hour in which it comes and goes every second.
fn of_outages(scene: &Scene<'_>, values: &mut Values) -> Result<(), Failure> {
    let (messages, history) = FAMILY.days(1, HISTORY_DAYS, scene.seed);
    let whole = [(Duration::ZERO, DAY)];
    let second = |number: u64| 18 * HOUR + Duration::from_secs(2 * number);
    let flapping: Vec<_> = (0..HOUR.as_secs() / 2)
        .map(|number| (second(number), second(number) + Duration::from_secs(1)))
        .collect();
    let mut attempts = 0;
    for outages in [&whole[..], &flapping[..]] {
        let scene = Scene {
            messages: &messages,
            history: &history,
            outages,
            ..*scene
        };
        attempts += only(&scene, BALANCED)?.attempts_without_network;
    }
    values.add("no_network_attempts", attempts as f64);
    Ok(())
}

fn only(scene: &Scene<'_>, policy: Policy) -> Result<Course, Failure> {
    let course = ours::run(scene, &[policy])?.pop();
    Ok(course.ok_or("a policy gives a course")?)
}

/// A day on which nothing happens.
fn quiet(seed: u64, node: Node, wire: &Wire) -> Scene<'_> {
    Scene {
        messages: &[],
        history: &[],
        history_lasts: DAY * HISTORY_DAYS,
        sends: &[],
        outages: &[],
        end: DAY,
        os: Os::Planned,
        node,
        seed,
        wire,
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const HISTORY_DAYS: u32 = 14;
const DAYS: u32 = 7;
const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ours::POLICIES;

    #[test]
    fn each_budget_is_kept() {
        let measured = values(Node::Light, DAYS, &[11, 12, 13, 14, 15, 16, 17]).unwrap();
        let mut missed = Vec::new();
        for spec in &SPECS {
            let of = |(name, _): &&(&str, _)| *name == spec.name;
            let (_, values) = measured.0.iter().find(of).unwrap();
            let median = Sample::new(values.clone()).unwrap().median();
            println!("{} {median:.3} {values:.3?}", spec.name);
            let Limit::AtMost(limit) = spec.limit else {
                continue;
            };
            if median > limit {
                missed.push(format!("{} is {median}, at most {limit}", spec.name));
            }
        }
        assert!(missed.is_empty(), "{missed:#?}");
    }

    #[test]
    fn the_small_node_counts_as_the_real_one_does() {
        let wire = Wire::new(&Recorded::kept().unwrap()).unwrap();
        let (messages, history) = FAMILY.days(1, HISTORY_DAYS, 21);
        let run = |node| {
            let scene = Scene {
                messages: &messages,
                history: &history,
                sends: &[10 * HOUR],
                ..quiet(21, node, &wire)
            };
            ours::run(&scene, &POLICIES).unwrap()
        };
        for ((real, light), policy) in run(Node::Real).iter().zip(run(Node::Light)).zip(POLICIES) {
            assert_eq!(real.delays.len(), messages.len(), "{}", policy.title);
            let median = |course: &Course| Outcome::of(course, &LTE, DAY);
            let (real, light) = (median(real), median(&light));
            for (real, light, part) in [
                (real.wakeups, light.wakeups, 0.001),
                (real.milliampere_hours, light.milliampere_hours, 0.02),
                (real.bytes, light.bytes, 0.1),
                (
                    real.delay_median_s.unwrap(),
                    light.delay_median_s.unwrap(),
                    0.001,
                ),
            ] {
                let off = real / light - 1.0;
                assert!(off.abs() < part, "{}: {real} or {light}", policy.title);
            }
        }
    }
}
