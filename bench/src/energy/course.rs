//! What a policy did: its packets, and when messages came.

use std::time::Duration;

use super::radio::{Packet, Profile, Spent, milliampere_hours};

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
    /// A day.
    pub joules: f64,
    /// What the radio takes anyway, a day.
    pub idle_joules: f64,
    /// In seconds; `None` without messages.
    pub delay_median_s: Option<f64>,
    pub delay_p95_s: Option<f64>,
    pub messages: usize,
    /// Wake-ups, joules and bytes a day by reason.
    pub by_reason: Vec<(&'static str, f64, f64, f64)>,
}

impl Outcome {
    /// Of the days from `from` to `end`, both midnights; what came before only prepares.
    pub fn of(course: &Course, profile: &Profile, from: Duration, end: Duration) -> Self {
        let first = course.packets.partition_point(|packet| packet.at < from);
        let last = course.packets.partition_point(|packet| packet.at < end);
        let packets: Vec<Packet> = course
            .packets
            .get(first..last)
            .unwrap_or_default()
            .iter()
            .map(|packet| Packet {
                at: packet.at.saturating_sub(from),
                ..*packet
            })
            .collect();
        let lasts = end.saturating_sub(from);
        let days = lasts.as_secs_f64() / DAY_S;
        let spent = profile.spend(&packets, lasts);
        let total = spent.total();
        let night = spent.wakeups.iter().filter(|at| is_night(**at)).count() as f64;
        let all = spent.wakeups.len() as f64;
        let mut delays: Vec<f64> = course
            .delays
            .iter()
            .filter(|(at, _)| (from..end).contains(at))
            .map(|(_, delay)| delay.as_secs_f64())
            .collect();
        delays.sort_by(f64::total_cmp);
        Self {
            wakeups_by_day: (all - night) / days / (24.0 - NIGHT_H),
            wakeups_by_night: night / days / NIGHT_H,
            wakeups: all / days / 24.0,
            high_s: total.high.as_secs_f64() / days,
            bytes: (total.sent + total.received) as f64 / days,
            joules: total.joules / days,
            idle_joules: spent.idle_joules / days,
            delay_median_s: quantile(&delays, 0.5),
            delay_p95_s: quantile(&delays, 0.95),
            messages: delays.len(),
            by_reason: reasons(&spent, days),
        }
    }

    /// A day, above what an idle radio takes.
    pub fn milliampere_hours(&self) -> f64 {
        milliampere_hours(self.joules)
    }
}

fn reasons(spent: &Spent, days: f64) -> Vec<(&'static str, f64, f64, f64)> {
    let rows = spent.by_reason.iter().map(|(reason, cost)| {
        (
            *reason,
            cost.wakeups as f64 / days,
            cost.joules / days,
            (cost.sent + cost.received) as f64 / days,
        )
    });
    rows.collect()
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
                (Duration::from_secs(1), Duration::from_secs(9)),
                (Duration::from_secs(90_000), Duration::from_secs(60)),
            ],
            ..Course::default()
        };
        // The second day and the third; the first one only prepares.
        let day = Duration::from_secs(86_400);
        let outcome = Outcome::of(&course, &LTE_2012, day, 3 * day);
        assert_eq!(outcome.wakeups_by_night, 1.0 / 2.0 / 8.0);
        assert_eq!(outcome.wakeups_by_day, 2.0 / 2.0 / 16.0);
        assert_eq!(outcome.bytes, 150.0);
        assert!((outcome.joules - 1.5 * 11.06).abs() < 0.01);
        assert_eq!((outcome.messages, outcome.delay_median_s), (1, Some(60.0)));
        assert_eq!(outcome.by_reason.len(), 1);
    }

    #[test]
    fn quantiles_of_few() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[4.0], 0.95), Some(4.0));
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.5), Some(2.0));
    }
}
