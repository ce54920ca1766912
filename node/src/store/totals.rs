//! Sums over the whole database, kept beside it in the same transactions: a large node starts without counting.

use rusqlite::{Connection, OptionalExtension};

use super::{StoreError, from_sql, to_sql};

/// How much of everything there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) envelopes: u64,
    /// Bytes of signatures and bodies.
    pub(crate) bytes: u64,
    /// Registrations that are no peers', strangers among them.
    pub(crate) clients: u64,
    /// Clients without an introduction.
    pub(crate) strangers: u64,
    /// Registrations of other super nodes.
    pub(crate) peers: u64,
    /// Clients that are to be told why their leases ended.
    pub(crate) endings: u64,
    /// Leases of clients and peers.
    pub(crate) leases: u64,
    /// Of these, leases of peers.
    pub(crate) peer_leases: u64,
    /// Addresses that this node may register at others.
    pub(crate) delegations: u64,
}

impl Totals {
    /// What the last commit left, or what is counted once in a database that has none yet, or others.
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let stored: Option<Vec<u8>> = connection
            .query_row("SELECT value FROM meta WHERE name = ?1", [NAME], |row| {
                row.get(0)
            })
            .optional()?;
        if let Some(totals) = stored.and_then(|stored| Self::parse(&stored)) {
            return Ok(totals);
        }
        let totals = Self::count(connection)?;
        totals.save(connection)?;
        Ok(totals)
    }

    /// Writes them, within the transaction that changed them.
    pub(super) fn save(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut value = Vec::with_capacity(LENGTH);
        for number in self.numbers() {
            value.extend_from_slice(&to_sql(number).to_be_bytes());
        }
        connection
            .prepare_cached(
                "INSERT INTO meta (name, value) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            )?
            .execute((NAME, value))?;
        Ok(())
    }

    fn numbers(&self) -> [u64; NUMBERS] {
        [
            self.envelopes,
            self.bytes,
            self.clients,
            self.strangers,
            self.peers,
            self.endings,
            self.leases,
            self.peer_leases,
            self.delegations,
        ]
    }

    fn parse(stored: &[u8]) -> Option<Self> {
        if stored.len() != LENGTH {
            return None;
        }
        let mut numbers = stored
            .chunks_exact(8)
            .filter_map(|bytes| bytes.try_into().ok().map(u64::from_be_bytes));
        let mut next = || numbers.next();
        Some(Self {
            envelopes: next()?,
            bytes: next()?,
            clients: next()?,
            strangers: next()?,
            peers: next()?,
            endings: next()?,
            leases: next()?,
            peer_leases: next()?,
            delegations: next()?,
        })
    }

    fn count(connection: &Connection) -> Result<Self, StoreError> {
        let one = |sql: &str| -> Result<u64, StoreError> {
            Ok(from_sql(connection.query_row(sql, [], |row| row.get(0))?))
        };
        Ok(Self {
            envelopes: one("SELECT coalesce(sum(envelopes), 0) FROM addresses")?,
            bytes: one("SELECT coalesce(sum(bytes), 0) FROM addresses")?,
            clients: one("SELECT count(*) FROM registrations WHERE peer = 0")?,
            strangers: one(
                "SELECT count(*) FROM registrations WHERE peer = 0 AND hop_count IS NULL",
            )?,
            peers: one("SELECT count(*) FROM registrations WHERE peer = 1")?,
            endings: one("SELECT count(*) FROM endings")?,
            leases: one("SELECT count(*) FROM leases")?,
            peer_leases: one("SELECT count(*) FROM leases WHERE peer = 1")?,
            delegations: one("SELECT count(*) FROM delegations")?,
        })
    }
}

const NAME: &str = "totals";
const NUMBERS: usize = 9;
const LENGTH: usize = NUMBERS * 8;
