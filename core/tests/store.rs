//! The store as an app meets it: upgrades, storage keys, the outbox, backups, what lies on the disk, and a full disk.

#[path = "store/backup.rs"]
mod backup;
#[path = "store/disk.rs"]
mod disk;
#[path = "store/people.rs"]
mod people;
#[path = "store/schema.rs"]
mod schema;
#[path = "store/tickets.rs"]
mod tickets;
#[path = "store/waiting.rs"]
mod waiting;

use std::fs;
use std::thread;

use ailurus::channel::{AccessKind, Address, Epoch, Link, PushChallenge};
use ailurus::client::{MessageState, PushTarget, engine::Engine};
use ailurus::crypto::{AccessKey, PublicKey};
use ailurus::store::{Page, StorageKey, Store, StoreError};
use ailurus::wire::node::request;

use people::{NOW, Profile, later, node_link, texts};

#[test]
fn a_wrong_storage_key_is_an_error_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    drop(profile.create("Alice"));
    let before = fs::read(profile.path()).unwrap();

    let other = StorageKey::from_bytes([2; 32]);
    let opened = Engine::open(profile.path(), &other);
    assert!(matches!(
        opened.err(),
        Some(ailurus::client::Error::Store(StoreError::WrongKey))
    ));
    assert!(fs::read(profile.path()).unwrap() == before);
    assert_eq!(profile.open().store().read(name).unwrap(), "Alice");
}

#[test]
fn after_a_change_of_the_storage_key_only_the_new_one_opens() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    let new = StorageKey::from_bytes([2; 32]);
    profile.create("Alice").store().change_key(&new).unwrap();
    assert!(matches!(
        Store::open(profile.path(), &Profile::key()).err(),
        Some(StoreError::WrongKey)
    ));
    let mut store = Store::open(profile.path(), &new).unwrap();
    assert_eq!(store.read(name).unwrap(), "Alice");
}

#[test]
fn there_is_one_profile_in_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    assert!(matches!(
        Store::open(profile.path(), &Profile::key()).err(),
        Some(StoreError::Missing)
    ));
    assert!(!profile.path().exists());
    drop(profile.create("Alice"));
    assert!(matches!(
        Store::create(profile.path(), &Profile::key()).err(),
        Some(StoreError::Exists)
    ));
    assert_eq!(profile.open().store().read(name).unwrap(), "Alice");
}

#[test]
fn the_outbox_survives_restarts_and_nothing_is_sealed_twice() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    let mut alice = profile.create("Alice");
    let channel = alice.create_channel("family", NOW).unwrap();
    for text in ["one", "two", "three"] {
        alice.send(&channel, text, NOW).unwrap();
    }
    let waiting = alice.store().read(|tx| tx.outbox_len()).unwrap();
    assert!(waiting >= 3);
    drop(alice);

    let mut alice = profile.open();
    let node = *node_link().key();
    assert_eq!(alice.store().read(|tx| tx.outbox_len()).unwrap(), waiting);
    assert_eq!(texts(&mut alice, &channel), ["one", "two", "three"]);
    let first: Vec<_> = alice.publish(&node, NOW).unwrap().0;
    let first: Vec<_> = first.into_iter().map(|sent| sent.request).collect();
    drop(alice);

    let mut alice = profile.open();
    let again = alice.publish(&node, NOW).unwrap().0;
    let requests: Vec<_> = again.iter().map(|sent| sent.request.clone()).collect();
    assert_eq!(
        requests, first,
        "the same bytes, so the node sees one envelope"
    );
    for publication in &again {
        alice
            .published(&node, publication, &Default::default(), NOW)
            .unwrap();
    }
    drop(alice);

    let mut alice = profile.open();
    assert_eq!(alice.store().read(|tx| tx.outbox_len()).unwrap(), 0);
    assert!(alice.publish(&node, NOW).unwrap().0.is_empty());
    let messages = alice.messages(&channel, Page::Latest, 10).unwrap();
    assert_eq!(messages.len(), 3);
    assert!(messages.iter().all(|m| m.state == MessageState::AtNode));
}

#[test]
fn two_handles_on_one_file_write_in_turn() {
    const EACH: usize = 25;
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    let mut watcher = profile.create("Alice");
    let channel = watcher.create_channel("family", NOW).unwrap();
    let before = watcher.store().data_version().unwrap();
    thread::scope(|scope| {
        for writer in ["left", "right"] {
            let profile = &profile;
            scope.spawn(move || {
                let mut engine = profile.open();
                for number in 0..EACH {
                    engine
                        .send(&channel, &format!("{writer} {number}"), NOW)
                        .unwrap();
                }
            });
        }
    });
    assert_ne!(watcher.store().data_version().unwrap(), before);
    let seen = watcher.messages(&channel, Page::Latest, 1_000).unwrap();
    assert_eq!(seen.len(), 2 * EACH);
    for writer in ["left", "right"] {
        let own: Vec<_> = seen.iter().filter(|m| m.text.starts_with(writer)).collect();
        let wanted: Vec<_> = (0..EACH).map(|n| format!("{writer} {n}")).collect();
        assert!(own.iter().map(|m| &m.text).eq(&wanted), "{writer}");
    }
    // Both wrote for one author: its chain must have no number twice.
    let node = *node_link().key();
    watcher.publish(&node, NOW).unwrap();
    let sealed = watcher
        .store()
        .read(|tx| {
            let row = tx.find_channel(&channel)?.expect("the channel");
            tx.messages(row, Page::Latest, 1_000)
        })
        .unwrap();
    let mut sequences: Vec<_> = sealed.iter().map(|message| message.sequence).collect();
    sequences.sort_unstable();
    sequences.dedup();
    assert_eq!(sequences.len(), 2 * EACH);
}

#[test]
fn nothing_on_the_disk_names_a_person_channel_node_or_holds_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(&folder.path().join("alice"));
    let mut alice = profile.create("Alice Ochsenfrosch");
    let channel = alice.create_channel("Quittenbrot", NOW).unwrap();
    let link: Link = alice
        .link(&channel, AccessKind::Full, true, NOW)
        .unwrap()
        .parse()
        .unwrap();
    let bob = Profile::in_folder(&folder.path().join("bob"));
    let mut bob = bob.create("Bob Zaunkoenig");
    bob.join(&link, None, NOW).unwrap();
    bob.send(&channel, "Mitternachtsblau", NOW).unwrap();
    people::carry(&mut bob, &mut alice, Some(b"Cursor-Cursor"), NOW);
    alice.send(&channel, "Sauerklee", later(1)).unwrap();
    let sent = alice.publish(node_link().key(), later(1)).unwrap().0;
    alice.send(&channel, "Wiesenknopf", later(2)).unwrap();
    let target = PushTarget::WebPush {
        endpoint: "https://ntfy.example/Schwertlilie".to_owned(),
        p256dh: [&[4][..], &[0x77; 64]].concat(),
        auth: b"Loewenmaeulchen!".to_vec(),
    };
    alice.set_push(node_link().key(), &target).unwrap();
    let challenge = PushChallenge::from_bytes(*b"Vergissmeinnicht");
    alice
        .push_challenged(node_link().key(), &challenge)
        .unwrap();
    assert_eq!(
        texts(&mut alice, &channel),
        ["Mitternachtsblau", "Sauerklee", "Wiesenknopf"]
    );

    let mut needles: Vec<(String, Vec<u8>)> = [
        "Ochsenfrosch",
        "Quittenbrot",
        "Zaunkoenig",
        "Mitternachtsblau",
        "Sauerklee",
        "Wiesenknopf",
        "Cursor-Cursor",
        "Schwertlilie",
        "Loewenmaeulchen!",
        "Vergissmeinnicht",
        node_link().host(),
    ]
    .map(|text| (text.to_owned(), text.as_bytes().to_vec()))
    .into();
    let mut secret = |name: &str, bytes: &[u8]| {
        needles.push((name.to_owned(), bytes.to_vec()));
        needles.push((format!("{name} in hex"), hex::encode(bytes).into_bytes()));
    };
    secret("channel id", channel.as_bytes());
    secret("write key", link.access.write_public().as_bytes());
    secret("admin key", link.access.admin().as_bytes());
    secret("node key", node_link().key().as_bytes());
    secret("storage key", Profile::key().expose());
    let read = link.read.as_ref().expect("full access reads");
    secret("read secret, oldest", read.secret().expose());
    secret(
        "read secret, now",
        read.at(Epoch::of(NOW)).unwrap().expose(),
    );
    for member in alice.members(&channel).unwrap() {
        secret("author key", member.author.as_bytes());
    }
    for publication in sent {
        let Some(request::Kind::Publish(publish)) = publication.request.kind else {
            panic!("a publication publishes");
        };
        let blinded = PublicKey::from_bytes(publish.blinded_key[..].try_into().unwrap()).unwrap();
        let access = AccessKey::try_from(&publish.access_key[..]).unwrap();
        secret("address", Address::of(&blinded, &access).as_bytes());
        secret("blinded key", blinded.as_bytes());
        secret("access key", access.as_bytes());
        for item in publish.items {
            secret("envelope", &item.sealed[..32]);
        }
    }

    let open = files(&folder.path().join("alice"));
    assert_eq!(open.len(), 3, "database, write-ahead log and its index");
    drop(alice);
    let closed = files(&folder.path().join("alice"));
    // The search must be able to find something.
    assert!(closed.iter().any(|(_, bytes)| holds(bytes, b"data_key")));
    for (file, bytes) in open.iter().chain(&closed) {
        for (what, needle) in &needles {
            assert!(!holds(bytes, needle), "{what} stands in {file}");
        }
    }
}

fn name(tx: &ailurus::store::Tx<'_>) -> Result<String, StoreError> {
    Ok(tx.profile_name()?.unwrap_or_default())
}

fn files(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(path).unwrap()))
        .collect()
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
