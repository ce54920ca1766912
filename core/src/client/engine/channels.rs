//! Making, joining, sharing, renaming and leaving channels.

use zeroize::Zeroizing;

use crate::channel::{
    AccessKind, ChannelId, Epoch, EpochError, Link, NarrowError, NewChannel, NodeLink, Previous,
    ReadChain,
};
use crate::crypto::{DhSecret, Entropy, SigningKey};
use crate::discovery::Origin;
use crate::store::{
    AccessRow, ChannelRow, ChannelState, NewAuthor, StoreError, StoredAccess, StoredChannel, Tx,
};
use crate::wire::{content::Content, limits::MAX_HINTS, time::UnixMillis};

use super::{
    Engine, Error, adjusted, check_name,
    node_lists::{hint, hint_own},
    nodes::{choose, offer},
    outgoing::queue,
    view::channel_row,
};

impl Engine {
    /// Makes a channel of ours.
    pub fn create_channel(&mut self, name: &str, now: UnixMillis) -> Result<ChannelId, Error> {
        check_name(name)?;
        let entropy = &mut *self.entropy;
        self.store.write(|tx| {
            let now = adjusted(tx, now)?;
            let new = NewChannel::create(Epoch::of(now).previous(), entropy);
            let link = Link {
                access: new.access,
                read: Some(new.read),
                admin: Some(new.admin),
                name: name.to_owned(),
                nodes: Vec::new(),
            };
            add(tx, &link, name, now, entropy)
        })
    }

    /// Joins a channel by its link, under the link's name or another one. A link that gives more than we have in a
    /// channel widens our access; one that names the admin of a channel that moved without us, and has its name, continues that channel.
    pub fn join(
        &mut self,
        link: &Link,
        name: Option<&str>,
        now: UnixMillis,
    ) -> Result<ChannelId, Error> {
        let id = link.access.channel_id();
        let default = format!("channel {}", &id.to_string()[..8]);
        let name = match name {
            Some(name) => name,
            None if link.name.is_empty() => &default,
            None => &link.name,
        };
        check_name(name)?;
        let entropy = &mut *self.entropy;
        self.store.write(|tx| {
            let now = adjusted(tx, now)?;
            let ahead = |read: &ReadChain| read.epoch() > Epoch::of(now).next();
            if link.read.as_ref().is_some_and(ahead) {
                return Err(Error::LinkAhead);
            }
            // Members are reached best where they are; whoever has nodes of their own keeps those too.
            for node in &link.nodes {
                offer(tx, node, Origin::Link, entropy)?;
            }
            choose(tx, now, |_| ())?;
            if let Some(row) = tx.find_channel(&id)? {
                hint(tx, row, &link.nodes, now)?;
                return widen(tx, row, link, now, entropy);
            }
            for moved in tx.channels()? {
                let old = tx.access_of(moved.row)?;
                if moved.state == ChannelState::Moved
                    && moved.name == name
                    && (old.access.admin() == link.access.admin() || old.access.is_redpanda())
                {
                    hint(tx, moved.row, &link.nodes, now)?;
                    return catch_up(tx, moved, old, link, now, entropy);
                }
            }
            add(tx, link, name, now, entropy)
        })
    }

    /// A link that shares a channel.
    pub fn link(
        &mut self,
        channel: &ChannelId,
        kind: AccessKind,
        history: bool,
        now: UnixMillis,
    ) -> Result<Zeroizing<String>, Error> {
        self.store.write(|tx| {
            let row = channel_row(tx, channel)?;
            let stored = tx.channel(row)?;
            if stored.state == ChannelState::Moved {
                return Err(Error::Moved);
            }
            let access = tx.access_of(row)?;
            if access.access.is_redpanda() && kind == AccessKind::Full && !history {
                return Err(NarrowError::RedPandaHistory.into());
            }
            let now = adjusted(tx, now)?;
            let [previous, current] = Epoch::alive(now);
            let from = if history { previous } else { current };
            let read = match (&access.read, kind.reads()) {
                (Some(read), true) => Some(chain_from(read, from)?),
                _ => None,
            };
            let link = Link {
                access: access.access.narrow(kind)?,
                read,
                admin: None,
                name: stored.name,
                nodes: hints(tx)?,
            };
            let text = link.to_text()?;
            // Not all hints may have had room.
            hint_own(tx, row, &text.parse::<Link>()?.nodes, now)?;
            Ok(text)
        })
    }

    /// Renames a channel, here only.
    pub fn rename(&mut self, channel: &ChannelId, name: &str) -> Result<(), Error> {
        check_name(name)?;
        self.change(channel, |stored| name.clone_into(&mut stored.name))
            .map_err(|error| exists(error, name))
    }

    /// Switches notifications of a channel off or on.
    pub fn mute(&mut self, channel: &ChannelId, muted: bool) -> Result<(), Error> {
        self.change(channel, |stored| stored.muted = muted)
    }

    /// Leaves a channel: its leases will be released, its keys and messages are wiped now.
    pub fn leave(&mut self, channel: &ChannelId) -> Result<(), Error> {
        self.store.write(|tx| {
            let row = channel_row(tx, channel)?;
            for access in tx.accesses()? {
                if access.channel == row {
                    tx.queue_releases(access.row, |epoch| {
                        Some(access.access.address_keys(epoch).ok()?.address)
                    })?;
                }
            }
            tx.remove_channel(row)?;
            Ok::<_, Error>(())
        })?;
        Ok(self.store.scrub()?)
    }

    fn change(
        &mut self,
        channel: &ChannelId,
        change: impl FnOnce(&mut StoredChannel),
    ) -> Result<(), Error> {
        self.store.write(|tx| {
            let mut stored = tx.channel(channel_row(tx, channel)?)?;
            change(&mut stored);
            Ok(tx.update_channel(&stored)?)
        })
    }
}

/// The nodes that a link names: the polled one first.
fn hints(tx: &Tx<'_>) -> Result<Vec<NodeLink>, Error> {
    let mut nodes = tx.nodes()?;
    nodes.sort_by_key(|node| node.role);
    Ok(nodes
        .into_iter()
        .take(MAX_HINTS)
        .map(|node| node.link)
        .collect())
}

fn add(
    tx: &Tx<'_>,
    link: &Link,
    name: &str,
    now: UnixMillis,
    entropy: &mut dyn Entropy,
) -> Result<ChannelId, Error> {
    let author = SigningKey::random(entropy);
    let mut stored = StoredChannel {
        row: ChannelRow::NONE,
        name: name.to_owned(),
        dh: DhSecret::random(entropy),
        admin: link.admin.as_ref().map(SigningKey::duplicate),
        muted: false,
        state: ChannelState::Active,
        read_up_to: 0,
        author,
    };
    stored.row = tx
        .add_channel(&stored, now)
        .map_err(|error| exists(error.into(), name))?;
    tx.add_access(&first_access(stored.row, link, 0))?;
    hint(tx, stored.row, &link.nodes, now)?;
    if link.access.kind().writes() {
        speak_up(tx, &stored, now, entropy)?;
    }
    Ok(link.access.channel_id())
}

/// Takes more access to a channel that we are in.
fn widen(
    tx: &Tx<'_>,
    row: ChannelRow,
    link: &Link,
    now: UnixMillis,
    entropy: &mut dyn Entropy,
) -> Result<ChannelId, Error> {
    let mut access = tx.access_of(row)?;
    let id = link.access.channel_id();
    if access.access.channel_id() != id
        || link.access.kind() != AccessKind::Full
        || access.access.kind() == AccessKind::Full
    {
        return Err(Error::AlreadyIn(tx.channel(row)?.name));
    }
    access.access = link.access.duplicate();
    if let Some(admin) = &link.admin {
        let mut channel = tx.channel(row)?;
        channel.admin = Some(admin.duplicate());
        tx.update_channel(&channel)?;
    }
    if access.read.is_none() {
        access.read = link.read.as_ref().map(ReadChain::duplicate);
    }
    tx.update_access(&access)?;
    speak_up(tx, &tx.channel(row)?, now, entropy)?;
    Ok(id)
}

/// Goes on with a channel that moved without us, under the keys of a new link.
fn catch_up(
    tx: &Tx<'_>,
    mut channel: StoredChannel,
    mut old: StoredAccess,
    link: &Link,
    now: UnixMillis,
    entropy: &mut dyn Entropy,
) -> Result<ChannelId, Error> {
    let number = old.number.saturating_add(1);
    old.retired = Some(now);
    tx.update_access(&old)?;
    channel.state = ChannelState::Active;
    tx.update_channel(&channel)?;
    tx.add_access(&first_access(channel.row, link, number))?;
    if link.access.kind().writes() {
        speak_up(tx, &channel, now, entropy)?;
    }
    Ok(link.access.channel_id())
}

fn first_access(channel: ChannelRow, link: &Link, number: u32) -> StoredAccess {
    StoredAccess {
        row: AccessRow::NONE,
        channel,
        number,
        retired: None,
        access: link.access.duplicate(),
        read: link.read.as_ref().map(ReadChain::duplicate),
        sequence: 0,
        previous: Previous::NONE,
        introduced: UnixMillis::default(),
        last_time: UnixMillis::default(),
        removed: Vec::new(),
        admins: Vec::new(),
    }
}

/// Others learn of us at once, and rotation has a key to seal to.
fn speak_up(
    tx: &Tx<'_>,
    channel: &StoredChannel,
    now: UnixMillis,
    entropy: &mut dyn Entropy,
) -> Result<(), Error> {
    tx.put_author(
        channel.row,
        &NewAuthor {
            key: channel.author.public(),
            own: true,
            seen: now,
        },
    )?;
    name_own(tx, channel)?;
    queue(tx, channel.row, &Content::default(), now, entropy)?;
    Ok(())
}

fn name_own(tx: &Tx<'_>, stored: &StoredChannel) -> Result<(), Error> {
    let name = tx.profile_name()?.unwrap_or_default();
    for mut author in tx.authors(stored.row)? {
        if author.own {
            author.name.clone_from(&name);
            author.dh = Some(stored.dh.public());
            tx.update_author(&author)?;
        }
    }
    Ok(())
}

/// The chain from an epoch on, or from the oldest secret that is left.
fn chain_from(read: &ReadChain, from: Epoch) -> Result<ReadChain, Error> {
    match read.at(from) {
        Ok(secret) => Ok(ReadChain::new(from, secret)),
        Err(EpochError::Deleted(_)) => Ok(read.duplicate()),
        Err(error) => Err(error.into()),
    }
}

fn exists(error: Error, name: &str) -> Error {
    match error {
        Error::Store(StoreError::Exists) => Error::ChannelExists(name.to_owned()),
        other => other,
    }
}
