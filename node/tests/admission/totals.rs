//! Sums over the database are kept, not counted at the start; and a database of version 1 gets them.

use ailurus::{channel::Epoch, wire::limits::LIFETIME};
use ailurus_node::{Limits, Store};

use crate::{
    common::*,
    people::{Answer, Desk, client},
};

fn totals(desk: &Desk) -> Vec<u8> {
    desk.database()
        .query_row("SELECT value FROM meta WHERE name = 'totals'", [], |row| {
            row.get(0)
        })
        .expect("there")
}

/// What they are when counted anew.
fn counted(desk: &Desk) -> Vec<u8> {
    let kept = totals(desk);
    let copy = tempfile::tempdir().expect("a directory");
    let path = copy.path().join("node.db");
    let database = desk.database();
    database
        .execute("VACUUM INTO ?1", [path.to_str().expect("plain")])
        .expect("copied");
    let copied = rusqlite::Connection::open(&path).expect("opens");
    copied
        .execute("DELETE FROM meta WHERE name = 'totals'", [])
        .expect("deleted");
    drop(Store::open(&path).expect("opens"));
    let counted = copied
        .query_row("SELECT value FROM meta WHERE name = 'totals'", [], |row| {
            row.get(0)
        })
        .expect("there");
    assert_eq!(totals(desk), kept);
    counted
}

#[test]
fn totals_are_what_a_count_gives_whatever_happened() {
    let desk = Desk::new(Limits {
        registrations: 3,
        strangers: 2,
        ..Limits::default()
    });
    let mut channel = Channel::new(1);
    desk.come(client(1), NOW, None);
    desk.come(client(2), NOW, None);
    desk.come_from(client(3), NOW, &[1, 1]);
    let envelopes = channel.envelopes(NOW, 200, 20);
    desk.bench.publish(&channel, NOW, &envelopes);
    assert_eq!(totals(&desk), counted(&desk));
    desk.come_from(client(4), NOW, &[2]);
    desk.come_from(client(2), NOW, &[3]);
    desk.bench
        .ask(client(4), NOW, release(&[channel.address(NOW)]));
    desk.come(client(4), NOW, None);
    assert_eq!(totals(&desk), counted(&desk));
    desk.tick(NOW.after(LIFETIME).offset(9));
    assert_eq!(totals(&desk), counted(&desk));
    desk.tick(Epoch::of(NOW).lease_end());
    assert_eq!(totals(&desk), counted(&desk));
    assert_eq!(desk.number("SELECT count(*) FROM endings"), 4);
    assert_eq!(desk.number("SELECT count(*) FROM registrations"), 0);
    drop(desk.bench);
}

#[test]
fn clients_of_version_1_are_strangers_that_go_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let stored = include_bytes!("../data/v1.db");
    std::fs::write(dir.path().join("node.db"), stored).expect("copied");
    let limits = Limits {
        registrations: 2,
        ..Limits::default()
    };
    let bench = Bench::open(dir.path(), limits);
    let desk = Desk { dir, bench };
    assert_eq!(desk.bench.service.store().envelopes(), 3);
    assert_eq!(desk.bench.service.store().registrations(), 1);
    assert_eq!(totals(&desk), counted(&desk));
    assert_eq!(desk.come(client(1), NOW, None), Answer::In(None));
    assert_eq!(desk.come_from(client(2), NOW, &[1]), Answer::In(Some(1)));
    let ended = desk.bench.sync(BOB, NOW, &bytes::Bytes::new()).hello;
    assert_eq!(ended.ended(), ailurus::wire::node::Reason::Evicted);
}
