//! Exchanges with the super nodes that end: polls, with or without a time limit, and waiting for delivery.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};

use crate::channel::MessageId;

use super::conversation::{self, Heard};
use super::engine::{Change, Delivery};
use super::inner::{Inner, ended};
use super::{Client, Error, Notice, PollReport, rescue};

impl Client {
    /// One exchange with the super nodes: registers what is due, takes in all that is new, sends what waits.
    /// A node that fails is reported as a notice; see [`PollReport::nodes_reached`].
    ///
    /// # Errors
    /// [`Error::NoNode`], [`Error::ShutDown`], and whatever stops the store; what came before that is given instead,
    /// and then [`PollReport::complete`] is false.
    pub async fn poll(&self) -> Result<PollReport, Error> {
        self.inner().unless_stopped(self.exchange(None)).await
    }

    /// A poll that ends within about `budget`, for a wake-up in the background. When the time is over it gives what
    /// was received and stored so far, and [`PollReport::complete`] is false; the next poll goes on from there.
    ///
    /// # Errors
    /// As [`Client::poll`]; that the time is over is no error.
    pub async fn sync_once(&self, budget: Duration) -> Result<PollReport, Error> {
        self.inner()
            .unless_stopped(self.exchange(after(budget)))
            .await
    }

    /// A wake-up by push: [`Client::sync_once`] within 25 seconds, as platforms grant about 30. A push carries no
    /// content, so whatever `payload` holds is ignored.
    ///
    /// # Errors
    /// As [`Client::poll`].
    pub async fn on_push(&self, payload: &[u8]) -> Result<PollReport, Error> {
        let _ = payload;
        self.sync_once(PUSH_BUDGET).await
    }

    /// Drives the exchange until a node has the message on disk, and returns its final id; `None` if that takes
    /// longer than `timeout` (it stays queued) or the message expired.
    ///
    /// # Errors
    /// As [`Client::poll`].
    pub async fn wait_delivered(
        &self,
        id: &MessageId,
        timeout: Duration,
    ) -> Result<Option<MessageId>, Error> {
        self.inner()
            .unless_stopped(self.deliver(*id, after(timeout)))
            .await
    }

    async fn deliver(
        &self,
        id: MessageId,
        deadline: Option<Instant>,
    ) -> Result<Option<MessageId>, Error> {
        let stand = || self.inner().blocking(move |engine, _| engine.delivery(&id));
        loop {
            match stand().await? {
                Delivery::AtNode(id) => return Ok(Some(id)),
                Delivery::Expired => return Ok(None),
                Delivery::Queued => {}
            }
            let Some(exchanged) = within(deadline, self.exchange(None)).await else {
                return Ok(None);
            };
            exchanged?;
            if matches!(stand().await?, Delivery::Queued) {
                if deadline.is_some_and(|deadline| Instant::now() + AGAIN >= deadline) {
                    return Ok(None);
                }
                sleep(AGAIN).await;
            }
        }
    }

    async fn exchange(&self, deadline: Option<Instant>) -> Result<PollReport, Error> {
        let mut result = self.ask_nodes(deadline).await;
        if self.found_others(&result, deadline).await {
            let before = result.unwrap_or_default();
            result = self.ask_nodes(deadline).await.map(|mut report| {
                report.take_up(before);
                report
            });
        }
        // Also if no node answered: asking sooner would only wake the radio more often.
        self.inner().synced();
        result
    }

    /// Whether a poll reached nobody, and the DHT then gave nodes to ask instead.
    async fn found_others(
        &self,
        result: &Result<PollReport, Error>,
        deadline: Option<Instant>,
    ) -> bool {
        let inner = self.inner();
        let found = match result {
            Ok(report) if report.nodes_reached > 0 => {
                rescue::reached(inner).await.map(|()| Some(0))
            }
            Ok(PollReport { complete: true, .. }) | Err(Error::NoNode) => {
                within(deadline, rescue::rescue(inner)).await.transpose()
            }
            _ => return false,
        };
        match found {
            Ok(found) => found.is_some_and(|found| found > 0),
            Err(error) => {
                tracing::info!(%error, "no super node was found in the DHT");
                false
            }
        }
    }

    async fn ask_nodes(&self, deadline: Option<Instant>) -> Result<PollReport, Error> {
        let inner = self.inner();
        let mut report = PollReport::default();
        let Some(nodes) = within(deadline, inner.blocking(|engine, _| engine.nodes())).await else {
            return Ok(report);
        };
        let nodes = nodes?;
        if nodes.is_empty() {
            return Err(Error::NoNode);
        }
        report.complete = true;
        let mut heard = Vec::new();
        let mut brought = Vec::new();
        let mut unreachable = Vec::new();
        let mut failure: Option<Result<Error, JoinError>> = None;
        let mut tasks = JoinSet::new();
        // Nodes do not complete each other yet, so each is asked.
        for node in nodes {
            let inner = Arc::clone(inner);
            let told = Arc::new(Heard::default());
            brought.push(Arc::clone(&told));
            tasks.spawn(async move {
                let key = *node.link.key();
                let outcome = conversation::poll(&inner, &node, deadline, &told).await;
                (key, outcome)
            });
        }
        while let Some(finished) = tasks.join_next().await {
            let (node, outcome) = match finished {
                Ok(finished) => finished,
                Err(error) => {
                    failure.get_or_insert(Err(error));
                    continue;
                }
            };
            report.bytes_sent += outcome.bytes.0;
            report.bytes_received += outcome.bytes.1;
            match outcome.result {
                Some(Ok(())) => {
                    report.nodes_reached += 1;
                    heard.push(node);
                }
                Some(Err(error @ Error::Store(_))) => {
                    failure.get_or_insert(Ok(error));
                }
                Some(Err(error)) => {
                    let notice = Notice::Unreachable {
                        node,
                        reason: error.to_string(),
                    };
                    inner.tell(Change::Notice(notice.clone()));
                    unreachable.push(notice);
                }
                None => report.complete = false,
            }
        }
        for told in brought {
            // Of a task that panicked, the intake may still run.
            told.end().await;
            collect(&mut report, told.take());
        }
        // This is local, so also when the time is over.
        match inner.expire(&heard).await {
            Ok(changes) => collect(&mut report, changes),
            Err(error) => {
                failure.get_or_insert(Ok(error));
            }
        }
        if let Some(failure) = failure {
            inner.settle(&mut report, failure)?;
        }
        report.notices.extend(unreachable);
        report.messages.sort_by_key(|message| message.time);
        Ok(report)
    }
}

impl PollReport {
    /// Adds what an earlier part of the same poll brought.
    fn take_up(&mut self, earlier: Self) {
        self.bytes_sent += earlier.bytes_sent;
        self.bytes_received += earlier.bytes_received;
        self.messages.extend(earlier.messages);
        self.expired.extend(earlier.expired);
        for notice in earlier.notices {
            if !self.notices.contains(&notice) {
                self.notices.push(notice);
            }
        }
    }
}

impl Inner {
    /// Fails only if nothing was brought: what was is stored, and no later report would name it.
    fn settle(
        &self,
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
                self.tell(Change::Notice(notice.clone()));
                report.notices.push(notice);
            }
            Err(error) => tracing::error!(%error, "a sync was cut short by a fault"),
        }
        Ok(())
    }
}

/// What platforms grant a push is about 30 s; the rest is for the app.
const PUSH_BUDGET: Duration = Duration::from_secs(25);
/// Between two tries to deliver.
const AGAIN: Duration = Duration::from_secs(1);

/// When `wait` is over; `None` if that is later than the clock can tell.
fn after(wait: Duration) -> Option<Instant> {
    // With room for what is added to an instant, here and by the timer.
    let end = Instant::now().checked_add(wait)?;
    end.checked_add(AGAIN).map(|_| end)
}

/// What `work` gives; `None` if it is not done by `deadline`.
pub(super) async fn within<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
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
