//! Databases of other versions.

use super::*;

#[test]
fn a_database_of_version_1_opens() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("node.db"), include_bytes!("../data/v1.db")).expect("copied");
    let bench = Bench::open(dir.path(), Limits::default());
    let channel = Channel::new(1);
    let synced = bench.sync(BOB, NOW, &Bytes::new());
    assert_eq!(synced.hello.leases, 1);
    assert_eq!(
        synced.of_address(channel.address(NOW)),
        sealed(&Channel::new(1).envelopes(NOW, 200, 3))
    );
    // It is written to like any other.
    let more = Channel::new(1).envelopes(NOW.offset(10), 200, 1);
    assert_eq!(bench.publish(&channel, NOW, &more), []);
}

#[test]
fn a_database_of_version_5_keeps_its_record() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("node.db");
    std::fs::write(&path, include_bytes!("../data/v5.db")).expect("copied");
    drop(ailurus_node::Store::open(&path).expect("it is brought to today's version"));
    let database = rusqlite::Connection::open(&path).expect("opens");
    let kept = database.query_row(
        "SELECT r.slot, r.seq, length(r.value), length(r.signature), d.slot
         FROM records r JOIN delegations d ON d.address = r.address",
        [],
        |row| {
            let lengths: (i64, i64) = (row.get(2)?, row.get(3)?);
            Ok((row.get(0)?, row.get(1)?, lengths, row.get(4)?))
        },
    );
    let signed_s = NOW.as_millis() as i64 / 1_000;
    let one: (i64, i64, (i64, i64), Option<i64>) = kept.expect("one record");
    assert_eq!(one, (1, signed_s, (256, 64), None));
}

/// Writes `data/vN.db` for the current schema N; to be run by hand when one is released. That of version 5 was copied from
/// the test in `peers.rs` that keeps a record.
#[test]
#[ignore = "writes a test file; run it when a schema version is released"]
fn write_the_database_of_this_version() {
    let (dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    bench.register(BOB, NOW, &channel, epoch());
    let envelopes = channel.envelopes(NOW, 200, 3);
    assert_eq!(bench.publish(&channel, NOW, &envelopes), []);
    drop(bench);
    let database = rusqlite::Connection::open(dir.path().join("node.db")).expect("opens");
    let version: i64 = database
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .expect("a version");
    let target = format!("{}/tests/data/v{version}.db", env!("CARGO_MANIFEST_DIR"));
    // Fails if there is one: a released schema never changes.
    database
        .execute("VACUUM INTO ?1", [target])
        .expect("written");
}

#[test]
fn a_database_of_a_later_version_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("node.db");
    drop(ailurus_node::Store::open(&path).expect("made"));
    let database = rusqlite::Connection::open(&path).expect("opens");
    database
        .pragma_update(None, "user_version", 99)
        .expect("set");
    drop(database);
    let error = ailurus_node::Store::open(&path)
        .err()
        .expect("refused")
        .to_string();
    assert!(error.contains("99") && error.contains("update"), "{error}");
}
