//! The platform: when it wakes an app that asked for it.

use std::time::Duration;

use ailurus_bench::random::Random;

/// Which rules hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Os {
    /// At any moment within the plan's slack.
    #[default]
    Planned,
    /// And as Android's JobScheduler does: 15 minutes between two jobs, and from half past 23 to half past 6, while the
    /// phone lies still, only in doze's maintenance windows.
    Android,
}

impl Os {
    /// When an app is woken that asked for `at` with so much slack, and ran last at `last`.
    pub fn wakes(
        self,
        at: Duration,
        slack: Duration,
        last: Option<Duration>,
        random: &mut Random,
    ) -> Duration {
        let chosen = at + slack.mul_f64(random.unit());
        match self {
            Self::Planned => chosen,
            Self::Android => {
                let earliest = last.map_or(Duration::ZERO, |last| last + JOB_INTERVAL);
                out_of_doze(chosen.max(earliest))
            }
        }
    }

    /// Whether the phone dozes then.
    pub fn dozes(self, at: Duration) -> bool {
        self == Self::Android && since_dusk(at) < DOZE_LASTS
    }

    /// When that changes next.
    pub fn next_change(self, at: Duration) -> Option<Duration> {
        if self == Self::Planned {
            return None;
        }
        let since = since_dusk(at);
        let next = if since < DOZE_LASTS { DOZE_LASTS } else { DAY };
        Some(at + (next - since))
    }
}

/// The next moment at which a job may run.
fn out_of_doze(at: Duration) -> Duration {
    let since = since_dusk(at);
    if since >= DOZE_LASTS {
        return at;
    }
    let in_window = WINDOWS
        .iter()
        .any(|window| (*window..*window + WINDOW_LASTS).contains(&since));
    if in_window {
        return at;
    }
    let next = WINDOWS.into_iter().find(|window| *window >= since);
    at + (next.unwrap_or(DOZE_LASTS) - since)
}

/// Since doze began last.
fn since_dusk(at: Duration) -> Duration {
    let shifted = (at + DAY - DUSK).as_millis() % DAY.as_millis();
    Duration::from_millis(u64::try_from(shifted).unwrap_or(0))
}

const DAY: Duration = Duration::from_secs(24 * 3_600);
const JOB_INTERVAL: Duration = Duration::from_secs(15 * 60);
const DUSK: Duration = Duration::from_secs(23 * 3_600 + 1_800);
const DOZE_LASTS: Duration = Duration::from_secs(7 * 3_600);
/// After doze began: 1 hour, then 2 and 4 more, as AOSP's DeviceIdleController doubles them.
const WINDOWS: [Duration; 2] = [Duration::from_secs(3_600), Duration::from_secs(3 * 3_600)];
const WINDOW_LASTS: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: f64) -> Duration {
        Duration::from_secs_f64(hour * 3_600.0)
    }

    #[test]
    fn as_planned_is_within_the_slack() {
        let mut random = Random::new(1, 0);
        let slack = at(0.1);
        let moments: Vec<Duration> = (0..200)
            .map(|_| Os::Planned.wakes(at(5.0), slack, Some(at(5.0)), &mut random))
            .collect();
        let within = at(5.0)..at(5.1);
        assert!(moments.iter().all(|moment| within.contains(moment)));
        let early = moments.iter().filter(|moment| **moment < at(5.05)).count();
        assert!((70..130).contains(&early), "{early}");
    }

    #[test]
    fn android_waits_a_quarter_of_an_hour_and_for_windows() {
        let mut random = Random::new(1, 0);
        let mut wakes = |planned, last| {
            Os::Android.wakes(at(planned), Duration::ZERO, Some(at(last)), &mut random)
        };
        assert_eq!(wakes(12.0, 11.9), at(12.15));
        assert_eq!(wakes(12.0, 11.0), at(12.0));
        // Doze begins at 23:30: windows at half past 0 and half past 2, and the morning.
        assert_eq!(wakes(23.9, 23.0), at(24.5));
        assert_eq!(wakes(24.52, 23.0), at(24.52));
        assert_eq!(wakes(25.0, 23.0), at(26.5));
        assert_eq!(wakes(27.0, 23.0), at(30.5));
        assert_eq!(wakes(31.0, 23.0), at(31.0));
    }

    #[test]
    fn doze_has_a_beginning_and_an_end() {
        assert!(!Os::Android.dozes(at(23.4)) && Os::Android.dozes(at(23.6)));
        assert!(Os::Android.dozes(at(3.0)) && !Os::Android.dozes(at(6.6)));
        assert_eq!(Os::Android.next_change(at(20.0)), Some(at(23.5)));
        assert_eq!(Os::Android.next_change(at(23.5)), Some(at(30.5)));
        assert_eq!(Os::Planned.next_change(at(1.0)), None);
        assert!(!Os::Planned.dozes(at(3.0)));
    }
}
