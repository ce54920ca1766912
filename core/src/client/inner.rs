//! What the client's tasks share: the engine, the sockets, and who is told of what happens.

use std::collections::HashMap;
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{broadcast, oneshot, watch};
use tokio::task::JoinError;

use crate::crypto::NodeKey;
use crate::net::{ClientEndpoint, ClientOptions, DhtMode, Dialer, Meter};
use crate::power::{KEEP_ALIVE, Memory, Needs, Plan, Power, Wakeup, WakeupReason};
use crate::store::{MessageState, StoredNode};
use crate::wire::time::{Clock, UnixMillis};

use super::engine::{Change, Engine};
use super::lifecycle::Phase;
use super::spending::Spending;
use super::{Error, Event, lock};

/// Tasks hold this; apps hold a [`super::Client`], and when they hold none any more the tasks end.
pub(super) struct Inner {
    pub(super) engine: Mutex<Engine>,
    pub(super) clock: Arc<dyn Clock>,
    /// Where lost nodes are looked for.
    pub(super) dht: DhtMode,
    /// Locked after the engine where both are.
    pub(super) power: Mutex<Power>,
    /// What the plan was told of the engine may be out of date.
    outdated: AtomicBool,
    pub(super) spending: Arc<Spending>,
    pub(super) phase: watch::Sender<Phase>,
    network: Mutex<Network>,
    /// Counts the changes of network.
    pub(super) networks: watch::Sender<u64>,
    /// Counts the changes of nodes.
    pub(super) roster: watch::Sender<u64>,
    /// `None` after the shutdown.
    events: Mutex<Option<broadcast::Sender<Event>>>,
    /// Counts up whenever there may be something to send.
    pub(super) queued: watch::Sender<u64>,
    /// Counts the times at which live connections look for what has come due.
    pub(super) ticks: watch::Sender<u64>,
    /// Counts the changes of the plan.
    pub(super) plans: watch::Sender<u64>,
}

/// What an exchange with a node does besides asking for what is new and sending what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// Large bodies are fetched at once; else they are noted, and wait.
    pub(super) large: bool,
    /// Those that wait are fetched.
    pub(super) resync: bool,
}

/// The socket and, by node, what the next connection resumes with.
#[derive(Default)]
struct Network {
    endpoint: Option<ClientEndpoint>,
    dialers: HashMap<NodeKey, Arc<Dialer>>,
    /// The phone has changed networks since the socket was opened.
    stale: bool,
}

impl Inner {
    pub(super) fn new(mut engine: Engine, clock: Arc<dyn Clock>, dht: DhtMode) -> Self {
        let memory = engine.power_memory().unwrap_or_else(|error| {
            tracing::warn!(%error, "what was learned of messages is lost");
            Memory::default()
        });
        let now = clock.now();
        Self {
            engine: Mutex::new(engine),
            power: Mutex::new(Power::with_memory(memory, now)),
            outdated: AtomicBool::new(true),
            spending: Spending::new(now),
            clock,
            dht,
            phase: watch::Sender::new(Phase::Running),
            network: Mutex::default(),
            networks: watch::Sender::new(0),
            roster: watch::Sender::new(0),
            events: Mutex::new(Some(broadcast::Sender::new(EVENTS))),
            queued: watch::Sender::new(0),
            ticks: watch::Sender::new(0),
            plans: watch::Sender::new(0),
        }
    }

    /// The dialer of a node, kept so that the next connection resumes the last session.
    pub(super) fn dialer(&self, node: &StoredNode) -> Result<Arc<Dialer>, Error> {
        let mut network = lock(&self.network);
        // Whoever stops the client sets the phase before it closes the socket.
        if let Some(error) = self.phase.borrow().stopped() {
            return Err(error);
        }
        if let Some(endpoint) = &network.endpoint
            && network.stale
        {
            endpoint.rebind()?;
        }
        network.stale = false;
        if let Some(dialer) = network.dialers.get(node.link.key()) {
            return Ok(Arc::clone(dialer));
        }
        let endpoint = match &mut network.endpoint {
            Some(endpoint) => endpoint,
            vacant => {
                let meter: Arc<dyn Meter> = self.spending.clone();
                vacant.insert(ClientEndpoint::bind(ClientOptions {
                    keep_alive: Some(KEEP_ALIVE),
                    idle_timeout: 2 * KEEP_ALIVE,
                    meter: Some(meter),
                    ..ClientOptions::default()
                })?)
            }
        };
        let dialer = Arc::new(endpoint.dialer(&node.pseudonym, *node.link.key())?);
        network
            .dialers
            .insert(*node.link.key(), Arc::clone(&dialer));
        Ok(dialer)
    }

    /// Connections move to a new socket: by whoever has some, within the runtime.
    pub(super) fn network_changed(&self) {
        lock(&self.network).stale = true;
        count(&self.networks);
    }

    /// Moves all connections to a new socket if the phone has changed networks since the last time (RFC 9000 section 9).
    pub(super) fn migrate(&self) -> Result<(), Error> {
        let mut network = lock(&self.network);
        if network.stale
            && let Some(endpoint) = &network.endpoint
        {
            endpoint.rebind()?;
        }
        network.stale = false;
        Ok(())
    }

    /// Forgets how to resume a connection to a node that was removed: it would be the same pseudonym.
    pub(super) fn forget_dialer(&self, node: &NodeKey) {
        lock(&self.network).dialers.remove(node);
    }

    /// Closes all connections; what is returned tells when the nodes have heard of it.
    pub(super) fn hang_up(&self) -> Option<ClientEndpoint> {
        let Network { endpoint, .. } = std::mem::take(&mut *lock(&self.network));
        if let Some(endpoint) = &endpoint {
            endpoint.close(0, "bye");
        }
        endpoint
    }

    /// Runs store work on a thread that may block; a panic in it goes on here.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Engine, UnixMillis) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(self);
        let (answer, answered) = oneshot::channel();
        // Boxed, or each kind of work would bring its own copy of tokio's task into the library.
        let task: Box<dyn FnOnce() + Send> = Box::new(move || {
            let now = inner.clock.now();
            inner.spending.tell_time(now);
            // Nobody may be waiting any more.
            let _ = answer.send(work(&mut lock(&inner.engine), now));
        });
        let running = tokio::task::spawn_blocking(task);
        match answered.await {
            Ok(done) => done,
            Err(_) => Err(running.await.map_or_else(ended, |()| Error::ShutDown)),
        }
    }

    /// Does what is due after these nodes were heard.
    pub(super) async fn expire(self: &Arc<Self>, heard: &[NodeKey]) -> Result<Vec<Change>, Error> {
        let heard = heard.to_vec();
        let inner = Arc::clone(self);
        // Told on the same thread: whoever waits here may give up.
        self.blocking(move |engine, now| {
            let changes = engine.expire(&heard, now)?;
            for change in &changes {
                inner.tell(change.clone());
            }
            Ok(changes)
        })
        .await
    }

    /// Runs `work` to its end, unless the client is suspended or shut down before.
    pub(super) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut phase = self.phase.subscribe();
        if let Some(error) = phase.borrow_and_update().stopped() {
            return Err(error);
        }
        tokio::select! {
            biased;
            _ = phase.changed() => Err(phase.borrow().interrupted()),
            done = work => done,
        }
    }

    /// The plan, seen from now.
    pub(super) fn plan(&self, engine: &mut Engine, now: UnixMillis) -> Plan {
        self.take_in_dues(engine, now);
        lock(&self.power).plan(now)
    }

    /// When live connections have something to do besides.
    pub(super) fn next_errand(&self, engine: &mut Engine, now: UnixMillis) -> Option<Wakeup> {
        // Live connections do much that nobody tells the plan of.
        self.outdated.store(true, Ordering::Relaxed);
        self.take_in_dues(engine, now);
        lock(&self.power).errand(now)
    }

    /// An exchange begins: notes it for the plan, and says what it carries, and whether it may end with hearing that nothing
    /// is new.
    pub(super) fn begin(
        &self,
        engine: &mut Engine,
        reason: WakeupReason,
        now: UnixMillis,
    ) -> (Scope, bool) {
        self.take_in_dues(engine, now);
        let mut power = lock(&self.power);
        let carries = power.carries(now);
        power.attempted(now);
        // Whom a person waits for waits for nothing.
        let urgent = matches!(reason, WakeupReason::User | WakeupReason::Foreground);
        let scope = Scope {
            large: urgent || power.meets(Needs::Unmetered),
            resync: urgent || carries.contains(&WakeupReason::Resync),
        };
        let may_be_empty = reason == WakeupReason::Sync && carries == [WakeupReason::Sync];
        (scope, may_be_empty)
    }

    /// An exchange has ended: notes for the plan whether a node was reached, and keeps what was spent.
    pub(super) async fn ended(self: &Arc<Self>, reached: bool) {
        let now = self.spending.now();
        if reached {
            lock(&self.power).synced(now);
        }
        self.replan();
        let inner = Arc::clone(self);
        // What it brought is told whatever happens here.
        let keeping = tokio::task::spawn_blocking(move || {
            inner.keep_or_say(&mut lock(&inner.engine), now);
        });
        if keeping.await.is_err() {
            tracing::error!("what was spent was not kept, by a fault");
        }
    }

    /// Tells the plan what has a time and whether a push wakes this phone, if that may have changed. A store that does not
    /// answer changes nothing.
    fn take_in_dues(&self, engine: &mut Engine, now: UnixMillis) {
        if !self.outdated.swap(false, Ordering::Relaxed) {
            return;
        }
        let read = |engine: &mut Engine| {
            Ok::<_, Error>((
                engine.dues(self.dht.is_on(), now)?,
                engine.push_available()?,
            ))
        };
        match read(engine) {
            Ok((dues, push)) => {
                let mut power = lock(&self.power);
                power.set_push(push);
                for (reason, due) in dues {
                    power.set_due(reason, due, now);
                }
            }
            Err(error) => {
                self.outdated.store(true, Ordering::Relaxed);
                tracing::debug!(%error, "what is due cannot be read");
            }
        }
    }

    /// Something may be due at another time than before.
    pub(super) fn replan(&self) {
        self.outdated.store(true, Ordering::Relaxed);
        count(&self.plans);
    }

    /// Keeps what was spent and learned.
    pub(super) fn keep(&self, engine: &mut Engine, now: UnixMillis) -> Result<(), Error> {
        let rows = self.spending.take();
        let memory = lock(&self.power).memory();
        let kept = engine.keep_usage(&rows, &memory, now);
        if kept.is_err() {
            self.spending.put_back(rows);
        }
        kept
    }

    /// The same, where nobody waits for it.
    pub(super) fn keep_or_say(&self, engine: &mut Engine, now: UnixMillis) {
        if let Err(error) = self.keep(engine, now) {
            tracing::debug!(%error, "what was spent cannot be kept as yet");
        }
    }

    pub(super) fn is_online(&self) -> bool {
        lock(&self.power).is_online()
    }

    /// Live connections look for what has come due.
    pub(super) fn tick(&self) {
        count(&self.ticks);
    }

    /// There may be something to send.
    pub(super) fn wake(&self) {
        count(&self.queued);
    }

    /// There may be a node more or less, or another one polled.
    pub(super) fn nodes_changed(&self) {
        count(&self.roster);
    }

    /// Tells those who watch; nobody has to.
    pub(super) fn tell(&self, change: Change) {
        if let Change::Received(message) = &change
            && !message.own
        {
            lock(&self.power).received(message.time, self.spending.now());
        }
        self.emit(match change {
            Change::Received(message) => Event::Received(message),
            Change::State {
                channel,
                id,
                was,
                state,
            } => Event::State {
                channel,
                id,
                was,
                state,
            },
            Change::Expired { message, was } => Event::State {
                channel: message.channel,
                id: message.id,
                was,
                state: MessageState::Expired,
            },
            Change::Admins { channel } => Event::Changed { channel },
            Change::Notice(notice) => Event::Noticed(notice),
        });
    }

    pub(super) fn emit(&self, event: Event) {
        if let Some(events) = &*lock(&self.events) {
            let _ = events.send(event);
        }
    }

    /// A receiver of what is told from now on; after the shutdown, of nothing.
    pub(super) fn watch(&self) -> broadcast::Receiver<Event> {
        match &*lock(&self.events) {
            Some(events) => events.subscribe(),
            None => broadcast::Sender::new(1).subscribe(),
        }
    }

    /// Ends all streams of events after what is queued in them.
    pub(super) fn end_events(&self) {
        lock(&self.events).take();
    }
}

/// Events that wait for a slow listener; then it is told that it lagged.
const EVENTS: usize = 1_024;

/// Why a task gave nothing: if it panicked, that goes on here; otherwise the runtime ended.
pub(super) fn ended(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Error::ShutDown,
    }
}

fn count(counter: &watch::Sender<u64>) {
    counter.send_modify(|count| *count = count.wrapping_add(1));
}
