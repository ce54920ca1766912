//! What passes: epoch secrets, outbox entries, leases, retired keys. Nothing that was received is deleted.

use crate::channel::Epoch;
use crate::crypto::NodeKey;
use crate::store::{MessageState, Tx};
use crate::sync::{clock::deletion_time, outbox::is_expired};
use crate::wire::{
    limits::{INTRODUCTION_LIFETIME, LIFETIME, MAX_AHEAD, ROTATION_REPEATED},
    time::UnixMillis,
};

use super::{
    Change, Engine, Error, Message, Notice,
    introductions::drop_ended,
    node_lists::tell_all,
    nodes::kept_nodes,
    outgoing::{is_out, queue_sealed},
    rotation::{notice_content, repeat_due},
    view::message_from,
};

impl Engine {
    /// Does what is due after the nodes in `heard` showed their clocks at `now`: deletes epoch secrets that no living
    /// envelope needs (only if all clocks heard within a week agree within a day), expires what no node took, repeats rotation
    /// notices, tells members of nodes that they could not know, and asks for introductions that were offered.
    pub fn expire(&mut self, heard: &[NodeKey], now: UnixMillis) -> Result<Vec<Change>, Error> {
        let entropy = &mut *self.entropy;
        let addresses = &mut self.addresses;
        let (changes, deleted) = self.store.write(|tx| {
            let mut clocks = Vec::new();
            let nodes = if heard.is_empty() {
                Vec::new()
            } else {
                tx.nodes()?
            };
            for node in nodes {
                if let Some((offset, seen)) = node.clock
                    && (heard.contains(node.link.key()) || now.distance(seen) < LIFETIME)
                {
                    clocks.push(now.offset(offset));
                }
            }
            let mut changes = Vec::new();
            let mut deleted = false;
            if let Some(time) = deletion_time(now, &clocks) {
                deleted = forget_secrets(tx, time)?;
                tx.drop_pending(time.before(LIFETIME).before(MAX_AHEAD))?;
                tx.drop_ended_leases(time)?;
                tx.drop_announced(Epoch::of(time).previous())?;
                tx.drop_old_introductions(time.before(INTRODUCTION_LIFETIME))?;
                drop_ended(tx, time)?;
                tx.drop_unfetched(time.before(LIFETIME))?;
            }
            // With no node in reach the own clock has to do: a person should learn that nothing went out.
            let disagree = !clocks.is_empty() && deletion_time(now, &clocks).is_none();
            if !disagree {
                let time = clocks.iter().min().copied().unwrap_or(now).min(now);
                changes.extend(expire_outbox(tx, time)?);
            }
            if let Some(&node_now) = clocks.first() {
                for mut rotation in repeat_due(tx, node_now)? {
                    let content = notice_content(&rotation.notice);
                    let access = rotation.access;
                    match queue_sealed(tx, addresses, access, &content, node_now, entropy) {
                        Ok(_) => {}
                        Err(Error::OutboxFull(_)) => continue,
                        Err(error) => return Err(error),
                    }
                    rotation.repeated = node_now;
                    tx.put_rotation(&rotation)?;
                }
                tell_all(tx, node_now, entropy)?;
            }
            Ok::<_, Error>((changes, deleted))
        })?;
        if deleted {
            self.store.scrub()?;
        }
        Ok(changes)
    }
}

/// Deletes secrets of epochs whose envelopes are gone everywhere, and keys that rotation retired long ago.
fn forget_secrets(tx: &Tx<'_>, time: UnixMillis) -> Result<bool, Error> {
    let [previous, _] = Epoch::alive(time);
    let mut oldest = previous;
    while oldest > Epoch::new(0) && oldest.previous().secrets_end() > time {
        oldest = oldest.previous();
    }
    let mut deleted = false;
    for mut access in tx.accesses()? {
        let over = access
            .retired
            .is_some_and(|retired| time.since(retired) > ROTATION_REPEATED + LIFETIME);
        if over {
            tx.remove_access(access.row)?;
            deleted = true;
            continue;
        }
        let Some(read) = &mut access.read else {
            continue;
        };
        if matches!(read.forget_before(oldest), Ok(true)) {
            tx.update_access(&access)?;
            deleted = true;
        }
    }
    Ok(deleted)
}

/// Takes out what no node took within 7 days, and says so; what one of two nodes has is simply done. So is what needs no
/// more copies.
pub(super) fn expire_outbox(tx: &Tx<'_>, now: UnixMillis) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    let mut counts = std::collections::BTreeMap::new();
    let nodes: Vec<_> = kept_nodes(tx)?.iter().map(|node| node.row).collect();
    for item in tx.outbox()? {
        let since = item
            .sealed
            .as_ref()
            .map_or(item.created, |sealed| sealed.envelope.header().time)
            // Whatever a wrong clock has dated far ahead does not wait for that day.
            .min(item.created.after(LIFETIME));
        if !is_expired(since, now) {
            // Meanwhile other nodes are kept, or serve us.
            if is_out(tx, item.message, &nodes)? {
                tx.unqueue(item.message)?;
            }
            continue;
        }
        if !tx.is_delivered(item.message)? {
            tx.set_message_state(item.message, MessageState::Expired)?;
            if let Some(message) = shown(tx, item.message, item.channel)? {
                *counts.entry(message.channel).or_insert(0) += 1;
                let was = tx.provisional_id(item.message)?;
                changes.push(Change::Expired { message, was });
            }
        }
        tx.unqueue(item.message)?;
    }
    changes.extend(
        counts
            .into_iter()
            .map(|(channel, count)| Change::Notice(Notice::Expired { channel, count })),
    );
    Ok(changes)
}

fn shown(
    tx: &Tx<'_>,
    row: i64,
    channel: crate::store::ChannelRow,
) -> Result<Option<Message>, Error> {
    let stored = tx.message(row)?;
    if tx.find_message(&stored.id)?.is_none() {
        return Ok(None);
    }
    let id = tx.access_of(channel)?.access.channel_id();
    let authors = tx.authors(channel)?;
    Ok(message_from(&id, &authors, stored))
}
