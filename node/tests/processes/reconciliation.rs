//! A node process that is killed while it catches up with another.

use std::{net::SocketAddr, time::Instant};

use ailurus::{
    channel::{Epoch, NodeLink, delegation_statement},
    net::Connection,
    wire::{
        content::NodeHint,
        node::{Announce, Announcement, request, response::Kind},
    },
};
use bytes::Bytes;
use tokio::time::{Duration, sleep};

use crate::{
    common::{
        Channel, HOUR,
        daemon::{free_address, http, now, temp},
        refusals, request,
        wire::{Phone, ask, sync},
    },
    world::{PATIENCE, Place},
};

const MESSAGES: usize = 8_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_reconciling_it_is_complete_afterwards() {
    let folder = temp();
    let metrics = [free_address(), free_address()];
    let mut places = ["a", "b"].into_iter().zip(metrics).map(|(name, metrics)| {
        Place::new(
            folder.path().join(name),
            &["--metrics", &metrics.to_string()],
        )
    });
    let (a, mut b) = (places.next().expect("two"), places.next().expect("two"));
    let time = now();
    let mut channel = Channel::new(1);
    // All in one address, also where an epoch has just begun.
    let epoch = Epoch::of(time.before(HOUR));
    let sent = channel.envelopes(time.before(HOUR), 300, MESSAGES as u64);
    let alice = Phone::new(&a.link);
    let connection = alice.connect().await;
    assert_eq!(alice.register(&connection, &channel, epoch).await, []);
    for part in sent.chunks(400) {
        let answer = ask(&connection, &channel.publish(part)).await;
        assert_eq!(refusals(&[answer]), []);
    }
    assert_eq!(kept(metrics[0]), MESSAGES);
    let bob = Phone::new(&b.link);
    let at_b = bob.connect().await;
    assert_eq!(bob.register(&at_b, &channel, epoch).await, []);
    announce(&at_b, &channel, epoch, &b.link, &a.link).await;
    announce(&connection, &channel, epoch, &a.link, &b.link).await;

    let mut had = Vec::new();
    for kills in 1..=3 {
        let begun = Instant::now();
        // So that each kill finds some of it done, and some not.
        while kept(metrics[1]) < kills * MESSAGES / 8 {
            assert!(begun.elapsed() < PATIENCE, "{} came", kept(metrics[1]));
            sleep(Duration::from_millis(2)).await;
        }
        had.push(kept(metrics[1]));
        b.kill();
        b.start();
        let found = kept(metrics[1]);
        assert!(found >= *had.last().expect("one"), "{found} after {had:?}");
    }
    println!("killed with {had:?} of {MESSAGES}");
    assert!(had[0] < MESSAGES, "it was over before the first kill");

    let begun = Instant::now();
    while kept(metrics[1]) < MESSAGES {
        assert!(begun.elapsed() < PATIENCE, "{} came", kept(metrics[1]));
        sleep(Duration::from_millis(50)).await;
    }
    println!("complete {:?} after the last start", begun.elapsed());
    let at_b = bob.connect().await;
    let mut synced = sync(&at_b, Bytes::new()).await.envelopes;
    assert_eq!(synced.len(), MESSAGES);
    synced.sort_unstable();
    synced.dedup();
    assert_eq!(synced.len(), MESSAGES, "each once");
    assert_eq!(kept(metrics[0]), MESSAGES);
}

/// Tells a node that another serves the channel too.
async fn announce(
    connection: &Connection,
    channel: &Channel,
    epoch: Epoch,
    node: &NodeLink,
    other: &NodeLink,
) {
    let keys = channel.keys(epoch);
    let until = epoch.lease_end().as_secs();
    let statement = delegation_statement(node.key(), &keys.address, until);
    let hint = NodeHint {
        key: Bytes::copy_from_slice(other.key().as_bytes()),
        host: other.host().to_owned(),
        port: u32::from(other.port()),
    };
    let announcement = Announcement {
        address: Bytes::copy_from_slice(keys.address.as_bytes()),
        until,
        delegation: Bytes::copy_from_slice(&keys.access.sign(&statement)),
        peers: vec![hint],
        ..Announcement::default()
    };
    let announce = Announce {
        announcements: vec![announcement],
    };
    let answer = ask(connection, &request(request::Kind::Announce(announce))).await;
    let Some(Kind::Announced(announced)) = answer.kind else {
        panic!("{answer:?}");
    };
    assert_eq!(announced.refusals, []);
}

/// Envelopes that a node has, as it says.
fn kept(metrics: SocketAddr) -> usize {
    let (status, text) = http(metrics, "/metrics");
    assert_eq!(status, 200);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("ailurus_node_envelopes "));
    line.expect("a gauge").parse().expect("a number")
}
