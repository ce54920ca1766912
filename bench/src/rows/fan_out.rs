//! How fast a node passes a message on: from one publisher's send to the last of 1,000 subscribers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ailurus::{
    channel::{Epoch, NodeLink},
    crypto::SeededEntropy,
    wire::{limits::MAX_FRAME, node::response},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use crate::harness::{
    Failure,
    channel::{TestChannel, publish},
    clock::BenchClock,
    node::NodeProcess,
    process::{RoleProcess, say},
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
    wire::{Follower, Sockets, answer, followers, random_text},
};

pub const SUITE: Suite = Suite {
    specs: &[Spec {
        name: "fan_out_ms",
        unit: "ms",
        limit: Limit::AtMost(30.0),
    }],
    patience: Duration::from_secs(120),
    run: || Box::pin(run()),
};

pub const ROLE: &str = "fan_out";

async fn run() -> Result<Vec<Measured>, Failure> {
    let clock = BenchClock::in_mid_epoch();
    let node = NodeProcess::start(clock).await?;
    let arguments = [node.link().to_string(), clock.offset_s().to_string()];
    let mut clients = RoleProcess::start(ROLE, &arguments)?;
    let done: Done = clients.answer(Duration::from_secs(100)).await?;
    let sample = Sample::new(done.ms).ok_or("no run")?;
    let fault = (done.missed > 0).then(|| format!("{} frames were missed", done.missed));
    let row = Measured::new("fan_out_ms", &sample)
        .note(&format!("{SUBSCRIBERS} subscribers, none missed"));
    Ok(vec![row.fault(fault)])
}

#[derive(Serialize, Deserialize)]
struct Done {
    ms: Vec<f64>,
    missed: usize,
}

/// Publisher and subscribers, so that one clock sees both ends.
pub async fn play(arguments: &[String]) -> Result<(), Failure> {
    let [link, offset] = arguments else {
        return Err("fan_out takes a node link and a clock offset".into());
    };
    let (link, clock): (NodeLink, _) = (link.parse()?, BenchClock::shifted(offset.parse()?));
    let epoch = Epoch::of(clock.now());
    let mut channel = TestChannel::new(1, epoch, 1);
    let keys = Arc::new(channel.address_keys(epoch)?);
    let mut entropy = SeededEntropy::from_u64(2);
    let texts: Vec<String> = (0..=RUNS).map(|_| random_text(200, &mut entropy)).collect();
    let envelopes = channel.texts(&texts, epoch.start(), 1)?;

    let subscribers = followers(SUBSCRIBERS, &link, &keys).await?;
    let publisher = Sockets::bind(1)?.connect(0, &link).await?;
    let arrived = Arc::new(AtomicUsize::new(0));
    let (all, mut complete) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for subscriber in subscribers {
        tasks.spawn(count(subscriber, Arc::clone(&arrived), all.clone()));
    }
    let mut done = Done {
        ms: Vec::new(),
        missed: 0,
    };
    for (run, (envelope, _)) in envelopes.iter().enumerate() {
        tokio::time::sleep(PAUSE).await;
        arrived.store(0, Ordering::SeqCst);
        let request = [publish(&keys, std::slice::from_ref(envelope))];
        let start = Instant::now();
        let (published, last) = tokio::join!(
            publisher.publish(&request),
            timeout(PATIENCE, complete.recv())
        );
        published?;
        match last {
            // The first run warms up.
            Ok(Some(_)) if run == 0 => {}
            Ok(Some(end)) => done.ms.push((end - start).as_secs_f64() * 1_000.0),
            _ => done.missed += SUBSCRIBERS - arrived.load(Ordering::SeqCst),
        }
    }
    say(&done)
}

/// Counts every envelope that a subscriber holds whole; who completes the count says when.
async fn count(
    mut subscriber: Follower,
    arrived: Arc<AtomicUsize>,
    all: mpsc::UnboundedSender<Instant>,
) -> Result<(), Failure> {
    let mut latest = 0;
    while let Some(frame) = subscriber.receiver.next(MAX_FRAME).await? {
        let response::Kind::Batch(batch) = answer(frame)? else {
            continue;
        };
        let whole = batch.items.iter().all(|item| !item.sealed.is_empty());
        // Header times rise, so nothing that comes twice counts twice.
        if !whole || batch.base_time_ms <= latest {
            continue;
        }
        latest = batch.base_time_ms;
        if arrived.fetch_add(1, Ordering::SeqCst) + 1 == SUBSCRIBERS {
            all.send(Instant::now())?;
        }
    }
    Ok(())
}

const RUNS: usize = 20;
const SUBSCRIBERS: usize = 1_000;
/// Between two runs, so that each starts from rest.
const PAUSE: Duration = Duration::from_millis(150);
/// After this a frame counts as missed.
const PATIENCE: Duration = Duration::from_secs(2);
