//! When to try a node again: exponentially later, with jitter so that clients of a returning node spread out.

use std::time::Duration;

/// Failures in a row of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    failures: u32,
}

impl Retry {
    /// The node answered.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The node failed; returns how long to wait. `random` is any number, new each time.
    pub fn failed(&mut self, random: u64) -> Duration {
        let ceiling = FIRST
            .saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX))
            .min(LAST);
        self.failures = self.failures.saturating_add(1);
        let half = ceiling / 2;
        let millis = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_millis(random % millis)
    }
}

const FIRST: Duration = Duration::from_secs(2);
const LAST: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_longer_up_to_five_minutes(randoms in proptest::collection::vec(any::<u64>(), 1..50)) {
            let mut retry = Retry::default();
            for (number, random) in randoms.into_iter().enumerate() {
                let wait = retry.failed(random);
                prop_assert!(wait <= LAST);
                prop_assert!(wait >= FIRST / 2);
                if number > 8 {
                    prop_assert!(wait >= LAST / 2);
                }
            }
            retry.succeeded();
            prop_assert!(retry.failed(0) <= FIRST);
        }
    }
}
