//! Files that somebody hands us: backups, configurations.

use std::fs;

use bytes::Bytes;
use prost::Message as _;

use ailurus::crypto::{Aead, AeadKey, PasswordParams, SeededEntropy, derive, derive_key};
use ailurus::store::{StorageKey, Store};
use ailurus_node::{ConfigFile, parse_host_port, parse_offset};

use super::Target;

/// Any bytes after the magic of a backup.
pub(super) fn backup() -> Target {
    let folder = tempfile::tempdir().expect("a folder");
    Target {
        seeds: vec![example_backup(b"no database")[MAGIC.len()..].to_vec()],
        body: Box::new(move |data| {
            if costs_little(data) {
                let _ = import(folder.path(), &[MAGIC, data].concat());
            }
        }),
    }
}

/// Any bytes as the database in a backup that is otherwise in order, as whoever knows the passphrase can make it.
pub(super) fn backup_database() -> Target {
    let folder = tempfile::tempdir().expect("a folder");
    Target {
        seeds: vec![example_database(), b"SQLite format 3\0".to_vec()],
        body: Box::new(move |data| {
            let _ = import(folder.path(), &example_backup(data));
        }),
    }
}

/// Any text as the node's configuration and as its arguments.
pub(super) fn config() -> Target {
    Target {
        body: Box::new(|data| {
            let Ok(text) = std::str::from_utf8(data) else {
                return;
            };
            let _ = toml::from_str::<ConfigFile>(text);
            if let Ok((host, port)) = parse_host_port(text) {
                assert!(!host.is_empty() && port != 0);
            }
            let _ = parse_offset(text);
        }),
        seeds: vec![
            include_bytes!("../../../node/ailurus-node.toml").to_vec(),
            b"chat.example.org:4433".to_vec(),
            b"[2001:db8::1]:4433".to_vec(),
            b"-1d12h30m5s".to_vec(),
        ],
    }
}

/// The head of a backup (`core/proto/store.proto`).
#[derive(Clone, PartialEq, prost::Message)]
struct BackupHead {
    #[prost(bytes = "bytes", tag = "1")]
    salt: Bytes,
    #[prost(uint32, tag = "2")]
    memory_kib: u32,
    #[prost(uint32, tag = "3")]
    iterations: u32,
    #[prost(uint32, tag = "4")]
    lanes: u32,
    #[prost(bytes = "bytes", tag = "5")]
    sealed_data_key: Bytes,
}

/// Whether deriving the key takes milliseconds: up to its limits Argon2id is right to take seconds, but not here.
fn costs_little(after_magic: &[u8]) -> bool {
    let Some((length, rest)) = after_magic.split_first_chunk::<4>() else {
        return true;
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let head = rest.get(..length).unwrap_or(rest);
    BackupHead::decode(head).is_ok_and(|head| head.memory_kib <= 1_024 && head.iterations <= 2)
}

/// A backup of at most one chunk with this as its database, under cheap parameters.
fn example_backup(database: &[u8]) -> Vec<u8> {
    let mut entropy = SeededEntropy::from_u64(8);
    let params = PasswordParams {
        memory_kib: 8,
        iterations: 1,
        lanes: 1,
    };
    let data_key = [5; 32];
    let key = derive_key(PASSPHRASE, &[1; 16], params).expect("valid parameters");
    let sealed = Aead::new(&key).seal_random(&mut entropy, b"ailurus/backup/data-key", &data_key);
    let head = BackupHead {
        salt: Bytes::from_static(&[1; 16]),
        memory_kib: params.memory_kib,
        iterations: params.iterations,
        lanes: params.lanes,
        sealed_data_key: sealed.into(),
    }
    .encode_to_vec();
    let body = Aead::new(&AeadKey::from_bytes(*derive(
        &data_key,
        "ailurus/backup/chunks",
        &head,
    )));
    let length = u32::try_from(head.len()).expect("a short head");
    let mut backup = [MAGIC, &length.to_be_bytes(), &head].concat();
    let chunks: Vec<_> = database.chunks(CHUNK).collect();
    for (number, chunk) in chunks.iter().enumerate() {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&(number as u64).to_be_bytes());
        let last = number + 1 == chunks.len();
        backup.extend(body.seal(&nonce, &[u8::from(last)], chunk));
    }
    backup
}

fn example_database() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("profile.db");
    drop(Store::create(&path, &StorageKey::from_bytes([1; 32])).expect("a profile"));
    fs::read(path).expect("a database")
}

/// Imports into a fresh place; whatever comes of it, nothing must be left when it failed.
fn import(folder: &std::path::Path, backup: &[u8]) -> bool {
    let file = folder.join("backup");
    let profile = folder.join("profile.db");
    fs::write(&file, backup).expect("a file");
    let imported = Store::import(
        &file,
        PASSPHRASE,
        &profile,
        &StorageKey::from_bytes([1; 32]),
    );
    let worked = imported.is_ok();
    drop(imported);
    if worked {
        fs::remove_file(&profile).expect("the profile");
    }
    fs::remove_file(&file).expect("the backup");
    let left: Vec<_> = fs::read_dir(folder).expect("the folder").collect();
    assert!(left.is_empty(), "{left:?}");
    worked
}

const MAGIC: &[u8] = b"ailurus backup 1\n";
const PASSPHRASE: &str = "correct horse";
const CHUNK: usize = 64 * 1024;
