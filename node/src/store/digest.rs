//! Sums and lists over what is kept of an address, in order of time and id; they read one index and no envelope.

use ailurus::{channel::Address, crypto::Pseudonym, wire::time::UnixMillis};
use rusqlite::OptionalExtension;

use super::{Reader, StoreError, from_sql, to_sql};

/// A sum over envelopes: how many, and the exclusive or of the first halves of their ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdSum {
    pub(crate) count: u32,
    pub(crate) ids: [u8; 16],
}

impl IdSum {
    fn add(&mut self, id: &[u8; 32]) {
        self.count = self.count.saturating_add(1);
        for (sum, byte) in self.ids.iter_mut().zip(id) {
            *sum ^= byte;
        }
    }
}

impl Reader {
    /// The row of an address on which the pseudonym has a lease.
    pub(crate) fn leased_row(
        &self,
        pseudonym: &Pseudonym,
        address: &Address,
        now: UnixMillis,
    ) -> Result<Option<i64>, StoreError> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT address_row FROM leases WHERE end_s > ?3
                 AND registration_row = (SELECT row FROM registrations WHERE pseudonym = ?1)
                 AND address_row = (SELECT row FROM addresses WHERE address = ?2)",
            )?
            .query_row(
                (
                    pseudonym.as_bytes().as_slice(),
                    address.as_bytes().as_slice(),
                    to_sql(now.as_secs()),
                ),
                |row| row.get(0),
            )
            .optional()?;
        Ok(found)
    }

    /// Envelopes kept for an address that a client has leased.
    pub(crate) fn leased_envelopes(
        &self,
        pseudonym: &Pseudonym,
        address: &Address,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        let Some(row) = self.leased_row(pseudonym, address, now)? else {
            return Ok(0);
        };
        let envelopes = self
            .connection
            .prepare_cached("SELECT envelopes FROM addresses WHERE row = ?1")?
            .query_row([row], |row| row.get(0))
            .optional()?;
        Ok(envelopes.map_or(0, from_sql))
    }

    /// Sums over `steps` windows of `step_ms` each, the first beginning with `from`. What lies on an edge belongs to the
    /// later window.
    pub(crate) fn sums(
        &self,
        address_row: i64,
        from: UnixMillis,
        step_ms: u64,
        steps: u32,
    ) -> Result<Vec<IdSum>, StoreError> {
        let mut sums = vec![IdSum::default(); steps as usize];
        let from_ms = from.as_millis();
        let to_ms = from_ms.saturating_add(step_ms.saturating_mul(u64::from(steps)));
        self.each_id(address_row, from_ms, to_ms, i64::MAX, |time_ms, id| {
            let index = time_ms.saturating_sub(from_ms).checked_div(step_ms);
            let sum = index
                .and_then(|index| usize::try_from(index).ok())
                .and_then(|index| sums.get_mut(index));
            if let Some(sum) = sum {
                sum.add(id);
            }
        })?;
        Ok(sums)
    }

    /// Ids of a window in order of time and id, at most `limit`.
    pub(crate) fn ids(
        &self,
        address_row: i64,
        from: UnixMillis,
        to: UnixMillis,
        limit: usize,
    ) -> Result<Vec<[u8; 32]>, StoreError> {
        let mut ids = Vec::new();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.each_id(
            address_row,
            from.as_millis(),
            to.as_millis(),
            limit,
            |_, id| ids.push(*id),
        )?;
        Ok(ids)
    }

    fn each_id(
        &self,
        address_row: i64,
        from_ms: u64,
        to_ms: u64,
        limit: i64,
        mut each: impl FnMut(u64, &[u8; 32]),
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(EACH_ID)?;
        let mut rows = statement.query((address_row, to_sql(from_ms), to_sql(to_ms), limit))?;
        while let Some(row) = rows.next()? {
            let id: [u8; 32] = row.get(1)?;
            each(from_sql(row.get(0)?), &id);
        }
        Ok(())
    }
}

const EACH_ID: &str = "SELECT time_ms, id FROM envelopes
    WHERE address_row = ?1 AND time_ms >= ?2 AND time_ms < ?3 ORDER BY time_ms, id LIMIT ?4";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn ids_are_read_from_the_covering_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("node.db")).expect("a database");
        let plan: Vec<String> = store
            .read(|reader| {
                let mut statement = reader
                    .connection
                    .prepare(&format!("EXPLAIN QUERY PLAN {EACH_ID}"))?;
                let plan = statement
                    .query_map((1, 1, 1, 1), |row| row.get(3))?
                    .collect::<Result<_, _>>()?;
                Ok(plan)
            })
            .expect("planned");
        assert_eq!(plan.len(), 1, "{plan:?}");
        assert!(
            plan[0].contains("COVERING INDEX envelopes_by_address_and_time"),
            "{plan:?}"
        );
    }
}
