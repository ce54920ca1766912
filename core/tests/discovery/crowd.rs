//! Many clients: how they spread over nodes, and what a node that comes back has to bear.

use std::time::Duration;

use ailurus::crypto::NodeKey;
use ailurus::discovery::{Chooser, NodeLoad, Role};
use ailurus::wire::time::UnixMillis;

use super::{HOUR, MINUTE, NOW, key, knowing};

const CLIENTS: u64 = 10_000;
const NODES: u8 = 20;
const FAIR: usize = CLIENTS as usize / NODES as usize;

/// Clients that poll each node.
fn spread(clients: &[Chooser]) -> Vec<usize> {
    let mut counts = vec![0; usize::from(NODES)];
    for client in clients {
        counts[usize::from(active(client).as_bytes()[0]) - 1] += 1;
    }
    counts
}

fn active(client: &Chooser) -> NodeKey {
    let polled = client.records().iter().find(|r| r.role == Role::Active);
    *polled.expect("one is polled").link.key()
}

/// Every client polls once: the polled node answers with its load, or fails.
fn round(clients: &mut [Chooser], now: UnixMillis, down: Option<NodeKey>) {
    let counts = spread(clients);
    for (number, client) in clients.iter_mut().enumerate() {
        let random = number as u64 * 7_919;
        let polled = active(client);
        if down == Some(polled) {
            client.failed(&polled, "no answer", now, random);
            client.choose(now);
        }
        let mut seen = vec![active(client)];
        seen.extend(client.probe_due(now).filter(|node| down != Some(*node)));
        for node in seen {
            let clients = counts[usize::from(node.as_bytes()[0]) - 1];
            client.answered(&node, Some(Duration::from_millis(40)), now, random);
            client.loaded(
                &node,
                NodeLoad {
                    clients_permille: (clients * 1_000 / (2 * FAIR)).min(1_000) as u16,
                    ..NodeLoad::default()
                },
            );
        }
        client.choose(now);
    }
}

#[test]
fn clients_spread_and_a_returning_node_is_not_stampeded() {
    let mut clients: Vec<Chooser> = (0..CLIENTS)
        .map(|seed| knowing(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), 1..=NODES))
        .collect();
    let within_factor_two = |counts: &[usize], what: &str| {
        for count in counts {
            assert!((FAIR / 2..=FAIR * 2).contains(count), "{what}: {counts:?}");
        }
    };
    within_factor_two(&spread(&clients), "at first");

    round(&mut clients, NOW, None);
    let gone = key(7);
    let mut now = NOW;
    for _ in 0..3 {
        now = now.after(HOUR);
        round(&mut clients, now, Some(gone));
    }
    let without = spread(&clients);
    assert_eq!(without[6], 0);
    let others: Vec<usize> = without.iter().copied().filter(|count| *count > 0).collect();
    within_factor_two(&others, "one is away");

    // It comes back, idle, which all of its clients soon know.
    let mut back = 0;
    let mut most = 0;
    for step in 0..16 {
        now = now.after(if step < 3 { 5 * MINUTE } else { 3 * HOUR });
        round(&mut clients, now, None);
        let count = spread(&clients)[6];
        most = most.max(count.saturating_sub(back));
        back = count;
    }
    assert!(most <= FAIR, "{most} came at once");
    within_factor_two(&spread(&clients), "it is back");
}

#[test]
fn the_least_busy_node_does_not_get_everybody() {
    let mut counts = [0; 3];
    for seed in 0..3_000_u64 {
        let mut client = knowing(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), []);
        for number in 1..=3 {
            client.add(&super::node(number), ailurus::discovery::Origin::Link);
            client.answered(&key(number), Some(Duration::from_millis(40)), NOW, 0);
            client.loaded(
                &key(number),
                NodeLoad {
                    cpu_permille: [200, 500, 800][usize::from(number) - 1],
                    ..NodeLoad::default()
                },
            );
        }
        client.choose(NOW);
        counts[usize::from(active(&client).as_bytes()[0]) - 1] += 1;
    }
    let [idle, half, busy] = counts;
    assert!(idle > half && half > busy, "{counts:?}");
    assert!(busy > 300 && idle < 2_000, "{counts:?}");
}
