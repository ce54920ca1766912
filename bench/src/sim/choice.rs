//! The real chooser of a phone, with nodes by number.

use std::{collections::HashMap, time::Duration};

use ailurus::{
    channel::{HopCount, NodeLink},
    crypto::NodeKey,
    discovery::{Chooser, NodeLoad, Origin, Refusal},
    wire::{node::Reason, time::UnixMillis},
};

use super::client::Brought;

/// Whom a phone asks.
pub struct Choice {
    chooser: Chooser,
    numbers: HashMap<NodeKey, usize>,
}

/// Nodes by number.
pub struct Plan {
    /// Whom to ask for what is new, one after the other until one answers.
    pub order: Vec<usize>,
    /// Who has leases and copies.
    pub kept: Vec<usize>,
}

impl Choice {
    /// A phone that knows no node.
    pub fn new(seed: u64) -> Self {
        Self {
            chooser: Chooser::new(seed, Vec::new()),
            numbers: HashMap::new(),
        }
    }

    /// A node stands in a link, or a member named it.
    pub fn hint(&mut self, number: usize, link: &NodeLink) {
        self.numbers.insert(*link.key(), number);
        self.chooser.add(link, Origin::Link);
    }

    /// All nodes that it will ever know.
    pub fn known(&self) -> Vec<usize> {
        let mut known: Vec<usize> = self.numbers.values().copied().collect();
        known.sort_unstable();
        known
    }

    /// What to do now.
    pub fn plan(&mut self, now: UnixMillis) -> Plan {
        self.chooser.choose(now);
        Plan {
            order: self.numbers(&self.chooser.poll_order(now)),
            kept: self.numbers(&self.chooser.kept()),
        }
    }

    /// A node answered.
    pub fn answered(&mut self, node: &NodeKey, brought: &Brought, now: UnixMillis, random: u64) {
        let rtt = Duration::from_millis(20 + random % 40);
        self.chooser.answered(node, Some(rtt), now, random);
        if let Some(load) = &brought.load {
            self.chooser.loaded(node, NodeLoad::from(load));
        }
        if let Some(hops) = brought.registered {
            // In this world nodes tell the truth.
            let hops = HopCount::from_wire(hops);
            self.chooser.registered(node, hops, hops);
        }
    }

    /// A node did not answer.
    pub fn failed(&mut self, node: &NodeKey, now: UnixMillis, random: u64) {
        self.chooser.failed(node, "it does not answer", now, random);
    }

    /// A node refused something; true if that is a reason to leave it.
    pub fn refused(
        &mut self,
        node: &NodeKey,
        reason: Reason,
        now: UnixMillis,
        random: u64,
    ) -> bool {
        let Some(why) = Refusal::of(reason) else {
            return false;
        };
        self.chooser.refused(node, why, now, random);
        true
    }

    /// Whom to compare the polled node with now: each of the others once a day.
    pub fn comparison(&self, now: UnixMillis) -> Option<usize> {
        let standby = self.chooser.audit_due(0, now)?;
        self.numbers.get(&standby).copied()
    }

    /// A node was compared with the polled one.
    pub fn compared(&mut self, node: &NodeKey, now: UnixMillis, random: u64) {
        self.chooser.audited(node, 0, now, random);
    }

    fn numbers(&self, keys: &[NodeKey]) -> Vec<usize> {
        keys.iter()
            .filter_map(|key| self.numbers.get(key).copied())
            .collect()
    }
}
