//! Taking in what a node sends: open, attribute, verify in batches, store with the cursor in one transaction.

mod storing;

use std::collections::{HashMap, HashSet, hash_map::Entry};

use crate::channel::{
    Address, AuthorHint, ChannelId, Envelope, Epoch, MessageId,
    message::{EpochCipher, Opened},
};
use crate::crypto::{NodeKey, PublicKey, batch::BatchItem, batch::verify_each};
use crate::store::{
    AccessRow, AuthorRow, ChainState, ChannelRow, PendingEnvelope, StoredAccess, StoredAuthor,
    StoredChannel, Tx,
};
use crate::wire::{
    content::{NodeList, RotationNotice},
    limits::MAX_CLOCK_DISAGREEMENT,
    node::Batch,
    time::UnixMillis,
};

use super::{
    AddressCache, Change, Engine, Error, Message, Notice, introductions::Control, node_by_key,
    receives, time_at,
};

/// What a piece of a node's answer brought.
#[derive(Default)]
pub struct Ingested {
    /// What apps should hear of.
    pub changes: Vec<Change>,
    /// Envelopes that do not open, verify or belong.
    pub dropped: u64,
    /// Messages that were not here before, those without a text included.
    pub new: u64,
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
            let own_now = now;
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
            for (channel, author, list) in &intake.lists {
                super::node_lists::take_list(tx, *channel, *author, list, now, entropy)?;
            }
            for control in &intake.controls {
                super::introductions::take_in(tx, control, now, entropy)?;
            }
            for (channel, notice) in intake.rotations {
                done.changes
                    .extend(super::rotation::follow(tx, channel, &notice, now, entropy)?);
            }
            if let Some(cursor) = cursor {
                tx.set_cursor(stored.row, cursor)?;
            }
            if done.new > 0 {
                super::probing::proved(tx, &stored, own_now)?;
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
    lists: Vec<(ChannelRow, AuthorRow, NodeList)>,
    controls: Vec<Control>,
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
            lists: Vec::new(),
            controls: Vec::new(),
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
}
