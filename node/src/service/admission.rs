//! How fast one client may send: two token buckets per pseudonym, shared by all its connections.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ailurus::{crypto::Pseudonym, wire::time::UnixMillis};

use crate::config::Limits;

/// The buckets of all clients that sent lately.
pub(crate) struct Admission {
    items: Rate,
    bytes: Rate,
    buckets: Mutex<HashMap<Pseudonym, Bucket>>,
}

#[derive(Clone, Copy)]
struct Rate {
    per_s: f64,
    burst: f64,
}

#[derive(Clone, Copy)]
struct Bucket {
    items: f64,
    bytes: f64,
    at: UnixMillis,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            items: Rate {
                per_s: f64::from(limits.items_per_second),
                burst: f64::from(limits.items_burst),
            },
            bytes: Rate {
                per_s: f64::from(limits.bytes_per_second),
                burst: f64::from(limits.bytes_burst),
            },
            buckets: Mutex::new(HashMap::new()),
        }
    }

    /// Takes what a request costs; false, and nothing taken, if the client has not that much left.
    pub(crate) fn take(
        &self,
        client: &Pseudonym,
        now: UnixMillis,
        items: usize,
        bytes: usize,
    ) -> bool {
        self.with(client, now, |bucket| {
            let (items, bytes) = (items as f64, bytes as f64);
            if bucket.items < items || bucket.bytes < bytes {
                return false;
            }
            bucket.items -= items;
            bucket.bytes -= bytes;
            true
        })
    }

    /// Charges for something that no honest client sends; may leave a debt.
    pub(crate) fn penalise(&self, client: &Pseudonym, now: UnixMillis, items: usize) {
        self.with(client, now, |bucket| bucket.items -= items as f64);
    }

    fn with<T>(
        &self,
        client: &Pseudonym,
        now: UnixMillis,
        act: impl FnOnce(&mut Bucket) -> T,
    ) -> T {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CLIENTS && !buckets.contains_key(client) {
            self.prune(&mut buckets, now);
        }
        let bucket = buckets.entry(*client).or_insert(Bucket {
            items: self.items.burst,
            bytes: self.bytes.burst,
            at: now,
        });
        self.refill(bucket, now);
        act(bucket)
    }

    fn refill(&self, bucket: &mut Bucket, now: UnixMillis) {
        let passed = now.since(bucket.at).as_secs_f64();
        bucket.items = (bucket.items + passed * self.items.per_s).min(self.items.burst);
        bucket.bytes = (bucket.bytes + passed * self.bytes.per_s).min(self.bytes.burst);
        bucket.at = now;
    }

    /// A full bucket is as good as none. If all are in use, they are forgotten: a limit must not become a leak.
    fn prune(&self, buckets: &mut HashMap<Pseudonym, Bucket>, now: UnixMillis) {
        buckets.retain(|_, bucket| {
            self.refill(bucket, now);
            bucket.items < self.items.burst || bucket.bytes < self.bytes.burst
        });
        if buckets.len() >= CLIENTS {
            buckets.clear();
        }
    }
}

/// Clients with buckets, about 100 bytes each.
const CLIENTS: usize = 100_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ALICE: Pseudonym = Pseudonym::from_bytes([1; 32]);
    const BOB: Pseudonym = Pseudonym::from_bytes([2; 32]);

    #[test]
    fn a_burst_is_followed_by_the_rate() {
        let admission = Admission::new(&Limits {
            items_per_second: 10,
            items_burst: 100,
            ..Limits::default()
        });
        let now = UnixMillis::from_secs(1_000);
        assert!(admission.take(&ALICE, now, 100, 1));
        assert!(!admission.take(&ALICE, now, 1, 1));
        assert!(admission.take(&BOB, now, 100, 1));
        let later = now.after(Duration::from_secs(1));
        assert!(admission.take(&ALICE, later, 10, 1));
        assert!(!admission.take(&ALICE, later, 1, 1));
        admission.penalise(&ALICE, later, 10);
        assert!(!admission.take(&ALICE, later.after(Duration::from_secs(1)), 1, 1));
    }

    #[test]
    fn bytes_count_too_and_a_clock_that_steps_back_gives_nothing() {
        let admission = Admission::new(&Limits {
            bytes_per_second: 10,
            bytes_burst: 100,
            ..Limits::default()
        });
        let now = UnixMillis::from_secs(1_000);
        assert!(admission.take(&ALICE, now, 1, 100));
        assert!(!admission.take(&ALICE, now.before(Duration::from_secs(500)), 1, 1));
    }
}
