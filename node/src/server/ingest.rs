//! The way of an envelope to the disk: one thread verifies, the next commits, each on all that has come meanwhile.
//!
//! While one batch is being committed the next is verified, so an fsync costs no throughput, and under load its cost is
//! shared by hundreds of envelopes.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ailurus::wire::{node::Response, time::Clock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{live::Live, peers::Hub, push::Pusher};
use crate::service::{Checked, Service, Write};

/// The way in.
pub(super) struct Ingest {
    jobs: mpsc::UnboundedSender<Message>,
    budget: Arc<Semaphore>,
}

/// The two threads, to be waited for.
pub(super) type Threads = [JoinHandle<()>; 2];

/// Requests that came together on one stream.
pub(super) struct Job {
    pub(super) writes: Vec<Write>,
    pub(super) replies: Vec<oneshot::Sender<Response>>,
    /// About how much memory they take, in bytes.
    pub(super) bytes: usize,
}

enum Message {
    Job(Job, OwnedSemaphorePermit),
    Stop,
}

/// Verified requests on their way to the disk.
struct Verified {
    checked: Vec<Checked>,
    replies: Vec<oneshot::Sender<Response>>,
    /// Returned when the requests are answered.
    permits: Vec<OwnedSemaphorePermit>,
}

impl Ingest {
    /// Starts the threads; the one that commits holds the data directory's lock as long as it runs.
    pub(super) fn start(
        service: Arc<Service>,
        audience: Audience,
        clock: Arc<dyn Clock>,
        lock: Arc<File>,
    ) -> io::Result<(Self, Threads)> {
        let (jobs, received) = mpsc::unbounded_channel();
        let (verified, to_commit) = sync_channel(VERIFIED_BATCHES);
        let committer = Committer {
            service: Arc::clone(&service),
            audience,
            clock: Arc::clone(&clock),
            _lock: lock,
        };
        let threads = [
            thread::Builder::new()
                .name("verify".into())
                .spawn(move || verify(&service, clock.as_ref(), received, &verified))?,
            thread::Builder::new()
                .name("commit".into())
                .spawn(move || committer.run(&to_commit))?,
        ];
        let ingest = Self {
            jobs,
            budget: Arc::new(Semaphore::new(BUDGET)),
        };
        Ok((ingest, threads))
    }

    /// Hands requests over, waiting while too much is under way. Each is answered through its `replies`, which are
    /// dropped if the node stops.
    pub(super) async fn submit(&self, job: Job) {
        let bytes = job.bytes.clamp(1, BUDGET);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&self.budget).acquire_many_owned(permits).await else {
            return;
        };
        // Fails only when the node stops, which the dropped replies tell.
        let _ = self.jobs.send(Message::Job(job, permit));
    }

    /// Ends the threads once everything handed over before is committed.
    pub(super) fn stop(&self) {
        let _ = self.jobs.send(Message::Stop);
    }
}

fn verify(
    service: &Service,
    clock: &dyn Clock,
    mut jobs: mpsc::UnboundedReceiver<Message>,
    verified: &SyncSender<Verified>,
) {
    let mut checker = service.checker();

    while let Some(first) = jobs.blocking_recv() {
        let mut writes = Vec::new();
        let mut replies = Vec::new();
        let mut permits = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Stop => jobs.close(),
                Message::Job(job, permit) => {
                    writes.extend(job.writes);
                    replies.extend(job.replies);
                    permits.push(permit);
                }
            }
            next = if writes.len() < REQUESTS_PER_BATCH {
                jobs.try_recv().ok()
            } else {
                None
            };
        }
        let now = clock.now();
        let checked = checker.check(now, writes);
        service.charge(now, &checked);
        let batch = Verified {
            checked,
            replies,
            permits,
        };
        if verified.send(batch).is_err() {
            return;
        }
    }
}

/// Who is told of what was committed.
pub(super) struct Audience {
    pub(super) live: Arc<Live>,
    pub(super) hub: Arc<Hub>,
    pub(super) pusher: Arc<Pusher>,
}

struct Committer {
    service: Arc<Service>,
    audience: Audience,
    clock: Arc<dyn Clock>,
    /// The data directory's: another node would not see what is still being committed.
    _lock: Arc<File>,
}

impl Committer {
    fn run(&self, batches: &Receiver<Verified>) {
        // By a clock that nobody sets, so that what is due comes whatever happens to the other.
        let started = Instant::now();
        let mut next_expiry = started;
        let mut next_seen = started;
        let mut next_look = started;
        let mut version = None;
        loop {
            match batches.recv_timeout(TICK) {
                Ok(first) => self.commit(first, batches),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let instant = Instant::now();
            if instant >= next_seen {
                self.service
                    .see(&self.audience.live.followers(), self.clock.now());
                next_seen = instant + SEEN_INTERVAL;
            }
            if instant >= next_look {
                next_look = instant + TICK;
                // What the operator has revoked goes now.
                if self.changed_outside(&mut version) {
                    next_expiry = instant;
                }
            }
            if instant >= next_expiry && !self.expire(instant.duration_since(started)) {
                next_expiry = instant + EXPIRY_INTERVAL;
            }
        }
    }

    /// Commits a batch and all that wait behind it, answers, and pushes.
    fn commit(&self, first: Verified, batches: &Receiver<Verified>) {
        let mut checked = first.checked;
        let mut replies = first.replies;
        let mut permits = vec![first.permits];
        let mut rows: usize = checked.iter().map(Checked::rows).sum();
        while rows < ROWS_PER_COMMIT
            && let Ok(next) = batches.try_recv()
        {
            rows += next.checked.iter().map(Checked::rows).sum::<usize>();
            checked.extend(next.checked);
            replies.extend(next.replies);
            permits.push(next.permits);
        }
        let metrics = self.service.metrics();
        let committed = self.service.commit(self.clock.now(), &checked);
        let end = self.service.store().end();
        match &committed.failure {
            Some(error) if metrics.set_healthy(false) => {
                tracing::error!(%error, "nothing can be stored; clients are refused until a commit succeeds");
            }
            None if metrics.set_healthy(true) => tracing::info!("commits succeed again"),
            _ => {}
        }
        metrics.acknowledged.inc_by(replies.len() as u64);
        for (reply, response) in replies.into_iter().zip(committed.responses) {
            // The client may have gone.
            let _ = reply.send(response);
        }
        if !committed.stored.is_empty() {
            self.audience.hub.offer(&committed.stored);
            if self.service.wakes() {
                self.audience.pusher.offer(&committed.stored);
            }
            self.audience.live.push(committed.stored, end, metrics);
        }
        self.audience.live.reload(&committed.changed);
        self.audience.live.end(&committed.ended);
    }

    /// Whether a command of the operator wrote to the database since the last time.
    fn changed_outside(&self, version: &mut Option<i64>) -> bool {
        let Ok(found) = self.service.store().outside_version() else {
            return false;
        };
        version.replace(found).is_some_and(|before| before != found)
    }

    /// Says once that the node is nearly full.
    fn watch_storage(&self) {
        let metrics = self.service.metrics();
        if let Some(free) = self.service.store().disk_free() {
            metrics.set_disk_free(free);
        }
        if metrics.is_nearly_full_now() {
            tracing::warn!(
                permille = metrics.load_storage.get(),
                "the node keeps nearly as much as it may; at limits.bytes it refuses new envelopes: raise that, or lower \
                 limits.bytes_per_address"
            );
        }
    }

    /// True if there is more to take away at once.
    fn expire(&self, elapsed: Duration) -> bool {
        let held = &self.service.metrics().clock_held;
        let was_held = held.get() != 0;
        match self.service.tick(self.clock.now(), elapsed) {
            Ok(expired) => {
                if expired.held && !was_held {
                    tracing::error!(
                        "the clock is far ahead of where it was: nothing is deleted meanwhile; correct the clock, or if it \
                         is right start the node once with --trust-clock"
                    );
                } else if was_held && !expired.held {
                    tracing::warn!("the clock is believed again; what is over is deleted");
                }
                self.audience.live.reload(&expired.pseudonyms);
                self.audience.live.end(&expired.ended);
                self.watch_storage();
                if expired.envelopes > 0 || expired.leases > 0 {
                    tracing::debug!(
                        envelopes = expired.envelopes,
                        leases = expired.leases,
                        "expired"
                    );
                }
                expired.more
            }
            Err(error) => {
                tracing::warn!(%error, "expired envelopes stay for now");
                false
            }
        }
    }
}

/// Requests under way at once, in bytes.
const BUDGET: usize = 32 << 20;
/// Requests verified together; a request may carry many envelopes.
const REQUESTS_PER_BATCH: usize = 512;
/// Verified batches that may wait for the disk.
const VERIFIED_BATCHES: usize = 8;
/// Rows after which a transaction is closed.
const ROWS_PER_COMMIT: usize = 8_192;
/// How often an idle committer looks at the clock.
const TICK: Duration = Duration::from_secs(1);
/// Time between two expiries.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);
/// Time between two notes of who follows.
const SEEN_INTERVAL: Duration = Duration::from_secs(3_600);
