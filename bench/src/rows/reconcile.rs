//! What two nodes tell each other to find 1,000 messages among 1,000,000 that only one of them has.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use ailurus::{
    channel::{Epoch, NodeLink},
    crypto::{NodeKey, NodeSecret, SeededEntropy},
    wire::{
        limits::MAX_ANNOUNCEMENTS,
        node::{Announce, Request, Response, request, response},
        time::UnixMillis,
    },
};
use ailurus_node::Wire;
use prost::Message as _;

use crate::harness::{
    Failure,
    channel::publish,
    clock::BenchClock,
    fill::{Addresses, Filling, pseudonym, session},
    folder,
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
    wire::announcement,
};

use super::publish::BODY;

pub const SUITE: Suite = Suite {
    specs: &[
        Spec {
            name: "reconcile_new_kb",
            unit: "KB",
            limit: Limit::AtMost(100.0),
        },
        Spec {
            name: "reconcile_spread_kb",
            unit: "KB",
            limit: Limit::AtMost(1_500.0),
        },
        Spec {
            name: "reconcile_s",
            unit: "s",
            limit: Limit::AtMost(2.0),
        },
    ],
    patience: Duration::from_secs(600),
    run: || Box::pin(async { tokio::task::block_in_place(run) }),
};

fn run() -> Result<Vec<Measured>, Failure> {
    let clock = BenchClock::in_mid_epoch();
    let addresses = Addresses::new(ADDRESSES, Epoch::of(clock.now()));
    let folder = folder()?;
    let (near, far) = (folder.path().join("near.db"), folder.path().join("far.db"));
    let keys = [node(1)?, node(2)?];
    let start = Instant::now();
    fill(&near, &addresses, keys[0].key(), clock)?;
    let filled_s = start.elapsed().as_secs_f64();
    std::fs::copy(&near, &far)?;
    let mut pair = Pair::open([&near, &far], &addresses, &keys, clock)?;

    let (mut new, mut spread) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        new.push(pair.differ_and_reconcile(run, Differing::Newest)?);
        spread.push(pair.differ_and_reconcile(run, Differing::Spread)?);
    }
    let work = format!(
        "{} messages in {ADDRESSES} addresses over 6.8 days, filled in {filled_s:.0} s; {} more at each of the two nodes",
        ADDRESSES * EACH,
        DIFFERING / 2
    );
    let sample = |runs: &[Reconciled], value: fn(&Reconciled) -> f64| {
        Sample::new(runs.iter().map(value).collect()).ok_or("no run")
    };
    let kb = |name, runs: &[Reconciled], which| {
        let exchange = sample(runs, |run| run.exchange as f64 / 1e3)?.median();
        let rounds = sample(runs, |run| run.rounds as f64)?.median();
        Ok::<_, Failure>(
            Measured::new(name, &sample(runs, |run| run.bytes as f64 / 1e3)?)
                .note(&work)
                .note(which)
                .note(&format!(
                    "{rounds} rounds; {exchange:.0} KB more around the messages when these are exchanged"
                )),
        )
    };
    let (new_s, spread_s) = (
        sample(&new, |run| run.seconds)?,
        sample(&spread, |run| run.seconds)?,
    );
    let slower = if new_s.median() > spread_s.median() {
        &new_s
    } else {
        &spread_s
    };
    let reading = |runs: &[Reconciled]| {
        let near = sample(runs, |run| run.near_loading_s)?.median();
        let far = sample(runs, |run| run.far_loading_s)?.median();
        Ok::<_, Failure>(format!("{near:.2} and {far:.2} s"))
    };
    let commits_s = sample(&new, |run| run.commits_s)?.median();
    Ok(vec![
        kb("reconcile_new_kb", &new, "the newest")?,
        kb("reconcile_spread_kb", &spread, "spread evenly")?,
        Measured::new("reconcile_s", slower)
            .note(&work)
            .note(&format!(
                "newest {:.2} s, of which the two nodes load for {}; spread evenly {:.2} s, {}",
                new_s.median(),
                reading(&new)?,
                spread_s.median(),
                reading(&spread)?
            ))
            .note(&format!(
                "both nodes on one thread, one after the other, with the exchange of the messages but for {commits_s:.2} s \
                 in which one node commits request by request what a server commits together"
            )),
    ])
}

/// Where the messages are that only one node has.
#[derive(Clone, Copy)]
enum Differing {
    Newest,
    Spread,
}

/// One reconciliation.
#[derive(Default)]
struct Reconciled {
    /// Of questions and answers about the sets.
    bytes: usize,
    /// Of the requests and answers that carry messages, without signatures and bodies.
    exchange: usize,
    messages: usize,
    rounds: usize,
    /// All of it but `commits_s`.
    seconds: f64,
    /// In which the node that was asked commits what it lacked.
    commits_s: f64,
    /// Until the first question, and until its answer.
    near_loading_s: f64,
    far_loading_s: f64,
}

/// Two nodes, of which one has dialled the other.
struct Pair<'a> {
    nodes: [Filling; 2],
    wire: Wire,
    addresses: &'a Addresses,
    now: UnixMillis,
    published: u64,
}

impl<'a> Pair<'a> {
    fn open(
        paths: [&Path; 2],
        addresses: &'a Addresses,
        links: &[NodeLink; 2],
        clock: BenchClock,
    ) -> Result<Self, Failure> {
        let nodes = [
            Filling::open(paths[0], links[0].key(), clock)?,
            Filling::open(paths[1], links[1].key(), clock)?,
        ];
        announce(&nodes[0], addresses, links[0].key(), &links[1])?;
        announce(&nodes[1], addresses, links[1].key(), &links[0])?;
        let now = clock.now();
        let wire = Wire::new(nodes[0].service(), *links[1].key(), now)?;
        let mut pair = Self {
            nodes,
            wire,
            addresses,
            now,
            published: 0,
        };
        // Registers, and finds that nothing is to be done.
        let first = pair.reconcile()?;
        if first.messages > 0 {
            return Err("two copies of a store were not the same".into());
        }
        Ok(pair)
    }

    fn differ_and_reconcile(
        &mut self,
        run: usize,
        differing: Differing,
    ) -> Result<Reconciled, Failure> {
        self.now = self.wire.wake();
        for index in 0..self.nodes.len() {
            self.publish(index, run, differing)?;
        }
        let before = self.kept();
        let done = self.reconcile()?;
        let expected = [DIFFERING as u64 / 2; 2];
        let after = self.kept();
        if [after[0] - before[0], after[1] - before[1]] != expected || done.messages != DIFFERING {
            return Err(format!("the nodes kept {before:?} before and {after:?} after").into());
        }
        Ok(done)
    }

    fn kept(&self) -> [u64; 2] {
        [0, 1].map(|node: usize| self.nodes[node].service().store().envelopes())
    }

    /// Half of what differs comes to one of the two.
    fn publish(&mut self, node: usize, run: usize, differing: Differing) -> Result<(), Failure> {
        let mut entropy = SeededEntropy::from_u64(1_000_000 + self.published);
        let mut requests = Vec::with_capacity(DIFFERING / 2);
        for index in 0..DIFFERING / 2 {
            let number = index * 2 + node;
            let (keys, _) = self.addresses.keys((number * STRIDE + run) % ADDRESSES);
            let age = match differing {
                Differing::Newest => Duration::from_millis((DIFFERING - number) as u64),
                Differing::Spread => SPREAD * (DIFFERING - number) as u32 / (DIFFERING + 1) as u32,
            };
            let envelope = self
                .addresses
                .sign(&keys, self.now.before(age), BODY, &mut entropy)?;
            requests.push((session(&pseudonym(0)), publish(&keys, &[envelope])));
            self.published += 1;
        }
        self.nodes[node].commit_at(requests, self.now)
    }

    fn reconcile(&mut self) -> Result<Reconciled, Failure> {
        let mut done = Reconciled::default();
        let (near, far, now) = (self.nodes[0].service(), self.nodes[1].service(), self.now);
        let start = Instant::now();
        let end = self.wire.run(near, now, |session, request| {
            let asked = Instant::now();
            let sent = cost(&request);
            let first = sent.0 && done.rounds == 0;
            let answers = far.handle(session, now, request);
            done.add(sent);
            if sent.2 > 0 {
                done.commits_s += asked.elapsed().as_secs_f64();
            }
            if sent.0 {
                done.rounds += 1;
            }
            for answer in &answers {
                done.add(cost_of_answer(answer));
            }
            if first {
                done.near_loading_s = (asked - start).as_secs_f64();
                done.far_loading_s = asked.elapsed().as_secs_f64();
            }
            answers
        })?;
        done.seconds = start.elapsed().as_secs_f64() - done.commits_s;
        match end {
            None => Ok(done),
            Some(end) => Err(format!("the reconciliation ended: {end:?}").into()),
        }
    }
}

impl Reconciled {
    fn add(&mut self, (reconciles, bytes, messages): (bool, usize, usize)) {
        if reconciles {
            self.bytes += bytes;
        } else {
            self.exchange += bytes;
        }
        self.messages += messages;
    }
}

/// Whether it is about the sets, its bytes without those of messages, and how many messages it carries.
fn cost(request: &Request) -> (bool, usize, usize) {
    let length = request.encoded_len();
    match &request.kind {
        Some(request::Kind::Reconcile(_)) => (true, length, 0),
        Some(request::Kind::Publish(publish)) => {
            let sealed: usize = publish.items.iter().map(|item| item.sealed.len()).sum();
            (false, length - sealed, publish.items.len())
        }
        _ => (false, length, 0),
    }
}

fn cost_of_answer(response: &Response) -> (bool, usize, usize) {
    let length = response.encoded_len();
    match &response.kind {
        Some(response::Kind::Reconciled(_)) => (true, length, 0),
        Some(response::Kind::Batch(batch)) => {
            let sealed: usize = batch.items.iter().map(|item| item.sealed.len()).sum();
            (false, length - sealed, batch.items.len())
        }
        _ => (false, length, 0),
    }
}

/// A client leases all addresses, on which messages lie.
fn fill(
    path: &Path,
    addresses: &Addresses,
    node: &NodeKey,
    clock: BenchClock,
) -> Result<(), Failure> {
    let filling = Filling::open(path, node, clock)?;
    let client = pseudonym(0);
    let now = clock.now();
    filling.fill(ADDRESSES, |index| {
        let (keys, access) = addresses.keys(index);
        let (session, register) = filling.register(&client, [(&keys, access)].into_iter());
        let mut entropy = SeededEntropy::from_u64(index as u64);
        let envelopes = (0..EACH).map(|message| {
            let number = (message * ADDRESSES + index) as u32;
            let age = SPREAD / (ADDRESSES * EACH) as u32 * ((ADDRESSES * EACH) as u32 - number);
            addresses.sign(&keys, now.before(age), BODY, &mut entropy)
        });
        let envelopes = envelopes.collect::<Result<Vec<_>, _>>()?;
        let mut requests = vec![(session, register)];
        for part in envelopes.chunks(EACH / 4) {
            requests.push((session, publish(&keys, part)));
        }
        Ok(requests)
    })
}

/// Tells a node that the other serves the same addresses.
fn announce(
    filling: &Filling,
    addresses: &Addresses,
    node: &NodeKey,
    other: &NodeLink,
) -> Result<(), Failure> {
    let indices: Vec<usize> = (0..ADDRESSES).collect();
    for part in indices.chunks(MAX_ANNOUNCEMENTS) {
        let announcements = part.iter().map(|index| {
            let (keys, _) = addresses.keys(*index);
            announcement(&keys, node, std::slice::from_ref(other))
        });
        let request = Request {
            kind: Some(request::Kind::Announce(Announce {
                announcements: announcements.collect(),
            })),
        };
        filling.commit(vec![(session(&pseudonym(0)), request)])?;
    }
    Ok(())
}

/// A node that nobody dials.
fn node(seed: u8) -> Result<NodeLink, Failure> {
    let key = NodeSecret::from_bytes([seed; 32]).public();
    Ok(NodeLink::new(key, "127.0.0.1", 1)?)
}

const RUNS: usize = 3;
const ADDRESSES: usize = 1_000;
/// Messages that both have on each address.
const EACH: usize = 1_000;
/// Messages that one of the two has.
const DIFFERING: usize = 1_000;
/// Addresses between two messages that differ; has no factor in common with their number.
const STRIDE: usize = 7;
/// The oldest is as old as this: younger than what nodes leave out because it is about to end.
const SPREAD: Duration = Duration::from_secs(68 * 8_640);
