//! The light client without network or clock: store and protocol logic joined, given inputs and the time.
//!
//! [`crate::client::Client`] drives an engine over QUIC. Whoever brings another transport, or simulates, drives it
//! alike: ask [`Engine::work`] what there is to do, send what [`Engine::register`], [`Engine::sync`],
//! [`Engine::announce`] and [`Engine::publish`] give, and hand the answers back.

mod announcing;
mod audits;
mod channels;
mod dues;
mod expiry;
mod ingest;
mod introductions;
mod leases;
mod lost;
mod node_lists;
mod node_records;
mod nodes;
mod outgoing;
mod probing;
mod push;
mod rotation;
mod usage;
mod view;
mod waiting;

use std::collections::HashMap;
use std::path::Path;

use crate::channel::{Address, AddressKeys, ChannelId, Epoch, MessageId, NodeLink};
use crate::crypto::{Entropy, NodeKey, OsEntropy};
use crate::discovery;
use crate::store::{self, MessageState, StorageKey, Store, StoredAccess, StoredNode, Tx};
use crate::wire::{
    limits::{LIFETIME, MAX_NAME},
    time::UnixMillis,
};

use super::{Error, Message, Notice};

pub use announcing::Announcing;
pub use ingest::Ingested;
pub use leases::Registration;
pub use node_lists::{Candidate, Origin};
pub use nodes::{Comparison, Errands, Observation, Plan};
pub use outgoing::Publication;
pub use probing::Asking;
pub use push::Telling;
pub use view::Delivery;
pub use waiting::Waiting;

/// A profile and what it does over time.
pub struct Engine {
    store: Store,
    entropy: Box<dyn Entropy>,
    addresses: AddressCache,
}

/// A change that an app should hear of.
#[derive(Clone, Debug)]
pub enum Change {
    /// A message arrived.
    Received(Message),
    /// An own message moved on.
    State {
        /// The channel.
        channel: ChannelId,
        /// Its id now.
        id: MessageId,
        /// Its id before it was sealed.
        was: Option<MessageId>,
        /// Where it stands.
        state: MessageState,
    },
    /// An own message expired.
    Expired {
        /// The message.
        message: Message,
        /// Its id before it was sealed.
        was: Option<MessageId>,
    },
    /// Who is admin of a channel.
    Admins {
        /// The channel.
        channel: ChannelId,
    },
    /// Something to tell a person.
    Notice(Notice),
}

impl Engine {
    /// Makes a profile in a new file.
    pub fn create(
        path: &Path,
        key: &StorageKey,
        name: &str,
        nodes: &[NodeLink],
    ) -> Result<Self, Error> {
        check_name(name)?;
        store::make_whole(path, |partial| Self::create_at(partial, key, name, nodes))?;
        Self::open(path, key)
    }

    fn create_at(
        path: &Path,
        key: &StorageKey,
        name: &str,
        nodes: &[NodeLink],
    ) -> Result<(), Error> {
        let mut engine = Self::with(Store::create(path, key)?);
        let entropy = &mut *engine.entropy;
        engine.store.write(|tx| {
            tx.set_profile_name(name)?;
            for link in nodes {
                nodes::offer(tx, link, discovery::Origin::User, entropy)?;
            }
            Ok::<_, Error>(())
        })?;
        Ok(engine.store.scrub()?)
    }

    /// Opens a profile.
    pub fn open(path: &Path, key: &StorageKey) -> Result<Self, Error> {
        Ok(Self::with(Store::open(path, key)?))
    }

    /// Makes a profile from a backup.
    pub fn import(
        backup: &Path,
        passphrase: &str,
        path: &Path,
        key: &StorageKey,
    ) -> Result<Self, Error> {
        let mut store = Store::import(backup, passphrase, path, key)?;
        // Pushes reach the phone that the backup is from: this one sets its own.
        store.write(|tx| tx.forget_pushes())?;
        Ok(Self::with(store))
    }

    fn with(store: Store) -> Self {
        Self {
            store,
            entropy: Box::new(OsEntropy),
            addresses: AddressCache::default(),
        }
    }

    /// Draws all keys and nonces from here from now on: for simulations, which repeat from a seed.
    pub fn set_entropy(&mut self, entropy: Box<dyn Entropy>) {
        self.entropy = entropy;
    }

    /// The database, for what needs no logic.
    pub fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    /// The super nodes that this profile knows.
    pub fn nodes(&mut self) -> Result<Vec<StoredNode>, Error> {
        self.store.read(|tx| Ok(tx.nodes()?))
    }
}

/// Addresses of channels by epoch: deriving one costs two scalar multiplications, and every poll needs them all.
#[derive(Default)]
struct AddressCache {
    by_channel: HashMap<(ChannelId, Epoch), AddressKeys>,
}

impl AddressCache {
    fn keys(&mut self, access: &StoredAccess, epoch: Epoch) -> Result<&AddressKeys, Error> {
        // Epochs pass and channels come and go; what is still needed is derived again.
        if self.by_channel.len() > MAX_CACHED {
            self.by_channel.clear();
        }
        match self.by_channel.entry((access.access.channel_id(), epoch)) {
            std::collections::hash_map::Entry::Occupied(found) => Ok(found.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => {
                Ok(place.insert(access.access.address_keys(epoch)?))
            }
        }
    }

    fn address(&mut self, access: &StoredAccess, epoch: Epoch) -> Result<Address, Error> {
        self.keys(access, epoch).map(|keys| keys.address)
    }
}

const MAX_CACHED: usize = 8_192;

/// The time by the node's clock that was heard last, so that a wrong own clock does no harm.
fn adjusted(tx: &Tx<'_>, now: UnixMillis) -> Result<UnixMillis, Error> {
    let latest = tx
        .nodes()?
        .into_iter()
        .filter_map(|node| node.clock)
        // What was seen "later than now" is from before the own clock was set back.
        .filter(|(_, seen)| *seen <= now)
        .max_by_key(|(_, seen)| *seen);
    Ok(latest.map_or(now, |(offset, _)| now.offset(offset)))
}

/// Keys that rotation retired still receive what was on its way.
fn receives(access: &StoredAccess, now: UnixMillis) -> bool {
    access.access.kind().reads()
        && access
            .retired
            .is_none_or(|retired| now.since(retired) <= LIFETIME)
}

/// The time by one node's own clock, which is what it judges by.
fn time_at(node: &StoredNode, now: UnixMillis) -> UnixMillis {
    node.clock.map_or(now, |(offset, _)| now.offset(offset))
}

fn node_by_key(tx: &Tx<'_>, node: &NodeKey) -> Result<StoredNode, Error> {
    tx.nodes()?
        .into_iter()
        .find(|stored| stored.link.key() == node)
        .ok_or(Error::NoNode)
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.trim().is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(Error::Name);
    }
    Ok(())
}
