//! Channels: real keys and signatures, and who has which message.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use ailurus::{
    channel::{Access, AddressKeys, Envelope, Epoch, Kind, NewChannel, delegation_statement},
    crypto::{AccessKey, NodeKey, SigningKey},
    wire::{limits::MAX_PEERS, time::UnixMillis},
};

use super::{Failure, random::Random};

/// What all members derive alike for an epoch.
pub struct Keys {
    pub address: AddressKeys,
    pub access: AccessKey,
    signing: SigningKey,
    /// The access key's word for each node.
    delegations: HashMap<usize, [u8; 64]>,
}

impl Keys {
    /// The word that a node may register the address at others until then, in Unix seconds, always the same.
    pub fn delegation(&mut self, number: usize, node: &NodeKey, until: u64) -> [u8; 64] {
        let address = &self.address;
        *self.delegations.entry(number).or_insert_with(|| {
            let statement = delegation_statement(node, &address.address, until);
            address.access.sign(&statement)
        })
    }
}

/// A channel and all that was ever said in it.
pub struct Channel {
    access: Access,
    epochs: HashMap<Epoch, Keys>,
    /// Clients, in the order in which they joined.
    pub members: Vec<usize>,
    /// Nodes in its link.
    pub hints: Vec<usize>,
    /// Nodes that members keep besides these, as their node lists tell.
    pub named: Vec<usize>,
    /// What was said, by number.
    pub messages: Vec<Message>,
    /// For each member, when each message arrived, by number.
    pub arrivals: Vec<Vec<Option<UnixMillis>>>,
    /// Any number that is its own.
    spread: u64,
    last: UnixMillis,
}

/// The channels of one client, while it has them for itself.
pub struct Channels<'a>(BTreeMap<usize, MutexGuard<'a, Channel>>);

impl<'a> Channels<'a> {
    /// Those with these numbers.
    pub fn of(all: &'a [Mutex<Channel>], numbers: impl Iterator<Item = usize>) -> Self {
        let locked = numbers.filter_map(|number| {
            let channel = all.get(number)?.lock();
            Some((number, channel.unwrap_or_else(PoisonError::into_inner)))
        });
        Self(locked.collect())
    }

    /// One to look at.
    pub fn see(&self, number: usize) -> Result<&Channel, Failure> {
        let channel = self.0.get(&number);
        Ok(channel.ok_or("a phone looks at what it is no member of")?)
    }

    /// One to change.
    pub fn change(&mut self, number: usize) -> Result<&mut Channel, Failure> {
        let channel = self.0.get_mut(&number);
        Ok(channel.ok_or("a phone changes what it is no member of")?)
    }
}

/// A message as the world knows it.
pub struct Message {
    /// When its author wrote it.
    pub written: UnixMillis,
    /// When a node first acknowledged it.
    pub acknowledged: Option<UnixMillis>,
    /// Which member wrote it.
    pub author: usize,
}

impl Channel {
    /// A channel of these members, with these nodes in its link.
    pub fn new(members: Vec<usize>, hints: Vec<usize>, epoch: Epoch, random: &mut Random) -> Self {
        Self {
            access: NewChannel::create(epoch, random.entropy()).access,
            epochs: HashMap::new(),
            arrivals: vec![Vec::new(); members.len()],
            spread: random.number(),
            members,
            hints,
            named: Vec::new(),
            messages: Vec::new(),
            last: UnixMillis::default(),
        }
    }

    /// A member keeps these nodes.
    pub fn name(&mut self, kept: &[usize]) {
        for node in kept {
            if !self.hints.contains(node) && !self.named.contains(node) && self.named.len() < NAMED
            {
                self.named.push(*node);
            }
        }
    }

    /// The nodes that serve the channel as far as a member knows who keeps these: at most eight, without `node`.
    pub fn peers(&self, kept: &[usize], node: usize) -> Vec<usize> {
        let mut peers = Vec::new();
        for peer in kept.iter().chain(&self.hints).chain(&self.named) {
            if *peer != node && !peers.contains(peer) && peers.len() < MAX_PEERS {
                peers.push(*peer);
            }
        }
        // As on phones: another order is no news.
        peers.sort_unstable();
        peers
    }

    /// Any number that is the channel's own.
    pub fn spread(&self) -> u64 {
        self.spread
    }

    /// A message reached a member.
    pub fn arrived(&mut self, member: usize, number: usize, now: UnixMillis) {
        let Some(arrived) = self.arrivals.get_mut(member) else {
            return;
        };
        if arrived.len() <= number {
            arrived.resize(number + 1, None);
        }
        arrived[number].get_or_insert(now);
    }

    /// A member writes something at `now`.
    pub fn write(
        &mut self,
        author: usize,
        now: UnixMillis,
        random: &mut Random,
    ) -> Result<(usize, Envelope), Failure> {
        // Header times never repeat, as on phones.
        let time = now.max(self.last.offset(1));
        self.last = time;
        let number = self.messages.len();
        let mut body = [0; BODY];
        random.entropy().fill(&mut body[NUMBER..BODY.min(64)]);
        body[..NUMBER].copy_from_slice(&(number as u64).to_be_bytes());
        let keys = self.keys(Epoch::of(time))?;
        let envelope = Envelope::sign(
            keys.address.address,
            time,
            Kind::Message,
            &body,
            &keys.signing,
            random.entropy(),
        )?;
        self.messages.push(Message {
            written: now,
            acknowledged: None,
            author,
        });
        Ok((number, envelope))
    }

    /// The keys of an epoch.
    pub fn keys(&mut self, epoch: Epoch) -> Result<&mut Keys, Failure> {
        Ok(match self.epochs.entry(epoch) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let address = self.access.address_keys(epoch)?;
                let signing = self.access.blinded_signing(epoch)?;
                new.insert(Keys {
                    access: address.access.public(),
                    address,
                    signing: signing.ok_or("a channel cannot be written to")?,
                    delegations: HashMap::new(),
                })
            }
        })
    }
}

/// Which message an item carries: signature (64 bytes), then its number.
pub fn number_of(sealed: &[u8]) -> Option<usize> {
    let bytes = sealed.get(SIGNATURE..)?.first_chunk::<NUMBER>()?;
    usize::try_from(u64::from_be_bytes(*bytes)).ok()
}

/// Nodes that a phone remembers for a channel.
const NAMED: usize = 64;
const SIGNATURE: usize = 64;
const NUMBER: usize = 8;
/// Bytes of a body, as of a text of 200 bytes.
const BODY: usize = 316;
