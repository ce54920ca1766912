//! Days of people, from a seed: conversations begin by the hour of the day and come as bursts.
//!
//! The hours, the length of conversations and the length of texts are assumptions of what is usual, not measurements;
//! a trace of one's own tells more (`--trace`).

use std::time::Duration;

use ailurus_bench::random::Random;

use super::Message;

/// What kind of days.
pub struct Kind {
    /// What it is called on the command line.
    pub name: &'static str,
    /// In a sentence.
    pub about: &'static str,
    /// Messages to receive a day.
    pub a_day: f64,
    /// In a conversation, on average.
    burst: f64,
    /// Between two messages of a conversation, on average, in seconds.
    gap_s: f64,
    /// How many conversations begin in each hour of the day, one beside the other.
    hours: [f64; 24],
}

impl Kind {
    /// The messages of so many days, and those of so many days before them.
    pub fn days(&self, days: u32, before: u32, seed: u64) -> (Vec<Message>, Vec<Message>) {
        let messages = self.messages(days, &mut Random::new(seed, 0));
        let history = self.messages(before, &mut Random::new(seed, 1));
        (messages, history)
    }

    /// The messages of so many days: as many as are said, but not on each day. Sundays are like Mondays.
    fn messages(&self, days: u32, random: &mut Random) -> Vec<Message> {
        let end = f64::from(days) * 24.0 * HOUR_S;
        let count = (self.a_day * f64::from(days)).round() as usize;
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            let day = random.below(days as usize) as f64;
            let mut at = (day * 24.0 + self.hour(random)) * HOUR_S;
            // A first message, and after each with some chance another one.
            loop {
                messages.push(Message {
                    at: Duration::from_secs_f64(at % end),
                    bytes: text(random),
                });
                if messages.len() == count || random.chance(1.0 / self.burst) {
                    break;
                }
                at += random.wait(self.gap_s);
            }
        }
        messages.sort_by_key(|message| message.at);
        messages
    }

    /// When a conversation begins, in hours since midnight.
    fn hour(&self, random: &mut Random) -> f64 {
        let mut left = random.unit() * self.hours.iter().sum::<f64>();
        for (hour, share) in (0_u32..).zip(self.hours) {
            if left < share {
                return f64::from(hour) + left / share;
            }
            left -= share;
        }
        0.0
    }
}

/// The length of a text: short ones mostly, now and then a long one.
fn text(random: &mut Random) -> usize {
    let length = random.wait(SHORT_TEXT) + if random.chance(0.05) { 400.0 } else { 1.0 };
    (length as usize).clamp(1, MAX_TEXT)
}

/// All kinds; the first is what budgets are for.
pub const KINDS: [&Kind; 4] = [&FAMILY, &QUIET, &BUSY, &NIGHT];

/// A family that chats through the day.
pub const FAMILY: Kind = Kind {
    name: "family",
    about: "60 messages a day, in conversations of 6, hardly any at night",
    a_day: 60.0,
    burst: 6.0,
    gap_s: 75.0,
    hours: DAY,
};

const QUIET: Kind = Kind {
    name: "quiet",
    about: "8 messages a day, two at a time",
    a_day: 8.0,
    burst: 2.0,
    gap_s: 120.0,
    hours: DAY,
};

const BUSY: Kind = Kind {
    name: "busy",
    about: "a group with 600 messages a day, in conversations of 25",
    a_day: 600.0,
    burst: 25.0,
    gap_s: 40.0,
    hours: DAY,
};

const NIGHT: Kind = Kind {
    name: "night",
    about: "60 messages a day to somebody who works at night and sleeps by day",
    a_day: 60.0,
    burst: 6.0,
    gap_s: 75.0,
    hours: NIGHTLY,
};

/// Most in the evening, hardly any from midnight to six.
const DAY: [f64; 24] = [
    0.2, 0.05, 0.02, 0.02, 0.02, 0.1, 0.6, 2.0, 2.5, 2.0, 2.0, 2.2, 3.0, 2.5, 2.0, 2.2, 2.8, 3.5,
    4.0, 4.5, 4.5, 4.0, 2.0, 0.6,
];
/// The same 11 hours later.
const NIGHTLY: [f64; 24] = [
    2.5, 2.0, 2.2, 2.8, 3.5, 4.0, 4.5, 4.5, 4.0, 2.0, 0.6, 0.2, 0.05, 0.02, 0.02, 0.02, 0.1, 0.6,
    2.0, 2.5, 2.0, 2.0, 2.2, 3.0,
];
const HOUR_S: f64 = 3_600.0;
/// The mean length of most texts, in bytes.
const SHORT_TEXT: f64 = 60.0;
const MAX_TEXT: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn hundred_days(kind: &Kind, seed: u64) -> Vec<Message> {
        kind.messages(100, &mut Random::new(seed, 0))
    }

    #[test]
    fn as_many_messages_a_day_as_are_said() {
        for kind in KINDS {
            let messages = hundred_days(kind, 1);
            assert_eq!(messages.len() as f64, 100.0 * kind.a_day, "{}", kind.name);
            assert!(messages.is_sorted_by_key(|message| message.at));
        }
    }

    #[test]
    fn a_seed_repeats_a_trace_and_another_one_does_not() {
        assert_eq!(hundred_days(&FAMILY, 3), hundred_days(&FAMILY, 3));
        assert_ne!(hundred_days(&FAMILY, 3), hundred_days(&FAMILY, 4));
    }

    #[test]
    fn families_sleep_and_talk_in_bursts() {
        let messages = hundred_days(&FAMILY, 5);
        let at_night = |message: &&Message| message.at.as_secs() % 86_400 < 6 * 3_600;
        let night = messages.iter().filter(at_night).count();
        assert!(night * 50 < messages.len(), "{night} at night");
        let close = messages
            .windows(2)
            .filter(|two| two[1].at.saturating_sub(two[0].at) < Duration::from_secs(300));
        // By chance alone it would be a fifth.
        assert!(close.count() * 10 > messages.len() * 7);
    }

    #[test]
    fn texts_are_short_mostly() {
        let mut lengths: Vec<usize> = hundred_days(&FAMILY, 7).iter().map(|m| m.bytes).collect();
        lengths.sort_unstable();
        let (median, last) = (lengths[lengths.len() / 2], lengths[lengths.len() - 1]);
        assert!((20..80).contains(&median), "{median}");
        assert!(last > 400 && last <= MAX_TEXT);
    }
}
