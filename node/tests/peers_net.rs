//! Real nodes on loopback that complete each other.

mod common;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use ailurus::{
    channel::{
        AddressKeys, Envelope, Epoch, NewChannel, NodeLink, delegation_statement, lease_statement,
        record::{own_slots, salt},
    },
    crypto::{NodeSecret, OsEntropy},
    net::{Connection, Dht, DhtMode, NodeEndpoint, NodeOptions},
    wire::{
        content::NodeHint,
        limits::MAX_FRAME,
        node::{
            Announce, Announcement, Lease, Published, Record, Request, Response, request,
            response::Kind,
        },
        time::{Clock, UnixMillis},
    },
};
use ailurus_node::{Config, Limits, Node, Service, Session, Store, SystemClock};
use bytes::Bytes;
use prost::Message as _;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use common::{
    wire::{PATIENCE, Phone, Stream, ask, sync},
    *,
};

/// The system's clock, which a test may put forward.
#[derive(Default)]
struct Shifted {
    system: SystemClock,
    millis: AtomicI64,
}

impl Shifted {
    fn forward(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("some days");
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Shifted {
    fn now(&self) -> UnixMillis {
        self.system.now().offset(self.millis.load(Ordering::SeqCst))
    }
}

struct World {
    dir: TempDir,
    clock: Arc<Shifted>,
}

impl World {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a directory"),
            clock: Arc::default(),
        }
    }

    fn node(&self, name: &str) -> Node {
        self.node_in(name, DhtMode::Off)
    }

    fn node_in(&self, name: &str, dht: DhtMode) -> Node {
        let listen = "127.0.0.1:0".parse().expect("an address");
        let mut config = Config::new(self.dir.path().join(name), listen);
        config.dht = dht;
        let clock: Arc<dyn Clock> = Arc::<Shifted>::clone(&self.clock);
        Node::start(config, clock).expect("a node")
    }

    fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// A member registers the channel at a node and tells it of others.
    async fn join(&self, link: &NodeLink, channel: &Channel, peers: &[&NodeLink]) -> Member {
        let phone = Phone::new(link);
        let connection = phone.connect().await;
        let epoch = Epoch::of(self.now());
        assert_eq!(phone.register(&connection, channel, epoch).await, []);
        let announcement = Announcement {
            peers: peers.iter().map(|peer| hint(peer)).collect(),
            ..delegated(link, epoch, &channel.keys(epoch))
        };
        announce(&connection, announcement).await;
        Member { phone, connection }
    }
}

struct Member {
    phone: Phone,
    connection: Connection,
}

impl Member {
    async fn publish(&self, channel: &Channel, envelopes: &[Envelope]) {
        for part in envelopes.chunks(400) {
            let answer = ask(&self.connection, &channel.publish(part)).await;
            assert_eq!(refusals(&[answer]), []);
        }
    }

    /// Waits until the node has so many envelopes, each of which it gives once.
    async fn until(&self, count: usize) {
        let (mut found, mut cursor) = (0, Bytes::new());
        let waiting = async {
            while found < count {
                sleep(Duration::from_millis(30)).await;
                let new = sync(&self.connection, cursor.clone()).await;
                found += new.envelopes.len();
                if let Some(next) = new.cursor {
                    cursor = next;
                }
            }
        };
        let all = timeout(PATIENCE * 3, waiting).await;
        assert!(all.is_ok(), "{found} of {count}");
        assert_eq!(found, count);
    }
}

fn delegated(link: &NodeLink, epoch: Epoch, keys: &AddressKeys) -> Announcement {
    let until = epoch.lease_end().as_secs();
    let statement = delegation_statement(link.key(), &keys.address, until);
    Announcement {
        address: Bytes::copy_from_slice(keys.address.as_bytes()),
        until,
        delegation: Bytes::copy_from_slice(&keys.access.sign(&statement)),
        ..Announcement::default()
    }
}

async fn announce(connection: &Connection, announcement: Announcement) {
    let announce = Announce {
        announcements: vec![announcement],
    };
    let answer = ask(connection, &request(request::Kind::Announce(announce))).await;
    let Some(Kind::Announced(announced)) = answer.kind else {
        panic!("{answer:?}");
    };
    assert_eq!(announced.refusals, []);
}

fn hint(link: &NodeLink) -> NodeHint {
    NodeHint {
        key: Bytes::copy_from_slice(link.key().as_bytes()),
        host: link.host().to_owned(),
        port: u32::from(link.port()),
    }
}

async fn linked(nodes: &[&Node], links: i64) {
    let waiting = async {
        while nodes
            .iter()
            .map(|node| node.metrics().peer_links.get())
            .sum::<i64>()
            != links
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE * 6, waiting).await.expect("linked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_at_one_node_reaches_who_follows_at_the_other() {
    let world = World::new();
    let (a, b) = (world.node("a"), world.node("b"));
    let mut channel = Channel::new(1);
    let before = channel.envelopes(world.now().offset(-60_000), 300, 20);
    let alice = world.join(a.link(), &channel, &[a.link(), b.link()]).await;
    alice.publish(&channel, &before).await;
    let bob = world.join(b.link(), &channel, &[a.link(), b.link()]).await;
    linked(&[&a, &b], 1).await;
    bob.until(20).await;
    for (from, to, node) in [(&alice, &bob, &b), (&bob, &alice, &a)] {
        let (mut stream, _) = to.phone.follow(&to.connection, Bytes::new()).await;
        let sent = channel.envelopes(world.now(), 300, 3);
        let large = channel.envelope(world.now().offset(10), 30_000);
        from.publish(&channel, &sent).await;
        from.publish(&channel, std::slice::from_ref(&large)).await;
        let mut got = Synced::default();
        while got.envelopes.len() < 3 || got.apart.is_empty() {
            got.add(stream.next().await.expect("a push"));
        }
        assert_eq!(got.of_address(channel.address(world.now())), sealed(&sent));
        let fetched = ask(&to.connection, &fetch(&large)).await;
        assert!(matches!(fetched.kind, Some(Kind::Batch(_))), "{fetched:?}");
        assert_eq!(node.metrics().repeated.get(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_for_six_days_is_complete_at_once() {
    let world = World::new();
    // So that all six days are of one address.
    let epoch = Epoch::of(world.now()).next();
    world.clock.forward(epoch.start().since(world.now()) + HOUR);
    let (a, b) = (world.node("a"), world.node("b"));
    let (link_a, link_b) = (a.link().clone(), b.link().clone());
    let mut channel = Channel::new(1);
    let alice = world.join(&link_a, &channel, &[&link_b]).await;
    let bob = world.join(&link_b, &channel, &[&link_a]).await;
    linked(&[&a, &b], 1).await;
    drop(bob);
    b.stop().await;
    let mut total = 0;
    for _ in 0..6 {
        let sent = channel.envelopes(world.now(), 300, 300);
        alice.publish(&channel, &sent).await;
        total += sent.len();
        world.clock.forward(DAY);
    }
    let b = world.node("b");
    linked(&[&a, &b], 1).await;
    let bob = world.join(&link_b, &channel, &[&link_a]).await;
    bob.until(total).await;
    assert_eq!(b.metrics().repeated.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_nodes_pass_each_envelope_over_each_link_once() {
    let world = World::new();
    let nodes: Vec<Node> = (0..5).map(|n| world.node(&format!("n{n}"))).collect();
    let links: Vec<&NodeLink> = nodes.iter().map(Node::link).collect();
    let mut channel = Channel::new(1);
    let mut members = Vec::new();
    for node in &nodes {
        members.push(world.join(node.link(), &channel, &links).await);
    }
    linked(&nodes.iter().collect::<Vec<_>>(), 10).await;
    // The first reconciliations are over.
    sleep(Duration::from_millis(500)).await;
    for (n, member) in members.iter().enumerate() {
        let time = world.now().offset(n as i64 * 100);
        let sent = channel.envelopes(time, 300, 4);
        member.publish(&channel, &sent).await;
    }
    for member in &members {
        member.until(20).await;
    }
    for node in &nodes {
        assert_eq!(node.metrics().accepted.get(), 20);
        assert_eq!(node.metrics().repeated.get(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_death_amid_reconciliation() {
    let world = World::new();
    let mut channel = Channel::new(1);
    let a = world.node("a");
    let link_a = a.link().clone();
    let alice = world.join(&link_a, &channel, &[]).await;
    let sent = channel.envelopes(world.now().offset(-100_000), 300, 15_000);
    alice.publish(&channel, &sent).await;
    let mut b = world.node("b");
    let link_b = b.link().clone();
    let own = channel.envelopes(world.now(), 300, 50);
    let bob = world.join(&link_b, &channel, &[&link_a]).await;
    bob.publish(&channel, &own).await;
    drop(bob);
    world.join(&link_a, &channel, &[&link_b]).await;
    let mut deaths = 0;
    for _ in 0..3 {
        let waiting = async {
            let metrics = b.metrics();
            let before = metrics.accepted.get();
            while metrics.accepted.get() < before + 600 && metrics.envelopes.get() < 15_050 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        // The one with the greater key waits for the other to dial, and news of peers is read every ten seconds.
        if timeout(6 * PATIENCE, waiting).await.is_err() || b.metrics().envelopes.get() >= 15_050 {
            break;
        }
        drop(b);
        deaths += 1;
        b = again(&world, "b").await;
    }
    assert!(deaths > 0, "it died before it was complete");
    let bob = world.join(&link_b, &channel, &[&link_a]).await;
    bob.until(15_050).await;
    // A connection that idled for so long may be gone.
    let alice = world.join(&link_a, &channel, &[&link_b]).await;
    alice.until(15_050).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dropped_node_still_commits_is_seen_by_the_next() {
    let world = World::new();
    let mut channel = Channel::new(1);
    let node = world.node("a");
    let link = node.link().clone();
    let alice = world.join(&link, &channel, &[]).await;
    let sent = channel.envelopes(world.now().offset(-100_000), 300, 6_000);
    let mut stream = Stream::open(&alice.connection).await;
    for part in sent.chunks(400) {
        stream.send(&channel.publish(part)).await;
    }
    let committing = async {
        while node.metrics().accepted.get() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, committing).await.expect("a commit");
    // By now the rest is on its way.
    sleep(Duration::from_millis(100)).await;
    let before = node.metrics().accepted.get();
    drop(node);
    assert!(before < 6_000, "it is dropped while it commits");
    let _next = again(&world, "a").await;
    // Time for whoever might still write.
    sleep(Duration::from_secs(1)).await;
    let alice = world.join(&link, &channel, &[]).await;
    let seen = sync(&alice.connection, Bytes::new()).await.envelopes.len();
    let database = world.dir.path().join("a").join("node.db");
    let database = rusqlite::Connection::open(database).expect("opens");
    let count: i64 = database
        .query_row("SELECT count(*) FROM envelopes", [], |row| row.get(0))
        .expect("counted");
    assert_eq!(i64::try_from(seen), Ok(count));
}

/// Threads of a node that was dropped hold its files for a moment.
async fn again(world: &World, name: &str) -> Node {
    let listen = "127.0.0.1:0".parse().expect("an address");
    for _ in 0..100 {
        let config = Config::new(world.dir.path().join(name), listen);
        let clock: Arc<dyn Clock> = Arc::<Shifted>::clone(&world.clock);
        if let Ok(node) = Node::start(config, clock) {
            return node;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the node does not start again");
}

/// A node that answers like any other, but keeps nothing of what it is given.
struct Forgetful {
    endpoint: Arc<NodeEndpoint>,
    link: NodeLink,
}

impl Forgetful {
    fn start(dir: &Path, clock: Arc<Shifted>) -> Self {
        let secret = NodeSecret::random(&mut OsEntropy);
        let store = Arc::new(Store::open(&dir.join("forgetful.db")).expect("a database"));
        let service = Arc::new(Service::new(store, Limits::default(), secret.public()));
        let listen = "127.0.0.1:0".parse().expect("an address");
        let endpoint = NodeEndpoint::bind(listen, &secret, NodeOptions::default());
        let endpoint = Arc::new(endpoint.expect("bound"));
        let port = endpoint.local_addr().expect("bound").port();
        let link = NodeLink::new(secret.public(), "127.0.0.1", port).expect("a link");
        tokio::spawn(Self::accept(Arc::clone(&endpoint), service, clock));
        Self { endpoint, link }
    }

    async fn accept(endpoint: Arc<NodeEndpoint>, service: Arc<Service>, clock: Arc<Shifted>) {
        while let Some(incoming) = endpoint.accept().await {
            let (service, clock) = (Arc::clone(&service), Arc::clone(&clock));
            tokio::spawn(async move {
                let Ok(connection) = incoming.handshake().await else {
                    return;
                };
                while let Ok((mut sender, mut receiver)) = connection.accept().await {
                    let session = Session {
                        pseudonym: connection.peer_pseudonym().expect("a client"),
                        early: false,
                        exporter: connection.exporter().ok(),
                        network: None,
                    };
                    let (service, clock) = (Arc::clone(&service), Arc::clone(&clock));
                    tokio::spawn(async move {
                        let mut following = false;
                        while let Ok(Some(body)) = receiver.next(MAX_FRAME).await {
                            let request = Request::decode(body).expect("a request");
                            let answers = match &request.kind {
                                Some(request::Kind::Publish(_)) => vec![Response {
                                    kind: Some(Kind::Published(Published::default())),
                                }],
                                _ => {
                                    following |= matches!(&request.kind, Some(request::Kind::Sync(sync)) if sync.follow);
                                    service.handle(&session, clock.now(), request)
                                }
                            };
                            for answer in answers {
                                if sender.send(&answer.encode_to_vec()).await.is_err() {
                                    return;
                                }
                            }
                        }
                        if following {
                            std::future::pending::<()>().await;
                        }
                    });
                }
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_acknowledges_and_drops_is_left() {
    let world = World::new();
    let mut channel = Channel::new(1);
    let forgetful = Forgetful::start(world.dir.path(), Arc::clone(&world.clock));
    let (a, honest) = (world.node("a"), world.node("honest"));
    let all = [a.link(), honest.link(), &forgetful.link];
    world.join(&forgetful.link, &channel, &[]).await;
    let bob = world.join(honest.link(), &channel, &all).await;
    let alice = world.join(a.link(), &channel, &all).await;
    let sent = channel.envelopes(world.now(), 300, 10);
    alice.publish(&channel, &sent).await;
    bob.until(10).await;
    // It is dialled at once or, by the greater key, after a while.
    let waiting = async {
        while a.metrics().peers_distrusted.get() + honest.metrics().peers_distrusted.get() < 2 {
            sleep(Duration::from_millis(300)).await;
            world.clock.forward(Duration::from_secs(60));
        }
    };
    timeout(PATIENCE * 4, waiting).await.expect("found out");
    let now = a.metrics().peers_withheld.get();
    world.clock.forward(HOUR * 20);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(a.metrics().peers_withheld.get(), now);
    assert_eq!(a.metrics().peers_distrusted.get(), 1);
    assert_eq!(honest.metrics().peers_distrusted.get(), 1);
    // The honest two are still together.
    linked(&[&a, &honest], 1).await;
    forgetful.endpoint.close(0, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_nobody_named_find_each_other_in_the_dht() {
    let world = World::new();
    let network = mainline::Testnet::builder(12)
        .build()
        .expect("sockets on loopback");
    let mode = DhtMode::Bootstrap(network.bootstrap.iter().take(3).cloned().collect());
    let epoch = Epoch::of(world.now());
    let access = NewChannel::create(epoch, &mut OsEntropy).access;
    let keys = access.address_keys(epoch).expect("an honest channel");
    let signer = access
        .record_signer(epoch)
        .expect("derived")
        .expect("a writer");
    let secret = access.record_secret(epoch);
    let (a, b) = (
        world.node_in("a", mode.clone()),
        world.node_in("b", mode.clone()),
    );
    let join = async |node: &Node, record: Option<Record>| {
        let link = node.link();
        let phone = Phone::new(link);
        let connection = phone.connect().await;
        let end = epoch.lease_end().as_secs();
        let statement = lease_statement(
            &connection.exporter().expect("complete"),
            link.key().as_bytes(),
            phone.pseudonym.as_bytes(),
            &keys.address,
            end,
        );
        let lease = Lease {
            blinded_key: Bytes::copy_from_slice(keys.blinded.as_bytes()),
            access_key: Bytes::copy_from_slice(keys.access.public().as_bytes()),
            epoch: epoch.number(),
            lease_end: end,
            proof: Bytes::copy_from_slice(&keys.access.sign(&statement)),
            ..Lease::default()
        };
        assert_eq!(
            refusals(&[ask(&connection, &register(vec![lease])).await]),
            []
        );
        let announcement = Announcement {
            record_key: Bytes::copy_from_slice(signer.key().as_bytes()),
            record_secret: Bytes::copy_from_slice(secret.expose()),
            records: record.into_iter().collect(),
            ..delegated(link, epoch, &keys)
        };
        announce(&connection, announcement).await;
    };
    let record = signer.sign(
        &secret,
        a.link(),
        own_slots(a.link().key(), signer.key())[0],
        world.now(),
        &mut OsEntropy,
    );
    join(&a, Some(record.to_wire())).await;
    let dht = Dht::client(&mode)
        .await
        .expect("a socket")
        .expect("it is on");
    let slot = salt(own_slots(a.link().key(), signer.key())[0]);
    let put = async {
        while dht
            .read(signer.key().as_bytes(), &slot)
            .await
            .expect("nodes answer")
            .is_none()
        {
            sleep(Duration::from_millis(300)).await;
        }
    };
    timeout(PATIENCE * 3, put).await.expect("put");
    join(&b, None).await;
    linked(&[&a, &b], 1).await;
}
