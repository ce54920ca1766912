//! What is registered at the other node.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use ailurus::{
    channel::{Address, Epoch},
    wire::{
        limits::{EPOCH, LIFETIME, MAX_LEASES},
        node::{Lease, Reason, Refusal, Register, Release, request},
        time::UnixMillis,
    },
};
use bytes::Bytes;

use super::{Asked, End, Link, Step, reconciliation::RECONCILE_EVERY};
use crate::store::Delegation;

impl Link {
    pub(super) fn change_leases(&mut self, now: UnixMillis, steps: &mut Vec<Step>) {
        self.refused.retain(|_, until| *until > now);
        self.refusals
            .retain(|address, _| self.wanted.contains_key(address));
        let under_way = |asked: &Asked| matches!(asked, Asked::Register(_) | Asked::Release);
        if self.asked.iter().any(under_way) {
            return;
        }
        let strays: Vec<Address> = self
            .registered
            .keys()
            .filter(|address| !self.wanted.contains_key(*address))
            .copied()
            .collect();
        if !strays.is_empty() {
            self.release(&strays, steps);
        }
        let new: Vec<&Delegation> = self
            .wanted
            .values()
            .filter(|wanted| {
                let address = &wanted.keys.address;
                let known = self.registered.get(address);
                known.is_none_or(|known| known.until_s < wanted.until_s)
                    && !self.refused.contains_key(address)
            })
            .take(MAX_LEASES)
            .collect();
        if new.is_empty() {
            if self.registered.is_empty() && !self.refused.is_empty() {
                let end = End::Failed("the node takes none of the shared addresses".to_owned());
                self.end.get_or_insert(end);
            }
            return;
        }
        let leases = new.iter().map(|delegation| lease(delegation)).collect();
        let addresses = new
            .iter()
            .map(|delegation| delegation.keys.address)
            .collect();
        steps.push(Step::ask(request::Kind::Register(Register {
            leases,
            ..Register::default()
        })));
        self.asked.push_back(Asked::Register(addresses));
    }

    /// Releases all that the other node has, which may be more than this node knows of; the rest is registered again.
    pub(super) fn release_all(&mut self, steps: &mut Vec<Step>) {
        self.registered.clear();
        steps.push(Step::ask(request::Kind::Release(Release::default())));
        self.asked.push_back(Asked::Release);
    }

    fn release(&mut self, addresses: &[Address], steps: &mut Vec<Step>) {
        for part in addresses.chunks(MAX_LEASES) {
            for address in part {
                self.registered.remove(address);
            }
            let addresses = part
                .iter()
                .map(|address| Bytes::copy_from_slice(address.as_bytes()))
                .collect();
            let release = Release { addresses };
            steps.push(Step::ask(request::Kind::Release(release)));
            self.asked.push_back(Asked::Release);
        }
    }

    pub(super) fn register_answered(
        &mut self,
        now: UnixMillis,
        addresses: &[Address],
        refusals: &[Refusal],
    ) {
        let refused: HashMap<usize, Reason> = refusals
            .iter()
            .filter_map(|refusal| Some((usize::try_from(refusal.index).ok()?, refusal.reason())))
            .collect();
        for (index, address) in addresses.iter().enumerate() {
            if let Some(reason) = refused.get(&index) {
                tracing::debug!(node = ?self.node, ?reason, "another node refuses an address");
                // No client of the other node may have leased it yet, or its allowance is used up. Once one has, the other
                // node hears of this one and registers here.
                let until = match reason {
                    Reason::NotRegistered | Reason::NetworkLimited => {
                        let times = self.refusals.entry(*address).or_default();
                        let pause = REFUSED_PAUSE.saturating_mul(1 << (*times).min(10));
                        *times = times.saturating_add(1);
                        now.after(pause.min(REFUSED_LAST))
                    }
                    _ => UnixMillis::from_millis(u64::MAX),
                };
                self.refused.insert(*address, until);
                self.registered.remove(address);
                continue;
            }
            self.refusals.remove(address);
            let Some(delegation) = self.wanted.get(address) else {
                continue;
            };
            if self
                .registered
                .insert(*address, delegation.clone())
                .is_none()
            {
                // People come and go all the time, and a reconciliation looks at everything.
                let soon = self.reconciling_since.after(RECONCILE_EVERY).max(now);
                self.next_reconciliation = self.next_reconciliation.min(soon);
            }
        }
    }
}

pub(super) fn by_address(leases: Vec<Delegation>) -> BTreeMap<Address, Delegation> {
    leases
        .into_iter()
        .map(|delegation| (delegation.keys.address, delegation))
        .collect()
}

fn lease(delegation: &Delegation) -> Lease {
    Lease {
        blinded_key: Bytes::copy_from_slice(&delegation.keys.blinded),
        access_key: Bytes::copy_from_slice(&delegation.keys.access),
        epoch: first_epoch(delegation.until_s).number(),
        lease_end: delegation.until_s,
        delegation: Bytes::copy_from_slice(&delegation.signature),
        ..Lease::default()
    }
}

/// The first epoch for which a lease may end then: announcements do not say for which they are, and nothing hangs on it.
fn first_epoch(until_s: u64) -> Epoch {
    let longest = EPOCH.as_secs().saturating_add(LIFETIME.as_secs());
    Epoch::new(until_s.saturating_sub(longest).div_ceil(EPOCH.as_secs()))
}

/// After this time a node is asked once more for an address that it did not take; the time is doubled each time.
const REFUSED_PAUSE: Duration = Duration::from_secs(600);
/// And at most.
const REFUSED_LAST: Duration = Duration::from_secs(3 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_found_for_any_end_of_a_lease() {
        for epoch in [2_800_u64, 2_801] {
            let end = Epoch::new(epoch).lease_end().as_secs();
            assert_eq!(first_epoch(end), Epoch::new(epoch));
            assert_eq!(first_epoch(end - 1), Epoch::new(epoch));
            assert_eq!(first_epoch(end + 1), Epoch::new(epoch + 1));
        }
    }
}
