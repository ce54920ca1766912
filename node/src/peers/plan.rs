//! Whom to dial, when, and for which addresses.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use ailurus::{
    channel::{Address, NodeLink},
    crypto::{NodeKey, kdf},
    wire::time::UnixMillis,
};

use super::{Acknowledged, End};
use crate::store::{Delegation, PeerRow, Trust};

/// What is known of other nodes, and how they stand.
pub(crate) struct Peers {
    own: NodeKey,
    delegations: BTreeMap<Address, Delegation>,
    nodes: BTreeMap<NodeKey, Node>,
}

struct Node {
    link: NodeLink,
    addresses: Vec<Address>,
    trust: Trust,
    /// Its link ends, to make room for another.
    leaves: bool,
    state: State,
    /// In a row.
    failures: u32,
    /// What its link was told to register, as address and end.
    told: Vec<(Address, u64)>,
    /// While it is not lent to a link.
    acknowledged: Acknowledged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// May be dialled from this time on.
    Away(UnixMillis),
    Linked,
}

/// What is to be done about one node.
pub(crate) enum Plan {
    /// Dial it and register these.
    Dial(NodeLink, Vec<Delegation>, Acknowledged),
    /// Register exactly these on the link that is there.
    Lease(NodeKey, Vec<Delegation>),
}

impl Peers {
    /// Nobody is known yet to the node with key `own`.
    pub(crate) fn new(own: NodeKey) -> Self {
        Self {
            own,
            delegations: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    /// Takes over what the store knows.
    pub(crate) fn update(
        &mut self,
        now: UnixMillis,
        delegations: Vec<Delegation>,
        peers: Vec<PeerRow>,
    ) {
        self.delegations = delegations
            .into_iter()
            .map(|delegation| (delegation.keys.address, delegation))
            .collect();
        let mut known: HashSet<NodeKey> = HashSet::with_capacity(peers.len());
        for peer in peers {
            let key = *peer.node.key();
            if key == self.own {
                continue;
            }
            known.insert(key);
            // Two nodes that hear of each other at once need one connection: the smaller key dials first.
            let grace = if self.own < key {
                Duration::ZERO
            } else {
                GRACE
            };
            let node = self.nodes.entry(key).or_insert_with(|| Node {
                link: peer.node.clone(),
                addresses: Vec::new(),
                trust: peer.trust,
                leaves: false,
                state: State::Away(now.after(grace)),
                failures: 0,
                told: Vec::new(),
                acknowledged: Acknowledged::default(),
            });
            node.addresses = peer.addresses;
            node.trust = peer.trust;
            if node.link != peer.node {
                node.link = peer.node;
                // Where it is now was never tried.
                if let State::Away(next) = &mut node.state
                    && node.failures < DISTRUSTED
                {
                    *next = now;
                }
            }
        }
        self.nodes.retain(|key, node| {
            if !known.contains(key) {
                // Nobody names it any more: its link ends, and then it goes.
                node.addresses.clear();
            }
            node.state == State::Linked || known.contains(key)
        });
    }

    /// What is to be done now. `covered` says which addresses a node follows here by itself.
    pub(crate) fn plan(
        &mut self,
        now: UnixMillis,
        covered: &HashMap<NodeKey, HashSet<Address>>,
    ) -> Vec<Plan> {
        let mut plans = Vec::new();
        let nobody = HashSet::new();
        let mut due = Vec::new();
        for (key, node) in &mut self.nodes {
            let covered = covered.get(key).unwrap_or(&nobody);
            match node.state {
                State::Linked => {
                    // Of two links for one address, the one that the smaller key dialled stays.
                    let keeps = self.own < *key;
                    let leases = node.leases(&self.delegations, keeps, covered);
                    let told = told(&leases);
                    if told != node.told {
                        node.told = told;
                        plans.push(Plan::Lease(*key, leases));
                    }
                }
                State::Away(next) if next <= now => {
                    due.push((Reverse(node.trust), *key));
                    // If nothing is done for it, it is looked at again when something changes.
                    node.state = State::Away(now.after(GRACE));
                }
                State::Away(_) => {}
            }
        }
        // Those first whose addresses most clients have: who makes names up does not keep the others away.
        due.sort_unstable();
        let mut linked = self.linked();
        for (Reverse(trust), key) in due {
            let Some(node) = self.nodes.get_mut(&key) else {
                continue;
            };
            let covered = covered.get(&key).unwrap_or(&nobody);
            let leases = node.leases(&self.delegations, false, covered);
            if leases.is_empty() {
                continue;
            }
            if linked >= LINKS {
                plans.extend(self.make_room(trust));
                break;
            }
            linked += 1;
            node.state = State::Linked;
            node.told = told(&leases);
            let acknowledged = std::mem::take(&mut node.acknowledged);
            plans.push(Plan::Dial(node.link.clone(), leases, acknowledged));
        }
        plans
    }

    /// Ends the link that fewest clients want, if it is fewer than want another; one at a time.
    fn make_room(&mut self, trust: Trust) -> Option<Plan> {
        let linked = self
            .nodes
            .iter_mut()
            .filter(|(_, node)| node.state == State::Linked);
        let (key, node) = linked.min_by_key(|(_, node)| (!node.leaves, node.trust))?;
        if node.leaves || node.trust >= trust {
            return None;
        }
        node.leaves = true;
        node.told.clear();
        Some(Plan::Lease(*key, Vec::new()))
    }

    /// Notes that a link ended, and why.
    pub(crate) fn ended(
        &mut self,
        now: UnixMillis,
        key: &NodeKey,
        end: &End,
        acknowledged: Acknowledged,
    ) {
        let Some(node) = self.nodes.get_mut(key) else {
            return;
        };
        node.acknowledged = acknowledged;
        node.leaves = false;
        let wait = match end {
            End::Needless => {
                node.failures = 0;
                GRACE
            }
            End::Lost => {
                node.failures = 1;
                FIRST_RETRY
            }
            End::Failed(_) => {
                let wait = FIRST_RETRY.saturating_mul(1 << node.failures.min(10));
                node.failures = node.failures.saturating_add(1);
                wait.min(LAST_RETRY)
            }
            End::Withheld(_) | End::Misbehaved(_) => {
                node.failures = DISTRUSTED;
                DISTRUST
            }
        };
        node.state = State::Away(now.after(wait).after(jitter(&self.own, key, now, wait)));
    }

    /// Notes that a link could not be told what to register.
    pub(crate) fn lease_again(&mut self, key: &NodeKey) {
        if let Some(node) = self.nodes.get_mut(key) {
            node.told.clear();
        }
    }

    /// Whether somebody's waiting time is over.
    pub(crate) fn is_due(&self, now: UnixMillis) -> bool {
        let due = |node: &Node| match node.state {
            State::Away(next) => next <= now && node.shares(&self.delegations),
            State::Linked => false,
        };
        self.nodes.values().any(due)
    }

    /// Everybody that is known.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeKey> {
        self.nodes.keys()
    }

    /// What is registered at nodes of which `works` says that their link does.
    pub(crate) fn leased(&self, works: impl Fn(&NodeKey) -> bool) -> Vec<Address> {
        let working = self.nodes.iter().filter(|(key, _)| works(key));
        let told = working.flat_map(|(_, node)| &node.told);
        told.map(|(address, _)| *address).collect()
    }

    /// Nodes that there are links to, or that are being dialled.
    fn linked(&self) -> usize {
        let linked = |node: &&Node| node.state == State::Linked;
        self.nodes.values().filter(linked).count()
    }

    /// Nodes that were left because they withheld something or sent what no honest node sends.
    pub(crate) fn distrusted(&self) -> usize {
        let distrusted = |node: &&Node| node.failures >= DISTRUSTED;
        self.nodes.values().filter(distrusted).count()
    }
}

impl Node {
    /// What is to be registered there: also what it follows here by itself if the link to it `keeps`.
    fn leases(
        &self,
        delegations: &BTreeMap<Address, Delegation>,
        keeps: bool,
        covered: &HashSet<Address>,
    ) -> Vec<Delegation> {
        if self.leaves {
            return Vec::new();
        }
        self.addresses
            .iter()
            .filter(|address| keeps || !covered.contains(*address))
            .filter_map(|address| delegations.get(address).cloned())
            .take(LEASES)
            .collect()
    }

    fn shares(&self, delegations: &BTreeMap<Address, Delegation>) -> bool {
        let mut addresses = self.addresses.iter();
        addresses.any(|address| delegations.contains_key(address))
    }
}

fn told(leases: &[Delegation]) -> Vec<(Address, u64)> {
    leases
        .iter()
        .map(|lease| (lease.keys.address, lease.until_s))
        .collect()
}

/// Up to a quarter of `wait`, so that nodes that lost each other do not all come back at once.
pub(super) fn jitter(own: &NodeKey, other: &NodeKey, now: UnixMillis, wait: Duration) -> Duration {
    let hash = kdf::sha256(&[
        own.as_bytes(),
        other.as_bytes(),
        &now.as_millis().to_be_bytes(),
    ]);
    let [first, ..] = hash;
    wait / 4 * u32::from(first) / 256
}

/// Connections that this node dials at once.
const LINKS: usize = 64;
/// Addresses registered at one node; it takes as many from a super node.
const LEASES: usize = 16_384;
/// How long the node with the greater key waits for the other to dial.
const GRACE: Duration = Duration::from_secs(20);
/// Waiting times between two tries: the first, doubled each time, up to the last.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_secs(3_600);
/// How long a node is left alone that is not to be trusted.
const DISTRUST: Duration = Duration::from_secs(24 * 3_600);
/// Failures that stand for that.
const DISTRUSTED: u32 = 1_000;

#[cfg(test)]
mod tests {
    use ailurus::{
        channel::AddressKeys,
        channel::{Epoch, address::AddressSecret},
        crypto::{SeededEntropy, SigningKey},
    };

    use super::*;
    use crate::store::DelegatedKeys;

    const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);

    fn key(n: u8) -> NodeKey {
        NodeKey::from_bytes([n; 32])
    }

    fn delegation(seed: u64) -> Delegation {
        let mut entropy = SeededEntropy::from_u64(seed);
        let write = SigningKey::random(&mut entropy).public();
        let secret = AddressSecret::random(&mut entropy);
        let keys = AddressKeys::derive(&write, &secret, Epoch::of(NOW)).expect("a channel");
        Delegation {
            keys: DelegatedKeys {
                address: keys.address,
                blinded: *keys.blinded.as_bytes(),
                access: *keys.access.public().as_bytes(),
            },
            until_s: NOW.as_secs() + 1_000,
            signature: [0; 64],
        }
    }

    fn peer(n: u8, of: &[Delegation]) -> PeerRow {
        PeerRow {
            node: NodeLink::new(key(n), "192.0.2.1", u16::from(n)).expect("a link"),
            addresses: of.iter().map(|one| one.keys.address).collect(),
            trust: Trust::default(),
        }
    }

    fn dialled(plans: &[Plan]) -> Vec<(NodeKey, usize)> {
        let dial = |plan: &Plan| match plan {
            Plan::Dial(link, leases, _) => Some((*link.key(), leases.len())),
            Plan::Lease(..) => None,
        };
        plans.iter().filter_map(dial).collect()
    }

    #[test]
    fn the_smaller_key_dials_and_the_greater_only_if_it_must() {
        let shared = [delegation(1), delegation(2)];
        let mut peers = Peers::new(key(5));
        peers.update(
            NOW,
            shared.to_vec(),
            vec![peer(9, &shared), peer(1, &shared), peer(5, &shared)],
        );
        assert_eq!(dialled(&peers.plan(NOW, &HashMap::new())), [(key(9), 2)]);
        assert!(dialled(&peers.plan(NOW, &HashMap::new())).is_empty());
        let later = NOW.after(GRACE);
        let follows: HashSet<_> = [shared[0].keys.address].into();
        let covered = HashMap::from([(key(1), follows)]);
        assert_eq!(dialled(&peers.plan(later, &covered)), [(key(1), 1)]);
    }

    #[test]
    fn of_two_links_one_is_given_up() {
        let shared = [delegation(1)];
        let everything: HashSet<_> = [shared[0].keys.address].into();
        for (other, stays) in [(9, true), (1, false)] {
            let mut peers = Peers::new(key(5));
            peers.update(NOW, shared.to_vec(), vec![peer(other, &shared)]);
            let later = NOW.after(GRACE);
            assert_eq!(dialled(&peers.plan(later, &HashMap::new())).len(), 1);
            let covered = HashMap::from([(key(other), everything.clone())]);
            match peers.plan(later, &covered).as_slice() {
                [] => assert!(stays),
                [Plan::Lease(node, leases)] => {
                    assert!(!stays && *node == key(other) && leases.is_empty());
                }
                _ => panic!("one link"),
            }
        }
    }

    #[test]
    fn failures_double_the_wait_and_distrust_lasts_a_day() {
        let shared = [delegation(1)];
        let mut peers = Peers::new(key(1));
        let rows = || vec![peer(9, &shared)];
        peers.update(NOW, shared.to_vec(), rows());
        let mut now = NOW;
        let mut waits = Vec::new();
        for _ in 0..12 {
            while dialled(&peers.plan(now, &HashMap::new())).is_empty() {
                now = now.after(Duration::from_secs(1));
            }
            waits.push(now);
            peers.ended(
                now,
                &key(9),
                &End::Failed("refused".into()),
                Acknowledged::default(),
            );
        }
        let gaps: Vec<_> = waits
            .windows(2)
            .map(|pair| pair[1].since(pair[0]))
            .collect();
        assert!(gaps[0] >= FIRST_RETRY && gaps[0] <= FIRST_RETRY * 2);
        assert!(gaps[5] >= FIRST_RETRY * 32);
        assert!(
            gaps.iter()
                .all(|gap| *gap <= LAST_RETRY * 5 / 4 + Duration::from_secs(1))
        );
        while dialled(&peers.plan(now, &HashMap::new())).is_empty() {
            now = now.after(Duration::from_secs(60));
        }
        peers.ended(
            now,
            &key(9),
            &End::Misbehaved("lies"),
            Acknowledged::default(),
        );
        assert_eq!(peers.distrusted(), 1);
        // Another host for the same key changes nothing.
        let moved = NodeLink::new(key(9), "192.0.2.7", 1).expect("a link");
        let row = PeerRow {
            node: moved,
            addresses: vec![shared[0].keys.address],
            trust: Trust::default(),
        };
        peers.update(now, shared.to_vec(), vec![row]);
        let next_day = now.after(Duration::from_secs(23 * 3_600));
        assert!(dialled(&peers.plan(next_day, &HashMap::new())).is_empty());
    }

    #[test]
    fn names_that_one_client_makes_up_keep_no_other_node_away() {
        let shared = [delegation(1)];
        let mut peers = Peers::new(key(0));
        let wanted = |n, clients| PeerRow {
            trust: Trust {
                introduced: 0,
                clients,
            },
            ..peer(n, &shared)
        };
        let mut rows: Vec<PeerRow> = (1..=100).map(|n| wanted(n, 1)).collect();
        rows.push(wanted(200, 3));
        peers.update(NOW, shared.to_vec(), rows.clone());
        let first = dialled(&peers.plan(NOW, &HashMap::new()));
        assert_eq!(first.len(), LINKS);
        assert_eq!(first[0], (key(200), 1));
        // One that comes later gets the place of one of them.
        rows.push(wanted(201, 2));
        peers.update(NOW, shared.to_vec(), rows);
        let plans = peers.plan(NOW, &HashMap::new());
        let [Plan::Lease(leaves, leases)] = plans.as_slice() else {
            panic!("one link ends, not {}", plans.len());
        };
        assert!(leases.is_empty() && *leaves != key(200));
        // It is told once.
        assert!(peers.plan(NOW, &HashMap::new()).is_empty());
        let later = NOW.after(GRACE);
        peers.ended(later, leaves, &End::Needless, Acknowledged::default());
        let next = dialled(&peers.plan(later, &HashMap::new()));
        assert_eq!(next, [(key(201), 1)]);
        // Nobody goes for somebody who is wanted no more.
        let end = NOW.after(GRACE * 3);
        assert!(peers.plan(end, &HashMap::new()).is_empty());
    }

    #[test]
    fn without_a_delegation_nobody_is_dialled() {
        let shared = [delegation(1)];
        let mut peers = Peers::new(key(1));
        peers.update(NOW, Vec::new(), vec![peer(9, &shared)]);
        assert!(peers.plan(NOW, &HashMap::new()).is_empty());
    }
}
