//! Who had to go and why: introductions that ended, subtrees that were revoked, and what those clients are told later.

use ailurus::{
    channel::ChainId,
    crypto::Pseudonym,
    wire::{node::Reason, time::UnixMillis},
};
use rusqlite::OptionalExtension;

use super::{Reader, StoreError, Writer, from_sql, to_sql};

/// How many clients there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) clients: u64,
    /// Of these, strangers.
    pub(crate) strangers: u64,
}

impl Writer {
    /// Evicts whoever's introduction lies in a revoked subtree, some at once.
    pub(crate) fn apply_revocations(
        &mut self,
        now: UnixMillis,
    ) -> Result<Vec<(Pseudonym, Reason)>, StoreError> {
        let rows = self.rows(
            "SELECT DISTINCT c.registration_row FROM revocations r CROSS JOIN chains c ON c.chain = r.chain LIMIT ?1",
            AT_ONCE,
        )?;
        self.evict_all(&rows, Reason::Revoked, now)
    }

    /// Makes clients strangers when their introduction has ended; those for whom there is no room have to go.
    /// True if there may be more.
    pub(super) fn end_introductions(
        &mut self,
        now: UnixMillis,
        room: &Room,
    ) -> Result<(Vec<(Pseudonym, Reason)>, bool), StoreError> {
        let rows = {
            let mut statement = self.connection.prepare_cached(
                "SELECT row FROM registrations WHERE introduction_end_s <= ?1 LIMIT ?2",
            )?;
            statement
                .query_map((to_sql(now.as_secs()), AT_ONCE), |row| row.get(0))?
                .collect::<Result<Vec<i64>, _>>()?
        };
        let more = rows.len() as i64 >= AT_ONCE;
        let mut gone = Vec::new();
        for row in rows {
            // On a full node it would keep a place that its introduction alone could give it.
            if self.totals.strangers < room.strangers && self.totals.clients < room.clients {
                self.forget_introduction(row)?;
                continue;
            }
            let reason = Reason::IntroductionExpired;
            let evicted = self.evict(row, reason, now)?;
            gone.extend(evicted.map(|pseudonym| (pseudonym, reason)));
        }
        Ok((gone, more))
    }

    /// Clients that the tree of an invitation pushed out in the last 24 hours.
    pub(crate) fn evictions_by(&self, root: &ChainId, now: UnixMillis) -> Result<u64, StoreError> {
        let since = now.as_secs().saturating_sub(COUNTED_S);
        let count: i64 = self
            .connection
            .prepare_cached("SELECT count(*) FROM evictions WHERE chain = ?1 AND at_s > ?2")?
            .query_row((root.as_bytes().as_slice(), to_sql(since)), |row| {
                row.get(0)
            })?;
        Ok(from_sql(count))
    }

    /// Counts one more.
    pub(crate) fn note_eviction(
        &mut self,
        root: &ChainId,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO evictions (chain, at_s) VALUES (?1, ?2)")?
            .execute((root.as_bytes().as_slice(), to_sql(now.as_secs())))?;
        Ok(())
    }

    /// Keeps in mind what to tell a client that comes back. Of too many, the oldest is forgotten.
    pub(super) fn remember_ending(
        &mut self,
        pseudonym: &Pseudonym,
        reason: Reason,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        self.forget_ending(pseudonym)?;
        if self.totals.endings >= MOST {
            let forgotten = self
                .connection
                .prepare_cached(
                    "DELETE FROM endings WHERE pseudonym =
                     (SELECT pseudonym FROM endings ORDER BY until_s LIMIT 1)",
                )?
                .execute([])?;
            self.count_forgotten(forgotten);
        }
        self.connection
            .prepare_cached("INSERT INTO endings (pseudonym, reason, until_s) VALUES (?1, ?2, ?3)")?
            .execute((
                pseudonym.as_bytes().as_slice(),
                i32::from(reason),
                to_sql(now.as_secs().saturating_add(REMEMBERED_S)),
            ))?;
        self.totals.endings = self.totals.endings.saturating_add(1);
        Ok(())
    }

    /// A client is here again.
    pub(super) fn forget_ending(&mut self, pseudonym: &Pseudonym) -> Result<(), StoreError> {
        let forgotten = self
            .connection
            .prepare_cached("DELETE FROM endings WHERE pseudonym = ?1")?
            .execute([pseudonym.as_bytes().as_slice()])?;
        self.count_forgotten(forgotten);
        Ok(())
    }

    /// Takes revocations away that ended.
    pub(super) fn expire_revocations(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("DELETE FROM revocations WHERE until_s <= ?1")?
            .execute([to_sql(now.as_secs())])?;
        Ok(())
    }

    /// Forgets what was told long enough.
    pub(super) fn expire_endings(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        let forgotten = self
            .connection
            .prepare_cached(
                "DELETE FROM endings WHERE pseudonym IN
                 (SELECT pseudonym FROM endings WHERE until_s <= ?1 ORDER BY until_s LIMIT ?2)",
            )?
            .execute((to_sql(now.as_secs()), AT_ONCE))?;
        self.count_forgotten(forgotten);
        self.connection
            .prepare_cached("DELETE FROM evictions WHERE at_s <= ?1")?
            .execute([to_sql(now.as_secs().saturating_sub(COUNTED_S))])?;
        Ok(())
    }

    fn evict_all(
        &mut self,
        rows: &[i64],
        reason: Reason,
        now: UnixMillis,
    ) -> Result<Vec<(Pseudonym, Reason)>, StoreError> {
        let mut gone = Vec::with_capacity(rows.len());
        for row in rows {
            let evicted = self.evict(*row, reason, now)?;
            gone.extend(evicted.map(|pseudonym| (pseudonym, reason)));
        }
        Ok(gone)
    }

    fn rows(&self, sql: &str, limit: i64) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement
            .query_map([limit], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    fn count_forgotten(&mut self, count: usize) {
        self.totals.endings = self.totals.endings.saturating_sub(count as u64);
    }
}

impl Reader {
    /// Why a client's leases ended, if it is to be told.
    pub(crate) fn ending(
        &self,
        pseudonym: &Pseudonym,
        now: UnixMillis,
    ) -> Result<Option<Reason>, StoreError> {
        let found: Option<i32> = self
            .connection
            .prepare_cached("SELECT reason FROM endings WHERE pseudonym = ?1 AND until_s > ?2")?
            .query_row(
                (pseudonym.as_bytes().as_slice(), to_sql(now.as_secs())),
                |row| row.get(0),
            )
            .optional()?;
        Ok(found.and_then(|reason| Reason::try_from(reason).ok()))
    }
}

/// Registrations taken away in one transaction, so that no publisher waits long.
pub(super) const AT_ONCE: i64 = 1_000;
/// How long an eviction counts, in seconds: a day.
const COUNTED_S: u64 = 24 * 3_600;
/// Endings kept, about 80 bytes each.
const MOST: u64 = 100_000;
/// How long a client is told, in seconds: four weeks.
const REMEMBERED_S: u64 = 28 * 24 * 3_600;
