//! All links of one node by function calls, for simulations: what the server does over QUIC.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
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
    service::{Group, Offered, Service, Session, Stored},
    store::{Row, StoreError},
};

/// A node's links to others whose services are at hand.
pub struct Wires {
    peers: Peers,
    links: BTreeMap<NodeKey, Linked>,
    next_update: UnixMillis,
    /// Since when the node runs, which tells this run's pushes from another's.
    began: UnixMillis,
    /// What clients published here lately and when, for those who follow.
    published: VecDeque<(UnixMillis, Stored)>,
    /// How many are no longer in it.
    forgotten: u64,
    accused: u64,
}

struct Linked {
    wire: Wire,
    heard: Option<Heard>,
}

/// How far a follower was told of what is published at a node.
#[derive(Clone, Copy)]
struct Heard {
    began: UnixMillis,
    count: u64,
}

/// What a node tells another that follows it.
pub struct Pushes {
    frames: Vec<Response>,
    /// Some passed the follower by.
    missed: bool,
    heard: Heard,
}

impl Pushes {
    /// The frames, for whoever counts their bytes.
    pub fn frames(&self) -> &[Response] {
        &self.frames
    }
}

impl Wires {
    /// The node with key `own`, which has just started and has not dialled anybody.
    pub fn new(own: NodeKey, now: UnixMillis) -> Self {
        Self {
            peers: Peers::new(own),
            links: BTreeMap::new(),
            next_update: UnixMillis::default(),
            began: now,
            published: VecDeque::new(),
            forgotten: 0,
            accused: 0,
        }
    }

    /// Dials whom it should; then each link is to be gone through with [`Wires::exchange`]. `covered` is what others have leased here by themselves. Until `reconcile_from`, links that stand hand on what was
    /// published, and none reconciles: a difference that only waits to be handed on would be found everywhere.
    ///
    /// # Errors
    /// If the database cannot be read or written.
    pub fn plan(
        &mut self,
        service: &Arc<Service>,
        now: UnixMillis,
        reconcile_from: UnixMillis,
        covered: &HashMap<NodeKey, HashSet<Address>>,
    ) -> Result<(), StoreError> {
        if now >= self.next_update || (service.take_neighbours_changed() && self.links.is_empty()) {
            self.next_update = now.after(UPDATE_EVERY);
            self.update(service, now)?;
        }
        for plan in self.peers.plan(now, covered) {
            match plan {
                Plan::Dial(link, leases, acknowledged) => {
                    let linked = Linked {
                        wire: Wire::dial(service, *link.key(), leases, acknowledged, now),
                        heard: None,
                    };
                    self.links.insert(*link.key(), linked);
                }
                Plan::Lease(node, leases) => {
                    if let Some(linked) = self.links.get_mut(&node) {
                        linked.wire.lease(leases);
                    }
                }
            }
        }
        while let Some((at, _)) = self.published.front()
            && at.after(REMEMBERED) < now
        {
            self.published.pop_front();
            self.forgotten = self.forgotten.saturating_add(1);
        }
        for linked in self.links.values_mut() {
            linked.wire.reconcile_not_before(reconcile_from);
        }
        Ok(())
    }

    /// Exchanges with one node what is to be exchanged. `pushes` is what the other has for this one, see
    /// [`Wires::pushes`], and `other` how it answers requests, each with one
    /// response but for a `Sync`, which comes alone; both `None` if it does not.
    ///
    /// # Errors
    /// If the database cannot be read or written.
    pub fn exchange(
        &mut self,
        service: &Service,
        now: UnixMillis,
        node: &NodeKey,
        pushes: Option<Pushes>,
        mut other: impl FnMut(&Session, Vec<Request>) -> Option<Vec<Response>>,
    ) -> Result<(), StoreError> {
        let Some(linked) = self.links.get_mut(node) else {
            return Ok(());
        };
        let mut answers = pushes.is_some();
        if let Some(pushes) = pushes {
            linked.heard = Some(pushes.heard);
            linked.wire.pushed(pushes.frames, pushes.missed, now);
            linked
                .wire
                .run_together(service, now, |session, requests| {
                    let answer = other(session, requests);
                    answers &= answer.is_some();
                    answer.unwrap_or_default()
                })?;
        }
        if answers && linked.wire.end().is_none() {
            return Ok(());
        }
        if let Some(linked) = self.links.remove(node) {
            let (end, acknowledged) = linked.wire.into_end(answers);
            self.accused += u64::from(matches!(end, End::Withheld(_) | End::Misbehaved(_)));
            self.peers.ended(now, node, &end, acknowledged);
        }
        Ok(())
    }

    /// Hands on what clients have published here: it goes out with the next [`Wires::exchange`] of either side.
    pub fn offer(&mut self, offered: &Offered, now: UnixMillis) {
        for linked in self.links.values_mut() {
            linked.wire.offer(&offered.0, now);
        }
        let of_clients = offered.0.iter().filter(|stored| !stored.peer);
        self.published
            .extend(of_clients.map(|stored| (now, stored.clone())));
    }

    /// What this node has for the one with key `own` whose links are `follower`: what was published since that was told last.
    pub fn pushes(&self, own: &NodeKey, follower: &Self) -> Pushes {
        let count = self.forgotten + self.published.len() as u64;
        let heard = Heard {
            began: self.began,
            count,
        };
        let mut pushes = Pushes {
            frames: Vec::new(),
            missed: false,
            heard,
        };
        let Some(linked) = follower.links.get(own) else {
            return pushes;
        };
        let Some(before) = linked.heard else {
            return pushes;
        };
        let told = before.count.checked_sub(self.forgotten);
        let Some(told) = told.filter(|_| before.began == self.began) else {
            pushes.missed = true;
            return pushes;
        };
        let follows = linked.wire.registered();
        let mut groups: Vec<Group> = Vec::new();
        let told = usize::try_from(told).unwrap_or(usize::MAX);
        for (_, stored) in self.published.iter().skip(told) {
            if !follows.contains(&stored.address) {
                continue;
            }
            let row = Row::of(&stored.envelope);
            match groups.last_mut() {
                Some(group) if group.address() == stored.address && group.has_room(&row) => {
                    group.push(row);
                }
                _ => {
                    let mut group = Group::new(stored.address, row.time);
                    group.push(row);
                    groups.push(group);
                }
            }
        }
        pushes.frames = groups.into_iter().map(Group::into_response).collect();
        pushes
    }

    /// Whom there are links to.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeKey> {
        self.links.keys()
    }

    /// What this node has leased at others.
    pub fn leased(&self) -> impl Iterator<Item = (&NodeKey, HashSet<Address>)> {
        let links = self.links.iter();
        links.map(|(node, linked)| (node, linked.wire.registered()))
    }

    /// How often another node was left because it withheld or misbehaved.
    pub fn accused(&self) -> u64 {
        self.accused
    }

    fn update(&mut self, service: &Service, now: UnixMillis) -> Result<(), StoreError> {
        let store = service.store();
        let working: Vec<NodeKey> = self.links.keys().copied().collect();
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
const UPDATE_EVERY: Duration = Duration::from_secs(3 * 3_600);
/// How long a follower may be silent and is told all the same.
const REMEMBERED: Duration = Duration::from_secs(6 * 3_600);
