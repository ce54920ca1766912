//! How much a node takes: 64 connections publish as fast as it acknowledges, each acknowledgement after an fsync.

use std::time::{Duration, Instant};

use ailurus::{
    channel::{AddressKeys, Envelope, Epoch, Kind, NewChannel, NodeLink},
    crypto::{Entropy as _, NodeSecret, OsEntropy, PseudonymSecret, SeededEntropy},
    wire::{
        frame,
        limits::MAX_FRAME,
        node::{Response, response},
    },
};
use ailurus_node::{Limits, Service, Session, Store};
use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::harness::{
    Failure,
    channel::publish,
    clock::BenchClock,
    disk::sync_ms,
    folder,
    node::NodeProcess,
    process::{RoleProcess, say, told},
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
    wire::{Peer, Sockets, answer},
};

pub const SUITE: Suite = Suite {
    specs: &[
        Spec {
            name: "publish_per_s",
            unit: "1/s",
            limit: Limit::AtLeast(10_000.0),
        },
        Spec {
            name: "publish_ratio",
            unit: "times the floor",
            limit: Limit::AtLeast(0.5),
        },
    ],
    patience: Duration::from_secs(150),
    run: || Box::pin(run()),
};

pub const ROLE: &str = "publish";

async fn run() -> Result<Vec<Measured>, Failure> {
    let clock = BenchClock::new();
    let node = NodeProcess::start(clock).await?;
    let arguments = [node.link().to_string(), clock.offset_s().to_string()];
    let mut clients = RoleProcess::start(ROLE, &arguments)?;
    let mut floor = Floor::open(clock)?;
    let sync = sync_ms(floor.folder.path())?;
    let (mut rates, mut floors, mut ratios) = (vec![], vec![], vec![]);
    // The first run warms up: connections, keys and pages.
    for run in 0..=RUNS {
        let Ready {} = clients.answer(SIGNING).await?;
        let alone = tokio::task::block_in_place(|| floor.run(run))?;
        clients.go()?;
        let done: Done = clients.answer(RUNNING).await?;
        if run > 0 {
            rates.push(done.per_s);
            floors.push(alone);
            ratios.push(done.per_s / alone);
        }
    }
    let sample = |values| Sample::new(values).ok_or("no run");
    let floor = sample(floors)?;
    Ok(vec![
        Measured::new("publish_per_s", &sample(rates)?)
            .floor(floor.median())
            .note(&format!("an fdatasync of 4 KiB takes {sync:.2} ms here"))
            .note(&format!(
                "{} envelopes a run, each a request of its own",
                all()
            ))
            .note(&format!(
                "floor: one thread verifies and commits {EACH} at a time, {floor}"
            )),
        Measured::new("publish_ratio", &sample(ratios)?)
            .floor(1.0)
            .note("each run beside its own floor"),
    ])
}

/// A run is signed.
#[derive(Serialize, Deserialize)]
struct Ready {}

/// A run is over.
#[derive(Serialize, Deserialize)]
struct Done {
    per_s: f64,
}

/// The node's own checks and store, called on one thread.
struct Floor {
    clock: BenchClock,
    service: Service,
    session: Session,
    folder: tempfile::TempDir,
}

impl Floor {
    fn open(clock: BenchClock) -> Result<Self, Failure> {
        let folder = folder()?;
        let store = Store::open(&folder.path().join("floor.db"))?;
        let limits = Limits {
            items_per_second: u32::MAX,
            items_burst: u32::MAX,
            bytes_per_second: u32::MAX,
            bytes_burst: u32::MAX,
            bytes_per_address: u64::MAX,
            ..Limits::default()
        };
        let key = NodeSecret::random(&mut OsEntropy).public();
        Ok(Self {
            clock,
            service: Service::new(std::sync::Arc::new(store), limits, key),
            session: Session {
                pseudonym: PseudonymSecret::random(&mut OsEntropy).public(),
                early: false,
                exporter: None,
                network: None,
            },
            folder,
        })
    }

    /// Envelopes verified and committed in a second.
    fn run(&mut self, run: usize) -> Result<f64, Failure> {
        let requests = sign(self.clock, run)?
            .into_iter()
            .map(|(keys, envelopes)| publish(&keys, &envelopes))
            .collect::<Vec<_>>();
        let start = Instant::now();
        for request in requests {
            let answers = self
                .service
                .handle(&self.session, self.clock.now(), request);
            for answer in answers {
                accepted(answer.kind)?;
            }
        }
        Ok(all() as f64 / start.elapsed().as_secs_f64())
    }
}

/// The clients.
pub async fn play(arguments: &[String]) -> Result<(), Failure> {
    let [link, offset] = arguments else {
        return Err("publish takes a node link and a clock offset".into());
    };
    let (link, clock): (NodeLink, _) = (link.parse()?, BenchClock::shifted(offset.parse()?));
    let sockets = Sockets::bind(CHANNELS)?;
    let mut peers = Vec::with_capacity(CHANNELS);
    for index in 0..CHANNELS {
        peers.push(sockets.connect(index, &link).await?);
    }
    for run in 0.. {
        let mut signed = Vec::with_capacity(CHANNELS);
        for (keys, envelopes) in sign(clock, run)? {
            let requests = envelopes.iter().map(|envelope| {
                let request = publish(&keys, std::slice::from_ref(envelope));
                frame::encode(&request.encode_to_vec())
            });
            signed.push(requests.collect::<Vec<_>>());
        }
        say(&Ready {})?;
        if !tokio::task::block_in_place(told)? {
            return Ok(());
        }
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for (peer, frames) in std::mem::take(&mut peers).into_iter().zip(signed) {
            tasks.spawn(async move {
                send(&peer, frames).await?;
                Ok::<_, Failure>(peer)
            });
        }
        while let Some(done) = tasks.join_next().await {
            peers.push(done??);
        }
        say(&Done {
            per_s: all() as f64 / start.elapsed().as_secs_f64(),
        })?;
    }
    Ok(())
}

/// Sends frames, never more than a window before their acknowledgements.
async fn send(peer: &Peer, mut frames: Vec<Bytes>) -> Result<(), Failure> {
    let (mut sender, mut receiver) = peer.open().await?;
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < frames.len() {
        let end = frames.len().min(acknowledged + WINDOW);
        if end > sent {
            sender.send_all(&mut frames[sent..end]).await?;
            sent = end;
        }
        let mut next = receiver.next(MAX_FRAME).await?;
        while let Some(frame) = next {
            accepted(Some(answer(frame)?))?;
            acknowledged += 1;
            next = receiver.try_buffered(MAX_FRAME)?;
        }
    }
    sender.finish()?;
    Ok(())
}

fn accepted(answer: Option<response::Kind>) -> Result<(), Failure> {
    match answer {
        Some(response::Kind::Published(published)) if published.refusals.is_empty() => Ok(()),
        kind => Err(format!("not acknowledged: {:?}", Response { kind }).into()),
    }
}

/// The envelopes of a run, by channel: the same in every process. A node sees only the outer signature, so the bodies
/// are random bytes of the length that a text of 200 bytes has.
fn sign(clock: BenchClock, run: usize) -> Result<Vec<(AddressKeys, Vec<Envelope>)>, Failure> {
    let epoch = Epoch::of(clock.now());
    let mut time = epoch.start().offset(run as i64);
    let mut signed = Vec::with_capacity(CHANNELS);
    for channel in 0..CHANNELS {
        let mut entropy = SeededEntropy::from_u64(channel as u64);
        let access = NewChannel::create(epoch, &mut entropy).access;
        let mut entropy =
            SeededEntropy::from_u64((1 + run * CHANNELS + channel) as u64 * 1_000_003);
        let keys = access.address_keys(epoch)?;
        let blinded = access
            .blinded_signing(epoch)?
            .ok_or("the channel cannot be written to")?;
        let mut envelopes = Vec::with_capacity(EACH);
        for _ in 0..EACH {
            let mut body = [0; BODY];
            entropy.fill(&mut body);
            time = time.offset(1);
            let kind = Kind::Message;
            envelopes.push(Envelope::sign(
                keys.address,
                time,
                kind,
                &body,
                &blinded,
                &mut entropy,
            )?);
        }
        signed.push((keys, envelopes));
    }
    Ok(signed)
}

const fn all() -> usize {
    CHANNELS * EACH
}

const RUNS: usize = 5;
/// Channels, and as many connections.
const CHANNELS: usize = 64;
/// Envelopes of each channel in a run.
const EACH: usize = 320;
/// Requests of a connection that are not acknowledged yet.
const WINDOW: usize = 64;
/// Bytes of a body, as of a text of 200 bytes.
const BODY: usize = 316;
const SIGNING: Duration = Duration::from_secs(30);
const RUNNING: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{channel::TestChannel, wire::random_text};

    #[test]
    fn bodies_are_as_long_as_those_of_texts() {
        let epoch = Epoch::new(2_900);
        let text = random_text(200, &mut SeededEntropy::from_u64(1));
        let sealed = TestChannel::new(1, epoch, 1)
            .texts(&[text], epoch.start(), 1)
            .expect("sealed");
        assert_eq!(sealed[0].0.body().len(), BODY);
    }
}
