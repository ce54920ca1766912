//! Whose clock to believe. Envelopes are stamped with nodes' time, and secrets are deleted only when own clock and
//! nodes' clocks agree within a day (DESIGN.md, "Epochs").

use std::time::Duration;

use crate::wire::{
    limits::{MAX_AHEAD, MAX_CLOCK_DISAGREEMENT},
    time::UnixMillis,
};

/// What a node's `hello` says about the own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Within 15 minutes of each other.
    Agrees,
    /// Further apart, but within a day.
    Differs {
        /// By how much.
        by: Duration,
        /// True if the own clock is ahead of the node's.
        ahead: bool,
    },
    /// More than a day apart: nothing that depends on time is deleted.
    Disagrees {
        /// By how much.
        by: Duration,
        /// True if the own clock is ahead of the node's.
        ahead: bool,
    },
}

impl Verdict {
    /// Compares the own clock with a node's.
    pub fn of(own: UnixMillis, node: UnixMillis) -> Self {
        let by = own.distance(node);
        let ahead = own > node;
        if by > MAX_CLOCK_DISAGREEMENT {
            Self::Disagrees { by, ahead }
        } else if by > MAX_AHEAD {
            Self::Differs { by, ahead }
        } else {
            Self::Agrees
        }
    }
}

/// The time that both clocks have passed, by which secrets may be deleted; `None` if they disagree.
/// Of several nodes, all must agree with the own clock.
pub fn deletion_time(own: UnixMillis, nodes: &[UnixMillis]) -> Option<UnixMillis> {
    if nodes.is_empty() {
        return None;
    }
    nodes.iter().try_fold(own, |earliest, &node| {
        (own.distance(node) <= MAX_CLOCK_DISAGREEMENT).then(|| earliest.min(node))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::from_secs(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn judges_by_distance() {
        assert_eq!(Verdict::of(NOW, NOW.after(MAX_AHEAD)), Verdict::Agrees);
        assert_eq!(
            Verdict::of(NOW.after(HOUR), NOW),
            Verdict::Differs {
                by: HOUR,
                ahead: true
            }
        );
        assert_eq!(
            Verdict::of(NOW, NOW.after(25 * HOUR)),
            Verdict::Disagrees {
                by: 25 * HOUR,
                ahead: false
            }
        );
    }

    #[test]
    fn deletes_by_the_earliest_of_clocks_that_agree() {
        assert_eq!(deletion_time(NOW, &[]), None);
        assert_eq!(
            deletion_time(NOW, &[NOW.before(HOUR), NOW.after(HOUR)]),
            Some(NOW.before(HOUR))
        );
        assert_eq!(deletion_time(NOW, &[NOW, NOW.after(25 * HOUR)]), None);
        assert_eq!(deletion_time(NOW, &[NOW.before(25 * HOUR)]), None);
    }
}
