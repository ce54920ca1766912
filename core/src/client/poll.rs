//! Exchanges with the super nodes that end: polls, with or without a time limit, and waiting for delivery.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::channel::MessageId;

use crate::power::WakeupReason;

use super::engine::{Delivery, Observation};
use super::inner::Scope;
use super::probe::{self, Probed};
use super::round::Round;
use super::{Client, Error, Notice, PollReport, lock, rescue};

impl Client {
    /// One exchange with the super nodes: takes in all that is new from the best that answers, sends what waits to two, and
    /// registers what is due at all that are kept. A node that fails is reported as a notice, and the next one takes its
    /// place; see [`PollReport::nodes_reached`].
    ///
    /// # Errors
    /// [`Error::NoNode`], [`Error::ShutDown`], and whatever stops the store; what came before that is given instead,
    /// and then [`PollReport::complete`] is false.
    pub async fn poll(&self) -> Result<PollReport, Error> {
        let exchange = self.exchange(None, WakeupReason::User);
        self.inner().unless_stopped(exchange).await
    }

    /// A poll that ends within about `budget`, for a wake-up in the background: it carries what [`Client::plan`] says. If
    /// that is only to hear whether there is anything new, one datagram asks the polled node, and a connection is made if
    /// there is; in any case once in six hours. When the time is over it gives what was received and stored so far, and
    /// [`PollReport::complete`] is false; the next poll goes on from there. Without a network nothing is tried: it ends
    /// at once, and is not complete.
    ///
    /// On a network that costs, bodies above 8 KiB are noted only. They come with the next wake-up on Wi-Fi while
    /// charging, 6 hours later at the latest, or as soon as the app is on the screen.
    ///
    /// # Errors
    /// As [`Client::poll`]; that the time is over is no error.
    pub async fn sync_once(&self, budget: Duration) -> Result<PollReport, Error> {
        self.wake_up(WakeupReason::Sync, budget).await
    }

    /// A wake-up by push: a poll by connection, within 26 seconds, as platforms grant about 30. `payload` is what the push
    /// service brought, decrypted with the key of the subscription. It carries no content; a node's challenge
    /// ([`Client::set_push`]) is brought back to it, and anything else is a wake-up. If many came for nothing, this one is
    /// not followed at once: the report is not complete then, and [`Client::next_wakeup`] says when.
    ///
    /// # Errors
    /// As [`Client::poll`].
    pub async fn on_push(&self, payload: &[u8]) -> Result<PollReport, Error> {
        let challenged = self.take_push(payload).await?;
        if !challenged && !self.inner().unless_stopped(self.may_follow_push()).await? {
            self.inner().replan();
            return Ok(PollReport::default());
        }
        self.wake_up(WakeupReason::Push, PUSH_BUDGET).await
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

    /// Whether a push that just came is followed. Within seconds of the last attempt it waits for its turn: it would hardly
    /// get another wake-up as soon.
    async fn may_follow_push(&self) -> Result<bool, Error> {
        let power = &self.inner().power;
        let now = self.now();
        let turn = {
            let mut power = lock(power);
            if power.pushed(now) {
                return Ok(true);
            }
            power.plan(now).wakeup
        };
        let turn = turn.filter(|turn| turn.reasons.contains(&WakeupReason::Push));
        let wait = turn.map(|turn| turn.at.since(now));
        let Some(wait) = wait.filter(|wait| *wait <= PUSH_WAIT) else {
            return Ok(false);
        };
        sleep(wait).await;
        Ok(lock(power).pushed(self.now()))
    }

    async fn wake_up(&self, reason: WakeupReason, budget: Duration) -> Result<PollReport, Error> {
        let inner = self.inner();
        let exchange = async {
            if !inner.is_online() {
                return Ok(PollReport::default());
            }
            self.exchange(after(budget), reason).await
        };
        inner.unless_stopped(exchange).await
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
            let exchange = self.exchange(None, WakeupReason::User);
            let Some(exchanged) = within(deadline, exchange).await else {
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

    async fn exchange(
        &self,
        deadline: Option<Instant>,
        reason: WakeupReason,
    ) -> Result<PollReport, Error> {
        let inner = self.inner();
        let _spent = inner.spending.on(reason);
        let (teller, begun) = (Arc::clone(inner), Instant::now());
        let beginning = inner.blocking(move |engine, now| Ok(teller.begin(engine, reason, now)));
        let Some(begun_with) = within(deadline, beginning).await else {
            return Ok(PollReport::default());
        };
        let (scope, may_be_empty) = begun_with?;
        let asked = Asked {
            deadline,
            reason,
            scope,
        };
        let mut probe = PollReport::default();
        if may_be_empty {
            let probing = within(deadline, probe::probe(inner, deadline));
            let (probed, report) = probing.await.transpose()?.unwrap_or_default();
            if probed == Probed::Nothing {
                inner.ended(true).await;
                return Ok(report);
            }
            probe = report;
        }
        // Half of the time is for the DHT, and for those that are found there.
        let give_up = deadline
            .filter(|_| self.inner().dht.is_on())
            .map(|end| begun + end.saturating_duration_since(begun) / 2);
        let mut result = self.ask_nodes(asked, give_up).await;
        if self.found_others(&result, deadline).await {
            let before = result.unwrap_or_default();
            self.blame(&before).await?;
            result = self.ask_nodes(asked, None).await.map(|mut report| {
                report.take_up(before);
                report
            });
        }
        let reached = result.as_ref().is_ok_and(|report| report.nodes_reached > 0);
        inner.ended(reached).await;
        result.map(|mut report| {
            report.take_up(probe);
            report
        })
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
    async fn ask_nodes(&self, asked: Asked, give_up: Option<Instant>) -> Result<PollReport, Error> {
        let inner = self.inner();
        let deadline = asked.deadline;
        let planning = inner.blocking(|engine, now| engine.plan(now));
        let Some(plan) = within(deadline, planning).await else {
            return Ok(PollReport::default());
        };
        let plan = plan?;
        if plan.order.is_empty() {
            return Err(Error::NoNode);
        }
        let mut round = Round::new(inner, deadline, asked.reason, asked.scope);
        if let Some(polled) = round.poll(plan, give_up).await {
            round.run_errands(polled).await;
        }
        round.finish().await
    }
}

/// What an exchange was asked to be.
#[derive(Clone, Copy)]
struct Asked {
    deadline: Option<Instant>,
    reason: WakeupReason,
    scope: Scope,
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
const PUSH_BUDGET: Duration = Duration::from_secs(20);
/// How long a push waits for its turn.
const PUSH_WAIT: Duration = Duration::from_secs(6);
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
