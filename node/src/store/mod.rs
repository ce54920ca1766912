//! What the node keeps, in one SQLite file: addresses, envelopes in log order, registrations and leases.
//!
//! There is one writer and a few readers. The writer commits with `synchronous=FULL`, so what [`Store::write`] returns
//! `Ok` for survives a power cut.

pub(crate) mod backup;
pub(crate) mod beside;
mod digest;
mod endings;
mod expiry;
mod migrations;
mod networks;
mod peers;
mod pushes;
mod reader;
mod registrations;
mod sharing;
mod ticket_keys;
mod totals;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ailurus::{
    channel::Address,
    crypto::{AccessKey, AeadKey, OsEntropy, PublicKey, entropy, kdf},
    wire::time::UnixMillis,
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, config::DbConfig};

pub(crate) use digest::IdSum;
pub(crate) use endings::Room;
pub use expiry::Expired;
pub(crate) use networks::NetworkId;
pub(crate) use peers::{DelegatedKeys, Delegation, LeasedKeys, Named, PeerRow, RecordRow, Trust};
pub(crate) use pushes::{PushRow, PushStage};
pub(crate) use reader::{LeaseRow, Reader, Registration, Row, Sealed};
pub(crate) use registrations::{Hops, Introduced, Newcomer, Registered, distance};
pub(crate) use ticket_keys::{TicketKey, TicketKeys};
pub(crate) use totals::Totals;
pub(crate) use writer::{Append, Keep, Writer};

/// The database of a node. Closing it (dropping) folds the write-ahead log into the file.
pub struct Store {
    path: PathBuf,
    /// SQLite's way to the file, if not the usual one.
    vfs: Option<&'static str>,
    /// Closed before the writer: only the last connection folds the log, and a reader cannot.
    readers: Mutex<Vec<Reader>>,
    writer: Mutex<Writer>,
    end: AtomicU64,
    totals: Mutex<Totals>,
    generation: [u8; 16],
    cursor_key: AeadKey,
    network_key: [u8; 32],
}

/// The two keys behind an address, which its envelopes and registrations are checked with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    pub(crate) address: Address,
    pub(crate) blinded: PublicKey,
    pub(crate) access: AccessKey,
}

impl Store {
    /// Opens the database at `path`, makes it if there is none, and brings it to the current version.
    ///
    /// # Errors
    /// If the file cannot be opened or written, is not a node's database, or was made by a later version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_by(path, None)
    }

    /// As [`Store::open`], and no other process may open it meanwhile: for simulations, which need not ask the system for
    /// a lock with every read.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_alone(path: &Path) -> Result<Self, StoreError> {
        Self::open_by(path, Some("unix-excl"))
    }

    fn open_by(path: &Path, vfs: Option<&'static str>) -> Result<Self, StoreError> {
        let open = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let mut connection = connect(path, OpenFlags::default(), vfs).map_err(open)?;
        connection.busy_timeout(BUSY).map_err(open)?;
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .map_err(open)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.set_db_config(STABLE_PLANS, true)?;
        migrations::migrate(&mut connection)?;
        let generation = meta::<16>(&connection, "generation")?;
        let cursor_key = AeadKey::from_bytes(meta::<32>(&connection, "cursor_key")?);
        let network_key = meta::<32>(&connection, "network_key")?;
        let end = connection
            .query_row(
                "SELECT seq FROM sqlite_sequence WHERE name = 'envelopes'",
                [],
                |row| row.get::<_, i64>(0),
            )
            .optional()?
            .map_or(0, from_sql);
        let writer = Writer::new(connection)?;
        Ok(Self {
            path: path.to_owned(),
            vfs,
            totals: Mutex::new(*writer.totals()),
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            end: AtomicU64::new(end),
            generation,
            cursor_key,
            network_key,
        })
    }

    /// Begins a new generation: every cursor handed out before starts 7 days back. For a restored backup, whose log
    /// would otherwise give positions away a second time.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin_generation(&mut self) -> Result<(), StoreError> {
        let generation = entropy::array::<16>(&mut OsEntropy);
        let mut writer = self.writer();
        writer.set_meta("generation", &generation)?;
        writer.forget_ticket_keys()?;
        drop(writer);
        self.generation = generation;
        Ok(())
    }

    /// Names this log; a restored backup starts another.
    pub fn generation(&self) -> &[u8; 16] {
        &self.generation
    }

    /// The last position of the log, up to which every reader sees all.
    pub fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Envelopes kept now.
    pub fn envelopes(&self) -> u64 {
        self.totals().envelopes
    }

    /// Clients that hold leases now.
    pub fn registrations(&self) -> u64 {
        self.totals().clients
    }

    /// How much of everything there is.
    pub(crate) fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the node last looked what to delete; `None` if it never did or that cannot be read.
    pub(crate) fn kept_time(&self) -> Option<UnixMillis> {
        let kept = self.read(|reader| reader.kept_time());
        kept.ok().flatten()
    }

    /// A number that changes when another process has written to the database: a command of the operator.
    pub(crate) fn outside_version(&self) -> Result<i64, StoreError> {
        self.writer().outside_version()
    }

    /// Bytes that may still be written to the database's disk, if the system says.
    pub(crate) fn disk_free(&self) -> Option<u64> {
        crate::check::disk_free(&self.path)
    }

    pub(crate) fn cursor_key(&self) -> &AeadKey {
        &self.cursor_key
    }

    /// Names a network without saying which it is to whoever has not the database's key.
    pub(crate) fn network_id(&self, network: &[u8]) -> NetworkId {
        let [a, b, c, d, e, f, g, h, ..] =
            kdf::tagged_hash("ailurus-node/network", &[&self.network_key, network]);
        NetworkId::from_bytes([a, b, c, d, e, f, g, h])
    }

    /// Runs `change` in one transaction and syncs it to disk; if it fails, nothing of it happened.
    pub(crate) fn write<T>(
        &self,
        change: impl FnOnce(&mut Writer) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.write_then(change, |_, _| ())
    }

    /// As [`Store::write`]; `then` learns of the result and the end of the log before anybody else writes.
    pub(crate) fn write_then<T>(
        &self,
        change: impl FnOnce(&mut Writer) -> Result<T, StoreError>,
        then: impl FnOnce(&T, u64),
    ) -> Result<T, StoreError> {
        let mut writer = self.writer();
        let result = writer.transaction(change)?;
        let before = self.end.fetch_max(writer.end(), Ordering::Release);
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner) = *writer.totals();
        then(&result, before.max(writer.end()));
        Ok(result)
    }

    /// Random bytes, for who has no source of them.
    pub(crate) fn random(&self) -> [u8; 32] {
        entropy::array(&mut OsEntropy)
    }

    /// Runs `read` on one of the reading connections, which sees the database as it is at its first statement.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle_readers().pop();
        let reader = match idle {
            Some(reader) => reader,
            None => self.reader()?,
        };
        let result = reader.transaction(read)?;
        let mut idle = self.idle_readers();
        if idle.len() < IDLE_READERS {
            idle.push(reader);
        }
        Ok(result)
    }

    fn reader(&self) -> Result<Reader, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(&self.path, flags, self.vfs)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.set_db_config(STABLE_PLANS, true)?;
        Ok(Reader::new(connection))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle_readers(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(path: &Path, flags: OpenFlags, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
        None => Connection::open_with_flags(path, flags),
    }
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened.
    #[error(
        "the database {path} cannot be opened for writing: {source}; check that its directory is writable and not full"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Made by a later version.
    #[error(
        "the database has schema version {0}, which is newer than this program; update ailurus-node"
    )]
    Newer(i64),
    /// Made by an earlier version, and may not be changed now.
    #[error(
        "the database has schema version {0}, which is older than this program; start this ailurus-node once, which brings it up to date"
    )]
    Older(i64),
    /// A row that this program would not have written.
    #[error("the database holds a {0} that cannot be right; restore it from a backup")]
    Corrupt(&'static str),
    /// SQLite failed.
    #[error("the database failed: {0}; check the disk's free space and health")]
    Sqlite(#[from] rusqlite::Error),
}

/// Reads a value of `meta`, drawing it at random the first time.
fn meta<const N: usize>(
    connection: &Connection,
    name: &'static str,
) -> Result<[u8; N], StoreError> {
    let stored: Option<Vec<u8>> = connection
        .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
            row.get(0)
        })
        .optional()?;
    let Some(stored) = stored else {
        let value = entropy::array::<N>(&mut OsEntropy);
        connection.execute(
            "INSERT INTO meta (name, value) VALUES (?1, ?2)",
            (name, value.as_slice()),
        )?;
        return Ok(value);
    };
    stored.try_into().map_err(|_| StoreError::Corrupt(name))
}

/// SQLite's integers are signed; nothing that is stored comes near the far end.
fn to_sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn from_sql(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// How long a connection waits for another's lock.
const BUSY: Duration = Duration::from_secs(5);
/// Pages in the write-ahead log before it is folded into the file: about 16 MiB.
const CHECKPOINT_PAGES: i64 = 4_000;
/// Page cache of a connection, in KiB.
const CACHE_KIB: i64 = 16 << 10;
/// SQLite plans a statement with a bound LIMIT anew for each value, and so each time it comes from the cache of
/// statements, which clears its values.
const STABLE_PLANS: DbConfig = DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG;
/// Reading connections kept open.
const IDLE_READERS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_opened_alone_is_written_and_read_and_opens_as_any_other_afterwards() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("node.db");
        let store = Store::open_alone(&path).expect("a database");
        for value in [[7; 16], [8; 16]] {
            store
                .write(|writer| writer.set_meta("generation", &value))
                .expect("writable");
            store.read(|_| Ok(())).expect("readable");
        }
        assert!(
            !dir.path().join("node.db-shm").exists(),
            "no locks by the system"
        );
        drop(store);
        assert_eq!(
            Store::open(&path).expect("a database").generation(),
            &[8; 16]
        );
    }

    #[test]
    fn closing_folds_the_log_into_the_file_also_after_reads() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("node.db");
        let store = Store::open(&path).expect("a database");
        store.read(|_| Ok(())).expect("readable");
        store
            .write(|writer| writer.set_meta("generation", &[7; 16]))
            .expect("writable");
        let log = dir.path().join("node.db-wal");
        assert!(log.exists());
        drop(store);
        assert!(!log.exists());
    }
}
