//! Clients and several real nodes, some of which die, withhold or are reached from another network.

#[path = "network/line.rs"]
mod line;
#[path = "world/mod.rs"]
mod world;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ailurus::channel::{AccessKind, ChannelId, NodeLink};
use ailurus::client::{
    AppState, Client, Error, Event, Events, MessageState, NetworkKind, NetworkState, NodeState,
    Notice, Options, Page, SystemClock,
};
use ailurus::crypto::NodeKey;
use ailurus::store::StorageKey;
use ailurus::wire::time::{Clock, UnixMillis};
use ailurus_node::{Config, Limits, Node};
use tempfile::TempDir;

use line::Line;
use world::{World, invite, texts};

const SOON: Duration = Duration::from_secs(2);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The time, and how far it was set forward, for nodes and phones alike.
#[derive(Default)]
struct Time(AtomicU64);

impl Time {
    fn forward(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for Time {
    fn now(&self) -> UnixMillis {
        let ahead = Duration::from_millis(self.0.load(Ordering::SeqCst));
        SystemClock::default().now().after(ahead)
    }
}

/// Nodes, each at the end of a line, and people who know all of them.
struct Net {
    folder: TempDir,
    time: Arc<Time>,
    nodes: Vec<(Node, Line)>,
}

impl Net {
    async fn new(nodes: usize) -> Self {
        Self::with(nodes, Limits::default()).await
    }

    /// The first node has these limits.
    async fn with(nodes: usize, mut limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let time = Arc::new(Time::default());
        let mut net = Self {
            folder,
            time,
            nodes: Vec::new(),
        };
        for number in 0..nodes {
            let listen = "127.0.0.1:0".parse().expect("an address");
            let mut config = Config::new(net.data(number), listen);
            config.limits = std::mem::take(&mut limits);
            let node = Node::start(config, net.time.clone()).expect("a node");
            let line = Line::to(node.link()).await;
            net.nodes.push((node, line));
        }
        net
    }

    fn data(&self, number: usize) -> std::path::PathBuf {
        self.folder.path().join(format!("node{number}"))
    }

    fn person(&self, name: &str) -> Client {
        self.person_at(name, self.nodes.len())
    }

    /// Somebody who knows only the first nodes.
    fn person_at(&self, name: &str, nodes: usize) -> Client {
        let links: Vec<NodeLink> = self
            .nodes
            .iter()
            .take(nodes)
            .map(|(_, line)| line.link().clone())
            .collect();
        let options = Options {
            clock: self.time.clone(),
            ..Options::default()
        };
        let key = StorageKey::from_bytes([1; 32]);
        Client::create(&self.folder.path().join(name), &key, name, &links, options)
            .expect("a profile")
    }

    /// Two people in one channel who have met at all their nodes.
    async fn couple(&self) -> (Client, Client, ChannelId) {
        let (alice, bob) = (self.person("Alice"), self.person("Bob"));
        let channel = alice.create_channel("family").expect("a channel");
        bob.join(&invite(&alice, &channel, AccessKind::Full), None)
            .expect("bob joins");
        for person in [&alice, &bob, &alice, &bob] {
            let report = person.poll().await.expect("polls");
            assert!(report.complete && report.nodes_reached >= 1, "{report:?}");
        }
        (alice, bob, channel)
    }

    fn number(&self, node: &NodeKey) -> usize {
        self.nodes
            .iter()
            .position(|(_, line)| line.link().key() == node)
            .expect("one of ours")
    }

    fn cut(&self, node: &NodeKey) {
        self.nodes[self.number(node)].1.cut();
    }

    async fn stop(self) {
        for (node, _) in self.nodes {
            node.stop().await;
        }
    }
}

fn polled(client: &Client) -> NodeKey {
    let nodes = client.nodes().expect("nodes");
    assert_eq!(nodes[0].state, NodeState::Active, "{nodes:?}");
    nodes[0].id
}

fn state(client: &Client, node: &NodeKey) -> (NodeState, String) {
    let nodes = client.nodes().expect("nodes");
    let found = nodes.into_iter().find(|status| status.id == *node);
    let found = found.expect("it is known");
    (found.state, found.reason)
}

async fn delivered(client: &Client, channel: &ChannelId, text: &str) {
    let id = client.send(channel, text).expect("queued");
    let sent = client.wait_delivered(&id, Duration::from_secs(20)).await;
    sent.expect("no error").expect("delivered");
}

async fn until_text(events: &mut Events, text: &str) {
    loop {
        match world::next(events).await {
            Some(Event::Received(message)) if message.text == text => return,
            Some(_) => {}
            None => panic!("the events ended"),
        }
    }
}

async fn until_connected(events: &mut Events, nodes: usize) {
    let mut connected = BTreeSet::new();
    while connected.len() < nodes {
        match world::next(events).await {
            Some(Event::Connected {
                node,
                connected: true,
            }) => {
                connected.insert(node);
            }
            Some(_) => {}
            None => panic!("the events ended"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_poll_goes_to_another_node() {
    let net = Net::new(3).await;
    let (alice, bob, channel) = net.couple().await;
    let best = polled(&bob);
    net.cut(&best);
    delivered(&alice, &channel, "still here?").await;

    let start = Instant::now();
    let report = bob.poll().await.expect("polls");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(report.messages.len(), 1, "{report:?}");
    assert!(report.complete);
    let told =
        |notice: &Notice| matches!(notice, Notice::Unreachable { node, .. } if *node == best);
    assert!(report.notices.iter().any(told), "{report:?}");
    assert_eq!(state(&bob, &best).0, NodeState::Down);
    assert_ne!(polled(&bob), best);

    // From then on it costs nothing.
    let start = Instant::now();
    let report = bob.poll().await.expect("polls");
    assert!(start.elapsed() < Duration::from_millis(500));
    assert_eq!((report.nodes_reached, report.notices.len()), (1, 0));

    // It is tried again later, and taken back as a standby after a while.
    net.nodes[net.number(&best)].1.mend();
    net.time.forward(Duration::from_secs(60));
    assert_eq!(bob.poll().await.expect("polls").nodes_reached, 2);
    let (down, reason) = state(&bob, &best);
    assert_eq!(down, NodeState::Down);
    assert!(reason.contains("answers again"), "{reason}");
    net.time.forward(Duration::from_secs(600));
    bob.poll().await.expect("polls");
    assert_eq!(state(&bob, &best).0, NodeState::Standby);
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_poll_costs_the_same_however_many_nodes_there_are() {
    let net = Net::new(4).await;
    let (_alice, bob, _) = net.couple().await;
    bob.poll().await.expect("takes in what Alice said last");
    for _ in 0..3 {
        let report = bob.poll().await.expect("polls");
        assert_eq!(report.nodes_reached, 1, "{report:?}");
        let bytes = report.bytes_sent + report.bytes_received;
        assert!(bytes <= 4_500, "{bytes} bytes");
    }
    let nodes = bob.nodes().expect("nodes");
    assert!(nodes.iter().all(|node| node.reason.len() > 10));
    assert!(
        nodes[0].rtt.is_some() && nodes[0].load.is_some(),
        "{nodes:?}"
    );
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_stays_away_until_it_is_added_again() {
    let net = Net::new(2).await;
    let (alice, bob, channel) = net.couple().await;
    let removed = polled(&bob);
    bob.remove_node(&removed).expect("removed");
    assert!(matches!(
        bob.remove_node(&removed),
        Err(Error::UnknownNode(_))
    ));
    // Alice's link names it, and so may she.
    bob.join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect_err("he is in it already");
    alice.create_channel("work").expect("a channel");
    let work = alice.find_channel("work").expect("there");
    bob.join(&invite(&alice, &work, AccessKind::Full), None)
        .expect("bob joins");
    delivered(&alice, &channel, "hello").await;
    bob.poll().await.expect("polls");
    assert_eq!(texts(&bob, &channel), ["hello"]);
    let nodes = bob.nodes().expect("nodes");
    assert!(nodes.iter().all(|node| node.id != removed), "{nodes:?}");

    let link = net.nodes[net.number(&removed)].1.link();
    bob.add_node(link).expect("added");
    assert_eq!(bob.nodes().expect("nodes").len(), 2);
    assert!(bob.poll().await.expect("polls").complete);
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_knows_too_few_nodes_takes_those_of_links_and_members() {
    let net = Net::new(3).await;
    let (alice, bob) = (net.person("Alice"), net.person_at("Bob", 1));
    let channel = alice.create_channel("family").expect("a channel");
    bob.join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect("bob joins");
    let known = || bob.nodes().expect("nodes").len();
    assert!(known() >= 2, "a link names two");
    // Alice tells of the third once she knows that somebody is there; what either says may first be at other nodes than
    // the other one polls, and these complete each other.
    let begun = Instant::now();
    while known() < 3 {
        for person in [&bob, &alice] {
            person.poll().await.expect("polls");
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{:?}",
            bob.nodes()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    delivered(&alice, &channel, "welcome").await;
    while texts(&bob, &channel) != ["welcome"] {
        bob.poll().await.expect("polls");
        assert!(begun.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_live_message_comes_through_another_node() {
    let net = Net::new(3).await;
    let (alice, bob, channel) = net.couple().await;
    let mut events = bob.events();
    bob.set_app_state(AppState::Foreground);
    alice.set_app_state(AppState::Foreground);
    until_connected(&mut events, 2).await;
    alice.send(&channel, "first").expect("queued");
    until_text(&mut events, "first").await;

    let best = polled(&bob);
    net.cut(&best);
    let start = Instant::now();
    alice.send(&channel, "second").expect("queued");
    until_text(&mut events, "second").await;
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());

    // What it does not acknowledge goes elsewhere, and another one takes its place.
    bob.send(&channel, "third").expect("queued");
    until_connected(&mut events, 1).await;
    assert_eq!(state(&bob, &best).0, NodeState::Down);
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_of_five_go_at_once_and_nothing_is_lost() {
    let net = Net::new(5).await;
    let (alice, bob, channel) = net.couple().await;
    delivered(&alice, &channel, "before").await;
    // One of the two that acknowledged it lives; the node that Bob polls does not.
    let holder = polled(&alice);
    let mut gone: Vec<NodeKey> = bob.nodes().expect("nodes").iter().map(|n| n.id).collect();
    gone.retain(|node| *node != holder);
    gone.truncate(3);
    for node in &gone {
        net.cut(node);
    }

    delivered(&alice, &channel, "after").await;
    let start = Instant::now();
    let mut polls = 0;
    while texts(&bob, &channel).len() < 2 {
        let report = bob.poll().await.expect("polls");
        assert!(report.nodes_reached > 0, "{report:?}");
        polls += 1;
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{polls} polls brought {:?}",
            texts(&bob, &channel)
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let got: BTreeSet<String> = texts(&bob, &channel).into_iter().collect();
    assert_eq!(got, ["after".to_owned(), "before".to_owned()].into());
    net.stop().await;
}

/// Makes a node acknowledge envelopes and keep none of them, nor those it has.
fn withhold(data: &Path) {
    let database = rusqlite::Connection::open(data.join("node.db")).expect("the database");
    database
        .busy_timeout(Duration::from_secs(5))
        .expect("a timeout");
    database
        .execute_batch(
            "CREATE TRIGGER withhold AFTER INSERT ON envelopes
             BEGIN DELETE FROM envelopes WHERE id = NEW.id; END;
             DELETE FROM envelopes;",
        )
        .expect("a trigger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_withholds_is_noticed_and_left() {
    let net = Net::new(3).await;
    let (alice, bob, channel) = net.couple().await;
    delivered(&alice, &channel, "do not lose this").await;
    bob.poll().await.expect("polls");
    let standby = bob
        .nodes()
        .expect("nodes")
        .into_iter()
        .find(|node| node.state == NodeState::Standby)
        .expect("a standby")
        .id;
    withhold(&net.data(net.number(&standby)));
    assert_eq!(state(&bob, &standby).0, NodeState::Standby);

    // Two days later every standby has been compared.
    net.time.forward(2 * DAY);
    let mut notices = Vec::new();
    for _ in 0..4 {
        let report = bob.poll().await.expect("polls");
        notices.extend(report.notices);
    }
    assert!(
        notices.contains(&Notice::Withheld { node: standby }),
        "{notices:?}"
    );
    let blamed = notices
        .iter()
        .filter(|notice| matches!(notice, Notice::Withheld { .. }));
    assert_eq!(blamed.count(), 1, "the others are honest");
    let (state, reason) = state(&bob, &standby);
    assert_eq!(state, NodeState::Refused);
    assert!(reason.contains("does not have them"), "{reason}");
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_polled_node_withholds_comes_from_another() {
    let net = Net::new(3).await;
    let (alice, bob, channel) = net.couple().await;
    let best = polled(&bob);
    withhold(&net.data(net.number(&best)));
    delivered(&alice, &channel, "do not hide this").await;
    delivered(&alice, &channel, "nor this").await;
    bob.poll().await.expect("polls");

    net.time.forward(2 * DAY);
    let mut notices = Vec::new();
    for _ in 0..4 {
        notices.extend(bob.poll().await.expect("polls").notices);
    }
    assert_eq!(texts(&bob, &channel), ["do not hide this", "nor this"]);
    assert!(
        notices.contains(&Notice::Withheld { node: best }),
        "{notices:?}"
    );
    assert_eq!(state(&bob, &best).0, NodeState::Refused);
    assert_ne!(polled(&bob), best);
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_takes_no_strangers_is_left_for_others() {
    let limits = Limits {
        strangers: 0,
        ..Limits::default()
    };
    let net = Net::with(3, limits).await;
    let (alice, bob, channel) = net.couple().await;
    delivered(&alice, &channel, "through the others").await;
    bob.poll().await.expect("polls");
    assert_eq!(texts(&bob, &channel), ["through the others"]);
    let full = *net.nodes[0].1.link().key();
    for person in [&alice, &bob] {
        let (refused, reason) = state(person, &full);
        assert_eq!(refused, NodeState::Refused, "{reason}");
        assert!(reason.starts_with("refused: it "), "{reason}");
        assert_ne!(polled(person), full);
    }
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_goes_on_over_a_new_network() {
    const MESSAGES: usize = 1_500;
    let world = World::new();
    let (alice, bob) = (world.person("Alice"), world.person("Bob"));
    let channel = alice.create_channel("family").expect("a channel");
    bob.join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect("bob joins");
    alice.poll().await.expect("alice polls");
    for number in 0..MESSAGES {
        alice.send(&channel, &number.to_string()).expect("queued");
    }
    let polling = tokio::spawn({
        let alice = alice.clone();
        async move { alice.poll().await }
    });
    let mut moves = 0;
    while moves < 5 && !polling.is_finished() {
        alice.set_network(network(moves));
        moves += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(moves > 1, "it was over before the network changed");
    let report = polling.await.expect("no panic").expect("polls");
    assert_eq!(report.nodes_reached, 1, "{report:?}");
    alice.poll().await.expect("what is left");
    let sent = alice
        .messages(&channel, Page::Latest, 2 * MESSAGES)
        .expect("messages");
    assert!(sent.iter().all(|m| m.state == MessageState::AtNode));

    bob.poll().await.expect("bob polls");
    let got = bob.messages(&channel, Page::Latest, 2 * MESSAGES);
    let got: Vec<String> = got.expect("messages").into_iter().map(|m| m.text).collect();
    let once: BTreeSet<&String> = got.iter().collect();
    assert_eq!((got.len(), once.len()), (MESSAGES, MESSAGES));
    let missing = bob.members(&channel).expect("members");
    assert!(missing.iter().all(|member| member.missing == 0));
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_messages_survive_changes_of_network() {
    const MESSAGES: usize = 60;
    let world = World::new();
    let (alice, bob) = (world.person("Alice"), world.person("Bob"));
    let channel = alice.create_channel("family").expect("a channel");
    bob.join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect("bob joins");
    let (mut hers, mut his) = (alice.events(), bob.events());
    alice.set_app_state(AppState::Foreground);
    bob.set_app_state(AppState::Foreground);
    until_connected(&mut hers, 1).await;
    until_connected(&mut his, 1).await;
    let made = world.node.metrics().connections.get();
    for number in 0..MESSAGES {
        alice.send(&channel, &number.to_string()).expect("queued");
        if number % 7 == 0 {
            alice.set_network(network(number));
            bob.set_network(network(number + 1));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut got = Vec::new();
    while got.len() < MESSAGES {
        if let Some(Event::Received(message)) = world::next(&mut his).await {
            got.push(message.text);
        }
    }
    let once: BTreeSet<&String> = got.iter().collect();
    assert_eq!(once.len(), MESSAGES, "{got:?}");
    assert_eq!(
        world.node.metrics().connections.get(),
        made,
        "the connections moved along"
    );
    world.node.stop().await;
}

fn network(number: usize) -> NetworkState {
    let kinds = [NetworkKind::Cellular, NetworkKind::Wifi];
    NetworkState {
        kind: kinds[number % 2],
        metered: false,
        roaming: false,
    }
}
