//! Live mode: the two best super nodes are followed, each by a task that keeps a connection, takes in what is pushed and
//! sends what is queued. When one fails the next takes its place; the others get short conversations when they have work.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::channel::NodeLink;
use crate::crypto::{Entropy as _, NodeKey, OsEntropy};
use crate::net::{Connection, NetError};
use crate::power::WakeupReason;
use crate::store::StoredNode;
use crate::sync::retry::Retry;

use super::conversation::{Conversation, Heard, connect};
use super::engine::{Change, Observation};
use super::follow::Chunk;
use super::inner::{Inner, Scope};
use super::lifecycle::Phase;
use super::lines::Lines;
use super::round::Round;
use super::types::{Event, Notice};
use super::{Error, lock, rescue};

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

/// Follows the best nodes, also as they change, and does what is due at others.
async fn connections(inner: &Arc<Inner>) -> Infallible {
    let _spent = inner.spending.on(WakeupReason::Foreground);
    let lines = Arc::new(Lines::default());
    tokio::select! {
        never = following(inner, &lines) => never,
        never = errands(inner, &lines) => never,
    }
}

/// Keeps connections to the nodes that should be followed.
async fn following(inner: &Arc<Inner>, lines: &Arc<Lines>) -> Infallible {
    let mut roster = inner.roster.subscribe();
    let mut changes = lines.changed.subscribe();
    let mut kept: HashMap<NodeKey, (NodeLink, AbortHandle)> = HashMap::new();
    let mut connections = JoinSet::new();
    loop {
        roster.mark_unchanged();
        changes.mark_unchanged();
        note_failed(inner, lines.to_blame()).await;
        match inner.blocking(|engine, now| engine.plan(now)).await {
            Ok(plan) => {
                let wanted = lines.to_follow(plan);
                kept.retain(|node, (link, task)| {
                    let stays =
                        !task.is_finished() && wanted.iter().any(|wanted| wanted.link == *link);
                    if !stays {
                        task.abort();
                        lines.forget(node);
                    }
                    stays
                });
                for node in wanted {
                    let key = *node.link.key();
                    if kept.contains_key(&key) {
                        continue;
                    }
                    let (link, inner) = (node.link.clone(), Arc::clone(inner));
                    let lines = Arc::clone(lines);
                    let task = connections.spawn(async move { keep(&inner, &lines, &node).await });
                    kept.insert(key, (link, task));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "live mode cannot read the profile");
                sleep(READ_AGAIN).await;
                continue;
            }
        }
        tokio::select! {
            // Neither can be closed: they live as long as their receivers' owner.
            _ = roster.changed() => {}
            _ = changes.changed() => {}
            Some(Err(error)) = connections.join_next() => {
                if error.is_panic() {
                    tracing::error!("a live connection ended by a fault and is made anew");
                    sleep(READ_AGAIN).await;
                }
            }
        }
    }
}

/// Does what is due at nodes that are not followed, once one is: leases, a second copy, nodes that may be up again,
/// comparisons. While none stands, others are looked for in the DHT. When, the plan says.
async fn errands(inner: &Arc<Inner>, lines: &Lines) -> Infallible {
    let mut queued = inner.queued.subscribe();
    let mut changes = lines.changed.subscribe();
    let mut plans = inner.plans.subscribe();
    let begun = Instant::now();
    let mut keeps = false;
    loop {
        queued.mark_unchanged();
        changes.mark_unchanged();
        plans.mark_unchanged();
        let followed = lines.standing();
        let lost = followed.is_none() && begun.elapsed() >= SILENCE && lines.have_failed();
        if lost && inner.is_online() {
            look_for_others(inner, lines).await;
        }
        if let Some(followed) = followed {
            if let Err(error) = rescue::reached(inner).await {
                tracing::debug!(%error, "that a node was reached cannot be noted");
            }
            let mut round = Round::new(inner, None, WakeupReason::Foreground, EVERYTHING);
            round.leave_out(lines.all());
            round.run_errands(followed).await;
            // What it brought was told already.
            if let Err(error) = round.finish().await {
                tracing::debug!(%error, "an errand failed");
            }
        }
        let next = next_errand(inner, std::mem::take(&mut keeps)).await;
        tokio::select! {
            _ = queued.changed() => {}
            _ = changes.changed() => {}
            _ = plans.changed() => {}
            () = sleep(next.unwrap_or_default()), if next.is_some() => {
                lock(&inner.power).ran_errands(inner.spending.now());
                inner.tick();
                keeps = true;
            }
        }
        // Those that are followed are quicker; only what they leave is done here.
        sleep(SETTLE).await;
    }
}

/// In how long something is due, by the plan; `None` without a network. On the way `keeps` what was spent.
async fn next_errand(inner: &Arc<Inner>, keeps: bool) -> Option<Duration> {
    let planner = Arc::clone(inner);
    let planning = inner.blocking(move |engine, now| {
        if keeps {
            planner.keep_or_say(engine, now);
        }
        let errand = planner.next_errand(engine, now);
        Ok(errand.map(|errand| errand.at.since(now)))
    });
    planning.await.unwrap_or(Some(READ_AGAIN))
}

/// All have failed: looks for others in the DHT, if it is time. That it answers shows whose fault it is.
async fn look_for_others(inner: &Arc<Inner>, lines: &Lines) {
    match rescue::rescue(inner).await {
        Ok(0) => return,
        Ok(_) => {}
        Err(error) => {
            tracing::info!(%error, "no super node was found in the DHT");
            return;
        }
    }
    note_failed(inner, lines.take_failed()).await;
    inner.nodes_changed();
}

async fn note_failed(inner: &Arc<Inner>, failed: Vec<(NodeKey, String)>) {
    if failed.is_empty() {
        return;
    }
    let noting = inner.blocking(move |engine, now| {
        let seen: Vec<_> = failed
            .into_iter()
            .map(|(node, why)| (node, Observation::Failed(why)))
            .collect();
        engine.observe(&seen, now)
    });
    if let Err(error) = noting.await {
        tracing::warn!(%error, "what was seen of a node cannot be noted");
    }
}

/// Connects again and again, later each time it fails, and at once on a new network.
async fn keep(inner: &Arc<Inner>, lines: &Lines, node: &StoredNode) -> Infallible {
    let key = *node.link.key();
    let mut networks = inner.networks.subscribe();
    let mut retry = Retry::default();
    // Nobody needs to hear of each try.
    let mut told = false;
    loop {
        networks.mark_unchanged();
        if !inner.is_online() {
            // It lives as long as the client.
            let _ = networks.changed().await;
            retry.succeeded();
            continue;
        }
        let heard = Arc::new(Heard::default());
        let mut standing = Standing {
            inner,
            lines,
            node: key,
            caught_up: false,
        };
        let impatient = async {
            sleep(IMPATIENT).await;
            if heard.answered.get().is_none() {
                lines.slow(key);
                sleep(SILENCE).await;
                if heard.answered.get().is_none() {
                    lines.failed(key, SILENT);
                }
            }
            std::future::pending::<Infallible>().await
        };
        let connected = async { stay(&mut standing, node, &heard).await };
        let error = tokio::select! {
            Err(error) = connected => error,
            never = impatient => match never {},
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
        if networks.has_changed().unwrap_or(false) || !inner.is_online() {
            retry.succeeded();
            continue;
        }
        let reason = error.to_string();
        if !matches!(error, Error::Store(_)) {
            lines.failed(key, &reason);
        }
        if !told {
            told = true;
            inner.tell(Change::Notice(match error {
                Error::Store(_) => Notice::Storage { reason },
                _ => Notice::Unreachable { node: key, reason },
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
    lines: &'a Lines,
    node: NodeKey,
    caught_up: bool,
}

impl Standing<'_> {
    fn catch_up(&mut self) {
        if self.caught_up {
            return;
        }
        self.caught_up = true;
        lock(&self.inner.power).connected(self.inner.spending.now());
        self.lines.stands(self.node);
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
            lock(&self.inner.power).disconnected(self.inner.spending.now());
            self.lines.falls(&self.node);
            self.tell(false);
        }
    }
}

/// Stays connected until something fails.
async fn stay(
    standing: &mut Standing<'_>,
    node: &StoredNode,
    heard: &Arc<Heard>,
) -> Result<Infallible, Error> {
    let inner = standing.inner;
    let key = standing.node;
    let mut networks = inner.networks.subscribe();
    let connection = tokio::select! {
        connection = connect(inner, node) => connection?,
        // What was begun on the old network need not be waited for.
        _ = networks.changed() => return Err(NetError::Timeout.into()),
    };
    let moving = migrate(inner, &connection, networks);
    let _stands = inner.spending.connection(WakeupReason::Foreground);
    let mut talk = Conversation::new(inner, key, connection.clone(), Arc::clone(heard));
    let staying = converse(standing, &mut talk, heard);
    tokio::select! {
        ended = staying => ended,
        error = moving => {
            connection.close(0, "lost");
            Err(error)
        }
    }
}

/// Moves a connection along whenever the phone changes networks; ends if it is lost on the way.
async fn migrate(
    inner: &Arc<Inner>,
    connection: &Connection,
    mut networks: watch::Receiver<u64>,
) -> Error {
    loop {
        // It cannot be closed: it lives as long as the client.
        let _ = networks.changed().await;
        if let Err(error) = inner.migrate() {
            return error;
        }
        // The move makes the node answer, and whatever comes has come by the new way.
        let (_, before) = connection.bytes();
        let begun = Instant::now();
        while connection.bytes().1 == before {
            if begun.elapsed() > MOVED {
                return NetError::Timeout.into();
            }
            sleep(MOVED / 20).await;
        }
    }
}

/// Does what there is to do at first, then follows.
async fn converse(
    standing: &mut Standing<'_>,
    talk: &mut Conversation,
    heard: &Heard,
) -> Result<Infallible, Error> {
    let inner = standing.inner;
    let key = standing.node;
    // From here on, so that nothing queued meanwhile waits for the next tick.
    let mut queued = inner.queued.subscribe();
    let mut ticks = inner.ticks.subscribe();
    // Leases, a first sync and the outbox, as in a poll; then the stream that stays.
    talk.run().await?;
    let rtt = heard.answered.get().copied();
    inner
        .blocking(move |engine, now| engine.observe(&[(key, Observation::Answered(rtt))], now))
        .await?;
    inner.expire(&[key]).await?;
    talk.take_changes();
    let connection = talk.connection.clone();
    let mut follow = talk.follow(true).await?;

    let reading = async {
        loop {
            match follow.next(&connection).await {
                Ok(Some(Chunk::CaughtUp(_))) => standing.catch_up(),
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
        // What waited for a better network waits no longer.
        if let Err(error) = talk.fetch_waiting().await {
            return error;
        }
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
                _ = ticks.changed() => {
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
/// A node that has said nothing for so long is not waited for alone.
const IMPATIENT: Duration = Duration::from_millis(1_200);
/// After which it has failed, if another one stands.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a connection may be silent after the phone has changed networks.
const MOVED: Duration = Duration::from_secs(2);
/// What those that are followed have time for before others are asked.
const SETTLE: Duration = Duration::from_secs(1);
const SILENT: &str = "it did not answer in time";
/// A person looks, so nothing waits.
const EVERYTHING: Scope = Scope {
    large: true,
    resync: true,
};
