//! Keeps three to five super nodes, polls the best, replaces what fails.
//!
//! The chooser is told what was seen of each node and asked what to do; [`Chooser::choose`] draws the conclusions. The
//! polled node is left only for one that is clearly better, or once in a while for an equal one that this client should
//! rather use, so that a node that was away gets its share of clients back, slowly.

use std::time::Duration;

use crate::channel::{HopCount, NodeLink, Standing};
use crate::crypto::NodeKey;
use crate::wire::{limits::NODES_KEPT, time::UnixMillis};

use super::backoff;
use super::rank::{EQUAL, cost, diverse, draw, mix, order};
use super::reason;
use super::record::{Condition, NodeLoad, NodeRecord, Origin, Refusal, Role};

/// Nodes that are remembered, at most.
pub const MAX_CANDIDATES: usize = 64;

/// Chooses among the super nodes that a client knows.
#[derive(Clone, Debug)]
pub struct Chooser {
    seed: u64,
    nodes: Vec<NodeRecord>,
}

/// What became of a node that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is new; another had to give way to it if there were too many.
    New {
        /// Which one is forgotten.
        forgotten: Option<NodeKey>,
    },
    /// It was known already, and may have another address or origin now.
    Known,
    /// There are too many, and none of them counts less.
    Full,
}

impl Chooser {
    /// A chooser that knows these nodes. `seed` is any number that is the same for one client always and differs between
    /// clients: by it they spread.
    pub fn new(seed: u64, nodes: Vec<NodeRecord>) -> Self {
        Self { seed, nodes }
    }

    /// All that is remembered, to be stored.
    pub fn records(&self) -> &[NodeRecord] {
        &self.nodes
    }

    /// What is remembered of one node.
    pub fn record(&self, node: &NodeKey) -> Option<&NodeRecord> {
        self.nodes.iter().find(|record| record.link.key() == node)
    }

    /// Somebody named a node. What the user adds is tried at once, whatever happened before; only the user moves a node
    /// that works, and anybody one that is down, on trial.
    pub fn add(&mut self, link: &NodeLink, origin: Origin) -> Added {
        if let Some(record) = self.record_mut(link.key()) {
            record.origin = record.origin.min(origin);
            if origin == Origin::User {
                record.link = link.clone();
                record.home = None;
                record.condition = Condition::Healthy;
                record.failures = 0;
            } else if matches!(record.condition, Condition::Down { .. }) {
                record.try_at(link);
            }
            return Added::Known;
        }
        let mut forgotten = None;
        if self.nodes.len() >= MAX_CANDIDATES {
            let least = self
                .nodes
                .iter()
                .enumerate()
                .filter(|(_, record)| !record.is_kept() && record.origin != Origin::User)
                .filter(|(_, record)| record.origin >= origin)
                .max_by_key(|(_, record)| {
                    let unhealthy = !record.is_healthy();
                    (record.origin, unhealthy, record.failures)
                })
                .map(|(index, _)| index);
            let Some(least) = least else {
                return Added::Full;
            };
            forgotten = Some(*self.nodes.remove(least).link.key());
        }
        self.nodes.push(NodeRecord::new(link.clone(), origin));
        Added::New { forgotten }
    }

    /// The DHT was searched because all nodes are `lost`, or by the user's wish: a node that does not answer is tried where
    /// it was found, and after that where it was, in turns. True if another address is tried now.
    pub fn found(&mut self, node: &NodeKey, links: &[NodeLink], lost: bool) -> bool {
        let Some(record) = self.record_mut(node) else {
            return false;
        };
        if !lost && !matches!(record.condition, Condition::Down { .. }) {
            return false;
        }
        if lost && record.return_home() {
            return true;
        }
        links
            .iter()
            .filter(|link| link.key() == node)
            .any(|link| record.try_at(link))
    }

    /// Forgets a node; true if it was known. Whoever stores this sees to it that only the user adds it again.
    pub fn remove(&mut self, node: &NodeKey) -> bool {
        let before = self.nodes.len();
        self.nodes.retain(|record| record.link.key() != node);
        self.nodes.len() < before
    }

    /// A node answered; `rtt` is the time from a request to its answer. One that was down is used again a random time
    /// later, so that its clients do not all come back at once.
    pub fn answered(
        &mut self,
        node: &NodeKey,
        rtt: Option<Duration>,
        now: UnixMillis,
        random: u64,
    ) {
        let Some(record) = self.record_mut(node) else {
            return;
        };
        record.count(true, now);
        record.failures = 0;
        record.home = None;
        if let Some(sample) = rtt {
            record.rtt = Some(record.rtt.map_or(sample, |known| (known * 7 + sample) / 8));
        }
        if matches!(record.condition, Condition::Down { .. }) {
            record.condition = Condition::Returning {
                from: now.after(backoff::within(RETURN, random)),
            };
        }
    }

    /// A node said how busy it is.
    pub fn loaded(&mut self, node: &NodeKey, load: NodeLoad) {
        if let Some(record) = self.record_mut(node) {
            record.load = Some(load);
        }
    }

    /// A node registered us and claims to count us so far from its operator; nearer than by the introduction that we
    /// hold, or with none, is not believed.
    pub fn registered(&mut self, node: &NodeKey, claimed: HopCount, introduced: HopCount) {
        if let Some(record) = self.record_mut(node) {
            record.hop_count = claimed.max(introduced);
            if let Condition::Refused { why, .. } = record.condition
                && why != Refusal::Withheld
            {
                record.condition = Condition::Healthy;
            }
        }
    }

    /// A node did not answer although the network works: say so only if another one answered.
    pub fn failed(&mut self, node: &NodeKey, why: &str, now: UnixMillis, random: u64) {
        let Some(record) = self.record_mut(node) else {
            return;
        };
        // An outage counts once, however often it is noticed.
        if !matches!(record.condition, Condition::Down { .. }) {
            record.count(false, now);
        }
        record.failures = record.failures.saturating_add(1);
        record.return_home();
        let since = match record.condition {
            // It is left alone for longer than any back-off.
            Condition::Refused { .. } => return,
            Condition::Down { since, .. } => since.min(now),
            _ => now,
        };
        record.condition = Condition::Down {
            since,
            retry: now.after(backoff::wait(record.failures, random)),
            why: why.chars().take(MAX_WHY).collect(),
        };
    }

    /// A node does not want us, or is caught withholding; it is left alone for a time.
    pub fn refused(&mut self, node: &NodeKey, why: Refusal, now: UnixMillis, random: u64) {
        let Some(record) = self.record_mut(node) else {
            return;
        };
        if why == Refusal::Withheld {
            record.count(false, now);
        } else if matches!(
            record.condition,
            Condition::Refused {
                why: Refusal::Withheld,
                ..
            }
        ) {
            return;
        }
        let lasts = why.lasts();
        record.condition = Condition::Refused {
            until: now.after(lasts + backoff::within(lasts / 4, random)),
            why,
        };
    }

    /// The user has something that a node wanted, such as an introduction: it may be asked at once.
    pub fn forgive(&mut self, node: &NodeKey) {
        if let Some(record) = self.record_mut(node)
            && matches!(record.condition, Condition::Refused { .. })
        {
            record.condition = Condition::Healthy;
        }
    }

    /// A node answered by datagram. That there is something, it has to show: see [`Chooser::proved`].
    pub fn said(&mut self, node: &NodeKey, standing: Standing) {
        if let Some(record) = self.record_mut(node) {
            record.silent = 0;
            if standing != Standing::Nothing {
                record.unproven = record.unproven.saturating_add(1);
            }
        }
    }

    /// A node sent something new.
    pub fn proved(&mut self, node: &NodeKey) {
        if let Some(record) = self.record_mut(node) {
            record.unproven = 0;
        }
    }

    /// A node did not answer by datagram. After three times it is not asked for a day: datagrams may not get through.
    pub fn silent(&mut self, node: &NodeKey, now: UnixMillis) {
        if let Some(record) = self.record_mut(node) {
            record.silent = record.silent.saturating_add(1);
            if record.silent >= PATIENCE {
                record.silent = 0;
                record.ask_at = now.after(UNASKED);
            }
        }
    }

    /// Whether a node may be asked by datagram. If it said three times that there was something, and nothing came, that
    /// counts against it, and it is not asked for a day.
    pub fn may_ask(&mut self, node: &NodeKey, now: UnixMillis) -> bool {
        let Some(record) = self.record_mut(node) else {
            return false;
        };
        if record.unproven >= PATIENCE {
            record.unproven = 0;
            record.ask_at = now.after(UNASKED);
            record.count(false, now);
        }
        is_over(record.ask_at, now, UNASKED)
    }

    /// Draws the conclusions of what was seen: who is kept, and who is polled.
    pub fn choose(&mut self, now: UnixMillis) {
        for record in &mut self.nodes {
            settle(record, now);
        }
        self.move_on(now);
        let kept = self.keep(now);
        let active = self.lead(&kept, now);
        let seed = self.seed;
        for (index, record) in self.nodes.iter_mut().enumerate() {
            let role = if active == Some(index) {
                Role::Active
            } else if kept.contains(&index) {
                Role::Standby
            } else {
                Role::Spare
            };
            if role == record.role {
                continue;
            }
            if role == Role::Standby && record.audit_at <= now {
                let spread = mix(seed ^ now.as_secs(), record.link.key());
                record.audit_at = now.after(AUDIT / 2 + backoff::within(AUDIT, spread));
            }
            record.role = role;
            record.since = now;
        }
    }

    /// The nodes at which to hold leases.
    pub fn kept(&self) -> Vec<NodeKey> {
        self.nodes
            .iter()
            .filter(|record| record.is_kept())
            .map(|record| *record.link.key())
            .collect()
    }

    /// All nodes in the order in which to poll them until one answers: the polled one, those that may take its place,
    /// then those of which there is little hope.
    pub fn poll_order(&self, now: UnixMillis) -> Vec<NodeKey> {
        let mut order: Vec<&NodeRecord> = self.ranked(now, |record| record.role == Role::Active);
        // Stable: within a group it stays as ranked.
        order.sort_by_key(|record| match (&record.condition, record.is_kept()) {
            (Condition::Healthy, true) => (0, UnixMillis::default()),
            (Condition::Healthy, false) => (1, UnixMillis::default()),
            (Condition::Returning { from }, _) => (2, *from),
            (Condition::Down { retry, .. }, _) => (3, *retry),
            (Condition::Refused { why, .. }, _) if *why == Refusal::Withheld => {
                (5, UnixMillis::default())
            }
            (Condition::Refused { until, .. }, _) => (4, *until),
        });
        order.iter().map(|record| *record.link.key()).collect()
    }

    /// The nodes that get what waits, best first: at least two if there are as many.
    pub fn publish_to(&self, now: UnixMillis) -> Vec<NodeKey> {
        let usable = self
            .poll_order(now)
            .into_iter()
            .filter(|node| {
                self.record(node).is_some_and(|record| {
                    record.is_kept()
                        && matches!(
                            record.condition,
                            Condition::Healthy | Condition::Returning { .. }
                        )
                })
            })
            .take(COPIES);
        let mut nodes: Vec<NodeKey> = usable.collect();
        for other in self.poll_order(now) {
            if nodes.len() >= COPIES {
                break;
            }
            if !nodes.contains(&other) {
                nodes.push(other);
            }
        }
        nodes
    }

    /// A node that is down and whose time to be tried again has come: the one that waits longest. One that is only
    /// remembered is tried while too few others are healthy, however long it was away.
    pub fn probe_due(&self, now: UnixMillis) -> Option<NodeKey> {
        let healthy = |record: &&NodeRecord| record.is_kept() && record.is_healthy();
        let too_few = self.nodes.iter().filter(healthy).count() < *NODES_KEPT.start();
        self.nodes
            .iter()
            .filter(|record| too_few || record.is_kept() || record.origin == Origin::User)
            .filter_map(|record| match record.condition {
                Condition::Down { retry, .. } if is_over(retry, now, backoff::LAST) => {
                    Some((retry, *record.link.key()))
                }
                _ => None,
            })
            .min_by_key(|(retry, _)| *retry)
            .map(|(_, node)| node)
    }

    /// The standby that should be compared with the polled node now: once a day each, and at once when `gap`, the number
    /// of messages known to be missing, has grown; for gaps once in 15 minutes, whoever makes them.
    pub fn audit_due(&self, gap: u64, now: UnixMillis) -> Option<NodeKey> {
        let rested = |record: &NodeRecord| is_over(record.audited.after(GAP_AUDIT), now, GAP_AUDIT);
        let may_look = self.nodes.iter().all(rested);
        self.nodes
            .iter()
            .filter(|record| record.role == Role::Standby && record.is_healthy())
            .filter(|record| {
                let missing = may_look && gap > record.gap;
                missing || (rested(record) && is_over(record.audit_at, now, 2 * AUDIT))
            })
            .min_by_key(|record| record.audit_at)
            .map(|record| *record.link.key())
    }

    /// When something about the nodes is due next that the client does by itself: one that is down is tried again, one
    /// that was left alone is used again, or two are compared. In the past if it is due already; `None` if nothing is.
    pub fn upkeep(&self) -> Option<UnixMillis> {
        let conditions = self
            .nodes
            .iter()
            .filter_map(|record| match record.condition {
                Condition::Down { retry, .. }
                    if record.is_kept() || record.origin == Origin::User =>
                {
                    Some(retry)
                }
                Condition::Returning { from } if record.is_kept() => Some(from),
                Condition::Refused { until, .. } if record.is_kept() => Some(until),
                _ => None,
            });
        let comparisons = self
            .nodes
            .iter()
            .filter(|record| record.role == Role::Standby && record.is_healthy())
            .map(|record| record.audit_at);
        conditions.chain(comparisons).min()
    }

    /// A standby was compared with the polled node. What is missing may still have been on its way then, so after a new
    /// gap it is compared again soon.
    pub fn audited(&mut self, node: &NodeKey, gap: u64, now: UnixMillis, random: u64) {
        if let Some(record) = self.record_mut(node) {
            let next = if gap > record.gap { AUDIT_AGAIN } else { AUDIT };
            record.gap = gap;
            record.audited = now;
            record.audit_at = now.after(next - backoff::within(next / 4, random));
        }
    }

    /// A comparison of a standby with the polled node came to nothing.
    pub fn audit_failed(&mut self, node: &NodeKey, now: UnixMillis) {
        if let Some(record) = self.record_mut(node) {
            record.audited = now;
        }
    }

    /// Why a node is what it is, as a sentence for people.
    pub fn why(&self, node: &NodeKey, now: UnixMillis) -> String {
        match self.record(node) {
            Some(record) => reason::of(record, now),
            None => "it is not known".to_owned(),
        }
    }

    fn record_mut(&mut self, node: &NodeKey) -> Option<&mut NodeRecord> {
        self.nodes
            .iter_mut()
            .find(|record| record.link.key() == node)
    }

    /// All nodes, best first, whatever their condition.
    fn ranked(&self, now: UnixMillis, used: impl Fn(&NodeRecord) -> bool) -> Vec<&NodeRecord> {
        let all: Vec<&NodeRecord> = self.nodes.iter().collect();
        order(&all, self.seed, now, used)
            .into_iter()
            .filter_map(|place| all.get(place).copied())
            .collect()
    }

    fn index(&self, node: &NodeKey) -> Option<usize> {
        self.nodes
            .iter()
            .position(|record| record.link.key() == node)
    }

    /// Which to keep, by index: enough healthy ones, and those that are down as long as there is room.
    fn keep(&self, now: UnixMillis) -> Vec<usize> {
        let (least, most) = (*NODES_KEPT.start(), *NODES_KEPT.end());
        let ranked = self.ranked(now, NodeRecord::is_kept);
        let mut healthy: Vec<&NodeRecord> = ranked
            .iter()
            .copied()
            .filter(|record| record.is_healthy())
            .collect();
        // Whoever adds more nodes than needed means to use them.
        healthy.sort_by_key(|record| record.origin != Origin::User);
        let added = healthy
            .iter()
            .take_while(|record| record.origin == Origin::User)
            .count();
        let mut kept: Vec<NodeKey> = diverse(&healthy, added.clamp(least, most), most)
            .into_iter()
            .filter_map(|place| healthy.get(place))
            .map(|record| *record.link.key())
            .collect();
        // Members and the DHT may be one adversary, who names many nodes that all work well.
        let is_trusted = |record: &&NodeRecord| record.origin <= Origin::Link;
        let among = |kept: &[NodeKey]| {
            let mut kept = healthy.iter().filter(|r| kept.contains(r.link.key()));
            kept.any(is_trusted)
        };
        if !among(&kept)
            && let Some(trusted) = healthy.iter().copied().find(|record| is_trusted(record))
        {
            if kept.len() >= least {
                // The first is the best, and the last may be the one in another network.
                kept.swap_remove(kept.len() / 2);
            }
            kept.push(*trusted.link.key());
        }
        let others = |wanted: fn(&NodeRecord, UnixMillis) -> bool| {
            ranked
                .iter()
                .filter(move |record| wanted(record, now))
                .map(|record| *record.link.key())
        };
        let returning = |record: &NodeRecord, _: UnixMillis| {
            matches!(record.condition, Condition::Returning { .. })
        };
        for node in others(returning) {
            if kept.len() < least || (self.was_kept(&node) && kept.len() < most) {
                kept.push(node);
            }
        }
        // Their leases still stand, and most nodes come back.
        let lately_down = |record: &NodeRecord, now: UnixMillis| match record.condition {
            Condition::Down { since, .. } => {
                record.is_kept() && (record.origin == Origin::User || now.since(since) < GIVEN_UP)
            }
            _ => false,
        };
        for node in others(lately_down) {
            if kept.len() < most {
                kept.push(node);
            }
        }
        if kept.is_empty() {
            let order = self.poll_order(now);
            kept = order.into_iter().take(least).collect();
        }
        kept.iter().filter_map(|node| self.index(node)).collect()
    }

    fn was_kept(&self, node: &NodeKey) -> bool {
        self.record(node).is_some_and(NodeRecord::is_kept)
    }

    /// Which of the kept ones to poll.
    fn lead(&self, kept: &[usize], now: UnixMillis) -> Option<usize> {
        let is_kept = |node: &NodeKey| self.index(node).is_some_and(|index| kept.contains(&index));
        self.poll_order(now)
            .into_iter()
            .find(is_kept)
            .and_then(|node| self.index(&node))
    }

    /// Moves on to an equal node that this client should clearly rather use, because it was away before or is much less
    /// busy; after a time, that differs between clients.
    fn move_on(&mut self, now: UnixMillis) {
        let seed = self.seed;
        let Some(leading) = self
            .nodes
            .iter()
            .find(|record| record.role == Role::Active && record.is_healthy())
        else {
            return;
        };
        let dwell = DWELL + backoff::within(DWELL, mix(seed ^ SHIFTS, leading.link.key()));
        if now.since(leading.since) < dwell {
            return;
        }
        // What counts as equal differs a little, or all would find that of a node at the same time.
        let equal = EQUAL + (mix(seed ^ EQUALS, leading.link.key()) % u64::from(EQUAL)) as u32;
        let worth = cost(leading, seed, now).saturating_add(equal);
        let drawn = draw(leading, seed);
        let rather = self
            .nodes
            .iter()
            .filter(|record| record.is_healthy() && record.rtt.is_some())
            .filter(|record| cost(record, seed, now) <= worth && 2.0 * draw(record, seed) <= drawn)
            .min_by(|a, b| draw(a, seed).total_cmp(&draw(b, seed)))
            .map(|record| *record.link.key());
        let Some(rather) = rather else {
            return;
        };
        for record in &mut self.nodes {
            let role = match record.role {
                _ if *record.link.key() == rather => Role::Active,
                Role::Active => Role::Standby,
                other => other,
            };
            if role != record.role {
                record.role = role;
                record.since = now;
            }
        }
    }
}

/// Ends what is over.
fn settle(record: &mut NodeRecord, now: UnixMillis) {
    let over = match record.condition {
        Condition::Healthy | Condition::Down { .. } => false,
        Condition::Returning { from } => is_over(from, now, RETURN),
        Condition::Refused { until, why } => is_over(until, now, 2 * why.lasts()),
    };
    if over {
        record.condition = Condition::Healthy;
    }
}

/// Whether `end` has come, or lies so far ahead that it was counted by a clock that has been set back.
fn is_over(end: UnixMillis, now: UnixMillis, at_most: Duration) -> bool {
    end <= now || end.since(now) > at_most
}

/// Copies of what is published.
const COPIES: usize = 2;
/// In which the clients of a node that answers again come back.
const RETURN: Duration = Duration::from_secs(600);
/// After which a node that is down keeps no place any more, unless the user added it.
const GIVEN_UP: Duration = Duration::from_secs(24 * 3600);
/// For how long a client stays with a node before it prefers an equal one, between once and twice this.
const DWELL: Duration = Duration::from_secs(12 * 3600);
/// Between two comparisons with the polled node.
const AUDIT: Duration = Duration::from_secs(24 * 3600);
/// After a new gap.
const AUDIT_AGAIN: Duration = Duration::from_secs(3 * 3600);
/// Between two that begin because something is missing.
const GAP_AUDIT: Duration = Duration::from_secs(15 * 60);
/// Answers that were not true, or silences, after which a node is not asked by datagram for a time.
const PATIENCE: u32 = 3;
/// That time.
const UNASKED: Duration = Duration::from_secs(24 * 3600);
/// Characters of a reason that are kept.
const MAX_WHY: usize = 120;
const SHIFTS: u64 = 0x7368_6966_7473;
const EQUALS: u64 = 0x6571_7561_6c73;
