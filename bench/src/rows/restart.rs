//! How long people wait for a node that was killed: with 100,000 addresses and 1,000,000 messages on its disk.

use std::time::{Duration, Instant};

use ailurus::{
    channel::Epoch,
    crypto::SeededEntropy,
    wire::{node::Request, time::UnixMillis},
};
use ailurus_node::Session;

use crate::harness::{
    Failure,
    channel::publish,
    clock::BenchClock,
    fill::{Addresses, Filling, pseudonym},
    node::{NodeFolder, NodeProcess},
    restart::restart_s,
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
};

use super::publish::BODY;

pub const SUITE: Suite = Suite {
    specs: &[Spec {
        name: "node_restart_s",
        unit: "s",
        limit: Limit::AtMost(1.0),
    }],
    patience: Duration::from_secs(600),
    run: || Box::pin(run()),
};

async fn run() -> Result<Vec<Measured>, Failure> {
    let clock = BenchClock::in_mid_epoch();
    let folder = NodeFolder::new()?;
    let link = NodeProcess::start_in(&folder, clock).await?.link().clone();
    let start = Instant::now();
    tokio::task::block_in_place(|| {
        let filling = Filling::open(&folder.database(), link.key(), clock)?;
        let addresses = Addresses::new(CLIENTS * LEASES, Epoch::of(clock.now()));
        filling.fill(BATCHES, |batch| {
            requests(&filling, &addresses, clock.now(), batch)
        })
    })?;
    let filled_s = start.elapsed().as_secs_f64();
    let size = std::fs::metadata(folder.database())?.len() as f64 / 1e6;

    let mut node = NodeProcess::start_in(&folder, clock).await?;
    let mut times = Vec::with_capacity(RUNS);
    for run in 0..RUNS {
        drop(node);
        let client = run * CLIENTS / RUNS;
        let (seconds, again) = restart_s(&folder, clock, &link, client, LEASES as u32).await?;
        times.push(seconds);
        node = again;
    }
    let sample = Sample::new(times).ok_or("no run")?;
    let row = Measured::new("node_restart_s", &sample).note(&format!(
        "killed while idle; {} addresses and {} messages, {size:.0} MB in the system's cache, filled in {filled_s:.0} s",
        CLIENTS * LEASES,
        CLIENTS * LEASES * EACH
    ));
    Ok(vec![row])
}

/// Some clients, their addresses, and the messages on these, spread over what a node keeps.
fn requests(
    filling: &Filling,
    addresses: &Addresses,
    now: UnixMillis,
    batch: usize,
) -> Result<Vec<(Session, Request)>, Failure> {
    let mut entropy = SeededEntropy::from_u64(batch as u64);
    let mut requests = Vec::new();
    for client in batch * CLIENTS / BATCHES..(batch + 1) * CLIENTS / BATCHES {
        let keys: Vec<_> = (0..LEASES)
            .map(|lease| addresses.keys(client * LEASES + lease))
            .collect();
        let leased = keys.iter().map(|(keys, access)| (keys, *access));
        let (session, register) = filling.register(&pseudonym(client), leased);
        requests.push((session, register));
        for (keys, _) in &keys {
            let envelopes = (0..EACH).map(|message| {
                let age = SPREAD * (EACH - message) as u32 / EACH as u32;
                addresses.sign(keys, now.before(age), BODY, &mut entropy)
            });
            let envelopes = envelopes.collect::<Result<Vec<_>, _>>()?;
            requests.push((session, publish(keys, &envelopes)));
        }
    }
    Ok(requests)
}

const RUNS: usize = 5;
const CLIENTS: usize = 25_000;
/// Addresses of each client, which no other has.
const LEASES: usize = 4;
/// Messages on each address.
const EACH: usize = 10;
const BATCHES: usize = 250;
/// The oldest message is as old as this, so that none ends while the bench runs.
const SPREAD: Duration = Duration::from_hours(6 * 24);
