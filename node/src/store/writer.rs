//! Everything that changes the database, within [`super::Store::write`].

use std::collections::{HashMap, HashSet};

use ailurus::{
    channel::{Address, Envelope},
    crypto::Pseudonym,
    wire::{limits::LIFETIME, time::UnixMillis},
};
use rusqlite::{Connection, OptionalExtension};

use super::{Keys, StoreError, from_sql, to_sql};

/// The writing connection, with what it remembers of the addresses in use.
pub(crate) struct Writer {
    connection: Connection,
    /// Row and counts of addresses written to lately; emptied whenever it may be wrong.
    known: HashMap<Address, Known>,
    /// Addresses of `known` whose counts are not in the database yet.
    dirty: Vec<Address>,
    total: Counts,
    end: u64,
}

/// How much one address and the node may keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    pub(crate) envelopes_per_address: u64,
    pub(crate) bytes_per_address: u64,
    /// All addresses together.
    pub(crate) bytes: u64,
}

/// What became of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Append {
    /// New, at this position of the log.
    Stored(u64),
    /// It was there already.
    Known,
    /// The address is full.
    AddressFull,
    /// The node is full.
    NodeFull,
}

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
    /// There is more to take away: call again.
    pub more: bool,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    envelopes: u64,
    bytes: u64,
}

#[derive(Clone, Copy)]
struct Known {
    row: i64,
    counts: Counts,
    dirty: bool,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Result<Self, StoreError> {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let mut writer = Self {
            connection,
            known: HashMap::new(),
            dirty: Vec::new(),
            total: Counts::default(),
            end: 0,
        };
        writer.total = writer.sum()?;
        Ok(writer)
    }

    /// The last position assigned by this writer, zero if none was.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Envelopes kept.
    pub(super) fn envelopes(&self) -> u64 {
        self.total.envelopes
    }

    pub(super) fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.connection
            .execute("UPDATE meta SET value = ?2 WHERE name = ?1", (name, value))?;
        Ok(())
    }

    /// Runs `change` between BEGIN and COMMIT.
    pub(super) fn transaction<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (total, end) = (self.total, self.end);
        let result = self
            .execute("BEGIN IMMEDIATE")
            .and_then(|()| change(self))
            .and_then(|value| {
                self.write_counts()?;
                self.execute("COMMIT")?;
                Ok(value)
            });
        if result.is_err() {
            // Fails only if SQLite has rolled back by itself.
            let _ = self.execute("ROLLBACK");
            self.forget();
            (self.total, self.end) = (total, end);
        }
        result
    }

    /// Puts an envelope at the end of the log.
    pub(crate) fn append(
        &mut self,
        keys: &Keys,
        envelope: &Envelope,
        keep: &Keep,
    ) -> Result<Append, StoreError> {
        let id = envelope.id();
        let size = envelope.sealed().len() as u64;
        let known = self.address(keys)?;
        let address_full = known.counts.envelopes >= keep.envelopes_per_address
            || known.counts.bytes.saturating_add(size) > keep.bytes_per_address;
        if address_full || self.total.bytes.saturating_add(size) > keep.bytes {
            let stored = self
                .connection
                .prepare_cached("SELECT 1 FROM envelopes WHERE id = ?1")?
                .exists([id.as_bytes().as_slice()])?;
            return Ok(match (stored, address_full) {
                (true, _) => Append::Known,
                (false, true) => Append::AddressFull,
                (false, false) => Append::NodeFull,
            });
        }
        let header = envelope.header();
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT INTO envelopes (address_row, id, time_ms, kind, sealed) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (id) DO NOTHING",
            )?
            .execute((
                known.row,
                id.as_bytes().as_slice(),
                to_sql(header.time.as_millis()),
                header.kind as u8,
                envelope.sealed().as_ref(),
            ))?;
        if inserted == 0 {
            return Ok(Append::Known);
        }
        self.count(keys.address, size);
        self.end = from_sql(self.connection.last_insert_rowid());
        Ok(Append::Stored(self.end))
    }

    /// The registration of a pseudonym, made if there is none; `None` if the node has `limit` already.
    pub(crate) fn registration(
        &mut self,
        pseudonym: &Pseudonym,
        limit: u64,
    ) -> Result<Option<i64>, StoreError> {
        let found = self.find_registration(pseudonym)?;
        if found.is_some() {
            return Ok(found);
        }
        let count: i64 = self
            .connection
            .prepare_cached("SELECT count(*) FROM registrations")?
            .query_row([], |row| row.get(0))?;
        if from_sql(count) >= limit {
            return Ok(None);
        }
        self.connection
            .prepare_cached(
                "INSERT INTO registrations (pseudonym, id, version) VALUES (?1, randomblob(16), 0)",
            )?
            .execute([pseudonym.as_bytes().as_slice()])?;
        Ok(Some(self.connection.last_insert_rowid()))
    }

    /// Leases of a registration, ended ones included until they are taken away.
    pub(crate) fn leases(&mut self, registration: i64) -> Result<u64, StoreError> {
        let count: i64 = self
            .connection
            .prepare_cached("SELECT count(*) FROM leases WHERE registration_row = ?1")?
            .query_row([registration], |row| row.get(0))?;
        Ok(from_sql(count))
    }

    /// Makes the next version of a registration, under which leases are added.
    pub(crate) fn next_version(&mut self, registration: i64) -> Result<u64, StoreError> {
        let version: i64 = self
            .connection
            .prepare_cached(
                "UPDATE registrations SET version = version + 1 WHERE row = ?1 RETURNING version",
            )?
            .query_row([registration], |row| row.get(0))?;
        Ok(from_sql(version))
    }

    /// Moves the end of a lease back, never forth; false if there is no such lease.
    pub(crate) fn extend_lease(
        &mut self,
        registration: i64,
        keys: &Keys,
        end_s: u64,
    ) -> Result<bool, StoreError> {
        let row = self.address(keys)?.row;
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE leases SET end_s = max(end_s, ?3) WHERE registration_row = ?1 AND address_row = ?2",
            )?
            .execute((registration, row, to_sql(end_s)))?;
        Ok(changed > 0)
    }

    /// Adds a lease.
    pub(crate) fn add_lease(
        &mut self,
        registration: i64,
        keys: &Keys,
        version: u64,
        end_s: u64,
    ) -> Result<(), StoreError> {
        let row = self.address(keys)?.row;
        self.connection
            .prepare_cached(
                "INSERT INTO leases (registration_row, address_row, version, end_s) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((registration, row, to_sql(version), to_sql(end_s)))?;
        Ok(())
    }

    /// Ends leases; addresses that are not leased are passed over.
    pub(crate) fn release(
        &mut self,
        pseudonym: &Pseudonym,
        addresses: &[Address],
    ) -> Result<(), StoreError> {
        let Some(registration) = self.find_registration(pseudonym)? else {
            return Ok(());
        };
        let mut rows = HashSet::new();
        for address in addresses {
            let row: Option<i64> = self
                .connection
                .prepare_cached(
                    "DELETE FROM leases WHERE registration_row = ?1
                     AND address_row = (SELECT row FROM addresses WHERE address = ?2) RETURNING address_row",
                )?
                .query_row((registration, address.as_bytes().as_slice()), |row| row.get(0))
                .optional()?;
            rows.extend(row);
        }
        self.drop_empty_addresses(&rows)?;
        self.drop_empty_registration(registration)
    }

    /// Takes away a part of what ended before `now`.
    pub(crate) fn expire(&mut self, now: UnixMillis) -> Result<Expired, StoreError> {
        let mut rows = HashSet::new();
        let envelopes = self.expire_envelopes(now, &mut rows)?;
        let mut registrations = HashSet::new();
        let leases = self.expire_leases(now, &mut rows, &mut registrations)?;
        let mut pseudonyms = Vec::with_capacity(registrations.len());
        for registration in registrations {
            pseudonyms.push(self.pseudonym(registration)?);
            self.drop_empty_registration(registration)?;
        }
        Ok(Expired {
            envelopes,
            leases,
            addresses: self.drop_empty_addresses(&rows)?,
            pseudonyms,
            more: envelopes == EXPIRED_AT_ONCE || leases == EXPIRED_AT_ONCE,
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
            self.total.envelopes = self.total.envelopes.saturating_sub(counts.envelopes);
            self.total.bytes = self.total.bytes.saturating_sub(counts.bytes);
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
                "SELECT registration_row, address_row FROM leases WHERE end_s <= ?1 LIMIT ?2",
            )?;
            let mut found = statement.query((to_sql(now.as_secs()), EXPIRED_AT_ONCE as i64))?;
            while let Some(row) = found.next()? {
                ended.push((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
            }
        }
        for (registration, address) in &ended {
            self.connection
                .prepare_cached(
                    "DELETE FROM leases WHERE registration_row = ?1 AND address_row = ?2",
                )?
                .execute((registration, address))?;
            rows.insert(*address);
            registrations.insert(*registration);
        }
        Ok(ended.len())
    }

    fn drop_empty_addresses(&mut self, rows: &HashSet<i64>) -> Result<usize, StoreError> {
        self.write_counts()?;
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

    fn drop_empty_registration(&mut self, registration: i64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "DELETE FROM registrations WHERE row = ?1
                 AND NOT EXISTS (SELECT 1 FROM leases WHERE registration_row = ?1)",
            )?
            .execute([registration])?;
        Ok(())
    }

    fn find_registration(&self, pseudonym: &Pseudonym) -> Result<Option<i64>, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT row FROM registrations WHERE pseudonym = ?1")?
            .query_row([pseudonym.as_bytes().as_slice()], |row| row.get(0))
            .optional()?;
        Ok(found)
    }

    fn pseudonym(&self, registration: i64) -> Result<Pseudonym, StoreError> {
        let bytes: [u8; 32] = self
            .connection
            .prepare_cached("SELECT pseudonym FROM registrations WHERE row = ?1")?
            .query_row([registration], |row| row.get(0))?;
        Ok(Pseudonym::from_bytes(bytes))
    }

    /// Row and counts of an address, made if it is new.
    fn address(&mut self, keys: &Keys) -> Result<Known, StoreError> {
        if let Some(known) = self.known.get(&keys.address) {
            return Ok(*known);
        }
        if self.known.len() >= KNOWN_ADDRESSES {
            self.write_counts()?;
            self.known.clear();
        }
        let found = self
            .connection
            .prepare_cached("SELECT row, envelopes, bytes FROM addresses WHERE address = ?1")?
            .query_row([keys.address.as_bytes().as_slice()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let known = match found {
            Some((row, envelopes, bytes)) => Known {
                row,
                counts: Counts {
                    envelopes: from_sql(envelopes),
                    bytes: from_sql(bytes),
                },
                dirty: false,
            },
            None => Known {
                row: self.insert_address(keys)?,
                counts: Counts::default(),
                dirty: false,
            },
        };
        self.known.insert(keys.address, known);
        Ok(known)
    }

    fn insert_address(&self, keys: &Keys) -> Result<i64, StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO addresses (address, blinded_key, access_key, envelopes, bytes) VALUES (?1, ?2, ?3, 0, 0)",
            )?
            .execute((
                keys.address.as_bytes().as_slice(),
                keys.blinded.as_bytes().as_slice(),
                keys.access.as_bytes().as_slice(),
            ))?;
        Ok(self.connection.last_insert_rowid())
    }

    fn count(&mut self, address: Address, size: u64) {
        self.total.envelopes = self.total.envelopes.saturating_add(1);
        self.total.bytes = self.total.bytes.saturating_add(size);
        let Some(known) = self.known.get_mut(&address) else {
            return;
        };
        known.counts.envelopes = known.counts.envelopes.saturating_add(1);
        known.counts.bytes = known.counts.bytes.saturating_add(size);
        if !known.dirty {
            known.dirty = true;
            self.dirty.push(address);
        }
    }

    /// Writes the counts that changed: once per address and transaction, however many envelopes came.
    fn write_counts(&mut self) -> Result<(), StoreError> {
        for address in self.dirty.drain(..) {
            let Some(known) = self.known.get_mut(&address) else {
                continue;
            };
            known.dirty = false;
            self.connection
                .prepare_cached("UPDATE addresses SET envelopes = ?2, bytes = ?3 WHERE row = ?1")?
                .execute((
                    known.row,
                    to_sql(known.counts.envelopes),
                    to_sql(known.counts.bytes),
                ))?;
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.known.clear();
        self.dirty.clear();
    }

    fn sum(&self) -> Result<Counts, StoreError> {
        let counts = self.connection.query_row(
            "SELECT coalesce(sum(envelopes), 0), coalesce(sum(bytes), 0) FROM addresses",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(Counts {
            envelopes: from_sql(counts.0),
            bytes: from_sql(counts.1),
        })
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

/// Statements kept prepared: all there are.
const STATEMENTS: usize = 48;
/// Addresses remembered, about 100 bytes each.
const KNOWN_ADDRESSES: usize = 65_536;
/// Rows taken away in one transaction, so that no publisher waits long.
const EXPIRED_AT_ONCE: usize = 2_000;
