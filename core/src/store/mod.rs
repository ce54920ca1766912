//! One SQLite file per profile: channels, members, messages, and what waits to be sent.
//!
//! Every column that holds a secret or a body, or names a person, channel, address or node, is encrypted under a
//! data key or stands as a keyed hash; numbers and times stand in clear (docs/SECURITY.md).
//! Two processes may use one file: nothing is cached across transactions.

mod authors;
mod backup;
mod channels;
mod cipher;
mod introductions;
mod messages;
mod migrations;
mod named_nodes;
mod nodes;
mod outbox;
mod pushes;
mod rotations;
mod searches;
mod tickets;
mod unfetched;
mod usage;

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

pub use authors::{AuthorRow, ChainState, NewAuthor, PendingEnvelope, StoredAuthor};
pub use channels::{AccessRow, ChannelRow, ChannelState, StoredAccess, StoredChannel};
pub use cipher::StorageKey;
pub use introductions::{AskedIntroduction, HeldIntroduction};
pub use messages::{MessageState, NewMessage, Page, StoredMessage};
pub use named_nodes::{NamedNode, Told};
pub use nodes::{NodeRow, NodeState, StoredNode};
pub use outbox::{OutboxItem, SealedEnvelope};
pub use pushes::{Push, PushStage, StoredPush};
pub use rotations::StoredRotation;
pub use searches::StoredSearches;
pub use tickets::{StoredTicket, TicketRow};
pub use unfetched::{MAX_UNFETCHED, Unfetched};
pub use usage::{StoredHabits, UsageEntry};

use crate::crypto::{Entropy as _, OsEntropy};

use cipher::{ColumnCipher, DataKey};

mod proto {
    #![allow(
        missing_docs,
        unreachable_pub,
        reason = "generated, and documented in the .proto file, the source of truth"
    )]
    include!(concat!(env!("OUT_DIR"), "/ailurus.store.v1.rs"));
}

/// A profile, open unless it was [suspended](Store::suspend) or [closed](Store::close).
pub struct Store {
    connection: Link,
    cipher: ColumnCipher,
    data_key: DataKey,
    path: PathBuf,
}

impl Store {
    /// Makes a new profile at `path`.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is one already; nothing is changed then.
    pub fn create(path: &Path, key: &StorageKey) -> Result<Self, StoreError> {
        // Only one of two processes makes the file, and only that one may take it away again.
        new_file(path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => StoreError::Exists,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
            ErrorKind::StorageFull => StoreError::DiskFull,
            _ => StoreError::Io(error),
        })?;
        let mut data_key = [0; 32];
        OsEntropy.fill(&mut data_key);
        let data_key = DataKey::from_bytes(data_key);
        let wrapped = data_key.wrap(key);
        let made = connect(path).and_then(|mut connection| {
            migrations::run(&mut connection, Some(&wrapped))?;
            Ok(connection)
        });
        match made {
            Ok(connection) => Ok(Self::with(connection, data_key, path)),
            Err(error) => {
                backup::remove_if_there(path)?;
                Err(error)
            }
        }
    }

    /// Opens a profile and upgrades its schema if it is of an earlier release.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`] if the key is another profile's; nothing is changed then.
    pub fn open(path: &Path, key: &StorageKey) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing);
        }
        let mut connection = connect(path)?;
        let data_key = DataKey::unwrap(&wrapped_key(&connection)?, key)?;
        migrations::run(&mut connection, None)?;
        Ok(Self::with(connection, data_key, path))
    }

    fn with(connection: Connection, data_key: DataKey, path: &Path) -> Self {
        Self {
            connection: Link::Open(connection),
            cipher: ColumnCipher::new(&data_key),
            data_key,
            path: path.to_owned(),
        }
    }

    /// Puts the profile under another storage key.
    pub fn change_key(&mut self, key: &StorageKey) -> Result<(), StoreError> {
        let wrapped = self.data_key.wrap(key);
        self.connection.open()?.execute(
            "UPDATE meta SET value = ?1 WHERE key = 'data_key'",
            [wrapped],
        )?;
        Ok(())
    }

    /// Runs `work` in a transaction that is committed if it succeeds and undone if it fails.
    pub fn write<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = self
            .connection
            .open_mut()?
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::from)?;
        let tx = Tx {
            transaction: &transaction,
            cipher: &self.cipher,
        };
        let done = work(&tx)?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(done)
    }

    /// Runs `work` on one consistent view.
    pub fn read<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = self
            .connection
            .open_mut()?
            .transaction_with_behavior(TransactionBehavior::Deferred)
            .map_err(StoreError::from)?;
        work(&Tx {
            transaction: &transaction,
            cipher: &self.cipher,
        })
    }

    /// Changes whenever another process has written.
    pub fn data_version(&self) -> Result<i64, StoreError> {
        Ok(self
            .connection
            .open()?
            .query_row("PRAGMA data_version", [], |row| row.get(0))?)
    }

    /// Empties the write-ahead log, so that overwritten secrets do not linger in it. While another process reads, it
    /// stays until the last one closes the profile.
    pub fn scrub(&self) -> Result<(), StoreError> {
        let connection = self.connection.open()?;
        connection.busy_timeout(SCRUB_TIMEOUT)?;
        let busy: bool =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        if busy {
            tracing::debug!("the write-ahead log is in use and was not emptied");
        }
        Ok(())
    }

    /// Lets the file and its locks go until [`Store::resume`]; the data key stays in memory.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after [`Store::close`].
    pub fn suspend(&mut self) -> Result<(), StoreError> {
        if matches!(self.connection, Link::Closed) {
            return Err(StoreError::Closed);
        }
        self.connection = Link::Suspended;
        Ok(())
    }

    /// Opens the file again after [`Store::suspend`].
    ///
    /// # Errors
    /// [`StoreError::Closed`] after [`Store::close`], and whatever [`Store::open`] says; it stays suspended then.
    pub fn resume(&mut self) -> Result<(), StoreError> {
        match self.connection {
            Link::Open(_) => return Ok(()),
            Link::Closed => return Err(StoreError::Closed),
            Link::Suspended => {}
        }
        if !self.path.exists() {
            return Err(StoreError::Missing);
        }
        let mut connection = connect(&self.path)?;
        migrations::run(&mut connection, None)?;
        self.connection = Link::Open(connection);
        Ok(())
    }

    /// Lets the file go for good.
    pub fn close(&mut self) {
        self.connection = Link::Closed;
    }
}

/// The database's connection, where there is one.
enum Link {
    Open(Connection),
    Suspended,
    Closed,
}

impl Link {
    fn open(&self) -> Result<&Connection, StoreError> {
        match self {
            Self::Open(connection) => Ok(connection),
            Self::Suspended => Err(StoreError::Suspended),
            Self::Closed => Err(StoreError::Closed),
        }
    }

    fn open_mut(&mut self) -> Result<&mut Connection, StoreError> {
        match self {
            Self::Open(connection) => Ok(connection),
            Self::Suspended => Err(StoreError::Suspended),
            Self::Closed => Err(StoreError::Closed),
        }
    }
}

/// Makes a new database aside and puts it in its place when it is whole, so that neither a full disk nor a crash
/// leaves half of one there. Of two processes that try at once one is told that the profile is [`StoreError::Busy`].
pub(crate) fn make_whole<E: From<StoreError>>(
    path: &Path,
    make: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let io = |error: std::io::Error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
        ErrorKind::StorageFull => StoreError::DiskFull,
        _ => StoreError::Io(error),
    };
    if path.exists() {
        return Err(StoreError::Exists.into());
    }
    let guard = path.with_extension("lock");
    let lock = File::create(&guard).map_err(io)?;
    lock.try_lock().map_err(|_| StoreError::Busy)?;
    if path.exists() {
        return Err(StoreError::Exists.into());
    }
    let partial = path.with_extension("new");
    remove(&partial)?;
    let made = make(&partial)
        .and_then(|()| std::fs::rename(&partial, path).map_err(|error| io(error).into()));
    if made.is_err() {
        remove(&partial)?;
    }
    // The lock goes with the file handle; the file itself is only in the way.
    let _ = std::fs::remove_file(&guard);
    made
}

/// Removes a database that is not open, with its log, if it is there.
fn remove(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        if Path::new(&file).exists() {
            std::fs::remove_file(&file)?;
        }
    }
    Ok(())
}

/// A transaction; each room of the database adds its methods.
pub struct Tx<'a> {
    transaction: &'a rusqlite::Transaction<'a>,
    cipher: &'a ColumnCipher,
}

impl Tx<'_> {
    /// The profile's own name; `None` before [`Tx::set_profile_name`].
    pub fn profile_name(&self) -> Result<Option<String>, StoreError> {
        let sealed: Option<Vec<u8>> = self
            .transaction
            .query_row("SELECT sealed FROM profile WHERE id = 1", [], |row| {
                row.get(0)
            })
            .optional()?;
        sealed
            .map(|sealed| {
                self.decode::<proto::Profile>("profile", &sealed)
                    .map(|profile| profile.name)
            })
            .transpose()
    }

    /// Sets the profile's own name.
    pub fn set_profile_name(&self, name: &str) -> Result<(), StoreError> {
        let record = proto::Profile {
            name: name.to_owned(),
        };
        self.transaction.execute(
            "INSERT INTO profile (id, sealed) VALUES (1, ?1)
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed",
            [self.encode("profile", &record)],
        )?;
        Ok(())
    }

    fn encode(&self, column: &str, record: &impl prost::Message) -> Vec<u8> {
        let plain = zeroize::Zeroizing::new(record.encode_to_vec());
        self.cipher.seal(column, &plain)
    }

    fn decode<M: prost::Message + Default>(
        &self,
        column: &'static str,
        sealed: &[u8],
    ) -> Result<M, StoreError> {
        let plain = self.cipher.open(column, sealed)?;
        M::decode(plain.as_slice()).map_err(|_| StoreError::Corrupt(column))
    }
}

/// Why the store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A backup file is not one, or cut off.
    #[error("the file is not an Ailurus backup, or is damaged; choose another one")]
    BadBackup,
    /// Another process holds the database for longer than 10 s.
    #[error(
        "the profile is in use by another process that does not let go; close it and try again"
    )]
    Busy,
    /// Used after [`Store::close`].
    #[error("the client was shut down; open it again")]
    Closed,
    /// A record does not decrypt or decode.
    #[error("the profile is damaged ({0}); restore it from a backup")]
    Corrupt(&'static str),
    /// No room on the disk.
    #[error("the disk is full; free some space and try again")]
    DiskFull,
    /// There is a profile already.
    #[error("there is a profile here already; use it, or choose another folder")]
    Exists,
    /// A file could not be read or written.
    #[error("the profile's file cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// No profile.
    #[error("there is no profile here; make one first, or choose the right folder")]
    Missing,
    /// A cap on something that others can grow.
    #[error("this phone keeps at most {limit} {what}; leave or delete some first")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        limit: u32,
    },
    /// Written by a later release.
    #[error("the profile was written by a later version (schema {found}); update the app")]
    Newer {
        /// The schema found.
        found: i64,
    },
    /// The folder or file may not be written.
    #[error("the profile's folder cannot be written; check its permissions")]
    ReadOnly,
    /// Anything else that SQLite reports.
    #[error("the database reports: {0}")]
    Sqlite(rusqlite::Error),
    /// Used between [`Store::suspend`] and [`Store::resume`].
    #[error("the client is suspended; call resume first")]
    Suspended,
    /// A record that is not there, or no longer.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// The storage key does not open this profile.
    #[error("the storage key or passphrase is wrong; nothing was changed")]
    WrongKey,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::ReadOnly
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Corrupt("file"),
            _ => Self::Sqlite(error),
        }
    }
}

/// SQLite has signed integers only; what does not fit is a time or number that nobody can mean.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;",
    )?;
    // Else a statement with a bound LIMIT is planned anew each time it comes from the cache, which clears its values.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// A new file that only its owner may read.
fn new_file(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const SCRUB_TIMEOUT: Duration = Duration::from_millis(250);

fn wrapped_key(connection: &Connection) -> Result<Vec<u8>, StoreError> {
    connection
        .query_row("SELECT value FROM meta WHERE key = 'data_key'", [], |row| {
            row.get(0)
        })
        .map_err(|error| match StoreError::from(error) {
            StoreError::Sqlite(_) => StoreError::Corrupt("file"),
            other => other,
        })
}
