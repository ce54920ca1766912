//! Time that nobody sets.

use std::time::Duration;

use ailurus::wire::time::UnixMillis;

/// A clock that only goes forward, made from one that people set.
#[derive(Default)]
pub(super) struct Steady {
    elapsed: Duration,
    last: Option<UnixMillis>,
}

impl Steady {
    pub(super) fn advance(&mut self, now: UnixMillis) -> Duration {
        // Set back, it stands still for the moment; set forward, what waits comes.
        self.elapsed += self.last.map_or(Duration::ZERO, |last| now.since(last));
        self.last = Some(now);
        self.elapsed
    }
}

/// Twice as long each time.
pub(super) fn back_off(first: Duration, times: u32, longest: Duration) -> Duration {
    first
        .saturating_mul(2_u32.saturating_pow(times.min(16)))
        .min(longest)
}
