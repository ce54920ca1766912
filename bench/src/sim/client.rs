//! Light clients: the real chooser, leases and conversation, without a database.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ailurus::{
    channel::{Envelope, Epoch, Introduction, NodeLink, lease_statement},
    crypto::{HolderSecret, Pseudonym, PseudonymSecret},
    sync::{
        leases,
        outbox::copies_wanted,
        session::{Session as Conversation, Step, Work},
    },
    wire::{
        limits::{LIFETIME, MAX_ANNOUNCEMENTS, MAX_LEASES, NODES_KEPT},
        node::{
            Announce, Announcement, Lease, Load, Publish, Reason, Register, Request, Sync,
            request::Kind, response,
        },
        time::UnixMillis,
    },
};
use ailurus_node::Session;
use bytes::Bytes;

use super::{
    Failure,
    channel::{Channels, number_of},
    node::Node,
    random::Random,
};

/// A phone.
pub struct Client {
    pub memberships: Vec<Membership>,
    pub seats: HashMap<usize, Seat>,
    /// By whom it came to a node, where it came by somebody.
    pub introductions: HashMap<usize, (Introduction, HolderSecret)>,
    pub outbox: Vec<Waiting>,
    /// Any number that is its own.
    pub spread: u64,
    /// Mean time between two polls, in milliseconds.
    pub rhythm: f64,
    pub random: Random,
}

/// What a client knows of the world around it.
pub struct Network<'a> {
    /// The nodes that it keeps.
    pub kept: Vec<usize>,
    /// Every node's link.
    pub links: &'a [NodeLink],
}

/// A channel that this client is in.
pub struct Membership {
    pub channel: usize,
    /// Which member it is.
    pub member: usize,
}

/// What a client has at a node.
pub struct Seat {
    pseudonym: Pseudonym,
    cursor: Bytes,
    leases: BTreeSet<(usize, Epoch)>,
    /// The node has counted its introduction.
    counted: bool,
    /// What the node was told of other nodes, by lease.
    told: BTreeMap<(usize, Epoch), Vec<usize>>,
}

/// A lease of which a node is to be told, with the other nodes that serve its address.
type Untold = ((usize, Epoch), Vec<usize>);

/// A message on its way out.
pub struct Waiting {
    pub channel: usize,
    pub number: usize,
    pub envelope: Envelope,
    pub at: Vec<usize>,
}

/// What a conversation brought.
#[derive(Default)]
pub struct Brought {
    /// It came to its end; else the node is down, refuses, or the connection broke.
    pub answered: bool,
    /// Numbers of messages by address, new or not.
    pub received: Vec<(Bytes, Vec<usize>)>,
    /// Channel and number of messages that a node has now.
    pub acknowledged: Vec<(usize, usize)>,
    pub load: Option<Load>,
    /// The hop count that it counts, if it registered us.
    pub registered: Option<Option<u32>>,
    pub refused: Option<Reason>,
    pub evicted: bool,
    /// These are the first leases that the phone has there.
    pub newcomer: bool,
}

impl Client {
    /// Whether something is to be said to a node besides asking for what is new.
    pub fn has_work(
        &self,
        node: usize,
        channels: &Channels<'_>,
        kept: &[usize],
        now: UnixMillis,
    ) -> Result<bool, Failure> {
        Ok(self.waits_for(node)
            || !self.leases_due(node, channels, now)?.is_empty()
            || !self.untold(node, channels, kept, now)?.is_empty())
    }

    /// Talks with a node as the real client does: leases, then a sync, then what waits.
    pub fn talk(
        &mut self,
        index: usize,
        node: &mut Node,
        channels: &mut Channels<'_>,
        network: &Network<'_>,
        now: UnixMillis,
    ) -> Result<Brought, Failure> {
        let mut brought = Brought::default();
        if !node.is_up() {
            return Ok(brought);
        }
        let seat = self.seats.entry(index).or_insert_with(|| Seat {
            pseudonym: PseudonymSecret::random(self.random.entropy()).public(),
            cursor: Bytes::new(),
            leases: BTreeSet::new(),
            counted: false,
            told: BTreeMap::new(),
        });
        let session = Session {
            pseudonym: seat.pseudonym,
            early: false,
            network: None,
            exporter: Some(ailurus::crypto::entropy::array(self.random.entropy())),
        };
        let mut talk = Conversation::new(Work {
            leases: !self.leases_due(index, channels, now)?.is_empty(),
            releases: false,
            announces: !self.untold(index, channels, &network.kept, now)?.is_empty(),
            push: false,
            outbox: self.waits_for(index),
        });
        let mut steps = 0;
        loop {
            steps += 1;
            if steps > STEPS {
                return Err("a conversation does not end".into());
            }
            match talk.next() {
                Step::Idle => {
                    brought.answered = true;
                    return Ok(brought);
                }
                Step::Release => talk.released(),
                Step::Push => talk.pushed(),
                Step::Register => {
                    if !self.register(index, node, &session, channels, now, &mut brought)? {
                        return Ok(brought);
                    }
                    talk.registered();
                }
                Step::Sync => {
                    if !self.sync(index, node, &session, now, &mut talk, &mut brought)? {
                        return Ok(brought);
                    }
                }
                Step::Announce => {
                    if !self.announce(index, node, &session, channels, network, now)? {
                        return Ok(brought);
                    }
                    talk.announced();
                }
                Step::Publish => {
                    if !self.publish(index, node, &session, channels, now, &mut brought)? {
                        return Ok(brought);
                    }
                    self.forget_what_is_out(&network.kept, now);
                    talk.published();
                }
            }
        }
    }

    fn leases_due(
        &self,
        node: usize,
        channels: &Channels<'_>,
        now: UnixMillis,
    ) -> Result<Vec<(usize, Epoch)>, Failure> {
        let seat = self.seats.get(&node);
        let of_node = (node as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut due = Vec::new();
        for membership in &self.memberships {
            let channel = membership.channel;
            let spread = of_node ^ self.spread ^ channels.see(channel)?.spread();
            let leases = leases::wanted(now, spread).map(|epoch| (channel, epoch));
            due.extend(leases.filter(|lease| seat.is_none_or(|seat| !seat.leases.contains(lease))));
        }
        Ok(due)
    }

    /// Leases of which the node was not told, or of other nodes than now.
    fn untold(
        &self,
        node: usize,
        channels: &Channels<'_>,
        kept: &[usize],
        now: UnixMillis,
    ) -> Result<Vec<Untold>, Failure> {
        let Some(seat) = self.seats.get(&node) else {
            return Ok(Vec::new());
        };
        let mut untold = Vec::new();
        for lease in &seat.leases {
            if lease.1.lease_end() <= now {
                continue;
            }
            let peers = channels.see(lease.0)?.peers(kept, node);
            if seat.told.get(lease) != Some(&peers) {
                untold.push((*lease, peers));
            }
        }
        Ok(untold)
    }

    fn announce(
        &mut self,
        index: usize,
        node: &mut Node,
        session: &Session,
        channels: &mut Channels<'_>,
        network: &Network<'_>,
        now: UnixMillis,
    ) -> Result<bool, Failure> {
        let due = self.untold(index, channels, &network.kept, now)?;
        for part in due.chunks(MAX_ANNOUNCEMENTS) {
            let mut announcements = Vec::with_capacity(part.len());
            for ((channel, epoch), peers) in part {
                let keys = channels.change(*channel)?.keys(*epoch)?;
                let until = epoch.lease_end().as_secs();
                let links = peers.iter().filter_map(|peer| network.links.get(*peer));
                announcements.push(Announcement {
                    address: Bytes::copy_from_slice(keys.address.address.as_bytes()),
                    until,
                    delegation: Bytes::copy_from_slice(&keys.delegation(index, node.key(), until)),
                    peers: links.map(NodeLink::to_hint).collect(),
                    ..Announcement::default()
                });
            }
            let request = Request {
                kind: Some(Kind::Announce(Announce { announcements })),
            };
            if node.ask(session, now, request).is_none() {
                return Ok(false);
            }
            if let Some(seat) = self.seats.get_mut(&index) {
                seat.told.extend(part.iter().cloned());
            }
        }
        Ok(true)
    }

    fn waits_for(&self, node: usize) -> bool {
        self.outbox
            .iter()
            .any(|waiting| !waiting.at.contains(&node))
    }

    fn register(
        &mut self,
        index: usize,
        node: &mut Node,
        session: &Session,
        channels: &mut Channels<'_>,
        now: UnixMillis,
        brought: &mut Brought,
    ) -> Result<bool, Failure> {
        let due = self.leases_due(index, channels, now)?;
        let exporter = session.exporter.unwrap_or_default();
        let counted = self.seats.get(&index).is_some_and(|seat| seat.counted);
        let introduction = match self.introductions.get(&index).filter(|_| !counted) {
            Some((chain, holder)) => Some(chain.prove(holder, &exporter, &session.pseudonym)?),
            None => None,
        };
        for part in due.chunks(MAX_LEASES) {
            let mut leases = Vec::with_capacity(part.len());
            for (channel, epoch) in part {
                let keys = channels.change(*channel)?.keys(*epoch)?;
                let end = epoch.lease_end().as_secs();
                let statement = lease_statement(
                    &exporter,
                    node.key().as_bytes(),
                    session.pseudonym.as_bytes(),
                    &keys.address.address,
                    end,
                );
                leases.push(Lease {
                    blinded_key: Bytes::copy_from_slice(keys.address.blinded.as_bytes()),
                    access_key: Bytes::copy_from_slice(keys.access.as_bytes()),
                    epoch: epoch.number(),
                    lease_end: end,
                    proof: Bytes::copy_from_slice(&keys.address.access.sign(&statement)),
                    ..Lease::default()
                });
            }
            let request = Request {
                kind: Some(Kind::Register(Register {
                    leases,
                    introduction: introduction.clone(),
                })),
            };
            let Some(answers) = node.ask(session, now, request) else {
                return Ok(false);
            };
            for answer in answers.into_iter().filter_map(|answer| answer.kind) {
                match answer {
                    response::Kind::Registered(registered) => {
                        let refused: HashSet<usize> = registered
                            .refusals
                            .iter()
                            .map(|refusal| refusal.index as usize)
                            .collect();
                        brought.registered = Some(registered.hop_count);
                        brought.refused = registered.refusals.first().map(|first| first.reason());
                        if let Some(seat) = self.seats.get_mut(&index) {
                            seat.counted = registered.hop_count.is_some();
                            let had_none = seat.leases.is_empty();
                            let granted = part.iter().enumerate();
                            let granted = granted.filter(|(place, _)| !refused.contains(place));
                            seat.leases.extend(granted.map(|(_, lease)| *lease));
                            brought.newcomer |= had_none && !seat.leases.is_empty();
                        }
                    }
                    response::Kind::Refused(refused) => {
                        brought.refused = Some(refused.reason());
                        // Next time it comes as a stranger.
                        self.introductions.remove(&index);
                    }
                    other => return Err(format!("a node registers with {other:?}").into()),
                }
            }
        }
        Ok(true)
    }

    fn sync(
        &mut self,
        index: usize,
        node: &mut Node,
        session: &Session,
        now: UnixMillis,
        talk: &mut Conversation,
        brought: &mut Brought,
    ) -> Result<bool, Failure> {
        let Some(seat) = self.seats.get_mut(&index) else {
            return Ok(false);
        };
        let request = Request {
            kind: Some(Kind::Sync(Sync {
                cursor: seat.cursor.clone(),
                follow: false,
            })),
        };
        let Some(answers) = node.ask(session, now, request) else {
            return Ok(false);
        };
        for answer in answers.into_iter().filter_map(|answer| answer.kind) {
            match answer {
                response::Kind::Hello(hello) => {
                    let alive = |lease: &&(usize, Epoch)| lease.1.lease_end() > now;
                    let expected = seat.leases.iter().filter(alive).count();
                    if talk.hello(hello.leases, u32::try_from(expected)?) {
                        seat.leases.clear();
                        seat.told.clear();
                        seat.counted = false;
                    }
                    brought.evicted = hello.ended() == Reason::Evicted;
                    brought.load = hello.load;
                }
                response::Kind::Batch(batch) => {
                    let numbers = batch
                        .items
                        .iter()
                        .filter_map(|item| number_of(&item.sealed));
                    brought.received.push((batch.address, numbers.collect()));
                }
                response::Kind::Position(position) => seat.cursor = position.cursor,
                response::Kind::CaughtUp(_) => talk.caught_up(),
                response::Kind::Refused(refused) => {
                    brought.refused = Some(refused.reason());
                    return Ok(false);
                }
                _ => {}
            }
        }
        Ok(true)
    }

    fn publish(
        &mut self,
        index: usize,
        node: &mut Node,
        session: &Session,
        channels: &mut Channels<'_>,
        now: UnixMillis,
        brought: &mut Brought,
    ) -> Result<bool, Failure> {
        // Those of one address together, in the order in which they were written.
        let mut groups: BTreeMap<(usize, Epoch), Vec<&mut Waiting>> = BTreeMap::new();
        for waiting in &mut self.outbox {
            if !waiting.at.contains(&index) {
                let epoch = Epoch::of(waiting.envelope.header().time);
                let group = groups.entry((waiting.channel, epoch)).or_default();
                group.push(waiting);
            }
        }
        for ((channel, epoch), mut group) in groups {
            let keys = channels.change(channel)?.keys(epoch)?;
            let mut items = Vec::with_capacity(group.len());
            let mut base = None;
            let mut before = UnixMillis::default();
            for waiting in &group {
                let time = waiting.envelope.header().time;
                if base.is_none() {
                    (base, before) = (Some(time), time);
                }
                items.push(waiting.envelope.to_item(before));
                before = time;
            }
            let request = Request {
                kind: Some(Kind::Publish(Publish {
                    blinded_key: Bytes::copy_from_slice(keys.address.blinded.as_bytes()),
                    access_key: Bytes::copy_from_slice(keys.access.as_bytes()),
                    base_time_ms: base.unwrap_or_default().as_millis(),
                    items,
                })),
            };
            let Some(answers) = node.ask(session, now, request) else {
                return Ok(false);
            };
            // Now and then the connection breaks before the answer: the phone will send it again.
            if self.random.chance(BREAKS) {
                return Ok(false);
            }
            for answer in answers.into_iter().filter_map(|answer| answer.kind) {
                let response::Kind::Published(published) = answer else {
                    continue;
                };
                let refused: HashSet<usize> = published
                    .refusals
                    .iter()
                    .map(|refusal| refusal.index as usize)
                    .collect();
                if let Some(refusal) = published.refusals.first() {
                    brought.refused = Some(refusal.reason());
                }
                for (place, waiting) in group.iter_mut().enumerate() {
                    if !refused.contains(&place) {
                        waiting.at.push(index);
                        let acknowledged = (waiting.channel, waiting.number);
                        brought.acknowledged.push(acknowledged);
                    }
                }
            }
        }
        Ok(true)
    }

    /// As on phones: two nodes have it, of those that serve us two or all, or its time is over.
    fn forget_what_is_out(&mut self, kept: &[usize], now: UnixMillis) {
        let wanted = copies_wanted(*NODES_KEPT.start());
        let seats = &self.seats;
        self.outbox.retain(|waiting| {
            let serves = |node: &&usize| {
                let seat = seats.get(*node);
                seat.is_some_and(|seat| seat.leases.iter().any(|lease| lease.0 == waiting.channel))
            };
            let serving = kept.iter().filter(serves);
            let (mut all, mut having) = (0, 0);
            for node in serving {
                all += 1;
                having += usize::from(waiting.at.contains(node));
            }
            let is_out = waiting.at.len() >= wanted && having >= wanted.min(all);
            !is_out && now.since(waiting.envelope.header().time) < LIFETIME
        });
    }
}

/// More steps than any conversation takes.
const STEPS: usize = 20;
/// Share of the publications whose answer is lost.
const BREAKS: f64 = 0.002;
