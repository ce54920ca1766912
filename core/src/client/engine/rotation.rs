//! Moving a channel to new keys: as admin, by following an admin's notice, and by repeating it for others.

use crate::channel::{
    AccessKind, AuthorHint, ChannelId, Epoch, Link, MessageId, NewChannel, Previous,
    rotation::{Remaining, Rotation, appoint},
};
use crate::crypto::{Entropy, PublicKey, SigningKey, kdf};
use crate::store::{
    AccessRow, ChannelRow, ChannelState, StoredAccess, StoredChannel, StoredRotation, Tx,
};
use crate::wire::{
    content::{Content, RotationNotice},
    limits::ROTATION_REPEATED,
    time::UnixMillis,
};

use super::{
    Change, Engine, Error, Notice, adjusted,
    outgoing::{queue, queue_sealed},
    view::channel_row,
};

impl Engine {
    /// Moves a channel to new keys and leaves `without` out; returns the new id and the id under which the notice
    /// waits in the outbox.
    pub fn rotate(
        &mut self,
        channel: &ChannelId,
        without: &[PublicKey],
        now: UnixMillis,
    ) -> Result<(ChannelId, MessageId), Error> {
        let entropy = &mut *self.entropy;
        let addresses = &mut self.addresses;
        self.store.write(|tx| {
            let row = channel_row(tx, channel)?;
            let now = adjusted(tx, now)?;
            let stored = tx.channel(row)?;
            let old = tx.access_of(row)?;
            let admin = admin_key(&stored)?;
            if stored.state == ChannelState::Moved {
                return Err(Error::Moved);
            }
            let authors = tx.authors(row)?;
            let known = |key: &PublicKey| {
                authors
                    .iter()
                    .any(|author| author.key == *key && !author.own)
            };
            if !without.iter().all(known) {
                return Err(Error::UnknownMember);
            }
            let new = NewChannel::create_for(*old.access.admin(), Epoch::of(now), entropy);
            let link = |access, read| Link {
                access,
                read,
                admin: None,
                name: stored.name.clone(),
                nodes: Vec::new(),
            };
            let write = link(new.0.narrow(AccessKind::Write)?, None);
            let full = link(new.0, Some(new.1));
            let old_id = old.access.channel_id();
            let remaining: Vec<Remaining<'_>> = authors
                .iter()
                .filter(|author| !author.own && !author.removed && !without.contains(&author.key))
                .filter_map(|author| {
                    Some(Remaining {
                        hint: AuthorHint::of(&old_id, &author.key),
                        dh: author.dh?,
                        link: if author.write_only { &write } else { &full },
                    })
                })
                .chain(std::iter::once(Remaining {
                    hint: AuthorHint::of(&old_id, &stored.author.public()),
                    dh: stored.dh.public(),
                    link: &full,
                }))
                .collect();
            let number = old.number.saturating_add(1);
            let notice = Rotation::sign(&old_id, number, now, &remaining, &admin, entropy)?;
            // The notice goes out under the old keys, so it is sealed before they are retired.
            let message = queue_sealed(
                tx,
                addresses,
                old.row,
                &notice_content(&notice),
                now,
                entropy,
            )?;
            follow(tx, old.row, &notice, now, entropy)?;
            Ok((full.access.channel_id(), message))
        })
    }

    /// Makes another author admin too.
    pub fn appoint(
        &mut self,
        channel: &ChannelId,
        author: &PublicKey,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let entropy = &mut *self.entropy;
        self.store.write(|tx| {
            let row = channel_row(tx, channel)?;
            let now = adjusted(tx, now)?;
            let mut stored = tx.channel(row)?;
            let admin = admin_key(&stored)?;
            if !tx.authors(row)?.iter().any(|known| known.key == *author) {
                return Err(Error::UnknownMember);
            }
            let id = tx.access_of(row)?.access.channel_id();
            let content = Content {
                appointment: Some(appoint(&id, author, &admin, entropy)),
                ..Content::default()
            };
            queue(tx, row, &content, now, entropy)?;
            if !stored.admins.contains(author) {
                stored.admins.push(*author);
                tx.update_channel(&stored)?;
            }
            Ok(())
        })
    }
}

/// Follows a notice if an admin signed it and no better one was followed before.
pub(super) fn follow(
    tx: &Tx<'_>,
    access: AccessRow,
    notice: &RotationNotice,
    now: UnixMillis,
    entropy: &mut dyn Entropy,
) -> Result<Vec<Change>, Error> {
    let Ok(rotation) = Rotation::parse(notice) else {
        return Ok(Vec::new());
    };
    let accesses = tx.accesses()?;
    let Some(old) = accesses.into_iter().find(|stored| stored.row == access) else {
        return Ok(Vec::new());
    };
    let mut stored = tx.channel(old.channel)?;
    let entitled = rotation.admin == *old.access.admin() || stored.admins.contains(&rotation.admin);
    if rotation.channel != old.access.channel_id() || !entitled || rotation.number <= old.number {
        return Ok(Vec::new());
    }
    let before = tx
        .rotations()?
        .into_iter()
        .find(|seen| seen.access == access);
    if before
        .as_ref()
        .is_some_and(|seen| !rotation.precedes(seen.number, &seen.hash))
    {
        return Ok(Vec::new());
    }
    let tie = before.is_some();
    tx.put_rotation(&StoredRotation {
        access,
        number: rotation.number,
        hash: rotation.hash,
        first_seen: before.as_ref().map_or(now, |seen| seen.first_seen),
        repeated: now,
        notice: notice.clone(),
    })?;

    let old_id = old.access.channel_id();
    let hint = AuthorHint::of(&old_id, &stored.author.public());
    let link = match rotation.open(&hint, &stored.dh) {
        Ok(Some(link)) => link,
        Ok(None) | Err(_) => {
            stored.state = ChannelState::Moved;
            tx.update_channel(&stored)?;
            return Ok(vec![Change::Notice(Notice::Moved { channel: old_id })]);
        }
    };
    let new_id = link.access.channel_id();
    mark_removed(tx, old.channel, &old_id, &rotation)?;
    replace(tx, &stored, old, link, &rotation, now)?;
    if stored.state == ChannelState::Moved {
        stored.state = ChannelState::Active;
        tx.update_channel(&stored)?;
    }
    let introduction = Content::default();
    if tx.access_of(stored.row)?.access.kind().writes() {
        queue(tx, stored.row, &introduction, now, entropy)?;
    }
    Ok(vec![Change::Notice(Notice::Rotated {
        from: old_id,
        to: new_id,
        tie,
    })])
}

/// Retires the keys in use and puts new ones in their place.
fn replace(
    tx: &Tx<'_>,
    channel: &StoredChannel,
    old: StoredAccess,
    link: Link,
    rotation: &Rotation,
    now: UnixMillis,
) -> Result<(), Error> {
    let removed = tx
        .authors(channel.row)?
        .iter()
        .filter(|author| author.removed)
        .map(|author| AuthorHint::of(&rotation.channel, &author.key))
        .collect::<Vec<_>>();
    for mut retired in tx.accesses()? {
        if retired.channel == channel.row && retired.retired.is_none() {
            retired.retired = Some(now.min(rotation.time));
            if retired.row == old.row {
                retired.removed.clone_from(&removed);
            }
            tx.update_access(&retired)?;
        }
    }
    tx.add_access(&StoredAccess {
        row: old.row,
        channel: channel.row,
        number: rotation.number,
        retired: None,
        access: link.access,
        read: link.read,
        sequence: 0,
        previous: Previous::NONE,
        introduced: UnixMillis::default(),
        last_time: UnixMillis::default(),
        removed: Vec::new(),
    })?;
    Ok(())
}

fn mark_removed(
    tx: &Tx<'_>,
    channel: ChannelRow,
    old_id: &ChannelId,
    rotation: &Rotation,
) -> Result<(), Error> {
    for mut author in tx.authors(channel)? {
        let removed = !rotation.includes(&AuthorHint::of(old_id, &author.key));
        if author.removed != removed {
            author.removed = removed;
            tx.update_author(&author)?;
        }
    }
    Ok(())
}

/// What a member says who passes a notice on.
pub(super) fn notice_content(notice: &RotationNotice) -> Content {
    Content {
        rotation: Some(notice.clone()),
        ..Content::default()
    }
}

/// The key with which we rotate: the creator's, or our author key if an admin appointed it.
fn admin_key(channel: &StoredChannel) -> Result<SigningKey, Error> {
    if let Some(admin) = &channel.admin {
        return Ok(admin.duplicate());
    }
    if channel.admins.contains(&channel.author.public()) {
        return Ok(channel.author.duplicate());
    }
    Err(Error::NotAdmin)
}

/// Which notices this member repeats now: once a week for eight weeks, three of the members each time.
pub(super) fn repeat_due(tx: &Tx<'_>, now: UnixMillis) -> Result<Vec<StoredRotation>, Error> {
    let epoch = Epoch::of(now);
    let accesses = tx.accesses()?;
    let mut due = Vec::new();
    for rotation in tx.rotations()? {
        let Some(old) = accesses.iter().find(|access| access.row == rotation.access) else {
            continue;
        };
        let over = now.since(rotation.first_seen) > ROTATION_REPEATED;
        if over || Epoch::of(rotation.repeated) >= epoch || !old.access.kind().writes() {
            continue;
        }
        let channel = tx.channel(old.channel)?;
        let rank = |key: &PublicKey| {
            kdf::tagged_hash(
                "ailurus/repeat",
                &[&epoch.number().to_be_bytes(), key.as_bytes()],
            )
        };
        let own = rank(&channel.author.public());
        let before = tx
            .authors(old.channel)?
            .iter()
            .filter(|author| !author.own && !author.removed && rank(&author.key) < own)
            .count();
        if before < REPEATERS {
            due.push(rotation);
        }
    }
    Ok(due)
}

const REPEATERS: usize = 3;
