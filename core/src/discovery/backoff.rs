//! When a failing node is tried again: exponentially later, with jitter so that clients of a returning node spread out.

use std::time::Duration;

/// How long to wait after so many failures in a row, between half and all of twice as long each time; `random` is any
/// number, new each time.
pub fn wait(failures: u32, random: u64) -> Duration {
    let doublings = failures.saturating_sub(1);
    let ceiling = FIRST
        .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
        .min(LAST);
    let half = ceiling / 2;
    half + within(half, random)
}

/// Somewhere below `limit`, as `random` says.
pub fn within(limit: Duration, random: u64) -> Duration {
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(random % millis)
}

/// After the first failure, at most.
pub const FIRST: Duration = Duration::from_secs(30);
/// However often it failed.
pub const LAST: Duration = Duration::from_secs(6 * 3600);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_longer_each_time_up_to_six_hours(failures in 1_u32.., random: u64) {
            let now = wait(failures, random);
            prop_assert!(now >= FIRST / 2);
            prop_assert!(now <= LAST);
            if failures > 12 {
                prop_assert!(now >= LAST / 2);
            }
            // The shortest wait after the next failure is the longest after this one.
            prop_assert!(wait(failures.saturating_add(1), 0) + Duration::from_millis(1) >= now.min(LAST / 2));
        }
    }

    #[test]
    fn a_thousand_clients_spread() {
        let waits: std::collections::BTreeSet<Duration> =
            (0..1_000).map(|random| wait(5, random * 7_919)).collect();
        assert!(waits.len() > 990);
    }
}
