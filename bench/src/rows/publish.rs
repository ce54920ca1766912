//! How much a node takes: 64 connections publish as fast as it acknowledges, each acknowledgement after an fsync. Once
//! with a channel for each connection, and once with thousands of channels, whose keys no longer fit the node's caches.

use std::time::{Duration, Instant};

use ailurus::{
    channel::{AddressKeys, Envelope, Epoch, Kind, NewChannel, NodeLink},
    crypto::{Entropy as _, NodeSecret, OsEntropy, PseudonymSecret, SeededEntropy},
    wire::{
        frame,
        limits::MAX_FRAME,
        node::{Request, Response, response},
    },
};
use ailurus_node::{Service, Session, Store};
use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::harness::{
    Failure,
    channel::publish,
    clock::BenchClock,
    disk::sync_ms,
    fill::unlimited,
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

pub const INGEST: Suite = Suite {
    specs: &[Spec {
        name: "ingest_per_s",
        unit: "1/s",
        limit: Limit::AtLeast(20_000.0),
    }],
    patience: Duration::from_secs(180),
    run: || Box::pin(ingest()),
};

pub const ROLE: &str = "publish";

/// What is published in a run, over [`CONNECTIONS`] connections.
#[derive(Clone, Copy)]
struct Load {
    channels: usize,
    /// Envelopes of each channel.
    each: usize,
}

/// A channel for each connection.
const FEW: Load = Load {
    channels: CONNECTIONS,
    each: 320,
};
/// About as many envelopes, of channels that take turns.
const MANY: Load = Load {
    channels: 5_000,
    each: 4,
};

async fn run() -> Result<Vec<Measured>, Failure> {
    let (rates, ratios) = measure(FEW, "publish_per_s").await?;
    Ok(vec![
        rates,
        Measured::new("publish_ratio", &ratios)
            .floor(1.0)
            .note("each run beside its own floor"),
    ])
}

async fn ingest() -> Result<Vec<Measured>, Failure> {
    let (rates, _) = measure(MANY, "ingest_per_s").await?;
    Ok(vec![rates.note(&format!(
        "{} channels that take turns, {} on a connection",
        MANY.channels,
        MANY.channels.div_ceil(CONNECTIONS)
    ))])
}

/// Envelopes a second as a row, and how many times the floor that is.
async fn measure(load: Load, name: &'static str) -> Result<(Measured, Sample), Failure> {
    let clock = BenchClock::in_mid_epoch();
    let node = NodeProcess::start(clock).await?;
    let arguments = [
        node.link().to_string(),
        clock.offset_s().to_string(),
        load.channels.to_string(),
        load.each.to_string(),
    ];
    let mut clients = RoleProcess::start(ROLE, &arguments)?;
    let mut floor = Floor::open(clock, load)?;
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
    let row = Measured::new(name, &sample(rates)?)
        .floor(floor.median())
        .note(&format!("an fdatasync of 4 KiB takes {sync:.2} ms here"))
        .note(&format!(
            "{} envelopes a run, each a request of its own",
            load.all()
        ))
        .note(&format!(
            "floor: one thread verifies and commits {AT_ONCE} at a time, {floor}"
        ));
    Ok((row, sample(ratios)?))
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
    load: Load,
    service: Service,
    session: Session,
    folder: tempfile::TempDir,
}

impl Floor {
    fn open(clock: BenchClock, load: Load) -> Result<Self, Failure> {
        let folder = folder()?;
        let store = Store::open(&folder.path().join("floor.db"))?;
        let key = NodeSecret::random(&mut OsEntropy).public();
        Ok(Self {
            clock,
            load,
            service: Service::new(std::sync::Arc::new(store), unlimited(), key),
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
        let signed = self.load.sign(self.clock, run)?;
        let batches: Vec<Vec<(Session, Request)>> = signed
            .chunks(AT_ONCE.div_ceil(self.load.each))
            .map(|channels| {
                let requests = channels
                    .iter()
                    .map(|(keys, envelopes)| (self.session, publish(keys, envelopes)));
                requests.collect()
            })
            .collect();
        let start = Instant::now();
        for batch in batches {
            for answer in self.service.handle_all(batch, self.clock.now()) {
                accepted(answer.kind)?;
            }
        }
        Ok(self.load.all() as f64 / start.elapsed().as_secs_f64())
    }
}

/// The clients.
pub async fn play(arguments: &[String]) -> Result<(), Failure> {
    let [link, offset, channels, each] = arguments else {
        return Err("publish takes a node link, a clock offset and two counts".into());
    };
    let (link, clock): (NodeLink, _) = (link.parse()?, BenchClock::shifted(offset.parse()?));
    let load = Load {
        channels: channels.parse()?,
        each: each.parse()?,
    };
    let sockets = Sockets::bind(CONNECTIONS)?;
    let mut peers = Vec::with_capacity(CONNECTIONS);
    for index in 0..CONNECTIONS {
        peers.push(sockets.connect(index, &link).await?);
    }
    for run in 0.. {
        let frames = load.frames(&load.sign(clock, run)?);
        say(&Ready {})?;
        if !tokio::task::block_in_place(told)? {
            return Ok(());
        }
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for (peer, frames) in std::mem::take(&mut peers).into_iter().zip(frames) {
            tasks.spawn(async move {
                send(&peer, frames).await?;
                Ok::<_, Failure>(peer)
            });
        }
        while let Some(done) = tasks.join_next().await {
            peers.push(done??);
        }
        say(&Done {
            per_s: load.all() as f64 / start.elapsed().as_secs_f64(),
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

impl Load {
    const fn all(self) -> usize {
        self.channels * self.each
    }

    /// The envelopes of a run, by channel: the same in every process. A node sees only the outer signature, so the
    /// bodies are random bytes of the length that a text of 200 bytes has.
    fn sign(
        self,
        clock: BenchClock,
        run: usize,
    ) -> Result<Vec<(AddressKeys, Vec<Envelope>)>, Failure> {
        let epoch = Epoch::of(clock.now());
        let mut time = epoch.start().offset(run as i64);
        let mut signed = Vec::with_capacity(self.channels);
        for channel in 0..self.channels {
            let mut entropy = SeededEntropy::from_u64(channel as u64);
            let access = NewChannel::create(epoch, &mut entropy).access;
            let mut entropy =
                SeededEntropy::from_u64((1 + run * self.channels + channel) as u64 * 1_000_003);
            let keys = access.address_keys(epoch)?;
            let blinded = access
                .blinded_signing(epoch)?
                .ok_or("the channel cannot be written to")?;
            let mut envelopes = Vec::with_capacity(self.each);
            for _ in 0..self.each {
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

    /// What each connection sends: its channels in turn, an envelope of each.
    fn frames(self, signed: &[(AddressKeys, Vec<Envelope>)]) -> Vec<Vec<Bytes>> {
        let of_connection = |connection| {
            let channels = || signed.iter().skip(connection).step_by(CONNECTIONS);
            let turns = (0..self.each).flat_map(|turn| channels().map(move |of| (of, turn)));
            let frames = turns.map(|((keys, envelopes), turn)| {
                let request = publish(keys, &envelopes[turn..=turn]);
                frame::encode(&request.encode_to_vec())
            });
            frames.collect()
        };
        (0..CONNECTIONS).map(of_connection).collect()
    }
}

const RUNS: usize = 5;
const CONNECTIONS: usize = 64;
/// Envelopes that the floor verifies and commits together.
const AT_ONCE: usize = 320;
/// Requests of a connection that are not acknowledged yet.
const WINDOW: usize = 64;
/// Bytes of a body, as of a text of 200 bytes.
pub const BODY: usize = 316;
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
