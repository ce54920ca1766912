//! What a connection costs a node while nothing is said on it.

use std::{sync::Arc, time::Duration};

use ailurus::channel::{Epoch, NodeLink};
use serde::{Deserialize, Serialize};

use crate::harness::{
    Failure,
    channel::TestChannel,
    clock::BenchClock,
    node::NodeProcess,
    process::{RoleProcess, say, told},
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
    wire::followers,
};

pub const SUITE: Suite = Suite {
    specs: &[Spec {
        name: "idle_connection_kib",
        unit: "KiB",
        limit: Limit::AtMost(40.0),
    }],
    patience: Duration::from_secs(480),
    run: || Box::pin(run()),
};

pub const ROLE: &str = "idle";

async fn run() -> Result<Vec<Measured>, Failure> {
    let clock = BenchClock::in_mid_epoch();
    let mut sizes = Vec::new();
    for _ in 0..RUNS {
        let node = NodeProcess::start(clock).await?;
        tokio::time::sleep(SETTLE).await;
        let before = node.resident_kib()?;
        let arguments = [node.link().to_string(), clock.offset_s().to_string()];
        let mut clients = RoleProcess::start(ROLE, &arguments)?;
        let Ready {} = clients.answer(CONNECTING).await?;
        tokio::time::sleep(IDLE).await;
        sizes.push((node.resident_kib()? - before) / CONNECTIONS as f64);
    }
    let sample = Sample::new(sizes).ok_or("no run")?;
    let note = format!("{CONNECTIONS} connections, each registered and following one channel");
    Ok(vec![
        Measured::new("idle_connection_kib", &sample).note(&note),
    ])
}

#[derive(Serialize, Deserialize)]
struct Ready {}

/// The clients.
pub async fn play(arguments: &[String]) -> Result<(), Failure> {
    let [link, offset] = arguments else {
        return Err("idle takes a node link and a clock offset".into());
    };
    let (link, clock): (NodeLink, _) = (link.parse()?, BenchClock::shifted(offset.parse()?));
    let epoch = Epoch::of(clock.now());
    let keys = Arc::new(TestChannel::new(1, epoch, 1).address_keys(epoch)?);
    let _clients = followers(CONNECTIONS, &link, &keys).await?;
    say(&Ready {})?;
    // Until the other side is done with us.
    while tokio::task::block_in_place(told)? {}
    Ok(())
}

const RUNS: usize = 5;
const CONNECTIONS: usize = 5_000;
/// For the node to be at rest before its size is read.
const SETTLE: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(30);
const CONNECTING: Duration = Duration::from_secs(60);
