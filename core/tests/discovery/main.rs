//! Which super nodes a client keeps: in virtual time, from seeds.

mod audit;
mod choosing;
mod crowd;

use std::time::Duration;

use ailurus::channel::NodeLink;
use ailurus::crypto::NodeKey;
use ailurus::discovery::{Chooser, Origin};
use ailurus::wire::time::UnixMillis;

const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn key(number: u8) -> NodeKey {
    NodeKey::from_bytes([number; 32])
}

/// Node `number`, in a network of its own.
fn node(number: u8) -> NodeLink {
    at(number, &format!("198.51.{number}.1"))
}

fn at(number: u8, host: &str) -> NodeLink {
    NodeLink::new(key(number), host, 4_711).unwrap()
}

fn knowing(seed: u64, numbers: impl IntoIterator<Item = u8>) -> Chooser {
    let mut chooser = Chooser::new(seed, Vec::new());
    for number in numbers {
        chooser.add(&node(number), Origin::Link);
    }
    chooser.choose(NOW);
    chooser
}
