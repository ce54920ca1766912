//! Clients that are woken by push, over real QUIC and HTTP: the challenge, the wake-up, and what becomes of endpoints.

#[path = "push/service.rs"]
mod service;
#[allow(dead_code, reason = "each test program uses a part of it")]
mod world;

use std::{sync::Arc, time::Duration};

use ailurus::{
    channel::{AccessKind, ChannelId, PushChallenge, PushMessage},
    client::{Client, Event, Options, PushState, PushTarget, PushTrouble},
    crypto::NodeKey,
    store::StorageKey,
};
use ailurus_node::{Config, Node, Push, SystemClock};
use base64ct::{Base64UrlUnpadded, Encoding};
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
        let node = start(&config).await;
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

    /// Somebody else in the channel.
    async fn another(&self, name: &str) -> Client {
        let key = StorageKey::from_bytes([1; 32]);
        let nodes = [self.node.as_ref().expect("it runs").link().clone()];
        let folder = self.folder.path().join(name);
        let client =
            Client::create(&folder, &key, name, &nodes, Options::default()).expect("a profile");
        let link = invite(&self.alice, &self.channel, AccessKind::Full);
        client.join(&link, None).expect("joined");
        client.poll().await.expect("polled");
        client
    }

    async fn restart(&mut self) {
        self.node.take().expect("it runs").stop().await;
        self.node = Some(start(&self.config).await);
    }
}

/// The port of a node that stopped may be taken for a moment longer.
async fn start(config: &Config) -> Node {
    for _ in 0..100 {
        if let Ok(node) = Node::start(config.clone(), Arc::new(SystemClock::default())) {
            return node;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the node does not start");
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

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_by_name_and_a_restart_keeps_key_and_endpoint() {
    let certificates = tempfile::tempdir().expect("a folder");
    let mut service = PushService::start_tls(certificates.path()).await;
    let ca = service.ca.clone();
    let mut world = World::new(|push| push.test_ca = ca).await;
    let key = world.bob.push_key(&world.id()).await.expect("asked");
    let subscription = service.subscribe("bob");
    world.confirm(&mut service, &subscription).await;
    world.restart().await;
    world.bob.poll().await.expect("polled");
    assert_eq!(world.state(), PushState::Confirmed);
    world.say("after the restart").await;
    let wakeup = service.next().await;
    assert_eq!(subscription.open(&wakeup), PushMessage::Wakeup.to_bytes());
    let (signed_by, _) = verified(&wakeup);
    assert_eq!(signed_by, key.expect("it pushes").as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_trusts_is_no_push_service() {
    let certificates = tempfile::tempdir().expect("a folder");
    let mut service = PushService::start_tls(certificates.path()).await;
    let world = World::new(|_| ()).await;
    let subscription = service.subscribe("bob");
    world
        .bob
        .set_push(&world.id(), &subscription.target())
        .expect("set");
    world.bob.poll().await.expect("polled");
    is_quiet(&mut service, Duration::from_secs(2)).await;
    assert_eq!(world.state(), PushState::Challenged);
}

/// The node refuses it when it is set, or finds out when it looks the name up.
#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_however_they_are_written() {
    let mut service = PushService::start().await;
    let port = service
        .url("")
        .rsplit_once(':')
        .expect("a port")
        .1
        .to_owned();
    let hosts = [
        ("private.test", vec!["10.0.0.1", "192.168.1.1"]),
        ("mapped.test", vec!["::ffff:127.0.0.1"]),
        ("translated.test", vec!["64:ff9b::7f00:1"]),
        ("loopback.test", vec!["127.0.0.1", "::1"]),
        ("metadata.test", vec!["169.254.169.254"]),
        ("unique.test", vec!["fd00::1"]),
        ("sixtofour.test", vec!["2002:7f00:1::1"]),
    ];
    let parsed = |ips: &[&str]| {
        ips.iter()
            .map(|ip| ip.parse().expect("an address"))
            .collect()
    };
    let named = hosts.clone();
    let world = World::new(|push| {
        push.test_loopback = false;
        push.test_hosts = named
            .iter()
            .map(|(name, ips)| ((*name).to_owned(), parsed(ips)))
            .collect();
    })
    .await;
    let literal = [
        format!("http://127.0.0.1:{port}bob"),
        format!("https://127.0.0.1:{port}bob"),
        format!("https://[::ffff:127.0.0.1]:{port}bob"),
        "https://10.0.0.1/bob".to_owned(),
        "https://localhost/bob".to_owned(),
        "http://push.example.net/bob".to_owned(),
    ];
    for endpoint in literal {
        let subscription = Subscription::at(endpoint.clone());
        world
            .bob
            .set_push(&world.id(), &subscription.target())
            .expect("set");
        world.bob.poll().await.expect("polled");
        let dropped = PushState::Dropped(PushTrouble::NotPublic);
        assert_eq!(world.state(), dropped, "{endpoint}");
    }
    // By name they are found out when a request is to be sent. Each is another client, as each may try once a minute.
    for (name, _) in hosts {
        let client = world.another(name).await;
        let subscription = Subscription::at(format!("https://{name}:{port}bob"));
        client
            .set_push(&world.id(), &subscription.target())
            .expect("set");
        client.poll().await.expect("polled");
        let mut state = PushState::Challenged;
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            client.poll().await.expect("polled");
            state = client.push_status(&world.id()).expect("known").state;
            if state != PushState::Challenged {
                break;
            }
        }
        assert_eq!(state, PushState::Dropped(PushTrouble::NotPublic), "{name}");
    }
    assert!(service.drain().is_empty(), "nothing was sent");
}

/// A name that leads to several places: the request goes to one that was checked.
#[tokio::test(flavor = "multi_thread")]
async fn of_several_addresses_only_a_checked_one_is_used() {
    let mut service = PushService::start().await;
    let world = World::new(|push| {
        let ips = ["10.0.0.1", "127.0.0.1"].map(|ip| ip.parse().expect("an address"));
        push.test_hosts = [("localhost".to_owned(), ips.into())].into();
    })
    .await;
    let url = service.url("bob").replace("127.0.0.1", "localhost");
    let subscription = Subscription::at(url);
    world.confirm(&mut service, &subscription).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    let mut service = PushService::start().await;
    let mut inner = PushService::start().await;
    let world = World::new(|_| ()).await;
    for status in [301, 302, 303, 307, 308] {
        let path = format!("moved{status}");
        let elsewhere = Answer::status(status).with("location", &inner.url("secret"));
        service.answer(&path, elsewhere);
        let client = world.another(&path).await;
        client
            .set_push(&world.id(), &service.subscribe(&path).target())
            .expect("set");
        client.poll().await.expect("polled");
        assert_eq!(service.next().await.path, format!("/{path}"));
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.poll().await.expect("polled");
        let state = client.push_status(&world.id()).expect("known").state;
        assert_eq!(state, PushState::Dropped(PushTrouble::Refused), "{status}");
    }
    assert!(inner.drain().is_empty(), "nobody was sent elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_is_dropped_and_the_client_told() {
    let mut service = PushService::start().await;
    let world = World::new(|_| ()).await;
    for status in [404, 410] {
        let path = format!("gone{status}");
        let client = world.another(&path).await;
        let subscription = service.subscribe(&path);
        client
            .set_push(&world.id(), &subscription.target())
            .expect("set");
        client.poll().await.expect("polled");
        let challenge = subscription.open(&service.next().await);
        client.on_push(&challenge).await.expect("taken");
        service.answer(&path, Answer::status(status));
        world.say("is anybody there?").await;
        assert_eq!(service.next().await.path, format!("/{path}"));
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.say("nobody").await;
        is_quiet(&mut service, Duration::from_secs(1)).await;
        client.poll().await.expect("polled");
        let state = client.push_status(&world.id()).expect("known").state;
        assert_eq!(state, PushState::Dropped(PushTrouble::Gone), "{status}");
        // A new subscription takes its place, after a minute.
        let again = service.subscribe("again");
        client.set_push(&world.id(), &again.target()).expect("set");
        client.poll().await.expect("polled");
        let state = client.push_status(&world.id()).expect("known").state;
        assert_eq!(state, PushState::Waiting, "too soon");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_busy_is_asked_again_later() {
    let mut service = PushService::start().await;
    let world = World::new(|_| ()).await;
    let subscription = service.subscribe("bob");
    world.confirm(&mut service, &subscription).await;
    for status in [429, 503] {
        world.bob.poll().await.expect("polled");
        service.answer("bob", Answer::status(status).with("retry-after", "12"));
        world.say("hello").await;
        let first = service.next().await;
        service.answer("bob", Answer::status(201));
        let second = service.next().await;
        assert!(second.at - first.at >= Duration::from_secs(12), "{status}");
        assert_eq!(subscription.open(&second), PushMessage::Wakeup.to_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_messages_is_one_wakeup_and_a_slow_service_holds_up_nobody() {
    let mut service = PushService::start().await;
    let mut slow = PushService::start().await;
    let world = World::new(|_| ()).await;
    let carol = world.another("carol").await;
    let at_slow = slow.subscribe("carol");
    carol.set_push(&world.id(), &at_slow.target()).expect("set");
    carol.poll().await.expect("polled");
    let challenge = at_slow.open(&slow.next().await);
    carol.on_push(&challenge).await.expect("taken");
    let mut stuck = Answer::status(201);
    stuck.after = Duration::from_secs(60);
    slow.answer("carol", stuck);
    let subscription = service.subscribe("bob");
    world.confirm(&mut service, &subscription).await;

    for number in 0..300 {
        let text = format!("message {number}");
        world.alice.send(&world.channel, &text).expect("queued");
        if number % 25 == 0 {
            world.alice.poll().await.expect("polled");
        }
    }
    world.alice.poll().await.expect("polled");
    service.next().await;
    is_quiet(&mut service, Duration::from_secs(3)).await;
    assert_eq!(slow.drain().len(), 1);
    let report = world.bob.poll().await.expect("polled");
    assert_eq!(report.messages.len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withdrawn_or_ends_with_the_registration_is_not_pushed_to() {
    let mut service = PushService::start().await;
    let world = World::new(|_| ()).await;
    let subscription = service.subscribe("bob");
    world.confirm(&mut service, &subscription).await;
    world.bob.clear_push(&world.id()).expect("cleared");
    assert_eq!(world.state(), PushState::Withdrawing);
    world.bob.poll().await.expect("polled");
    assert_eq!(world.state(), PushState::Off);
    world.say("quiet").await;
    is_quiet(&mut service, Duration::from_secs(2)).await;

    let carol = world.another("carol").await;
    let subscription = service.subscribe("carol");
    carol
        .set_push(&world.id(), &subscription.target())
        .expect("set");
    carol.poll().await.expect("polled");
    let challenge = subscription.open(&service.next().await);
    carol.on_push(&challenge).await.expect("taken");
    carol.leave(&world.channel).expect("left");
    carol.poll().await.expect("polled");
    world.say("still quiet").await;
    is_quiet(&mut service, Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_connected_is_not_woken() {
    let mut service = PushService::start().await;
    let world = World::new(|_| ()).await;
    let subscription = service.subscribe("bob");
    world.confirm(&mut service, &subscription).await;
    let mut events = world.bob.events();
    let live = world.bob.live();
    loop {
        let event = world::next(&mut events).await.expect("an event");
        if matches!(
            event,
            Event::Connected {
                connected: true,
                ..
            }
        ) {
            break;
        }
    }
    world.say("you are here").await;
    is_quiet(&mut service, Duration::from_secs(2)).await;
    drop(live);
    loop {
        let event = world::next(&mut events).await.expect("an event");
        if matches!(
            event,
            Event::Connected {
                connected: false,
                ..
            }
        ) {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.say("you are not").await;
    service.next().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_told_platform_and_token() {
    let mut gateway = PushService::start().await;
    let url = gateway.url("wake");
    let world = World::new(|push| push.gateway = Some(url)).await;
    let target = PushTarget::Gateway {
        platform: "fcm".to_owned(),
        token: "token-of-bob".to_owned(),
    };
    let key = world.bob.push_key(&world.id()).await.expect("asked");
    assert!(world.bob.push_status(&world.id()).expect("known").gateway);
    world.bob.set_push(&world.id(), &target).expect("set");
    world.bob.poll().await.expect("polled");
    let told = |received: &Received| -> (serde_json::Value, Vec<u8>) {
        assert_eq!(received.path, "/wake");
        let (signed_by, _) = verified(received);
        assert_eq!(signed_by, key.expect("it pushes").as_bytes());
        let body: serde_json::Value = serde_json::from_slice(&received.body).expect("JSON");
        let payload = body["payload"].as_str().expect("text");
        let payload = Base64UrlUnpadded::decode_vec(payload).expect("base64url");
        (body, payload)
    };
    let challenge = gateway.next().await;
    let (body, payload) = told(&challenge);
    assert_eq!(body["version"], 1);
    assert_eq!(body["platform"], "fcm");
    assert_eq!(body["token"], "token-of-bob");
    world.bob.on_push(&payload).await.expect("taken");
    assert_eq!(world.state(), PushState::Confirmed);
    for text in ["one", "two", "three"] {
        world.say(text).await;
    }
    let wakeup = gateway.next().await;
    let (_, payload) = told(&wakeup);
    assert_eq!(payload, PushMessage::Wakeup.to_bytes());
    assert_eq!(wakeup.body.len(), challenge.body.len());
    is_quiet(&mut gateway, Duration::from_secs(2)).await;
    // The gateway says that the token is gone.
    gateway.answer("wake", Answer::status(410));
    world.bob.poll().await.expect("polled");
    world.say("four").await;
    gateway.next().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.bob.poll().await.expect("polled");
    assert_eq!(world.state(), PushState::Dropped(PushTrouble::Gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_foreign_challenges_confirm_nothing() {
    let mut service = PushService::start().await;
    let world = World::new(|_| ()).await;
    let subscription = service.subscribe("bob");
    world
        .bob
        .set_push(&world.id(), &subscription.target())
        .expect("set");
    world.bob.poll().await.expect("polled");
    let real = subscription.open(&service.next().await);
    let forged = PushMessage::Challenge {
        node: world.id(),
        challenge: PushChallenge::from_bytes([7; 16]),
    };
    let foreign = PushMessage::Challenge {
        node: NodeKey::from_bytes([8; 32]),
        challenge: PushChallenge::from_bytes([7; 16]),
    };
    for payload in [
        &forged.to_bytes()[..],
        &foreign.to_bytes(),
        b"",
        &[0xff; 4_096],
    ] {
        world.bob.on_push(payload).await.expect("a wake-up");
        assert_eq!(world.state(), PushState::Challenged);
    }
    // Carol gets hold of Bob's endpoint: the challenge for her comes to him, and hers is never confirmed.
    let carol = world.another("carol").await;
    carol
        .set_push(&world.id(), &subscription.target())
        .expect("set");
    carol.poll().await.expect("polled");
    let for_carol = subscription.open(&service.next().await);
    assert_ne!(for_carol, real);
    world.bob.on_push(&for_carol).await.expect("a wake-up");
    assert_eq!(world.state(), PushState::Challenged);
    world.bob.on_push(&real).await.expect("taken");
    assert_eq!(world.state(), PushState::Confirmed);
    carol.on_push(&real).await.expect("a wake-up");
    let state = carol.push_status(&world.id()).expect("known").state;
    assert_eq!(state, PushState::Challenged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_push_says_so() {
    let world = World::new(|push| push.enabled = false).await;
    assert_eq!(world.bob.push_key(&world.id()).await.expect("asked"), None);
    let subscription = Subscription::at("https://push.example.net/bob".to_owned());
    world
        .bob
        .set_push(&world.id(), &subscription.target())
        .expect("set");
    world.bob.poll().await.expect("polled");
    assert_eq!(world.state(), PushState::Dropped(PushTrouble::Refused));
}

/// The example of RFC 8291, section 5 and appendix A: the crate opens what the RFC sealed, so what it opens above was sealed
/// as the RFC has it.
#[test]
fn the_example_of_rfc_8291_opens() {
    let decode = |text| Base64UrlUnpadded::decode_vec(text).expect("base64url");
    let secret = decode("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94");
    let secret = web_push_native::p256::SecretKey::from_slice(&secret).expect("a key");
    let auth = decode("BTBZMqHH6r4Tts7J_aSIgg");
    let sealed = decode(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
    );
    let auth = web_push_native::Auth::clone_from_slice(&auth);
    let opened = web_push_native::decrypt(sealed, &secret, &auth).expect("for us");
    assert_eq!(opened, b"When I grow up, I want to be a watermelon");
}
