//! A phone that was away: 10,000 messages from `poll` to committed in the encrypted store, and what they cost in bytes.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use ailurus::{
    channel::{Epoch, Link, MessageId, NodeLink},
    client::{Client, Options, PROFILE_FILE, Page, engine::Engine},
    crypto::{NodeKey, OsEntropy, SeededEntropy, entropy, sha256},
    store::{self, StorageKey},
    wire::node::{Batch, Request},
};

use crate::harness::{
    Failure,
    channel::{TestChannel, batch, publish},
    clock::BenchClock,
    folder,
    node::NodeProcess,
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
    wire::{Sockets, random_text},
};

pub const SUITE: Suite = Suite {
    specs: &[
        Spec {
            name: "catch_up_ratio",
            unit: "times the floor",
            limit: Limit::AtMost(1.8),
        },
        Spec {
            name: "catch_up_s",
            unit: "s",
            limit: Limit::AtMost(0.6),
        },
        Spec {
            name: "catch_up_bytes",
            unit: "bytes of UDP payload a message",
            limit: Limit::AtMost(420.0),
        },
    ],
    patience: Duration::from_secs(120),
    run: || Box::pin(run()),
};

async fn run() -> Result<Vec<Measured>, Failure> {
    let clock = BenchClock::in_mid_epoch();
    let work = tokio::task::spawn_blocking(move || Work::prepare(clock)).await??;
    let node = NodeProcess::start(clock).await?;
    let publisher = Sockets::bind(1)?.connect(0, node.link()).await?;
    publisher.publish(&work.introductions).await?;

    // Each phone joins and registers before the others write, so that it only has to catch up.
    let folder = folder()?;
    let mut phones = Vec::new();
    for run in 0..RUNS {
        let phone = Phone::join(&folder.path().join(format!("phone-{run}")), &node, &work).await?;
        phones.push(phone);
    }
    publisher.publish(&work.publications).await?;

    let (mut seconds, mut floors, mut ratios, mut bytes) = (vec![], vec![], vec![], vec![]);
    for (run, phone) in phones.into_iter().enumerate() {
        let path = folder.path().join(format!("floor-{run}"));
        let floor = tokio::task::block_in_place(|| work.floor(&path, node.link()))?;
        let start = Instant::now();
        let report = phone.0.poll().await?;
        let took = start.elapsed().as_secs_f64();
        if phone.digest(&work)? != work.digest {
            return Err("what the phone stored is not what was sent, in order".into());
        }
        seconds.push(took);
        floors.push(floor);
        ratios.push(took / floor);
        bytes.push((report.bytes_sent + report.bytes_received) as f64 / MESSAGES as f64);
        phone.0.shutdown().await;
    }
    let sample = |values| Sample::new(values).ok_or("no run");
    let floor = sample(floors)?;
    Ok(vec![
        Measured::new("catch_up_ratio", &sample(ratios)?)
            .floor(1.0)
            .note("each run beside its own floor"),
        Measured::new("catch_up_s", &sample(seconds)?)
            .floor(floor.median())
            .note("the whole poll on a resumed session")
            .note(&format!("floor: Engine::ingest in memory, {floor}")),
        Measured::new("catch_up_bytes", &sample(bytes)?),
    ])
}

/// Makes a profile in `folder` that holds all these messages in one channel.
pub fn stored_profile(folder: &Path, clock: BenchClock) -> Result<(), Failure> {
    let node = NodeLink::new(NodeKey::from_bytes([7; 32]), "127.0.0.1", 4433)?;
    Work::prepare(clock)?.floor(folder, &node)?;
    Ok(())
}

/// The storage key of all profiles here.
pub const KEY: [u8; 32] = [1; 32];

/// What is sent, and what must arrive.
struct Work {
    clock: BenchClock,
    link: Link,
    introductions: Vec<Request>,
    publications: Vec<Request>,
    introduced: Batch,
    /// The same envelopes as a node's answers, one element a transaction.
    transactions: Vec<Vec<Batch>>,
    digest: [u8; 32],
}

impl Work {
    fn prepare(clock: BenchClock) -> Result<Self, Failure> {
        let [previous, current] = Epoch::alive(clock.now());
        let mut channel = TestChannel::new(SEED, previous, AUTHORS);
        let mut entropy = SeededEntropy::from_u64(SEED + 1);
        let texts: Vec<String> = (0..MESSAGES)
            .map(|_| random_text(TEXT, &mut entropy))
            .collect();
        let step_ms = SPAN.as_millis() as u64 / (MESSAGES as u64 / 2);
        let begin = previous.end().before(SPAN).before(Duration::from_secs(60));

        let keys = [
            channel.address_keys(previous)?,
            channel.address_keys(current)?,
        ];
        let introductions = channel.introductions(begin)?;
        let (before, after) = texts.split_at(MESSAGES / 2);
        let halves = [
            channel.texts(before, previous.end().before(SPAN), step_ms)?,
            channel.texts(after, current.start(), step_ms)?,
        ];

        let mut publications = Vec::new();
        let mut batches = Vec::new();
        let mut stored = Vec::new();
        for (keys, half) in keys.iter().zip(&halves) {
            let (envelopes, ids): (Vec<_>, Vec<_>) = half.iter().cloned().unzip();
            stored.extend(ids);
            publications.extend(envelopes.chunks(PUBLISHED).map(|part| publish(keys, part)));
            batches.extend(envelopes.chunks(TRANSACTION).map(|part| {
                let frames = part.chunks(BATCH).map(|part| batch(keys, part));
                frames.collect::<Vec<_>>()
            }));
        }
        let pairs = stored.iter().zip(&texts);
        Ok(Self {
            clock,
            link: channel.link()?,
            introductions: vec![publish(&keys[0], &introductions)],
            publications,
            introduced: batch(&keys[0], &introductions),
            transactions: batches,
            digest: digest(pairs.map(|(id, text)| (id, text.as_str()))),
        })
    }

    /// The library's own verify, decrypt and commit over the same envelopes, without network and node.
    fn floor(&self, folder: &Path, node: &NodeLink) -> Result<f64, Failure> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(PROFILE_FILE);
        let mut engine =
            Engine::create(&path, &storage_key(), "Carol", std::slice::from_ref(node))?;
        let channel = engine.join(&self.link, None, self.clock.now())?;
        let first = std::slice::from_ref(&self.introduced);
        engine.ingest(node.key(), first, None, self.clock.now())?;

        let cursor = entropy::array::<CURSOR>(&mut OsEntropy);
        let start = Instant::now();
        for batches in &self.transactions {
            engine.ingest(node.key(), batches, Some(&cursor), self.clock.now())?;
        }
        let took = start.elapsed().as_secs_f64();
        let stored = engine.messages(&channel, store::Page::ArrivedAfter(0), 2 * MESSAGES)?;
        if stored.len() != MESSAGES {
            return Err(format!("the floor stored {} messages", stored.len()).into());
        }
        Ok(took)
    }
}

/// A client that has joined and is up to date.
struct Phone(Client);

impl Phone {
    async fn join(folder: &Path, node: &NodeProcess, work: &Work) -> Result<Self, Failure> {
        let options = Options {
            clock: std::sync::Arc::new(work.clock.system()),
            ..Options::default()
        };
        let nodes = std::slice::from_ref(node.link());
        let client = Client::create(folder, &storage_key(), "Bob", nodes, options)?;
        let channel = client.join(&work.link, None)?;
        let report = client.poll().await?;
        if report.nodes_reached != 1 || client.members(&channel)?.len() != AUTHORS {
            return Err(format!("a phone could not join: {report:?}").into());
        }
        Ok(Self(client))
    }

    /// Of all messages in the order in which they arrived.
    fn digest(&self, work: &Work) -> Result<[u8; 32], Failure> {
        let channel = work.link.access.channel_id();
        let messages = self.0.messages(&channel, Page::Arrived, 2 * MESSAGES)?;
        let pairs = messages.iter();
        Ok(digest(
            pairs.map(|message| (&message.id, message.text.as_str())),
        ))
    }
}

fn digest<'a>(messages: impl Iterator<Item = (&'a MessageId, &'a str)>) -> [u8; 32] {
    let mut all = Vec::new();
    for (id, text) in messages {
        all.extend_from_slice(id.as_bytes());
        all.extend_from_slice(text.as_bytes());
    }
    sha256(&[&all])
}

fn storage_key() -> StorageKey {
    StorageKey::from_bytes(KEY)
}

const RUNS: usize = 7;
const SEED: u64 = 1;
const MESSAGES: usize = 10_000;
const AUTHORS: usize = 20;
/// Bytes of each text.
const TEXT: usize = 200;
/// In each of the two epochs, the messages are spread over this time.
const SPAN: Duration = Duration::from_secs(3 * 24 * 3600);
/// Envelopes in one request to publish.
const PUBLISHED: usize = 500;
/// Envelopes that a client takes in at once when many wait.
const TRANSACTION: usize = 2_000;
/// Envelopes of this size in one batch of a node's answer.
const BATCH: usize = 160;
/// Bytes of a cursor.
const CURSOR: usize = 60;
