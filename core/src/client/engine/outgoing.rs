//! Sending: text goes into the outbox, is sealed once with a node's time, and leaves when nodes have it on disk.

use std::collections::{HashMap, hash_map::Entry};

use bytes::Bytes;

use crate::channel::{
    AccessKind, Address, ChannelId, Envelope, Epoch, MessageId, Previous,
    message::{Draft, EpochCipher, Recipient, encode_content},
};
use crate::crypto::{Entropy, NodeKey, SigningKey, entropy};
use crate::discovery::Refusal;
use crate::store::{
    AccessRow, ChannelRow, ChannelState, MessageState, NewAuthor, NewMessage, NodeRow,
    SealedEnvelope, StoreError, StoredAccess, StoredChannel, Tx,
};
use crate::sync::clock::deletion_time;
use crate::sync::outbox::{Fate, copies_wanted, fate, stamp};
use crate::wire::{
    content::{Content, Introduction},
    limits::{MAX_FRAME, MAX_ITEMS, MAX_TEXT},
    node::{Publish, Published, Reason, Request, request::Kind},
    time::UnixMillis,
};

use super::{
    AddressCache, Change, Engine, Error, Notice,
    expiry::expire_outbox,
    leases::request,
    node_by_key,
    nodes::{choose, kept_nodes},
    view::channel_row,
};
use crate::client::types::reason;

/// Messages on their way to a node, to be matched with its acknowledgement.
pub struct Publication {
    /// What to send.
    pub request: Request,
    messages: Vec<i64>,
}

impl Engine {
    /// Queues a text; returns the provisional id under which it waits.
    pub fn send(
        &mut self,
        channel: &ChannelId,
        text: &str,
        now: UnixMillis,
    ) -> Result<MessageId, Error> {
        if text.is_empty() {
            return Err(Error::EmptyText);
        }
        if text.len() > MAX_TEXT {
            return Err(Error::TextTooLong(text.len()));
        }
        let content = Content {
            text: Some(text.to_owned()),
            ..Content::default()
        };
        let entropy = &mut *self.entropy;
        self.store.write(|tx| {
            let row = channel_row(tx, channel)?;
            queue(tx, row, &content, now, entropy)
        })
    }

    /// What waits for a node, sealed now if it was not before; several publications if there is much. What has
    /// waited for 7 days expires instead.
    pub fn publish(
        &mut self,
        node: &NodeKey,
        now: UnixMillis,
    ) -> Result<(Vec<Publication>, Vec<Change>), Error> {
        let entropy = &mut *self.entropy;
        let addresses = &mut self.addresses;
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            let node_now = stored.clock.map_or(now, |(offset, _)| now.offset(offset));
            let expired = match deletion_time(now, &[node_now]) {
                Some(time) => expire_outbox(tx, time)?,
                None => Vec::new(),
            };
            let now = node_now;
            let mut voices: HashMap<ChannelRow, Voice> = HashMap::new();
            let mut ready: Vec<(SealedEnvelope, i64)> = Vec::new();
            for item in tx.outbox_for(stored.row)? {
                if let Some(sealed) = item.sealed {
                    ready.push((sealed, item.message));
                    continue;
                }
                let voice = match voices.entry(item.channel) {
                    Entry::Occupied(found) => found.into_mut(),
                    Entry::Vacant(place) => {
                        let access = tx.access_of(item.channel)?;
                        place.insert(Voice::new(tx, tx.channel(item.channel)?, access)?)
                    }
                };
                if voice.channel.state == ChannelState::Moved {
                    continue;
                }
                let (sealed, id) = match voice.seal(item.content, now, addresses, entropy) {
                    Ok(done) => done,
                    // It holds up nobody else, and expires if it never can be sealed.
                    Err(Error::NotAllowed(_) | Error::Blind(_) | Error::Envelope(_)) => continue,
                    Err(error) => return Err(error),
                };
                let time = sealed.envelope.header().time;
                tx.seal_outgoing(item.message, &sealed)?;
                tx.message_sealed(item.message, &id, time, voice.access.sequence)?;
                ready.push((sealed, item.message));
            }
            for voice in voices.values() {
                tx.update_access(&voice.access)?;
            }
            Ok((publications(tx, addresses, &ready)?, expired))
        })
    }

    /// Takes in what a node says of a publication.
    pub fn published(
        &mut self,
        node: &NodeKey,
        publication: &Publication,
        answer: &Published,
        now: UnixMillis,
    ) -> Result<Vec<Change>, Error> {
        let entropy = &mut *self.entropy;
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            let nodes: Vec<_> = kept_nodes(tx)?.iter().map(|node| node.row).collect();
            let mut changes = Vec::new();
            let mut refusals = Vec::new();
            let mut no_room = false;
            for (index, &message) in publication.messages.iter().enumerate() {
                if !tx.is_queued(message)? {
                    continue;
                }
                let refusal = answer
                    .refusals
                    .iter()
                    .find(|refusal| usize::try_from(refusal.index).is_ok_and(|i| i == index));
                let Some(refusal) = refusal else {
                    let first = !tx.is_delivered(message)?;
                    tx.delivered(message, stored.row)?;
                    if first {
                        changes.extend(at_node(tx, message)?);
                    }
                    if is_out(tx, message, &nodes)? {
                        tx.unqueue(message)?;
                    }
                    continue;
                };
                let why = refusal.reason();
                // One node's word is not enough where there are others to ask.
                if fate(why) == Fate::Expired && nodes.len() == 1 && !tx.is_delivered(message)? {
                    tx.set_message_state(message, MessageState::Expired)?;
                    tx.unqueue(message)?;
                    changes.push(Change::State {
                        channel: channel_of(tx, message)?,
                        id: tx.message(message)?.id,
                        was: tx.provisional_id(message)?,
                        state: MessageState::Expired,
                    });
                }
                refusals.push(reason(why));
                no_room = no_room || matches!(why, Reason::NodeFull | Reason::Storage);
            }
            if no_room {
                let random = u64::from_be_bytes(entropy::array(entropy));
                choose(tx, now, |chooser| {
                    chooser.refused(node, Refusal::Full, now, random);
                })?;
            }
            refusals.sort_unstable();
            refusals.dedup();
            let notice = |reason| {
                Change::Notice(Notice::Refused {
                    node: *node,
                    reason,
                })
            };
            changes.extend(refusals.into_iter().map(notice));
            Ok(changes)
        })
    }
}

/// Whether enough of the nodes that we keep have a message. One that refused us a lease takes it too, but may hand it to
/// nobody.
pub(super) fn is_out(tx: &Tx<'_>, message: i64, nodes: &[NodeRow]) -> Result<bool, Error> {
    let wanted = copies_wanted(nodes.len());
    let copies = usize::try_from(tx.copies(message)?).unwrap_or(usize::MAX);
    Ok(copies >= wanted && tx.is_spread(message, nodes, wanted)?)
}

/// Puts content of ours into the outbox.
pub(super) fn queue(
    tx: &Tx<'_>,
    row: ChannelRow,
    content: &Content,
    now: UnixMillis,
    entropy: &mut dyn Entropy,
) -> Result<MessageId, Error> {
    let channel = tx.channel(row)?;
    let access = tx.access_of(row)?;
    if channel.state == ChannelState::Moved {
        return Err(Error::Moved);
    }
    if !access.access.kind().writes() {
        return Err(Error::NotAllowed(access.access.kind()));
    }
    if tx.outbox_len()? >= MAX_OUTBOX {
        return Err(Error::OutboxFull(MAX_OUTBOX));
    }
    let author = tx.put_author(
        row,
        &NewAuthor {
            key: channel.author.public(),
            own: true,
            seen: now,
        },
    )?;
    let id = MessageId::from_bytes(entropy::array(entropy));
    let message = tx
        .add_message(&NewMessage {
            channel: row,
            author,
            time: now,
            sequence: 0,
            id,
            text: content.text.as_deref(),
            state: MessageState::Queued,
        })?
        .ok_or(Error::UnknownMessage(id.to_string()))?;
    tx.queue(message, content, now)?;
    Ok(id)
}

/// A small person's disk should not fill with what cannot be sent.
const MAX_OUTBOX: u32 = 10_000;

/// How long a sent introduction counts.
const INTRODUCED_FOR: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Puts content of ours into the outbox, sealed at once under keys that may be retired.
pub(super) fn queue_sealed(
    tx: &Tx<'_>,
    addresses: &mut AddressCache,
    access: AccessRow,
    content: &Content,
    now: UnixMillis,
    entropy: &mut dyn Entropy,
) -> Result<MessageId, Error> {
    let access = tx
        .accesses()?
        .into_iter()
        .find(|stored| stored.row == access)
        .ok_or(StoreError::Unknown("channel"))?;
    let row = access.channel;
    let id = queue(tx, row, content, now, entropy)?;
    let (message, _) = tx
        .find_control(&id)?
        .ok_or(StoreError::Unknown("message"))?;
    let mut voice = Voice::new(tx, tx.channel(row)?, access)?;
    let (sealed, id) = voice.seal(content.clone(), now, addresses, entropy)?;
    tx.seal_outgoing(message, &sealed)?;
    tx.message_sealed(
        message,
        &id,
        sealed.envelope.header().time,
        voice.access.sequence,
    )?;
    tx.update_access(&voice.access)?;
    Ok(id)
}

/// We as author in one channel: keys, and how far we have counted.
struct Voice {
    name: String,
    channel: StoredChannel,
    access: StoredAccess,
    epochs: HashMap<Epoch, (SigningKey, Option<EpochCipher>)>,
}

impl Voice {
    fn new(tx: &Tx<'_>, channel: StoredChannel, access: StoredAccess) -> Result<Self, Error> {
        Ok(Self {
            name: tx.profile_name()?.unwrap_or_default(),
            channel,
            access,
            epochs: HashMap::new(),
        })
    }

    fn seal(
        &mut self,
        mut content: Content,
        now: UnixMillis,
        addresses: &mut AddressCache,
        entropy: &mut dyn Entropy,
    ) -> Result<(SealedEnvelope, MessageId), Error> {
        let access = &mut self.access;
        let kind = access.access.kind();
        let time = stamp(now, access.last_time);
        let epoch = Epoch::of(time);
        let (blinded, cipher) = match self.epochs.entry(epoch) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => {
                let blinded = access
                    .access
                    .blinded_signing(epoch)?
                    .ok_or(Error::NotAllowed(kind))?;
                let secret = access.read.as_ref().and_then(|read| read.at(epoch).ok());
                place.insert((blinded, secret.map(|secret| EpochCipher::new(&secret))))
            }
        };
        let recipient = match (kind, cipher) {
            (AccessKind::Write, _) => Recipient::SealingKey(access.access.sealing_public()),
            (_, Some(cipher)) => Recipient::Readers(cipher),
            (_, None) => return Err(Error::NotAllowed(kind)),
        };
        let introduce = time.since(access.introduced) >= INTRODUCED_FOR;
        if introduce {
            content.introduction = Some(Introduction {
                name: self.name.clone(),
                dh_key: Bytes::copy_from_slice(self.channel.dh.public().as_bytes()),
            });
        }
        let sequence = access.sequence.saturating_add(1);
        let author = self.channel.author.public();
        let draft = Draft {
            channel: access.access.channel_id(),
            address: addresses.address(access, epoch)?,
            time,
            author: &self.channel.author,
            sequence,
            previous: access.previous,
            content: &encode_content(content, &author, sequence, introduce),
        };
        let (envelope, id) = draft.seal(&recipient, blinded, entropy)?;
        access.sequence = sequence;
        access.previous = Previous::of(&id);
        access.last_time = time;
        if introduce {
            access.introduced = time;
        }
        let sealed = SealedEnvelope {
            access: access.row,
            epoch,
            envelope,
        };
        Ok((sealed, id))
    }
}

/// Groups sealed envelopes by address into requests that fit a frame.
fn publications(
    tx: &Tx<'_>,
    addresses: &mut AddressCache,
    ready: &[(SealedEnvelope, i64)],
) -> Result<Vec<Publication>, Error> {
    let accesses = tx.accesses()?;
    let mut groups: Vec<(Address, Vec<(&Envelope, i64)>)> = Vec::new();
    let mut keys = HashMap::new();
    for (sealed, message) in ready {
        let address = sealed.envelope.header().address;
        let Some(access) = accesses.iter().find(|access| access.row == sealed.access) else {
            continue;
        };
        let derived = addresses.keys(access, sealed.epoch)?;
        keys.insert(address, (derived.blinded, derived.access.public()));
        let used: usize = match groups.last() {
            Some((last, items)) if *last == address && items.len() < MAX_ITEMS => items
                .iter()
                .map(|(envelope, _)| envelope.sealed().len() + ITEM_OVERHEAD)
                .sum(),
            _ => usize::MAX,
        };
        let fits = used.saturating_add(sealed.envelope.sealed().len()) < MAX_FRAME / 2;
        match groups.last_mut() {
            Some((_, items)) if fits => items.push((&sealed.envelope, *message)),
            _ => groups.push((address, vec![(&sealed.envelope, *message)])),
        }
    }
    let publication = |(address, items): (Address, Vec<(&Envelope, i64)>)| {
        let (blinded, access) = keys.get(&address)?;
        let base = items.first()?.0.header().time;
        let mut before = base;
        let mut wire = Vec::with_capacity(items.len());
        for (envelope, _) in &items {
            wire.push(envelope.to_item(before));
            before = envelope.header().time;
        }
        Some(Publication {
            request: request(Kind::Publish(Publish {
                blinded_key: Bytes::copy_from_slice(blinded.as_bytes()),
                access_key: Bytes::copy_from_slice(access.as_bytes()),
                base_time_ms: base.as_millis(),
                items: wire,
            })),
            messages: items.into_iter().map(|(_, message)| message).collect(),
        })
    };
    Ok(groups.into_iter().filter_map(publication).collect())
}

/// Protobuf tags, lengths and time of an item, at most.
const ITEM_OVERHEAD: usize = 32;

fn at_node(tx: &Tx<'_>, message: i64) -> Result<Option<Change>, Error> {
    tx.set_message_state(message, MessageState::AtNode)?;
    let id = tx.message(message)?.id;
    Ok(Some(Change::State {
        channel: channel_of(tx, message)?,
        id,
        was: tx.provisional_id(message)?,
        state: MessageState::AtNode,
    }))
}

/// The present id of the channel that a message is in.
fn channel_of(tx: &Tx<'_>, message: i64) -> Result<ChannelId, Error> {
    let row = tx.channel_of(message)?;
    Ok(tx.access_of(row)?.access.channel_id())
}
