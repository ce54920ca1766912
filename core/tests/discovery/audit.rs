//! Two simulated nodes are compared: honest ones, forgetful ones, and one that withholds.

use std::collections::BTreeMap;
use std::time::Duration;

use ailurus::channel::{Address, Envelope, Kind};
use ailurus::crypto::{NodeKey, SeededEntropy, SigningKey};
use ailurus::discovery::audit::{Audit, Outcome, Step, Window};
use ailurus::wire::{
    limits::{DIGEST_MAX_AGE, DIGEST_MIN_AGE, LIFETIME, MAX_DIGEST_STEPS},
    node::{Digest, Digests, List, Listed, Published, Reason, Refusal, Sum},
    time::UnixMillis,
};
use bytes::Bytes;
use proptest::prelude::*;

use super::{HOUR, MINUTE, NOW, key};

const ADDRESS: Address = Address::from_bytes([7; 32]);

/// A node of one address, as the protocol says it behaves.
#[derive(Clone)]
struct Node {
    key: NodeKey,
    kept: BTreeMap<UnixMillis, Envelope>,
    /// Says yes to everything and keeps nothing of these times.
    hides: Option<UnixMillis>,
    refuses: Option<Reason>,
    leased: bool,
    /// Its sums are made up, new ones each time.
    lies: bool,
}

impl Node {
    fn new(number: u8, envelopes: &[Envelope]) -> Self {
        Self {
            key: key(number),
            kept: envelopes
                .iter()
                .map(|envelope| (envelope.header().time, envelope.clone()))
                .collect(),
            hides: None,
            refuses: None,
            leased: true,
            lies: false,
        }
    }

    fn ids(&self, from: u64, to: u64, now: UnixMillis) -> Vec<&Envelope> {
        self.kept
            .values()
            .filter(|envelope| {
                let time = envelope.header().time;
                (from..to).contains(&time.as_millis())
                    && now.since(time) < LIFETIME
                    && self.hides != Some(time)
            })
            .collect()
    }

    fn digest(&self, request: &Digest, now: UnixMillis) -> Digests {
        if !self.leased {
            return Digests {
                refusals: vec![Refusal {
                    index: 0,
                    reason: Reason::NotRegistered.into(),
                }],
                ..Digests::default()
            };
        }
        let sums = (0..u64::from(request.steps)).map(|step| {
            let from = request.from_ms + step * request.step_ms;
            let ids = self.ids(from, from + request.step_ms, now);
            let mut sum = [0; 16];
            if self.lies {
                sum[..8].copy_from_slice(&now.as_millis().to_be_bytes());
            }
            for envelope in &ids {
                for (sum, byte) in sum.iter_mut().zip(envelope.id().as_bytes()) {
                    *sum ^= byte;
                }
            }
            Sum {
                count: ids.len() as u32,
                ids: match ids.len() {
                    0 => Bytes::new(),
                    _ => Bytes::copy_from_slice(&sum),
                },
            }
        });
        Digests {
            sums: sums.collect(),
            ..Digests::default()
        }
    }

    fn list(&self, request: &List, now: UnixMillis) -> Listed {
        let ids = self.ids(request.from_ms, request.to_ms, now);
        Listed {
            ids: ids
                .iter()
                .map(|envelope| Bytes::copy_from_slice(envelope.id().as_bytes()))
                .collect(),
        }
    }

    fn publish(&mut self, envelopes: &[Envelope], now: UnixMillis) -> Published {
        let mut refusals = Vec::new();
        for (index, envelope) in envelopes.iter().enumerate() {
            let time = envelope.header().time;
            let expired = (now.since(time) >= LIFETIME).then_some(Reason::Expired);
            match self.refuses.or(expired) {
                Some(reason) => refusals.push(Refusal {
                    index: index as u32,
                    reason: reason.into(),
                }),
                None => {
                    self.kept.insert(time, envelope.clone());
                }
            }
        }
        Published { refusals }
    }
}

fn envelopes(times: impl IntoIterator<Item = UnixMillis>) -> Vec<Envelope> {
    let mut entropy = SeededEntropy::from_u64(1);
    let signing = SigningKey::random(&mut entropy);
    times
        .into_iter()
        .map(|time| {
            Envelope::sign(
                ADDRESS,
                time,
                Kind::Message,
                &time.as_millis().to_be_bytes(),
                &signing,
                &mut entropy,
            )
            .unwrap()
        })
        .collect()
}

/// Compares two nodes; the clock goes on by `step` with each request.
fn compare(nodes: &mut [Node; 2], mut now: UnixMillis, step: Duration) -> Outcome {
    let keys = [nodes[0].key, nodes[1].key];
    let window = Window::of([now, now]).unwrap();
    let mut audit = Audit::new(keys, vec![ADDRESS], window, now);
    let mut requests = 0;
    loop {
        now = now.after(step);
        requests += 1;
        assert!(requests < 2_000, "it ends");
        let side = |node: NodeKey| usize::from(node == keys[1]);
        match audit.next(now) {
            Step::Digest { node, request } => {
                let answer = nodes[side(node)].digest(&request, now);
                audit.digested(Some(&answer));
            }
            Step::List { node, request } => {
                let answer = nodes[side(node)].list(&request, now);
                audit.listed(Some(&answer));
            }
            Step::Fetch { node, id, .. } => {
                let kept = &nodes[side(node)].kept;
                audit.fetched(kept.values().find(|envelope| envelope.id() == id).cloned());
            }
            Step::Publish {
                node, envelopes, ..
            } => {
                let answer = nodes[side(node)].publish(&envelopes, now);
                audit.published(Some(&answer));
            }
            Step::Done => return audit.outcome().clone(),
        }
    }
}

#[test]
fn what_one_lacks_it_gets_from_the_other() {
    let all = envelopes((2..150_u32).map(|hours| NOW.before(HOUR * hours)));
    let mut nodes = [Node::new(1, &all[..140]), Node::new(2, &all[20..])];
    let outcome = compare(&mut nodes, NOW, Duration::ZERO);
    assert_eq!(outcome.repaired, 28);
    assert!(outcome.withheld.is_empty());
    assert_eq!(nodes[0].kept.len(), all.len());
    assert_eq!(nodes[1].kept.len(), all.len());
    let again = compare(&mut nodes, NOW, Duration::ZERO);
    assert_eq!(again, Outcome::default());
}

#[test]
fn whoever_acknowledges_and_still_lacks_it_withholds() {
    let all = envelopes((2..20_u32).map(|hours| NOW.before(HOUR * hours)));
    for liar in 0..2 {
        let mut nodes = [Node::new(1, &all), Node::new(2, &all)];
        nodes[liar].hides = Some(NOW.before(HOUR * 10));
        let outcome = compare(&mut nodes, NOW, Duration::ZERO);
        let key = nodes[liar].key;
        assert_eq!(outcome.withheld, BTreeMap::from([(key, 1)]));
    }
}

#[test]
fn whoever_gives_other_sums_than_those_of_its_list_lies() {
    let all = envelopes((2..20_u32).map(|hours| NOW.before(HOUR * hours)));
    for liar in 0..2 {
        let mut nodes = [Node::new(1, &all), Node::new(2, &all)];
        nodes[liar].lies = true;
        let outcome = compare(&mut nodes, NOW, Duration::from_millis(1));
        let [key, other] = [nodes[liar].key, nodes[1 - liar].key];
        assert_eq!(outcome.lying, [key].into());
        assert!(outcome.blames(&key) && !outcome.blames(&other));
    }
}

#[test]
fn a_limit_is_not_withholding() {
    let all = envelopes((2..20_u32).map(|hours| NOW.before(HOUR * hours)));
    for reason in [
        Reason::AddressFull,
        Reason::NodeFull,
        Reason::RateLimited,
        Reason::Storage,
        Reason::Expired,
    ] {
        let mut nodes = [Node::new(1, &all), Node::new(2, &[])];
        nodes[1].refuses = Some(reason);
        let outcome = compare(&mut nodes, NOW, Duration::ZERO);
        assert_eq!(outcome, Outcome::default(), "{reason:?}");
    }
}

#[test]
fn a_node_without_a_lease_is_told_of_and_not_blamed() {
    let all = envelopes([NOW.before(HOUR * 5)]);
    let mut nodes = [Node::new(1, &all), Node::new(2, &[])];
    nodes[1].leased = false;
    let outcome = compare(&mut nodes, NOW, Duration::ZERO);
    assert_eq!(outcome.unleased, [key(2)].into());
    assert!(outcome.withheld.is_empty());
}

#[test]
fn what_is_named_and_not_there_blames_nobody() {
    let all = envelopes([NOW.before(HOUR * 5)]);
    let [mut one, other] = [Node::new(1, &all), Node::new(2, &[])];
    // It lists an envelope that it cannot give.
    let window = Window::of([NOW, NOW]).unwrap();
    let mut audit = Audit::new([one.key, other.key], vec![ADDRESS], window, NOW);
    loop {
        match audit.next(NOW) {
            Step::Digest { node, request } => {
                let node = if node == one.key { &one } else { &other };
                audit.digested(Some(&node.digest(&request, NOW)));
            }
            Step::List { node, request } => {
                let node = if node == one.key { &one } else { &other };
                audit.listed(Some(&node.list(&request, NOW)));
            }
            Step::Fetch { .. } => {
                one.kept.clear();
                // Another envelope than the one that was asked for.
                let other = envelopes([NOW.before(HOUR * 5 + MINUTE)]).remove(0);
                audit.fetched(Some(other));
            }
            Step::Publish { .. } => panic!("there is nothing to offer"),
            Step::Done => break,
        }
    }
    assert_eq!(audit.outcome(), &Outcome::default());
}

#[test]
fn windows_are_whole_hours_that_both_clocks_allow() {
    let hour = HOUR.as_millis() as u64;
    for shift in [0, 1, 1_800_000, 3_599_999] {
        let now = NOW.offset(shift);
        let window = Window::of([now, now.after(10 * MINUTE)]).unwrap();
        assert_eq!(window.from.as_millis() % hour, 0);
        let end = window.from.after(HOUR * window.hours);
        assert!(now.since(end) >= DIGEST_MIN_AGE);
        assert!(now.after(10 * MINUTE).since(window.from) <= DIGEST_MAX_AGE);
        assert!(window.hours > 160 && window.hours <= MAX_DIGEST_STEPS);
    }
    assert_eq!(Window::of([NOW, NOW.after(LIFETIME)]), None);
    assert_eq!(Window::of([NOW, UnixMillis::from_millis(0)]), None);
    assert_eq!(
        Window::of([UnixMillis::from_millis(u64::MAX); 2]).map(|window| window.hours > 0),
        Some(true)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Honest nodes that expire, lack and receive as they may are never blamed, however slow the comparison is.
    #[test]
    fn an_honest_node_is_never_blamed(
        ages in proptest::collection::btree_set(0_u64..(8 * 24 * 60), 1..60),
        split in any::<u64>(),
        shift in 0_i64..3_600_000,
        step in 0_u64..240,
    ) {
        let now = NOW.offset(shift);
        let all = envelopes(ages.iter().map(|age| now.before(MINUTE * u32::try_from(*age).unwrap())));
        let has = |bit: usize| -> Vec<Envelope> {
            let of = all.iter().enumerate();
            of.filter(|(n, _)| (split.rotate_left(*n as u32) >> bit) & 1 == 1).map(|(_, e)| e.clone()).collect()
        };
        let mut nodes = [Node::new(1, &has(0)), Node::new(2, &has(5))];
        let outcome = compare(&mut nodes, now, Duration::from_secs(step));
        prop_assert!(outcome.withheld.is_empty() && outcome.lying.is_empty(), "{:?}", outcome);
    }
}
