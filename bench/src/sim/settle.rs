//! The world as it begins: nodes, channels, and who knows whom.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ailurus::{
    channel::{Epoch, Introduction, NodeLink},
    crypto::{HolderSecret, NodeKey},
    wire::time::UnixMillis,
};
use ailurus_node::{Limits, Verified};

use super::{
    Failure,
    channel::Channel,
    choice::Choice,
    client::{Client, Membership},
    node::Node,
    phone::{Phone, Tally},
    random::Random,
    report::Scale,
};

/// Everybody and everything, by number.
pub struct Settled {
    pub nodes: Vec<Mutex<Node>>,
    pub links: Vec<NodeLink>,
    pub by_key: HashMap<NodeKey, usize>,
    pub channels: Vec<Mutex<Channel>>,
    pub by_address: HashMap<[u8; 32], usize>,
    pub phones: Vec<Mutex<Phone>>,
    /// Which channels and nodes each phone knows; more it never comes to know.
    pub knows: Vec<Known>,
}

/// What a phone knows, by number.
pub struct Known {
    pub channels: Vec<usize>,
    pub nodes: Vec<usize>,
}

impl Settled {
    /// A world of this size, in which people write from `start` to `end`.
    pub fn new(
        scale: &Scale,
        folder: &Path,
        start: UnixMillis,
        end: UnixMillis,
        random: &mut Random,
    ) -> Result<Self, Failure> {
        let mut settled = Self {
            nodes: Vec::with_capacity(scale.nodes),
            links: Vec::with_capacity(scale.nodes),
            by_key: HashMap::new(),
            channels: Vec::with_capacity(scale.channels),
            by_address: HashMap::new(),
            phones: Vec::with_capacity(scale.clients),
            knows: Vec::with_capacity(scale.clients),
        };
        let seats = 3 * scale.clients / scale.nodes.max(1);
        let verified = Arc::new(Verified::default());
        for number in 0..scale.nodes {
            // Some are small, so that they fill up and send people away.
            let room = seats as f64 * (0.8 + 1.7 * random.unit());
            let limits = Limits {
                registrations: room as u64 + 8,
                ..Limits::default()
            };
            let node = Node::start(number, limits, folder, &verified, start, random)?;
            settled.by_key.insert(*node.key(), number);
            settled.links.push(node.link.clone());
            settled.nodes.push(Mutex::new(node));
        }
        let communities = Community::all(scale, random);
        let memberships = settled.found_channels(scale, &communities, start, end, random)?;
        settled.hand_out_phones(scale, &communities, memberships, end)?;
        Ok(settled)
    }

    /// Most members of a channel, and the nodes in its link, are of one community.
    fn found_channels(
        &mut self,
        scale: &Scale,
        communities: &[Community],
        start: UnixMillis,
        end: UnixMillis,
        random: &mut Random,
    ) -> Result<Vec<Vec<Membership>>, Failure> {
        let count = communities.len();
        let mut memberships: Vec<Vec<Membership>> = Vec::new();
        memberships.resize_with(scale.clients, Vec::new);
        let epoch = Epoch::of(start);
        for number in 0..scale.channels {
            let community = number % count;
            let size = 2 + (random.wait(MEMBERS - 2.0) as usize).min(40);
            let mut members = Vec::new();
            for _ in 0..size {
                let stranger = random.chance(0.05);
                let client = if stranger {
                    random.below(scale.clients)
                } else {
                    community + count * random.below(scale.clients / count)
                };
                if client < scale.clients && !members.contains(&client) {
                    members.push(client);
                }
            }
            let mut hints = communities[community].pool.clone();
            let first = random.below(hints.len());
            hints.rotate_left(first);
            hints.truncate(2);
            for (member, client) in members.iter().enumerate() {
                memberships[*client].push(Membership {
                    channel: number,
                    member,
                });
            }
            let mut channel = Channel::new(members, hints, epoch, random);
            let mut at = epoch.previous();
            while at.start() < end.after(DAY * 3) {
                let address = channel.keys(at)?.address.address;
                self.by_address.insert(*address.as_bytes(), number);
                at = at.next();
            }
            self.channels.push(Mutex::new(channel));
        }
        Ok(memberships)
    }

    fn hand_out_phones(
        &mut self,
        scale: &Scale,
        communities: &[Community],
        memberships: Vec<Vec<Membership>>,
        end: UnixMillis,
    ) -> Result<(), Failure> {
        for (number, memberships) in memberships.into_iter().enumerate() {
            let mut random = Random::new(scale.seed, 1_000 + number as u64);
            let mut choice = Choice::new(random.number());
            for membership in &memberships {
                let hints = lock(&self.channels[membership.channel]).hints.clone();
                for hint in hints {
                    choice.hint(hint, &self.links[hint]);
                }
            }
            // Whoever made a channel knows more of the community's nodes than its link holds.
            let pool = &communities[number % communities.len()].pool;
            for _ in 0..2 {
                if let Some(known) = random.pick(pool) {
                    choice.hint(known, &self.links[known]);
                }
            }
            // From those who look every three hours to those who look once in two days.
            let rhythm = HOUR.as_millis() as f64
                * random
                    .pick(&[3.0, 6.0, 12.0, 24.0, 24.0, 48.0])
                    .unwrap_or(6.0);
            let introductions =
                self.introduce(number, communities.len(), pool, end, &mut random)?;
            self.knows.push(Known {
                channels: memberships.iter().map(|place| place.channel).collect(),
                nodes: choice.known(),
            });
            self.phones.push(Mutex::new(Phone {
                client: Client {
                    memberships,
                    introductions,
                    seats: HashMap::new(),
                    outbox: Vec::new(),
                    spread: random.number(),
                    rhythm,
                    random,
                },
                choice,
                polled: Vec::new(),
                tally: Tally::default(),
                is_new: false,
            }));
        }
        Ok(())
    }

    /// Operators hand introductions to the first of each community, who pass them on.
    fn introduce(
        &self,
        number: usize,
        communities: usize,
        pool: &[usize],
        end: UnixMillis,
        random: &mut Random,
    ) -> Result<HashMap<usize, (Introduction, HolderSecret)>, Failure> {
        let mut introductions = HashMap::new();
        let friend = number.checked_sub(communities * (1 + random.below(4)));
        let friend = match friend {
            None if number < communities * 4 => None,
            None => return Ok(introductions),
            Some(friend) => Some(lock(&self.phones[friend])),
        };
        for known in pool {
            let holder = HolderSecret::random(random.entropy());
            let chain = match &friend {
                None => {
                    let node = lock(&self.nodes[*known]);
                    let expiry = end.after(DAY * 30).as_secs();
                    Introduction::mint(&node.secret, &holder.public(), expiry)
                }
                Some(friend) => {
                    let held = friend.client.introductions.get(known);
                    // Not everybody passes theirs on, and six hops are the most.
                    let Some((chain, secret)) = held.filter(|_| !random.chance(0.2)) else {
                        continue;
                    };
                    let expiry = end.after(DAY * 30).as_secs();
                    match chain.extend(secret, &holder.public(), expiry) {
                        Ok(chain) => chain,
                        Err(_) => continue,
                    }
                }
            };
            introductions.insert(*known, (chain, holder));
        }
        Ok(introductions)
    }
}

/// People who know each other, and the nodes that they know.
struct Community {
    pool: Vec<usize>,
}

impl Community {
    fn all(scale: &Scale, random: &mut Random) -> Vec<Self> {
        let one = |_| {
            let mut pool: Vec<usize> = (0..scale.nodes).collect();
            for place in 0..POOL.min(pool.len()) {
                let other = place + random.below(pool.len() - place);
                pool.swap(place, other);
            }
            pool.truncate(POOL);
            Self { pool }
        };
        (0..(scale.clients / COMMUNITY).max(1)).map(one).collect()
    }
}

/// For whoever is alone with it, or whose turn it is.
pub fn lock<T>(one: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    one.lock().unwrap_or_else(PoisonError::into_inner)
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// People of one community, and nodes that they know.
const COMMUNITY: usize = 200;
const POOL: usize = 6;
/// Members of a channel, on average.
const MEMBERS: f64 = 8.0;
