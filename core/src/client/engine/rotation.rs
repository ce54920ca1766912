//! Moving a channel to new keys: as admin, by following an admin's notice, and by repeating it for others.

use crate::channel::{
    AccessKind, AuthorHint, ChannelId, Epoch, Link, MessageId, NewChannel, Previous, ReadChain,
    rotation::{Remaining, Rotation, appoint},
};
use crate::crypto::{Entropy, PublicKey, SigningKey, kdf};
use crate::store::{
    AccessRow, ChannelRow, ChannelState, StoredAccess, StoredChannel, StoredRotation, Tx,
};
use crate::wire::{
    content::{Content, RotationNotice},
    limits::{LIFETIME, ROTATION_REPEATED},
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
            let admin = admin_key(&stored, &old)?;
            if stored.state == ChannelState::Moved {
                return Err(Error::Moved);
            }
            let authors = tx.authors(row)?;
            if without.contains(&stored.author.public()) {
                return Err(Error::Yourself);
            }
            let known = |key: &PublicKey| {
                authors
                    .iter()
                    .any(|author| author.key == *key && !author.own)
            };
            if !without.iter().all(known) {
                return Err(Error::UnknownMember);
            }
            // Every importer of a redPanda string has its admin key, so what follows it gets one of its own.
            let fresh = old
                .access
                .is_redpanda()
                .then(|| SigningKey::random(entropy));
            let new_admin = fresh
                .as_ref()
                .map_or_else(|| *old.access.admin(), SigningKey::public);
            let first = Epoch::of(now).previous();
            let new = NewChannel::create_for(new_admin, first, entropy);
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
            let id = full.access.channel_id();
            let changes = follow(tx, old.row, &notice, now, entropy)?;
            let moved = |change: &Change| {
                matches!(change, Change::Notice(Notice::Rotated { to, .. }) if *to == id)
            };
            if !changes.iter().any(moved) {
                return Err(Error::NotAdmin);
            }
            if let Some(fresh) = fresh {
                let mut stored = tx.channel(row)?;
                stored.admin = Some(fresh);
                tx.update_channel(&stored)?;
            }
            Ok((id, message))
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
            let stored = tx.channel(row)?;
            let mut access = tx.access_of(row)?;
            let admin = admin_key(&stored, &access)?;
            if !tx.authors(row)?.iter().any(|known| known.key == *author) {
                return Err(Error::UnknownMember);
            }
            let id = access.access.channel_id();
            let content = Content {
                appointment: Some(appoint(&id, author, &admin, entropy)),
                ..Content::default()
            };
            queue(tx, row, &content, now, entropy)?;
            if !access.admins.contains(author) {
                access.admins.push(*author);
                tx.update_access(&access)?;
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
    let by_creator = rotation.admin == *old.access.admin();
    let entitled = by_creator || old.admins.contains(&rotation.admin);
    if rotation.channel != old.access.channel_id() || !entitled || rotation.number == 0 {
        return Ok(Vec::new());
    }
    let (mut first_seen, mut tie) = (now, false);
    let before = tx
        .rotations()?
        .into_iter()
        .find(|seen| seen.access == access);
    if let Some(mut seen) = before {
        if seen.hash == rotation.hash {
            // Somebody repeats it, so we need not.
            seen.repeated = seen.repeated.max(now);
            tx.put_rotation(&seen)?;
            return Ok(Vec::new());
        }
        // The channel's own admin comes before those it appointed; then the number, then the hash.
        let seen_by_creator = seen.notice.admin_key.as_ref() == old.access.admin().as_bytes();
        let holds = match (by_creator, seen_by_creator) {
            (true, false) => true,
            (false, true) => false,
            _ => rotation.precedes(seen.number, &seen.hash),
        };
        if !holds {
            let to = tx.access_of(old.channel)?.access.channel_id();
            return Ok(vec![Change::Notice(Notice::Rotated {
                from: old.access.channel_id(),
                to,
                tie: true,
            })]);
        }
        first_seen = seen.first_seen;
        tie = true;
    }
    tx.put_rotation(&StoredRotation {
        access,
        number: rotation.number,
        hash: rotation.hash,
        first_seen,
        repeated: now,
        notice: notice.clone(),
    })?;

    let old_id = old.access.channel_id();
    let hint = AuthorHint::of(&old_id, &stored.author.public());
    let usable = |link: &Link| {
        let ahead = |read: &ReadChain| read.epoch() > Epoch::of(now).next();
        link.access.kind().writes()
            && !link.access.is_redpanda()
            && !link.read.as_ref().is_some_and(ahead)
    };
    let link = match rotation.open(&hint, &stored.dh) {
        Ok(Some(link))
            if usable(&link) && tx.find_channel(&link.access.channel_id())?.is_none() =>
        {
            link
        }
        _ => {
            stored.state = ChannelState::Moved;
            tx.update_channel(&stored)?;
            return Ok(vec![Change::Notice(Notice::Moved { channel: old_id })]);
        }
    };
    let new_id = link.access.channel_id();
    mark_removed(tx, old.channel, &old_id, &rotation)?;
    replace(tx, &stored, old, link, &rotation, now)?;
    stored.state = ChannelState::Active;
    let admin = *tx.access_of(stored.row)?.access.admin();
    if stored
        .admin
        .as_ref()
        .is_some_and(|own| own.public() != admin)
    {
        stored.admin = None;
    }
    tx.update_channel(&stored)?;
    let introduction = Content::default();
    match queue(tx, stored.row, &introduction, now, entropy) {
        // The first message introduces us all the same.
        Ok(_) | Err(Error::OutboxFull(_)) => {}
        Err(error) => return Err(error),
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
    let authors = tx.authors(channel.row)?;
    let retired_at = rotation.time.max(now.before(LIFETIME)).min(now);
    for mut access in tx.accesses()? {
        if access.channel != channel.row {
            continue;
        }
        let id = access.access.channel_id();
        access.removed = authors
            .iter()
            .filter(|author| author.removed)
            .map(|author| AuthorHint::of(&id, &author.key))
            .collect();
        access.retired.get_or_insert(retired_at);
        tx.update_access(&access)?;
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
        admins: Vec::new(),
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
fn admin_key(channel: &StoredChannel, access: &StoredAccess) -> Result<SigningKey, Error> {
    if let Some(admin) = &channel.admin
        && admin.public() == *access.access.admin()
    {
        return Ok(admin.duplicate());
    }
    if access.admins.contains(&channel.author.public()) {
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
        let current = tx.access_of(old.channel)?;
        if channel.state == ChannelState::Moved || !current.access.kind().writes() {
            continue;
        }
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
            .filter(|author| !author.own && !author.removed && !author.write_only)
            .filter(|author| rank(&author.key) < own)
            .count();
        if before < REPEATERS {
            due.push(rotation);
        }
    }
    Ok(due)
}

const REPEATERS: usize = 3;
