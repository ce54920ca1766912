//! Work of a client on few threads, within a time limit, and when something fails under it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ailurus::channel::{AccessKind, ChannelId, NodeLink};
use ailurus::client::{Client, Error, Notice, Options, PROFILE_FILE, Page, SystemClock};
use ailurus::store::StorageKey;
use ailurus::wire::time::{Clock, UnixMillis};
use ailurus_node::{Config, Node};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::until;
use super::world::{World, invite, texts};

/// A clock that fails when it is asked for the n-th time from now, or keeps whoever asks next waiting.
#[derive(Default)]
struct Faulty {
    fails_at: AtomicI64,
    gate: Mutex<Gate>,
    opened: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Gate {
    #[default]
    Open,
    /// For the next who comes.
    Closed,
    Waiting,
}

impl Faulty {
    fn gate(&self) -> Gate {
        *self.gate.lock().expect("the gate")
    }

    fn set_gate(&self, gate: Gate) {
        *self.gate.lock().expect("the gate") = gate;
        self.opened.notify_all();
    }
}

impl Clock for Faulty {
    fn now(&self) -> UnixMillis {
        assert!(
            self.fails_at.fetch_sub(1, Ordering::SeqCst) != 1,
            "a clock that fails"
        );
        let mut gate = self.gate.lock().expect("the gate");
        if *gate == Gate::Closed {
            *gate = Gate::Waiting;
            let limit = Duration::from_secs(5);
            let is_waiting = |gate: &mut Gate| *gate == Gate::Waiting;
            let waited = self.opened.wait_timeout_while(gate, limit, is_waiting);
            *waited.expect("the gate").0 = Gate::Open;
        }
        SystemClock::default().now()
    }
}

/// A second node of a world.
fn second_node(world: &World) -> Node {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let config = Config::new(world.folder.path().join("second"), listen);
    Node::start(config, Arc::new(ailurus_node::SystemClock::default())).expect("a node")
}

fn person(world: &World, name: &str, nodes: &[NodeLink], clock: Arc<dyn Clock>) -> Client {
    let options = Options {
        clock,
        ..Options::default()
    };
    let key = StorageKey::from_bytes([1; 32]);
    Client::create(&world.folder.path().join(name), &key, name, nodes, options).expect("a profile")
}

/// Two nodes that both have a message of Alice's for Bob.
async fn two_nodes(world: &World, clock: Arc<dyn Clock>) -> (Node, Client, Client, ChannelId) {
    let second = second_node(world);
    let nodes = [world.node.link().clone(), second.link().clone()];
    let alice = person(world, "Alice", &nodes, Arc::new(SystemClock::default()));
    let channel = alice.create_channel("news").expect("a channel");
    alice.send(&channel, "fresh").expect("queued");
    let report = alice.poll().await.expect("polls");
    assert_eq!(report.nodes_reached, 2, "{report:?}");
    let bob = person(world, "Bob", &nodes, clock);
    bob.join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect("bob joins");
    (second, alice, bob, channel)
}

#[test]
fn many_syncs_share_few_threads() {
    let runtime = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2).enable_all();
        builder
    };
    let nodes = runtime().build().expect("a runtime");
    let world = nodes.block_on(async { World::new() });
    let phones = runtime().max_blocking_threads(4).build();
    phones.expect("a runtime").block_on(async {
        let (alice, bob) = (world.person("Alice"), world.person("Bob"));
        let channel = alice.create_channel("news").expect("a channel");
        bob.join(&invite(&alice, &channel, AccessKind::Full), None)
            .expect("bob joins");
        alice.send(&channel, "fresh").expect("queued");
        alice.poll().await.expect("alice polls");
        let mut polls = Vec::new();
        for number in 0..16 {
            let client = [&alice, &bob][number % 2].clone();
            polls.push(tokio::spawn(async move { client.poll().await }));
        }
        let mut got = Vec::new();
        for poll in polls {
            let report = timeout(Duration::from_secs(30), poll).await;
            let report = report.expect("in time").expect("no panic").expect("polls");
            assert_eq!(report.nodes_reached, 1, "{report:?}");
            got.extend(report.messages.into_iter().map(|message| message.text));
        }
        assert_eq!(got, ["fresh"], "told once");
    });
    nodes.block_on(world.node.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_short_syncs_store_they_tell() {
    const MESSAGES: usize = 3_000;
    let world = World::new();
    let (alice, bob) = (world.person("Alice"), world.person("Bob"));
    let channel = alice.create_channel("news").expect("a channel");
    bob.join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect("bob joins");
    for number in 0..MESSAGES {
        alice.send(&channel, &number.to_string()).expect("queued");
    }
    alice.poll().await.expect("alice polls");

    let mut told = BTreeSet::new();
    let mut cut = 0;
    let mut budget = Duration::from_millis(10);
    loop {
        let report = bob.sync_once(budget).await.expect("syncs");
        cut += usize::from(!report.complete && !report.messages.is_empty());
        for message in report.messages {
            assert!(told.insert(message.id), "told twice");
        }
        let stored = bob.messages(&channel, Page::Arrived, 2 * MESSAGES);
        let stored = stored.expect("messages").into_iter().map(|m| m.id);
        let stored: BTreeSet<_> = stored.collect();
        let (there, named) = (stored.len(), told.len());
        assert!(stored == told, "{there} stored, {named} told, {budget:?}");
        if report.complete {
            break;
        }
        budget += Duration::from_millis(10);
        assert!(budget < Duration::from_secs(30), "it never ends");
    }
    assert_eq!(told.len(), MESSAGES);
    println!("{cut} syncs were cut in the middle, the last had {budget:?}");
    assert!(cut > 0, "no sync ended in the middle");
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_brings_is_told_though_the_store_fails_for_another() {
    let world = World::new();
    let (second, _, bob, channel) = two_nodes(&world, Arc::new(SystemClock::default())).await;
    let profile = world.folder.path().join("Bob").join(PROFILE_FILE);
    rusqlite::Connection::open(profile)
        .expect("the profile")
        .execute_batch(
            "CREATE TRIGGER fault BEFORE INSERT ON leases
             WHEN EXISTS (SELECT 1 FROM leases WHERE node != NEW.node)
             BEGIN SELECT RAISE (ABORT, 'a fault'); END",
        )
        .expect("a trigger");
    let report = bob.poll().await.expect("what came is told");
    let got: Vec<_> = report.messages.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(got, ["fresh"]);
    assert!(!report.complete);
    assert_eq!(report.nodes_reached, 1);
    let is_told = |notice: &Notice| matches!(notice, Notice::Storage { reason } if reason.contains("a fault"));
    assert!(report.notices.iter().any(is_told), "{report:?}");
    assert_eq!(texts(&bob, &channel), ["fresh"]);

    let again = bob.poll().await;
    assert!(matches!(again, Err(Error::Store(_))), "{again:?}");
    second.stop().await;
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_goes_on_to_the_caller_unless_something_was_brought() {
    let world = World::new();
    let clock = Arc::new(Faulty::default());
    let (second, alice, bob, channel) = two_nodes(&world, clock.clone()).await;
    bob.poll().await.expect("polls");
    // In the reading of the nodes, in the conversation with the best, before and after it has brought something.
    let (mut gone_on, mut told) = (0, 0);
    for fault in 1..16 {
        alice.send(&channel, &fault.to_string()).expect("queued");
        alice.poll().await.expect("polls");
        clock.fails_at.store(fault, Ordering::SeqCst);
        let polling = bob.clone();
        match tokio::spawn(async move { polling.poll().await }).await {
            Err(error) => {
                assert!(error.is_panic());
                gone_on += 1;
            }
            Ok(report) => {
                let report = report.expect("polls");
                if !report.complete {
                    assert!(!report.messages.is_empty(), "{report:?}");
                    told += 1;
                }
            }
        }
        clock.fails_at.store(0, Ordering::SeqCst);
        assert!(bob.poll().await.expect("works again").complete);
    }
    assert!(gone_on > 1 && told > 0, "{gone_on} and {told}");
    let got = texts(&bob, &channel).len();
    assert_eq!(got, 16, "nothing is lost");
    second.stop().await;
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_limit_may_be_endless() {
    let world = World::new();
    let alice = world.person("Alice");
    let channel = alice.create_channel("news").expect("a channel");
    for limit in [Duration::MAX, Duration::from_secs(i64::MAX as u64 / 2)] {
        let sent = alice.send(&channel, "fresh").expect("queued");
        let delivered = alice.wait_delivered(&sent, limit).await;
        assert!(delivered.expect("no error").is_some());
        assert!(alice.sync_once(limit).await.expect("no error").complete);
    }
    world.node.stop().await;
}

#[tokio::test]
async fn waiting_for_delivery_does_not_hold_up_the_runtime() {
    let world = World::new();
    let clock = Arc::new(Faulty::default());
    let nodes = [world.node.link().clone()];
    let alice = person(&world, "Alice", &nodes, clock.clone());
    let channel = alice.create_channel("news").expect("a channel");
    let sent = alice.send(&channel, "fresh").expect("queued");
    // Somebody else holds the engine.
    clock.set_gate(Gate::Closed);
    let sending = std::thread::spawn({
        let alice = alice.clone();
        move || alice.send(&channel, "slow").expect("queued")
    });
    until("the engine is held", || clock.gate() == Gate::Waiting).await;
    let waiting = tokio::spawn({
        let alice = alice.clone();
        async move { alice.wait_delivered(&sent, Duration::from_secs(20)).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(clock.gate(), Gate::Waiting, "the runtime goes on");
    clock.set_gate(Gate::Open);
    let delivered = waiting.await.expect("no panic").expect("no error");
    assert!(delivered.is_some());
    sending.join().expect("no panic");
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_written_while_the_client_works() {
    let world = World::new();
    let alice = world.person("Alice");
    alice.create_channel("news").expect("a channel");
    let backup = world.folder.path().join("backup");
    let copy = world.folder.path().join("backup.ailurus-export");
    let exporting = tokio::task::spawn_blocking({
        let (alice, backup) = (alice.clone(), backup.clone());
        move || alice.export_backup(&backup, "pass")
    });
    let mut meanwhile = 0;
    while !exporting.is_finished() {
        // The copy stands from before the engine is free until the backup is whole.
        let begun = copy.exists();
        assert_eq!(alice.channels().expect("channels").len(), 1);
        meanwhile += usize::from(begun && copy.exists());
    }
    exporting.await.expect("no panic").expect("exported");
    assert!(meanwhile > 0, "the engine was held all the time");
    assert!(!copy.exists());
    let key = StorageKey::from_bytes([2; 32]);
    let folder = world.folder.path().join("restored");
    let restored = Client::import_backup(&backup, "pass", &folder, &key, Options::default());
    assert_eq!(
        restored
            .expect("imported")
            .channels()
            .expect("channels")
            .len(),
        1
    );
    world.node.stop().await;
}
