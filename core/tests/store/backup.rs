//! Backups: whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use ailurus::channel::ChannelId;
use ailurus::client::{Error, MessageState, engine::Engine};
use ailurus::store::{Page, StorageKey, StoreError};
use tempfile::TempDir;

use crate::people::{NOW, Profile, texts};

/// Bytes of a sealed chunk, and the longest text before the head (docs of `store::backup`).
const CHUNK: usize = 64 * 1024 + 16;
const MAGIC: usize = 17;

#[test]
fn a_backup_restores_everything_under_another_storage_key() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let mut restored = world
        .import(&world.bytes(), "correct horse", folder.path())
        .unwrap();
    let listed = restored.channels().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, world.channel);
    assert_eq!(texts(&mut restored, &world.channel), world.texts);
    let messages = restored
        .messages(&world.channel, Page::Latest, 100)
        .unwrap();
    assert!(messages.iter().all(|m| m.state == MessageState::Queued));
    let waiting = restored.store().read(|tx| tx.outbox_len()).unwrap();
    assert_eq!(waiting, world.waiting);
    drop(restored);
    // The old phone's storage key opens nothing here.
    assert!(matches!(
        Engine::open(&folder.path().join("new.db"), &Profile::key()).err(),
        Some(Error::Store(StoreError::WrongKey))
    ));
}

#[test]
fn a_backup_overwrites_nothing() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    let mut carol = profile.create("Carol");
    assert!(matches!(
        carol.store().export(&world.backup, "correct horse").err(),
        Some(StoreError::Exists)
    ));
    assert!(matches!(
        Engine::import(
            &world.backup,
            "correct horse",
            profile.path(),
            &Profile::key()
        )
        .err(),
        Some(Error::Store(StoreError::Exists))
    ));
    let name = carol.store().read(|tx| tx.profile_name()).unwrap();
    assert_eq!(name.as_deref(), Some("Carol"));
}

#[test]
fn a_wrong_passphrase_is_told_from_a_damaged_file() {
    let world = World::new();
    world.refuses(
        &world.bytes(),
        "correct horsf",
        "wrong passphrase",
        |error| matches!(error, StoreError::WrongKey),
    );
}

#[test]
fn a_cut_backup_is_refused_wherever_it_was_cut() {
    let world = World::new();
    let whole = world.bytes();
    let body = body_start(&whole);
    let cuts = [
        0,
        1,
        MAGIC,
        MAGIC + 3,
        MAGIC + 4,
        body - 1,
        body,
        body + 1,
        body + CHUNK - 1,
        // At the seams between chunks every part is sound in itself.
        body + CHUNK,
        body + 2 * CHUNK,
        whole.len() - CHUNK,
        whole.len() - 1,
    ];
    for cut in cuts {
        world.refuses(
            &whole[..cut],
            "correct horse",
            &format!("cut at {cut}"),
            damaged,
        );
    }
}

#[test]
fn a_flipped_bit_is_noticed_wherever_it_is() {
    let world = World::new();
    let whole = world.bytes();
    let body = body_start(&whole);
    let mut places: Vec<usize> = (0..body).step_by(7).collect();
    places.extend((body..whole.len()).step_by(29_989));
    places.push(whole.len() - 1);
    for place in places {
        let mut altered = whole.clone();
        altered[place] ^= 1;
        // A bit of salt or costs makes another key of the passphrase.
        world.refuses(
            &altered,
            "correct horse",
            &format!("bit in byte {place}"),
            |error| damaged(error) || matches!(error, StoreError::WrongKey),
        );
    }
}

#[test]
fn chunks_cannot_be_added_swapped_repeated_or_left_out() {
    let world = World::new();
    let whole = world.bytes();
    let (head, body) = whole.split_at(body_start(&whole));
    let chunks: Vec<&[u8]> = body.chunks(CHUNK).collect();
    assert!(chunks.len() >= 4, "{} chunks", chunks.len());
    let last = chunks.len() - 1;
    let mut orders: Vec<Vec<usize>> = Vec::new();
    for (left, right) in [(0, 1), (1, 2), (0, last)] {
        let mut order: Vec<usize> = (0..=last).collect();
        order.swap(left, right);
        orders.push(order);
    }
    orders.push((1..=last).collect());
    orders.push((0..last).chain([last, last]).collect());
    orders.push([0].into_iter().chain(0..=last).collect());
    for order in orders {
        let mut altered = head.to_vec();
        for &chunk in &order {
            altered.extend_from_slice(chunks[chunk]);
        }
        world.refuses(
            &altered,
            "correct horse",
            &format!("chunks {order:?}"),
            damaged,
        );
    }
    for appended in [&[0][..], &[0; 100], chunks[0]] {
        let altered = [&whole, appended].concat();
        let what = format!("{} bytes appended", appended.len());
        world.refuses(&altered, "correct horse", &what, damaged);
    }
}

fn damaged(error: &StoreError) -> bool {
    matches!(error, StoreError::BadBackup)
}

/// Where the first chunk begins.
fn body_start(backup: &[u8]) -> usize {
    let length: [u8; 4] = backup[MAGIC..MAGIC + 4].try_into().unwrap();
    MAGIC + 4 + usize::try_from(u32::from_be_bytes(length)).unwrap()
}

/// A profile of some hundred KiB and its backup.
struct World {
    _folder: TempDir,
    backup: PathBuf,
    channel: ChannelId,
    texts: Vec<String>,
    waiting: u32,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile::in_folder(folder.path());
        let mut alice = profile.create("Alice");
        let channel = alice.create_channel("family", NOW).unwrap();
        let texts: Vec<_> = (0..12)
            .map(|number| format!("{number} {}", "x".repeat(12_000)))
            .collect();
        for text in &texts {
            alice.send(&channel, text, NOW).unwrap();
        }
        let waiting = alice.store().read(|tx| tx.outbox_len()).unwrap();
        let backup = folder.path().join("alice.backup");
        alice.store().export(&backup, "correct horse").unwrap();
        Self {
            _folder: folder,
            backup,
            channel,
            texts,
            waiting,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.backup).unwrap()
    }

    fn import(&self, bytes: &[u8], passphrase: &str, folder: &Path) -> Result<Engine, StoreError> {
        let backup = folder.join("backup");
        fs::write(&backup, bytes).unwrap();
        let key = StorageKey::from_bytes([9; 32]);
        let imported = Engine::import(&backup, passphrase, &folder.join("new.db"), &key);
        imported.map_err(|error| match error {
            Error::Store(error) => error,
            other => panic!("{other}"),
        })
    }

    /// Importing `bytes` fails as `expected` says, and leaves nothing behind.
    fn refuses(
        &self,
        bytes: &[u8],
        passphrase: &str,
        what: &str,
        expected: impl Fn(&StoreError) -> bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let Err(error) = self.import(bytes, passphrase, folder.path()) else {
            panic!("{what}: imported");
        };
        assert!(expected(&error), "{what}: {error:?}");
        let left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["backup"], "{what}");
    }
}
