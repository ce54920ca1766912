//! The main job over real QUIC: clients make, join and chat through a real node, also when one was away.

mod world;

use std::time::Duration;

use ailurus::channel::AccessKind;
use ailurus::client::{Error, Event, MessageState, Notice, Page};
use ailurus_node::Limits;

use world::{World, invite, next, texts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_chat_and_one_was_away() {
    let world = World::new();
    let (alice, bob) = (world.person("Alice"), world.person("Bob"));
    let channel = alice.create_channel("family").expect("a channel");
    alice.poll().await.expect("alice polls");

    let joined = bob
        .join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect("bob joins");
    assert_eq!(joined, channel);
    bob.send(&channel, "hello from Bob").expect("queued");
    bob.poll().await.expect("bob polls");

    let report = alice.poll().await.expect("alice polls");
    assert_eq!(report.messages.len(), 1, "{report:?}");
    assert_eq!(report.messages[0].text, "hello from Bob");
    assert_eq!(report.messages[0].author_name, "Bob");
    let name = "Bob".to_owned();
    assert_eq!(report.notices, [Notice::Joined { channel, name }]);

    for text in ["one", "two", "three"] {
        let id = alice.send(&channel, text).expect("queued");
        let sent = alice
            .wait_delivered(&id, Duration::from_secs(10))
            .await
            .expect("no error")
            .expect("delivered");
        assert_eq!(
            alice.message(&sent).expect("there").state,
            MessageState::AtNode
        );
        assert_eq!(alice.message(&id).expect("by its first id").id, sent);
    }
    let report = bob.poll().await.expect("bob polls");
    let got: Vec<_> = report.messages.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(got, ["one", "two", "three"]);
    assert_eq!(bob.channels().expect("channels")[0].unread, 3);
    bob.mark_read(&channel).expect("read");
    assert_eq!(bob.channels().expect("channels")[0].unread, 0);

    let again = bob.poll().await.expect("bob polls");
    assert!(again.messages.is_empty(), "nothing comes twice");
    assert_eq!(
        texts(&bob, &channel),
        ["hello from Bob", "one", "two", "three"]
    );
    assert_eq!(texts(&alice, &channel), texts(&bob, &channel));
    let names: Vec<_> = bob
        .members(&channel)
        .expect("members")
        .into_iter()
        .map(|member| (member.name, member.own, member.missing))
        .collect();
    assert_eq!(
        names,
        [("Bob".to_owned(), true, 0), ("Alice".to_owned(), false, 0)]
    );
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_messages_arrive_at_once() {
    let world = World::new();
    let (alice, bob) = (world.person("Alice"), world.person("Bob"));
    let channel = alice.create_channel("family").expect("a channel");
    bob.join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect("bob joins");
    let mut events = bob.events();
    let _alice = alice.live();
    let _bob = bob.live();
    loop {
        if let Some(Event::Connected {
            connected: true, ..
        }) = next(&mut events).await
        {
            break;
        }
    }
    // A long text does not ride with its header, so it is fetched.
    let long = "x".repeat(12_000);
    for text in ["quick", &long] {
        alice.send(&channel, text).expect("queued");
        loop {
            if let Some(Event::Received(message)) = next(&mut events).await
                && message.text == text
            {
                break;
            }
        }
    }
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn narrow_access_is_narrow() {
    let world = World::new();
    let alice = world.person("Alice");
    let (reader, writer) = (world.person("Reader"), world.person("Writer"));
    let channel = alice.create_channel("news").expect("a channel");
    alice.send(&channel, "first").expect("queued");
    alice.poll().await.expect("alice polls");
    reader
        .join(&invite(&alice, &channel, AccessKind::Read), None)
        .expect("joins");
    writer
        .join(&invite(&alice, &channel, AccessKind::Write), None)
        .expect("joins");

    assert!(matches!(
        reader.send(&channel, "no"),
        Err(Error::NotAllowed(AccessKind::Read))
    ));
    reader.poll().await.expect("reader polls");
    assert_eq!(texts(&reader, &channel), ["first"]);

    writer.send(&channel, "a tip").expect("queued");
    let report = writer.poll().await.expect("writer polls");
    assert!(report.messages.is_empty());
    assert_eq!(texts(&writer, &channel), ["a tip"], "only its own");
    assert!(matches!(
        writer.link(&channel, AccessKind::Read, true),
        Err(Error::Narrow(_))
    ));

    for client in [&alice, &reader] {
        client.poll().await.expect("polls");
        assert_eq!(texts(client, &channel), ["first", "a tip"]);
        let member = client
            .members(&channel)
            .expect("members")
            .into_iter()
            .find(|member| member.name == "Writer")
            .expect("the writer is known");
        assert!(member.write_only);
    }
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_leaves_somebody_out() {
    let world = World::new();
    let (alice, bob, carol) = (
        world.person("Alice"),
        world.person("Bob"),
        world.person("Carol"),
    );
    let channel = alice.create_channel("family").expect("a channel");
    for friend in [&bob, &carol] {
        friend
            .join(&invite(&alice, &channel, AccessKind::Full), None)
            .expect("joins");
        friend.poll().await.expect("polls");
    }
    alice.poll().await.expect("alice polls");
    assert!(matches!(bob.rotate(&channel, &[]), Err(Error::NotAdmin)));
    let carols_key = alice
        .members(&channel)
        .expect("members")
        .into_iter()
        .find(|member| member.name == "Carol")
        .expect("Carol introduced herself")
        .author;
    let (moved, notice) = alice.rotate(&channel, &[carols_key]).expect("rotates");
    assert_ne!(moved, channel);
    alice
        .wait_delivered(&notice, Duration::from_secs(10))
        .await
        .expect("no error")
        .expect("delivered");
    alice
        .send(&channel, "without Carol")
        .expect("by the former id too");
    alice.poll().await.expect("alice polls");

    // One poll brings the notice, registers the new addresses and the message behind them.
    bob.poll().await.expect("bob polls");
    bob.poll().await.expect("bob polls");
    assert_eq!(texts(&bob, &moved), ["without Carol"]);
    assert_eq!(bob.find_channel("family").expect("by name"), moved);

    let report = carol.poll().await.expect("carol polls");
    assert!(
        report.notices.contains(&Notice::Moved { channel }),
        "{:?}",
        report.notices
    );
    assert!(matches!(carol.send(&channel, "hey"), Err(Error::Moved)));
    carol.poll().await.expect("carol polls");
    assert!(texts(&carol, &channel).is_empty());

    bob.send(&moved, "back to you").expect("queued");
    bob.poll().await.expect("bob polls");
    alice.poll().await.expect("alice polls");
    assert_eq!(texts(&alice, &moved), ["without Carol", "back to you"]);
    let removed: Vec<_> = alice
        .members(&moved)
        .expect("members")
        .into_iter()
        .map(|member| (member.name, member.removed))
        .collect();
    assert_eq!(
        removed,
        [
            ("Alice".to_owned(), false),
            ("Bob".to_owned(), false),
            ("Carol".to_owned(), true)
        ]
    );
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_releases_and_wipes() {
    let world = World::new();
    let alice = world.person("Alice");
    let channel = alice.create_channel("short-lived").expect("a channel");
    alice.send(&channel, "soon gone").expect("queued");
    alice.poll().await.expect("polls");
    alice.leave(&channel).expect("leaves");
    assert!(alice.channels().expect("channels").is_empty());
    assert!(matches!(
        alice.messages(&channel, Page::Latest, 10),
        Err(Error::UnknownChannel(_))
    ));
    alice.poll().await.expect("releases");
    alice.poll().await.expect("nothing left to do");
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_refuses_for_now_is_offered_again() {
    let world = World::with(Limits {
        items_per_second: 2,
        items_burst: 10,
        ..Limits::default()
    });
    let alice = world.person("Alice");
    let channel = alice.create_channel("busy").expect("a channel");
    let mut events = alice.events();
    let _live = alice.live();
    for round in 0..2 {
        for number in 0..8 {
            alice
                .send(&channel, &format!("{round}.{number}"))
                .expect("queued");
        }
        let mut delivered = 0;
        while delivered < 8 {
            if let Some(Event::State {
                state: MessageState::AtNode,
                ..
            }) = next(&mut events).await
            {
                delivered += 1;
            }
        }
    }
    world.node.stop().await;
}
