//! What was spent and what was learned, as the store keeps it.

use std::time::Duration;

use crate::power::{
    HOURS, Habits, Hour, Memory, NetworkKind, Preference, Usage, UsageRow, WakeupReason,
};
use crate::store::{StoredHabits, UsageEntry};
use crate::wire::time::UnixMillis;

use super::{Engine, Error};

impl Engine {
    /// What the plan goes on from.
    pub fn power_memory(&mut self) -> Result<Memory, Error> {
        self.store
            .read(|tx| Ok(tx.habits()?.map(from_stored).unwrap_or_default()))
    }

    /// Keeps what was spent since the last time, and what the plan goes on from. Hours older than 8 days are forgotten,
    /// and those more than a day ahead, which a wrong clock has made.
    pub fn keep_usage(
        &mut self,
        rows: &[(Hour, UsageRow)],
        memory: &Memory,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let this = Hour::of(now).0;
        self.store.write(|tx| {
            tx.set_habits(&to_stored(memory))?;
            for hour in rows.chunk_by(|one, other| one.0 == other.0) {
                let entries: Vec<_> = hour.iter().map(|(_, row)| entry(row)).collect();
                if let Some((hour, _)) = hour.first() {
                    tx.add_usage(hour.0, &entries)?;
                }
            }
            tx.forget_usage(this.saturating_sub(KEPT), this.saturating_add(24))?;
            Ok(())
        })
    }

    /// What was kept of the last days.
    pub fn usage(&mut self, now: UnixMillis) -> Result<Vec<(Hour, UsageRow)>, Error> {
        let first = Hour::of(now).0.saturating_sub(KEPT);
        self.store.read(|tx| {
            let mut rows = Vec::new();
            for (hour, entries) in tx.usage(first)? {
                rows.extend(
                    entries
                        .iter()
                        .filter_map(|entry| Some((Hour(hour), row(entry)?))),
                );
            }
            Ok(rows)
        })
    }
}

/// Hours that are kept.
const KEPT: u64 = 8 * 24;

fn to_stored(memory: &Memory) -> StoredHabits {
    let (weights, seen) = memory.habits.weights();
    StoredHabits {
        preference: match memory.preference {
            Preference::Balanced => 0,
            Preference::Fast => 1,
            Preference::Frugal => 2,
        },
        weights: weights.to_vec(),
        weights_ms: seen.as_millis(),
        asked_ms: memory.asked.map(UnixMillis::as_millis),
    }
}

fn from_stored(stored: StoredHabits) -> Memory {
    let mut weights = [0.0; HOURS];
    for (weight, stored) in weights.iter_mut().zip(stored.weights) {
        *weight = stored;
    }
    Memory {
        preference: match stored.preference {
            1 => Preference::Fast,
            2 => Preference::Frugal,
            _ => Preference::Balanced,
        },
        habits: Habits::from_weights(weights, UnixMillis::from_millis(stored.weights_ms)),
        asked: stored.asked_ms.map(UnixMillis::from_millis),
    }
}

fn entry(row: &UsageRow) -> UsageEntry {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    UsageEntry {
        reason: number(row.reason),
        network: match row.network {
            NetworkKind::Offline => 0,
            NetworkKind::Wifi => 1,
            NetworkKind::Cellular => 2,
            NetworkKind::Other => 3,
        },
        wakeups: row.usage.wakeups,
        radio_high_ms: millis(row.usage.radio_high),
        bytes_sent: row.usage.bytes_sent,
        bytes_received: row.usage.bytes_received,
        connected_ms: millis(row.usage.connected),
    }
}

/// `None` for a reason of a later release.
fn row(entry: &UsageEntry) -> Option<UsageRow> {
    let reason = REASONS
        .into_iter()
        .find(|reason| number(*reason) == entry.reason)?;
    Some(UsageRow {
        reason,
        network: match entry.network {
            0 => NetworkKind::Offline,
            1 => NetworkKind::Wifi,
            2 => NetworkKind::Cellular,
            _ => NetworkKind::Other,
        },
        usage: Usage {
            wakeups: entry.wakeups,
            radio_high: Duration::from_millis(entry.radio_high_ms),
            bytes_sent: entry.bytes_sent,
            bytes_received: entry.bytes_received,
            connected: Duration::from_millis(entry.connected_ms),
        },
    })
}

const REASONS: [WakeupReason; 11] = [
    WakeupReason::Sync,
    WakeupReason::Outbox,
    WakeupReason::Registration,
    WakeupReason::Dht,
    WakeupReason::Mesh,
    WakeupReason::Resync,
    WakeupReason::Dust,
    WakeupReason::Upkeep,
    WakeupReason::Push,
    WakeupReason::User,
    WakeupReason::Foreground,
];

/// As it stands in the store; never another one.
fn number(reason: WakeupReason) -> u32 {
    match reason {
        WakeupReason::Sync => 1,
        WakeupReason::Outbox => 2,
        WakeupReason::Registration => 3,
        WakeupReason::Dht => 4,
        WakeupReason::Mesh => 5,
        WakeupReason::Resync => 6,
        WakeupReason::Dust => 7,
        WakeupReason::Upkeep => 8,
        WakeupReason::Push => 9,
        WakeupReason::User => 10,
        WakeupReason::Foreground => 11,
    }
}
