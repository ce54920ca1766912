//! The light client: the public API, and the only room with tasks.
//!
//! A [`Client`] is one profile. Methods that touch only the phone are plain functions that take some milliseconds
//! (keep them off the thread that draws); [`Client::poll`], [`Client::wait_delivered`] and [`Client::live`] speak
//! with super nodes and need a tokio runtime. What happens is told by [`Client::events`].
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

mod conversation;
pub mod engine;
mod error;
mod follow;
mod live;
mod types;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::channel::{AccessKind, ChannelId, Link, MessageId, NodeLink};
use crate::crypto::{NodeKey, PublicKey};
use crate::net::{ClientEndpoint, ClientOptions, Dialer};
use crate::store::{self, StorageKey, StoredNode};
use crate::wire::time::{Clock, UnixMillis};

use engine::{Change, Delivery, Engine};

pub use crate::store::MessageState;
pub use error::Error;
pub use live::Live;
pub use types::{ChannelSummary, Event, Member, Message, Notice, PollReport};

/// The file of a profile inside its folder.
pub const PROFILE_FILE: &str = "ailurus.db";

/// How a client runs.
#[derive(Clone)]
pub struct Options {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::default()),
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

/// A profile: channels, contacts with super nodes, and the messages on this phone. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    engine: Mutex<Engine>,
    clock: Arc<dyn Clock>,
    endpoint: Mutex<Option<ClientEndpoint>>,
    dialers: Mutex<HashMap<NodeKey, Arc<Dialer>>>,
    events: broadcast::Sender<Event>,
    /// Counts up whenever there may be something to send.
    queued: watch::Sender<u64>,
}

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
        Ok(Self::with(
            Engine::open(&folder.join(PROFILE_FILE), key)?,
            options,
        ))
    }

    /// Makes a profile in `folder` from a backup. The backup's phone should not go on sending: both would speak
    /// with one author key, and others would see that.
    pub fn import(
        backup: &Path,
        passphrase: &str,
        folder: &Path,
        key: &StorageKey,
        options: Options,
    ) -> Result<Self, Error> {
        let path = profile(folder)?;
        Ok(Self::with(
            Engine::import(backup, passphrase, &path, key)?,
            options,
        ))
    }

    fn with(engine: Engine, options: Options) -> Self {
        Self(Arc::new(Inner {
            engine: Mutex::new(engine),
            clock: options.clock,
            endpoint: Mutex::new(None),
            dialers: Mutex::new(HashMap::new()),
            events: broadcast::Sender::new(EVENTS),
            queued: watch::Sender::new(0),
        }))
    }

    /// Writes the whole profile into a new file that opens with `passphrase`.
    pub fn export(&self, to: &Path, passphrase: &str) -> Result<(), Error> {
        Ok(self.engine().store().export(to, passphrase)?)
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

    /// Adds a super node, or changes the address of a known one.
    pub fn add_node(&self, link: &NodeLink) -> Result<(), Error> {
        self.engine().add_node(link)
    }

    /// The super nodes of this profile.
    pub fn nodes(&self) -> Result<Vec<NodeLink>, Error> {
        let nodes = self.engine().nodes()?;
        Ok(nodes.into_iter().map(|node| node.link).collect())
    }

    /// Makes a channel, of which this profile is admin.
    pub fn create_channel(&self, name: &str) -> Result<ChannelId, Error> {
        self.queueing(|engine, now| engine.create_channel(name, now))
    }

    /// Joins a channel, under the link's name unless another is given. A profile without nodes takes the link's.
    pub fn join(&self, link: &Link, name: Option<&str>) -> Result<ChannelId, Error> {
        self.queueing(|engine, now| engine.join(link, name, now))
    }

    /// All channels, oldest first.
    pub fn channels(&self) -> Result<Vec<ChannelSummary>, Error> {
        self.engine().channels()
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
        self.engine().rename(channel, name)
    }

    /// Switches notifications of a channel off or on.
    pub fn mute(&self, channel: &ChannelId, muted: bool) -> Result<(), Error> {
        self.engine().mute(channel, muted)
    }

    /// Leaves a channel: keys and messages are wiped now, leases are released at the next contact with each node.
    pub fn leave(&self, channel: &ChannelId) -> Result<(), Error> {
        self.queueing(|engine, _| engine.leave(channel))
    }

    /// Moves a channel to new keys and leaves `without` out. Returns the channel's new id, and the id of the notice
    /// for [`Client::wait_delivered`].
    pub fn rotate(
        &self,
        channel: &ChannelId,
        without: &[PublicKey],
    ) -> Result<(ChannelId, MessageId), Error> {
        self.queueing(|engine, now| engine.rotate(channel, without, now))
    }

    /// Makes another author of a channel admin too.
    pub fn appoint(&self, channel: &ChannelId, author: &PublicKey) -> Result<(), Error> {
        self.queueing(|engine, now| engine.appoint(channel, author, now))
    }

    /// Queues a text, which leaves with the next poll or at once in live mode. Returns the id under which it waits.
    pub fn send(&self, channel: &ChannelId, text: &str) -> Result<MessageId, Error> {
        self.queueing(|engine, now| engine.send(channel, text, now))
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
        self.engine().mark_read(channel)
    }

    /// Deletes a message on this phone only; it does not come back.
    pub fn delete_message(&self, id: &MessageId) -> Result<(), Error> {
        self.engine().delete_message(id)
    }

    /// Changes whenever another process has written to this profile.
    pub fn data_version(&self) -> Result<i64, Error> {
        Ok(self.engine().store().data_version()?)
    }

    /// What happens from now on. Whoever takes events too slowly gets [`Event::Lagged`] and reads the store.
    pub fn events(&self) -> Events {
        Events(self.0.events.subscribe())
    }

    /// One exchange with the super nodes: registers what is due, takes in all that is new, sends what waits.
    /// A node that fails is reported as a notice; see [`PollReport::nodes_reached`].
    ///
    /// # Errors
    /// [`Error::NoNode`], and whatever stops the store.
    pub async fn poll(&self) -> Result<PollReport, Error> {
        let nodes = self.engine().nodes()?;
        if nodes.is_empty() {
            return Err(Error::NoNode);
        }
        let mut report = PollReport::default();
        let mut heard = Vec::new();
        let mut tasks = tokio::task::JoinSet::new();
        // Nodes do not complete each other yet, so each is asked.
        for node in nodes {
            let inner = Arc::clone(&self.0);
            tasks.spawn(async move {
                let key = *node.link.key();
                (key, conversation::poll(&inner, &node).await)
            });
        }
        while let Some(finished) = tasks.join_next().await {
            let (node, outcome) = finished.map_err(|_| Error::ShutDown)?;
            report.bytes_sent += outcome.bytes.0;
            report.bytes_received += outcome.bytes.1;
            collect(&mut report, outcome.changes);
            match outcome.result {
                Ok(()) => {
                    report.nodes_reached += 1;
                    heard.push(node);
                }
                Err(Error::Store(error)) => return Err(Error::Store(error)),
                Err(error) => {
                    let notice = Notice::Unreachable {
                        node,
                        reason: error.to_string(),
                    };
                    self.0.tell(Change::Notice(notice.clone()));
                    report.notices.push(notice);
                }
            }
        }
        collect(&mut report, self.0.expire(&heard).await?);
        report.messages.sort_by_key(|message| message.time);
        Ok(report)
    }

    /// Drives the exchange until a node has the message on disk, and returns its final id; `None` if that takes
    /// longer than `timeout` (it stays queued) or the message expired.
    pub async fn wait_delivered(
        &self,
        id: &MessageId,
        timeout: Duration,
    ) -> Result<Option<MessageId>, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.engine().delivery(id)? {
                Delivery::AtNode(id) => return Ok(Some(id)),
                Delivery::Expired => return Ok(None),
                Delivery::Queued => {}
            }
            match tokio::time::timeout_at(deadline, self.poll()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok(None),
            }
            if matches!(self.engine().delivery(id)?, Delivery::Queued) {
                if Instant::now() + AGAIN >= deadline {
                    return Ok(None);
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Keeps a connection to each super node while the returned guard lives: messages arrive and leave at once.
    pub fn live(&self) -> Live {
        Live::start(&self.0)
    }

    /// Closes all connections, so that the process can end.
    pub async fn shutdown(&self) {
        let endpoint = lock(&self.0.endpoint).take();
        lock(&self.0.dialers).clear();
        if let Some(endpoint) = endpoint {
            endpoint.close(0, "bye");
            endpoint.flush(FLUSH).await;
        }
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        lock(&self.0.engine)
    }

    fn now(&self) -> UnixMillis {
        self.0.clock.now()
    }

    /// Runs something that may leave work for the live connections.
    fn queueing<T>(
        &self,
        work: impl FnOnce(&mut Engine, UnixMillis) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let done = work(&mut self.engine(), self.now())?;
        self.0.wake();
        Ok(done)
    }
}

/// A subscription to [`Client::events`].
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    /// The next event; `None` once the client is gone.
    pub async fn recv(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Event::Lagged),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next event if there is one already.
    pub fn try_recv(&mut self) -> Option<Event> {
        match self.0.try_recv() {
            Ok(event) => Some(event),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Event::Lagged),
            Err(_) => None,
        }
    }
}

impl Inner {
    /// The dialer of a node, kept so that the next connection resumes the last session.
    fn dialer(&self, node: &StoredNode) -> Result<Arc<Dialer>, Error> {
        let mut dialers = lock(&self.dialers);
        if let Some(dialer) = dialers.get(node.link.key()) {
            return Ok(Arc::clone(dialer));
        }
        let mut endpoint = lock(&self.endpoint);
        let endpoint = match &mut *endpoint {
            Some(endpoint) => endpoint,
            vacant => vacant.insert(ClientEndpoint::bind(ClientOptions {
                keep_alive: Some(KEEP_ALIVE),
                idle_timeout: 2 * KEEP_ALIVE,
                ..ClientOptions::default()
            })?),
        };
        let dialer = Arc::new(endpoint.dialer(&node.pseudonym, *node.link.key())?);
        dialers.insert(*node.link.key(), Arc::clone(&dialer));
        Ok(dialer)
    }

    /// Runs store work on a thread that may block.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Engine, UnixMillis) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let now = inner.clock.now();
            work(&mut lock(&inner.engine), now)
        })
        .await
        .map_err(|_| Error::ShutDown)?
    }

    async fn expire(self: &Arc<Self>, heard: &[NodeKey]) -> Result<Vec<Change>, Error> {
        let heard = heard.to_vec();
        let changes = self
            .blocking(move |engine, now| engine.expire(&heard, now))
            .await?;
        for change in &changes {
            self.tell(change.clone());
        }
        Ok(changes)
    }

    /// There may be something to send.
    fn wake(&self) {
        self.queued
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Tells those who watch; nobody has to.
    fn tell(&self, change: Change) {
        let event = match change {
            Change::Received(message) => Event::Message(message),
            Change::State { id, was, state } => Event::State { id, was, state },
            Change::Expired(message) => Event::State {
                id: message.id,
                was: None,
                state: MessageState::Expired,
            },
            Change::Notice(notice) => Event::Notice(notice),
        };
        let _ = self.events.send(event);
    }
}

/// Events that wait for a slow listener; then it is told that it lagged.
const EVENTS: usize = 1_024;
/// Between two tries to deliver.
const AGAIN: Duration = Duration::from_secs(1);
/// Carrier NATs forget a UDP flow after about 30 s; only live mode lasts that long.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// What closing connections may take.
const FLUSH: Duration = Duration::from_millis(500);

fn collect(report: &mut PollReport, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Received(message) => report.messages.push(message),
            Change::Expired(message) => report.expired.push(message),
            Change::Notice(notice) if !report.notices.contains(&notice) => {
                report.notices.push(notice);
            }
            Change::Notice(_) | Change::State { .. } => {}
        }
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
