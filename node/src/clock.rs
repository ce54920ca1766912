//! The one place where the node reads the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ailurus::wire::time::{Clock, UnixMillis};

/// The operating system's clock, shifted by a fixed offset (zero except in tests).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock {
    offset_ms: i64,
}

impl SystemClock {
    /// A clock that runs `offset_ms` milliseconds ahead of the system's, behind it if negative.
    pub fn with_offset_ms(offset_ms: i64) -> Self {
        Self { offset_ms }
    }
}

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "every other part of the node is given the time from here"
    )]
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        UnixMillis::from_millis(millis).offset(self.offset_ms)
    }
}
