//! Taking in what a node sends: open, attribute, verify in batches, store with the cursor in one transaction.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use crate::channel::{
    Address, AuthorHint, ChannelId, Envelope, Epoch, MessageId, Previous,
    message::{EpochCipher, Opened},
};
use crate::crypto::{DhPublic, NodeKey, PublicKey, batch::BatchItem, batch::verify_each};
use crate::store::{
    AccessRow, AuthorRow, ChainState, ChannelRow, MessageState, NewAuthor, NewMessage,
    PendingEnvelope, StoreError, StoredAccess, StoredAuthor, StoredChannel, Tx,
};
use crate::wire::{
    content::{Appointment, RotationNotice},
    limits::MAX_CLOCK_DISAGREEMENT,
    node::Batch,
    time::UnixMillis,
};

use super::{AddressCache, Change, Engine, Error, Message, Notice, node_by_key, receives, time_at};

/// What a piece of a node's answer brought.
#[derive(Default)]
pub struct Ingested {
    /// What apps should hear of.
    pub changes: Vec<Change>,
    /// Envelopes that do not open, verify or belong.
    pub dropped: u64,
}

impl Engine {
    /// Stores what a node sent, together with the position behind it, so that neither is there without the other.
    /// Items must be complete: large bodies are fetched before.
    pub fn ingest(
        &mut self,
        node: &NodeKey,
        batches: &[Batch],
        cursor: Option<&[u8]>,
        now: UnixMillis,
    ) -> Result<Ingested, Error> {
        let entropy = &mut *self.entropy;
        let addresses = &mut self.addresses;
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            let now = time_at(&stored, now);
            let mut intake = Intake::new(tx, addresses, now)?;
            let mut waiting = Vec::new();
            for batch in batches {
                intake.open_batch(batch, &mut waiting)?;
            }
            // An introduction may free envelopes that came earlier, whose author may be known only then.
            while !waiting.is_empty() {
                let checked = intake.verify(waiting)?;
                waiting = Vec::new();
                for item in checked {
                    intake.store(item, &mut waiting)?;
                }
            }
            intake.finish()?;
            let mut done = intake.done;
            for (channel, notice) in intake.rotations {
                done.changes
                    .extend(super::rotation::follow(tx, channel, &notice, now, entropy)?);
            }
            if let Some(cursor) = cursor {
                tx.set_cursor(stored.row, cursor)?;
            }
            Ok(done)
        })
    }
}

/// Everything that taking in needs to know, read once a transaction.
struct Intake<'a> {
    tx: &'a Tx<'a>,
    now: UnixMillis,
    keys: Vec<Keys>,
    by_address: HashMap<Address, (usize, Epoch)>,
    channels: HashMap<ChannelRow, ChannelState>,
    done: Ingested,
    rotations: Vec<(AccessRow, RotationNotice)>,
    authors_touched: HashSet<AuthorRow>,
}

/// One set of keys and what is known under it.
struct Keys {
    access: StoredAccess,
    id: ChannelId,
    ciphers: HashMap<Epoch, EpochCipher>,
    blinded: HashMap<Epoch, PublicKey>,
    hints: HashMap<AuthorHint, PublicKey>,
    chains: HashMap<AuthorRow, ChainState>,
    touched: HashSet<AuthorRow>,
    loaded: bool,
    changed: bool,
    /// Envelopes wait for their author.
    pending: bool,
}

struct ChannelState {
    /// The id by which apps know it now, also for what comes under keys that were retired.
    id: ChannelId,
    channel: StoredChannel,
    authors: HashMap<[u8; 32], StoredAuthor>,
}

/// An opened envelope on its way in.
struct Item {
    keys: usize,
    epoch: Epoch,
    envelope: Envelope,
    opened: Opened,
    author: Option<PublicKey>,
}

/// An envelope whose author's signature verifies.
struct Checked {
    item: Item,
    author: PublicKey,
    id: MessageId,
}

impl<'a> Intake<'a> {
    fn new(tx: &'a Tx<'a>, addresses: &mut AddressCache, now: UnixMillis) -> Result<Self, Error> {
        let mut keys = Vec::new();
        let mut by_address = HashMap::new();
        for access in tx.accesses()? {
            if !receives(&access, now) {
                continue;
            }
            let [previous, current] = Epoch::alive(now);
            let mut blinded = HashMap::new();
            for epoch in [previous, current, current.next()] {
                let derived = addresses.keys(&access, epoch)?;
                by_address.insert(derived.address, (keys.len(), epoch));
                blinded.insert(epoch, derived.blinded);
            }
            keys.push(Keys {
                id: access.access.channel_id(),
                access,
                ciphers: HashMap::new(),
                blinded,
                hints: HashMap::new(),
                chains: HashMap::new(),
                touched: HashSet::new(),
                loaded: false,
                changed: false,
                pending: false,
            });
        }
        Ok(Self {
            tx,
            now,
            keys,
            by_address,
            channels: HashMap::new(),
            done: Ingested::default(),
            rotations: Vec::new(),
            authors_touched: HashSet::new(),
        })
    }

    /// Opens the envelopes of a batch; what does not belong is counted and dropped.
    fn open_batch(&mut self, batch: &Batch, waiting: &mut Vec<Item>) -> Result<(), Error> {
        let found = Address::try_from(batch.address.as_ref())
            .ok()
            .and_then(|address| Some((address, *self.by_address.get(&address)?)));
        let Some((address, (keys, epoch))) = found else {
            self.done.dropped += batch.items.len() as u64;
            return Ok(());
        };
        self.load(keys)?;
        let mut before = UnixMillis::from_millis(batch.base_time_ms);
        for item in &batch.items {
            let envelope = Envelope::from_item(address, before, item);
            before = before.offset(item.time_delta_ms);
            let Ok(envelope) = envelope else {
                self.done.dropped += 1;
                continue;
            };
            match self.open(keys, epoch, envelope)? {
                Some(item) => waiting.push(item),
                None => self.done.dropped += 1,
            }
        }
        Ok(())
    }

    fn open(
        &mut self,
        index: usize,
        epoch: Epoch,
        envelope: Envelope,
    ) -> Result<Option<Item>, Error> {
        let time = envelope.header().time;
        // The node has judged the time already; this only bounds what a hostile one lets through.
        if Epoch::of(time) != epoch || time > self.now.after(MAX_CLOCK_DISAGREEMENT) {
            return Ok(None);
        }
        let Some(keys) = self.keys.get_mut(index) else {
            return Ok(None);
        };
        let Some(sealing) = keys.access.access.sealing() else {
            return Ok(None);
        };
        let cipher = match keys.ciphers.entry(epoch) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => {
                let Some(Ok(secret)) = keys.access.read.as_ref().map(|read| read.at(epoch)) else {
                    return Ok(None);
                };
                place.insert(EpochCipher::new(&secret))
            }
        };
        let Ok(opened) = Opened::open(&envelope, cipher, sealing) else {
            return Ok(None);
        };
        // A hint fits one key, so whoever brings it may: the author is stored only once a signature verifies.
        let author = match keys.hints.entry(opened.hint) {
            Entry::Occupied(found) => Some(*found.get()),
            Entry::Vacant(place) => opened.own_key(&keys.id).map(|key| *place.insert(key)),
        };
        Ok(Some(Item {
            keys: index,
            epoch,
            envelope,
            opened,
            author,
        }))
    }

    /// Checks signatures in one batch: every author's, and the envelope's own until one has passed for that author
    /// in that epoch (DESIGN.md, "Authors"). Items of unknown authors are verified by the outer signature and kept.
    fn verify(&mut self, items: Vec<Item>) -> Result<Vec<Checked>, Error> {
        let mut checks: Vec<BatchItem> = Vec::with_capacity(items.len() + 8);
        let mut plans = Vec::with_capacity(items.len());
        let mut vouched: HashSet<(usize, [u8; 32], Epoch)> = HashSet::new();
        for item in items {
            let Some(keys) = self.keys.get(item.keys) else {
                continue;
            };
            let Some(blinded) = keys.blinded.get(&item.epoch).copied() else {
                continue;
            };
            let inner = item.author.map(|author| {
                checks.push(item.opened.batch_item(&keys.id, author));
                checks.len() - 1
            });
            let known = item.author.is_some_and(|author| {
                self.outer_verified(keys, &author, item.epoch)
                    || !vouched.insert((item.keys, *author.as_bytes(), item.epoch))
            });
            let outer = (!known).then(|| {
                checks.push(item.envelope.batch_item(blinded));
                checks.len() - 1
            });
            plans.push((item, inner, outer, blinded));
        }
        let valid = verify_each(&checks);
        let passed = |index: usize| valid.get(index).copied().unwrap_or(false);
        // Where the one that vouches for the others fails, each must show its own.
        let failed: HashSet<_> = plans
            .iter()
            .filter(|(_, inner, outer, _)| {
                outer.is_some_and(|outer| !passed(outer) || !inner.is_none_or(passed))
            })
            .filter_map(|(item, ..)| Some((item.keys, *item.author?.as_bytes(), item.epoch)))
            .collect();

        let mut checked = Vec::with_capacity(plans.len());
        for (item, inner, outer, blinded) in plans {
            let group = item
                .author
                .map(|author| (item.keys, *author.as_bytes(), item.epoch));
            let outer_passed = match outer {
                Some(index) => passed(index),
                None if group.is_some_and(|group| failed.contains(&group)) => {
                    item.envelope.verify(&blinded).is_ok()
                }
                None => true,
            };
            let inner_passed = inner.is_none_or(&passed);
            if !outer_passed || !inner_passed {
                self.done.dropped += 1;
                continue;
            }
            let (Some(author), Some(inner)) = (item.author, inner) else {
                self.keep_pending(item)?;
                continue;
            };
            let id = checks.get(inner).map_or_else(
                || MessageId::from_bytes([0; 32]),
                |check| MessageId::from_bytes(check.message),
            );
            checked.push(Checked { item, author, id });
        }
        Ok(checked)
    }

    fn outer_verified(&self, keys: &Keys, author: &PublicKey, epoch: Epoch) -> bool {
        self.channels
            .get(&keys.access.channel)
            .and_then(|state| state.authors.get(author.as_bytes()))
            .and_then(|author| keys.chains.get(&author.row))
            .is_some_and(|chain| chain.verified_epoch == epoch)
    }

    fn keep_pending(&mut self, item: Item) -> Result<(), Error> {
        let Some(keys) = self.keys.get_mut(item.keys) else {
            return Ok(());
        };
        keys.pending = true;
        let id = item.envelope.id();
        let pending = PendingEnvelope {
            hint: item.opened.hint,
            envelope: item.envelope,
        };
        self.tx.put_pending(keys.access.row, &pending, &id)?;
        Ok(())
    }

    /// Stores one message and what it says about its author; envelopes that it frees go to `waiting`.
    fn store(&mut self, checked: Checked, waiting: &mut Vec<Item>) -> Result<(), Error> {
        let Checked {
            item,
            author: key,
            id,
        } = checked;
        let index = item.keys;
        let Some(keys) = self.keys.get_mut(index) else {
            return Ok(());
        };
        let row = keys.access.channel;
        let Some(state) = self.channels.get_mut(&row) else {
            return Ok(());
        };
        let is_new = !state.authors.contains_key(key.as_bytes());
        if is_new {
            let own = state.channel.author.public() == key;
            let added = NewAuthor {
                key,
                own,
                seen: self.now,
            };
            match self.tx.put_author(row, &added) {
                Ok(author) => {
                    state.authors.insert(
                        *key.as_bytes(),
                        StoredAuthor {
                            row: author,
                            key,
                            name: String::new(),
                            dh: None,
                            own,
                            write_only: false,
                            name_taken: false,
                            removed: false,
                            forked: false,
                            first_seen: self.now,
                        },
                    );
                }
                Err(StoreError::Limit { .. }) => {
                    self.done.dropped += 1;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        let Some(author) = state.authors.get_mut(key.as_bytes()) else {
            return Ok(());
        };
        let frees = keys.pending && !item.opened.content.author_key.is_empty();
        let late = keys
            .access
            .retired
            .is_some_and(|retired| item.envelope.header().time > retired);
        if late && keys.access.removed.contains(&item.opened.hint) {
            self.done.dropped += 1;
            return Ok(());
        }

        let access = keys.access.row;
        let content = &item.opened.content;
        let time = item.envelope.header().time;
        let added = self.tx.add_message(&NewMessage {
            channel: row,
            author: author.row,
            time,
            sequence: item.opened.sequence,
            id,
            text: content.text.as_deref(),
            state: if author.own {
                MessageState::AtNode
            } else {
                MessageState::Received
            },
        })?;
        let Some(message_row) = added else {
            return Ok(());
        };
        let latest = keys
            .chains
            .get(&author.row)
            .is_none_or(|chain| item.opened.sequence > chain.last_sequence);
        let forked = extend(keys, author.row, &item.opened, id, item.epoch);
        if forked && !author.forked {
            author.forked = true;
            self.authors_touched.insert(author.row);
            self.done.changes.push(Change::Notice(Notice::Forked {
                channel: state.id,
                name: author.name.clone(),
            }));
        }
        if latest && author.write_only != item.opened.sealed {
            author.write_only = item.opened.sealed;
            self.authors_touched.insert(author.row);
        }
        // Whoever writes under the keys in use was let in again.
        if author.removed && keys.access.retired.is_none() {
            author.removed = false;
            self.authors_touched.insert(author.row);
        }
        if author.own {
            adopt_own(keys, &item.opened, id, time);
        }
        if let Some(introduction) = &content.introduction {
            let dh = DhPublic::try_from(introduction.dh_key.as_ref()).ok();
            self.introduce(row, &key, &introduction.name, dh);
        }
        self.show(row, &key, content.text.as_deref(), id, time, message_row);
        if let Some(notice) = &content.rotation {
            self.rotations.push((access, notice.clone()));
        }
        if let Some(appointment) = &content.appointment {
            self.appoint(index, appointment)?;
        }
        if frees {
            self.free_pending(index, &item.opened.hint, waiting)?;
        }
        Ok(())
    }

    /// Tells of a message that has a text.
    fn show(
        &mut self,
        channel: ChannelRow,
        key: &PublicKey,
        text: Option<&str>,
        id: MessageId,
        time: UnixMillis,
        row: i64,
    ) {
        let (Some(text), Some(state)) = (text, self.channels.get(&channel)) else {
            return;
        };
        let Some(author) = state.authors.get(key.as_bytes()) else {
            return;
        };
        self.done.changes.push(Change::Received(Message {
            id,
            channel: state.id,
            author: *key,
            author_name: author.name.clone(),
            own: author.own,
            time,
            text: text.to_owned(),
            state: if author.own {
                MessageState::AtNode
            } else {
                MessageState::Received
            },
            row,
        }));
    }

    /// Takes a claimed name; a second key under a used name is marked.
    fn introduce(
        &mut self,
        channel: ChannelRow,
        key: &PublicKey,
        name: &str,
        dh: Option<DhPublic>,
    ) {
        let Some(state) = self.channels.get_mut(&channel) else {
            return;
        };
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        let folded = name.trim().to_lowercase();
        let taken = !folded.is_empty()
            && state
                .authors
                .values()
                .any(|other| other.key != *key && other.name.trim().to_lowercase() == folded);
        let Some(author) = state.authors.get_mut(key.as_bytes()) else {
            return;
        };
        if author.name == name && author.dh == dh {
            return;
        }
        let newly_taken = taken && !author.name_taken && !author.own;
        author.name.clone_from(&name);
        author.dh = dh;
        author.name_taken = taken && !author.own;
        self.authors_touched.insert(author.row);
        if newly_taken {
            self.done.changes.push(Change::Notice(Notice::NameTaken {
                channel: state.id,
                name,
            }));
        }
    }

    /// Follows the word of an admin that somebody else is admin too.
    fn appoint(&mut self, index: usize, appointment: &Appointment) -> Result<(), Error> {
        let Some(keys) = self.keys.get_mut(index) else {
            return Ok(());
        };
        let Ok((appointed, by)) =
            crate::channel::rotation::parse_appointment(&keys.id, appointment)
        else {
            return Ok(());
        };
        let admins = &mut keys.access.admins;
        let entitled = by == *keys.access.access.admin() || admins.contains(&by);
        if entitled && !admins.contains(&appointed) && admins.len() < MAX_ADMINS {
            admins.push(appointed);
            keys.changed = true;
        }
        Ok(())
    }

    /// Opens what waited for this author.
    fn free_pending(
        &mut self,
        index: usize,
        hint: &AuthorHint,
        waiting: &mut Vec<Item>,
    ) -> Result<(), Error> {
        let Some(row) = self.keys.get(index).map(|keys| keys.access.row) else {
            return Ok(());
        };
        for pending in self.tx.take_pending(row, hint)? {
            let epoch = Epoch::of(pending.envelope.header().time);
            if let Some(item) = self.open(index, epoch, pending.envelope)? {
                waiting.push(item);
            }
        }
        Ok(())
    }

    fn load(&mut self, index: usize) -> Result<(), Error> {
        let Some(keys) = self.keys.get_mut(index) else {
            return Ok(());
        };
        if keys.loaded {
            return Ok(());
        }
        let row = keys.access.channel;
        if let Entry::Vacant(place) = self.channels.entry(row) {
            let authors = self.tx.authors(row)?;
            place.insert(ChannelState {
                id: self.tx.access_of(row)?.access.channel_id(),
                channel: self.tx.channel(row)?,
                authors: authors
                    .into_iter()
                    .map(|author| (*author.key.as_bytes(), author))
                    .collect(),
            });
        }
        keys.chains = self.tx.chains(keys.access.row)?;
        keys.pending = self.tx.pending_count(keys.access.row)? > 0;
        if let Some(state) = self.channels.get(&row) {
            keys.hints = state
                .authors
                .values()
                .map(|author| (AuthorHint::of(&keys.id, &author.key), author.key))
                .collect();
        }
        keys.loaded = true;
        Ok(())
    }

    /// Writes back what changed about authors.
    fn finish(&mut self) -> Result<(), Error> {
        for keys in &self.keys {
            for author in &keys.touched {
                if let Some(chain) = keys.chains.get(author) {
                    self.tx.put_chain(keys.access.row, *author, chain)?;
                }
            }
            if keys.changed {
                self.tx.update_access(&keys.access)?;
            }
        }
        for state in self.channels.values() {
            for author in state.authors.values() {
                if self.authors_touched.contains(&author.row) {
                    self.tx.update_author(author)?;
                }
            }
        }
        if self.done.dropped > 0 {
            self.done.changes.push(Change::Notice(Notice::Dropped {
                count: self.done.dropped,
            }));
        }
        Ok(())
    }
}

/// Advances an author's chain; true if the message contradicts one received before.
fn extend(
    keys: &mut Keys,
    author: AuthorRow,
    opened: &Opened,
    id: MessageId,
    verified: Epoch,
) -> bool {
    keys.touched.insert(author);
    let Some(chain) = keys.chains.get_mut(&author) else {
        keys.chains.insert(
            author,
            ChainState {
                first_sequence: opened.sequence,
                last_sequence: opened.sequence,
                received: 1,
                verified_epoch: verified,
                last: id,
            },
        );
        return false;
    };
    let forked = opened.sequence == chain.last_sequence
        || (opened.sequence == chain.last_sequence.saturating_add(1)
            && opened.previous != Previous::of(&chain.last));
    chain.received = chain.received.saturating_add(1);
    chain.first_sequence = chain.first_sequence.min(opened.sequence);
    chain.verified_epoch = chain.verified_epoch.max(verified);
    if opened.sequence > chain.last_sequence {
        chain.last_sequence = opened.sequence;
        chain.last = id;
    }
    forked
}

/// Goes on after our own latest message, which another process or a restored backup's other life has sent.
fn adopt_own(keys: &mut Keys, opened: &Opened, id: MessageId, time: UnixMillis) {
    if opened.sequence > keys.access.sequence {
        keys.access.sequence = opened.sequence;
        keys.access.previous = Previous::of(&id);
        keys.access.last_time = keys.access.last_time.max(time);
        keys.changed = true;
    }
}

/// An admin cannot fill our memory with admins.
const MAX_ADMINS: usize = 64;
