//! A poll by datagram: one packet each way tells whether a connection is worth it (docs/PROTOCOL.md, section 5.15).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::channel::Standing;
use crate::net::ProbeSocket;
use crate::wire::limits::PROBE_LEN;

use super::engine::Asking;
use super::inner::Inner;
use super::{Error, PollReport};

/// What is known after a poll by datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Probed {
    /// The polled node has nothing new: the poll is done.
    Nothing,
    /// It has something.
    News,
    /// Nothing is known: it could not be asked, did not answer, or could not tell.
    #[default]
    Unknown,
}

/// What a poll by datagram has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProbeCost {
    /// Datagrams sent.
    pub(super) sent: u32,
    /// Answers received.
    pub(super) received: u32,
}

impl ProbeCost {
    /// The report of a poll that was no more than this.
    pub(super) fn report(self) -> PollReport {
        PollReport {
            bytes_sent: u64::from(self.sent).saturating_mul(PROBE_LEN as u64),
            bytes_received: u64::from(self.received).saturating_mul(PROBE_LEN as u64),
            probes_sent: self.sent,
            probes_received: self.received,
            nodes_reached: usize::from(self.received > 0),
            complete: true,
            ..PollReport::default()
        }
    }
}

/// Asks the polled node by datagram whether there is anything new, if that may be enough; ends by `deadline`. What it cost
/// is in the report.
///
/// # Errors
/// If the store fails, or the client stops.
pub(super) async fn probe(
    inner: &Arc<Inner>,
    deadline: Option<Instant>,
) -> Result<(Probed, PollReport), Error> {
    let Some(asking) = inner.blocking(|engine, now| engine.ask(now)).await? else {
        return Ok((Probed::Unknown, PollReport::default()));
    };
    let mut cost = ProbeCost::default();
    let (asking, answer) = ask(inner, asking, deadline, &mut cost).await?;
    let probed = match &answer {
        Some((Standing::Nothing, _)) => Probed::Nothing,
        Some((Standing::News, _)) => Probed::News,
        Some((Standing::Unknown, _)) | None => Probed::Unknown,
    };
    inner
        .blocking(move |engine, now| match answer {
            Some(answer) => engine.answered(&asking, &answer, now),
            None => engine.unanswered(&asking, now),
        })
        .await?;
    Ok((probed, cost.report()))
}

type Answer = (Standing, crate::channel::Ticket);

/// Sends the question, once more if no answer comes, and gives what was asked and the answer.
async fn ask(
    inner: &Arc<Inner>,
    mut asking: Asking,
    deadline: Option<Instant>,
    cost: &mut ProbeCost,
) -> Result<(Asking, Option<Answer>), Error> {
    let end = Instant::now() + AGAIN + LAST;
    let end = deadline.map_or(end, |deadline| deadline.min(end));
    let meter = Arc::clone(&inner.spending);
    let opening = ProbeSocket::open(asking.link.host(), asking.link.port(), meter);
    let Ok(Ok(socket)) = timeout_at(end, opening).await else {
        return Ok((asking, None));
    };
    for patience in [Instant::now() + AGAIN, end] {
        if cost.sent > 0 {
            let (again, next) = inner
                .blocking(move |engine, now| {
                    let again = engine.ask_again(&mut asking, now)?;
                    Ok((again, asking))
                })
                .await?;
            asking = next;
            if !again {
                break;
            }
        }
        if socket.send(&asking.question).await.is_err() {
            break;
        }
        cost.sent += 1;
        tokio::select! {
            answer = answer_to(&socket, &asking, cost) => return Ok((asking, answer)),
            () = sleep_until(patience.min(end)) => {}
        }
    }
    Ok((asking, None))
}

/// The first datagram that is an answer; `None` if nobody listens there.
async fn answer_to(socket: &ProbeSocket, asking: &Asking, cost: &mut ProbeCost) -> Option<Answer> {
    loop {
        let datagram = socket.receive().await.ok()?;
        cost.received = cost.received.saturating_add(1);
        if let Some(answer) = asking.open(&datagram) {
            return Some(answer);
        }
    }
}

/// Until the question is sent a second time.
const AGAIN: Duration = Duration::from_secs(1);
/// How long an answer is waited for after that.
const LAST: Duration = Duration::from_millis(1_500);
