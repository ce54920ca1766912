//! How fast one client, and all clients of one network, may send: two token buckets each, shared by all connections.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use ailurus::{
    crypto::Pseudonym,
    wire::{node::Reason, time::UnixMillis},
};

use super::network::Network;
use crate::config::Limits;

/// The allowances of all clients and networks that sent lately.
pub(crate) struct Admission {
    clients: Buckets<Pseudonym>,
    networks: Buckets<Network>,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            clients: Buckets::new(
                Rate::new(limits.items_per_second, limits.items_burst),
                Rate::new(limits.bytes_per_second, limits.bytes_burst),
            ),
            networks: Buckets::new(
                Rate::new(
                    limits.items_per_second_per_network,
                    limits.items_burst_per_network,
                ),
                Rate::new(
                    limits.bytes_per_second_per_network,
                    limits.bytes_burst_per_network,
                ),
            ),
        }
    }

    /// Takes what a request costs.
    ///
    /// # Errors
    /// If the client or its network has not that much left. The network pays also for what its client may not do.
    pub(crate) fn take(
        &self,
        client: &Pseudonym,
        network: Option<&Network>,
        now: UnixMillis,
        items: usize,
        bytes: usize,
    ) -> Result<(), Reason> {
        if network.is_some_and(|network| !self.networks.take(network, now, items, bytes)) {
            return Err(Reason::NetworkLimited);
        }
        if !self.clients.take(client, now, items, bytes) {
            return Err(Reason::RateLimited);
        }
        Ok(())
    }

    /// Takes what only the network pays, as a client may have any number of keys; no more than it has at its best.
    ///
    /// # Errors
    /// If the network has not that much left.
    pub(crate) fn take_from_network(
        &self,
        network: Option<&Network>,
        now: UnixMillis,
        items: usize,
    ) -> Result<(), Reason> {
        let Some(network) = network else {
            return Ok(());
        };
        let items = items.min(self.networks.items.burst as usize);
        if !self.networks.take(network, now, items, 0) {
            return Err(Reason::NetworkLimited);
        }
        Ok(())
    }

    /// Takes what is to be read for a client, before it is read; no more than an allowance has at its best.
    ///
    /// # Errors
    /// As [`Admission::take`].
    pub(crate) fn take_for_reading(
        &self,
        client: &Pseudonym,
        network: Option<&Network>,
        now: UnixMillis,
        items: usize,
    ) -> Result<(), Reason> {
        self.take_from_network(network, now, items)?;
        let items = items.min(self.clients.items.burst as usize);
        if !self.clients.take(client, now, items, 0) {
            return Err(Reason::RateLimited);
        }
        Ok(())
    }

    /// Charges a client and its network for what was not known before; may leave a debt.
    pub(crate) fn penalise(
        &self,
        client: &Pseudonym,
        network: Option<&Network>,
        now: UnixMillis,
        items: usize,
    ) {
        let price = items as f64;
        self.clients
            .with(client, now, |bucket| bucket.items -= price);
        if let Some(network) = network {
            self.networks
                .with(network, now, |bucket| bucket.items -= price);
        }
    }
}

#[derive(Clone, Copy)]
struct Rate {
    per_s: f64,
    burst: f64,
}

impl Rate {
    fn new(per_s: u32, burst: u32) -> Self {
        Self {
            per_s: f64::from(per_s),
            burst: f64::from(burst),
        }
    }
}

struct Buckets<K> {
    items: Rate,
    bytes: Rate,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    items: f64,
    bytes: f64,
    at: UnixMillis,
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    fn new(items: Rate, bytes: Rate) -> Self {
        Self {
            items,
            bytes,
            buckets: Mutex::new(HashMap::new()),
        }
    }

    /// False, and nothing taken, if there is not that much left.
    fn take(&self, key: &K, now: UnixMillis, items: usize, bytes: usize) -> bool {
        self.with(key, now, |bucket| {
            let (items, bytes) = (items as f64, bytes as f64);
            if bucket.items < items || bucket.bytes < bytes {
                return false;
            }
            bucket.items -= items;
            bucket.bytes -= bytes;
            true
        })
    }

    fn with<T>(&self, key: &K, now: UnixMillis, act: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST && !buckets.contains_key(key) {
            self.prune(&mut buckets, now);
        }
        let bucket = buckets.entry(*key).or_insert(Bucket {
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
    fn prune(&self, buckets: &mut HashMap<K, Bucket>, now: UnixMillis) {
        buckets.retain(|_, bucket| {
            self.refill(bucket, now);
            bucket.items < self.items.burst || bucket.bytes < self.bytes.burst
        });
        if buckets.len() >= MOST {
            buckets.clear();
        }
    }
}

/// Buckets of each sort, about 100 bytes each.
const MOST: usize = 100_000;

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
        let take = |client, now, items| admission.take(client, None, now, items, 1).is_ok();
        assert!(take(&ALICE, now, 100));
        assert!(!take(&ALICE, now, 1));
        assert!(take(&BOB, now, 100));
        let later = now.after(Duration::from_secs(1));
        assert!(take(&ALICE, later, 10));
        assert!(!take(&ALICE, later, 1));
        admission.penalise(&ALICE, None, later, 10);
        assert!(!take(&ALICE, later.after(Duration::from_secs(1)), 1));
    }

    #[test]
    fn bytes_count_too_and_a_clock_that_steps_back_gives_nothing() {
        let admission = Admission::new(&Limits {
            bytes_per_second: 10,
            bytes_burst: 100,
            ..Limits::default()
        });
        let now = UnixMillis::from_secs(1_000);
        assert_eq!(admission.take(&ALICE, None, now, 1, 100), Ok(()));
        let before = now.before(Duration::from_secs(500));
        assert_eq!(
            admission.take(&ALICE, None, before, 1, 1),
            Err(Reason::RateLimited)
        );
    }

    #[test]
    fn clients_of_one_network_share_its_allowance() {
        let admission = Admission::new(&Limits {
            items_per_second_per_network: 1,
            items_burst_per_network: 10,
            ..Limits::default()
        });
        let now = UnixMillis::from_secs(1_000);
        let network = |ip: &str| Network::of(ip.parse().expect("an address"));
        let (here, there) = (network("192.0.2.1"), network("198.51.100.1"));
        assert_eq!(admission.take(&ALICE, here.as_ref(), now, 10, 0), Ok(()));
        assert_eq!(
            admission.take(&BOB, here.as_ref(), now, 1, 0),
            Err(Reason::NetworkLimited)
        );
        assert_eq!(admission.take(&BOB, there.as_ref(), now, 1, 0), Ok(()));
        let later = now.after(Duration::from_secs(1));
        assert_eq!(admission.take(&BOB, here.as_ref(), later, 1, 0), Ok(()));
    }
}
