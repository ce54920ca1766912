//! The clock of a measurement: always the middle of an epoch, so that the day of the week changes nothing.

use ailurus::{
    channel::Epoch,
    client::SystemClock,
    wire::{
        limits::EPOCH,
        time::{Clock as _, UnixMillis},
    },
};

/// The system's clock, shifted by whole seconds into the middle of the current epoch.
#[derive(Clone, Copy)]
pub struct BenchClock {
    offset_s: i64,
}

impl BenchClock {
    /// Shifted from now on.
    pub fn in_mid_epoch() -> Self {
        let now = SystemClock::default().now();
        let middle = Epoch::of(now).start().after(EPOCH / 2);
        Self::shifted(middle.delta(now) / 1_000)
    }

    /// The clock of another process.
    pub fn shifted(offset_s: i64) -> Self {
        Self { offset_s }
    }

    /// By how many seconds it is shifted.
    pub fn offset_s(self) -> i64 {
        self.offset_s
    }

    /// For clients.
    pub fn system(self) -> SystemClock {
        SystemClock::with_offset(self.offset_s * 1_000)
    }

    /// Now.
    pub fn now(self) -> UnixMillis {
        self.system().now()
    }
}
