//! What a phone's scheduler sees of a client on a real node: plans, wake-ups without a network, large bodies that wait,
//! and a ledger that agrees with what went over the wire.

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ailurus::channel::{AccessKind, ChannelId};
use ailurus::client::{
    AppState, Client, Event, NetworkKind, NetworkState, Options, PowerState, Preference, Usage,
    UsageReport, WakeupReason,
};
use ailurus::store::StorageKey;
use ailurus::wire::time::{Clock, UnixMillis};

use world::{World, invite, next, texts};

const CELLULAR: NetworkState = NetworkState {
    kind: NetworkKind::Cellular,
    metered: true,
    roaming: false,
};
const WIFI: NetworkState = NetworkState {
    kind: NetworkKind::Wifi,
    metered: false,
    roaming: false,
};
const OFFLINE: NetworkState = NetworkState {
    kind: NetworkKind::Offline,
    metered: false,
    roaming: false,
};
const BUDGET: Duration = Duration::from_secs(20);

/// A clock that a test moves.
struct Ahead(AtomicU64);

impl Ahead {
    fn by(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).expect("milliseconds");
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> UnixMillis {
        let ahead = Duration::from_millis(self.0.load(Ordering::SeqCst));
        ailurus::client::SystemClock::default().now().after(ahead)
    }
}

/// Alice and Bob in a channel, both registered; Bob's clock can be moved.
async fn pair(world: &World) -> (Client, Client, ChannelId, Arc<Ahead>) {
    let clock = Arc::new(Ahead(AtomicU64::new(0)));
    let alice = world.person("Alice");
    let options = Options {
        clock: clock.clone(),
        ..Options::default()
    };
    let bob = Client::create(
        &world.folder.path().join("Bob"),
        &StorageKey::from_bytes([1; 32]),
        "Bob",
        &[world.node.link().clone()],
        options,
    )
    .expect("a profile");
    let channel = alice.create_channel("family").expect("a channel");
    bob.join(&invite(&alice, &channel, AccessKind::Full), None)
        .expect("bob joins");
    for client in [&alice, &bob] {
        client.poll().await.expect("polls");
    }
    (alice, bob, channel, clock)
}

fn large(mark: &str) -> String {
    format!("{mark} {}", "0123456789abcdef".repeat(1_000))
}

fn is_large(text: &str) -> bool {
    text.len() > 10_000
}

async fn deliver(client: &Client, channel: &ChannelId, text: &str) {
    let sent = client.send(channel, text).expect("queued");
    let delivered = client.wait_delivered(&sent, BUDGET).await;
    delivered.expect("no error").expect("delivered");
}

fn row(report: &UsageReport, reason: WakeupReason) -> Usage {
    let mut sum = Usage::default();
    for row in report.today.rows.iter().filter(|row| row.reason == reason) {
        sum.add(&row.usage);
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_network_a_wakeup_ends_at_once_and_only_the_user_tries() {
    let world = World::new();
    let (alice, bob, channel, clock) = pair(&world).await;
    deliver(&alice, &channel, "hello").await;
    bob.set_network(OFFLINE);
    assert!(bob.next_wakeup().is_none());
    let before = bob.usage(0).expect("usage").week.total;
    for _ in 0..20 {
        clock.by(Duration::from_secs(3_600));
        let begun = Instant::now();
        for report in [bob.sync_once(BUDGET).await, bob.on_push(b"").await] {
            let report = report.expect("no error");
            assert!(!report.complete && report.nodes_reached == 0, "{report:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert!(bob.next_wakeup().is_none());
    }
    let after = bob.usage(0).expect("usage").week.total;
    assert_eq!(
        after.bytes_sent, before.bytes_sent,
        "no attempt in 20 hours"
    );
    assert_eq!(after.wakeups, before.wakeups);

    // It comes back: what is overdue is due now, once.
    bob.set_network(CELLULAR);
    let wakeup = bob.next_wakeup().expect("a wake-up");
    assert!(wakeup.at <= clock.now() && wakeup.reasons.contains(&WakeupReason::Sync));
    assert_eq!(
        bob.sync_once(BUDGET).await.expect("syncs").messages.len(),
        1
    );
    let wakeup = bob.next_wakeup().expect("a wake-up");
    assert!(
        wakeup.at.since(clock.now()) > Duration::from_secs(300),
        "{wakeup:?}"
    );

    // Whoever asks by hand may know more than the system tells.
    bob.set_network(OFFLINE);
    assert_eq!(bob.poll().await.expect("polls").nodes_reached, 1);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_wait_for_wifi_and_power_and_no_longer_than_six_hours() {
    let world = World::new();
    let (alice, bob, channel, clock) = pair(&world).await;
    bob.set_network(CELLULAR);
    for mark in ["first", "second"] {
        deliver(&alice, &channel, &large(mark)).await;
        deliver(&alice, &channel, mark).await;
    }
    let report = bob.sync_once(BUDGET).await.expect("syncs");
    assert!(report.complete, "{report:?}");
    assert!(report.bytes_received < 16_000, "{}", report.bytes_received);
    assert_eq!(
        texts(&bob, &channel),
        ["first", "second"],
        "small ones come at once"
    );

    // Neither the next wake-up nor Wi-Fi alone brings them.
    clock.by(Duration::from_secs(3_600));
    bob.sync_once(BUDGET).await.expect("syncs");
    bob.set_network(WIFI);
    bob.sync_once(BUDGET).await.expect("syncs");
    assert_eq!(texts(&bob, &channel).len(), 2);
    let wakeup = bob.next_wakeup().expect("a wake-up");
    assert!(
        !wakeup.carries.contains(&WakeupReason::Resync),
        "{wakeup:?}"
    );
    bob.set_power(PowerState {
        charging: true,
        ..PowerState::default()
    });
    let wakeup = bob.next_wakeup().expect("a wake-up");
    assert!(wakeup.carries.contains(&WakeupReason::Resync), "{wakeup:?}");
    let report = bob.sync_once(BUDGET).await.expect("syncs");
    assert_eq!(report.messages.len(), 2, "{report:?}");
    assert_eq!(
        texts(&bob, &channel)
            .iter()
            .filter(|text| is_large(text))
            .count(),
        2
    );
    assert!(row(&bob.usage(0).expect("usage"), WakeupReason::Resync).bytes_received > 32_000);

    // At the limit they come on the mobile network.
    bob.set_network(CELLULAR);
    bob.set_power(PowerState::default());
    deliver(&alice, &channel, &large("third")).await;
    assert_eq!(
        bob.sync_once(BUDGET).await.expect("syncs").messages.len(),
        0
    );
    clock.by(Duration::from_secs(5 * 3_600 + 1_800));
    assert_eq!(
        bob.sync_once(BUDGET).await.expect("syncs").messages.len(),
        0
    );
    clock.by(Duration::from_secs(3_600));
    let wakeup = bob.next_wakeup().expect("a wake-up");
    assert!(wakeup.carries.contains(&WakeupReason::Resync), "{wakeup:?}");
    assert_eq!(
        bob.sync_once(BUDGET).await.expect("syncs").messages.len(),
        1
    );
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_that_wait_come_when_a_person_looks() {
    let world = World::new();
    let (alice, bob, channel, _) = pair(&world).await;
    bob.set_network(CELLULAR);
    deliver(&alice, &channel, &large("photo")).await;
    assert_eq!(
        bob.sync_once(BUDGET).await.expect("syncs").messages.len(),
        0
    );
    let mut events = bob.events();
    bob.set_app_state(AppState::Foreground);
    let plan = bob.plan();
    assert!(plan.live && plan.keep_alive.is_some());
    assert!(
        bob.next_wakeup().is_none(),
        "the library wakes up by itself"
    );
    loop {
        match next(&mut events).await {
            Some(Event::Received(message)) if is_large(&message.text) => break,
            Some(_) => {}
            None => panic!("the events ended"),
        }
    }
    // And from now on they come with their headers.
    deliver(&alice, &channel, &large("another")).await;
    loop {
        match next(&mut events).await {
            Some(Event::Received(message)) if message.text.starts_with("another") => break,
            Some(_) => {}
            None => panic!("the events ended"),
        }
    }
    bob.set_app_state(AppState::Background);
    let plan = bob.plan();
    assert!(!plan.live && plan.keep_alive.is_none());

    // As they do when somebody polls by hand.
    deliver(&alice, &channel, &large("last")).await;
    assert_eq!(
        bob.sync_once(BUDGET).await.expect("syncs").messages.len(),
        0
    );
    assert_eq!(bob.poll().await.expect("polls").messages.len(), 1);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_agrees_with_the_wire_and_outlives_the_process() {
    let world = World::new();
    let (alice, bob, channel, _) = pair(&world).await;
    let before = bob.usage(0).expect("usage");
    bob.set_network(CELLULAR);
    let mut payload = (0, 0);
    let polls = 5;
    for number in 0..polls {
        deliver(&alice, &channel, &format!("message {number}")).await;
        bob.send(&channel, &format!("answer {number}"))
            .expect("queued");
        let report = bob.sync_once(BUDGET).await.expect("syncs");
        payload.0 += report.bytes_sent;
        payload.1 += report.bytes_received;
    }
    // The last words of the last connection.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = bob.usage(0).expect("usage");
    let total = after.week.total;
    for (spent, payload) in [
        (total.bytes_sent - before.week.total.bytes_sent, payload.0),
        (
            total.bytes_received - before.week.total.bytes_received,
            payload.1,
        ),
    ] {
        // Headers are 28 bytes a datagram of some hundred.
        assert!(spent >= payload, "{spent} of {payload}");
        assert!(
            spent < payload + payload / 5 + 200 * polls,
            "{spent} of {payload}"
        );
    }
    assert!(
        row(&after, WakeupReason::Outbox).bytes_sent > 500,
        "{after:?}"
    );
    let cellular = after
        .today
        .rows
        .iter()
        .filter(|row| row.network == NetworkKind::Cellular);
    let mut sum = Usage::default();
    cellular.for_each(|row| sum.add(&row.usage));
    // One after the other, so the radio was woken once, and went down once.
    assert_eq!(sum.wakeups, 1, "{sum:?}");
    assert!(sum.radio_high >= Duration::from_secs(10), "{sum:?}");
    assert!(sum.radio_high < Duration::from_secs(30), "{sum:?}");
    assert!(sum.connected > Duration::ZERO && sum.connected < Duration::from_secs(30));

    bob.set_preference(Preference::Frugal).expect("kept");
    bob.shutdown().await;
    let key = StorageKey::from_bytes([1; 32]);
    let folder = world.folder.path().join("Bob");
    let again = Client::open(&folder, &key, Options::default()).expect("opens");
    assert_eq!(again.preference(), Preference::Frugal);
    let kept = again.usage(0).expect("usage").week.total;
    assert!(
        kept.bytes_sent >= total.bytes_sent,
        "{kept:?} after {total:?}"
    );
    // It goes on from the last attempt.
    let wakeup = again.next_wakeup().expect("a wake-up");
    assert!(wakeup.at.since(UnixMillis::default()) > Duration::ZERO);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_message_is_a_reason_to_wake_up() {
    let world = World::new();
    let (_alice, bob, channel, clock) = pair(&world).await;
    bob.set_network(CELLULAR);
    let wakeup = bob.next_wakeup().expect("a wake-up");
    assert_eq!(wakeup.reasons, [WakeupReason::Sync], "{wakeup:?}");
    bob.send(&channel, "on my way").expect("queued");
    let wakeup = bob.next_wakeup().expect("a wake-up");
    assert!(
        wakeup.at.since(clock.now()) <= Duration::from_secs(10),
        "{wakeup:?}"
    );
    assert!(wakeup.reasons.contains(&WakeupReason::Outbox));
    bob.sync_once(BUDGET).await.expect("syncs");
    let wakeup = bob.next_wakeup().expect("a wake-up");
    assert!(
        !wakeup.reasons.contains(&WakeupReason::Outbox),
        "{wakeup:?}"
    );
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leases_are_due_within_the_days_before_their_epoch() {
    let world = World::new();
    let (_alice, bob, _channel, clock) = pair(&world).await;
    bob.set_network(CELLULAR);
    // Somewhere within a week comes a wake-up that carries the registration for the next one.
    let mut carried = None;
    for hour in 0..7 * 24 {
        let wakeup = bob.next_wakeup().expect("a wake-up");
        if wakeup.carries.contains(&WakeupReason::Registration) {
            carried = Some(hour);
            break;
        }
        clock.by(Duration::from_secs(3_600));
    }
    assert!(carried.is_some(), "no registration in a week");
    world.node.stop().await;
}
