//! What apps read: channels, members, messages.

use crate::channel::{ChannelId, MessageId};
use crate::crypto::{PublicKey, kdf};
use crate::store::{
    ChannelRow, ChannelState, MessageState, Page, StoredAuthor, StoredChannel, StoredMessage, Tx,
};
use crate::wire::limits::MAX_NAME;

use super::{Engine, Error, Message};
use crate::client::types::{ChannelSummary, Member};

impl Engine {
    /// All channels, oldest first.
    pub fn channels(&mut self) -> Result<Vec<ChannelSummary>, Error> {
        self.store.read(|tx| {
            tx.channels()?
                .into_iter()
                .map(|channel| summary(tx, channel))
                .collect()
        })
    }

    /// One channel, by its id, present or former.
    pub fn channel(&mut self, id: &ChannelId) -> Result<ChannelSummary, Error> {
        self.store.read(|tx| {
            let row = channel_row(tx, id)?;
            summary(tx, tx.channel(row)?)
        })
    }

    /// The channel with this name, or whose id, present or former, begins like this.
    pub fn find_channel(&mut self, wanted: &str) -> Result<ChannelId, Error> {
        self.store.read(|tx| {
            let channels = tx.channels()?;
            if let Some(channel) = channels.iter().find(|channel| channel.name == wanted) {
                return Ok(tx.access_of(channel.row)?.access.channel_id());
            }
            let prefix = wanted.to_ascii_lowercase();
            let mut found: Vec<ChannelRow> = tx
                .accesses()?
                .iter()
                .filter(|access| access.access.channel_id().to_string().starts_with(&prefix))
                .map(|access| access.channel)
                .collect();
            found.dedup();
            match found.as_slice() {
                [row] if !prefix.is_empty() => Ok(tx.access_of(*row)?.access.channel_id()),
                [] | [_] => Err(Error::UnknownChannel(quoted(wanted))),
                _ => Err(Error::Ambiguous(quoted(wanted))),
            }
        })
    }

    /// Who writes in a channel.
    pub fn members(&mut self, channel: &ChannelId) -> Result<Vec<Member>, Error> {
        self.store.read(|tx| {
            let row = channel_row(tx, channel)?;
            let own = tx.channel(row)?.author.public();
            let chains = tx.chains(tx.access_of(row)?.row)?;
            Ok(tx
                .authors(row)?
                .into_iter()
                .map(|author| Member {
                    safety_number: safety_number(&own, &author.key),
                    missing: chains
                        .get(&author.row)
                        .map_or(0, crate::store::ChainState::missing),
                    author: author.key,
                    name: author.name,
                    own: author.own,
                    write_only: author.write_only,
                    name_taken: author.name_taken,
                    removed: author.removed,
                    forked: author.forked,
                })
                .collect())
        })
    }

    /// A page of messages, oldest first.
    pub fn messages(
        &mut self,
        channel: &ChannelId,
        page: Page,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        self.store.read(|tx| {
            let row = channel_row(tx, channel)?;
            let id = tx.access_of(row)?.access.channel_id();
            let authors = tx.authors(row)?;
            Ok(tx
                .messages(row, page, limit)?
                .into_iter()
                .filter_map(|message| message_from(&id, &authors, message))
                .collect())
        })
    }

    /// One message, by its id or the one it was queued under.
    pub fn message(&mut self, id: &MessageId) -> Result<Message, Error> {
        self.store.read(|tx| {
            let (row, channel) = locate(tx, id)?;
            let authors = tx.authors(channel)?;
            let channel = tx.access_of(channel)?.access.channel_id();
            message_from(&channel, &authors, tx.message(row)?)
                .ok_or_else(|| Error::UnknownMessage(id.to_string()))
        })
    }

    /// Where something of ours stands that was queued under `id`, shown or not.
    pub fn delivery(&mut self, id: &MessageId) -> Result<Delivery, Error> {
        self.store.read(|tx| {
            if let Some((row, _)) = tx.find_control(id)? {
                return Ok(if tx.is_delivered(row)? {
                    Delivery::AtNode(*id)
                } else if tx.is_queued(row)? {
                    Delivery::Queued
                } else {
                    Delivery::Expired
                });
            }
            let (row, _) = locate(tx, id)?;
            let message = tx.message(row)?;
            Ok(match message.state {
                MessageState::Queued => Delivery::Queued,
                MessageState::Expired => Delivery::Expired,
                MessageState::AtNode | MessageState::Received => Delivery::AtNode(message.id),
            })
        })
    }

    /// The message whose id begins like this.
    pub fn find_message(&mut self, prefix: &str) -> Result<MessageId, Error> {
        let prefix = prefix.to_ascii_lowercase();
        if let Ok(id) = prefix.parse::<MessageId>() {
            return Ok(self.message(&id)?.id);
        }
        self.store.read(|tx| {
            let mut found = None;
            for channel in tx.channels()? {
                let mut after = 0;
                loop {
                    let page = tx.messages(channel.row, Page::ArrivedAfter(after), 500)?;
                    let Some(last) = page.last() else {
                        break;
                    };
                    after = last.row;
                    for message in &page {
                        if message.id.to_string().starts_with(&prefix)
                            && found.replace(message.id).is_some()
                        {
                            return Err(Error::Ambiguous(quoted(&prefix)));
                        }
                    }
                }
            }
            found
                .filter(|_| !prefix.is_empty())
                .ok_or_else(|| Error::UnknownMessage(quoted(&prefix)))
        })
    }

    /// Marks everything in a channel as read; returns whether something was not.
    pub fn mark_read(&mut self, channel: &ChannelId) -> Result<bool, Error> {
        self.store.write(|tx| {
            let row = channel_row(tx, channel)?;
            Ok(tx.mark_read(row, tx.last_row(row)?)?)
        })
    }

    /// Marks as read what arrived in a channel up to and including a message; returns whether something was not.
    pub fn mark_read_up_to(&mut self, id: &MessageId) -> Result<bool, Error> {
        self.store.write(|tx| {
            let (row, channel) = locate(tx, id)?;
            Ok(tx.mark_read(channel, row)?)
        })
    }

    /// Deletes a message here.
    pub fn delete_message(&mut self, id: &MessageId) -> Result<(), Error> {
        self.store.write(|tx| {
            let (row, _) = locate(tx, id)?;
            Ok::<_, Error>(tx.delete_message(row)?)
        })?;
        Ok(self.store.scrub()?)
    }
}

/// Where something of ours stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// In the outbox.
    Queued,
    /// On the disk of a super node; the id is final.
    AtNode(MessageId),
    /// No node took it.
    Expired,
}

fn summary(tx: &Tx<'_>, channel: StoredChannel) -> Result<ChannelSummary, Error> {
    let access = tx.access_of(channel.row)?;
    let appointed = access.admins.contains(&channel.author.public());
    Ok(ChannelSummary {
        id: access.access.channel_id(),
        name: channel.name,
        access: access.access.kind(),
        admin: channel.admin.is_some() || appointed,
        redpanda: access.access.is_redpanda(),
        moved: channel.state == ChannelState::Moved,
        muted: channel.muted,
        unread: tx.unread(channel.row, channel.read_up_to)?,
        members: tx
            .authors(channel.row)?
            .iter()
            .filter(|author| !author.removed)
            .count(),
        pending: tx.pending_count(access.row)?,
    })
}

pub(super) fn channel_row(tx: &Tx<'_>, channel: &ChannelId) -> Result<ChannelRow, Error> {
    tx.find_channel(channel)?
        .ok_or_else(|| Error::UnknownChannel(channel.to_string()))
}

pub(super) fn message_from(
    channel: &ChannelId,
    authors: &[StoredAuthor],
    message: StoredMessage,
) -> Option<Message> {
    let author = authors.iter().find(|author| author.row == message.author)?;
    Some(Message {
        id: message.id,
        channel: *channel,
        author: author.key,
        author_name: author.name.clone(),
        own: author.own,
        time: message.time,
        text: message.text,
        state: message.state,
        row: message.row,
    })
}

/// What was asked for, as errors quote it. What is neither a name nor an id may be a link, pasted in the wrong place.
fn quoted(wanted: &str) -> String {
    if wanted.len() <= MAX_NAME || wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return wanted.to_owned();
    }
    wanted.chars().take(2).chain(['…']).collect()
}

fn locate(tx: &Tx<'_>, id: &MessageId) -> Result<(i64, ChannelRow), Error> {
    if let Some(found) = tx.find_message(id)? {
        return Ok(found);
    }
    for row in tx.queued_rows()? {
        if tx.provisional_id(row)?.as_ref() == Some(id) {
            let current = tx.message(row)?.id;
            if let Some(found) = tx.find_message(&current)? {
                return Ok(found);
            }
        }
    }
    Err(Error::UnknownMessage(id.to_string()))
}

/// 60 digits from both keys in their order, so that both phones show the same.
fn safety_number(a: &PublicKey, b: &PublicKey) -> String {
    let (low, high) = if a.as_bytes() <= b.as_bytes() {
        (a, b)
    } else {
        (b, a)
    };
    let mut groups = Vec::with_capacity(12);
    for counter in 0_u8..12 {
        let hash = kdf::tagged_hash(
            "ailurus/safety-number",
            &[low.as_bytes(), high.as_bytes(), &[counter]],
        );
        let number = hash
            .iter()
            .take(8)
            .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        groups.push(format!("{:05}", number % 100_000));
    }
    groups.join(" ")
}
