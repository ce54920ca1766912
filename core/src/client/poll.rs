//! Exchanges with the super nodes that end: polls, with or without a time limit, and waiting for delivery.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::channel::MessageId;

use super::engine::{Delivery, Observation};
use super::probe::{self, Probed};
use super::round::Round;
use super::{Client, Error, Notice, PollReport, rescue};

impl Client {
    /// One exchange with the super nodes: takes in all that is new from the best that answers, sends what waits to two, and
    /// registers what is due at all that are kept. A node that fails is reported as a notice, and the next one takes its
    /// place; see [`PollReport::nodes_reached`].
    ///
    /// # Errors
    /// [`Error::NoNode`], [`Error::ShutDown`], and whatever stops the store; what came before that is given instead,
    /// and then [`PollReport::complete`] is false.
    pub async fn poll(&self) -> Result<PollReport, Error> {
        self.inner().unless_stopped(self.exchange(None)).await
    }

    /// A poll that ends within about `budget`, for a wake-up in the background. If nothing is due but to hear whether there
    /// is anything new, one datagram asks the polled node, and a connection is made only if there is; once in six hours at
    /// least in any case. When the time is over it gives what
    /// was received and stored so far, and [`PollReport::complete`] is false; the next poll goes on from there.
    ///
    /// # Errors
    /// As [`Client::poll`]; that the time is over is no error.
    pub async fn sync_once(&self, budget: Duration) -> Result<PollReport, Error> {
        let deadline = after(budget);
        let exchange = async {
            let probing = within(deadline, probe::probe(self.inner(), deadline));
            let (probed, probe) = probing.await.transpose()?.unwrap_or_default();
            if probed == Probed::Nothing {
                self.inner().synced();
                return Ok(probe);
            }
            let mut report = self.exchange(deadline).await?;
            report.take_up(probe);
            Ok(report)
        };
        self.inner().unless_stopped(exchange).await
    }

    /// A wake-up by push: a poll as [`Client::sync_once`] by connection, within 25 seconds, as platforms grant about 30. A push carries no
    /// content, so whatever `payload` holds is ignored.
    ///
    /// # Errors
    /// As [`Client::poll`].
    pub async fn on_push(&self, payload: &[u8]) -> Result<PollReport, Error> {
        let _ = payload;
        let exchange = self.exchange(after(PUSH_BUDGET));
        self.inner().unless_stopped(exchange).await
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
        let begun = Instant::now();
        // Half of the time is for the DHT, and for those that are found there.
        let give_up = deadline
            .filter(|_| self.inner().dht.is_on())
            .map(|end| begun + end.saturating_duration_since(begun) / 2);
        let mut result = self.ask_nodes(deadline, give_up).await;
        if self.found_others(&result, deadline).await {
            let before = result.unwrap_or_default();
            self.blame(&before).await?;
            result = self.ask_nodes(deadline, None).await.map(|mut report| {
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
            Ok(_) | Err(Error::NoNode) => within(deadline, rescue::rescue(inner)).await.transpose(),
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

    /// The DHT has answered, so it is not the network that fails: others come before the nodes that did not answer.
    async fn blame(&self, report: &PollReport) -> Result<(), Error> {
        let failed = report.notices.iter().filter_map(|notice| match notice {
            Notice::Unreachable { node, reason } => {
                Some((*node, Observation::Failed(reason.clone())))
            }
            _ => None,
        });
        let failed: Vec<_> = failed.collect();
        let noting = self
            .inner()
            .blocking(move |engine, now| engine.observe(&failed, now));
        noting.await.map(|_| ())
    }

    /// If no node has answered by `give_up`, none is waited for any longer.
    async fn ask_nodes(
        &self,
        deadline: Option<Instant>,
        give_up: Option<Instant>,
    ) -> Result<PollReport, Error> {
        let inner = self.inner();
        let planning = inner.blocking(|engine, now| engine.plan(now));
        let Some(plan) = within(deadline, planning).await else {
            return Ok(PollReport::default());
        };
        let plan = plan?;
        if plan.order.is_empty() {
            return Err(Error::NoNode);
        }
        let mut round = Round::new(inner, deadline);
        if let Some(polled) = round.poll(plan, give_up).await {
            round.run_errands(polled).await;
        }
        round.finish().await
    }
}

impl PollReport {
    /// Adds what an earlier part of the same poll brought.
    fn take_up(&mut self, earlier: Self) {
        self.bytes_sent += earlier.bytes_sent;
        self.bytes_received += earlier.bytes_received;
        self.probes_sent += earlier.probes_sent;
        self.probes_received += earlier.probes_received;
        self.messages.extend(earlier.messages);
        self.expired.extend(earlier.expired);
        for notice in earlier.notices {
            if !self.notices.contains(&notice) {
                self.notices.push(notice);
            }
        }
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
