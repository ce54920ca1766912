//! How many connections there may be, in all and from one place.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{config::Limits, metrics::Metrics};

/// The connections that are open.
pub(super) struct Slots {
    total: usize,
    per_ip: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    total: usize,
    by_place: HashMap<IpAddr, usize>,
}

/// One connection's place; dropping it frees it.
pub(super) struct Slot {
    slots: Arc<Slots>,
    place: IpAddr,
    gauge: prometheus_client::metrics::gauge::Gauge,
}

impl Slots {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            total: limits.connections,
            per_ip: limits.connections_per_ip,
            open: Mutex::new(Open::default()),
        }
    }

    /// Whether more than half is in use.
    pub(super) fn is_busy(&self) -> bool {
        self.open().total > self.total / 2
    }

    /// A slot for a connection from `ip`, if there is one left.
    pub(super) fn take(self: &Arc<Self>, ip: IpAddr, metrics: &Metrics) -> Option<Slot> {
        let place = place(ip);
        let mut open = self.open();
        let here = open.by_place.get(&place).copied().unwrap_or(0);
        if open.total >= self.total || here >= self.per_ip {
            return None;
        }
        open.total += 1;
        open.by_place.insert(place, here + 1);
        drop(open);
        metrics.open_connections.inc();
        Some(Slot {
            slots: Arc::clone(self),
            place,
            gauge: metrics.open_connections.clone(),
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gauge.dec();
        let mut open = self.slots.open();
        open.total = open.total.saturating_sub(1);
        let left = open
            .by_place
            .get(&self.place)
            .map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            open.by_place.remove(&self.place);
        } else {
            open.by_place.insert(self.place, left);
        }
    }
}

/// An IPv6 customer has a /64 network at least.
fn place(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => {
            let network = u128::from(ip) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_totals_are_capped_and_freed() {
        let slots = Arc::new(Slots::new(&Limits {
            connections: 3,
            connections_per_ip: 2,
            ..Limits::default()
        }));
        let metrics = Metrics::new();
        let take = |ip: &str| slots.take(ip.parse().expect("an address"), &metrics);
        let first = take("192.0.2.1");
        let second = take("192.0.2.1");
        assert!(first.is_some() && second.is_some());
        assert!(take("192.0.2.1").is_none());
        let third = take("2001:db8::1");
        assert!(third.is_some() && slots.is_busy());
        assert!(take("192.0.2.2").is_none());
        drop(first);
        assert_eq!(metrics.open_connections.get(), 2);
        let fourth = take("2001:db8::ffff");
        assert!(fourth.is_some());
        drop((second, third, fourth));
        assert_eq!(slots.open().by_place.len(), 0);
    }
}
