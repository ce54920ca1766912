//! When this user gets messages: a histogram by hour of the day that forgets, and how a day's wake-ups are laid out by it.

use std::time::Duration;

use crate::wire::time::UnixMillis;

/// Hours of a day, of Unix time: a phone need not know its time zone to see which of them are busy.
pub const HOURS: usize = 24;

/// What was learned of when messages come: a weight for each hour of the day, halved every week.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Habits {
    weights: [f64; HOURS],
    /// The weights are as of then.
    seen: UnixMillis,
    /// The hour of the last message, and how many of it were counted.
    last: (u64, u32),
}

impl Habits {
    /// As they were kept; what is no weight counts as none.
    pub fn from_weights(weights: [f64; HOURS], seen: UnixMillis) -> Self {
        let sound = |weight: f64| {
            if weight.is_finite() {
                weight.clamp(0.0, MOST)
            } else {
                0.0
            }
        };
        Self {
            weights: weights.map(sound),
            seen,
            last: (0, 0),
        }
    }

    /// What to keep: the weights, and as of when.
    pub fn weights(&self) -> ([f64; HOURS], UnixMillis) {
        (self.weights, self.seen)
    }

    /// A message came that was sent at `time`. Those of one hour count less and less, so that one long conversation does
    /// not decide alone.
    pub fn received(&mut self, time: UnixMillis, now: UnixMillis) {
        self.forget(now);
        let hour = time.as_secs() / 3_600;
        let before = if self.last.0 == hour { self.last.1 } else { 0 };
        self.last = (hour, before.saturating_add(1));
        if let Some(weight) = self.weights.get_mut(hour_of_day(time)) {
            *weight = (*weight + 1.0 / f64::from(before.saturating_add(1)).sqrt()).min(MOST);
        }
    }

    /// The share of the day's messages that each hour gets; equal shares while little is known.
    pub fn shares(&self) -> [f64; HOURS] {
        let sum: f64 = self.weights.iter().sum::<f64>() + PRIOR;
        self.weights
            .map(|weight| (weight + PRIOR / HOURS as f64) / sum)
    }

    /// The clock was set back.
    pub(super) fn set_back(&mut self, by: Duration) {
        self.seen = self.seen.before(by);
    }

    fn forget(&mut self, now: UnixMillis) {
        // A clock that leaps ahead, or a phone in a drawer, does not wipe out all that was learned.
        let passed = now.since(self.seen).min(HALF_LIFE);
        let left = (-passed.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
        for weight in &mut self.weights {
            *weight *= left;
        }
        self.seen = now;
    }
}

/// Wake-ups per hour for each hour of the day, `daily` in all: proportional to the square root of what an hour gets.
/// With r messages and p wake-ups an hour a message waits 1/(2p), and that makes the sum of r/p least for a given sum
/// of p. Hours that get next to nothing stay below `quiet`, all between `least` and `most`.
pub(super) fn allot(shares: &[f64; HOURS], daily: f64, bounds: Bounds) -> [f64; HOURS] {
    let most = shares.map(|share| {
        if share * (HOURS as f64) < QUIET {
            bounds.quiet
        } else {
            bounds.most
        }
    });
    let roots = shares.map(|share| (share + FLOOR).sqrt());
    let at = |level: f64| {
        let mut rates = [0.0; HOURS];
        for ((rate, root), most) in rates.iter_mut().zip(roots).zip(most) {
            *rate = (level * root).clamp(bounds.least.min(most), most);
        }
        rates
    };
    // The sum grows with the level, so it is found by halving.
    let (mut low, mut high) = (0.0, bounds.most / FLOOR.sqrt());
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if at(middle).iter().sum::<f64>() < daily {
            low = middle;
        } else {
            high = middle;
        }
    }
    at(low)
}

/// Wake-ups per hour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// In any hour.
    pub(super) most: f64,
    /// In hours that get next to nothing.
    pub(super) quiet: f64,
    /// In any hour, at least.
    pub(super) least: f64,
}

/// The time at which `polls` wake-ups are due after `from`, by the rates of the hours in between.
pub(super) fn run(rates: &[f64; HOURS], from: UnixMillis, polls: f64) -> UnixMillis {
    let mut left = polls;
    let mut at = from;
    // No rate is below one a day, so this ends long before.
    for _ in 0..10 * HOURS {
        let rate = rates.get(hour_of_day(at)).copied().unwrap_or(1.0);
        let rate = rate.max(1.0 / HOURS as f64);
        let end = UnixMillis::from_secs(
            (at.as_secs() / 3_600)
                .saturating_add(1)
                .saturating_mul(3_600),
        );
        let hours = end.since(at).as_secs_f64() / 3_600.0;
        if left <= hours * rate {
            return at.after(Duration::from_secs_f64(left / rate * 3_600.0));
        }
        left -= hours * rate;
        at = end;
    }
    at
}

fn hour_of_day(time: UnixMillis) -> usize {
    usize::try_from(time.as_secs() / 3_600 % HOURS as u64).unwrap_or(0)
}

const HALF_LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Messages that are taken as seen all over the day before any was.
const PRIOR: f64 = 3.0;
/// No hour weighs more.
const MOST: f64 = 1e6;
/// Added to the share of an hour, so that none is forgotten.
const FLOOR: f64 = 0.002;
/// An hour that gets less than this part of the mean gets next to nothing.
const QUIET: f64 = 0.2;
const HALVINGS: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    /// Midnight.
    const START: u64 = 20_000 * DAY;
    const BALANCED: Bounds = Bounds {
        most: 4.0,
        quiet: 0.8,
        least: 0.3,
    };

    fn at(day: u64, hour: u64) -> UnixMillis {
        UnixMillis::from_secs(START + day * DAY + hour * 3_600)
    }

    fn learn(habits: &mut Habits, days: std::ops::Range<u64>, hours: std::ops::Range<u64>) {
        for day in days {
            for hour in hours.clone() {
                habits.received(at(day, hour), at(day, hour));
            }
        }
    }

    #[test]
    fn a_day_is_laid_out_flat_until_something_is_learned() {
        let rates = allot(&Habits::default().shares(), 60.0, BALANCED);
        assert!(
            rates.iter().all(|rate| (rate - 2.5).abs() < 1e-6),
            "{rates:?}"
        );
    }

    #[test]
    fn hours_with_messages_get_more_within_the_same_budget() {
        let mut habits = Habits::default();
        learn(&mut habits, 0..7, 8..20);
        let rates = allot(&habits.shares(), 50.0, BALANCED);
        let sum: f64 = rates.iter().sum();
        assert!(sum <= 50.0 && sum > 49.9, "{sum}");
        assert!(rates[3] <= 0.8 && rates[3] >= 0.3, "night: {}", rates[3]);
        assert!(rates[12] > 3.0 && rates[12] <= 4.0, "day: {}", rates[12]);
    }

    #[test]
    fn the_histogram_decays_and_adapts() {
        let mut habits = Habits::default();
        learn(&mut habits, 0..14, 8..16);
        let before = habits.shares();
        assert!(before[10] > 5.0 * before[20]);
        // The user moves to the other side of the world.
        learn(&mut habits, 14..42, 18..24);
        let after = habits.shares();
        assert!(after[20] > 5.0 * after[10], "{after:?}");
        assert!(after[10] < before[10] / 8.0);
    }

    #[test]
    fn one_long_conversation_does_not_decide_alone() {
        let mut habits = Habits::default();
        learn(&mut habits, 0..7, 8..10);
        for second in 0..1_000 {
            let time = at(7, 15).after(Duration::from_secs(second));
            habits.received(time, time);
        }
        let shares = habits.shares();
        assert!(
            shares[15] < 15.0 * shares[8],
            "1000 count as about 60: {shares:?}"
        );
    }

    #[test]
    fn a_clock_that_leaps_wipes_out_at_most_half() {
        let mut habits = Habits::default();
        learn(&mut habits, 0..7, 8..20);
        let before = habits.weights().0[10];
        habits.received(at(4_000, 3), at(4_000, 3));
        assert!(habits.weights().0[10] >= before / 2.0);
        habits.received(at(1, 3), at(1, 3));
        assert!(
            habits.weights().0[10] >= before / 2.0,
            "and back costs nothing"
        );
    }

    #[test]
    fn kept_weights_that_are_no_weights_do_no_harm() {
        let mut weights = [1.0; HOURS];
        weights[0] = f64::NAN;
        weights[1] = f64::NEG_INFINITY;
        weights[2] = 1e300;
        let shares = Habits::from_weights(weights, at(0, 0)).shares();
        assert!(shares.iter().all(|share| share.is_finite() && *share > 0.0));
        let rates = allot(&shares, 60.0, BALANCED);
        assert!(
            rates.iter().all(|rate| (0.3..=4.0).contains(rate)),
            "{rates:?}"
        );
    }

    #[test]
    fn a_wakeup_is_placed_across_hours_of_different_rates() {
        let mut rates = [4.0; HOURS];
        rates[1] = 0.5;
        // A quarter of an hour in a busy hour.
        assert_eq!(
            run(&rates, at(0, 2), 1.0),
            at(0, 2).after(Duration::from_secs(900))
        );
        // Half of it in the quiet hour, the other half in 7.5 minutes of the busy one.
        let from = at(0, 1);
        assert_eq!(
            run(&rates, from, 1.0),
            at(0, 2).after(Duration::from_secs(450))
        );
        assert_eq!(
            run(&[0.0; HOURS], from, 1.0),
            from.after(Duration::from_secs(DAY))
        );
    }
}
