//! Profiles of every released schema open with today's code. `core/tests/data/README.md` says how they are made.

use std::fs;
use std::path::{Path, PathBuf};

use ailurus::channel::AccessKind;
use ailurus::client::{MessageState, engine::Engine};
use ailurus::store::{Page, StoreError};

use crate::people::{NOW, Profile, carry, later, node_link, texts};

/// The schemas of which a profile is committed.
const RELEASED: [u32; 4] = [1, 2, 3, 4];

#[test]
fn every_released_schema_is_upgraded_with_everything_in_place() {
    for schema in RELEASED {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile::in_folder(folder.path());
        fs::copy(stored(schema), profile.path()).unwrap();
        assert_eq!(user_version(profile.path()), i64::from(schema));
        holds_everything(&mut profile.open());
        // Upgraded for good.
        holds_everything(&mut profile.open());
    }
}

#[test]
fn the_newest_schema_has_a_stored_profile() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    drop(profile.create("Alice"));
    let newest = RELEASED.iter().max().copied().unwrap();
    assert_eq!(
        user_version(profile.path()),
        i64::from(newest),
        "see core/tests/data/README.md"
    );
}

#[test]
fn a_profile_of_a_later_release_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    drop(profile.create("Alice"));
    let connection = rusqlite::Connection::open(profile.path()).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    connection.close().unwrap();
    let before = fs::read(profile.path()).unwrap();
    assert!(matches!(
        Engine::open(profile.path(), &Profile::key()).err(),
        Some(ailurus::client::Error::Store(StoreError::Newer {
            found: 99
        }))
    ));
    assert!(fs::read(profile.path()).unwrap() == before);
}

#[test]
fn what_is_no_database_is_reported_as_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    fs::write(profile.path(), [0x5a; 10_000]).unwrap();
    let opened = Engine::open(profile.path(), &Profile::key()).err();
    assert!(
        matches!(
            opened,
            Some(ailurus::client::Error::Store(StoreError::Corrupt(_)))
        ),
        "{opened:?}"
    );
}

#[test]
#[ignore = "writes core/tests/data/profile-vN.db; see the README there"]
fn write_stored_profile() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(&folder.path().join("alice"));
    let mut alice = profile.create("Alice");
    let mut bob = Profile::in_folder(&folder.path().join("bob")).create("Bob");
    let family = alice.create_channel("family", NOW).unwrap();
    let full = alice.link(&family, AccessKind::Full, true, NOW).unwrap();
    bob.join(&full.parse().unwrap(), None, NOW).unwrap();
    let news = bob.create_channel("news", NOW).unwrap();
    let read = bob.link(&news, AccessKind::Read, true, NOW).unwrap();
    alice.join(&read.parse().unwrap(), None, NOW).unwrap();
    alice.mute(&news, true).unwrap();

    bob.send(&family, "hello from Bob", NOW).unwrap();
    bob.send(&news, "it rains", NOW).unwrap();
    carry(&mut bob, &mut alice, Some(b"a place in the log"), NOW);
    alice.send(&family, "hello from Alice", later(1)).unwrap();
    carry(&mut alice, &mut bob, None, later(1));
    alice.send(&family, "sealed and waiting", later(2)).unwrap();
    alice.publish(node_link().key(), later(2)).unwrap();
    alice.send(&family, "waiting", later(3)).unwrap();
    holds_everything(&mut alice);
    alice.store().scrub().unwrap();
    drop(alice);
    let schema = user_version(profile.path());
    let path = data().join(format!("profile-v{schema}.db"));
    assert!(!path.exists(), "a released schema never changes");
    fs::copy(profile.path(), path).unwrap();
}

fn holds_everything(alice: &mut Engine) {
    assert_eq!(
        alice.store().read(|tx| tx.profile_name()).unwrap().unwrap(),
        "Alice"
    );
    let nodes = alice.nodes().unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0].link, node_link());
    assert_eq!(nodes[0].cursor.as_ref(), b"a place in the log");

    let channels = alice.channels().unwrap();
    let listed: Vec<_> = channels
        .iter()
        .map(|c| (c.name.as_str(), c.access, c.admin, c.muted, c.unread))
        .collect();
    assert_eq!(
        listed,
        [
            ("family", AccessKind::Full, true, false, 1),
            ("news", AccessKind::Read, false, true, 1)
        ]
    );
    let (family, news) = (channels[0].id, channels[1].id);
    let said: Vec<_> = alice
        .messages(&family, Page::Latest, 10)
        .unwrap()
        .into_iter()
        .map(|m| (m.author_name, m.text, m.state))
        .collect();
    assert_eq!(
        said,
        [
            ("Bob", "hello from Bob", MessageState::Received),
            ("Alice", "hello from Alice", MessageState::AtNode),
            ("Alice", "sealed and waiting", MessageState::Queued),
            ("Alice", "waiting", MessageState::Queued),
        ]
        .map(|(name, text, state)| (name.to_owned(), text.to_owned(), state))
    );
    assert_eq!(texts(alice, &news), ["it rains"]);
    let outbox = alice.store().read(|tx| tx.outbox()).unwrap();
    assert_eq!(outbox.len(), 2);
    assert!(outbox[0].sealed.is_some() && outbox[1].sealed.is_none());
    let members: Vec<_> = alice
        .members(&family)
        .unwrap()
        .into_iter()
        .map(|member| (member.name, member.own))
        .collect();
    assert_eq!(
        members,
        [("Alice".to_owned(), true), ("Bob".to_owned(), false)]
    );
    // The keys still share and open.
    let link = alice.link(&family, AccessKind::Full, true, NOW).unwrap();
    let link: ailurus::channel::Link = link.parse().unwrap();
    assert_eq!(link.access.channel_id(), family);
}

fn stored(schema: u32) -> PathBuf {
    data().join(format!("profile-v{schema}.db"))
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn user_version(path: &Path) -> i64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap()
}
