//! Introductions between real clients on a real node: by an invitation, and from friend to friend.

mod world;

use ailurus::channel::{AccessKind, HopCount};
use ailurus::client::{Client, Event, Notice};
use ailurus::wire::time::{Clock as _, UnixMillis};
use ailurus_node::{Operator, SystemClock, Terms};

use world::{World, invite, next, texts};

async fn poll(client: &Client) {
    let report = client.poll().await.expect("a poll");
    assert_eq!(report.nodes_reached, 1);
    let refused = |notice: &&Notice| matches!(notice, Notice::Refused { .. });
    assert_eq!(report.notices.iter().find(refused), None);
}

fn now() -> UnixMillis {
    SystemClock::default().now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn friends_come_nearer_by_themselves() {
    let world = World::new();
    let operator = Operator::open(world.folder.path().join("node")).expect("its directory");
    let terms = Terms {
        label: None,
        clients: 10,
        days: 30,
    };
    let (invitation, _) = operator.invite(&terms, now()).expect("an invitation");
    let [alice, bob, carol] = ["Alice", "Bob", "Carol"].map(|name| world.person(name));
    let family = alice.create_channel("family").expect("a channel");
    bob.join(&invite(&alice, &family, AccessKind::Full), None)
        .expect("joins");
    let friends = bob.create_channel("friends").expect("a channel");
    carol
        .join(&invite(&bob, &friends, AccessKind::Full), None)
        .expect("joins");
    for client in [&alice, &bob, &carol, &alice, &bob, &carol] {
        poll(client).await;
    }
    let counted = || operator.status(now()).expect("a status").clients;
    assert_eq!(counted(), [(HopCount::STRANGER, 3)]);

    alice.add_invitation(&invitation).expect("good");
    alice.introduce(&family).expect("she can");
    let near = |hops| HopCount::new(hops).expect("one to six");
    poll(&alice).await;
    assert_eq!(counted(), [(near(1), 1), (HopCount::STRANGER, 2)]);
    // Bob hears of it and asks, Alice answers, Bob takes it and shows it.
    for client in [&bob, &alice, &bob, &bob] {
        poll(client).await;
    }
    assert_eq!(
        counted(),
        [(near(1), 1), (near(2), 1), (HopCount::STRANGER, 1)]
    );
    bob.introduce(&friends).expect("he can");
    for client in [&bob, &carol, &bob, &carol, &carol] {
        poll(client).await;
    }
    assert_eq!(counted(), [(near(1), 1), (near(2), 1), (near(3), 1)]);
    // They see nothing of it, and can talk.
    bob.send(&family, "hello").expect("queued");
    poll(&bob).await;
    let mut events = alice.events();
    poll(&alice).await;
    assert!(matches!(next(&mut events).await, Some(Event::Received(_))));
    assert_eq!(texts(&alice, &family), ["hello"]);
    assert!(texts(&carol, &friends).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_takes_what_clients_announce_and_gets_its_record() {
    let world = World::new();
    let alice = world.person("Alice");
    alice.create_channel("family").expect("a channel");
    poll(&alice).await;
    let metrics = world.node.metrics().encode();
    let refused =
        |line: &&str| line.starts_with("ailurus_node_refused_total{") && !line.ends_with(" 0");
    assert_eq!(metrics.lines().find(refused), None);
    let database = world.folder.path().join("node").join("node.db");
    let connection = rusqlite::Connection::open(database).expect("its database");
    let (delegated, found, signed): (u32, u32, u32) = connection
        .query_row(
            "SELECT count(*), count(record_key), (SELECT count(*) FROM records) FROM delegations",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .expect("a count");
    // Of last week's address nothing is to be found; near the turn of a week the next one's is leased already.
    assert!(delegated >= 2, "{delegated}");
    assert_eq!((found, signed), (delegated - 1, 3 * (delegated - 1)));
}
