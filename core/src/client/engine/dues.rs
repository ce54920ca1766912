//! What has a time: everything that the client does by itself, for the plan of wake-ups.

use std::time::Duration;

use crate::discovery::lookup::LATER;
use crate::power::{Due, Needs, WakeupReason};
use crate::store::{StoredNode, Tx};
use crate::sync::leases::{registration_time, wanted};
use crate::wire::{limits::LIFETIME, time::UnixMillis};

use super::announcing::{announces, receiving};
use super::leases::spread;
use super::lost::schedule;
use super::nodes::{kept_nodes, load};
use super::push::push_is_due;
use super::{Engine, Error, time_at};
use crate::channel::Epoch;

impl Engine {
    /// What is due when, seen from `now`; `None` for what has no time. Times stay the same until something is done or
    /// happens. Nodes are looked for in the DHT only if `searches`.
    pub fn dues(
        &mut self,
        searches: bool,
        now: UnixMillis,
    ) -> Result<Vec<(WakeupReason, Option<Due>)>, Error> {
        self.store.read(|tx| {
            Ok(vec![
                (WakeupReason::Outbox, outbox(tx)?),
                (WakeupReason::Registration, registration(tx, now)?),
                (WakeupReason::Dht, if searches { search(tx)? } else { None }),
                (WakeupReason::Resync, resync(tx)?),
                (WakeupReason::Upkeep, upkeep(tx)?),
            ])
        })
    }
}

/// What no node has goes at once; a second copy with the next occasion, or hours later.
fn outbox(tx: &Tx<'_>) -> Result<Option<Due>, Error> {
    let times = tx.outbox_times()?;
    let of = |delivered| {
        let times = times.iter();
        times.filter_map(move |(created, at_node)| (*at_node == delivered).then_some(*created))
    };
    // The latest, so that a new message is tried at once whatever waits before it.
    let first = of(false).max().map(|created| (created, created));
    let second = || {
        of(true)
            .min()
            .map(|created| (created, created.after(SECOND_COPY)))
    };
    Ok(first.or_else(second).map(|(from, by)| Due {
        from,
        by,
        needs: Needs::Any,
    }))
}

/// Leases of the next epoch at their time; what is missing or to be told now, with the next occasion.
fn registration(tx: &Tx<'_>, now: UnixMillis) -> Result<Option<Due>, Error> {
    let mut due: Option<Due> = None;
    let mut add = |from: UnixMillis, by: UnixMillis| {
        let due = due.get_or_insert(Due {
            from,
            by,
            needs: Needs::Any,
        });
        due.from = due.from.min(from);
        due.by = due.by.min(by);
    };
    let chooser = load(tx)?;
    for node in kept_nodes(tx)? {
        let healthy = chooser
            .record(node.link.key())
            .is_some_and(|record| record.is_healthy());
        if !healthy {
            continue;
        }
        let node_now = time_at(&node, now);
        let accesses = receiving(tx, node_now)?;
        for access in &accesses {
            let spread = spread(node.link.key(), access);
            for epoch in wanted(node_now, spread) {
                if tx.lease(node.row, access.row, epoch)?.is_none() {
                    let from = own(&node, registration_time(epoch, spread), now);
                    add(from, from);
                }
            }
            let next = Epoch::of(node_now).next();
            if tx.lease(node.row, access.row, next)?.is_none() {
                let from = own(&node, registration_time(next, spread), now);
                add(from, from.after(REGISTERED));
            }
        }
        if !tx.releases(node.row)?.is_empty()
            || announces(tx, &node, &accesses, node_now)?
            || push_is_due(tx, &node, now)?
        {
            add(UnixMillis::default(), UnixMillis::from_millis(u64::MAX));
        }
    }
    Ok(due)
}

fn search(tx: &Tx<'_>) -> Result<Option<Due>, Error> {
    let next = schedule(tx)?.next(tx.nodes()?.is_empty());
    Ok(next.map(|from| Due {
        from,
        by: from.after(LATER),
        needs: Needs::Any,
    }))
}

fn resync(tx: &Tx<'_>) -> Result<Option<Due>, Error> {
    let oldest = tx.oldest_unfetched()?;
    Ok(oldest.map(|(seen, time)| Due {
        from: seen,
        by: seen.after(LARGE_WAITS).min(time.after(LIFETIME - LEFT)),
        needs: Needs::UnmeteredAndCharging,
    }))
}

fn upkeep(tx: &Tx<'_>) -> Result<Option<Due>, Error> {
    Ok(load(tx)?.upkeep().map(|from| Due {
        from,
        by: from.after(UPKEEP),
        needs: Needs::Any,
    }))
}

/// A time by a node's clock, by our own.
fn own(node: &StoredNode, time: UnixMillis, now: UnixMillis) -> UnixMillis {
    time.offset(now.delta(time_at(node, now)))
}

/// A second copy of a message waits so long for an occasion.
const SECOND_COPY: Duration = Duration::from_secs(3_600);
/// Registrations wait so long for one: they begin at least 6 hours before their epoch.
const REGISTERED: Duration = Duration::from_secs(5 * 3_600);
/// Large bodies wait so long for Wi-Fi and power.
pub(super) const LARGE_WAITS: Duration = Duration::from_secs(6 * 3_600);
/// And are fetched at the latest so long before nodes forget them.
const LEFT: Duration = Duration::from_secs(24 * 3_600);
/// Nodes that failed are tried, and nodes are compared, so much later at most.
const UPKEEP: Duration = Duration::from_secs(24 * 3_600);
