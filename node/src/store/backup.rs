//! A node in one file: its database as SQLite copies it, then what else makes it this node.
//!
//! The file is the database, then the port (2 bytes, zero if none is kept), the node key (32), the time (8, Unix
//! milliseconds), SHA-256 over all that (32), the format's version (2) and a word that names it. Numbers are
//! big-endian. What identifies the file stands at its end, so that a file that was cut off is never taken for whole.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use ailurus::{crypto::NodeSecret, wire::time::UnixMillis};
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::StoreError;

/// What a backup holds beside the database.
pub(crate) struct Contents {
    pub(crate) key: NodeSecret,
    pub(crate) port: Option<u16>,
    pub(crate) made: UnixMillis,
}

/// Bytes done, and about how many there are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes written or read so far.
    pub done: u64,
    /// About how many it will be.
    pub total: u64,
}

/// Called now and then, from another thread too.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Sync);

/// Why a file could not be written as or read as a backup.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It does not end as a backup does.
    #[error("it does not end as a backup does")]
    NoBackup,
    /// Version of the format.
    #[error("it is of format {0}")]
    Newer(u16),
    /// The sum is another.
    #[error("its checksum is wrong")]
    Damaged,
}

/// Copies the database as it is at one moment into `file`, which is empty and lies at `path`; others go on writing to
/// the database meanwhile. Then adds `contents`, and syncs. The length of the file.
pub(crate) fn write(
    database: &Path,
    file: &mut File,
    path: &Path,
    contents: &Contents,
    progress: OnProgress<'_>,
) -> Result<u64, BackupError> {
    copy_database(database, path, progress)?;
    let mut hash = Sha256::new();
    file.seek(SeekFrom::Start(0))?;
    let length = copy_hashed(file, &mut io::sink(), u64::MAX, &mut hash, &|_| {})?;
    let mut tail = Zeroizing::new(Vec::with_capacity(TAIL));
    tail.extend_from_slice(&contents.port.unwrap_or(0).to_be_bytes());
    tail.extend_from_slice(contents.key.expose());
    tail.extend_from_slice(&contents.made.as_millis().to_be_bytes());
    hash.update(&*tail);
    tail.extend_from_slice(&hash.finalize());
    tail.extend_from_slice(&VERSION.to_be_bytes());
    tail.extend_from_slice(NAME);
    file.seek(SeekFrom::Start(length))?;
    file.write_all(&tail)?;
    file.sync_all()?;
    Ok(length.saturating_add(TAIL as u64))
}

/// Copies the database of a backup into `database`, which is empty, and syncs it.
pub(crate) fn read(
    file: &mut File,
    database: &mut File,
    progress: OnProgress<'_>,
) -> Result<Contents, BackupError> {
    let length = file.seek(SeekFrom::End(0))?;
    let Some(length) = length.checked_sub(TAIL as u64) else {
        return Err(BackupError::NoBackup);
    };
    file.seek(SeekFrom::Start(length))?;
    let mut tail = Zeroizing::new([0; TAIL]);
    file.read_exact(tail.as_mut_slice())?;
    let mut rest = tail.as_slice();
    let port = u16::from_be_bytes(take(&mut rest)?);
    let key = Zeroizing::new(take::<32>(&mut rest)?);
    let made = take(&mut rest)?;
    let sum: [u8; 32] = take(&mut rest)?;
    let version = u16::from_be_bytes(take(&mut rest)?);
    if rest != NAME {
        return Err(BackupError::NoBackup);
    }
    if version != VERSION {
        return Err(BackupError::Newer(version));
    }
    let mut hash = Sha256::new();
    file.seek(SeekFrom::Start(0))?;
    copy_hashed(file, database, length, &mut hash, progress)?;
    hash.update(port.to_be_bytes());
    hash.update(key.as_slice());
    hash.update(made);
    if hash.finalize().as_slice() != sum {
        return Err(BackupError::Damaged);
    }
    database.sync_all()?;
    Ok(Contents {
        key: NodeSecret::from_bytes(*key),
        port: Some(port).filter(|port| *port != 0),
        made: UnixMillis::from_millis(u64::from_be_bytes(made)),
    })
}

/// `VACUUM INTO` reads one snapshot, so the copy is consistent whatever is committed meanwhile.
fn copy_database(
    database: &Path,
    path: &Path,
    progress: OnProgress<'_>,
) -> Result<(), BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).map_err(StoreError::from)?;
    connection
        .busy_timeout(super::BUSY)
        .map_err(StoreError::from)?;
    let total = std::fs::metadata(database)?.len();
    // SQLite takes a path as text.
    let target = path
        .to_str()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "its path is not UTF-8 text"))?;
    let (copied, waiting) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = waiting.recv_timeout(LOOK) {
                let done = std::fs::metadata(path).map_or(0, |found| found.len());
                progress(Progress {
                    done: done.min(total),
                    total,
                });
            }
        });
        let result = connection.execute("VACUUM INTO ?1", [target]);
        drop(copied);
        result
    })
    .map_err(StoreError::from)?;
    Ok(())
}

/// Copies `length` bytes, or up to the end if that comes first; how many there were.
fn copy_hashed(
    from: &mut impl Read,
    to: &mut impl Write,
    length: u64,
    hash: &mut Sha256,
    progress: OnProgress<'_>,
) -> io::Result<u64> {
    let mut from = from.take(length);
    let mut buffer = vec![0; BUFFER];
    let mut done = 0_u64;
    loop {
        let read = from.read(&mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else {
            return Ok(done);
        };
        hash.update(part);
        to.write_all(part)?;
        done = done.saturating_add(read as u64);
        progress(Progress {
            done,
            total: length,
        });
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BackupError> {
    let (first, after) = rest.split_first_chunk().ok_or(BackupError::NoBackup)?;
    *rest = after;
    Ok(*first)
}

/// What a backup ends with.
const NAME: &[u8; 19] = b"ailurus-node backup";
const VERSION: u16 = 1;
const TAIL: usize = 2 + 32 + 8 + 32 + 2 + NAME.len();
/// How often the copy is looked at.
const LOOK: Duration = Duration::from_millis(200);
const BUFFER: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    const MADE: UnixMillis = UnixMillis::from_secs(1_700_000_000);

    fn contents() -> Contents {
        Contents {
            key: NodeSecret::from_bytes([7; 32]),
            port: Some(4433),
            made: MADE,
        }
    }

    /// A backup of an empty database, as bytes.
    fn backup(dir: &Path) -> Vec<u8> {
        let database = dir.join("node.db");
        let _store = Store::open(&database).expect("made");
        let path = dir.join("backup");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .expect("made");
        let length = write(&database, &mut file, &path, &contents(), &|_| {}).expect("written");
        let bytes = std::fs::read(&path).expect("read");
        assert_eq!(bytes.len() as u64, length);
        bytes
    }

    fn restored(dir: &Path, bytes: &[u8]) -> Result<Contents, BackupError> {
        let path = dir.join("given");
        std::fs::write(&path, bytes).expect("written");
        let mut database = File::create(dir.join("restored.db")).expect("made");
        read(
            &mut File::open(&path).expect("opened"),
            &mut database,
            &|_| {},
        )
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let bytes = backup(dir.path());
        let contents = restored(dir.path(), &bytes).expect("whole");
        assert_eq!(contents.key.expose(), &[7; 32]);
        assert_eq!((contents.port, contents.made), (Some(4433), MADE));
        let generation = |name| {
            let store = Store::open(&dir.path().join(name)).expect("a database");
            *store.generation()
        };
        assert_eq!(generation("restored.db"), generation("node.db"));
    }

    #[test]
    fn every_damage_is_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let bytes = backup(dir.path());
        let (database, tail) = bytes.split_at(bytes.len() - TAIL);
        for length in [0, 1, TAIL - 1, TAIL, bytes.len() / 2, bytes.len() - 1] {
            let cut = restored(dir.path(), &bytes[..length]);
            assert!(matches!(cut, Err(BackupError::NoBackup)), "cut at {length}");
        }
        for place in [
            0,
            100,
            database.len() - 1,
            database.len(),
            database.len() + 40,
        ] {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            let read = restored(dir.path(), &damaged);
            assert!(matches!(read, Err(BackupError::Damaged)), "at {place}");
        }
        let mut newer = bytes.clone();
        let version = newer.len() - NAME.len() - 1;
        newer[version] = 2;
        assert!(matches!(
            restored(dir.path(), &newer),
            Err(BackupError::Newer(2))
        ));
        let swapped = [&database[1..], &database[..1], tail].concat();
        assert!(restored(dir.path(), &swapped).is_err());
    }
}
