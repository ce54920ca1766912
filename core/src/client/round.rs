//! One round of conversations: the best node that answers is polled, then others get what is due there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::crypto::NodeKey;
use crate::power::WakeupReason;
use crate::store::StoredNode;

use super::comparison;
use super::conversation::{Heard, Outcome, Purpose, converse};
use super::engine::{Change, Comparison, Observation, Plan};
use super::inner::{Inner, Scope, ended};
use super::poll::within;
use super::{Error, Notice, PollReport};

/// What a round does and brings.
pub(super) struct Round<'a> {
    inner: &'a Arc<Inner>,
    deadline: Option<Instant>,
    /// What it is for.
    reason: WakeupReason,
    scope: Scope,
    report: PollReport,
    /// A node was to be polled, not only errands run.
    polls: bool,
    /// Nodes that have shown their clocks.
    heard: Vec<NodeKey>,
    tried: Vec<NodeKey>,
    seen: Vec<(NodeKey, Observation)>,
    /// A node has answered, so that one which does not is to blame.
    reached: bool,
    unreachable: Vec<Notice>,
    brought: Vec<Arc<Heard>>,
    failure: Option<Result<Error, JoinError>>,
}

/// Conversations that run.
#[derive(Default)]
struct Running {
    tasks: JoinSet<(NodeKey, Outcome)>,
    by_node: HashMap<NodeKey, Talk>,
}

struct Talk {
    begun: Instant,
    heard: Arc<Heard>,
    task: AbortHandle,
}

impl Talk {
    fn has_answered(&self) -> bool {
        self.heard.answered.get().is_some()
    }
}

impl Running {
    /// The time that the quickest answer took.
    fn quickest(&self) -> Duration {
        let answers = self.by_node.values();
        answers
            .filter_map(|talk| talk.heard.answered.get().copied())
            .min()
            .unwrap_or_default()
    }
}

/// How a conversation ended.
enum End {
    Well(NodeKey),
    Badly,
    /// No other node would do better.
    Stop,
}

impl<'a> Round<'a> {
    pub(super) fn new(
        inner: &'a Arc<Inner>,
        deadline: Option<Instant>,
        reason: WakeupReason,
        scope: Scope,
    ) -> Self {
        Self {
            inner,
            deadline,
            reason,
            scope,
            report: PollReport {
                complete: true,
                ..PollReport::default()
            },
            polls: false,
            heard: Vec::new(),
            tried: Vec::new(),
            seen: Vec::new(),
            reached: false,
            unreachable: Vec::new(),
            brought: Vec::new(),
            failure: None,
        }
    }

    /// Of these nothing more is wanted.
    pub(super) fn leave_out(&mut self, nodes: Vec<NodeKey>) {
        self.tried.extend(nodes);
    }

    /// Polls the best node; the next one too when that fails, or keeps us waiting. Returns which one answered.
    /// If none has said anything by `give_up`, all have failed.
    pub(super) async fn poll(&mut self, plan: Plan, give_up: Option<Instant>) -> Option<NodeKey> {
        self.polls = true;
        let mut networks = self.inner.networks.subscribe();
        let mut waiting = plan.order.into_iter().take(MAX_TRIED);
        let mut running = Running::default();
        let mut polled = None;
        let mut patience = Instant::now();
        let mut grace = patience;
        loop {
            let idle = running.tasks.is_empty();
            let silent = !running.by_node.values().any(Talk::has_answered);
            if polled.is_none() && silent && (idle || Instant::now() >= patience) {
                match waiting.next() {
                    Some(node) => {
                        patience = Instant::now() + patience_with(&node);
                        self.start(&mut running, node, Purpose::Poll);
                    }
                    None if idle => return None,
                    None => {}
                }
            } else if idle {
                return polled;
            }
            tokio::select! {
                Some(finished) = running.tasks.join_next() => {
                    let quick = running.quickest();
                    match self.settle(&mut running, finished, Purpose::Poll) {
                        End::Well(node) => {
                            if polled.is_none() {
                                polled = Some(node);
                                grace = Instant::now() + GRACE;
                            }
                            self.give_up_silent(&mut running, quick);
                        }
                        // The next one at once.
                        End::Badly => patience = Instant::now(),
                        End::Stop => waiting = Vec::new().into_iter().take(0),
                    }
                }
                () = sleep_until(patience), if polled.is_none() && silent && waiting.len() > 0 => {}
                () = sleep_until(give_up.unwrap_or(patience)), if give_up.is_some() && polled.is_none() && silent => {
                    let silent: Vec<NodeKey> = running.by_node.keys().copied().collect();
                    for node in silent {
                        self.failed(node, SILENT, Purpose::Poll);
                    }
                    self.report.complete = false;
                    return None;
                }
                // What another one was sending has come already.
                () = sleep_until(grace), if polled.is_some() => running.tasks.abort_all(),
                _ = networks.changed() => self.migrate(),
            }
        }
    }

    /// Does what is due at other nodes than `polled`, which has answered: leases, the second copy, a node that may be up
    /// again, a comparison.
    pub(super) async fn run_errands(&mut self, polled: NodeKey) {
        self.reached = true;
        // Whoever takes the place of one that failed has something due already.
        self.note().await;
        let inner = self.inner;
        let mut networks = inner.networks.subscribe();
        let mut audit = None;
        for _ in 0..MAX_ERRANDS {
            let tried = self.tried.clone();
            let resync = self.scope.resync;
            let planning =
                inner.blocking(move |engine, now| engine.errands(&polled, &tried, resync, now));
            let Some(errands) = self.unless_late(planning).await else {
                return;
            };
            audit = audit.or(errands.audit);
            if errands.nodes.is_empty() {
                break;
            }
            let mut running = Running::default();
            for node in errands.nodes {
                self.start(&mut running, node, Purpose::Errand);
            }
            while !running.tasks.is_empty() {
                tokio::select! {
                    Some(finished) = running.tasks.join_next() => {
                        self.settle(&mut running, finished, Purpose::Errand);
                    }
                    _ = networks.changed() => self.migrate(),
                }
            }
        }
        if let Some(audit) = audit {
            self.compare(audit).await;
        }
    }

    /// Notes what was seen and does what is due by time; gives what came.
    pub(super) async fn finish(mut self) -> Result<PollReport, Error> {
        for told in std::mem::take(&mut self.brought) {
            // Of a task that ended by force or panicked, the intake may still run.
            told.end().await;
            collect(&mut self.report, told.take());
        }
        self.note().await;
        // This is local, so also when the time is over. Errands show no clock by which to tell.
        if self.polls {
            match self.inner.expire(&self.heard).await {
                Ok(changes) => collect(&mut self.report, changes),
                Err(error) => {
                    self.failure.get_or_insert(Ok(error));
                }
            }
        }
        if let Some(failure) = self.failure.take() {
            settle(self.inner, &mut self.report, failure)?;
        }
        self.report.notices.append(&mut self.unreachable);
        self.report.messages.sort_by_key(|message| message.time);
        Ok(self.report)
    }

    /// Writes down what was seen of the nodes. If none answered, nothing speaks against any of them.
    async fn note(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        let answered = |(_, seen): &(NodeKey, Observation)| {
            matches!(
                seen,
                Observation::Answered(_) | Observation::Withheld | Observation::Audited { .. }
            )
        };
        self.reached |= seen.iter().any(answered);
        if !self.reached || seen.is_empty() {
            return;
        }
        let noting = self
            .inner
            .blocking(move |engine, now| engine.observe(&seen, now));
        match noting.await {
            Ok(false) => {}
            Ok(true) => self.inner.nodes_changed(),
            Err(error) => {
                self.failure.get_or_insert(Ok(error));
            }
        }
    }

    fn start(&mut self, running: &mut Running, node: StoredNode, purpose: Purpose) {
        let (inner, deadline) = (Arc::clone(self.inner), self.deadline);
        let deadline = match purpose {
            Purpose::Poll => deadline,
            // Nobody waits for what is only due.
            Purpose::Errand => Some(deadline.map_or_else(
                || Instant::now() + ERRAND,
                |end| end.min(Instant::now() + ERRAND),
            )),
        };
        let told = Arc::new(Heard::default());
        let (reason, scope) = (self.reason, self.scope);
        let key = *node.link.key();
        self.tried.push(key);
        self.brought.push(Arc::clone(&told));
        let heard = Arc::clone(&told);
        let task = running.tasks.spawn(async move {
            let outcome = converse(&inner, &node, (purpose, reason, scope), deadline, &told).await;
            (*node.link.key(), outcome)
        });
        running.by_node.insert(
            key,
            Talk {
                begun: Instant::now(),
                heard,
                task,
            },
        );
    }

    fn settle(
        &mut self,
        running: &mut Running,
        finished: Result<(NodeKey, Outcome), JoinError>,
        purpose: Purpose,
    ) -> End {
        let (node, outcome) = match finished {
            Ok(finished) => finished,
            Err(error) if error.is_cancelled() => return End::Badly,
            Err(error) => {
                self.failure.get_or_insert(Err(error));
                return End::Stop;
            }
        };
        let talk = running.by_node.remove(&node);
        self.report.bytes_sent += outcome.bytes.0;
        self.report.bytes_received += outcome.bytes.1;
        match outcome.result {
            Some(Ok(())) => {
                self.report.nodes_reached += 1;
                if purpose == Purpose::Poll {
                    self.heard.push(node);
                }
                self.seen.push((node, Observation::Answered(outcome.rtt)));
                End::Well(node)
            }
            Some(Err(error @ (Error::Store(_) | Error::ShutDown))) => {
                self.failure.get_or_insert(Ok(error));
                End::Stop
            }
            // The user removed it meanwhile.
            Some(Err(Error::NoNode)) => End::Badly,
            Some(Err(error)) => {
                self.failed(node, &error.to_string(), purpose);
                End::Badly
            }
            None if self.is_late() => {
                self.report.complete = false;
                // Another one has answered before an errand, so it is not the network; else each short poll would be
                // spent on it.
                let silent =
                    |talk: Talk| !talk.has_answered() && talk.begun.elapsed() >= 2 * PATIENCE;
                if purpose == Purpose::Errand && talk.is_some_and(silent) {
                    self.failed(node, SILENT, purpose);
                }
                End::Stop
            }
            None => {
                self.failed(node, SILENT, purpose);
                End::Badly
            }
        }
    }

    /// A person hears of the node that was to be polled; that of another one changes nothing for them.
    fn failed(&mut self, node: NodeKey, reason: &str, purpose: Purpose) {
        self.seen
            .push((node, Observation::Failed(reason.to_owned())));
        if purpose == Purpose::Poll {
            let notice = Notice::Unreachable {
                node,
                reason: reason.to_owned(),
            };
            self.inner.tell(Change::Notice(notice.clone()));
            self.unreachable.push(notice);
        }
    }

    /// Another node has answered all, the first time within `quick`: whoever has said nothing yet is too late, and has
    /// failed if it had clearly more time.
    fn give_up_silent(&mut self, running: &mut Running, quick: Duration) {
        let silent: Vec<NodeKey> = running
            .by_node
            .iter()
            .filter(|(_, talk)| !talk.has_answered())
            .map(|(node, _)| *node)
            .collect();
        for node in silent {
            let Some(talk) = running.by_node.remove(&node) else {
                continue;
            };
            talk.task.abort();
            if talk.begun.elapsed() >= 2 * quick + PATIENCE / 2 {
                self.failed(node, SILENT, Purpose::Poll);
            }
        }
    }

    async fn compare(&mut self, audit: Comparison) {
        let _spent = self.inner.spending.on(WakeupReason::Upkeep);
        let (polled, standby) = (*audit.polled.link.key(), *audit.standby.link.key());
        let told = Arc::new(Heard::default());
        self.brought.push(Arc::clone(&told));
        if audit.grown {
            // What the polled node does not have, or does not tell, the standby may.
            let what = (Purpose::Poll, WakeupReason::Upkeep, self.scope);
            let outcome = converse(self.inner, &audit.standby, what, self.deadline, &told).await;
            self.report.bytes_sent += outcome.bytes.0;
            self.report.bytes_received += outcome.bytes.1;
        }
        let told = Arc::new(Heard::default());
        self.brought.push(Arc::clone(&told));
        let comparing = comparison::compare(self.inner, &audit, &told);
        let limit = Instant::now() + COMPARISON;
        let limit = self.deadline.map_or(limit, |end| end.min(limit));
        let Some(compared) = within(Some(limit), comparing).await else {
            self.seen.push((standby, Observation::AuditFailed));
            return;
        };
        self.report.bytes_sent += compared.bytes.0;
        self.report.bytes_received += compared.bytes.1;
        if let Some((node, error)) = compared.failure {
            if let Error::Store(_) = error {
                self.failure.get_or_insert(Ok(error));
                return;
            }
            self.seen.push((standby, Observation::AuditFailed));
            if node == standby {
                self.failed(standby, &error.to_string(), Purpose::Errand);
            }
            return;
        }
        self.seen
            .push((standby, Observation::Audited { gap: audit.gap }));
        for node in [polled, standby] {
            if compared.outcome.blames(&node) {
                self.seen.push((node, Observation::Withheld));
                let notice = Notice::Withheld { node };
                self.inner.tell(Change::Notice(notice.clone()));
                self.report.notices.push(notice);
            }
        }
    }

    async fn unless_late<T>(&mut self, work: impl Future<Output = Result<T, Error>>) -> Option<T> {
        match within(self.deadline, work).await {
            Some(Ok(done)) => Some(done),
            Some(Err(error)) => {
                self.failure.get_or_insert(Ok(error));
                None
            }
            None => {
                self.report.complete = false;
                None
            }
        }
    }

    fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// What is on its way goes on over the new network.
    fn migrate(&self) {
        if let Err(error) = self.inner.migrate() {
            tracing::warn!(%error, "connections cannot move to the new network");
        }
    }
}

/// How long to wait for a node before the next one is asked too.
fn patience_with(node: &StoredNode) -> Duration {
    let usual = node.state.as_ref().and_then(|state| state.rtt_ms);
    let usual = Duration::from_millis(u64::from(usual.unwrap_or(0)));
    (usual * 6).clamp(PATIENCE, 4 * PATIENCE)
}

/// Fails only if nothing was brought: what was is stored, and no later report would name it.
fn settle(
    inner: &Inner,
    report: &mut PollReport,
    failure: Result<Error, JoinError>,
) -> Result<(), Error> {
    let nothing =
        report.messages.is_empty() && report.expired.is_empty() && report.notices.is_empty();
    if nothing {
        return Err(failure.unwrap_or_else(ended));
    }
    report.complete = false;
    match failure {
        Ok(error) => {
            let notice = Notice::Storage {
                reason: error.to_string(),
            };
            inner.tell(Change::Notice(notice.clone()));
            report.notices.push(notice);
        }
        Err(error) => tracing::error!(%error, "a sync was cut short by a fault"),
    }
    Ok(())
}

fn collect(report: &mut PollReport, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Received(message) => report.messages.push(message),
            Change::Expired { message, .. } => report.expired.push(message),
            Change::Notice(notice) if !report.notices.contains(&notice) => {
                report.notices.push(notice);
            }
            Change::Admins { .. } | Change::Notice(_) | Change::State { .. } => {}
        }
    }
}

/// Nodes that are asked in one round.
const MAX_TRIED: usize = 10;
/// Until a second node is asked too, at least.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long a second node may go on once a first one has sent all.
const GRACE: Duration = Duration::from_secs(2);
/// Rounds of errands: a second copy may need a third node.
const MAX_ERRANDS: usize = 4;
/// What an errand may take.
const ERRAND: Duration = Duration::from_secs(6);
/// What a comparison may take.
const COMPARISON: Duration = Duration::from_secs(20);
const SILENT: &str = "it did not answer in time";
