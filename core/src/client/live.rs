//! Live mode: one task a super node keeps a connection, takes in what is pushed and sends what is queued.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::crypto::{Entropy as _, OsEntropy};
use crate::store::StoredNode;
use crate::sync::retry::Retry;

use super::conversation::{Conversation, connect};
use super::engine::Change;
use super::follow::Chunk;
use super::types::{Event, Notice};
use super::{Error, Inner, lock};

/// Keeps live connections; they end when it is dropped.
pub struct Live {
    // Aborts its tasks on drop.
    _tasks: JoinSet<()>,
}

impl Live {
    pub(super) fn start(inner: &Arc<Inner>) -> Self {
        let mut tasks = JoinSet::new();
        let inner = Arc::clone(inner);
        tasks.spawn(async move {
            let nodes = match lock(&inner.engine).nodes() {
                Ok(nodes) => nodes,
                Err(error) => {
                    tracing::error!(%error, "live mode cannot read the profile");
                    return;
                }
            };
            let mut connections = JoinSet::new();
            for node in nodes {
                let inner = Arc::clone(&inner);
                connections.spawn(async move { keep(&inner, &node).await });
            }
            while connections.join_next().await.is_some() {}
        });
        Self { _tasks: tasks }
    }
}

/// Connects again and again, later each time it fails.
async fn keep(inner: &Arc<Inner>, node: &StoredNode) {
    let key = *node.link.key();
    let mut retry = Retry::default();
    loop {
        let mut caught_up = false;
        let Err(error) = stay(inner, node, &mut caught_up).await;
        if caught_up {
            retry.succeeded();
            let _ = inner.events.send(Event::Connected {
                node: key,
                connected: false,
            });
        }
        tracing::debug!(%error, "live connection ended");
        inner.tell(Change::Notice(Notice::Unreachable {
            node: key,
            reason: error.to_string(),
        }));
        sleep(retry.failed(random())).await;
    }
}

fn random() -> u64 {
    let mut random = [0; 8];
    OsEntropy.fill(&mut random);
    u64::from_le_bytes(random)
}

/// Stays connected until something fails.
async fn stay(
    inner: &Arc<Inner>,
    node: &StoredNode,
    caught_up: &mut bool,
) -> Result<std::convert::Infallible, Error> {
    let key = *node.link.key();
    let connection = connect(inner, node).await?;
    let mut talk = Conversation::new(inner, key, connection);
    // From here on, so that nothing queued meanwhile waits for the next tick.
    let mut queued = inner.queued.subscribe();
    // Leases, a first sync and the outbox, as in a poll; then the stream that stays.
    talk.run().await?;
    inner.expire(&[key]).await?;
    talk.changes.clear();
    let connection = talk.connection.clone();
    let mut follow = talk.follow(true).await?;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;

    let reading = async {
        loop {
            match follow.next(&connection).await {
                Ok(Some(Chunk::CaughtUp)) => {
                    *caught_up = true;
                    let _ = inner.events.send(Event::Connected {
                        node: key,
                        connected: true,
                    });
                }
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
            talk.changes.clear();
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

/// How often a live connection looks for leases that have come due.
const TICK: Duration = Duration::from_secs(600);
