//! The light client: the public API, and the only room with tasks.
//!
//! A [`Client`] is one profile. Methods that touch only the phone are plain functions that take some milliseconds
//! (keep them off the thread that draws); [`Client::poll`], [`Client::wait_delivered`] and [`Client::live`] speak
//! with super nodes and need a tokio runtime. What happens is told by [`Client::events`]. On a phone,
//! [`Client::set_app_state`], [`Client::set_network`], [`Client::set_power`] and [`Client::suspend`] follow the platform,
//! [`Client::next_wakeup`] says when to call [`Client::sync_once`], [`Client::usage`] what was spent, and a [`KeyVault`]
//! keeps the storage key.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use ailurus::client::{Client, Options, Page};
//! use ailurus::store::StorageKey;
//!
//! let key = StorageKey::from_bytes([7; 32]); // from the platform's key store
//! let node = "an…".parse()?;
//! let client = Client::create("profile".as_ref(), &key, "Alice", &[node], Options::default())?;
//! let channel = client.create_channel("family")?;
//! let message = client.send(&channel, "hello")?;
//! client.poll().await?;
//! for message in client.messages(&channel, Page::Latest, 50)? {
//!     println!("{}: {}", message.author_name, message.text);
//! }
//! # Ok(()) }
//! ```

mod battery;
mod comparison;
mod conversation;
pub mod engine;
mod error;
mod events;
mod follow;
mod inner;
mod lifecycle;
mod lines;
mod live;
mod nodes;
mod poll;
mod probe;
mod push;
mod rescue;
mod round;
mod spending;
mod types;
mod vault;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::channel::{AccessKind, ChannelId, Invitation, Link, MessageId, NodeLink};
use crate::crypto::PublicKey;
use crate::store::{self, StorageKey};
use crate::wire::time::{Clock, UnixMillis};

use engine::Engine;
use inner::Inner;
use lifecycle::Handle;

pub use crate::net::DhtMode;
pub use crate::power::{
    AppState, NetworkKind, NetworkState, Plan, PowerState, Preference, StandbyBucket, Usage,
    UsagePeriod, UsageReport, UsageRow, Wakeup, WakeupReason,
};
pub use crate::store::MessageState;
pub use error::Error;
pub use events::Events;
pub use live::Live;
pub use nodes::{NodeLoad, NodeState, NodeStatus};
pub use push::{PushState, PushStatus, PushTarget, PushTrouble};
pub use types::{ChannelSummary, Event, Member, Message, Notice, PollReport};
pub use vault::{KeyVault, VaultError};

/// The file of a profile inside its folder.
pub const PROFILE_FILE: &str = "ailurus.db";

/// How a client runs.
#[derive(Clone)]
pub struct Options {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// In which DHT super nodes are looked for when all that are known are lost; default [`DhtMode::Off`]. What is not
    /// off needs the cargo feature `dht`.
    pub dht: DhtMode,
    /// How long a [`KeyVault`] may take to answer; default 30 seconds.
    pub vault_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::default()),
            dht: DhtMode::default(),
            vault_timeout: Duration::from_secs(30),
        }
    }
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock {
    offset_ms: i64,
}

impl SystemClock {
    /// A clock that is wrong by this many milliseconds: for tests.
    pub const fn with_offset(offset_ms: i64) -> Self {
        Self { offset_ms }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        UnixMillis::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
            .offset(self.offset_ms)
    }
}

/// Which messages of a channel to read.
#[derive(Clone, Copy, Debug)]
pub enum Page<'a> {
    /// The latest.
    Latest,
    /// Those before this one.
    Before(&'a Message),
    /// Those that arrived after this one, in the order of arrival.
    ArrivedAfter(&'a Message),
    /// All that arrived, in the order of arrival.
    Arrived,
}

/// A profile: channels, contacts with super nodes, and the messages on this phone. Cheap to clone; when the last clone
/// is dropped, all that it runs ends.
#[derive(Clone)]
pub struct Client(Arc<Handle>);

impl Client {
    /// Makes a profile in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// [`store::StoreError::Exists`] if there is a profile; nothing is changed then.
    pub fn create(
        folder: &Path,
        key: &StorageKey,
        name: &str,
        nodes: &[NodeLink],
        options: Options,
    ) -> Result<Self, Error> {
        options.dht.check_built()?;
        let path = profile(folder)?;
        Ok(Self::with(
            Engine::create(&path, key, name, nodes)?,
            options,
        ))
    }

    /// Opens the profile in `folder`.
    ///
    /// # Errors
    /// [`store::StoreError::WrongKey`] and [`store::StoreError::Missing`]; nothing is changed then.
    pub fn open(folder: &Path, key: &StorageKey, options: Options) -> Result<Self, Error> {
        options.dht.check_built()?;
        Ok(Self::with(
            Engine::open(&folder.join(PROFILE_FILE), key)?,
            options,
        ))
    }

    /// Makes a profile in `folder` from a backup. The backup's phone should not go on sending: both would speak
    /// with one author key, and others would see that.
    pub fn import_backup(
        backup: &Path,
        passphrase: &str,
        folder: &Path,
        key: &StorageKey,
        options: Options,
    ) -> Result<Self, Error> {
        options.dht.check_built()?;
        let path = profile(folder)?;
        Ok(Self::with(
            Engine::import(backup, passphrase, &path, key)?,
            options,
        ))
    }

    fn with(engine: Engine, options: Options) -> Self {
        Self(Arc::new(Handle::new(Inner::new(
            engine,
            options.clock,
            options.dht,
        ))))
    }

    /// Writes the whole profile into a new file that opens with `passphrase`.
    pub fn export_backup(&self, to: &Path, passphrase: &str) -> Result<(), Error> {
        // The passphrase is made slow to guess, and meanwhile others may use the engine.
        let snapshot = self.engine().store().snapshot(to)?;
        Ok(snapshot.write(passphrase)?)
    }

    /// Puts the profile under another storage key.
    pub fn change_storage_key(&self, key: &StorageKey) -> Result<(), Error> {
        Ok(self.engine().store().change_key(key)?)
    }

    /// The name under which this profile introduces itself.
    pub fn name(&self) -> Result<String, Error> {
        let name = self
            .engine()
            .store()
            .read(|tx| tx.profile_name())
            .map_err(Error::Store)?;
        Ok(name.unwrap_or_default())
    }

    /// Takes in an operator's invitation: adds its super node, which counts us as introduced from the next poll on.
    ///
    /// # Errors
    /// [`Error::Introduction`] if it does not verify or its time is over.
    pub fn add_invitation(&self, invitation: &Invitation) -> Result<(), Error> {
        self.queueing(|engine, now| engine.add_invitation(invitation, now))?;
        self.inner().nodes_changed();
        Ok(())
    }

    /// From now on introduces members of a channel, who ask for it by themselves, to the super nodes to which we were
    /// introduced.
    ///
    /// # Errors
    /// [`Error::NoIntroduction`] if there is no such node; [`Error::NotAllowed`] without full access.
    pub fn introduce(&self, channel: &ChannelId) -> Result<(), Error> {
        self.queueing(|engine, now| engine.introduce(channel, now))
    }

    /// Makes a channel, of which this profile is admin.
    pub fn create_channel(&self, name: &str) -> Result<ChannelId, Error> {
        let made = self.queueing(|engine, now| engine.create_channel(name, now))?;
        self.changed(made);
        Ok(made)
    }

    /// Joins a channel, under the link's name unless another is given. The link's nodes are used beside the profile's own.
    pub fn join(&self, link: &Link, name: Option<&str>) -> Result<ChannelId, Error> {
        let joined = self.queueing(|engine, now| engine.join(link, name, now))?;
        self.inner().nodes_changed();
        self.changed(joined);
        Ok(joined)
    }

    /// All channels, oldest first.
    pub fn channels(&self) -> Result<Vec<ChannelSummary>, Error> {
        self.engine().channels()
    }

    /// One channel, by its id, present or former.
    pub fn channel(&self, id: &ChannelId) -> Result<ChannelSummary, Error> {
        self.engine().channel(id)
    }

    /// The channel with this name, or whose id, present or former, begins like this.
    pub fn find_channel(&self, name_or_prefix: &str) -> Result<ChannelId, Error> {
        self.engine().find_channel(name_or_prefix)
    }

    /// A link that shares a channel; without `history` it opens nothing of earlier weeks.
    pub fn link(
        &self,
        channel: &ChannelId,
        kind: AccessKind,
        history: bool,
    ) -> Result<Zeroizing<String>, Error> {
        self.engine().link(channel, kind, history, self.now())
    }

    /// Who writes in a channel.
    pub fn members(&self, channel: &ChannelId) -> Result<Vec<Member>, Error> {
        self.engine().members(channel)
    }

    /// Renames a channel, here only.
    pub fn rename(&self, channel: &ChannelId, name: &str) -> Result<(), Error> {
        self.engine().rename(channel, name)?;
        self.changed(*channel);
        Ok(())
    }

    /// Switches notifications of a channel off or on.
    pub fn mute(&self, channel: &ChannelId, muted: bool) -> Result<(), Error> {
        self.engine().mute(channel, muted)?;
        self.changed(*channel);
        Ok(())
    }

    /// Leaves a channel: keys and messages are wiped now, leases are released at the next contact with each node.
    pub fn leave(&self, channel: &ChannelId) -> Result<(), Error> {
        self.queueing(|engine, _| engine.leave(channel))?;
        self.changed(*channel);
        Ok(())
    }

    /// Moves a channel to new keys and leaves `without` out. Returns the channel's new id, and the id of the notice
    /// for [`Client::wait_delivered`].
    pub fn rotate(
        &self,
        channel: &ChannelId,
        without: &[PublicKey],
    ) -> Result<(ChannelId, MessageId), Error> {
        let made = self.queueing(|engine, now| engine.rotate(channel, without, now))?;
        self.changed(made.0);
        Ok(made)
    }

    /// Makes another author of a channel admin too.
    pub fn appoint(&self, channel: &ChannelId, author: &PublicKey) -> Result<(), Error> {
        self.queueing(|engine, now| engine.appoint(channel, author, now))?;
        self.changed(*channel);
        Ok(())
    }

    /// Queues a text, which leaves with the next poll or at once in live mode. Returns the id under which it waits.
    pub fn send(&self, channel: &ChannelId, text: &str) -> Result<MessageId, Error> {
        let queued = self.queueing(|engine, now| engine.send(channel, text, now))?;
        self.changed(*channel);
        Ok(queued)
    }

    /// A page of a channel's messages, oldest first, at most `limit`.
    pub fn messages(
        &self,
        channel: &ChannelId,
        page: Page<'_>,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        let page = match page {
            Page::Latest => store::Page::Latest,
            Page::Before(message) => store::Page::Before(message.time, message.row),
            Page::ArrivedAfter(message) => store::Page::ArrivedAfter(message.row),
            Page::Arrived => store::Page::ArrivedAfter(0),
        };
        self.engine().messages(channel, page, limit)
    }

    /// One message, by its id or the one it was queued under.
    pub fn message(&self, id: &MessageId) -> Result<Message, Error> {
        self.engine().message(id)
    }

    /// The message whose id begins like this.
    pub fn find_message(&self, prefix: &str) -> Result<MessageId, Error> {
        self.engine().find_message(prefix)
    }

    /// Marks everything in a channel as read.
    pub fn mark_read(&self, channel: &ChannelId) -> Result<(), Error> {
        if self.engine().mark_read(channel)? {
            self.changed(*channel);
        }
        Ok(())
    }

    /// Marks what arrived in a channel up to and including a message as read. What was read stays read.
    pub fn mark_read_up_to(&self, message: &MessageId) -> Result<(), Error> {
        let mut engine = self.engine();
        if engine.mark_read_up_to(message)? {
            let channel = engine.message(message)?.channel;
            drop(engine);
            self.changed(channel);
        }
        Ok(())
    }

    /// Deletes a message on this phone only; it does not come back.
    pub fn delete_message(&self, id: &MessageId) -> Result<(), Error> {
        let mut engine = self.engine();
        let channel = engine.message(id)?.channel;
        engine.delete_message(id)?;
        drop(engine);
        self.changed(channel);
        Ok(())
    }

    /// Changes whenever another process has written to this profile.
    pub fn data_version(&self) -> Result<i64, Error> {
        Ok(self.engine().store().data_version()?)
    }

    /// What happens from now on. Whoever takes events too slowly gets [`Event::Lagged`] and reads the store.
    pub fn events(&self) -> Events {
        Events(self.inner().watch())
    }

    /// Keeps connections to the two best super nodes while the returned guard lives: messages arrive and leave at once,
    /// also when one of the two fails. Must be called within a tokio runtime.
    pub fn live(&self) -> Live {
        Live::start(self.inner())
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.0.inner
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        lock(&self.inner().engine)
    }

    fn now(&self) -> UnixMillis {
        self.inner().clock.now()
    }

    /// Tells of a change that was made here.
    fn changed(&self, channel: ChannelId) {
        self.inner().emit(Event::Changed { channel });
    }

    /// Runs something that may leave work for the live connections.
    fn queueing<T>(
        &self,
        work: impl FnOnce(&mut Engine, UnixMillis) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let done = work(&mut self.engine(), self.now())?;
        self.inner().replan();
        self.inner().wake();
        Ok(done)
    }
}

fn profile(folder: &Path) -> Result<PathBuf, Error> {
    std::fs::create_dir_all(folder).map_err(store::StoreError::Io)?;
    Ok(folder.join(PROFILE_FILE))
}

/// A panic elsewhere left no half-done work here: the store's transactions undo themselves.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
