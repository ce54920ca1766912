//! Backups: one file with the whole profile, under a passphrase of its own (Argon2id, then AES-256-GCM in chunks).
//!
//! Layout: `ailurus backup 1\n`, length of the head (u32 big-endian), head (`BackupHead`), then chunks of 64 KiB of
//! the database, each sealed with nonce = chunk number and, as associated data, the head and whether it is the last.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message as _;
use zeroize::Zeroizing;

use crate::crypto::{Aead, AeadKey, Entropy as _, OsEntropy, password, password::PasswordParams};

use super::{DataKey, StorageKey, Store, StoreError, make_whole, new_file, proto};

impl Store {
    /// Writes the whole profile into a new file at `to`, which opens with `passphrase`.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the file is there already.
    pub fn export(&self, to: &Path, passphrase: &str) -> Result<(), StoreError> {
        self.snapshot(to)?.write(passphrase)
    }

    /// The first half of [`Store::export`]; the second needs the database no more.
    pub(crate) fn snapshot(&self, to: &Path) -> Result<Snapshot, StoreError> {
        let connection = self.connection.open()?;
        // Whoever makes the target has the name of the copy, too, and removes what a crash left there.
        let output = new_file(to).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => StoreError::Exists,
            _ => StoreError::Io(error),
        })?;
        let mut copy = to.as_os_str().to_owned();
        copy.push(".ailurus-export");
        let snapshot = Snapshot {
            output,
            data_key: self.data_key.duplicate(),
            files: Unfinished {
                copy: copy.into(),
                target: Some(to.to_owned()),
            },
        };
        let copy = snapshot.files.copy.as_path();
        remove_if_there(copy)?;
        // SQLite takes an empty file that is there, and its own would be open to others.
        drop(new_file(copy)?);
        let name = copy.to_str().ok_or(ErrorKind::InvalidFilename);
        connection.execute("VACUUM INTO ?1", [name.map_err(std::io::Error::from)?])?;
        Ok(snapshot)
    }

    /// Makes a profile at `path` from a backup file, under a storage key of this phone.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`] for a wrong passphrase, [`StoreError::BadBackup`] for a damaged file,
    /// [`StoreError::Exists`] if there is a profile; nothing is changed then.
    pub fn import(
        from: &Path,
        passphrase: &str,
        path: &Path,
        key: &StorageKey,
    ) -> Result<Self, StoreError> {
        make_whole(path, |partial| {
            let data_key = read_backup(from, partial, passphrase)?;
            let connection = super::connect(partial)?;
            let changed = connection.execute(
                "UPDATE meta SET value = ?1 WHERE key = 'data_key'",
                [data_key.wrap(key)],
            )?;
            if changed != 1 {
                return Err(StoreError::BadBackup);
            }
            drop(connection);
            // Whatever is wrong inside shows now, while nothing has been put in place.
            Self::open(partial, key)?.scrub()
        })?;
        Self::open(path, key)
    }
}

/// A copy of the whole database that is to become a backup, and what it takes to write that.
pub(crate) struct Snapshot {
    output: File,
    data_key: DataKey,
    files: Unfinished,
}

impl Snapshot {
    /// Writes the backup, which takes a while, and removes the copy.
    pub(crate) fn write(mut self, passphrase: &str) -> Result<(), StoreError> {
        let mut salt = [0; 16];
        OsEntropy.fill(&mut salt);
        let params = PasswordParams::STANDARD;
        let key =
            password::derive_key(passphrase, &salt, params).map_err(|_| StoreError::BadBackup)?;
        let aead = Aead::new(&key);
        let head = proto::BackupHead {
            salt: Bytes::copy_from_slice(&salt),
            memory_kib: params.memory_kib,
            iterations: params.iterations,
            lanes: params.lanes,
            sealed_data_key: aead
                .seal_random(&mut OsEntropy, KEY_CONTEXT, self.data_key.expose())
                .into(),
        }
        .encode_to_vec();
        let body = chunk_key(&self.data_key, &head);

        let mut input = BufReader::new(File::open(&self.files.copy)?);
        let mut output = BufWriter::new(&self.output);
        output.write_all(MAGIC)?;
        output.write_all(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes())?;
        output.write_all(&head)?;
        let mut chunk = read_chunk(&mut input, CHUNK)?;
        for number in 0_u64.. {
            let next = read_chunk(&mut input, CHUNK)?;
            let last = next.is_empty();
            output.write_all(&body.seal(&nonce(number), &[u8::from(last)], &chunk))?;
            if last {
                break;
            }
            chunk = next;
        }
        output.flush()?;
        self.output.sync_all()?;
        self.files.target = None;
        Ok(())
    }
}

/// Removes the copy, and the target unless it is finished.
struct Unfinished {
    copy: PathBuf,
    target: Option<PathBuf>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // The target last: whoever makes it anew uses the name of the copy.
        for file in [Some(&self.copy), self.target.as_ref()]
            .into_iter()
            .flatten()
        {
            if let Err(error) = remove_if_there(file) {
                tracing::warn!(%error, "a file of an unfinished backup is left behind");
            }
        }
    }
}

const MAGIC: &[u8] = b"ailurus backup 1\n";
const KEY_CONTEXT: &[u8] = b"ailurus/backup/data-key";
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
const MAX_HEAD: usize = 1_024;

fn read_backup(from: &Path, to: &Path, passphrase: &str) -> Result<DataKey, StoreError> {
    let mut input = BufReader::new(File::open(from)?);
    let bad = |_| StoreError::BadBackup;
    let magic = read_chunk(&mut input, MAGIC.len())?;
    if magic != MAGIC {
        return Err(StoreError::BadBackup);
    }
    let length: [u8; 4] = read_chunk(&mut input, 4)?
        .try_into()
        .map_err(|_| StoreError::BadBackup)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(bad)?;
    if length > MAX_HEAD {
        return Err(StoreError::BadBackup);
    }
    let encoded = read_chunk(&mut input, length)?;
    let head = proto::BackupHead::decode(encoded.as_slice()).map_err(|_| StoreError::BadBackup)?;
    let salt: [u8; 16] = head
        .salt
        .as_ref()
        .try_into()
        .map_err(|_| StoreError::BadBackup)?;
    let params = PasswordParams {
        memory_kib: head.memory_kib,
        iterations: head.iterations,
        lanes: head.lanes,
    };
    let key: AeadKey =
        password::derive_key(passphrase, &salt, params).map_err(|_| StoreError::BadBackup)?;
    let data_key = Zeroizing::new(
        Aead::new(&key)
            .open_prefixed(KEY_CONTEXT, &head.sealed_data_key)
            .map_err(|_| StoreError::WrongKey)?,
    );
    let data_key = DataKey::try_from(data_key.as_slice()).map_err(|_| StoreError::BadBackup)?;
    let body = chunk_key(&data_key, &encoded);

    let mut output = new_file(to)?;
    for number in 0_u64.. {
        let chunk = read_chunk(&mut input, CHUNK + TAG)?;
        if let Ok(plain) = body.open(&nonce(number), &[0], &chunk) {
            output.write_all(&plain)?;
            continue;
        }
        let plain = body
            .open(&nonce(number), &[1], &chunk)
            .map_err(|_| StoreError::BadBackup)?;
        output.write_all(&plain)?;
        if !read_chunk(&mut input, 1)?.is_empty() {
            return Err(StoreError::BadBackup);
        }
        break;
    }
    output.sync_all()?;
    Ok(data_key)
}

/// Chunks have a key of their own, bound to the head, so that counting nonces never repeat under one key.
fn chunk_key(data_key: &DataKey, head: &[u8]) -> Aead {
    let key = crate::crypto::kdf::derive(data_key.expose(), "ailurus/backup/chunks", head);
    Aead::new(&AeadKey::from_bytes(*key))
}

fn nonce(number: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    nonce
}

fn read_chunk(input: &mut impl Read, length: usize) -> Result<Vec<u8>, StoreError> {
    let mut chunk = Vec::with_capacity(length);
    input
        .take(u64::try_from(length).unwrap_or(u64::MAX))
        .read_to_end(&mut chunk)?;
    Ok(chunk)
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_that_ends_early_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (profile, to) = (folder.path().join("db"), folder.path().join("backup"));
        let store = Store::create(&profile, &StorageKey::from_bytes([1; 32])).unwrap();
        let others = || {
            let mut names: Vec<_> = fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| !name.starts_with("db"))
                .collect();
            names.sort_unstable();
            names
        };
        // What a crash left behind is no obstacle.
        fs::write(folder.path().join("backup.ailurus-export"), "old").unwrap();
        let snapshot = store.snapshot(&to).unwrap();
        assert_eq!(others(), ["backup", "backup.ailurus-export"]);
        #[cfg(unix)]
        for name in others() {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
        assert!(matches!(store.export(&to, "pass"), Err(StoreError::Exists)));
        assert_eq!(others().len(), 2, "the other one's files stay");
        drop(snapshot);
        assert!(others().is_empty(), "{:?}", others());

        fs::create_dir(folder.path().join("backup.ailurus-export")).unwrap();
        assert!(store.export(&to, "pass").is_err());
        fs::remove_dir(folder.path().join("backup.ailurus-export")).unwrap();
        assert!(others().is_empty(), "{:?}", others());
        store.export(&to, "pass").unwrap();
        assert_eq!(others(), ["backup"]);
    }
}
