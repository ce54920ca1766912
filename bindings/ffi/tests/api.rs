//! The UniFFI face, called from Rust: what the border itself adds to `ailurus::client`.

use std::pin::pin;
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, SystemTime};

use ailurus_ffi::{
    AccessKind, AilurusError, Client, Event, KeyVault, LinkInfo, Listener, ListenerError,
    NetworkKind, NetworkState, NodeState, Options, Page, PowerState, Preference, PushState,
    PushTarget, StandbyBucket, VaultError, WakeupReason, draw_qr, draw_qr_png, inspect_link,
    read_qr_luma, read_qr_png,
};

const NODE: &str = "127.0.0.1";

fn node_link() -> String {
    let key = ailurus::crypto::NodeKey::from_bytes([7; 32]);
    ailurus::channel::NodeLink::new(key, NODE, 4433)
        .unwrap()
        .to_string()
}

/// Waits for a call on a thread that knows no runtime, as Kotlin and Swift do.
fn block<T>(call: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut call = pin!(call);
    loop {
        if let Poll::Ready(done) = call.as_mut().poll(&mut context) {
            return done;
        }
        thread::park();
    }
}

fn client(folder: &std::path::Path) -> Arc<Client> {
    let folder = folder.join("profile").display().to_string();
    block(Client::create(
        folder,
        vec![7; 32],
        "Alice".to_owned(),
        vec![node_link()],
        Options::default(),
    ))
    .unwrap()
}

#[test]
fn calls_need_no_runtime_of_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path());
    block(async {
        let channel = client.create_channel("Bamboo".to_owned()).await.unwrap();
        let id = channel.send("hello".to_owned()).await.unwrap();
        let page = channel.messages(Page::Latest, 50).await.unwrap();
        assert_eq!(page.len(), 1);
        assert_eq!((page[0].id, page[0].text.as_str()), (id, "hello"));
        let before = Page::Before { message: id };
        assert!(channel.messages(before, 50).await.unwrap().is_empty());
        assert_eq!(client.channels().await.unwrap()[0].name, "Bamboo");
        let nodes = client.nodes().await.unwrap();
        let links: Vec<&str> = nodes.iter().map(|node| node.link.as_str()).collect();
        assert_eq!(links, [node_link()]);
    });
    client.set_app_state(ailurus_ffi::AppState::Foreground);
    assert!(block(client.next_wakeup()).unwrap().is_none());
    client.set_app_state(ailurus_ffi::AppState::Background);
    let wakeup = block(client.next_wakeup()).unwrap().unwrap();
    let mut reasons = wakeup.reasons.iter();
    assert!(reasons.any(|reason| matches!(reason, WakeupReason::Outbox)));
    assert!(wakeup.at <= SystemTime::now(), "the message goes at once");
}

#[test]
fn the_plan_follows_what_the_phone_and_the_user_tell() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path());
    let minutes = |client: &Client| {
        let wakeup = block(client.plan()).unwrap().wakeup.unwrap();
        let mut reasons = wakeup.reasons.iter();
        assert!(reasons.any(|reason| matches!(reason, WakeupReason::Sync)));
        let at = wakeup.at.duration_since(SystemTime::now());
        at.unwrap_or_default().as_secs() / 60
    };
    let usual = minutes(&client);
    assert_eq!(client.preference(), Preference::Balanced);
    block(client.set_preference(Preference::Frugal)).unwrap();
    assert!(minutes(&client) > usual, "usually {usual} minutes");
    client.set_power(PowerState {
        battery_percent: Some(50),
        charging: false,
        saver: false,
        doze: true,
        bucket: StandbyBucket::Frequent,
    });
    assert!(minutes(&client) >= 7 * 60, "every eight hours, with slack");

    client.set_network(NetworkState {
        kind: NetworkKind::Offline,
        ..NetworkState::default()
    });
    let plan = block(client.plan()).unwrap();
    assert!(
        !plan.live && plan.wakeup.is_none(),
        "no network, no attempt"
    );
    client.set_network(NetworkState::default());
    client.set_app_state(ailurus_ffi::AppState::Foreground);
    let plan = block(client.plan()).unwrap();
    assert!(plan.live && plan.keep_alive.is_some());

    block(client.shutdown()).unwrap();
    let path = folder.path().join("profile").display().to_string();
    let again = block(Client::open(path, vec![7; 32], Options::default())).unwrap();
    assert_eq!(again.preference(), Preference::Frugal, "it is kept");
}

#[test]
fn usage_begins_at_the_users_midnight() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path());
    let now = SystemTime::now();
    let since = |from: SystemTime| now.duration_since(from).unwrap_or_default().as_secs() / 3_600;
    let mut hours = Vec::new();
    for offset in [0, 6 * 3_600, -6 * 3_600] {
        let report = block(client.usage(offset)).unwrap();
        assert_eq!(
            (report.today.total.wakeups, report.today.rows.len()),
            (0, 0)
        );
        assert!((167..=169).contains(&since(report.week.from)));
        hours.push(since(report.today.from));
    }
    assert!(hours.iter().all(|hours| *hours <= 24), "{hours:?}");
    assert_ne!(hours[0], hours[1], "midnight is elsewhere six hours east");
    for absurd in [i32::MIN, i32::MAX] {
        assert!(block(client.usage(absurd)).is_ok());
    }
}

#[test]
fn a_push_target_is_set_for_one_node_and_printed_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path());
    let node = block(client.nodes()).unwrap()[0].id;
    let target = |p256dh: Vec<u8>, auth: u8| PushTarget::WebPush {
        endpoint: "https://push.example/secret-endpoint".to_owned(),
        p256dh,
        auth: vec![auth; 16],
    };
    let mut key = vec![77; 65];
    key[0] = 4;
    for printed in [
        format!("{:?}", target(key.clone(), 99)),
        target(key.clone(), 99).to_string(),
        PushTarget::Gateway {
            platform: "fcm".to_owned(),
            token: "secret-token".to_owned(),
        }
        .to_string(),
    ] {
        for secret in ["secret", "77", "99"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
    block(async {
        let state = async || client.push_status(node).await.unwrap().state;
        assert!(matches!(state().await, PushState::Off));
        client.set_push(node, target(key, 1)).await.unwrap();
        assert!(matches!(state().await, PushState::Waiting));
        client.clear_push(node).await.unwrap();
        assert!(!matches!(state().await, PushState::Waiting));

        let short = client.set_push(node, target(vec![4; 64], 1)).await;
        assert!(matches!(short, Err(AilurusError::BadInput(_))), "{short:?}");
        let nobody = ailurus::crypto::NodeKey::from_bytes([8; 32]);
        let unknown = client.push_status(nobody).await;
        assert!(matches!(unknown.err(), Some(AilurusError::NotFound(_))));
    });
}

#[test]
fn every_mistake_has_a_kind_and_a_sentence_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let alice = client(folder.path());
    let path = folder.path().join("profile").display().to_string();
    let secrets: Mutex<Vec<String>> = Mutex::new(vec!["0909".into(), "9, 9, 9".into()]);
    let kind = |error: AilurusError| {
        let (sentence, debug) = (error.to_string(), format!("{error:?}"));
        assert!(sentence.len() > 20, "{sentence}");
        for secret in secrets.lock().unwrap().iter() {
            assert!(!debug.contains(secret), "{debug} has {secret}");
        }
        debug.split('(').next().unwrap().to_owned()
    };
    block(async {
        let open =
            |key: Vec<u8>, folder: &str| Client::open(folder.to_owned(), key, Options::default());
        let failed = |result: Result<Arc<Client>, AilurusError>| kind(result.err().unwrap());
        assert_eq!(failed(open(vec![9; 32], &path).await), "WrongKey");
        assert_eq!(failed(open(vec![9; 31], &path).await), "BadInput");
        let nowhere = folder.path().join("nowhere").display().to_string();
        assert_eq!(failed(open(vec![9; 32], &nowhere).await), "NoProfile");
        let make = |folder: String| {
            let options = Options::default();
            Client::create(folder, vec![7; 32], "Alice".into(), Vec::new(), options)
        };
        let again = make(path.clone());
        assert_eq!(failed(again.await), "ProfileExists");
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let below = file.join("profile").display().to_string();
        let bad = make(below);
        assert!(["Io", "ReadOnly"].contains(&failed(bad.await).as_str()));

        assert_eq!(
            kind(alice.join("af111".into(), None).await.err().unwrap()),
            "BadLink"
        );
        assert_eq!(
            kind(alice.add_node("an1".into()).await.unwrap_err()),
            "BadLink"
        );
        assert_eq!(
            kind(alice.find_channel("nobody".into()).await.err().unwrap()),
            "NotFound"
        );
        let channel = alice.create_channel("Bamboo".into()).await.unwrap();
        assert_eq!(
            kind(channel.send("x".repeat(20_000)).await.unwrap_err()),
            "BadInput"
        );
        // A link pasted in the wrong place, and a mistyped one.
        let link = channel.link(AccessKind::Full, true).await.unwrap();
        secrets.lock().unwrap().push(link[2..12].to_owned());
        assert_eq!(
            kind(alice.find_channel(link.clone()).await.err().unwrap()),
            "NotFound"
        );
        assert_eq!(
            kind(alice.add_node(link.clone()).await.unwrap_err()),
            "BadLink"
        );
        let other = if link.ends_with('1') { '2' } else { '1' };
        let mistyped = format!("{}{other}", &link[..link.len() - 1]);
        assert_eq!(
            kind(alice.join(mistyped, None).await.err().unwrap()),
            "BadLink"
        );
        alice.shutdown().await.unwrap();
        assert_eq!(
            kind(channel.send("late".into()).await.unwrap_err()),
            "Closed"
        );
        assert_eq!(kind(alice.name().await.unwrap_err()), "Closed");
    });
}

#[test]
fn super_nodes_are_listed_added_and_removed_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path());
    block(async {
        let nodes = client.nodes().await.unwrap();
        let [first] = nodes.as_slice() else {
            panic!("the one it was made with");
        };
        assert_eq!((first.host.as_str(), first.port), (NODE, 4433));
        assert!(first.hop_count.is_none() && first.load.is_none() && first.rtt.is_none());
        assert!(first.reason.len() > 5, "{}", first.reason);

        let (id, invitation) = invitation(Duration::from_secs(86_400));
        let LinkInfo::Invitation { host, expires, .. } = inspect_link(&invitation).unwrap() else {
            panic!("an invitation is one");
        };
        assert_eq!(host, "node.example");
        assert!(expires > SystemTime::now());
        let joined = client.join(invitation.clone(), None).await;
        assert!(matches!(joined.err(), Some(AilurusError::BadLink(_))));
        client
            .add_invitation(format!(" ailurus:{invitation}\n"))
            .await
            .unwrap();
        assert_eq!(client.nodes().await.unwrap().len(), 2);

        let (_, over) = self::invitation(Duration::ZERO);
        for none in [over, node_link(), format!("{invitation}1")] {
            let added = client.add_invitation(none).await;
            assert!(matches!(added, Err(AilurusError::BadLink(_))), "{added:?}");
        }

        client.remove_node(id).await.unwrap();
        assert!(matches!(
            client.remove_node(id).await,
            Err(AilurusError::NotFound(_))
        ));
        let left = client.nodes().await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].id, first.id);
        assert_ne!(left[0].state, NodeState::Refused);

        let channel = client.create_channel("Bamboo".to_owned()).await.unwrap();
        let introduced = channel.introduce().await;
        assert!(matches!(introduced, Err(AilurusError::NotAllowed(_))));
        assert_eq!(client.find_nodes(None).await.unwrap(), 0, "it is off");
    });
}

/// An invitation to a node, by its operator, that ends so far from now.
fn invitation(lasts: Duration) -> (ailurus_ffi::NodeKey, String) {
    let mut entropy = ailurus::crypto::OsEntropy;
    let secret = ailurus::crypto::NodeSecret::random(&mut entropy);
    let link = ailurus::channel::NodeLink::new(secret.public(), "node.example", 4433).unwrap();
    let end = SystemTime::now() + lasts;
    let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let made = ailurus::channel::Invitation::mint(&secret, &link, end.as_secs(), &mut entropy);
    (secret.public(), made.to_text().to_string())
}

#[test]
fn a_build_without_the_dht_says_so_and_changes_nothing() {
    use ailurus_ffi::DhtMode;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile");
    for mode in [DhtMode::Public, DhtMode::Bootstrap { nodes: Vec::new() }] {
        let options = Options { dht: Some(mode) };
        let folder = path.display().to_string();
        let made = Client::create(folder, vec![7; 32], "Alice".into(), Vec::new(), options);
        // Built together with the node, the core has it.
        if ailurus::net::DhtMode::Public.check_built().is_ok() {
            assert!(block(made).is_ok());
            std::fs::remove_dir_all(&path).unwrap();
            continue;
        }
        let Some(AilurusError::BadInput(sentence)) = block(made).err() else {
            panic!("no build without the DHT can use it");
        };
        assert!(sentence.contains("cargo feature \"dht\""), "{sentence}");
        assert!(!path.exists());
    }
}

#[test]
fn links_and_codes() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path());
    let link = block(async {
        let channel = client.create_channel("Bamboo".to_owned()).await.unwrap();
        channel.link(AccessKind::Read, true).await.unwrap()
    });
    let LinkInfo::Channel { name, access, .. } =
        inspect_link(&format!(" ailurus:{link}\n")).unwrap()
    else {
        panic!("a channel link is one");
    };
    assert_eq!((name.as_str(), access), ("Bamboo", AccessKind::Read));
    let LinkInfo::Node { host, port, .. } = inspect_link(&node_link()).unwrap() else {
        panic!("a node link is one");
    };
    assert_eq!((host.as_str(), port), (NODE, 4433));
    assert!(matches!(
        inspect_link("hello"),
        Err(AilurusError::BadLink(_))
    ));

    assert_eq!(
        read_qr_png(draw_qr_png(&link, 4).unwrap()).unwrap(),
        std::slice::from_ref(&link)
    );
    // As a camera gives it: four pixels a module, rows longer than the picture.
    let code = draw_qr(&link).unwrap();
    let (side, stride) = (code.width * 4, code.width * 4 + 13);
    let luma = (0..side)
        .flat_map(|y| (0..stride).map(move |x| (x, y)))
        .map(|(x, y)| {
            let at = (y / 4 * code.width + x / 4) as usize;
            if x < side && code.modules[at] == 1 {
                20
            } else {
                230
            }
        })
        .collect();
    assert_eq!(read_qr_luma(side, side, stride, luma).unwrap(), [link]);
    let refused = read_qr_luma(u32::MAX, u32::MAX, 1, Vec::new());
    assert!(matches!(refused, Err(AilurusError::NoCode(_))));
}

struct Teller(Mutex<Sender<Event>>);

impl Listener for Teller {
    fn on_event(&self, event: Event) -> Result<(), ListenerError> {
        let _ = self.0.lock().unwrap().send(event);
        Err(ListenerError::Failed {
            reason: "always".to_owned(),
        })
    }
}

#[test]
fn a_listener_that_fails_is_told_on_and_stops_when_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path());
    let (sender, events) = std::sync::mpsc::channel();
    let subscription = client.listen(Arc::new(Teller(Mutex::new(sender))));
    let channel = block(client.create_channel("Bamboo".to_owned())).unwrap();
    for text in ["one", "two"] {
        block(channel.send(text.to_owned())).unwrap();
    }
    // It failed on the first, and hears the others all the same.
    for _ in 0..3 {
        let event = events.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(matches!(event, Event::Changed { channel: id } if id == channel.id()));
    }
    subscription.stop();
    // The thread ends and drops the listener, and with it the sender.
    let ended = events.recv_timeout(Duration::from_secs(5));
    assert!(matches!(ended, Err(RecvTimeoutError::Disconnected)));

    // Another hears when the client ends.
    let (sender, events) = std::sync::mpsc::channel();
    let _subscription = channel.listen(Arc::new(Teller(Mutex::new(sender))));
    block(client.shutdown()).unwrap();
    let ended = events.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(matches!(ended, Event::Ended));
}

struct Broken;

impl KeyVault for Broken {
    fn load(&self) -> Result<Option<Vec<u8>>, VaultError> {
        Err(VaultError::Failed {
            reason: "the device is locked".to_owned(),
        })
    }

    fn store(&self, _: Vec<u8>) -> Result<(), VaultError> {
        unreachable!("nothing is stored where nothing can be loaded")
    }
}

#[test]
fn what_a_vault_says_reaches_the_person() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile");
    let made = block(Client::create_with_vault(
        path.display().to_string(),
        Arc::new(Broken),
        "Alice".to_owned(),
        Vec::new(),
        Options::default(),
    ));
    let Some(AilurusError::Vault(sentence)) = made.err() else {
        panic!("a broken vault is an error of its own");
    };
    assert!(sentence.contains("the device is locked"), "{sentence}");
    assert!(!path.join(ailurus::client::PROFILE_FILE).exists());
}
