//! What a phone does with an app: foreground and background, suspension, a changed network, short wake-ups, the end.

#[path = "lifecycle/work.rs"]
mod work;
mod world;

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use ailurus::channel::{AccessKind, ChannelId, MessageId, NodeLink};
use ailurus::client::{
    AppState, Client, Error, Event, Events, NetworkKind, NetworkState, Notice, Options, PowerState,
};
use ailurus::crypto::NodeKey;
use ailurus::store::{StorageKey, StoreError};

use world::{World, invite, next, texts};

/// An address that takes everything and never answers.
struct BlackHole {
    _socket: UdpSocket,
    link: NodeLink,
}

impl BlackHole {
    fn new(like: &NodeLink) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let port = socket.local_addr().expect("an address").port();
        let mut key = *like.key().as_bytes();
        key.reverse();
        let link = NodeLink::new(NodeKey::from_bytes(key), "127.0.0.1", port).expect("a link");
        Self {
            _socket: socket,
            link,
        }
    }
}

/// A profile that knows only an address that never answers.
fn alone(world: &World) -> (BlackHole, Client, ChannelId, MessageId) {
    let hole = BlackHole::new(world.node.link());
    let client = Client::create(
        &world.folder.path().join("alone"),
        &StorageKey::from_bytes([1; 32]),
        "Alice",
        std::slice::from_ref(&hole.link),
        Options::default(),
    )
    .expect("a profile");
    let channel = client.create_channel("family").expect("a channel");
    let message = client.send(&channel, "anybody?").expect("queued");
    (hole, client, channel, message)
}

/// Files of this process below a folder; `None` where the system does not show them.
fn open_files(folder: &Path) -> Option<usize> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        eprintln!("skipped: open files are checked on Linux only");
        assert!(std::env::var_os("AILURUS_CI").is_none_or(|ci| ci != "1"));
        return None;
    };
    let below = entries
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|path| path.starts_with(folder));
    Some(below.count())
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_connected(events: &mut Events, wanted: bool) {
    loop {
        match next(events).await {
            Some(Event::Connected { connected, .. }) if connected == wanted => return,
            Some(_) => {}
            None => panic!("the events ended"),
        }
    }
}

async fn until_text(events: &mut Events, text: &str) {
    loop {
        match next(events).await {
            Some(Event::Received(message)) if message.text == text => return,
            Some(_) => {}
            None => panic!("the events ended"),
        }
    }
}

fn is_suspended<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Store(StoreError::Suspended)))
}

fn is_closed<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Store(StoreError::Closed)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_client_holds_no_file_and_resumes_where_it_was() {
    let world = World::new();
    let (alice, bob) = (world.person("Alice"), world.person("Bob"));
    let channel = alice.create_channel("family").expect("a channel");
    bob.join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect("bob joins");
    alice.poll().await.expect("alice polls");
    let mut events = bob.events();
    bob.set_app_state(AppState::Foreground);
    until_connected(&mut events, true).await;
    let folder = world.folder.path().join("Bob");
    assert!(open_files(&folder).is_none_or(|files| files > 0));

    for _ in 0..2 {
        bob.suspend().await.expect("suspends");
        assert!(open_files(&folder).is_none_or(|files| files == 0));
    }
    until_connected(&mut events, false).await;
    assert!(is_suspended(&bob.channels()));
    assert!(is_suspended(&bob.send(&channel, "no")));
    assert!(is_suspended(&bob.data_version()));
    assert!(is_suspended(
        &bob.change_storage_key(&StorageKey::from_bytes([2; 32]))
    ));
    assert!(is_suspended(
        &bob.export_backup(&world.folder.path().join("backup"), "pass")
    ));
    assert!(is_suspended(&bob.poll().await));
    assert!(is_suspended(&bob.sync_once(Duration::from_secs(1)).await));
    assert_eq!(
        open_files(&folder).unwrap_or(0),
        0,
        "nothing opened it again"
    );
    assert!(bob.next_wakeup().is_none(), "the app state is as it was");

    let sent = alice.send(&channel, "while you were away").expect("queued");
    let delivered = alice.wait_delivered(&sent, Duration::from_secs(10)).await;
    delivered.expect("no error").expect("delivered");
    for _ in 0..2 {
        bob.resume().await.expect("resumes");
    }
    until_text(&mut events, "while you were away").await;
    assert_eq!(texts(&bob, &channel), ["while you were away"]);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_runs_ends_when_the_client_is_suspended() {
    let world = World::new();
    let (_hole, client, _, _) = alone(&world);
    let polling = tokio::spawn({
        let client = client.clone();
        async move { client.poll().await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.suspend().await.expect("suspends");
    let ended = tokio::time::timeout(Duration::from_secs(2), polling).await;
    assert!(is_suspended(&ended.expect("in time").expect("no panic")));
    client.resume().await.expect("resumes");
    assert_eq!(client.channels().expect("channels").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_resumed_stays_suspended() {
    let world = World::new();
    let bob = world.person("Bob");
    let (folder, away) = (
        world.folder.path().join("Bob"),
        world.folder.path().join("away"),
    );
    bob.suspend().await.expect("suspends");
    std::fs::rename(&folder, &away).expect("moved");
    let gone = bob.resume().await;
    assert!(matches!(gone, Err(Error::Store(StoreError::Missing))));
    assert!(is_suspended(&bob.channels()));
    assert!(is_suspended(&bob.poll().await));
    assert!(!folder.exists(), "no new one is made");
    std::fs::rename(&away, &folder).expect("moved back");
    bob.resume().await.expect("resumes");
    assert_eq!(bob.poll().await.expect("polls").nodes_reached, 1);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_all_that_runs_and_is_final() {
    let world = World::new();
    let (_hole, client, channel, message) = alone(&world);
    client.set_app_state(AppState::Foreground);
    let mut events = client.events();
    let poll = tokio::spawn({
        let client = client.clone();
        async move { client.poll().await.map(|_| ()) }
    });
    let sync = tokio::spawn({
        let client = client.clone();
        async move { client.on_push(b"\xff\x00").await.map(|_| ()) }
    });
    let wait = tokio::spawn({
        let client = client.clone();
        let wait = Duration::from_secs(60);
        async move { client.wait_delivered(&message, wait).await.map(|_| ()) }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let start = Instant::now();
    client.shutdown().await;
    for running in [poll, sync, wait] {
        let ended = running.await.expect("no panic");
        assert!(matches!(ended, Err(Error::ShutDown)), "{ended:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{start:?}");
    while tokio::time::timeout(Duration::from_secs(2), events.recv())
        .await
        .expect("the events end")
        .is_some()
    {}
    let folder = world.folder.path().join("alone");
    assert_eq!(open_files(&folder).unwrap_or(0), 0);

    client.shutdown().await;
    assert!(is_closed(&client.channels()));
    assert!(is_closed(&client.send(&channel, "no")));
    assert!(is_closed(&client.suspend().await));
    assert!(is_closed(&client.resume().await));
    assert!(matches!(client.poll().await, Err(Error::ShutDown)));
    let waited = client.wait_delivered(&message, Duration::from_secs(60));
    assert!(matches!(waited.await, Err(Error::ShutDown)));
    client.set_app_state(AppState::Foreground);
    assert!(client.events().recv().await.is_none());

    let again = Client::open(
        &folder,
        &StorageKey::from_bytes([1; 32]),
        Options::default(),
    );
    let texts = texts(&again.expect("opens"), &channel);
    assert_eq!(texts, ["anybody?"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_before_a_shutdown_is_still_told() {
    let world = World::new();
    let alice = world.person("Alice");
    let channel = alice.create_channel("family").expect("a channel");
    let mut events = alice.events();
    let sent = alice.send(&channel, "hello").expect("queued");
    alice.poll().await.expect("polls");
    alice.shutdown().await;
    let mut told = Vec::new();
    while let Some(event) = next(&mut events).await {
        told.push(event);
    }
    let is_sent = |event: &Event| matches!(event, Event::State { channel: of, was, .. } if *of == channel && *was == Some(sent));
    assert!(told.iter().any(is_sent), "{told:?}");
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_nobody_holds_ends() {
    let world = World::new();
    let bob = world.person("Bob");
    let mut events = bob.events();
    bob.set_app_state(AppState::Foreground);
    // A guard that outlives the client keeps nothing alive.
    let _live = bob.live();
    until_connected(&mut events, true).await;
    until_connected(&mut events, true).await;
    let metrics = world.node.metrics();
    assert_eq!(metrics.open_connections.get(), 2);

    let clone = bob.clone();
    drop(bob);
    assert_eq!(clone.channels().expect("a clone still works").len(), 0);
    drop(clone);
    until("the connections close", || {
        metrics.open_connections.get() == 0
    })
    .await;
    let folder = world.folder.path().join("Bob");
    until("the profile closes", || {
        open_files(&folder).unwrap_or(0) == 0
    })
    .await;
    while next(&mut events).await.is_some() {}
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_gives_what_it_has_when_the_time_is_over() {
    let world = World::new();
    let (hole, alone, _, _) = alone(&world);
    for budget in [Duration::from_millis(1), Duration::from_millis(500)] {
        let start = Instant::now();
        let report = alone.sync_once(budget).await.expect("no error");
        assert!(start.elapsed() < budget + Duration::from_secs(1));
        assert!(!report.complete, "{report:?}");
        assert_eq!(report.nodes_reached, 0);
        assert!(report.notices.is_empty(), "{report:?}");
    }

    // What one node gave is there, though the other does not answer.
    let (alice, bob) = (world.person("Alice"), world.person("Bob"));
    let channel = alice.create_channel("news").expect("a channel");
    bob.join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect("bob joins");
    alice.send(&channel, "fresh").expect("queued");
    let report = alice.poll().await.expect("polls");
    assert!(report.complete);
    bob.add_node(&hole.link).expect("added");
    let budget = Duration::from_secs(3);
    let start = Instant::now();
    let report = bob.sync_once(budget).await.expect("no error");
    assert!(start.elapsed() < budget + Duration::from_secs(1));
    assert!(!report.complete, "{report:?}");
    assert_eq!(report.nodes_reached, 1);
    let got: Vec<_> = report.messages.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(got, ["fresh"]);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_foreground_is_live_and_the_background_wakes_up() {
    let world = World::new();
    let bob = world.person("Bob");
    let quarter = Duration::from_secs(15 * 60);
    let opened = bob
        .next_wakeup()
        .expect("a new client is in the background");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let report = bob.on_push(&[0xff; 5_000]).await.expect("polls");
    assert!(report.complete && report.nodes_reached == 1, "{report:?}");
    let synced = bob.next_wakeup().expect("in the background");
    assert!(synced.at > opened.at, "counted from the last sync");
    assert_eq!(synced.slack, Duration::from_secs(5 * 60));

    let mut events = bob.events();
    let metrics = world.node.metrics();
    for round in 0..2 {
        bob.set_app_state(AppState::Foreground);
        bob.set_app_state(AppState::Foreground);
        assert!(bob.next_wakeup().is_none());
        until_connected(&mut events, true).await;
        until("one connection", || metrics.open_connections.get() == 1).await;
        bob.set_app_state(AppState::Background);
        bob.set_app_state(AppState::Background);
        until_connected(&mut events, false).await;
        until("none is left", || metrics.open_connections.get() == 0).await;
        let wakeup = bob.next_wakeup().expect("in the background again");
        assert!(wakeup.at >= synced.at, "round {round}");
        let ahead = wakeup.at.as_millis() - opened.at.as_millis();
        assert!(Duration::from_millis(ahead) < quarter);
    }
    bob.set_power(PowerState {
        battery_percent: Some(5),
        saver: true,
        ..PowerState::default()
    });
    assert!(bob.next_wakeup().is_some());
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_connections_move_to_a_new_network() {
    let world = World::new();
    let (alice, bob) = (world.person("Alice"), world.person("Bob"));
    let channel = alice.create_channel("family").expect("a channel");
    bob.join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect("bob joins");
    let mut events = bob.events();
    bob.set_app_state(AppState::Foreground);
    until_connected(&mut events, true).await;
    let made = world.node.metrics().connections.get();

    let network = NetworkState {
        kind: NetworkKind::Cellular,
        metered: true,
        roaming: false,
    };
    for _ in 0..2 {
        bob.set_network(network);
    }
    alice.send(&channel, "still there?").expect("queued");
    alice.poll().await.expect("polls");
    until_text(&mut events, "still there?").await;
    let again = world.node.metrics().connections.get();
    assert_eq!(again, made + 1, "only Alice's is new");
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_connections_include_nodes_that_are_added_later() {
    let world = World::new();
    let folder = world.folder.path().join("Carol");
    let key = StorageKey::from_bytes([1; 32]);
    let carol = Client::create(&folder, &key, "Carol", &[], Options::default()).expect("made");
    let mut events = carol.events();
    carol.set_app_state(AppState::Foreground);
    tokio::time::sleep(Duration::from_millis(100)).await;
    carol.add_node(world.node.link()).expect("added");
    until_connected(&mut events, true).await;
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_client_follows_a_node_to_its_new_address() {
    let world = World::new();
    let right = world.node.link();
    // Nobody answers there, and nobody says so.
    let hole = BlackHole::new(right);
    let wrong = NodeLink::new(*right.key(), "127.0.0.1", hole.link.port()).expect("a link");
    let folder = world.folder.path().join("Carol");
    let key = StorageKey::from_bytes([1; 32]);
    let carol = Client::create(&folder, &key, "Carol", &[wrong], Options::default()).expect("made");
    let mut events = carol.events();
    carol.set_app_state(AppState::Foreground);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let start = Instant::now();
    carol.add_node(right).expect("changed");
    until_connected(&mut events, true).await;
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "the old address was not given up"
    );
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumption_that_was_given_up_still_makes_the_foreground_live() {
    let world = World::new();
    let alice = world.person("Alice");
    let mut events = alice.events();
    alice.set_app_state(AppState::Foreground);
    until_connected(&mut events, true).await;
    alice.suspend().await.expect("suspended");
    until_connected(&mut events, false).await;
    // Polled once, and then nobody waits for it any more.
    let resumption = tokio::time::timeout(Duration::ZERO, alice.resume()).await;
    drop(resumption);
    until_connected(&mut events, true).await;
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_goes_forward_only() {
    let world = World::new();
    let (alice, bob) = (world.person("Alice"), world.person("Bob"));
    let channel = alice.create_channel("family").expect("a channel");
    bob.join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect("bob joins");
    for text in ["one", "two", "three"] {
        alice.send(&channel, text).expect("queued");
        alice.poll().await.expect("polls");
        bob.poll().await.expect("polls");
    }
    let unread = || bob.channels().expect("channels")[0].unread;
    assert_eq!(unread(), 3);
    let messages = bob
        .messages(&channel, ailurus::client::Page::Arrived, 10)
        .expect("messages");
    bob.mark_read_up_to(&messages[1].id).expect("marked");
    assert_eq!(unread(), 1);
    bob.mark_read_up_to(&messages[0].id).expect("marked");
    assert_eq!(unread(), 1, "what was read stays read");
    bob.mark_read_up_to(&messages[2].id).expect("marked");
    assert_eq!(unread(), 0);
    let unknown = bob.mark_read_up_to(&MessageId::from_bytes([9; 32]));
    assert!(matches!(unknown, Err(Error::UnknownMessage(_))));
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_joins_is_told_of_once() {
    let world = World::new();
    let (alice, bob) = (world.person("Alice"), world.person("Bob"));
    let channel = alice.create_channel("family").expect("a channel");
    let joined = |notices: &[Notice]| -> Vec<String> {
        let mut names = Vec::new();
        for notice in notices {
            if let Notice::Joined { channel: of, name } = notice {
                assert_eq!(*of, channel);
                names.push(name.clone());
            }
        }
        names
    };
    let first = alice.poll().await.expect("polls");
    assert!(joined(&first.notices).is_empty(), "not ourselves");
    bob.join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect("bob joins");
    bob.poll().await.expect("polls");

    let report = alice.poll().await.expect("polls");
    assert_eq!(joined(&report.notices), ["Bob"]);
    let said = report.notices[0].to_string();
    assert!(said.starts_with("Bob joined channel "), "{said}");

    bob.send(&channel, "hello").expect("queued");
    bob.poll().await.expect("polls");
    let report = alice.poll().await.expect("polls");
    assert_eq!(report.messages.len(), 1);
    assert!(joined(&report.notices).is_empty());
    alice.shutdown().await;
    let folder = world.folder.path().join("Alice");
    let alice = Client::open(
        &folder,
        &StorageKey::from_bytes([1; 32]),
        Options::default(),
    );
    let report = alice.expect("opens").poll().await.expect("polls");
    assert!(joined(&report.notices).is_empty(), "not after a restart");
    world.node.stop().await;
}
