//! A client as apps use it, over real sockets.

use std::time::Duration;

use ailurus::channel::AccessKind;
use ailurus::client::{Client, Options};
use ailurus::store::StorageKey;
use ailurus::wire::limits::PROBE_LEN;

use crate::line::Line;
use crate::world::{World, invite, texts};

const BUDGET: Duration = Duration::from_secs(20);

/// A poll that spends a datagram each way and nothing else.
async fn asks_only(client: &Client) -> bool {
    let report = client.sync_once(BUDGET).await.expect("polled");
    assert!(report.complete);
    let length = PROBE_LEN as u64;
    (report.bytes_sent, report.bytes_received) == (length, length)
}

/// Polls until nothing is left to do by connection.
async fn settle(clients: &[&Client]) {
    for _ in 0..3 {
        for client in clients {
            client.poll().await.expect("polled");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_without_news_is_one_datagram_each_way() {
    let world = World::new();
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let channel = alice.create_channel("family").expect("a channel");
    let link = invite(&alice, &channel, AccessKind::Full);
    bob.join(&link, None).expect("joined");
    settle(&[&alice, &bob]).await;
    assert!(asks_only(&alice).await);
    for _ in 0..10 {
        assert!(asks_only(&bob).await, "each answer brings the next ticket");
    }
    alice.send(&channel, "hello").expect("queued");
    assert!(!asks_only(&alice).await, "there is something to send");
    // Asked first, and then a connection.
    let report = bob.sync_once(BUDGET).await.expect("polled");
    assert_eq!((report.probes_sent, report.probes_received), (1, 1));
    assert_eq!(report.messages.len(), 1);
    assert_eq!(report.nodes_reached, 1);
    assert_eq!(texts(&bob, &channel), ["hello"]);
    assert!(asks_only(&bob).await);
    assert!(asks_only(&alice).await, "her own message is nothing new");
    // A push and a person's wish are reasons to connect.
    let report = bob.on_push(&[]).await.expect("polled");
    assert_eq!(report.probes_sent, 0);
    assert!(report.bytes_sent > 1_000);
    assert_eq!(bob.poll().await.expect("polled").probes_sent, 0);
    assert!(asks_only(&bob).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_asked_for_once_more() {
    let world = World::new();
    let line = Line::to(world.node.link()).await;
    let bob = Client::create(
        &world.folder.path().join("bob"),
        &StorageKey::from_bytes([1; 32]),
        "Bob",
        std::slice::from_ref(line.link()),
        Options::default(),
    )
    .expect("a profile");
    bob.create_channel("diary").expect("a channel");
    settle(&[&bob]).await;
    assert!(asks_only(&bob).await);

    // Nothing passes for half a second.
    line.cut();
    let (polled, ()) = tokio::join!(bob.sync_once(BUDGET), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        line.mend();
    });
    let report = polled.expect("polled");
    assert_eq!((report.probes_sent, report.probes_received), (2, 1));
    assert_eq!(report.bytes_sent, 2 * PROBE_LEN as u64);
    assert!(asks_only(&bob).await);

    // Nothing passes at all: a connection is tried, and what was spent is in the report.
    line.cut();
    let report = bob.sync_once(Duration::from_secs(4)).await.expect("polled");
    assert_eq!((report.probes_sent, report.probes_received), (2, 0));
    assert_eq!(report.nodes_reached, 0);
    line.mend();
    let report = bob.sync_once(BUDGET).await.expect("polled");
    assert_eq!(report.nodes_reached, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_listens_and_the_poll_goes_on_at_once() {
    let world = World::new();
    let bob = world.person("bob");
    bob.create_channel("diary").expect("a channel");
    settle(&[&bob]).await;
    let World {
        folder: _folder,
        node,
    } = world;
    node.stop().await;
    let begun = std::time::Instant::now();
    let report = bob.sync_once(Duration::from_secs(2)).await.expect("polled");
    assert_eq!((report.probes_received, report.nodes_reached), (0, 0));
    assert!(begun.elapsed() < Duration::from_secs(4));
}
