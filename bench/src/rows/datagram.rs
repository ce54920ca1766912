//! Polls by datagram: what one costs a phone, and how many a node answers.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use ailurus::{
    channel::{Epoch, NodeLink},
    client::{Client, Options},
    crypto::NodeKey,
    store::StorageKey,
    wire::limits::PROBE_LEN,
};

use crate::harness::{
    Failure,
    clock::BenchClock,
    fill::{Addresses, Filling, pseudonym},
    folder,
    node::{NodeFolder, NodeProcess},
    probes::{Round, generate, pin, write_tickets},
    process::{RoleProcess, say},
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
};

pub const SUITE: Suite = Suite {
    specs: &[
        Spec {
            name: "datagram_poll_bytes",
            unit: "bytes",
            limit: Limit::AtMost(300.0),
        },
        Spec {
            name: "datagram_polls_per_s",
            unit: "1/s",
            limit: Limit::AtLeast(50_000.0),
        },
    ],
    patience: Duration::from_secs(600),
    run: || Box::pin(run()),
};

pub const ROLE: &str = "datagram";
pub const ECHO: &str = "datagram_echo";

async fn run() -> Result<Vec<Measured>, Failure> {
    Ok(vec![poll_bytes().await?, polls_per_s().await?])
}

/// UDP payload both ways of polls that bring nothing, as an app makes them.
async fn poll_bytes() -> Result<Measured, Failure> {
    let clock = BenchClock::in_mid_epoch();
    let node = NodeProcess::start(clock).await?;
    let folder = folder()?;
    let options = Options {
        clock: std::sync::Arc::new(clock.system()),
        ..Options::default()
    };
    let path = folder.path().join("phone");
    let key = StorageKey::from_bytes([1; 32]);
    let client = Client::create(&path, &key, "Alice", &[node.link().clone()], options)?;
    client.create_channel("family")?;
    for _ in 0..3 {
        client.poll().await?;
    }
    let mut bytes = Vec::new();
    let mut fault = None;
    for _ in 0..RUNS * 4 {
        let report = client.sync_once(Duration::from_secs(10)).await?;
        if (report.probes_sent, report.probes_received) != (1, 1) {
            fault = Some("a poll was more than a datagram each way".to_owned());
        }
        bytes.push((report.bytes_sent + report.bytes_received) as f64);
    }
    let sample = Sample::new(bytes).ok_or("no run")?;
    Ok(Measured::new("datagram_poll_bytes", &sample)
        .note("one datagram each way, of a client in a channel, counted by the client")
        .fault(fault))
}

/// Answers a second of a node on one core to a generator on another.
async fn polls_per_s() -> Result<Measured, Failure> {
    let clock = BenchClock::in_mid_epoch();
    let nodes = NodeFolder::new()?;
    let link = NodeProcess::start_in(&nodes, clock).await?.link().clone();
    let tickets = nodes.path().join("tickets");
    tokio::task::block_in_place(|| {
        let filling = Filling::open(&nodes.database(), link.key(), clock)?;
        let addresses = Addresses::new(ADDRESSES, Epoch::of(clock.now()));
        filling.fill(BATCHES, |batch| {
            let clients = batch * CLIENTS / BATCHES..(batch + 1) * CLIENTS / BATCHES;
            let requests = clients.map(|client| {
                let keys: Vec<_> = (0..LEASES)
                    .map(|lease| addresses.keys((client * LEASES + lease) % ADDRESSES))
                    .collect();
                let leased = keys.iter().map(|(keys, access)| (keys, *access));
                filling.register(&pseudonym(client), leased)
            });
            Ok(requests.collect())
        })?;
        write_tickets(&filling, CLIENTS, clock, &tickets)
    })?;
    let node = NodeProcess::start_pinned(&nodes, clock, NODE_CORE).await?;
    let arguments = [
        link.to_string(),
        tickets.display().to_string(),
        GENERATOR_CORE.to_string(),
    ];
    let mut generator = RoleProcess::start(ROLE, &arguments)?;
    let cold = round(&mut generator).await?;
    let used = node.cpu_s()?;
    let mut rates = Vec::new();
    let (mut share, mut nothing) = (1.0_f64, true);
    for _ in 0..RUNS {
        let round = round(&mut generator).await?;
        rates.push(round.per_s());
        share = share.min(round.share());
        nothing &= round.nothing == round.answered;
    }
    let per_poll = (node.cpu_s()? - used) * 1e6 / (RUNS * CLIENTS) as f64;
    drop(generator);
    let floor = echo(&tickets).await?;
    let mut fault = None;
    if share < 0.99 {
        fault = Some(format!("only {:.2} % were answered", share * 100.0));
    } else if !nothing {
        fault = Some("there was something where there is nothing".to_owned());
    }
    let sample = Sample::new(rates).ok_or("no run")?;
    Ok(Measured::new("datagram_polls_per_s", &sample)
        .floor(floor)
        .note(&format!(
            "{CLIENTS} clients with {LEASES} leases each on {ADDRESSES} addresses; each asks once a run, with the ticket of \
             the answer before; at least {:.2} % answered",
            share * 100.0
        ))
        .note("the node on one core, the generator on the other, from 200 networks of loopback, the limit for each as by default")
        .note(&format!(
            "{per_poll:.1} µs of the node's processor each; {:.0}/s when all were to be read from the database first",
            cold.per_s()
        ))
        .note("floor: a program that sends each datagram back, one at a time")
        .fault(fault))
}

async fn round(generator: &mut RoleProcess) -> Result<Round, Failure> {
    generator.go()?;
    generator.answer(ROUND).await
}

/// The same generator against a program that does nothing.
async fn echo(tickets: &std::path::Path) -> Result<f64, Failure> {
    let mut echo = RoleProcess::start(ECHO, &[])?;
    let port: u16 = echo.answer(ROUND).await?;
    let link = NodeLink::new(NodeKey::from_bytes([1; 32]), "127.0.0.1", port)?;
    let arguments = [
        link.to_string(),
        tickets.display().to_string(),
        GENERATOR_CORE.to_string(),
    ];
    let mut generator = RoleProcess::start(ROLE, &arguments)?;
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let round = round(&mut generator).await?;
        rates.push(round.sent as f64 / round.seconds);
    }
    Ok(Sample::new(rates).ok_or("no run")?.median())
}

/// The generator.
pub fn play(arguments: &[String]) -> Result<(), Failure> {
    let [link, file, core] = arguments else {
        return Err("datagram takes a node link, a file and a core".into());
    };
    generate(&link.parse()?, file.as_ref(), core.parse().ok())
}

/// Sends everything back.
pub fn play_echo() -> Result<(), Failure> {
    pin(std::process::id(), NODE_CORE)?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    say(&socket.local_addr()?.port())?;
    let mut buffer = [0; 2 * PROBE_LEN];
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        let (length, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], from)?;
    }
    Ok(())
}

const RUNS: usize = 5;
const CLIENTS: usize = 100_000;
const LEASES: usize = 3;
/// Each leased by four clients.
const ADDRESSES: usize = 75_000;
const BATCHES: usize = 50;
const NODE_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;
const ROUND: Duration = Duration::from_secs(120);
