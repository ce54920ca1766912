//! Which super nodes this profile uses: the chooser joined with the store, so that several processes decide alike.

use std::time::Duration;

use crate::channel::NodeLink;
use crate::crypto::{Entropy, NodeKey, PseudonymSecret, entropy};
use crate::discovery::{Chooser, Condition, NodeRecord, Origin, Refusal, Role, chooser::Added};
use crate::store::{StoredNode, Tx};
use crate::wire::{
    limits::{MAX_AHEAD, NODES_KEPT},
    time::UnixMillis,
};

use super::node_records::{from_stored, origin_number, to_stored};
use super::{Engine, Error, node_by_key};
use crate::client::nodes::{NodeState, NodeStatus};

/// What was seen of a node.
#[derive(Clone, Debug)]
pub enum Observation {
    /// It answered; with the time from a request to its answer, if that was measured.
    Answered(Option<Duration>),
    /// It did not answer, and another one did.
    Failed(String),
    /// It was compared with the polled node when so many messages were missing.
    Audited {
        /// How many.
        gap: u64,
    },
    /// It could not be compared: it, or the polled node, did not answer.
    AuditFailed,
    /// It acknowledged envelopes and does not have them.
    Withheld,
}

/// Whom to ask now.
pub struct Plan {
    /// All nodes, in the order in which to poll them until one answers.
    pub order: Vec<StoredNode>,
    /// How many of them, at the front, nothing speaks against.
    pub healthy: usize,
}

/// What there is to do at other nodes once one was polled.
#[derive(Default)]
pub struct Errands {
    /// Nodes at which something is due.
    pub nodes: Vec<StoredNode>,
    /// The standby to compare with the polled node.
    pub audit: Option<Comparison>,
}

/// Two nodes to compare, and what is missing now.
pub struct Comparison {
    /// The one that was polled.
    pub polled: StoredNode,
    /// The other one.
    pub standby: StoredNode,
    /// Messages that are known to be missing.
    pub gap: u64,
    /// More are missing than at the last comparison.
    pub grown: bool,
}

impl Engine {
    /// Adds a super node for the user, or changes the address of a known one.
    pub fn add_node(&mut self, link: &NodeLink, now: UnixMillis) -> Result<(), Error> {
        let entropy = &mut *self.entropy;
        self.store.write(|tx| {
            offer(tx, link, Origin::User, entropy)?;
            choose(tx, now, |_| ())
        })
    }

    /// Forgets a super node for the user; nobody else adds it again. False if it was not known.
    pub fn remove_node(&mut self, node: &NodeKey, now: UnixMillis) -> Result<bool, Error> {
        let removed = self.store.write(|tx| {
            let stored = match node_by_key(tx, node) {
                Err(Error::NoNode) => return Ok::<_, Error>(false),
                stored => stored?,
            };
            tx.remove_node(stored.row, Some(now))?;
            choose(tx, now, |_| ())?;
            Ok(true)
        })?;
        if removed {
            self.store.scrub()?;
        }
        Ok(removed)
    }

    /// The super nodes of this profile, and what it makes of them; those in use first.
    pub fn node_statuses(&mut self, now: UnixMillis) -> Result<Vec<NodeStatus>, Error> {
        self.store.read(|tx| {
            let mut chooser = load(tx)?;
            chooser.choose(now);
            let mut statuses = Vec::new();
            for node in chooser.poll_order(now) {
                let Some(record) = chooser.record(&node) else {
                    continue;
                };
                statuses.push(NodeStatus {
                    link: record.link.clone(),
                    id: node,
                    state: match (&record.condition, record.role) {
                        (Condition::Down { .. } | Condition::Returning { .. }, _) => {
                            NodeState::Down
                        }
                        (Condition::Refused { .. }, _) => NodeState::Refused,
                        (Condition::Healthy, Role::Active) => NodeState::Active,
                        (Condition::Healthy, _) => NodeState::Standby,
                    },
                    hop_count: record.hop_count,
                    load: record.load,
                    rtt: record.rtt,
                    reason: chooser.why(&node, now),
                });
            }
            Ok(statuses)
        })
    }

    /// Whom to poll at `now`. Where too few nodes are known to be healthy, those that links and members named join them.
    pub fn plan(&mut self, now: UnixMillis) -> Result<Plan, Error> {
        let healthy = self.store.read(|tx| {
            let mut chooser = load(tx)?;
            chooser.choose(now);
            let healthy = chooser
                .records()
                .iter()
                .filter(|record| record.is_healthy());
            Ok::<_, Error>(healthy.count())
        })?;
        if healthy < *NODES_KEPT.start() {
            self.take_candidates(now)?;
        }
        // Mostly nothing changes, and then nothing is written.
        let (chooser, changed) = self.store.read(|tx| {
            let mut chooser = load(tx)?;
            let before = chooser.records().to_vec();
            chooser.choose(now);
            let changed = chooser.records() != before;
            Ok::<_, Error>((chooser, changed))
        })?;
        if changed {
            self.store.write(|tx| choose(tx, now, |_| ()))?;
        }
        self.store.read(|tx| {
            let mut nodes = tx.nodes()?;
            let mut order = Vec::with_capacity(nodes.len());
            let mut healthy = 0;
            for key in chooser.poll_order(now) {
                let Some(place) = nodes.iter().position(|node| *node.link.key() == key) else {
                    continue;
                };
                healthy += usize::from(chooser.record(&key).is_some_and(NodeRecord::is_healthy));
                order.push(nodes.swap_remove(place));
            }
            Ok(Plan { order, healthy })
        })
    }

    fn take_candidates(&mut self, now: UnixMillis) -> Result<(), Error> {
        let candidates = self.candidates(now)?;
        let entropy = &mut *self.entropy;
        let new = self.store.read(|tx| {
            let nodes = tx.nodes()?;
            let mut new = Vec::new();
            for candidate in candidates {
                let node = candidate.link.key();
                let wanted = match nodes.iter().find(|known| known.link.key() == node) {
                    // One that is down may have moved.
                    Some(known) => {
                        let record = from_stored(known);
                        let down = matches!(record.condition, Condition::Down { .. });
                        down && record.home.is_none() && record.link != candidate.link
                    }
                    None => !tx.is_removed(node)?,
                };
                if wanted {
                    new.push(candidate);
                }
            }
            Ok::<_, Error>(new)
        })?;
        if new.is_empty() {
            return Ok(());
        }
        self.store.write(|tx| {
            for candidate in &new {
                let origin = match candidate.origin {
                    super::Origin::Invitation | super::Origin::Link => Origin::Link,
                    super::Origin::Member => Origin::Member,
                };
                offer(tx, &candidate.link, origin, entropy)?;
            }
            choose(tx, now, |_| ())
        })
    }

    /// What there is to do at others than `polled`, which was asked just now; of `tried` nothing more is wanted. Large
    /// bodies that wait are fetched if `resync`.
    pub fn errands(
        &mut self,
        polled: &NodeKey,
        tried: &[NodeKey],
        resync: bool,
        now: UnixMillis,
    ) -> Result<Errands, Error> {
        let (keys, targets, probe, audit) = self.store.read(|tx| {
            let chooser = load(tx)?;
            // What was put off is not missing.
            let gap = tx.missing()?.saturating_sub(u64::from(tx.unfetched_len()?));
            let usable = |node: &NodeKey| {
                node != polled
                    && !tried.contains(node)
                    && chooser.record(node).is_some_and(|record| {
                        record.is_kept()
                            && matches!(
                                record.condition,
                                Condition::Healthy | Condition::Returning { .. }
                            )
                    })
            };
            let order = chooser.poll_order(now);
            let keys: Vec<NodeKey> = order.iter().copied().filter(usable).collect();
            let probe = chooser
                .probe_due(now)
                .filter(|node| node != polled && !tried.contains(node));
            let targets = keys.first().copied();
            let audit = match chooser.audit_due(gap, now) {
                Some(standby) if standby != *polled => Some(Comparison {
                    polled: node_by_key(tx, polled)?,
                    standby: node_by_key(tx, &standby)?,
                    gap,
                    grown: chooser.record(&standby).is_some_and(|r| gap > r.gap),
                }),
                _ => None,
            };
            Ok::<_, Error>((keys, targets, probe, audit))
        })?;
        let mut wanted = Vec::new();
        for key in keys {
            let work = self.work(&key, now)?;
            // One more copy is enough.
            let copies = work.outbox && Some(key) == targets;
            let large = resync && self.has_waiting(&key)?;
            let due = work.leases || work.releases || work.announces || work.push;
            if due || copies || large {
                wanted.push(key);
            }
        }
        wanted.extend(probe);
        let nodes = self.store.read(|tx| {
            let nodes = tx.nodes()?;
            Ok::<_, Error>(
                nodes
                    .into_iter()
                    .filter(|node| wanted.contains(node.link.key()))
                    .collect(),
            )
        })?;
        Ok(Errands { nodes, audit })
    }

    /// Takes in what was seen of nodes. True if others are kept now, or another one is polled.
    pub fn observe(
        &mut self,
        seen: &[(NodeKey, Observation)],
        now: UnixMillis,
    ) -> Result<bool, Error> {
        let entropy = &mut *self.entropy;
        self.store.write(|tx| {
            let roles = |tx: &Tx<'_>| -> Result<Vec<(NodeKey, u8)>, Error> {
                let nodes = tx.nodes()?;
                Ok(nodes
                    .iter()
                    .map(|node| (*node.link.key(), node.role))
                    .collect())
            };
            let before = roles(tx)?;
            choose(tx, now, |chooser| {
                for (node, observation) in seen {
                    let random = u64::from_be_bytes(entropy::array(entropy));
                    match observation {
                        Observation::Answered(rtt) => chooser.answered(node, *rtt, now, random),
                        Observation::Failed(why) => chooser.failed(node, why, now, random),
                        Observation::Audited { gap } => chooser.audited(node, *gap, now, random),
                        Observation::AuditFailed => chooser.audit_failed(node, now),
                        Observation::Withheld => {
                            chooser.refused(node, Refusal::Withheld, now, random);
                        }
                    }
                }
            })?;
            Ok(roles(tx)? != before)
        })
    }
}

/// A node that somebody named: it is added unless the user removed it. True if it is new.
pub(super) fn offer(
    tx: &Tx<'_>,
    link: &NodeLink,
    origin: Origin,
    entropy: &mut dyn Entropy,
) -> Result<bool, Error> {
    if origin != Origin::User && tx.is_removed(link.key())? {
        return Ok(false);
    }
    let mut chooser = load(tx)?;
    let added = chooser.add(link, origin);
    match &added {
        Added::Full => return Ok(false),
        Added::New {
            forgotten: Some(forgotten),
        } => tx.remove_node(node_by_key(tx, forgotten)?.row, None)?,
        Added::New { forgotten: None } | Added::Known => {}
    }
    if let Some(record) = chooser.record(link.key()) {
        let pseudonym = PseudonymSecret::random(entropy);
        let row = tx.put_node(&record.link, &pseudonym, origin_number(record.origin))?;
        let (role, state) = to_stored(record);
        tx.put_node_state(row, role, &state)?;
    }
    Ok(matches!(added, Added::New { .. }))
}

/// Lets the chooser take something in and draw its conclusions, and writes what changed.
pub(super) fn choose(
    tx: &Tx<'_>,
    now: UnixMillis,
    take_in: impl FnOnce(&mut Chooser),
) -> Result<(), Error> {
    let mut chooser = load(tx)?;
    let before = chooser.records().to_vec();
    take_in(&mut chooser);
    chooser.choose(now);
    for node in tx.nodes()? {
        let was = before.iter().find(|was| was.link.key() == node.link.key());
        let is = chooser.record(node.link.key());
        if let Some(is) = is
            && Some(is) != was
        {
            if is.link != node.link {
                tx.put_node(&is.link, &node.pseudonym, origin_number(is.origin))?;
            }
            let (role, state) = to_stored(is);
            tx.put_node_state(node.row, role, &state)?;
        }
    }
    Ok(())
}

/// The nodes that are kept; all, before the first choice.
pub(super) fn kept_nodes(tx: &Tx<'_>) -> Result<Vec<StoredNode>, Error> {
    let mut nodes = tx.nodes()?;
    if nodes.iter().any(StoredNode::is_kept) {
        nodes.retain(StoredNode::is_kept);
    }
    Ok(nodes)
}

pub(super) fn load(tx: &Tx<'_>) -> Result<Chooser, Error> {
    let nodes = tx.nodes()?;
    let usual = middle(
        nodes
            .iter()
            .filter_map(|node| node.clock)
            .map(|(offset, _)| offset),
    );
    let records = nodes.iter().map(|node| {
        let mut record = from_stored(node);
        record.wrong_clock = node
            .clock
            .is_some_and(|(offset, _)| Duration::from_millis(offset.abs_diff(usual)) > MAX_AHEAD);
        record
    });
    Ok(Chooser::new(tx.node_seed(), records.collect()))
}

/// By how much most clocks differ from ours, in milliseconds: the median, with ours as one of them. Of two that are in
/// the middle the one nearer to ours.
fn middle(offsets: impl Iterator<Item = i64>) -> i64 {
    let mut offsets: Vec<i64> = offsets.chain([0]).collect();
    offsets.sort_unstable();
    let places = [(offsets.len() - 1) / 2, offsets.len() / 2];
    let middle = places.iter().filter_map(|place| offsets.get(*place));
    let nearest = middle.min_by_key(|offset| offset.unsigned_abs());
    nearest.copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_clock_is_that_of_the_most() {
        const DAY: i64 = 86_400_000;
        let usual = |offsets: &[i64]| middle(offsets.iter().copied());
        assert_eq!(usual(&[]), 0);
        // One against ours: the others were not heard yet.
        assert_eq!(usual(&[-DAY]), 0);
        assert_eq!(usual(&[DAY, 5]), 5);
        // Ours is wrong.
        assert_eq!(usual(&[DAY, DAY + 7]), DAY);
        assert_eq!(usual(&[-DAY, -DAY, -DAY]), -DAY);
    }
}
