//! Backups, restores and upgrades.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ailurus::{
    channel::{AccessKind, Envelope, Epoch, NodeLink},
    client::{Client, Options, Page},
    store::StorageKey,
    wire::node::Reason,
};
use bytes::Bytes;

use crate::{
    common::{
        Channel, HOUR,
        daemon::{Daemon, command, now, refused, temp},
        refusals, sealed,
        wire::{Phone, ask, sync},
    },
    fails, json, ok, operator, run,
};

/// Files in a directory, sorted.
fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("read");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("plain")
        })
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_while_clients_publish_is_whole_and_restores_the_node() {
    let dir = temp();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let file = dir.path().join("node.backup");
    let daemon = Daemon::start(&old, &[]);
    let (link, time) = (daemon.link.clone(), now().before(HOUR));
    let phone = Phone::new(&link);
    let connection = phone.connect().await;
    let mut channel = Channel::new(1);
    assert_eq!(
        phone.register(&connection, &channel, Epoch::of(time)).await,
        []
    );
    let envelopes = Arc::new(channel.envelopes(time, 400, 4_000));

    // One publishes all the time; what was acknowledged before the backup began has to be in it.
    let acknowledged = Arc::new(Mutex::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = {
        let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
        let (envelopes, link) = (Arc::clone(&envelopes), link.clone());
        tokio::spawn(async move {
            let connection = Phone::new(&link).connect().await;
            let channel = Channel::new(1);
            for part in envelopes.chunks(10) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let answer = ask(&connection, &channel.publish(part)).await;
                assert_eq!(refusals(&[answer]), []);
                *acknowledged.lock().expect("whole") += part.len();
            }
        })
    };
    while *acknowledged.lock().expect("whole") < 500 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = *acknowledged.lock().expect("whole");
    let made = {
        let (old, file) = (old.clone(), file.clone());
        let backup = move || ok(&old, &["backup", file.to_str().expect("plain")]);
        tokio::task::spawn_blocking(backup).await.expect("made")
    };
    assert!(made.contains("node.backup"), "{made}");
    let after = *acknowledged.lock().expect("whole");
    while *acknowledged.lock().expect("whole") < after + 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::Relaxed);
    publisher.await.expect("no refusal");
    // The phone has a cursor from after the backup, which the restored log will give away a second time.
    let all = *acknowledged.lock().expect("whole");
    let synced = sync(&connection, Bytes::new()).await;
    assert_eq!(synced.envelopes.len(), all);
    let cursor = synced.cursor();
    drop(daemon);

    let told = ok(&new, &["restore", file.to_str().expect("plain")]);
    assert!(
        told.contains("Next:") && told.contains("1 client"),
        "{told}"
    );
    let restored = Daemon::start(&new, &[]);
    assert_eq!(restored.link, link, "the same key and port");
    let connection = phone.connect().await;
    // The phone tried to resume, which another process of the node does not know how to.
    connection.established().await.expect("connected");
    let synced = sync(&connection, cursor).await;
    assert!(
        synced.hello.from_start,
        "a new generation starts 7 days back"
    );
    let kept = synced.of_address(channel.address(time));
    assert!(kept.len() >= before, "{} of {before}", kept.len());
    assert_eq!(
        kept,
        sealed(&envelopes[..kept.len()]),
        "in order, without gap"
    );
    // Clients that offer again what the backup did not have complete it.
    for part in envelopes[..all].chunks(200) {
        let answer = ask(&connection, &channel.publish(part)).await;
        assert_eq!(refusals(&[answer]), []);
    }
    let synced = sync(&connection, synced.cursor()).await;
    assert!(!synced.hello.from_start);
    assert_eq!(kept.len() + synced.envelopes.len(), all);
}

/// A node that ran once, with an envelope, and a backup of it.
async fn node_with_backup(dir: &Path) -> (PathBuf, PathBuf, Envelope) {
    let data = dir.join("data");
    let file = dir.join("node.backup");
    let daemon = Daemon::start(&data, &[]);
    let mut channel = Channel::new(1);
    let envelope = channel.envelope(now(), 200);
    let connection = Phone::new(&daemon.link).connect().await;
    let answer = ask(
        &connection,
        &channel.publish(std::slice::from_ref(&envelope)),
    )
    .await;
    assert_eq!(refusals(&[answer]), []);
    ok(&data, &["backup", file.to_str().expect("plain")]);
    (data, file, envelope)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_private_and_overwrites_nothing() {
    let dir = temp();
    let (data, file, _) = node_with_backup(dir.path()).await;
    let mode = fs::metadata(&file).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        files(dir.path()),
        ["data", "node.backup"],
        "nothing is left over"
    );
    let bytes = fs::read(&file).expect("read");
    let name = file.to_str().expect("plain");
    let error = fails(2, operator(&data, &["backup", name]));
    assert!(error.contains("there already"), "{error}");
    assert_eq!(fs::read(&file).expect("read"), bytes);
    // The daemon has ended: this reads the database by itself. Another backup into this file was broken off.
    let second = dir.path().join("second");
    let unfinished = dir.path().join("second.unfinished");
    fs::write(&unfinished, vec![1; 1 << 20]).expect("written");
    ok(&data, &["backup", second.to_str().expect("plain")]);
    let whole = dir.path().join("whole");
    ok(&whole, &["restore", second.to_str().expect("plain")]);
    assert!(!unfinished.exists());
    // One that is under way is not disturbed.
    let held = fs::File::create(&unfinished).expect("made");
    held.lock().expect("locked");
    fs::remove_file(&second).expect("removed");
    let error = fails(
        1,
        operator(&data, &["backup", second.to_str().expect("plain")]),
    );
    assert!(
        error.contains("another backup") && unfinished.exists(),
        "{error}"
    );

    let error = fails(2, operator(&dir.path().join("none"), &["backup", "x"]));
    assert!(error.contains("holds no node"), "{error}");
    let nowhere = dir.path().join("no/where");
    let error = fails(
        1,
        operator(&data, &["backup", nowhere.to_str().expect("plain")]),
    );
    assert!(error.contains("check the path"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_refuses_what_is_damaged_and_what_is_not_empty() {
    let dir = temp();
    let (data, file, _) = node_with_backup(dir.path()).await;
    let bytes = fs::read(&file).expect("read");
    let target = dir.path().join("target");
    let bad = dir.path().join("bad");
    let bad_name = bad.to_str().expect("plain");

    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let mut newer = bytes.clone();
    // The version stands before the last word.
    let version = bytes.len() - b"ailurus-node backup".len() - 1;
    newer[version] = 9;
    for (given, expected) in [
        (flipped.as_slice(), "damaged"),
        (&bytes[..bytes.len() - 1], "cut off"),
        (b"no backup", "no backup"),
        (&newer, "later version"),
    ] {
        fs::write(&bad, given).expect("written");
        let error = fails(1, operator(&target, &["restore", bad_name]));
        assert!(error.contains(expected), "{error}");
        assert!(!target.exists(), "nothing is left over");
    }
    fs::create_dir(&target).expect("made");
    fails(1, operator(&target, &["restore", bad_name]));
    assert_eq!(files(&target), [""; 0]);

    let name = file.to_str().expect("plain");
    let error = fails(2, operator(&data, &["restore", name]));
    assert!(error.contains("not empty"), "{error}");
    let error = fails(1, operator(&target, &["restore", "/no/such/file"]));
    assert!(error.contains("check the path"), "{error}");

    // A restore that was broken off is not taken for a node.
    ok(&target, &["restore", name]);
    fs::write(target.join("unfinished"), "").expect("written");
    let (code, error) = refused(command(&target, "127.0.0.1:0", &[]));
    assert_eq!(code, Some(1));
    assert!(error.contains("restore again"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_the_first_version_is_brought_up_to_date() {
    let dir = temp();
    let first = include_bytes!("../data/v1.db");
    fs::write(dir.path().join("node.db"), first).expect("copied");
    let error = fails(1, operator(dir.path(), &["status"]));
    assert!(
        error.contains("older") && error.contains("start"),
        "{error}"
    );
    drop(Daemon::start(dir.path(), &[]));
    let status = json(dir.path(), &["status", "--json"]);
    assert_eq!(status["running"], false);
    assert!(status["leases"].as_u64() >= Some(1), "{status}");

    // And one of a later version is left alone, by all.
    let later = temp();
    fs::create_dir_all(later.path()).expect("made");
    let database = later.path().join("node.db");
    let connection = rusqlite::Connection::open(&database).expect("made");
    connection
        .pragma_update(None, "user_version", 4_000)
        .expect("written");
    drop(connection);
    for command in [
        operator(later.path(), &["status"]),
        operator(later.path(), &["revoke", "abcdef"]),
        command(later.path(), "127.0.0.1:0", &[]),
    ] {
        let (code, _, error) = run(command);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("newer"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_at_its_quota_refuses_new_envelopes_keeps_the_old_and_says_so_once() {
    let dir = temp();
    let config = dir.path().join("node.toml");
    fs::write(
        &config,
        "[limits]\nbytes = 100_000\nbytes_per_address = 100_000\n",
    )
    .expect("written");
    let data = dir.path().join("data");
    let daemon = Daemon::start(&data, &["--config", config.to_str().expect("plain")]);
    let phone = Phone::new(&daemon.link);
    let connection = phone.connect().await;
    let mut channel = Channel::new(1);
    let time = now();
    assert_eq!(
        phone.register(&connection, &channel, Epoch::of(time)).await,
        []
    );
    let envelopes = channel.envelopes(time, 936, 120);
    let mut kept = 0;
    for part in envelopes.chunks(10) {
        let found = refusals(&[ask(&connection, &channel.publish(part)).await]);
        assert!(
            found.iter().all(|(_, reason)| *reason == Reason::NodeFull),
            "{found:?}"
        );
        kept += part.len() - found.len();
    }
    assert_eq!(kept, 100);
    let synced = sync(&connection, Bytes::new()).await;
    assert_eq!(
        synced.of_address(channel.address(time)),
        sealed(&envelopes[..kept])
    );
    // Any command that writes makes the daemon look at once.
    ok(&data, &["invite", "--label", "one"]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while json(&data, &["status", "--json"])["load"]["storage_permille"] != 1_000 {
        assert!(Instant::now() < deadline, "the load is not told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ok(&data, &["invite", "--label", "two"]);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (code, _, log) = daemon.end(libc::SIGTERM);
    assert_eq!(code, Some(0));
    assert_eq!(
        log.matches("limits.bytes").count(),
        2,
        "one line names it twice: {log}"
    );
    assert_eq!(log.matches("nearly as much").count(), 1, "{log}");
}

/// A profile of somebody who uses these nodes.
fn person(dir: &Path, name: &str, nodes: &[NodeLink]) -> Client {
    let key = StorageKey::from_bytes([1; 32]);
    Client::create(&dir.join(name), &key, name, nodes, Options::default()).expect("a profile")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_miss_nothing_that_came_after_the_backup_if_another_node_has_it() {
    let dir = temp();
    let (first, new) = (dir.path().join("first"), dir.path().join("new"));
    let second = dir.path().join("second");
    let mut restored = Daemon::start(&first, &[]);
    let other = Daemon::start(&second, &[]);
    let nodes = [restored.link.clone(), other.link.clone()];
    let (alice, bob) = (
        person(dir.path(), "Alice", &nodes),
        person(dir.path(), "Bob", &nodes),
    );
    let channel = alice.create_channel("family").expect("a channel");
    alice.poll().await.expect("polled");
    let link = alice
        .link(&channel, AccessKind::Full, true)
        .expect("a link");
    bob.join(&link.parse().expect("it parses"), None)
        .expect("joined");
    bob.poll().await.expect("polled");
    alice.send(&channel, "before").expect("queued");
    alice.poll().await.expect("polled");
    let file = dir.path().join("node.backup");
    ok(&first, &["backup", file.to_str().expect("plain")]);
    for text in ["after", "long after"] {
        let id = alice.send(&channel, text).expect("queued");
        let sent = alice.wait_delivered(&id, Duration::from_secs(10)).await;
        assert!(sent.expect("no error").is_some(), "{text} is delivered");
    }
    drop(restored);
    ok(&new, &["restore", file.to_str().expect("plain")]);
    restored = Daemon::start(&new, &[]);
    assert_eq!(restored.link, nodes[0]);
    // The two complete each other; then the one that had everything is gone.
    let envelopes = |dir: &Path| json(dir, &["status", "--json"])["envelopes"].as_u64();
    let deadline = Instant::now() + Duration::from_secs(60);
    while envelopes(&new) < envelopes(&second) {
        assert!(
            Instant::now() < deadline,
            "the restored node is not complete"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(other);
    bob.poll().await.expect("polled");
    bob.poll().await.expect("polled");
    let messages = bob.messages(&channel, Page::Latest, 10).expect("messages");
    let texts: Vec<&str> = messages
        .iter()
        .map(|message| message.text.as_str())
        .collect();
    assert_eq!(texts, ["before", "after", "long after"]);
}
