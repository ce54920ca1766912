//! A node and its clients over real QUIC.

mod common;

use std::{sync::Arc, time::Duration};

use ailurus::{
    channel::Epoch,
    net::NetError,
    wire::{
        node::{Reason, response},
        time::{Clock, UnixMillis},
    },
};
use ailurus_node::{Config, Limits, Node};
use bytes::Bytes;
use prost::Message as _;
use tokio::time::timeout;

use common::{
    wire::{PATIENCE, Phone, Stream, ask, sync},
    *,
};

/// A clock that stands.
struct Standing;

impl Clock for Standing {
    fn now(&self) -> UnixMillis {
        NOW
    }
}

fn start(limits: Limits) -> (tempfile::TempDir, Node) {
    let dir = tempfile::tempdir().expect("a directory");
    let config = Config {
        limits,
        ..Config::new(dir.path(), "127.0.0.1:0".parse().expect("an address"))
    };
    let node = Node::start(config, Arc::new(Standing)).expect("starts");
    (dir, node)
}

fn epoch() -> Epoch {
    Epoch::of(NOW)
}

async fn next_push(stream: &mut Stream) -> Synced {
    let mut pushed = Synced::default();
    while pushed.cursor.is_none() {
        pushed.add(stream.next().await.expect("a push"));
    }
    pushed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publish_push_and_sync() {
    let (_dir, node) = start(Limits::default());
    let mut channel = Channel::new(1);
    let mut followers = Vec::new();
    for _ in 0..5 {
        let phone = Phone::new(node.link());
        let connection = phone.connect().await;
        assert_eq!(phone.register(&connection, &channel, epoch()).await, []);
        let (stream, synced) = phone.follow(&connection, Bytes::new()).await;
        assert_eq!((synced.hello.leases, synced.envelopes.len()), (1, 0));
        followers.push((phone, connection, stream, synced.cursor()));
    }
    let publisher = Phone::new(node.link()).connect().await;
    let envelopes = channel.envelopes(NOW, 200, 30);
    let mut got = vec![Vec::new(); followers.len()];
    for part in envelopes.chunks(10) {
        assert_eq!(
            refusals(&[ask(&publisher, &channel.publish(part)).await]),
            []
        );
        for ((_, _, stream, cursor), got) in followers.iter_mut().zip(&mut got) {
            let pushed = next_push(stream).await;
            *cursor = pushed.cursor();
            got.extend(pushed.of_address(channel.address(NOW)));
        }
    }
    for got in &got {
        assert_eq!(*got, sealed(&envelopes));
    }
    // Sent again, it is acknowledged and not pushed.
    assert_eq!(
        refusals(&[ask(&publisher, &channel.publish(&envelopes)).await]),
        []
    );
    let one = channel.envelopes(NOW.offset(100), 200, 1);
    assert_eq!(
        refusals(&[ask(&publisher, &channel.publish(&one)).await]),
        []
    );
    for (_, connection, stream, cursor) in &mut followers {
        assert_eq!(
            next_push(stream).await.of_address(channel.address(NOW)),
            sealed(&one)
        );
        // The position of a push continues in a poll.
        let polled = sync(connection, cursor.clone()).await;
        assert_eq!(polled.of_address(channel.address(NOW)), sealed(&one));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_taken_while_following_brings_backlog_and_pushes() {
    let (_dir, node) = start(Limits::default());
    let (mut one, mut two) = (Channel::new(1), Channel::new(2));
    let publisher = Phone::new(node.link()).connect().await;
    let backlog = two.envelopes(NOW, 200, 1_200);
    for part in backlog.chunks(600) {
        assert_eq!(refusals(&[ask(&publisher, &two.publish(part)).await]), []);
    }
    let phone = Phone::new(node.link());
    let connection = phone.connect().await;
    // Following comes first, registering later.
    let (mut stream, synced) = phone.follow(&connection, Bytes::new()).await;
    assert_eq!((synced.hello.leases, synced.cursor), (0, None));
    assert_eq!(phone.register(&connection, &one, epoch()).await, []);
    next_push(&mut stream).await;
    let of_one = one.envelopes(NOW, 200, 1);
    ask(&publisher, &one.publish(&of_one)).await;
    assert_eq!(
        next_push(&mut stream).await.of_address(one.address(NOW)),
        sealed(&of_one)
    );

    assert_eq!(phone.register(&connection, &two, epoch()).await, []);
    let mut got = Vec::new();
    while got.len() < backlog.len() {
        got.extend(next_push(&mut stream).await.of_address(two.address(NOW)));
    }
    assert_eq!(got, sealed(&backlog));
    let more = two.envelopes(NOW.offset(5_000), 200, 1);
    ask(&publisher, &two.publish(&more)).await;
    let mut pushed = next_push(&mut stream).await;
    while pushed.envelopes.is_empty() {
        pushed = next_push(&mut stream).await;
    }
    assert_eq!(pushed.of_address(two.address(NOW)), sealed(&more));

    // A released address is pushed no more.
    assert_eq!(
        refusals(&[ask(&connection, &release(&[two.address(NOW)])).await]),
        []
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    let unseen = two.envelopes(NOW.offset(9_000), 200, 2);
    ask(&publisher, &two.publish(&unseen)).await;
    let last = one.envelopes(NOW.offset(1), 200, 1);
    ask(&publisher, &one.publish(&last)).await;
    let pushed = next_push(&mut stream).await;
    assert_eq!(pushed.envelopes.len(), 1);
    assert_eq!(pushed.of_address(one.address(NOW)), sealed(&last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_reads_from_the_store_and_loses_nothing() {
    let (_dir, node) = start(Limits::default());
    let mut channel = Channel::new(1);
    let phone = Phone::new(node.link());
    let connection = phone.connect().await;
    phone.register(&connection, &channel, epoch()).await;
    let (mut stream, _) = phone.follow(&connection, Bytes::new()).await;
    // More than the windows hold: the follower's writes stall, its queue overflows.
    let publisher = Phone::new(node.link()).connect().await;
    let envelopes = channel.envelopes(NOW, 6_000, 900);
    for part in envelopes.chunks(6) {
        assert_eq!(
            refusals(&[ask(&publisher, &channel.publish(part)).await]),
            []
        );
    }
    assert!(
        node.metrics().fallbacks.get() > 0,
        "the queue was long enough for everything"
    );
    let mut got = Vec::new();
    while got.len() < envelopes.len() {
        got.extend(
            next_push(&mut stream)
                .await
                .of_address(channel.address(NOW)),
        );
    }
    assert_eq!(got, sealed(&envelopes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_on_a_stream_are_answered_in_order() {
    let (_dir, node) = start(Limits {
        envelopes_per_address: 200,
        ..Limits::default()
    });
    let mut channel = Channel::new(1);
    let connection = Phone::new(node.link()).connect().await;
    let mut stream = Stream::open(&connection).await;
    let envelopes = channel.envelopes(NOW, 200, 300);
    for envelope in &envelopes {
        stream
            .send(&channel.publish(std::slice::from_ref(envelope)))
            .await;
    }
    stream.send(&fetch(&envelopes[0])).await;
    stream.sender.finish().expect("open");
    for index in 0..300 {
        let expected = if index < 200 {
            vec![]
        } else {
            vec![(0, Reason::AddressFull)]
        };
        assert_eq!(
            refusals(&[stream.next().await.expect("an answer")]),
            expected,
            "{index}"
        );
    }
    assert_eq!(
        refusals(&[stream.next().await.expect("an answer")]),
        [(0, Reason::NotRegistered)]
    );
    assert!(stream.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_data_polls_but_does_not_register() {
    let (_dir, node) = start(Limits::default());
    let mut channel = Channel::new(1);
    let phone = Phone::new(node.link());
    let first = phone.connect().await;
    assert_eq!(phone.register(&first, &channel, epoch()).await, []);
    let cursor = sync(&first, Bytes::new()).await.cursor();
    let exporter = first.exporter().expect("complete");
    assert!(first.resumable(PATIENCE).await);
    let publisher = Phone::new(node.link()).connect().await;
    let envelopes = channel.envelopes(NOW, 200, 2);
    ask(&publisher, &channel.publish(&envelopes)).await;
    first.close(0, "");

    let early = phone.connect().await;
    assert!(early.is_early());
    let mut polling = Stream::open(&early).await;
    let mut registering = Stream::open(&early).await;
    polling.send(&common::sync(cursor)).await;
    let lease = channel.lease(epoch(), *node.link().key(), phone.pseudonym, exporter);
    registering.send(&register(vec![lease])).await;
    let mut synced = Synced::default();
    while !synced.caught_up {
        synced.add(polling.next().await.expect("an answer"));
    }
    assert_eq!(synced.of_address(channel.address(NOW)), sealed(&envelopes));
    assert!(early.early_accepted().await);
    // Where the handshake completes first, it is the proof that is of no connection.
    let refused = refusals(&[registering.next().await.expect("an answer")]);
    assert!(
        [Reason::EarlyData, Reason::BadProof]
            .map(|reason| vec![(0, reason)])
            .contains(&refused),
        "{refused:?}"
    );
    // After the handshake it may, with the exporter of this connection.
    assert_eq!(phone.register(&early, &channel, epoch()).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_counted_and_closes_the_connection_while_others_are_served() {
    let (_dir, node) = start(Limits::default());
    let other = Phone::new(node.link()).connect().await;
    let garbage = Phone::new(node.link()).connect().await;
    // A field number 0 is in no protobuf message.
    for _ in 0..2 {
        let mut stream = Stream::open(&garbage).await;
        stream.sender.send(&[0x00, 0x01]).await.expect("sent");
        assert_eq!(
            refusals(&[stream.next().await.expect("an answer")]),
            [(0, Reason::Malformed)]
        );
        assert!(stream.next().await.is_none());
    }
    let mut stream = Stream::open(&garbage).await;
    stream.sender.send(&[0x00, 0x01]).await.expect("sent");
    let closed = timeout(PATIENCE, garbage.closed()).await.expect("in time");
    assert!(
        matches!(closed, NetError::Closed { code: 1, .. }),
        "{closed:?}"
    );

    let oversized = Phone::new(node.link()).connect().await;
    let mut stream = Stream::open(&oversized).await;
    // A length of 1 GiB.
    stream
        .sender
        .send_all(&mut [Bytes::from_static(&[0xc0, 0, 0, 0, 0x40, 0, 0, 0])])
        .await
        .expect("sent");
    let closed = timeout(PATIENCE, oversized.closed())
        .await
        .expect("in time");
    assert!(
        matches!(closed, NetError::Closed { code: 1, .. }),
        "{closed:?}"
    );
    assert_eq!(node.metrics().malformed.get(), 4);

    // Datagrams that are not QUIC.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for length in [0, 1, 20, 1_200] {
        socket
            .send_to(&vec![0xff; length], node.local_addr())
            .expect("sent");
    }
    assert!(sync(&other, Bytes::new()).await.caught_up);
    // A request of a kind that this version does not know.
    let unknown = ailurus::wire::node::Request { kind: None };
    assert_eq!(unknown.encoded_len(), 0);
    assert_eq!(
        refusals(&[ask(&other, &unknown).await]),
        [(0, Reason::Malformed)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_limited_by_place() {
    let (_dir, node) = start(Limits {
        connections_per_ip: 2,
        ..Limits::default()
    });
    let phones: Vec<Phone> = (0..3).map(|_| Phone::new(node.link())).collect();
    let first = phones[0].connect().await;
    let _second = phones[1].connect().await;
    let refused = phones[2]
        .dialer
        .connect("127.0.0.1", node.local_addr().port())
        .await;
    assert!(
        matches!(refused, Err(NetError::Refused { .. })),
        "{refused:?}"
    );
    assert_eq!(node.metrics().connections_refused.get(), 1);
    first.close(0, "");
    let deadline = Duration::from_secs(5);
    timeout(deadline, async {
        while node.metrics().open_connections.get() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the slot is freed");
    phones[2].connect().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_follower_receives_not_a_single_datagram() {
    let (_dir, node) = start(Limits::default());
    let channel = Channel::new(1);
    let phone = Phone::new(node.link());
    let connection = phone.connect().await;
    phone.register(&connection, &channel, epoch()).await;
    let (_stream, _) = phone.follow(&connection, Bytes::new()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = connection.bytes();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(connection.bytes(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_pushed_was_committed_under_concurrent_load() {
    let (_dir, node) = start(Limits::default());
    let link = node.link().clone();
    let phone = Phone::new(&link);
    let connection = phone.connect().await;
    for seed in 0..8 {
        assert_eq!(
            phone
                .register(&connection, &Channel::new(seed), epoch())
                .await,
            []
        );
    }
    let (mut stream, _) = phone.follow(&connection, Bytes::new()).await;
    let mut publishers = Vec::new();
    for seed in 0..8 {
        let link = link.clone();
        publishers.push(tokio::spawn(async move {
            let mut channel = Channel::new(seed);
            let envelopes = channel.envelopes(NOW, 200, 100);
            let connection = Phone::new(&link).connect().await;
            let mut stream = Stream::open(&connection).await;
            for part in envelopes.chunks(3) {
                stream.send(&channel.publish(part)).await;
            }
            for _ in envelopes.chunks(3) {
                let answer = stream.next().await.expect("an answer");
                assert!(matches!(answer.kind, Some(response::Kind::Published(p)) if p.refusals.is_empty()));
            }
            (channel.address(NOW), sealed(&envelopes))
        }));
    }
    let mut got = Synced::default();
    while got.envelopes.len() < 800 {
        got.add(stream.next().await.expect("a push"));
    }
    for publisher in publishers {
        let (address, sent) = publisher.await.expect("published");
        assert_eq!(got.of_address(address), sent);
    }
    // The last position covers all.
    got = next_push_or_last(&mut stream, got).await;
    let rest = sync(&connection, got.cursor()).await;
    assert_eq!(rest.envelopes.len(), 0);
}

async fn next_push_or_last(stream: &mut Stream, mut got: Synced) -> Synced {
    while let Ok(Some(response)) =
        timeout(Duration::from_millis(300), async { stream.next().await }).await
    {
        got.add(response);
    }
    got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_datagrams_are_counted_and_disturb_nobody() {
    let (_dir, node) = start(Limits::default());
    let phone = Phone::new(node.link()).connect().await;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for number in 0_u8..200 {
        // The fixed bit of QUIC is clear in all of them.
        let datagram = vec![number & 0xbf; 1_200];
        socket.send_to(&datagram, node.local_addr()).expect("sent");
    }
    let mut counted = 0;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        counted = node.metrics().foreign_datagrams.get();
        if counted >= 200 {
            break;
        }
    }
    assert!((100..=200).contains(&counted), "{counted}");
    let mut stream = Stream::open(&phone).await;
    stream.send(&common::sync(Bytes::new())).await;
    assert!(stream.next().await.is_some(), "others are served");
}
