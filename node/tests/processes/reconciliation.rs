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
    let places = ["a", "b"].into_iter().zip(metrics).map(|(name, metrics)| {
        let settings = ["--metrics", &metrics.to_string()];
        (Place::new(folder.path().join(name), &settings), metrics)
    });
    let mut places: Vec<_> = places.collect();
    // The smaller key dials, so the other need not wait for it when it is back.
    places.sort_by_key(|(place, _)| *place.link.key());
    let [(mut b, metrics_b), (a, metrics_a)]: [_; 2] = places.try_into().ok().expect("two places");
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
    assert_eq!(kept(metrics_a), MESSAGES);
    let bob = Phone::new(&b.link);
    let at_b = bob.connect().await;
    assert_eq!(bob.register(&at_b, &channel, epoch).await, []);
    announce(&at_b, &channel, epoch, &b.link, &a.link).await;
    announce(&connection, &channel, epoch, &a.link, &b.link).await;

    let mut had = Vec::new();
    for kills in 1..=3 {
        let begun = Instant::now();
        // So that each kill finds some of it done, and some not.
        while kept(metrics_b) < kills * MESSAGES / 8 {
            assert!(begun.elapsed() < PATIENCE, "{} came", kept(metrics_b));
            sleep(Duration::from_millis(2)).await;
        }
        had.push(kept(metrics_b));
        b.kill();
        b.start();
        let found = kept(metrics_b);
        assert!(found >= *had.last().expect("one"), "{found} after {had:?}");
    }
    println!("killed with {had:?} of {MESSAGES}");
    assert!(had[0] < MESSAGES, "it was over before the first kill");

    let begun = Instant::now();
    while kept(metrics_b) < MESSAGES {
        assert!(begun.elapsed() < PATIENCE, "{} came", kept(metrics_b));
        sleep(Duration::from_millis(50)).await;
    }
    println!("complete {:?} after the last start", begun.elapsed());
    let at_b = bob.connect().await;
    // The session that it resumes is of a process that is gone.
    at_b.established().await.expect("connected");
    let mut synced = sync(&at_b, Bytes::new()).await.envelopes;
    assert_eq!(synced.len(), MESSAGES);
    synced.sort_unstable();
    synced.dedup();
    assert_eq!(synced.len(), MESSAGES, "each once");
    assert_eq!(kept(metrics_a), MESSAGES);
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
pub fn kept(metrics: SocketAddr) -> usize {
    let (status, text) = http(metrics, "/metrics");
    assert_eq!(status, 200);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("ailurus_node_envelopes "));
    line.expect("a gauge").parse().expect("a number")
}
