//! What goes when its time is over: envelopes after 7 days, leases at their end, and what then holds nothing.

use std::collections::{HashMap, HashSet};

use ailurus::{
    crypto::Pseudonym,
    wire::{limits::LIFETIME, node::Reason, time::UnixMillis},
};

use super::{
    StoreError,
    endings::{AT_ONCE, Room},
    from_sql, to_sql,
    writer::{Counts, Writer},
};

/// What [`crate::Service::expire`] took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Envelopes older than 7 days.
    pub envelopes: usize,
    /// Leases that ended.
    pub leases: usize,
    /// Addresses without leases and envelopes.
    pub addresses: usize,
    /// Clients that lost a lease.
    pub pseudonyms: Vec<Pseudonym>,
    /// Clients that lost all their leases before the time, and why.
    pub ended: Vec<(Pseudonym, Reason)>,
    /// There is more to take away: call again.
    pub more: bool,
    /// The time may be wrong, so only those went who were revoked.
    pub held: bool,
}

impl Writer {
    /// Takes away a part of what ended before `now`, and of who is no longer to be here.
    pub(crate) fn expire(&mut self, now: UnixMillis, room: &Room) -> Result<Expired, StoreError> {
        let mut rows = HashSet::new();
        let envelopes = self.expire_envelopes(now, &mut rows)?;
        self.expire_peers(now)?;
        let mut registrations = HashSet::new();
        let leases = self.expire_leases(now, &mut rows, &mut registrations)?;
        let mut pseudonyms = Vec::with_capacity(registrations.len());
        for registration in registrations {
            pseudonyms.push(self.pseudonym(registration)?);
            if let Some(pseudonym) = self.drop_empty_registration(registration)? {
                self.remember_ending(&pseudonym, Reason::LeaseOver, now)?;
            }
        }
        let addresses = self.drop_empty_addresses(&rows)?;
        pseudonyms.append(&mut self.take_parted());
        self.expire_revocations(now)?;
        let mut ended = self.apply_revocations(now)?;
        let more_revoked = ended.len() as i64 >= AT_ONCE;
        let (gone, more_introductions) = self.end_introductions(now, room)?;
        ended.extend(gone);
        self.expire_endings(now)?;
        Ok(Expired {
            envelopes,
            leases,
            addresses,
            pseudonyms,
            more: envelopes == EXPIRED_AT_ONCE
                || leases == EXPIRED_AT_ONCE
                || more_revoked
                || more_introductions,
            ended,
            held: false,
        })
    }

    fn expire_envelopes(
        &mut self,
        now: UnixMillis,
        rows: &mut HashSet<i64>,
    ) -> Result<usize, StoreError> {
        // Midnight of 1970 has no seven days before it: nothing is expired then.
        let Some(limit) = now.as_millis().checked_sub(LIFETIME.as_millis() as u64) else {
            return Ok(0);
        };
        let mut gone: HashMap<i64, Counts> = HashMap::new();
        let mut positions = Vec::new();
        {
            let mut statement = self.connection.prepare_cached(
                "SELECT position, address_row, length(sealed) FROM envelopes WHERE time_ms <= ?1
                 ORDER BY time_ms LIMIT ?2",
            )?;
            let mut found = statement.query((to_sql(limit), EXPIRED_AT_ONCE as i64))?;
            while let Some(row) = found.next()? {
                positions.push(row.get::<_, i64>(0)?);
                let counts = gone.entry(row.get(1)?).or_default();
                counts.envelopes += 1;
                counts.bytes = counts.bytes.saturating_add(from_sql(row.get(2)?));
            }
        }
        if positions.is_empty() {
            return Ok(0);
        }
        for position in &positions {
            self.connection
                .prepare_cached("DELETE FROM envelopes WHERE position = ?1")?
                .execute([position])?;
        }
        self.write_counts()?;
        for (row, counts) in gone {
            self.connection
                .prepare_cached(
                    "UPDATE addresses SET envelopes = envelopes - ?2, bytes = bytes - ?3 WHERE row = ?1",
                )?
                .execute((row, to_sql(counts.envelopes), to_sql(counts.bytes)))?;
            self.totals.envelopes = self.totals.envelopes.saturating_sub(counts.envelopes);
            self.totals.bytes = self.totals.bytes.saturating_sub(counts.bytes);
            rows.insert(row);
        }
        self.forget();
        Ok(positions.len())
    }

    fn expire_leases(
        &mut self,
        now: UnixMillis,
        rows: &mut HashSet<i64>,
        registrations: &mut HashSet<i64>,
    ) -> Result<usize, StoreError> {
        let mut ended = Vec::new();
        {
            let mut statement = self.connection.prepare_cached(
                "SELECT registration_row, address_row, peer FROM leases WHERE end_s <= ?1 LIMIT ?2",
            )?;
            let mut found = statement.query((to_sql(now.as_secs()), EXPIRED_AT_ONCE as i64))?;
            while let Some(row) = found.next()? {
                ended.push((
                    row.get::<_, i64>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, bool>(2)?,
                ));
            }
        }
        let mut counts: HashMap<i64, (u64, bool)> = HashMap::new();
        for (registration, address, peer) in &ended {
            self.connection
                .prepare_cached(
                    "DELETE FROM leases WHERE registration_row = ?1 AND address_row = ?2",
                )?
                .execute((registration, address))?;
            rows.insert(*address);
            registrations.insert(*registration);
            let (count, _) = counts.entry(*registration).or_insert((0, *peer));
            *count = count.saturating_add(1);
        }
        for (registration, (count, peer)) in counts {
            self.count_ended(registration, count, peer)?;
        }
        Ok(ended.len())
    }

    /// Ends the sharing of addresses that no client has leased any more, and takes those away that hold nothing.
    pub(super) fn drop_empty_addresses(
        &mut self,
        rows: &HashSet<i64>,
    ) -> Result<usize, StoreError> {
        self.write_counts()?;
        self.end_sharing(rows)?;
        let mut dropped = 0;
        for row in rows {
            dropped += self
                .connection
                .prepare_cached(
                    "DELETE FROM addresses WHERE row = ?1 AND envelopes = 0
                     AND NOT EXISTS (SELECT 1 FROM leases WHERE address_row = ?1)",
                )?
                .execute([row])?;
        }
        if dropped > 0 {
            self.forget();
        }
        Ok(dropped)
    }

    pub(super) fn pseudonym(&self, registration: i64) -> Result<Pseudonym, StoreError> {
        let bytes: [u8; 32] = self
            .connection
            .prepare_cached("SELECT pseudonym FROM registrations WHERE row = ?1")?
            .query_row([registration], |row| row.get(0))?;
        Ok(Pseudonym::from_bytes(bytes))
    }
}

/// Rows taken away in one transaction, so that no publisher waits long.
const EXPIRED_AT_ONCE: usize = 2_000;
