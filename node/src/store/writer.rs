//! Everything that changes the database, within [`super::Store::write`].

use std::collections::{HashMap, HashSet};

use ailurus::{
    channel::{Address, ChainId, Envelope, EnvelopeId},
    crypto::Pseudonym,
    wire::{node::Load, time::UnixMillis},
};
use prost::Message as _;
use rusqlite::{Connection, OptionalExtension};

use super::{Keys, StoreError, Totals, from_sql, to_sql};

/// The writing connection, with what it remembers of the addresses in use.
pub(crate) struct Writer {
    pub(super) connection: Connection,
    /// Row and counts of addresses written to lately; emptied whenever it may be wrong.
    known: HashMap<Address, Known>,
    /// Addresses of `known` whose counts are not in the database yet.
    dirty: Vec<Address>,
    pub(super) totals: Totals,
    /// Clients in subtrees of introductions that were asked for lately.
    pub(super) subtrees: HashMap<ChainId, u64>,
    /// Super nodes that lost leases with the clients whose addresses those were on.
    pub(super) parted: Vec<Pseudonym>,
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
    /// New.
    Stored {
        /// Where in the log.
        position: u64,
        address_row: i64,
    },
    /// It was there already.
    Known,
    /// The address is full.
    AddressFull,
    /// The node is full.
    NodeFull,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) envelopes: u64,
    pub(super) bytes: u64,
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
        Ok(Self {
            totals: Totals::load(&connection)?,
            connection,
            known: HashMap::new(),
            dirty: Vec::new(),
            subtrees: HashMap::new(),
            parted: Vec::new(),
            end: 0,
        })
    }

    /// The last position assigned by this writer, zero if none was.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// How much of everything there is.
    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(super) fn outside_version(&self) -> Result<i64, StoreError> {
        let mut statement = self.connection.prepare_cached("PRAGMA data_version")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Keeps how busy the node is for `ailurus-node status`.
    pub(crate) fn keep_load(&mut self, load: &Load) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO meta (name, value) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value IS NOT excluded.value",
            )?
            .execute((LOAD, load.encode_to_vec()))?;
        Ok(())
    }

    /// Keeps the time, to be compared with at the next start.
    pub(crate) fn keep_time(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO meta (name, value) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            )?
            .execute((TIME, now.as_millis().to_be_bytes()))?;
        Ok(())
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
        let before = (self.totals, self.end);
        let result = self
            .execute("BEGIN IMMEDIATE")
            .and_then(|()| change(self))
            .and_then(|value| {
                self.write_counts()?;
                if self.totals != before.0 {
                    self.totals.save(&self.connection)?;
                }
                self.execute("COMMIT")?;
                Ok(value)
            });
        if result.is_err() {
            // Fails only if SQLite has rolled back by itself.
            let _ = self.execute("ROLLBACK");
            self.forget();
            self.subtrees.clear();
            self.parted.clear();
            (self.totals, self.end) = before;
        }
        result
    }

    /// Puts an envelope at the end of the log; `peer` says that it came from another super node.
    pub(crate) fn append(
        &mut self,
        keys: &Keys,
        envelope: &Envelope,
        peer: bool,
        keep: &Keep,
    ) -> Result<Append, StoreError> {
        let id = envelope.id();
        let size = envelope.sealed().len() as u64;
        // Before the address is looked up, which makes a row for a new one.
        if self.totals.bytes.saturating_add(size) > keep.bytes {
            return self.known_or(&id, Append::NodeFull);
        }
        let known = self.address(keys)?;
        if known.counts.envelopes >= keep.envelopes_per_address
            || known.counts.bytes.saturating_add(size) > keep.bytes_per_address
        {
            return self.known_or(&id, Append::AddressFull);
        }
        let header = envelope.header();
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT INTO envelopes (address_row, id, time_ms, kind, sealed, peer)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (id) DO NOTHING",
            )?
            .execute((
                known.row,
                id.as_bytes().as_slice(),
                to_sql(header.time.as_millis()),
                header.kind as u8,
                envelope.sealed().as_ref(),
                peer,
            ))?;
        if inserted == 0 {
            return Ok(Append::Known);
        }
        self.count(keys.address, size);
        self.end = from_sql(self.connection.last_insert_rowid());
        Ok(Append::Stored {
            position: self.end,
            address_row: known.row,
        })
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
        address: &Address,
        end_s: u64,
    ) -> Result<bool, StoreError> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE leases SET end_s = max(end_s, ?3) WHERE registration_row = ?1
                 AND address_row = (SELECT row FROM addresses WHERE address = ?2)",
            )?
            .execute((registration, address.as_bytes().as_slice(), to_sql(end_s)))?;
        Ok(changed > 0)
    }

    /// Adds a lease.
    pub(crate) fn add_lease(
        &mut self,
        registration: i64,
        keys: &Keys,
        version: u64,
        end_s: u64,
        peer: bool,
    ) -> Result<(), StoreError> {
        let row = self.address(keys)?.row;
        self.connection
            .prepare_cached(
                "INSERT INTO leases (registration_row, address_row, version, end_s, peer) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((registration, row, to_sql(version), to_sql(end_s), peer))?;
        self.totals.leases = self.totals.leases.saturating_add(1);
        if peer {
            self.totals.peer_leases = self.totals.peer_leases.saturating_add(1);
        }
        Ok(())
    }

    /// Writes how many leases a registration has, after some were added.
    pub(crate) fn keep_leases(&mut self, registration: i64, leases: u64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("UPDATE registrations SET leases = ?2 WHERE row = ?1")?
            .execute((registration, to_sql(leases)))?;
        Ok(())
    }

    /// Whether a client, not a super node, has a lease on an address.
    pub(crate) fn is_leased(&self, address: &Address) -> Result<bool, StoreError> {
        let leased = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM leases WHERE peer = 0
                 AND address_row = (SELECT row FROM addresses WHERE address = ?1)",
            )?
            .exists([address.as_bytes().as_slice()])?;
        Ok(leased)
    }

    /// Ends leases; addresses that are not leased are passed over. A super node that names none ends all it has, as it may
    /// have forgotten which.
    pub(crate) fn release(
        &mut self,
        pseudonym: &Pseudonym,
        addresses: &[Address],
    ) -> Result<(), StoreError> {
        let Some(found) = self.registered(pseudonym)? else {
            return Ok(());
        };
        let registration = found.row;
        let mut rows = HashSet::new();
        if addresses.is_empty() && found.peer {
            let mut statement = self.connection.prepare_cached(
                "DELETE FROM leases WHERE registration_row = ?1 RETURNING address_row",
            )?;
            let mut ended = statement.query([registration])?;
            while let Some(lease) = ended.next()? {
                rows.insert(lease.get(0)?);
            }
        }
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
        self.count_ended(registration, rows.len() as u64, found.peer)?;
        self.drop_empty_addresses(&rows)?;
        self.drop_empty_registration(registration)?;
        Ok(())
    }

    /// Takes ended leases out of the counts.
    pub(super) fn count_ended(
        &mut self,
        registration: i64,
        leases: u64,
        peer: bool,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("UPDATE registrations SET leases = max(leases - ?2, 0) WHERE row = ?1")?
            .execute((registration, to_sql(leases)))?;
        self.totals.leases = self.totals.leases.saturating_sub(leases);
        if peer {
            self.totals.peer_leases = self.totals.peer_leases.saturating_sub(leases);
        }
        Ok(())
    }

    fn known_or(&self, id: &EnvelopeId, refusal: Append) -> Result<Append, StoreError> {
        let stored = self
            .connection
            .prepare_cached("SELECT 1 FROM envelopes WHERE id = ?1")?
            .exists([id.as_bytes().as_slice()])?;
        Ok(if stored { Append::Known } else { refusal })
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
        self.totals.envelopes = self.totals.envelopes.saturating_add(1);
        self.totals.bytes = self.totals.bytes.saturating_add(size);
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
    pub(super) fn write_counts(&mut self) -> Result<(), StoreError> {
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

    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.dirty.clear();
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

/// Statements kept prepared: all there are.
const STATEMENTS: usize = 128;
/// Addresses remembered, about 100 bytes each.
const KNOWN_ADDRESSES: usize = 65_536;
/// The row of `meta` that says when something was last looked at to be deleted, in Unix milliseconds.
pub(super) const TIME: &str = "time";
/// The row of `meta` that says how busy the node is.
pub(super) const LOAD: &str = "load";
