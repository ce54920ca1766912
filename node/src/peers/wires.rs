//! All links of one node by function calls, for simulations: what the server does over QUIC.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ailurus::{
    channel::Address,
    crypto::NodeKey,
    wire::{
        node::{Request, Response},
        time::UnixMillis,
    },
};

use super::{End, Peers, Plan, Wire};
use crate::{
    service::{Offered, Service, Session},
    store::StoreError,
};

/// A node's links to others whose services are at hand.
pub struct Wires {
    peers: Peers,
    wires: BTreeMap<NodeKey, (Wire, HashSet<Address>)>,
    next_update: UnixMillis,
    accused: u64,
}

impl Wires {
    /// The node with key `own`, before it has dialled anybody.
    pub fn new(own: NodeKey) -> Self {
        Self {
            peers: Peers::new(own),
            wires: BTreeMap::new(),
            next_update: UnixMillis::default(),
            accused: 0,
        }
    }

    /// Dials whom it should, and exchanges what is to be exchanged. `covered` is what others have leased here by
    /// themselves; `other` is how a node answers, or `None` if it does not.
    ///
    /// # Errors
    /// If the database cannot be read or written.
    pub fn run(
        &mut self,
        service: &Arc<Service>,
        now: UnixMillis,
        covered: &HashMap<NodeKey, HashSet<Address>>,
        mut other: impl FnMut(&NodeKey, &Session, Request) -> Option<Vec<Response>>,
    ) -> Result<(), StoreError> {
        if now >= self.next_update || (service.take_neighbours_changed() && self.wires.is_empty()) {
            self.next_update = now.after(UPDATE_EVERY);
            self.update(service, now)?;
        }
        for plan in self.peers.plan(now, covered) {
            match plan {
                Plan::Dial(link, leases, acknowledged) => {
                    let addresses = leases.iter().map(|lease| lease.keys.address).collect();
                    let wire = Wire::dial(service, *link.key(), leases, acknowledged, now);
                    self.wires.insert(*link.key(), (wire, addresses));
                }
                Plan::Lease(node, leases) => {
                    if let Some((wire, addresses)) = self.wires.get_mut(&node) {
                        *addresses = leases.iter().map(|lease| lease.keys.address).collect();
                        wire.lease(leases);
                    }
                }
            }
        }
        let mut ended = Vec::new();
        for (node, (wire, _)) in &mut self.wires {
            let mut answers = true;
            wire.run(service, now, |session, request| {
                let answer = other(node, session, request);
                answers &= answer.is_some();
                answer.unwrap_or_default()
            })?;
            if !answers || wire.end().is_some() {
                ended.push((*node, answers));
            }
        }
        for (node, answers) in ended {
            let Some((wire, _)) = self.wires.remove(&node) else {
                continue;
            };
            let (end, acknowledged) = wire.into_end(answers);
            self.accused += u64::from(matches!(end, End::Withheld(_) | End::Misbehaved(_)));
            self.peers.ended(now, &node, &end, acknowledged);
        }
        Ok(())
    }

    /// Hands on what clients have published here; it goes out with the next [`Wires::run`].
    pub fn offer(&mut self, offered: &Offered, now: UnixMillis) {
        for (wire, _) in self.wires.values_mut() {
            wire.offer(&offered.0, now);
        }
    }

    /// What this node has leased at another.
    pub fn leased_at(&self, node: &NodeKey) -> Option<&HashSet<Address>> {
        self.wires.get(node).map(|(_, addresses)| addresses)
    }

    /// How often another node was left because it withheld or misbehaved.
    pub fn accused(&self) -> u64 {
        self.accused
    }

    fn update(&mut self, service: &Service, now: UnixMillis) -> Result<(), StoreError> {
        let store = service.store();
        let working: Vec<NodeKey> = self.wires.keys().copied().collect();
        if !working.is_empty() {
            store.write(|writer| {
                working
                    .iter()
                    .try_for_each(|node| writer.reached(node, now))
            })?;
        }
        let known = store.read(|reader| Ok((reader.delegations(now)?, reader.peers()?)))?;
        self.peers.update(now, known.0, known.1);
        Ok(())
    }
}

/// How often it is written down who answers, and read who is new.
const UPDATE_EVERY: Duration = Duration::from_secs(4 * 3_600);
