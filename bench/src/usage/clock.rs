//! A clock that runs faster than real time, the same in several processes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ailurus::wire::time::{Clock, UnixMillis};

/// Showed `then` when the real time was `real`, and runs so many times faster since.
#[derive(Clone, Copy, Debug)]
pub struct Faster {
    pub real: UnixMillis,
    pub then: UnixMillis,
    pub times: u32,
}

impl Faster {
    /// Begins now, with the present.
    pub fn new(times: u32) -> Self {
        let now = real();
        Self {
            real: now,
            then: now,
            times,
        }
    }

    /// How long to wait in real time until this shows `at`.
    pub fn until(&self, at: UnixMillis) -> Duration {
        at.since(self.now()) / self.times
    }
}

impl Clock for Faster {
    fn now(&self) -> UnixMillis {
        self.then.after(real().since(self.real) * self.times)
    }
}

fn real() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    UnixMillis::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
