//! How long a message takes when the node that its reader listens to dies.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ailurus::{
    channel::{AccessKind, ChannelId, NodeLink},
    client::{Client, Event, Live, NodeState, Options},
    crypto::NodeKey,
    store::StorageKey,
};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::harness::{
    Failure,
    clock::BenchClock,
    folder,
    node::{NodeFolder, NodeProcess},
    process::{RoleProcess, say, told},
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
};

use super::catch_up::KEY;

pub const SUITE: Suite = Suite {
    specs: &[
        Spec {
            name: "failover_s",
            unit: "s",
            limit: Limit::AtMost(2.0),
        },
        Spec {
            name: "failover_polls",
            unit: "polls",
            limit: Limit::AtMost(1.0),
        },
    ],
    patience: Duration::from_secs(300),
    run: || Box::pin(run()),
};

pub const ROLE: &str = "failover";

async fn run() -> Result<Vec<Measured>, Failure> {
    let (mut seconds, mut polls, mut poll_s) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS * 2 {
        let live = run % 2 == 0;
        let arrived = one_death(live).await?;
        if live {
            seconds.push(arrived.seconds);
        } else {
            polls.push(f64::from(arrived.polls));
            poll_s.push(arrived.seconds);
        }
    }
    let sample = |values| Sample::new(values).ok_or("no run");
    let poll_s = sample(poll_s)?;
    Ok(vec![
        Measured::new("failover_s", &sample(seconds)?).note(&format!(
            "{NODES} nodes; the reader is in foreground, the node it would poll is killed with SIGKILL, another client \
             sends at once; until the reader is told of the message"
        )),
        Measured::new("failover_polls", &sample(polls)?).note(&format!(
            "the reader is in background: polls from the same death until the message is there, {:.2} s at the median",
            poll_s.median()
        )),
    ])
}

/// Nodes of their own for each run, so that none is remembered for what happened before.
async fn one_death(live: bool) -> Result<Arrived, Failure> {
    let clock = BenchClock::in_mid_epoch();
    let mut nodes = Vec::with_capacity(NODES);
    for _ in 0..NODES {
        let folder = NodeFolder::new()?;
        nodes.push((NodeProcess::start_in(&folder, clock).await?, folder));
    }
    let mut arguments = vec![clock.offset_s().to_string(), live.to_string()];
    arguments.extend(nodes.iter().map(|(node, _)| node.link().to_string()));
    let mut clients = RoleProcess::start(ROLE, &arguments)?;
    let ready: Ready = clients.answer(PATIENCE).await?;
    nodes.retain(|(node, _)| node.link().to_string() != ready.active);
    if nodes.len() != NODES - 1 {
        return Err("no node was killed".into());
    }
    clients.go()?;
    clients.answer(PATIENCE).await
}

/// The reader stands.
#[derive(Serialize, Deserialize)]
struct Ready {
    /// Link of the node that it would poll.
    active: String,
}

/// The message is there.
#[derive(Serialize, Deserialize)]
struct Arrived {
    /// From the send; in background from the beginning of the first poll.
    seconds: f64,
    polls: u32,
}

/// The reader and the writer, so that one clock sees both.
pub async fn play(arguments: &[String]) -> Result<(), Failure> {
    let [offset, live, links @ ..] = arguments else {
        return Err("failover takes a clock offset, whether to listen, and node links".into());
    };
    let clock = BenchClock::shifted(offset.parse()?);
    let links = links
        .iter()
        .map(|link| link.parse::<NodeLink>())
        .collect::<Result<Vec<_>, _>>()?;
    let folder = folder()?;
    let open = |name: &str| {
        let options = Options {
            clock: Arc::new(clock.system()),
            ..Options::default()
        };
        let (path, key) = (folder.path().join(name), StorageKey::from_bytes(KEY));
        Client::create(&path, &key, name, &links, options)
    };
    let (alice, bob) = (open("Alice")?, open("Bob")?);
    let channel = alice.create_channel("bench")?;
    alice.poll().await?;
    bob.join(
        &alice.link(&channel, AccessKind::Full, true)?.parse()?,
        None,
    )?;
    // Until each has leases everywhere and has heard of the other.
    for _ in 0..3 {
        bob.poll().await?;
        alice.poll().await?;
    }
    let arrived = if live.parse()? {
        in_foreground(&alice, &bob, &channel).await?
    } else {
        in_background(&alice, &bob, &channel).await?
    };
    say(&arrived)?;
    alice.shutdown().await;
    bob.shutdown().await;
    Ok(())
}

async fn in_foreground(
    alice: &Client,
    bob: &Client,
    channel: &ChannelId,
) -> Result<Arrived, Failure> {
    let mut events = alice.events();
    let listening = alice.live();
    let writing = stand(bob).await?;
    // Two nodes are followed.
    let mut standing: Vec<NodeKey> = Vec::new();
    while standing.len() < 2 {
        match timeout(PATIENCE, events.recv()).await? {
            Some(Event::Connected { node, connected }) => {
                standing.retain(|other| *other != node);
                standing.extend(connected.then_some(node));
            }
            Some(_) => {}
            None => return Err("the reader ended".into()),
        }
    }
    sleep(SETTLE).await;
    say(&ready(alice)?)?;
    if !tokio::task::block_in_place(told)? {
        return Err("the bench ended".into());
    }
    let start = Instant::now();
    bob.send(channel, TEXT)?;
    loop {
        match timeout(PATIENCE, events.recv()).await? {
            Some(Event::Received(message)) if message.text == TEXT => break,
            Some(_) => {}
            None => return Err("the reader ended".into()),
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    drop((listening, writing));
    Ok(Arrived { seconds, polls: 0 })
}

async fn in_background(
    alice: &Client,
    bob: &Client,
    channel: &ChannelId,
) -> Result<Arrived, Failure> {
    say(&ready(alice)?)?;
    if !tokio::task::block_in_place(told)? {
        return Err("the bench ended".into());
    }
    let sent = bob.send(channel, TEXT)?;
    let writing = bob.live();
    bob.wait_delivered(&sent, PATIENCE).await?;
    drop(writing);
    let start = Instant::now();
    for polls in 1..=MOST_POLLS {
        let report = alice.sync_once(BUDGET).await?;
        if report.messages.iter().any(|message| message.text == TEXT) {
            return Ok(Arrived {
                seconds: start.elapsed().as_secs_f64(),
                polls,
            });
        }
    }
    Err(format!("{MOST_POLLS} polls did not bring the message").into())
}

/// In foreground, with a connection.
async fn stand(client: &Client) -> Result<Live, Failure> {
    let mut events = client.events();
    let live = client.live();
    loop {
        match timeout(PATIENCE, events.recv()).await? {
            Some(Event::Connected {
                connected: true, ..
            }) => return Ok(live),
            Some(_) => {}
            None => return Err("the writer ended".into()),
        }
    }
}

fn ready(client: &Client) -> Result<Ready, Failure> {
    let nodes = client.nodes()?;
    let active = nodes.iter().find(|node| node.state == NodeState::Active);
    Ok(Ready {
        active: active.ok_or("no node is active")?.link.to_string(),
    })
}

const RUNS: usize = 5;
const NODES: usize = 3;
const TEXT: &str = "is anybody there?";
const MOST_POLLS: u32 = 5;
/// What a phone gives a poll in background.
const BUDGET: Duration = Duration::from_secs(25);
/// For what is to be said when connections stand.
const SETTLE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);
