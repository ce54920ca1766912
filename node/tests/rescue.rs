//! All super nodes that a client knows are gone, and only the DHT is left: a real node, a real DHT on this machine, a
//! real client.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ailurus::channel::record::{own_slots, salt};
use ailurus::channel::{Access, AccessKind, ChannelId, Epoch, Link, NodeLink, SignedRecord};
use ailurus::client::{Client, DhtMode, Error, Options, SystemClock};
use ailurus::crypto::{NodeKey, OsEntropy};
use ailurus::net::{Dht, DhtError};
use ailurus::store::StorageKey;
use ailurus::wire::time::{Clock, UnixMillis};
use mainline::Testnet;

use world::{World, invite, texts};

const MINUTE: Duration = Duration::from_secs(60);

/// A clock that can be set forward.
#[derive(Default)]
struct Shifted(AtomicI64);

impl Shifted {
    fn forward(&self, by: Duration) {
        let millis = by.as_millis().try_into().expect("not that far");
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for Shifted {
    fn now(&self) -> UnixMillis {
        SystemClock::default()
            .now()
            .offset(self.0.load(Ordering::Relaxed))
    }
}

/// A node with a channel of Alice's, a DHT, and Bob, who knows a node that is gone.
struct Scene {
    world: World,
    _network: Testnet,
    mode: DhtMode,
    alice: Client,
    channel: ChannelId,
    clock: Arc<Shifted>,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new();
        let network = Testnet::builder(12).build().expect("sockets on loopback");
        let mode = DhtMode::Bootstrap(network.bootstrap.iter().take(3).cloned().collect());
        let alice = world.person("Alice");
        let channel = alice.create_channel("family").expect("a channel");
        alice.send(&channel, "still here").expect("queued");
        assert_eq!(alice.poll().await.expect("polls").nodes_reached, 1);
        Self {
            world,
            _network: network,
            mode,
            alice,
            channel,
            clock: Arc::default(),
        }
    }

    fn bob(&self, nodes: &[NodeLink], dht: DhtMode) -> Client {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let options = Options {
            clock,
            dht,
            ..Options::default()
        };
        let folder = self.world.folder.path().join("Bob");
        let key = StorageKey::from_bytes([1; 32]);
        let bob = Client::create(&folder, &key, "Bob", nodes, options).expect("a profile");
        let link = Link {
            // Without the node's address.
            nodes: Vec::new(),
            ..self.link()
        };
        bob.join(&link, None).expect("bob joins");
        bob
    }

    fn link(&self) -> Link {
        invite(&self.alice, &self.channel, AccessKind::Full)
    }

    fn access(&self) -> Access {
        self.link().access
    }

    async fn dht(&self) -> Dht {
        let dht = Dht::client(&self.mode).await;
        dht.expect("a socket").expect("on")
    }

    fn record(&self, node: &NodeLink, at: UnixMillis) -> SignedRecord {
        let (access, epoch) = (self.access(), Epoch::of(self.clock.now()));
        let signer = access.record_signer(epoch).expect("keys");
        let secret = access.record_secret(epoch);
        let signer = signer.expect("a writer");
        signer.sign(&secret, node, self.slot(node), at, &mut OsEntropy)
    }

    fn slot(&self, node: &NodeLink) -> u8 {
        let epoch = Epoch::of(self.clock.now());
        own_slots(node.key(), &self.access().record_key(epoch).expect("a key"))[0]
    }

    async fn put(&self, dht: &Dht, record: &SignedRecord) -> Result<(), DhtError> {
        let epoch = Epoch::of(self.clock.now());
        let key = self.access().record_key(epoch).expect("a key");
        dht.put(
            key.as_bytes(),
            &salt(record.slot),
            record.seq.try_into().expect("not that far"),
            &record.value,
            &record.signature,
            None,
        )
        .await
    }
}

/// Nobody is there, and no name leads there.
fn gone() -> NodeLink {
    NodeLink::new(NodeKey::from_bytes([9; 32]), "gone.invalid", 4_433).expect("a link")
}

fn elsewhere(number: u8) -> NodeLink {
    NodeLink::new(NodeKey::from_bytes([number; 32]), "127.0.0.1", 4_433).expect("a link")
}

fn links(client: &Client) -> Vec<NodeLink> {
    let nodes = client.nodes().expect("nodes");
    nodes.into_iter().map(|node| node.link).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_nodes_gone_a_poll_finds_another_in_the_dht() {
    let scene = Scene::new().await;
    let node = scene.world.node.link().clone();
    let bob = scene.bob(&[gone()], scene.mode.clone());
    let record = scene.record(&node, scene.clock.now());
    let dht = scene.dht().await;
    scene.put(&dht, &record).await.expect("stored");

    // First it is patient.
    let report = bob.poll().await.expect("polls");
    assert_eq!((report.nodes_reached, report.notices.len()), (0, 1));
    scene.clock.forward(4 * MINUTE);
    assert_eq!(bob.poll().await.expect("polls").nodes_reached, 0);
    assert_eq!(links(&bob), [gone()]);

    scene.clock.forward(MINUTE);
    let report = bob.poll().await.expect("polls");
    assert_eq!(report.nodes_reached, 1, "{report:?}");
    assert_eq!(texts(&bob, &scene.channel), ["still here"]);
    assert!(links(&bob).contains(&node));

    // And the way back.
    let id = bob.send(&scene.channel, "found you").expect("queued");
    let sent = bob.wait_delivered(&id, Duration::from_secs(20)).await;
    assert!(sent.expect("no error").is_some());
    scene.alice.poll().await.expect("polls");
    assert!(texts(&scene.alice, &scene.channel).contains(&"found you".to_owned()));
    scene.world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_mode_looks_for_nodes_too() {
    let scene = Scene::new().await;
    let bob = scene.bob(&[gone()], scene.mode.clone());
    let record = scene.record(scene.world.node.link(), scene.clock.now());
    let dht = scene.dht().await;
    scene.put(&dht, &record).await.expect("stored");
    assert_eq!(bob.poll().await.expect("polls").nodes_reached, 0);
    scene.clock.forward(5 * MINUTE);

    let _live = bob.live();
    let arrives = async {
        while texts(&bob, &scene.channel) != ["still here"] {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let arrived = tokio::time::timeout(Duration::from_secs(60), arrives).await;
    arrived.expect("found in the DHT");
    scene.world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_node_the_first_poll_searches_and_the_next_waits() {
    let scene = Scene::new().await;
    let bob = scene.bob(&[], scene.mode.clone());
    assert!(matches!(bob.poll().await, Err(Error::NoNode)));

    let dht = scene.dht().await;
    let record = scene.record(scene.world.node.link(), scene.clock.now());
    scene.put(&dht, &record).await.expect("stored");
    // A quarter of an hour after the last search, also in a new process.
    scene.clock.forward(14 * MINUTE);
    assert!(matches!(bob.poll().await, Err(Error::NoNode)));
    bob.shutdown().await;
    let options = Options {
        clock: scene.clock.clone(),
        dht: scene.mode.clone(),
        ..Options::default()
    };
    let folder = scene.world.folder.path().join("Bob");
    let bob = Client::open(&folder, &StorageKey::from_bytes([1; 32]), options).expect("opens");
    assert!(matches!(bob.poll().await, Err(Error::NoNode)));
    scene.clock.forward(MINUTE);
    assert_eq!(bob.poll().await.expect("polls").nodes_reached, 1);
    assert_eq!(texts(&bob, &scene.channel), ["still here"]);
    scene.world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_cannot_be_believed_lead_nowhere() {
    let scene = Scene::new().await;
    let bob = scene.bob(&[gone()], scene.mode.clone());
    let dht = scene.dht().await;
    let now = scene.clock.now();
    let believed = elsewhere(100);
    let free = |number: &u8| scene.slot(&elsewhere(*number)) != scene.slot(&believed);
    let others: Vec<NodeLink> = (1..100).filter(free).map(elsewhere).collect();

    // Members may sign what they like: these two are of the past and of the future.
    let past = scene.record(&others[0], now.before(48 * 60 * MINUTE));
    scene.put(&dht, &past).await.expect("stored");
    let not_yet = others.iter().find(|node| scene.slot(node) != past.slot);
    let ahead = scene.record(not_yet.expect("many"), now.after(20 * MINUTE));
    scene.put(&dht, &ahead).await.expect("stored");
    // A stranger has no key, so the DHT itself refuses.
    let mut forged = scene.record(&believed, now);
    forged.value[40] ^= 1;
    let refused = scene.put(&dht, &forged).await;
    assert!(matches!(refused, Err(DhtError::TimedOut)), "{refused:?}");
    assert_eq!(bob.find_nodes().await.expect("searched"), 0);

    let good = scene.record(&believed, now);
    scene.put(&dht, &good).await.expect("stored");
    assert_eq!(bob.find_nodes().await.expect("searched"), 1);
    assert_eq!(links(&bob), [gone(), believed]);
    assert_eq!(bob.find_nodes().await.expect("searched"), 0, "it is known");
    scene.world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_that_fight_over_a_slot_hide_no_other() {
    let scene = Scene::new().await;
    let bob = scene.bob(&[gone()], scene.mode.clone());
    let (dht, now) = (scene.dht().await, scene.clock.now());
    let first = elsewhere(1);
    let mut nodes = (2..100).map(elsewhere);
    let second = nodes
        .find(|node| scene.slot(node) == scene.slot(&first))
        .expect("one in eight");
    let third = nodes
        .find(|node| scene.slot(node) != scene.slot(&first))
        .expect("seven in eight");
    let record = scene.record(&third, now);
    scene.put(&dht, &record).await.expect("stored");

    let fight = async {
        let other = scene.dht().await;
        for round in 0..6 {
            let (dht, node) = match round % 2 {
                0 => (&dht, &first),
                _ => (&other, &second),
            };
            let record = scene.record(node, now.after(Duration::from_secs(round)));
            // Either may come too late.
            let put = scene.put(dht, &record).await;
            assert!(
                matches!(put, Ok(()) | Err(DhtError::Stale | DhtError::Conflict)),
                "{put:?}"
            );
        }
    };
    let (_, found) = tokio::join!(fight, bob.find_nodes());
    assert!(found.expect("searched") >= 1);
    assert!(links(&bob).contains(&third));
    bob.find_nodes().await.expect("searched");
    let known = links(&bob);
    assert!(
        known.contains(&third) && known.contains(&second),
        "{known:?}"
    );
    scene.world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_it_searches_nothing_and_without_a_dht_it_says_so() {
    let scene = Scene::new().await;
    let bob = scene.bob(&[], DhtMode::Off);
    assert_eq!(bob.find_nodes().await.expect("nothing"), 0);
    assert!(matches!(bob.poll().await, Err(Error::NoNode)));
    bob.shutdown().await;

    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let silent = nobody.local_addr().expect("bound").to_string();
    let options = Options {
        dht: silent.parse().expect("an address"),
        ..Options::default()
    };
    let folder = scene.world.folder.path().join("Bob");
    let bob = Client::open(&folder, &StorageKey::from_bytes([1; 32]), options).expect("opens");
    let searched = bob.find_nodes().await;
    assert!(
        matches!(searched, Err(Error::Dht(DhtError::NoNodes))),
        "{searched:?}"
    );
    assert!(matches!(bob.poll().await, Err(Error::NoNode)));
    scene.world.node.stop().await;
}
