//! Live mode: one task a super node keeps a connection, takes in what is pushed and sends what is queued.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::channel::NodeLink;
use crate::crypto::{Entropy as _, NodeKey, OsEntropy};
use crate::store::StoredNode;
use crate::sync::retry::Retry;

use super::conversation::{Conversation, connect};
use super::engine::Change;
use super::follow::Chunk;
use super::inner::Inner;
use super::lifecycle::Phase;
use super::types::{Event, Notice};
use super::{Error, lock};

/// Keeps live connections; they end when it is dropped, and when the client is shut down or nobody holds it any more.
/// While the client is suspended they rest.
pub struct Live {
    // Aborts its tasks on drop.
    _tasks: JoinSet<()>,
}

impl Live {
    pub(super) fn start(inner: &Arc<Inner>) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(supervise(Arc::clone(inner)));
        Self { _tasks: tasks }
    }
}

/// Has connections while the client runs.
async fn supervise(inner: Arc<Inner>) {
    let mut phase = inner.phase.subscribe();
    loop {
        let now = *phase.borrow_and_update();
        match now {
            Phase::Closed => return,
            Phase::Suspended => {
                let _ = phase.changed().await;
            }
            Phase::Running => {
                tokio::select! {
                    biased;
                    _ = phase.changed() => {}
                    never = connections(&inner) => match never {},
                }
            }
        }
    }
}

/// One connection a node, also for nodes that are added meanwhile, or get another address.
async fn connections(inner: &Arc<Inner>) -> Infallible {
    let mut roster = inner.roster.subscribe();
    let mut kept: HashMap<NodeKey, (NodeLink, AbortHandle)> = HashMap::new();
    let mut connections = JoinSet::new();
    loop {
        roster.mark_unchanged();
        match inner.blocking(|engine, _| engine.nodes()).await {
            Ok(nodes) => {
                for node in nodes {
                    let key = *node.link.key();
                    let stands = |(link, task): &(NodeLink, AbortHandle)| {
                        *link == node.link && !task.is_finished()
                    };
                    if kept.get(&key).is_some_and(stands) {
                        continue;
                    }
                    let (link, inner) = (node.link.clone(), Arc::clone(inner));
                    let task = connections.spawn(async move { keep(&inner, &node).await });
                    if let Some((_, former)) = kept.insert(key, (link, task)) {
                        former.abort();
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "live mode cannot read the profile");
                sleep(READ_AGAIN).await;
                continue;
            }
        }
        tokio::select! {
            // It cannot be closed: it lives as long as its receiver's owner.
            _ = roster.changed() => {}
            Some(Err(error)) = connections.join_next() => {
                if error.is_panic() {
                    tracing::error!("a live connection ended by a fault and is made anew");
                    sleep(READ_AGAIN).await;
                }
            }
        }
    }
}

/// Connects again and again, later each time it fails, and at once on a new network.
async fn keep(inner: &Arc<Inner>, node: &StoredNode) -> Infallible {
    let mut networks = inner.networks.subscribe();
    let mut retry = Retry::default();
    // Nobody needs to hear of each try.
    let mut told = false;
    loop {
        networks.mark_unchanged();
        let mut standing = Standing {
            inner,
            node: *node.link.key(),
            caught_up: false,
        };
        let error = tokio::select! {
            Err(error) = stay(&mut standing, node) => error,
            _ = networks.changed() => {
                retry.succeeded();
                continue;
            }
        };
        if standing.caught_up {
            retry.succeeded();
            told = false;
        }
        drop(standing);
        if inner.phase.borrow().stopped().is_some() {
            // The end was meant, and the supervisor is about to end this too.
            return std::future::pending().await;
        }
        tracing::debug!(%error, "live connection ended");
        if !told {
            told = true;
            let reason = error.to_string();
            inner.tell(Change::Notice(match error {
                Error::Store(_) => Notice::Storage { reason },
                _ => Notice::Unreachable {
                    node: *node.link.key(),
                    reason,
                },
            }));
        }
        tokio::select! {
            () = sleep(retry.failed(random())) => {}
            _ = networks.changed() => retry.succeeded(),
        }
    }
}

fn random() -> u64 {
    let mut random = [0; 8];
    OsEntropy.fill(&mut random);
    u64::from_le_bytes(random)
}

/// A live connection, told of once it has caught up, and again when it is gone, however it ends.
struct Standing<'a> {
    inner: &'a Arc<Inner>,
    node: NodeKey,
    caught_up: bool,
}

impl Standing<'_> {
    fn catch_up(&mut self) {
        if self.caught_up {
            return;
        }
        self.caught_up = true;
        lock(&self.inner.power).connected(self.inner.clock.now());
        self.tell(true);
    }

    fn tell(&self, connected: bool) {
        self.inner.emit(Event::Connected {
            node: self.node,
            connected,
        });
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        if self.caught_up {
            lock(&self.inner.power).disconnected(self.inner.clock.now());
            self.tell(false);
        }
    }
}

/// Stays connected until something fails.
async fn stay(standing: &mut Standing<'_>, node: &StoredNode) -> Result<Infallible, Error> {
    let inner = standing.inner;
    let key = standing.node;
    let connection = connect(inner, node).await?;
    let mut talk = Conversation::new(inner, key, connection);
    // From here on, so that nothing queued meanwhile waits for the next tick.
    let mut queued = inner.queued.subscribe();
    // Leases, a first sync and the outbox, as in a poll; then the stream that stays.
    talk.run().await?;
    inner.expire(&[key]).await?;
    talk.take_changes();
    let connection = talk.connection.clone();
    let mut follow = talk.follow(true).await?;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;

    let reading = async {
        loop {
            match follow.next(&connection).await {
                Ok(Some(Chunk::CaughtUp)) => standing.catch_up(),
                Ok(Some(Chunk::Hello { .. })) => {}
                Ok(None) => break Error::from(connection.closed().await),
                Err(error) => break error,
            }
        }
    };
    let working = async {
        // What the node refused for now is offered again, later each time.
        let mut refused = Retry::default();
        let mut again = None;
        loop {
            match talk.catch_up_on_work().await {
                Ok(true) if again.is_none() => {
                    again = Some(Instant::now() + refused.failed(random()));
                }
                Ok(true) => {}
                Ok(false) => {
                    refused.succeeded();
                    again = None;
                }
                Err(error) => break error,
            }
            talk.take_changes();
            tokio::select! {
                _ = queued.changed() => {}
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => again = None,
                _ = tick.tick() => {
                    if let Err(error) = inner.expire(&[key]).await {
                        break error;
                    }
                }
            }
        }
    };
    let error = tokio::select! {
        error = reading => error,
        error = working => error,
    };
    connection.close(0, "done");
    // What stopped the intake matters more than that it stopped.
    follow.finish().await?;
    Err(error)
}

/// When the profile is tried again that could not be read.
const READ_AGAIN: Duration = Duration::from_secs(5);
/// How often a live connection looks for leases that have come due.
const TICK: Duration = Duration::from_secs(600);
