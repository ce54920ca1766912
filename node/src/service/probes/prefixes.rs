//! How many polls by datagram one network may send: a table of fixed size, looked up before anything is decrypted.

use std::{collections::hash_map::RandomState, hash::BuildHasher, time::Duration};

use ailurus::wire::time::UnixMillis;

use crate::service::Network;

/// Allowances of networks, each refilled by time (the generic cell rate algorithm).
///
/// A network has one of two places. It takes over a place whose allowance is whole again, so that nothing is forgotten by
/// it; where neither is, it shares the better one. So whoever has many networks can make others share with them, and
/// cannot have their own use forgotten.
pub(super) struct Prefixes {
    slots: Box<[Slot]>,
    hasher: RandomState,
    /// Microseconds until one more is allowed.
    interval: u64,
    /// Microseconds by which a network may be ahead.
    burst: u64,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    tag: u32,
    /// When the allowance is whole again, in microseconds since the Unix epoch.
    whole_at: u64,
}

impl Prefixes {
    /// So many a second in the long run, and so many at once; at least one each.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let interval = SECOND_US / u64::from(per_second.max(1));
        Self {
            slots: vec![Slot::default(); SLOTS].into(),
            hasher: RandomState::new(),
            interval: interval.max(1),
            burst: interval.max(1).saturating_mul(u64::from(burst.max(1))),
        }
    }

    /// Takes one from the allowance of a network; false if none is left.
    pub(super) fn take(&mut self, network: Network, now: UnixMillis) -> bool {
        let now = now.as_millis().saturating_mul(1_000);
        let (interval, burst) = (self.interval, self.burst);
        let Some(slot) = self.slot(network, now) else {
            return true;
        };
        // A clock that was set back leaves nobody shut out for longer than an allowance takes to refill.
        let used_to = slot.whole_at.clamp(now, now.saturating_add(burst));
        let after = used_to.saturating_add(interval);
        if after > now.saturating_add(burst) {
            slot.whole_at = used_to;
            return false;
        }
        slot.whole_at = after;
        true
    }

    /// Takes so many more, which may leave a debt.
    pub(super) fn charge(&mut self, network: Network, now: UnixMillis, units: u64) {
        let now = now.as_millis().saturating_mul(1_000);
        let price = self.interval.saturating_mul(units);
        if let Some(slot) = self.slot(network, now) {
            slot.whole_at = slot.whole_at.max(now).saturating_add(price);
        }
    }

    fn slot(&mut self, network: Network, now: u64) -> Option<&mut Slot> {
        let hash = self.hasher.hash_one(network);
        let tag = (hash >> 32) as u32;
        let places = [hash, hash >> 16].map(|place| place as usize % SLOTS);
        let found = places.map(|place| self.slots.get(place).copied().unwrap_or_default());
        let [first, second] = places;
        let place = match found {
            [slot, _] if slot.tag == tag => first,
            [_, slot] if slot.tag == tag => second,
            [slot, _] if slot.whole_at <= now => first,
            [_, slot] if slot.whole_at <= now => second,
            [one, other] if one.whole_at <= other.whole_at => first,
            _ => second,
        };
        let slot = self.slots.get_mut(place)?;
        if slot.whole_at <= now {
            slot.tag = tag;
        }
        Some(slot)
    }
}

const SECOND_US: u64 = Duration::from_secs(1).as_micros() as u64;
/// Networks that are told apart at once: 256 KiB.
const SLOTS: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);

    fn network(number: u32) -> Network {
        let [_, a, b, c] = number.to_be_bytes();
        Network::around(std::net::Ipv4Addr::new(a, b, c, 1).into())
    }

    fn taken(prefixes: &mut Prefixes, network: Network, now: UnixMillis, tries: usize) -> usize {
        (0..tries).filter(|_| prefixes.take(network, now)).count()
    }

    #[test]
    fn an_allowance_is_used_up_and_refilled() {
        let mut prefixes = Prefixes::new(100, 250);
        assert_eq!(taken(&mut prefixes, network(1), NOW, 1_000), 250);
        assert_eq!(taken(&mut prefixes, network(2), NOW, 10), 10);
        let later = NOW.after(Duration::from_millis(500));
        assert_eq!(taken(&mut prefixes, network(1), later, 1_000), 50);
        let hour = NOW.after(Duration::from_secs(3_600));
        assert_eq!(taken(&mut prefixes, network(1), hour, 1_000), 250);
    }

    #[test]
    fn what_costs_more_is_charged() {
        let mut prefixes = Prefixes::new(100, 250);
        prefixes.charge(network(1), NOW, 200);
        assert_eq!(taken(&mut prefixes, network(1), NOW, 1_000), 50);
        // A debt is never longer than an allowance.
        prefixes.charge(network(1), NOW, 1_000_000);
        assert_eq!(taken(&mut prefixes, network(1), NOW, 1), 0);
        let later = NOW.after(Duration::from_secs(1));
        assert_eq!(taken(&mut prefixes, network(1), later, 1_000), 100);
    }

    #[test]
    fn a_clock_set_back_shuts_nobody_out() {
        let mut prefixes = Prefixes::new(100, 100);
        assert_eq!(taken(&mut prefixes, network(1), NOW, 200), 100);
        let past = NOW.before(Duration::from_secs(365 * 86_400));
        assert_eq!(taken(&mut prefixes, network(1), past, 200), 0);
        let soon = past.after(Duration::from_secs(1));
        assert_eq!(taken(&mut prefixes, network(1), soon, 200), 100);
    }

    #[test]
    fn many_networks_do_not_make_one_forgotten() {
        let mut prefixes = Prefixes::new(10, 100);
        assert_eq!(taken(&mut prefixes, network(0), NOW, 200), 100);
        // Ten times as many as there are places, each a few times.
        for other in 1..10 * SLOTS as u32 {
            taken(&mut prefixes, network(other), NOW, 3);
        }
        assert_eq!(taken(&mut prefixes, network(0), NOW, 200), 0);
    }

    #[test]
    fn a_flood_from_one_network_leaves_others_alone() {
        let mut prefixes = Prefixes::new(10, 100);
        taken(&mut prefixes, network(0), NOW, 1_000_000);
        for other in 1..2_000 {
            assert_eq!(taken(&mut prefixes, network(other), NOW, 5), 5, "{other}");
        }
    }
}
