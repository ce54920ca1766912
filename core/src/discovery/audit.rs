//! Comparing two super nodes that serve the same addresses, to complete both and to notice one that withholds.
//!
//! Digests of whole hours are compared; where they differ the ids are listed, what one lacks is fetched from the other
//! and offered to it. Only a node that has acknowledged an envelope and then still does not list it withholds: one that
//! never had it, refuses it for a limit, or lets it go at the edge of the window is honest. A node whose sum is twice not
//! that of what it lists lies: it would have clients list everything again and again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::channel::{Address, Envelope, EnvelopeId};
use crate::crypto::NodeKey;
use crate::wire::{
    limits::{DIGEST_MAX_AGE, DIGEST_MIN_AGE, MAX_DIGEST_STEPS, MAX_LEASES, MAX_LISTED},
    node::{Digest, Digests, List, Listed, Published, Sum},
    time::UnixMillis,
};

/// What digests cover: whole hours that both nodes must still have, and must have received by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Header times from here on.
    pub from: UnixMillis,
    /// So many hours.
    pub hours: u32,
}

impl Window {
    /// The window of two nodes whose clocks show this; `None` if they are so far apart that there is none.
    pub fn of(clocks: [UnixMillis; 2]) -> Option<Self> {
        let [one, other] = clocks;
        let hour = millis(HOUR);
        let oldest = one.max(other).before(DIGEST_MAX_AGE).as_millis();
        let newest = one.min(other).before(DIGEST_MIN_AGE).as_millis();
        let from = oldest.div_ceil(hour);
        let to = newest / hour;
        let hours = u32::try_from(to.checked_sub(from)?).ok()?;
        (1..=MAX_DIGEST_STEPS).contains(&hours).then_some(Self {
            from: UnixMillis::from_millis(from * hour),
            hours,
        })
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Send this to the node and hand [`Audit::digested`] its answer.
    Digest {
        /// Whom to ask.
        node: NodeKey,
        /// What.
        request: Digest,
    },
    /// Send this to the node and hand [`Audit::listed`] its answer.
    List {
        /// Whom to ask.
        node: NodeKey,
        /// What.
        request: List,
    },
    /// Fetch this envelope, take it in, and hand it to [`Audit::fetched`].
    Fetch {
        /// From whom.
        node: NodeKey,
        /// Where it lies.
        address: Address,
        /// Which.
        id: EnvelopeId,
    },
    /// Publish these, as they are, and hand [`Audit::published`] the answer.
    Publish {
        /// To whom.
        node: NodeKey,
        /// Where they belong.
        address: Address,
        /// What.
        envelopes: Vec<Envelope>,
    },
    /// [`Audit::outcome`] has the result.
    Done,
}

/// What a comparison showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Nodes that acknowledged envelopes and then did not list them, and how many.
    pub withheld: BTreeMap<NodeKey, usize>,
    /// Nodes whose sums were not those of what they listed, also when they were asked again.
    pub lying: BTreeSet<NodeKey>,
    /// Nodes that have no lease on an address that they were asked for.
    pub unleased: BTreeSet<NodeKey>,
    /// Envelopes that one of the two lacked and took.
    pub repaired: usize,
}

impl Outcome {
    /// Whether a node is to be left for what it did.
    pub fn blames(&self, node: &NodeKey) -> bool {
        self.withheld.contains_key(node) || self.lying.contains(node)
    }
}

/// One comparison. After each answer, [`Audit::next`] says what to do.
#[derive(Debug)]
pub struct Audit {
    nodes: [NodeKey; 2],
    addresses: Vec<Address>,
    window: Window,
    /// Hours in a step: more for many addresses, or their sums would not fit an answer.
    step: u32,
    begun: UnixMillis,
    todo: VecDeque<Task>,
    digests: [Option<BTreeMap<(Address, u32), Sum>>; 2],
    /// Listed ids by side.
    listed: [BTreeMap<Place, BTreeSet<EnvelopeId>>; 2],
    /// What a side acknowledged, and must list from now on.
    owed: [BTreeMap<Place, BTreeSet<EnvelopeId>>; 2],
    /// What was fetched for a side that lacks it.
    fetched: BTreeMap<(usize, Address), Vec<(Span, Envelope)>>,
    fetched_count: usize,
    /// The answer to the last [`Task::Redigest`].
    again: Option<Sum>,
    outcome: Outcome,
}

/// Header times of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    from: UnixMillis,
    to: UnixMillis,
}

type Place = (Address, Span);

#[derive(Clone, Debug)]
enum Task {
    Digest(usize),
    Compare,
    List(usize, Place),
    /// The sum of a place once more, as it was not that of the list.
    Redigest(usize, Place),
    /// And the list.
    Relist(usize, Place),
    Match(Place),
    Fetch {
        from: usize,
        place: Place,
        id: EnvelopeId,
    },
    Offer,
    Publish(usize, Address, Vec<(Span, Envelope)>),
    Recheck,
    Confirm(usize, Place),
}

impl Audit {
    /// Compares two nodes over `addresses` that both have leased to us, the first 512 of them.
    pub fn new(
        nodes: [NodeKey; 2],
        mut addresses: Vec<Address>,
        window: Window,
        now: UnixMillis,
    ) -> Self {
        addresses.truncate(MAX_LEASES);
        let sums = u32::try_from(addresses.len())
            .unwrap_or(u32::MAX)
            .saturating_mul(window.hours);
        Self {
            nodes,
            addresses,
            window,
            step: sums.div_ceil(MAX_SUMS).clamp(1, window.hours.max(1)),
            begun: now,
            todo: VecDeque::from([Task::Digest(0), Task::Digest(1), Task::Compare]),
            digests: [None, None],
            listed: Default::default(),
            owed: Default::default(),
            fetched: BTreeMap::new(),
            fetched_count: 0,
            again: None,
            outcome: Outcome::default(),
        }
    }

    /// What to do next; it is asked for again until the answer was handed over.
    pub fn next(&mut self, now: UnixMillis) -> Step {
        // What is at the edge of the window may be gone soon.
        if now.distance(self.begun) > LONGEST {
            self.todo.clear();
        }
        loop {
            let Some(task) = self.todo.front().cloned() else {
                return Step::Done;
            };
            match task {
                Task::Compare => self.compare(),
                Task::Match(place) => self.match_lists(place),
                Task::Offer => self.offer(),
                Task::Recheck => self.recheck(),
                Task::Digest(side) => {
                    return Step::Digest {
                        node: self.node(side),
                        request: self.digest(),
                    };
                }
                Task::Redigest(side, place) => {
                    return Step::Digest {
                        node: self.node(side),
                        request: digest_of(&place),
                    };
                }
                Task::List(side, place)
                | Task::Relist(side, place)
                | Task::Confirm(side, place) => {
                    return Step::List {
                        node: self.node(side),
                        request: list(&place),
                    };
                }
                Task::Fetch { from, place, id } => {
                    return Step::Fetch {
                        node: self.node(from),
                        address: place.0,
                        id,
                    };
                }
                Task::Publish(side, address, items) => {
                    return Step::Publish {
                        node: self.node(side),
                        address,
                        envelopes: items.into_iter().map(|(_, envelope)| envelope).collect(),
                    };
                }
            }
            self.todo.pop_front();
        }
    }

    /// The answer to [`Step::Digest`]; `None` if the node refused.
    pub fn digested(&mut self, answer: Option<&Digests>) {
        let side = match self.todo.pop_front() {
            Some(Task::Digest(side)) => side,
            Some(Task::Redigest(..)) => {
                self.again = answer.and_then(|answer| match &answer.sums[..] {
                    [sum] => Some(sum.clone()),
                    _ => None,
                });
                return;
            }
            _ => return,
        };
        let sums = answer.and_then(|answer| self.by_place(side, answer));
        match (sums, self.digests.get_mut(side)) {
            (Some(sums), Some(place)) => *place = Some(sums),
            // Nothing can be compared with what does not answer.
            _ => self.todo.clear(),
        }
    }

    /// The answer to [`Step::List`]; `None` if the node refused.
    pub fn listed(&mut self, answer: Option<&Listed>) {
        let ids = answer
            .filter(|answer| answer.ids.len() < MAX_LISTED)
            .map(|answer| {
                answer
                    .ids
                    .iter()
                    .filter_map(|id| EnvelopeId::try_from(id.as_ref()).ok())
                    .collect::<BTreeSet<_>>()
            });
        match self.todo.pop_front() {
            Some(Task::List(side, place)) => {
                let Some(ids) = ids else {
                    return;
                };
                if self
                    .sum_of(side, &place)
                    .is_some_and(|sum| *sum != sum_of(&ids))
                {
                    self.todo.push_front(Task::Relist(side, place));
                    self.todo.push_front(Task::Redigest(side, place));
                }
                if let Some(listed) = self.listed.get_mut(side) {
                    listed.insert(place, ids);
                }
            }
            Some(Task::Relist(side, place)) => {
                let before = self.listed.get(side).and_then(|listed| listed.get(&place));
                let (Some(ids), Some(before), Some(sum)) = (ids, before, self.again.take()) else {
                    return;
                };
                let (first, last) = (sum_of(before), sum_of(&ids));
                // An honest one may take something in before the sum was made and again after it.
                let grows = first.count < sum.count && sum.count < last.count;
                if sum != first && sum != last && !(grows && before.is_subset(&ids)) {
                    self.outcome.lying.insert(self.node(side));
                }
                if let Some(listed) = self.listed.get_mut(side) {
                    listed.insert(place, ids);
                }
            }
            Some(Task::Confirm(side, place)) => {
                let owed = self.owed.get(side).and_then(|owed| owed.get(&place));
                if let (Some(ids), Some(owed)) = (ids, owed) {
                    let lacking = owed.difference(&ids).count();
                    if lacking > 0 {
                        *self.outcome.withheld.entry(self.node(side)).or_default() += lacking;
                    }
                    self.outcome.repaired += owed.len() - lacking;
                }
            }
            _ => {}
        }
    }

    /// The answer to [`Step::Fetch`]; `None` if the node does not have it after all.
    pub fn fetched(&mut self, envelope: Option<Envelope>) {
        let Some(Task::Fetch { from, place, id }) = self.todo.pop_front() else {
            return;
        };
        let (address, span) = place;
        let fits = |envelope: &Envelope| {
            let header = envelope.header();
            envelope.id() == id
                && header.address == address
                && (span.from..span.to).contains(&header.time)
        };
        if let Some(envelope) = envelope.filter(fits) {
            self.fetched
                .entry((1 - from, address))
                .or_default()
                .push((span, envelope));
        }
    }

    /// The answer to [`Step::Publish`]; `None` if the node refused all of it. What it refused it does not owe.
    pub fn published(&mut self, answer: Option<&Published>) {
        let Some(Task::Publish(side, address, items)) = self.todo.pop_front() else {
            return;
        };
        let (Some(answer), Some(owed)) = (answer, self.owed.get_mut(side)) else {
            return;
        };
        let refused: BTreeSet<usize> = answer
            .refusals
            .iter()
            .filter_map(|refusal| usize::try_from(refusal.index).ok())
            .collect();
        for (index, (span, envelope)) in items.into_iter().enumerate() {
            if !refused.contains(&index) {
                owed.entry((address, span))
                    .or_default()
                    .insert(envelope.id());
            }
        }
    }

    /// What was found so far.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    fn node(&self, side: usize) -> NodeKey {
        let [one, other] = self.nodes;
        if side == 0 { one } else { other }
    }

    fn digest(&self) -> Digest {
        Digest {
            addresses: self
                .addresses
                .iter()
                .map(|address| Bytes::copy_from_slice(address.as_bytes()))
                .collect(),
            from_ms: self.window.from.as_millis(),
            step_ms: millis(HOUR * self.step),
            steps: self.steps(),
        }
    }

    /// What a side said at first of a place.
    fn sum_of(&self, side: usize, (address, span): &Place) -> Option<&Sum> {
        let into = span.from.since(self.window.from).as_secs();
        let step = into.checked_div(HOUR.as_secs() * u64::from(self.step))?;
        let sums = self.digests.get(side)?.as_ref()?;
        sums.get(&(*address, u32::try_from(step).ok()?))
    }

    fn steps(&self) -> u32 {
        self.window.hours / self.step.max(1)
    }

    fn span(&self, step: u32) -> Span {
        let from = self.window.from.after(HOUR * self.step * step);
        Span {
            from,
            to: from.after(HOUR * self.step),
        }
    }

    /// `None` if the answer does not fit the question.
    fn by_place(&mut self, side: usize, answer: &Digests) -> Option<BTreeMap<(Address, u32), Sum>> {
        let refused: BTreeSet<usize> = answer
            .refusals
            .iter()
            .filter_map(|refusal| usize::try_from(refusal.index).ok())
            .collect();
        if !refused.is_empty() {
            self.outcome.unleased.insert(self.node(side));
        }
        let answered: Vec<Address> = self
            .addresses
            .iter()
            .enumerate()
            .filter(|(index, _)| !refused.contains(index))
            .map(|(_, address)| *address)
            .collect();
        let steps = usize::try_from(self.steps()).ok()?;
        if answer.sums.len() != answered.len().checked_mul(steps)? {
            return None;
        }
        let places = answered
            .iter()
            .flat_map(|address| (0..self.steps()).map(move |step| (*address, step)));
        Some(places.zip(answer.sums.iter().cloned()).collect())
    }

    fn compare(&mut self) {
        let [Some(one), Some(other)] = &self.digests else {
            return;
        };
        let differing: Vec<Place> = one
            .iter()
            .filter(|(place, sum)| other.get(place).is_some_and(|theirs| theirs != *sum))
            .map(|((address, step), _)| (*address, self.span(*step)))
            .take(MAX_PLACES)
            .collect();
        for place in differing {
            self.todo.extend([
                Task::List(0, place),
                Task::List(1, place),
                Task::Match(place),
            ]);
        }
        self.todo.push_back(Task::Offer);
    }

    fn match_lists(&mut self, place: Place) {
        // Taken out: nobody asks for it again, and there may be much of it.
        let [one, other] = &mut self.listed;
        let (Some(one), Some(other)) = (one.remove(&place), other.remove(&place)) else {
            return;
        };
        let lacks = [(0, one.difference(&other)), (1, other.difference(&one))];
        let mut wanted = Vec::new();
        for (from, ids) in lacks {
            wanted.extend(ids.map(|id| Task::Fetch {
                from,
                place,
                id: *id,
            }));
        }
        wanted.truncate(MAX_FETCHED.saturating_sub(self.fetched_count));
        self.fetched_count += wanted.len();
        // Behind the match that is at the front now, before what follows.
        for task in wanted.into_iter().rev() {
            self.todo.insert(1, task);
        }
    }

    fn offer(&mut self) {
        for ((side, address), items) in std::mem::take(&mut self.fetched) {
            for piece in items.chunks(OFFERED) {
                self.todo
                    .push_back(Task::Publish(side, address, piece.to_vec()));
            }
        }
        self.todo.push_back(Task::Recheck);
    }

    fn recheck(&mut self) {
        for (side, owed) in self.owed.iter().enumerate() {
            for place in owed.keys() {
                self.todo.push_back(Task::Confirm(side, *place));
            }
        }
    }
}

fn digest_of((address, span): &Place) -> Digest {
    Digest {
        addresses: vec![Bytes::copy_from_slice(address.as_bytes())],
        from_ms: span.from.as_millis(),
        step_ms: span.to.as_millis().saturating_sub(span.from.as_millis()),
        steps: 1,
    }
}

/// The sum that a node should give for these.
fn sum_of(ids: &BTreeSet<EnvelopeId>) -> Sum {
    let mut sum = [0; 16];
    for id in ids {
        for (sum, byte) in sum.iter_mut().zip(id.as_bytes()) {
            *sum ^= byte;
        }
    }
    Sum {
        count: u32::try_from(ids.len()).unwrap_or(u32::MAX),
        ids: match ids.len() {
            0 => Bytes::new(),
            _ => Bytes::copy_from_slice(&sum),
        },
    }
}

fn list((address, span): &Place) -> List {
    List {
        address: Bytes::copy_from_slice(address.as_bytes()),
        from_ms: span.from.as_millis(),
        to_ms: span.to.as_millis(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const HOUR: Duration = Duration::from_secs(3600);
/// What digests cover lives for at least an hour longer.
const LONGEST: Duration = Duration::from_secs(1_800);
/// Sums in one answer.
const MAX_SUMS: u32 = 8_192;
/// Steps that are looked into, in one comparison.
const MAX_PLACES: usize = 48;
/// Envelopes that are fetched, in one comparison.
const MAX_FETCHED: usize = 256;
/// Envelopes in one `Publish`: even the largest fit a frame.
const OFFERED: usize = 3;
