//! What the client's sockets spend, counted under what it does meanwhile.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::net::Meter;
use crate::power::{Hour, Ledger, NetworkKind, UsageRow, WakeupReason};
use crate::wire::time::UnixMillis;

use super::lock;

/// The ledger, as the client's tasks and sockets share it. The network's tasks call it, so it asks nobody else's code for
/// the time: it is told, and counts on from there.
pub(super) struct Spending {
    ledger: Mutex<Ledger>,
    told: Mutex<(Instant, UnixMillis)>,
}

impl Spending {
    pub(super) fn new(now: UnixMillis) -> Arc<Self> {
        Arc::new(Self {
            ledger: Mutex::default(),
            told: Mutex::new((Instant::now(), now)),
        })
    }

    /// What the client's clock says.
    pub(super) fn tell_time(&self, now: UnixMillis) {
        *lock(&self.told) = (Instant::now(), now);
    }

    /// The time by what was told last.
    pub(super) fn now(&self) -> UnixMillis {
        let (then, told) = *lock(&self.told);
        told.after(then.elapsed())
    }

    /// What is spent while this is held counts as spent for `reason`.
    pub(super) fn on(self: &Arc<Self>, reason: WakeupReason) -> Activity {
        lock(&self.ledger).begin(reason);
        Activity {
            spending: Arc::clone(self),
            reason,
        }
    }

    /// The DHT is searched while this is held. Its sockets are not counted, so only what the radio does at the beginning and
    /// at the end is.
    #[cfg(feature = "dht")]
    pub(super) fn search(self: &Arc<Self>) -> Search {
        let activity = self.on(WakeupReason::Dht);
        self.sent(0);
        Search(activity)
    }

    /// A connection stands while this is held.
    pub(super) fn connection(self: &Arc<Self>, reason: WakeupReason) -> Standing {
        let now = self.now();
        let number = lock(&self.ledger).opened(reason, now);
        Standing {
            spending: Arc::clone(self),
            number,
        }
    }

    pub(super) fn set_network(&self, network: NetworkKind) {
        lock(&self.ledger).set_network(network);
    }

    /// What was spent since the last time.
    pub(super) fn take(&self) -> Vec<(Hour, UsageRow)> {
        let now = self.now();
        lock(&self.ledger).take(now)
    }

    /// Gives back what could not be kept.
    pub(super) fn put_back(&self, rows: Vec<(Hour, UsageRow)>) {
        lock(&self.ledger).put_back(rows);
    }
}

impl Meter for Spending {
    fn sent(&self, bytes: u64) {
        let now = self.now();
        lock(&self.ledger).sent(bytes, now);
    }

    fn received(&self, bytes: u64) {
        let now = self.now();
        lock(&self.ledger).received(bytes, now);
    }
}

impl std::fmt::Debug for Spending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spending").finish_non_exhaustive()
    }
}

/// Something that spends, until it is dropped.
pub(super) struct Activity {
    spending: Arc<Spending>,
    reason: WakeupReason,
}

impl Drop for Activity {
    fn drop(&mut self) {
        lock(&self.spending.ledger).end(self.reason);
    }
}

/// A search in the DHT, until it is dropped.
#[cfg(feature = "dht")]
pub(super) struct Search(Activity);

#[cfg(feature = "dht")]
impl Drop for Search {
    fn drop(&mut self) {
        self.0.spending.received(0);
    }
}

/// A connection, until it is dropped.
pub(super) struct Standing {
    spending: Arc<Spending>,
    number: u64,
}

impl Drop for Standing {
    fn drop(&mut self) {
        let now = self.spending.now();
        lock(&self.spending.ledger).closed(self.number, now);
    }
}
