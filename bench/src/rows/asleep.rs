//! What clients cost a node that are not there: a million of them, each with three addresses.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use ailurus::{
    channel::{Epoch, NodeLink},
    crypto::{Entropy as _, SeededEntropy},
    wire::node::Request,
};
use ailurus_node::Session;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::datagram;
use crate::harness::{
    Failure,
    clock::BenchClock,
    fill::{Addresses, Filling, pseudonym},
    node::{NodeFolder, NodeProcess},
    probes::{Round, write_tickets},
    process::{RoleProcess, say},
    restart::restart_s,
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
    wire::Sockets,
};

pub const SUITE: Suite = Suite {
    specs: &[
        Spec {
            name: "asleep_client_bytes",
            unit: "bytes",
            limit: Limit::AtMost(512.0),
        },
        Spec {
            name: "asleep_million_mib",
            unit: "MiB",
            limit: Limit::AtMost(640.0),
        },
        Spec {
            name: "asleep_restart_s",
            unit: "s",
            limit: Limit::AtMost(5.0),
        },
    ],
    patience: Duration::from_secs(2_400),
    run: || Box::pin(run()),
};

pub const ROLE: &str = "asleep";

async fn run() -> Result<Vec<Measured>, Failure> {
    let clock = BenchClock::in_mid_epoch();
    let empty = NodeProcess::start(clock).await?;
    let base_kib = resident_after_polls(&empty, 0).await?;
    drop(empty);

    let folder = NodeFolder::new()?;
    let link = NodeProcess::start_in(&folder, clock).await?.link().clone();
    let start = Instant::now();
    tokio::task::block_in_place(|| {
        // They were here hours ago, so that each poll leaves something to remember.
        let before = BenchClock::shifted(clock.offset_s() - AWAY_S);
        let filling = Filling::open(&folder.database(), link.key(), before)?;
        let addresses = Addresses::new(CHANNELS, Epoch::of(clock.now()));
        filling.fill(BATCHES, |batch| Ok(requests(&filling, &addresses, batch)))
    })?;
    let filled_s = start.elapsed().as_secs_f64();
    let tickets = folder.path().join("tickets");
    tokio::task::block_in_place(|| {
        let filling = Filling::open(&folder.database(), link.key(), clock)?;
        write_tickets(&filling, CLIENTS, clock, &tickets)
    })?;
    let mut node = NodeProcess::start_in(&folder, clock).await?;
    // Whatever it keeps in memory to answer polls by datagram, it has to keep for all.
    let asked = every_client_asks(&node, &tickets).await?;
    let full_kib = resident_after_polls(&node, LEASES as u32).await?;

    let mut times = Vec::with_capacity(RUNS);
    for run in 0..RUNS {
        drop(node);
        let client = run * CLIENTS / RUNS;
        let (seconds, again) = restart_s(&folder, clock, &link, client, LEASES as u32).await?;
        times.push(seconds);
        node = again;
    }
    let one = |value| Sample::new(vec![value]).ok_or("no value");
    let work = format!(
        "{CLIENTS} clients with {LEASES} leases each on {CHANNELS} addresses, filled in {filled_s:.0} s"
    );
    let polls = format!(
        "after all have polled by datagram ({:.2} % answered) and {POLLS} of them have connected, synced and closed",
        asked.share() * 100.0
    );
    let fault = (asked.share() < 0.99).then(|| "polls by datagram were not answered".to_owned());
    Ok(vec![
        Measured::new(
            "asleep_client_bytes",
            &one((full_kib - base_kib) * 1_024.0 / CLIENTS as f64)?,
        )
        .note(&work)
        .note(&polls)
        .note(&format!(
            "without clients the node has {:.1} MiB after as many polls",
            base_kib / 1_024.0
        ))
        .fault(fault.clone()),
        Measured::new("asleep_million_mib", &one(full_kib / 1_024.0)?)
            .note(&work)
            .note(&polls)
            .fault(fault),
        Measured::new("asleep_restart_s", &Sample::new(times).ok_or("no run")?)
            .note(&work)
            .note("killed while idle; the files are in the system's cache"),
    ])
}

async fn every_client_asks(node: &NodeProcess, tickets: &Path) -> Result<Round, Failure> {
    let arguments = [
        node.link().to_string(),
        tickets.display().to_string(),
        "any".to_owned(),
    ];
    let mut generator = RoleProcess::start(datagram::ROLE, &arguments)?;
    generator.go()?;
    generator.answer(ASKING).await
}

/// The node's resident size in KiB when many clients have polled, each of which must have `leases`.
async fn resident_after_polls(node: &NodeProcess, leases: u32) -> Result<f64, Failure> {
    let mut clients = RoleProcess::start(ROLE, &[node.link().to_string(), leases.to_string()])?;
    let Polled {} = clients.answer(POLLING).await?;
    tokio::time::sleep(SETTLE).await;
    node.resident_kib()
}

/// Some clients and their leases.
fn requests(filling: &Filling, addresses: &Addresses, batch: usize) -> Vec<(Session, Request)> {
    let clients = batch * CLIENTS / BATCHES..(batch + 1) * CLIENTS / BATCHES;
    clients
        .map(|client| {
            let keys: Vec<_> = (0..LEASES)
                .map(|lease| addresses.keys((client * LEASES + lease) * STRIDE % CHANNELS))
                .collect();
            let leased = keys.iter().map(|(keys, access)| (keys, *access));
            filling.register(&pseudonym(client), leased)
        })
        .collect()
}

#[derive(Serialize, Deserialize)]
struct Polled {}

/// The clients that poll.
pub async fn play(arguments: &[String]) -> Result<(), Failure> {
    let [link, leases] = arguments else {
        return Err("asleep takes a node link and a count of leases".into());
    };
    let (link, leases): (NodeLink, u32) = (link.parse()?, leases.parse()?);
    let sockets = Arc::new(Sockets::bind(AT_ONCE)?);
    let mut tasks = JoinSet::new();
    for task in 0..AT_ONCE {
        let (sockets, link) = (Arc::clone(&sockets), link.clone());
        tasks.spawn(async move {
            let mut entropy = SeededEntropy::from_u64(task as u64);
            for _ in 0..POLLS / AT_ONCE {
                let mut random = [0; 8];
                entropy.fill(&mut random);
                let client = u64::from_be_bytes(random) as usize % CLIENTS;
                let peer = sockets.connect_as(task, &link, pseudonym(client)).await?;
                let found = peer.sync().await?;
                if found != leases {
                    return Err(format!("the node knew {found} leases of {leases}").into());
                }
                peer.close();
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    say(&Polled {})
}

const RUNS: usize = 5;
const CLIENTS: usize = 1_000_000;
const LEASES: usize = 3;
/// Addresses, each leased by four clients.
const CHANNELS: usize = 750_000;
/// Has no factor in common with it, so that clients who came together have no addresses in common.
const STRIDE: usize = 524_287;
const BATCHES: usize = 500;
const AWAY_S: i64 = 5 * 3_600;
const POLLS: usize = 20_000;
/// Clients that poll at the same time.
const AT_ONCE: usize = 16;
const ASKING: Duration = Duration::from_secs(600);
const POLLING: Duration = Duration::from_secs(240);
/// For connections that were closed to be forgotten.
const SETTLE: Duration = Duration::from_secs(3);
