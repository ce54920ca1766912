//! How much is sent: token buckets by a clock that nobody sets.

use std::time::Duration;

/// How often, in the long run and at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// In a second.
    pub(crate) per_s: f64,
    /// At once, at least one.
    pub(crate) burst: f64,
}

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    /// To one host. To one network (IPv4 /24, IPv6 /48) twice as much, as a name leads anywhere.
    pub(crate) host: Rate,
    /// Of these, challenges: strangers choose whom they reach.
    pub(crate) challenges: Rate,
}

impl Rates {
    /// So many a second to one host, in the long run.
    pub(crate) fn per_host(per_s: u32) -> Self {
        let per_s = f64::from(per_s.max(1));
        Self {
            host: Rate {
                per_s,
                burst: per_s * 5.0,
            },
            challenges: Rate {
                per_s: (per_s / 10.0).max(1.0),
                burst: per_s,
            },
        }
    }
}

impl Rates {
    pub(super) fn network(&self) -> Rate {
        Rate {
            per_s: self.host.per_s * 2.0,
            burst: self.host.burst * 2.0,
        }
    }
}

/// What is left of an allowance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Duration) -> Self {
        Self {
            tokens: rate.burst,
            at: now,
        }
    }

    /// Takes one; when there will be one again if there is none.
    pub(super) fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        self.refill(rate, now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let missing = Duration::try_from_secs_f64((1.0 - self.tokens) / rate.per_s);
        // A little later than the very moment, so that rounding does not make it too early.
        Err(now + missing.unwrap_or(LONGEST).min(LONGEST) + Duration::from_millis(1))
    }

    /// A full bucket is as good as none.
    pub(super) fn is_full(&mut self, rate: Rate, now: Duration) -> bool {
        self.refill(rate, now);
        self.tokens >= rate.burst
    }

    fn refill(&mut self, rate: Rate, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * rate.per_s).min(rate.burst);
        self.at = now;
    }
}

const LONGEST: Duration = Duration::from_secs(3_600);
