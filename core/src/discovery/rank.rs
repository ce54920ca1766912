//! Which of two nodes is better, and the choice among equals.
//!
//! Each node has a cost, in milliseconds of waiting that it is worth. What is measured weighs most; a claim can only
//! make a node worse, or win among equals. Equals are ordered at random, the same way for the same client, the idler
//! ones more often first (weighted rendezvous hashing), so that clients spread and a good node is not swamped.

use crate::crypto::NodeKey;
use crate::wire::time::UnixMillis;

use super::record::{Network, NodeRecord, Origin};

/// The cost of a node to this client at `now`; the lower the better.
pub fn cost(node: &NodeRecord, seed: u64, now: UnixMillis) -> u32 {
    let millis =
        |duration: std::time::Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    let measured = node.rtt.map_or(UNMEASURED, millis);
    let claimed = node.load.map_or(0, |load| millis(load.latency));
    let waiting = measured.max(claimed).min(SLOWEST);
    let unreliable = 2 * u32::from(1_000 - node.reliability_at(now).min(1_000));
    let named = match node.origin {
        Origin::User => 0,
        Origin::Link => 200,
        Origin::Member => 250,
        Origin::Dht => 500,
    };
    let far = node.hop_count.to_wire().map_or(STRANGER, |hops| 20 * hops);
    let load = node.load.map_or(0, |load| load.permille());
    // Each client has a limit of its own, so a node that fills up loses them one by one.
    let limit = 900 + mix(seed ^ LIMITS, node.link.key()) % 100;
    let overloaded = if u64::from(load) >= limit {
        OVERLOADED
    } else {
        0
    };
    let wrong_clock = if node.wrong_clock { WRONG_CLOCK } else { 0 };
    waiting + unreliable + named + far + overloaded + wrong_clock
}

/// Among equals the one with the lowest draw comes first: random by client and node, and the lower the less busy the
/// node says it is.
pub fn draw(node: &NodeRecord, seed: u64) -> f64 {
    let busy = node.load.map_or(500, |load| load.permille().min(1_000));
    let weight = f64::from(1_050 - busy);
    // 53 bits fill a float exactly; half a step keeps it above 0.
    let unit = ((mix(seed, node.link.key()) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -unit.ln() / weight
}

/// Indices of `nodes`, best first; those that are `used` already come first among equals, and a little behind.
pub fn order(
    nodes: &[&NodeRecord],
    seed: u64,
    now: UnixMillis,
    used: impl Fn(&NodeRecord) -> bool,
) -> Vec<usize> {
    let mut left: Vec<Ranked> = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let used = used(node);
            let cost = cost(node, seed, now);
            Ranked {
                index,
                used,
                cost: if used {
                    cost.saturating_sub(STICKY + cost / 8)
                } else {
                    cost
                },
                draw: draw(node, seed),
            }
        })
        .collect();
    let mut order = Vec::with_capacity(left.len());
    while let Some(least) = left.iter().map(|ranked| ranked.cost).min() {
        let equal = |ranked: &Ranked| ranked.cost <= least + EQUAL;
        let best = left
            .iter()
            .enumerate()
            .filter(|(_, ranked)| equal(ranked))
            .min_by(|(_, a), (_, b)| b.used.cmp(&a.used).then(a.draw.total_cmp(&b.draw)))
            .map(|(place, _)| place);
        let Some(place) = best else {
            break;
        };
        order.push(left.swap_remove(place).index);
    }
    order
}

struct Ranked {
    index: usize,
    used: bool,
    cost: u32,
    draw: f64,
}

/// The first `count` of `ordered`, but not all in one network if another is there: its best then replaces the last one, or
/// joins them, up to `most`, where the user added all of them.
pub fn diverse(ordered: &[&NodeRecord], count: usize, most: usize) -> Vec<usize> {
    let mut picked: Vec<usize> = (0..ordered.len().min(count)).collect();
    let networks: Vec<Network> = ordered.iter().map(|node| node.network()).collect();
    let same = |place: &usize| networks.get(*place) == networks.first();
    if count < 2 || !picked.iter().all(same) {
        return picked;
    }
    let Some(other) = (picked.len()..ordered.len()).find(|place| !same(place)) else {
        return picked;
    };
    let last = picked.last().and_then(|place| ordered.get(*place));
    let added = last.is_some_and(|node| node.origin == Origin::User);
    if !added || picked.len() >= most {
        picked.pop();
    }
    picked.push(other);
    picked
}

/// A number that is the same for the same client and node, and random otherwise.
pub fn mix(seed: u64, node: &NodeKey) -> u64 {
    let key = node
        .as_bytes()
        .chunks(8)
        .map(|chunk| {
            chunk
                .iter()
                .fold(0, |word: u64, byte| (word << 8) | u64::from(*byte))
        })
        .fold(0, |mixed: u64, word| splitmix(mixed ^ word));
    splitmix(seed ^ key)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn splitmix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What a node counts for before it was measured.
const UNMEASURED: u32 = 300;
/// Slower is as bad as this.
const SLOWEST: u32 = 10_000;
/// What it costs to be a stranger, who is evicted first.
const STRANGER: u32 = 200;
/// What it costs to be nearly full.
const OVERLOADED: u32 = 250;
/// What a wrong clock costs: whatever is wrong with the others, they take what members send.
const WRONG_CLOCK: u32 = 5_000;
/// Nodes that differ by less are equals.
pub const EQUAL: u32 = 60;
/// A node in use is left only for one that is better by this much, and an eighth of its cost.
pub const STICKY: u32 = 40;
const LIMITS: u64 = 0x6c69_6d69_7473;
