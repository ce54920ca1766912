//! Which addresses to lease, and when: the living epochs at once, the next one at a time of one's own.

use crate::channel::Epoch;
use crate::wire::{limits::ADDRESS_EARLY, time::UnixMillis};

/// The epochs whose addresses should be leased at `now` (by the node's clock).
///
/// `spread` is any fixed number of this client and channel: it places the registration for the next epoch within
/// the two days before it, so that nodes are not stampeded at the turn.
pub fn wanted(now: UnixMillis, spread: u64) -> impl Iterator<Item = Epoch> {
    let [previous, current] = Epoch::alive(now);
    let next = current.next();
    let next = (now >= registration_time(next, spread)).then_some(next);
    [previous, current].into_iter().chain(next)
}

/// When this client registers for `epoch`: between two days and six hours before it.
pub fn registration_time(epoch: Epoch, spread: u64) -> UnixMillis {
    let window = ADDRESS_EARLY - RESERVE;
    let offset = spread % u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    epoch
        .start()
        .before(ADDRESS_EARLY)
        .after(std::time::Duration::from_millis(offset))
}

/// Kept free before the turn, for phones that poll rarely.
const RESERVE: std::time::Duration = std::time::Duration::from_secs(6 * 3600);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn next_epoch_is_leased_once_within_its_window(spread: u64, number in 1_000_u64..10_000) {
            let epoch = Epoch::new(number);
            let time = registration_time(epoch, spread);
            prop_assert!(time >= epoch.start().before(ADDRESS_EARLY));
            prop_assert!(time <= epoch.start().before(RESERVE));
            let before: Vec<_> = wanted(UnixMillis::from_millis(time.as_millis() - 1), spread).collect();
            prop_assert_eq!(before, vec![Epoch::new(number - 2), Epoch::new(number - 1)]);
            let after: Vec<_> = wanted(time, spread).collect();
            prop_assert_eq!(after, vec![Epoch::new(number - 2), Epoch::new(number - 1), epoch]);
        }
    }
}
