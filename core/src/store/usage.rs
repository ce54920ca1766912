//! What was spent, a row an hour, and what the plan of wake-ups goes on from.

use rusqlite::{OptionalExtension as _, params};

pub use super::proto::{Habits as StoredHabits, UsageEntry};

use super::{StoreError, Tx, from_sql, proto, to_sql};

impl Tx<'_> {
    /// Adds to what was spent in an hour, counted from 1970; entries of one reason and network are summed.
    pub fn add_usage(&self, hour: u64, entries: &[UsageEntry]) -> Result<(), StoreError> {
        let mut all = self.usage_of(hour)?;
        for entry in entries {
            let same = |kept: &&mut UsageEntry| {
                (kept.reason, kept.network) == (entry.reason, entry.network)
            };
            match all.iter_mut().find(same) {
                Some(kept) => add(kept, entry),
                None => all.push(*entry),
            }
        }
        let record = proto::UsageHour { entries: all };
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO usage (hour, sealed) VALUES (?1, ?2)")?
            .execute(params![to_sql(hour), self.encode("usage", &record)])?;
        Ok(())
    }

    /// What was spent in each hour from `from` on, oldest first.
    pub fn usage(&self, from: u64) -> Result<Vec<(u64, Vec<UsageEntry>)>, StoreError> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT hour, sealed FROM usage WHERE hour >= ?1 ORDER BY hour")?;
        let mut rows = statement.query([to_sql(from)])?;
        let mut hours = Vec::new();
        while let Some(row) = rows.next()? {
            let record: proto::UsageHour = self.decode("usage", &row.get::<_, Vec<u8>>(1)?)?;
            hours.push((from_sql(row.get(0)?), record.entries));
        }
        Ok(hours)
    }

    /// Forgets hours before `first`, and those after `last`, which a wrong clock has made.
    pub fn forget_usage(&self, first: u64, last: u64) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("DELETE FROM usage WHERE hour < ?1 OR hour > ?2")?
            .execute([to_sql(first), to_sql(last)])?;
        Ok(())
    }

    /// What the plan of wake-ups goes on from; `None` in a new profile.
    pub fn habits(&self) -> Result<Option<StoredHabits>, StoreError> {
        let sealed: Option<Vec<u8>> = self
            .transaction
            .prepare_cached("SELECT sealed FROM power WHERE id = 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        sealed
            .map(|sealed| self.decode("power", &sealed))
            .transpose()
    }

    /// Keeps what the plan of wake-ups goes on from.
    pub fn set_habits(&self, habits: &StoredHabits) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO power (id, sealed) VALUES (1, ?1)")?
            .execute([self.encode("power", habits)])?;
        Ok(())
    }

    fn usage_of(&self, hour: u64) -> Result<Vec<UsageEntry>, StoreError> {
        let sealed: Option<Vec<u8>> = self
            .transaction
            .prepare_cached("SELECT sealed FROM usage WHERE hour = ?1")?
            .query_row([to_sql(hour)], |row| row.get(0))
            .optional()?;
        match sealed {
            Some(sealed) => Ok(self.decode::<proto::UsageHour>("usage", &sealed)?.entries),
            None => Ok(Vec::new()),
        }
    }
}

fn add(kept: &mut UsageEntry, more: &UsageEntry) {
    for (sum, part) in [
        (&mut kept.wakeups, more.wakeups),
        (&mut kept.radio_high_ms, more.radio_high_ms),
        (&mut kept.bytes_sent, more.bytes_sent),
        (&mut kept.bytes_received, more.bytes_received),
        (&mut kept.connected_ms, more.connected_ms),
    ] {
        *sum = sum.saturating_add(part);
    }
}
