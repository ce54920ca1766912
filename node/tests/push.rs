//! Clients that are woken by push, over real QUIC and HTTP: the challenge, the wake-up, and what becomes of endpoints.

#[path = "push/service.rs"]
mod service;
#[allow(dead_code, reason = "each test program uses a part of it")]
mod world;

use std::{sync::Arc, time::Duration};

use ailurus::{
    channel::{AccessKind, ChannelId, PushMessage},
    client::{Client, Options, PushState, PushTrouble},
    crypto::NodeKey,
    store::StorageKey,
};
use ailurus_node::{Config, Node, Push, SystemClock};
use tempfile::TempDir;

use service::{Answer, PushService, Received, Subscription, verified};
use world::invite;

/// A node that pushes to this machine, and Alice and Bob in one channel.
struct World {
    folder: TempDir,
    node: Option<Node>,
    config: Config,
    alice: Client,
    bob: Client,
    channel: ChannelId,
}

impl World {
    async fn new(change: impl FnOnce(&mut Push)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listen = "127.0.0.1:0".parse().expect("an address");
        let mut config = Config::new(folder.path().join("node"), listen);
        config.push.test_loopback = true;
        change(&mut config.push);
        let node = start(&config);
        let person = |name: &str| {
            let key = StorageKey::from_bytes([1; 32]);
            let nodes = [node.link().clone()];
            let folder = folder.path().join(name);
            Client::create(&folder, &key, name, &nodes, Options::default()).expect("a profile")
        };
        let (alice, bob) = (person("Alice"), person("Bob"));
        let channel = alice.create_channel("family").expect("a channel");
        let link = invite(&alice, &channel, AccessKind::Full);
        bob.join(&link, None).expect("joined");
        let world = Self {
            folder,
            node: Some(node),
            config,
            alice,
            bob,
            channel,
        };
        world.settle().await;
        world
    }

    /// Until both know each other and nothing waits.
    async fn settle(&self) {
        for _ in 0..2 {
            self.alice.poll().await.expect("polled");
            self.bob.poll().await.expect("polled");
        }
    }

    fn id(&self) -> NodeKey {
        *self.node.as_ref().expect("it runs").link().key()
    }

    fn state(&self) -> PushState {
        self.bob.push_status(&self.id()).expect("known").state
    }

    async fn say(&self, text: &str) {
        self.alice.send(&self.channel, text).expect("queued");
        self.alice.poll().await.expect("polled");
    }

    /// Bob subscribes and the challenge goes to and fro.
    async fn confirm(&self, service: &mut PushService, subscription: &Subscription) {
        self.bob
            .set_push(&self.id(), &subscription.target())
            .expect("set");
        assert_eq!(self.state(), PushState::Waiting);
        self.bob.poll().await.expect("polled");
        assert_eq!(self.state(), PushState::Challenged);
        let challenge = subscription.open(&service.next().await);
        self.bob.on_push(&challenge).await.expect("taken");
        assert_eq!(self.state(), PushState::Confirmed);
    }

    async fn restart(&mut self) {
        self.node.take().expect("it runs").stop().await;
        self.node = Some(start(&self.config));
    }
}

fn start(config: &Config) -> Node {
    Node::start(config.clone(), Arc::new(SystemClock::default())).expect("a node")
}

/// Nothing comes for so long.
async fn is_quiet(service: &mut PushService, time: Duration) {
    let came = service.within(time).await;
    assert!(came.is_none(), "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_endpoint_is_woken_without_content_and_once() {
    let mut service = PushService::start().await;
    let world = World::new(|_| ()).await;
    let key = world.bob.push_key(&world.id()).await.expect("asked");
    let key = key.expect("it pushes");
    let subscription = service.subscribe("bob");
    assert_eq!(world.state(), PushState::Off);
    world
        .bob
        .set_push(&world.id(), &subscription.target())
        .expect("set");
    world.bob.poll().await.expect("polled");
    let challenge = service.next().await;
    let payload = subscription.open(&challenge);
    assert!(matches!(
        PushMessage::parse(&payload),
        PushMessage::Challenge { node, .. } if node == world.id()
    ));

    // Nobody is woken before the challenge came back.
    world.say("too early").await;
    is_quiet(&mut service, Duration::from_secs(1)).await;
    assert_eq!(world.state(), PushState::Challenged);
    world.bob.on_push(&payload).await.expect("taken");
    assert_eq!(world.state(), PushState::Confirmed);

    world.say("hello").await;
    let wakeup = service.next().await;
    assert_eq!(wakeup.path, "/bob");
    let payload = subscription.open(&wakeup);
    assert_eq!(payload, PushMessage::Wakeup.to_bytes());
    for received in [&challenge, &wakeup] {
        let (signed_by, claims) = verified(received);
        assert_eq!(signed_by, key.as_bytes());
        assert_eq!(claims["aud"], service.url("").trim_end_matches('/'));
        assert!(received.headers.contains_key("ttl"));
    }
    assert_eq!(
        challenge.body.len(),
        wakeup.body.len(),
        "no difference shows"
    );

    // As long as Bob has not polled, nothing more comes.
    for text in ["one", "two", "three"] {
        world.say(text).await;
    }
    is_quiet(&mut service, Duration::from_secs(2)).await;
    let report = world.bob.on_push(&payload).await.expect("woken");
    assert_eq!(report.messages.len(), 4);

    // What Bob sends wakes nobody here, and the next message wakes him after a quiet period.
    world.bob.send(&world.channel, "all read").expect("queued");
    world.bob.poll().await.expect("polled");
    is_quiet(&mut service, Duration::from_secs(1)).await;
    world.say("again").await;
    let again = service.next().await;
    assert!(again.at - wakeup.at >= Duration::from_secs(4));
    assert_eq!(subscription.open(&again), payload);
}
