//! How often to wake up: by preference, and by what the phone can afford.

use std::time::Duration;

use super::habits::Bounds;
use super::{PowerState, Preference, StandbyBucket};

/// Between packets that keep a live connection open: carrier NATs forget a UDP flow after about 30 s.
pub const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What a preference stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tempo {
    /// Wake-ups a day that are laid out over its hours.
    pub(super) daily: f64,
    /// Further ones, for conversations that go on.
    pub(super) lively: f64,
    pub(super) bounds: Bounds,
    /// How far a wake-up may move, so that the system can wake several apps at once.
    pub(super) slack: Duration,
    /// Between two wake-ups while pushes tell of what is new: for those that got lost.
    pub(super) safety: Duration,
}

impl Tempo {
    /// A 4.5-minute keep-alive wakes the radio 320 times a day; these are about 1/2, 1/4 and 1/10 of it.
    pub(super) fn of(preference: Preference) -> Self {
        match preference {
            Preference::Fast => Self {
                daily: 140.0,
                lively: 16.0,
                bounds: Bounds {
                    most: 10.0,
                    quiet: 1.5,
                    least: 0.7,
                },
                slack: minutes(2),
                safety: minutes(6 * 60),
            },
            Preference::Balanced => Self {
                daily: 60.0,
                lively: 8.0,
                bounds: Bounds {
                    most: 4.0,
                    quiet: 0.4,
                    least: 0.4,
                },
                slack: minutes(5),
                safety: minutes(12 * 60),
            },
            Preference::Frugal => Self {
                daily: 25.0,
                lively: 2.0,
                bounds: Bounds {
                    most: 1.5,
                    quiet: 0.4,
                    least: 0.2,
                },
                slack: minutes(15),
                safety: minutes(24 * 60),
            },
        }
    }
}

/// What the phone's state makes of a tempo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    /// Intervals are so many times longer.
    pub(super) factor: f64,
    /// And not shorter than this.
    pub(super) least: Duration,
}

impl Stretch {
    /// `low` battery, `roaming`, or `plentiful`: power from outside and a network that costs nothing.
    pub(super) fn of(power: &PowerState, low: bool, roaming: bool, plentiful: bool) -> Self {
        let system = match power.bucket {
            StandbyBucket::Active => Duration::ZERO,
            StandbyBucket::WorkingSet => minutes(2 * 60),
            StandbyBucket::Frequent => minutes(8 * 60),
            StandbyBucket::Rare | StandbyBucket::Restricted => minutes(24 * 60),
        };
        let doze = if power.doze {
            minutes(60)
        } else {
            Duration::ZERO
        };
        let mut factor = 1.0;
        for (holds, times) in [(low, 2.0), (power.saver, 2.0), (roaming, 2.0)] {
            if holds {
                factor *= times;
            }
        }
        if plentiful && !power.saver {
            factor = 0.5;
        }
        Self {
            factor,
            least: system.max(doze),
        }
    }
}

/// Below this a battery is low, and from [`RECOVERED`] on no longer.
pub(super) const LOW: u8 = 20;
pub(super) const RECOVERED: u8 = 25;

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}
