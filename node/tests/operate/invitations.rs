//! Invitations, who came through them, and their end.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use ailurus::{
    channel::{Epoch, HopCount, Introduction, Invitation, NodeLink},
    crypto::{HolderSecret, OsEntropy},
    net::Connection,
    wire::node::{Reason, Register, Registered, request, response},
};
use bytes::Bytes;
use serde_json::json as value;

use crate::{
    common::{
        Channel, HOUR,
        daemon::{Daemon, now, temp},
        request,
        wire::{Phone, ask, sync},
    },
    fails, json, ok, operator,
};

/// Registers with an introduction; the answer.
async fn register(
    phone: &Phone,
    connection: &Connection,
    node: &NodeLink,
    introduction: &Introduction,
    holder: &HolderSecret,
) -> Result<Registered, Reason> {
    let channel = Channel::new(1);
    let exporter = connection.exporter().expect("a complete handshake");
    let lease = channel.lease(Epoch::of(now()), *node.key(), phone.pseudonym, exporter);
    let proof = introduction.prove(holder, &exporter, &phone.pseudonym);
    let register = request(request::Kind::Register(Register {
        leases: vec![lease],
        introduction: Some(proof.expect("its holder")),
    }));
    match ask(connection, &register).await.kind.expect("a kind") {
        response::Kind::Registered(registered) => Ok(registered),
        response::Kind::Refused(refused) => Err(refused.reason()),
        other => panic!("unexpected answer {other:?}"),
    }
}

fn invite(dir: &Path, arguments: &[&str]) -> Invitation {
    let text = ok(dir, &[&["invite"], arguments].concat());
    assert_eq!(text.lines().count(), 1, "the invitation stands alone");
    text.trim_end().parse().expect("an invitation")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_brings_clients_near_until_it_is_revoked() {
    let dir = temp();
    let daemon = Daemon::start(dir.path(), &[]);
    let (link, introduction, alices) =
        invite(dir.path(), &["--label", "reading circle", "--clients", "2"]).into_parts();
    assert_eq!(link, daemon.link);
    assert_eq!(introduction.hop_count(), HopCount::from_wire(Some(1)));
    assert!(introduction.verify(link.key(), now()).is_ok());

    let alice = Phone::new(&link);
    let connection = alice.connect().await;
    let registered = register(&alice, &connection, &link, &introduction, &alices).await;
    assert_eq!(registered.expect("admitted").hop_count, Some(1));
    // She introduces Bob, and there is room for no third.
    let bobs = HolderSecret::random(&mut OsEntropy);
    let expiry = introduction.expiry().as_secs();
    let extended = introduction
        .extend(&alices, &bobs.public(), expiry)
        .expect("hers");
    let bob = Phone::new(&link);
    let of_bob = bob.connect().await;
    let registered = register(&bob, &of_bob, &link, &extended, &bobs).await;
    assert_eq!(registered.expect("admitted").hop_count, Some(2));
    let carols = HolderSecret::random(&mut OsEntropy);
    let third = introduction
        .extend(&alices, &carols.public(), expiry)
        .expect("hers");
    let carol = Phone::new(&link);
    let of_carol = carol.connect().await;
    let refused = register(&carol, &of_carol, &link, &third, &carols).await;
    let full = match refused {
        Err(reason) => reason == Reason::SubtreeFull,
        Ok(registered) => registered
            .refusals
            .iter()
            .all(|r| r.reason() == Reason::SubtreeFull),
    };
    assert!(full, "the invitation brings two clients");

    let status = json(dir.path(), &["status", "--json"]);
    assert_eq!(
        status["clients_by_hop_count"],
        value!([{ "hop_count": 1, "clients": 1 }, { "hop_count": 2, "clients": 1 }])
    );
    let row = &status["invitations"][0];
    assert_eq!(
        (&row["label"], &row["clients"], &row["quota"]),
        (&value!("reading circle"), &value!(2), &value!(2))
    );
    assert_eq!(
        (&status["running"], &status["clients"]),
        (&value!(true), &value!(2))
    );
    let drawn = ok(dir.path(), &["status"]);
    for part in ["● running", "█", "reading circle", "2 of 2 clients"] {
        assert!(drawn.contains(part), "{part}: {drawn}");
    }
    assert!(!drawn.contains('\x1b'), "no colour without a terminal");

    // First Bob alone, by the digits of his place in the tree.
    let bobs_chain = extended.id().to_string();
    let told = ok(dir.path(), &["revoke", &bobs_chain[..9], "--days", "3"]);
    assert!(
        told.contains("3 days") && told.contains("1 client"),
        "{told}"
    );
    assert_eq!(ended(&of_bob).await, Reason::Revoked);
    assert_eq!(sync(&connection, Bytes::new()).await.hello.leases, 1);
    let again = register(&bob, &of_bob, &link, &extended, &bobs).await;
    assert!(
        matches!(again, Err(Reason::Revoked))
            || again.is_ok_and(|r| r.refusals[0].reason() == Reason::Revoked)
    );
    let told = json(dir.path(), &["revoke", "reading circle", "--json"]);
    assert_eq!(
        (&told["clients"], &told["label"]),
        (&value!(1), &value!("reading circle"))
    );
    assert_eq!(ended(&connection).await, Reason::Revoked);

    let status = json(dir.path(), &["status", "--json"]);
    assert_eq!(status["clients"], 0);
    assert_eq!(status["invitations"][0]["revoked"], true);
    assert_eq!(status["ended"], value!({ "revoked": 2 }));
    let (_, _, log) = daemon.end(libc::SIGTERM);
    assert!(
        !log.contains("reading circle") && !log.contains(&bobs_chain[..9]),
        "{log}"
    );
}

/// What a client is told once its leases are gone.
async fn ended(connection: &Connection) -> Reason {
    let start = Instant::now();
    loop {
        let hello = sync(connection, Bytes::new()).await.hello;
        if hello.leases == 0 {
            return hello.ended();
        }
        assert!(start.elapsed() < Duration::from_secs(60), "within a minute");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn invitations_say_what_is_wrong_with_them() {
    let dir = temp();
    let error = fails(2, operator(dir.path(), &["invite"]));
    assert!(error.contains("holds no node"), "{error}");
    drop(Daemon::start(dir.path(), &[]));
    for (arguments, expected) in [
        (&["--days", "91"][..], "91"),
        (&["--days", "0"], "0"),
        (&["--clients", "0"], "--clients"),
        (&["--label", ""], "label"),
        (&["--label", "a\nb"], "label"),
    ] {
        let error = fails(2, operator(dir.path(), &[&["invite"], arguments].concat()));
        assert!(error.contains(expected), "{error}");
    }
    let record = json(
        dir.path(),
        &["invite", "--json", "--days", "30", "--label", "one"],
    );
    let invitation: Invitation = record["invitation"]
        .as_str()
        .expect("text")
        .parse()
        .expect("whole");
    assert_eq!(record["chain"], invitation.introduction().id().to_string());
    let left = invitation.introduction().expiry().since(now()).as_secs();
    assert!((30 * 86_400 - 60..=30 * 86_400).contains(&left), "{left}");
    let error = fails(2, operator(dir.path(), &["invite", "--label", "one"]));
    assert!(
        error.contains("one") && error.contains("--label"),
        "{error}"
    );
    let drawn = ok(dir.path(), &["invite", "--qr"]);
    assert!(drawn.contains('█') && !drawn.contains("ai"), "{drawn}");

    for unknown in ["nobody", "abc", "aaaaaaaa", "é"] {
        let error = fails(2, operator(dir.path(), &["revoke", unknown]));
        assert!(error.contains("neither"), "{error}");
    }
    // A whole chain id may be one that nobody has come with yet.
    let told = ok(dir.path(), &["revoke", &"ab".repeat(32)]);
    assert!(told.contains("no client"), "{told}");
}

#[test]
fn status_names_the_nodes_that_serve_the_same_addresses() {
    let dir = temp();
    let daemon = Daemon::start(dir.path(), &[]);
    let key = *daemon.link.key().as_bytes();
    drop(daemon);
    let database = rusqlite::Connection::open(dir.path().join("node.db")).expect("there");
    let hour_ago = i64::try_from(now().before(HOUR).as_secs()).expect("small");
    let insert = "INSERT INTO peers (row, node, host, port, reached_s, named_s) VALUES (?1, ?2, ?3, 4433, ?4, 0)";
    let other = [[7; 1].as_slice(), &key[1..]].concat();
    for (row, node, host, reached) in [
        (1, key.as_slice(), "near.example.org", hour_ago),
        (2, &other, "lost.example.org", 0),
    ] {
        database
            .execute(insert, (row, node, host, reached))
            .expect("inserted");
    }
    let common = "INSERT INTO peer_addresses (address, peer_row) VALUES (zeroblob(32), 1)";
    database.execute(common, []).expect("inserted");
    drop(database);
    let status = json(dir.path(), &["status", "--json"]);
    let near = &status["peer_nodes"][0];
    let link: NodeLink = near["link"]
        .as_str()
        .expect("text")
        .parse()
        .expect("a link");
    assert_eq!(
        (link.host(), &near["addresses"]),
        ("near.example.org", &value!(1))
    );
    assert_eq!(status["peer_nodes"][1]["reached"], value!(null));
    let drawn = ok(dir.path(), &["status"]);
    for part in [
        "○ stopped",
        "near.example.org:4433",
        "60 minutes ago",
        "lost.example.org:4433",
        "never",
    ] {
        assert!(drawn.contains(part), "{part}: {drawn}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_while_the_node_is_stopped_ends_when_it_starts() {
    let dir = temp();
    let daemon = Daemon::start(dir.path(), &[]);
    let (link, introduction, secret) = invite(dir.path(), &["--label", "one"]).into_parts();
    let alice = Phone::new(&link);
    let connection = alice.connect().await;
    let registered = register(&alice, &connection, &link, &introduction, &secret).await;
    assert_eq!(registered.expect("admitted").hop_count, Some(1));
    drop(daemon);
    let told = ok(dir.path(), &["revoke", "one"]);
    assert!(told.contains("1 client"), "{told}");
    let _daemon = Daemon::start(dir.path(), &[]);
    let connection = alice.connect().await;
    connection.established().await.expect("connected");
    assert_eq!(ended(&connection).await, Reason::Revoked);
}
