//! What a message costs its nodes together, when one, three or five of them serve its channel and complete each other.

use std::time::{Duration, Instant};

use ailurus::{
    channel::{Epoch, NodeLink},
    crypto::SeededEntropy,
    wire::{frame, limits::MAX_FRAME, node::response},
};
use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tokio::time::{interval, sleep};

use crate::harness::{
    Failure,
    channel::publish,
    clock::BenchClock,
    fill::Addresses,
    node::{NodeFolder, NodeProcess},
    process::{RoleProcess, say, told},
    relay::CountingRelay,
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
    wire::{Peer, Sockets, announcement, answer},
};

use super::publish::BODY;

pub const SUITE: Suite = Suite {
    specs: &[
        Spec {
            name: "node_cost_1",
            unit: UNIT,
            limit: Limit::None,
        },
        Spec {
            name: "node_cost_3",
            unit: UNIT,
            limit: Limit::None,
        },
        Spec {
            name: "node_cost_5",
            unit: UNIT,
            limit: Limit::None,
        },
    ],
    patience: Duration::from_secs(300),
    run: || Box::pin(run()),
};

const UNIT: &str = "bytes of UDP payload a message";

pub const ROLE: &str = "node_cost";

async fn run() -> Result<Vec<Measured>, Failure> {
    let mut rows = Vec::new();
    for (name, nodes) in [("node_cost_1", 1), ("node_cost_3", 3), ("node_cost_5", 5)] {
        let cost = measure(nodes).await?;
        rows.push(
            Measured::new(name, &Sample::new(vec![cost.bytes]).ok_or("no run")?)
                .note(&format!(
                    "{:.0} µs of processor time a message, all nodes together",
                    cost.cpu_us
                ))
                .note("what one node sends and another receives counts for both")
                .note(&format!(
                    "{MESSAGES} messages on {CHANNELS} channels, {} a second, each sent to {} of the nodes; all had \
                     them {:.2} s after the last was acknowledged",
                    PER_TICK as u128 * 1_000 / TICK.as_millis(),
                    nodes.min(SENT_TO),
                    cost.complete_s
                )),
        );
    }
    Ok(rows)
}

/// Of a message.
struct Cost {
    bytes: f64,
    cpu_us: f64,
    /// From the last acknowledgement until all nodes have all.
    complete_s: f64,
}

/// A node behind a relay that counts what reaches it and what it answers.
struct Counted {
    node: NodeProcess,
    folder: NodeFolder,
    relay: CountingRelay,
    link: NodeLink,
}

impl Counted {
    async fn start(clock: BenchClock) -> Result<Self, Failure> {
        let folder = NodeFolder::new()?;
        let node = NodeProcess::start_in(&folder, clock).await?;
        let addr = format!("{}:{}", node.link().host(), node.link().port());
        let relay = CountingRelay::start(addr.parse()?).await?;
        let link = NodeLink::new(*node.link().key(), "127.0.0.1", relay.port())?;
        Ok(Self {
            node,
            folder,
            relay,
            link,
        })
    }
}

async fn measure(count: usize) -> Result<Cost, Failure> {
    let clock = BenchClock::in_mid_epoch();
    let mut nodes = Vec::with_capacity(count);
    for _ in 0..count {
        nodes.push(Counted::start(clock).await?);
    }
    let mut arguments = vec![clock.offset_s().to_string()];
    arguments.extend(nodes.iter().map(|node| node.link.to_string()));
    let mut client = RoleProcess::start(ROLE, &arguments)?;
    let Ready {} = client.answer(PATIENCE).await?;
    linked(&nodes).await?;
    client.go()?;
    let warm: Done = client.answer(PATIENCE).await?;
    complete(&nodes, WARM_UP).await?;
    // What was sent for the first messages is acknowledged by then.
    sleep(SETTLE).await;

    let cpu = |nodes: &[Counted]| -> Result<f64, Failure> {
        nodes.iter().map(|node| node.node.cpu_s()).sum()
    };
    let before = cpu(&nodes)?;
    for node in &nodes {
        node.relay.take();
    }
    client.go()?;
    let done: Done = client.answer(PATIENCE).await?;
    let acknowledged = Instant::now();
    complete(&nodes, WARM_UP + MESSAGES).await?;
    let complete_s = acknowledged.elapsed().as_secs_f64();
    sleep(SETTLE).await;
    let relayed: u64 = nodes.iter().map(|node| node.relay.take()).sum();
    let of_client = done.bytes - warm.bytes;
    let between = relayed.saturating_sub(of_client);
    Ok(Cost {
        bytes: (of_client + 2 * between) as f64 / MESSAGES as f64,
        cpu_us: (cpu(&nodes)? - before) * 1e6 / MESSAGES as f64,
        complete_s,
    })
}

/// Waits until each two nodes are connected, in one direction at least.
async fn linked(nodes: &[Counted]) -> Result<(), Failure> {
    let wanted = (nodes.len() * (nodes.len() - 1) / 2) as u64;
    let start = Instant::now();
    loop {
        let mut links = 0;
        for node in nodes {
            links += node.folder.metric("peers").await?;
        }
        if links >= wanted {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("the nodes have {links} links of {wanted}").into());
        }
        sleep(LOOK).await;
    }
}

/// Waits until every node has so many messages.
async fn complete(nodes: &[Counted], messages: usize) -> Result<(), Failure> {
    let start = Instant::now();
    for node in nodes {
        loop {
            let kept = node.folder.metric("envelopes").await?;
            if kept == messages as u64 {
                break;
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("a node has {kept} messages of {messages}").into());
            }
            sleep(LOOK).await;
        }
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Ready {}

/// Some messages are acknowledged.
#[derive(Serialize, Deserialize)]
struct Done {
    /// That the client sent and received so far.
    bytes: u64,
}

/// The client.
pub async fn play(arguments: &[String]) -> Result<(), Failure> {
    let Some((offset, links)) = arguments.split_first() else {
        return Err("node_cost takes a clock offset and node links".into());
    };
    let clock = BenchClock::shifted(offset.parse()?);
    let links = links
        .iter()
        .map(|link| link.parse::<NodeLink>())
        .collect::<Result<Vec<_>, _>>()?;
    let epoch = Epoch::of(clock.now());
    let addresses = Addresses::new(CHANNELS, epoch);
    let sockets = Sockets::bind(1)?;
    let mut peers = Vec::with_capacity(links.len());
    for (index, link) in links.iter().enumerate() {
        let peer = sockets.connect(0, link).await?;
        let mut others = links.clone();
        others.remove(index);
        let mut announcements = Vec::with_capacity(CHANNELS);
        for channel in 0..CHANNELS {
            let (keys, _) = addresses.keys(channel);
            peer.register(link, &keys).await?;
            announcements.push(announcement(&keys, link.key(), &others));
        }
        peer.announce(announcements).await?;
        peers.push(peer);
    }
    say(&Ready {})?;
    let mut entropy = SeededEntropy::from_u64(1);
    let mut time = epoch.start();
    for count in [WARM_UP, MESSAGES] {
        let mut frames = Vec::with_capacity(count);
        for message in 0..count {
            let (keys, _) = addresses.keys(message % CHANNELS);
            time = time.offset(1);
            let envelope = addresses.sign(&keys, time, BODY, &mut entropy)?;
            let request = publish(&keys, &[envelope]);
            frames.push(frame::encode(&request.encode_to_vec()));
        }
        if !tokio::task::block_in_place(told)? {
            return Ok(());
        }
        let sending = peers.iter().take(SENT_TO).map(|peer| send(peer, &frames));
        let (first, second) = {
            let mut sending = sending;
            (sending.next(), sending.next())
        };
        match (first, second) {
            (Some(first), Some(second)) => drop(tokio::try_join!(first, second)?),
            (Some(only), None) => only.await?,
            _ => return Err("node_cost takes a node link at least".into()),
        }
        say(&Done {
            bytes: peers.iter().map(Peer::bytes).sum(),
        })?;
    }
    // Until the other side is done with us.
    while tokio::task::block_in_place(told)? {}
    Ok(())
}

/// Publishes at a steady pace, on one stream, and waits for the acknowledgements of each tick.
async fn send(peer: &Peer, frames: &[Bytes]) -> Result<(), Failure> {
    let (mut sender, mut receiver) = peer.open().await?;
    let mut tick = interval(TICK);
    for part in frames.chunks(PER_TICK) {
        tick.tick().await;
        sender.send_all(&mut part.to_vec()).await?;
        for _ in part {
            let frame = receiver.next(MAX_FRAME).await?;
            match answer(frame.ok_or("the node ended a stream")?)? {
                response::Kind::Published(published) if published.refusals.is_empty() => {}
                other => return Err(format!("not acknowledged: {other:?}").into()),
            }
        }
    }
    sender.finish()?;
    Ok(())
}

const CHANNELS: usize = 20;
const WARM_UP: usize = 1_000;
const MESSAGES: usize = 20_000;
/// Nodes that a client publishes to.
const SENT_TO: usize = 2;
/// Messages that are sent at once, and how often.
const PER_TICK: usize = 20;
const TICK: Duration = Duration::from_millis(10);
/// For what is still to be acknowledged to a node.
const SETTLE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);
