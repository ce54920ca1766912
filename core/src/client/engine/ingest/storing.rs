//! Storing what was verified: messages, what they say about their authors, and what they free.

use crate::channel::{
    AuthorHint, Epoch, MessageId, Previous, message::Opened, rotation::parse_appointment,
};
use crate::crypto::{DhPublic, PublicKey};
use crate::store::{
    AuthorRow, ChainState, ChannelRow, MessageState, NewAuthor, NewMessage, StoreError,
    StoredAuthor,
};
use crate::wire::{
    content::{Appointment, Content},
    time::UnixMillis,
};

use super::super::introductions::Control;
use super::{Change, Checked, Error, Intake, Item, Keys, Message, Notice};

impl Intake<'_> {
    /// Stores one message and what it says about its author; envelopes that it frees go to `waiting`.
    pub(super) fn store(&mut self, checked: Checked, waiting: &mut Vec<Item>) -> Result<(), Error> {
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
        self.done.new += 1;
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
        let author_row = (!author.own).then_some(author.row);
        if author.own {
            adopt_own(keys, &item.opened, id, time);
        }
        if let Some(introduction) = &content.introduction {
            let dh = DhPublic::try_from(introduction.dh_key.as_ref()).ok();
            self.introduce(row, &key, &introduction.name, dh);
        }
        self.control(index, row, author_row, latest, content);
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

    /// Keeps what another author says about nodes and introductions until all is stored.
    fn control(
        &mut self,
        index: usize,
        channel: ChannelRow,
        author: Option<AuthorRow>,
        latest: bool,
        content: &Content,
    ) {
        let (Some(author), Some(keys)) = (author, self.keys.get(index)) else {
            return;
        };
        if keys.access.retired.is_some() {
            return;
        }
        // An older list does not take the place of a newer one.
        if let Some(list) = content.nodes.as_ref().filter(|_| latest) {
            self.lists.push((channel, author, list.clone()));
        }
        let (request, grant) = (&content.introduction_request, &content.introduction_grant);
        if request.is_some() || grant.is_some() {
            self.controls.push(Control {
                channel,
                id: keys.id,
                author,
                request: request.clone(),
                grant: grant.clone(),
            });
        }
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
        // An introduction that says nothing takes nothing back, or its author could join again and again.
        if (author.name == name && author.dh == dh) || (name.is_empty() && dh.is_none()) {
            return;
        }
        let joined = author.name.is_empty() && author.dh.is_none() && !author.own;
        let newly_taken = taken && !author.name_taken && !author.own;
        author.name.clone_from(&name);
        author.dh = dh;
        author.name_taken = taken && !author.own;
        self.authors_touched.insert(author.row);
        if joined {
            self.done.changes.push(Change::Notice(Notice::Joined {
                channel: state.id,
                name: name.clone(),
            }));
        }
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
        let Ok((appointed, by)) = parse_appointment(&keys.id, appointment) else {
            return Ok(());
        };
        let admins = &mut keys.access.admins;
        let entitled = by == *keys.access.access.admin() || admins.contains(&by);
        if entitled && !admins.contains(&appointed) && admins.len() < MAX_ADMINS {
            admins.push(appointed);
            keys.changed = true;
            self.done.changes.push(Change::Admins { channel: keys.id });
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

    /// Writes back what changed about authors.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
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
