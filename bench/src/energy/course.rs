//! What a policy did: its packets, and when messages came.

use std::time::Duration;

use ailurus::power::radio::Energy;

use super::radio::{Packet, Profile, Spent};

/// A course of days.
#[derive(Debug, Default)]
pub struct Course {
    /// In order of time.
    pub packets: Vec<Packet>,
    /// When a message reached the node, and how much later the phone.
    pub delays: Vec<(Duration, Duration)>,
    /// Attempts while there was no network.
    pub attempts_without_network: u64,
}

/// A course as people compare them: figures of an average day.
#[derive(Debug)]
pub struct Outcome {
    /// An hour, from 7 to 23 o'clock.
    pub wakeups_by_day: f64,
    /// An hour, from 23 to 7 o'clock.
    pub wakeups_by_night: f64,
    /// An hour, of all.
    pub wakeups: f64,
    /// Seconds a day.
    pub high_s: f64,
    /// A day, both ways, IP headers included.
    pub bytes: f64,
    /// A day, above what an idle radio takes.
    pub milliampere_hours: f64,
    /// What the radio takes anyway, a day.
    pub idle_milliampere_hours: f64,
    /// In seconds; `None` without messages.
    pub delay_median_s: Option<f64>,
    pub delay_p95_s: Option<f64>,
    pub messages: usize,
    /// A day, by reason.
    pub by_reason: Vec<Share>,
}

/// What a reason costs a day.
#[derive(Debug)]
pub struct Share {
    pub reason: &'static str,
    pub wakeups: f64,
    pub milliampere_hours: f64,
    pub bytes: f64,
}

impl Outcome {
    /// Of the days until `end`, a midnight.
    pub fn of(course: &Course, profile: &Profile, end: Duration) -> Self {
        let last = course.packets.partition_point(|packet| packet.at < end);
        let packets = course.packets.get(..last).unwrap_or_default();
        let days = end.as_secs_f64() / DAY_S;
        let spent = profile.spend(packets, end);
        let total = spent.total;
        let night = spent.wakeups.iter().filter(|at| is_night(**at)).count() as f64;
        let all = spent.wakeups.len() as f64;
        let mut delays: Vec<f64> = course
            .delays
            .iter()
            .map(|(_, delay)| delay.as_secs_f64())
            .collect();
        delays.sort_by(f64::total_cmp);
        Self {
            wakeups_by_day: (all - night) / days / (24.0 - NIGHT_H),
            wakeups_by_night: night / days / NIGHT_H,
            wakeups: all / days / 24.0,
            high_s: total.high.as_secs_f64() / days,
            bytes: (total.sent + total.received) as f64 / days,
            milliampere_hours: total.mah() / days,
            idle_milliampere_hours: charge(spent.idle_joules) / days,
            delay_median_s: quantile(&delays, 0.5),
            delay_p95_s: quantile(&delays, 0.95),
            messages: delays.len(),
            by_reason: reasons(&spent, days),
        }
    }
}

fn charge(joules: f64) -> f64 {
    Energy {
        joules,
        ..Energy::default()
    }
    .mah()
}

fn reasons(spent: &Spent, days: f64) -> Vec<Share> {
    let shares = spent.by_reason.iter().map(|(reason, cost)| Share {
        reason,
        wakeups: cost.wakeups as f64 / days,
        milliampere_hours: cost.mah() / days,
        bytes: (cost.sent + cost.received) as f64 / days,
    });
    shares.collect()
}

/// From 23 to 7 o'clock.
pub fn is_night(at: Duration) -> bool {
    let hour = at.as_secs() / 3_600 % 24;
    !(7..23).contains(&hour)
}

/// The value below which this part of the sorted ones lies.
pub fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((part * last as f64).round() as usize).copied()
}

const DAY_S: f64 = 86_400.0;
const NIGHT_H: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::{LTE_2012, Way};

    #[test]
    fn days_and_nights_are_told_apart() {
        let hours = [1.0, 3.0, 12.0, 24.0 + 8.0, 24.0 + 23.5, 48.0 + 12.0];
        let course = Course {
            packets: hours
                .iter()
                .map(|hour| Packet {
                    at: Duration::from_secs_f64(hour * 3_600.0),
                    bytes: 100,
                    way: Way::Up,
                    reason: "poll",
                })
                .collect(),
            delays: vec![
                (Duration::from_secs(90_000), Duration::from_secs(60)),
                (Duration::from_secs(90_010), Duration::from_secs(50)),
            ],
            ..Course::default()
        };
        let outcome = Outcome::of(&course, &LTE_2012, Duration::from_secs(2 * 86_400));
        assert_eq!(outcome.wakeups_by_night, 3.0 / 2.0 / 8.0);
        assert_eq!(outcome.wakeups_by_day, 2.0 / 2.0 / 16.0);
        assert_eq!(outcome.bytes, 250.0);
        assert!((outcome.milliampere_hours - 2.5 * 0.80).abs() < 0.02);
        assert_eq!((outcome.messages, outcome.delay_median_s), (2, Some(60.0)));
        assert_eq!(outcome.by_reason.len(), 1);
    }

    #[test]
    fn quantiles_of_few() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[4.0], 0.95), Some(4.0));
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.5), Some(2.0));
    }
}
