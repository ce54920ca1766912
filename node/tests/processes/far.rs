//! Nodes behind a slow link that loses packets, in a network namespace of their own.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use ailurus::{
    channel::NodeLink,
    client::{Client, Event, Events, Options},
    store::StorageKey,
};
use tokio::{runtime, time::timeout};

use crate::{
    common::daemon::{Daemon, command, is_root, needs, temp},
    link::{Quality, SlowLink},
    world::{PATIENCE, Person, gather},
};

const QUALITY: Quality = Quality {
    delay: Duration::from_millis(80),
    jitter: Duration::from_millis(20),
    lost_per_mille: 20,
};
const BACKLOG: usize = 200;
const CHAT: usize = 30;

#[test]
fn over_a_slow_and_lossy_link_people_catch_up_chat_and_fail_over() {
    // On a thread of its own, for it changes namespaces.
    std::thread::spawn(run).join().expect("no panic");
}

fn run() {
    let link = match SlowLink::new(QUALITY) {
        Ok(link) => link,
        Err(error) => {
            let root = if is_root() { "" } else { "root, " };
            return needs(&format!(
                "{root}the right to make network namespaces, and /dev/net/tun ({error})"
            ));
        }
    };
    let folder = temp();
    link.far.enter();
    let listen = format!("{}:0", link.far.address);
    let start = |number: usize| {
        let data = folder.path().join(format!("node{number}"));
        Daemon::spawn(command(&data, &listen, &[]))
    };
    let nodes: Vec<Daemon> = (0..3).map(start).collect();
    link.near.enter();
    // Its threads are in the namespace of the one that makes them.
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(use_nodes(folder.path(), nodes));
    drop(runtime);
    let (passed, lost) = link.cut();
    println!("{passed} packets passed the link, {lost} were lost");
    assert!(
        lost > 0 && passed > 20 * lost,
        "{passed} passed, {lost} lost"
    );
}

async fn use_nodes(folder: &Path, mut nodes: Vec<Daemon>) {
    let links: Vec<NodeLink> = nodes.iter().map(|node| node.link.clone()).collect();
    let person = |name: &'static str| {
        let key = StorageKey::from_bytes([1; 32]);
        let client = Client::create(&folder.join(name), &key, name, &links, Options::default());
        (name, client.expect("a profile"))
    };
    let people = gather(vec![person("Alice"), person("Bob")]);
    let (alice, bob) = (&people[0], &people[1]);
    for person in [bob, alice, bob] {
        let report = person.client.poll().await.expect("polls");
        assert!(report.nodes_reached > 0, "{report:?}");
    }

    (0..BACKLOG).for_each(|number| alice.say(number));
    let begun = Instant::now();
    alice.client.poll().await.expect("polls");
    assert_eq!(alice.unsent(), 0);
    println!("{BACKLOG} messages sent in {:?}", begun.elapsed());
    let begun = Instant::now();
    // His node may be the third, which has them once it has found the other two.
    let mut caught_up = 0;
    while caught_up < BACKLOG && begun.elapsed() < Duration::from_secs(60) {
        let report = bob.client.poll().await.expect("polls");
        caught_up += report.messages.len();
    }
    assert_eq!(caught_up, BACKLOG);
    println!("{BACKLOG} messages caught up with in {:?}", begun.elapsed());

    let (mut hers, mut his) = (alice.client.events(), bob.client.events());
    let _live = [alice.client.live(), bob.client.live()];
    for events in [&mut hers, &mut his] {
        until_connected(events).await;
    }
    let mut times = Vec::new();
    for number in BACKLOG..BACKLOG + CHAT {
        times.push(deliver(alice, &mut his, number).await);
    }
    times.sort_unstable();
    let (least, median, most) = (times[0], times[CHAT / 2], times[CHAT - 1]);
    println!("live delivery: {least:?} at least, {median:?} in the middle, {most:?} at most");
    // Up to a node and down again.
    assert!(least >= 2 * (QUALITY.delay - QUALITY.jitter), "{least:?}");
    assert!(median < Duration::from_secs(2), "{median:?}");

    // The node that Bob would poll dies.
    let best = bob.client.nodes().expect("nodes")[0].id;
    nodes.retain(|node| *node.link.key() != best);
    assert_eq!(nodes.len(), 2);
    let took = deliver(alice, &mut his, BACKLOG + CHAT).await;
    println!("the first message after a node's death: {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(bob.heard()["Alice"], Vec::from_iter(0..=BACKLOG + CHAT));
}

/// Says something; how long it took to get there.
async fn deliver(from: &Person, to: &mut Events, number: usize) -> Duration {
    let begun = Instant::now();
    from.say(number);
    let text = format!("{} {number}", from.name);
    until(
        to,
        |event| matches!(event, Event::Received(message) if message.text == text),
    )
    .await;
    begun.elapsed()
}

async fn until_connected(events: &mut Events) {
    until(events, |event| {
        matches!(
            event,
            Event::Connected {
                connected: true,
                ..
            }
        )
    })
    .await;
}

async fn until(events: &mut Events, is_it: impl Fn(&Event) -> bool) {
    let waiting = async { while !is_it(&events.recv().await.expect("the client lives")) {} };
    timeout(PATIENCE, waiting).await.expect("in time");
}
