//! The service on a QUIC endpoint: who may connect, one task a connection and stream, and the threads behind them.

mod cpu;
mod frames;
mod ingest;
mod limits;
mod live;
mod peers;
mod probes;
mod push;
mod stream;

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use ailurus::{
    crypto::Pseudonym,
    net::{Connection, Incoming, NodeEndpoint},
    wire::time::Clock,
};
use tokio::{sync::Semaphore, task::JoinHandle};

use self::{
    ingest::{Audience, Ingest, Threads},
    limits::{Slot, Slots},
    live::Live,
    peers::{Hub, Tasks},
    probes::Loading,
    push::Pusher,
};
pub(crate) use self::{
    peers::Dialling,
    probes::{Answering, Questions},
    push::Pushing,
};
use crate::{error::NodeError, service::Service};

/// A running server.
pub(crate) struct Server {
    shared: Arc<Shared>,
    peers: Tasks,
    pushing: Option<JoinHandle<()>>,
    accepting: JoinHandle<()>,
    loading: Loading,
    threads: Option<Threads>,
}

/// What all connections use.
struct Shared {
    service: Arc<Service>,
    live: Arc<Live>,
    hub: Arc<Hub>,
    pusher: Arc<Pusher>,
    ingest: Ingest,
    clock: Arc<dyn Clock>,
    /// Reads of the store under way at once.
    readers: Arc<Semaphore>,
    /// The same for those that may read a lot, so that no poll waits for them.
    long_readers: Arc<Semaphore>,
}

/// What the streams of one connection share.
struct Client {
    shared: Arc<Shared>,
    connection: Connection,
    pseudonym: Pseudonym,
    malformed: AtomicU32,
}

impl Server {
    /// Starts to accept connections; must be called within a tokio runtime.
    pub(crate) fn start(
        endpoint: Arc<NodeEndpoint>,
        service: Arc<Service>,
        clock: Arc<dyn Clock>,
        dialling: Dialling,
        questions: Questions,
        pushing: Option<Pushing>,
        lock: Arc<File>,
    ) -> Result<Self, NodeError> {
        let live = Arc::new(Live::default());
        let hub = Arc::new(Hub::default());
        let pusher = Arc::new(Pusher::default());
        let audience = Audience {
            live: Arc::clone(&live),
            hub: Arc::clone(&hub),
            pusher: Arc::clone(&pusher),
        };
        let (ingest, threads) =
            Ingest::start(Arc::clone(&service), audience, Arc::clone(&clock), lock)
                .map_err(NodeError::Thread)?;
        let loading = Loading::start(
            questions,
            endpoint.probe_sender(),
            Arc::clone(&service),
            Arc::clone(&clock),
        )
        .map_err(NodeError::Thread)?;
        let shared = Arc::new(Shared {
            service,
            live,
            hub,
            pusher,
            ingest,
            clock,
            readers: Arc::new(Semaphore::new(READERS)),
            long_readers: Arc::new(Semaphore::new(LONG_READERS)),
        });
        let peers = Tasks::start(&shared, dialling)?;
        let pushing = pushing.map(|pushing| tokio::spawn(push::run(Arc::clone(&shared), pushing)));
        let accepting = tokio::spawn(accept(endpoint, Arc::clone(&shared)));
        Ok(Self {
            shared,
            peers,
            pushing,
            accepting,
            loading,
            threads: Some(threads),
        })
    }

    /// Accepts nobody any more, and waits until everything that was handed over is committed and answered.
    pub(crate) async fn stop(&mut self) {
        self.accepting.abort();
        self.peers.stop();
        self.stop_pushing();
        self.shared.ingest.stop();
        let Some(threads) = self.threads.take() else {
            return;
        };
        let loading = self.loading.stop();
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads.into_iter().chain(loading) {
                if thread.join().is_err() {
                    tracing::error!("a thread ended in a panic");
                }
            }
        });
        // The closure does not panic.
        let _ = joined.await;
    }
}

impl Server {
    fn stop_pushing(&self) {
        if let Some(pushing) = &self.pushing {
            pushing.abort();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        self.stop_pushing();
        self.shared.ingest.stop();
    }
}

async fn accept(endpoint: Arc<NodeEndpoint>, shared: Arc<Shared>) {
    let slots = Arc::new(Slots::new(shared.service.limits()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tick = tokio::time::interval(SAMPLE_INTERVAL);
    loop {
        let metrics = shared.service.metrics();
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            _ = tick.tick() => {
                let foreign = i64::try_from(endpoint.foreign_datagrams()).unwrap_or(i64::MAX);
                metrics.foreign_datagrams.set(foreign);
                if let Some(used) = cpu::used() {
                    let meter = shared.service.load_meter();
                    meter.sample_cpu(shared.clock.now(), used, cores);
                }
                continue;
            }
        };
        let Some(incoming) = incoming else {
            return;
        };
        // A forged source address must not use up somebody else's share.
        if slots.is_busy() && !incoming.is_validated() {
            incoming.retry();
            continue;
        }
        let Some(slot) = slots.take(incoming.remote_addr().ip(), metrics) else {
            metrics.connections_refused.inc();
            incoming.refuse();
            continue;
        };
        tokio::spawn(handshake(Arc::clone(&shared), incoming, slot));
    }
}

/// Its own task, so that the memory it needs is returned before the connection falls idle.
async fn handshake(shared: Arc<Shared>, incoming: Incoming, slot: Slot) {
    let metrics = shared.service.metrics();
    let connection = match incoming.handshake().await {
        Ok(connection) => connection,
        Err(error) => {
            metrics.handshakes_failed.inc();
            tracing::debug!(%error, "handshake failed");
            return;
        }
    };
    let Some(pseudonym) = connection.peer_pseudonym() else {
        return;
    };
    metrics.connections.inc();
    let client = Arc::new(Client {
        shared: Arc::clone(&shared),
        connection,
        pseudonym,
        malformed: AtomicU32::new(0),
    });
    tokio::spawn(serve(client, slot));
}

async fn serve(client: Arc<Client>, slot: Slot) {
    loop {
        match client.connection.accept().await {
            Ok((sender, receiver)) => {
                tokio::spawn(stream::serve(Arc::clone(&client), sender, receiver));
            }
            Err(error) => {
                tracing::trace!(%error, "connection ended");
                break;
            }
        }
    }
    let (sent, received) = client.connection.bytes();
    let metrics = client.shared.service.metrics();
    metrics.bytes_sent.inc_by(sent);
    metrics.bytes_received.inc_by(received);
    drop(slot);
}

impl Client {
    /// Counts something that did not parse; after a few the connection is closed.
    fn malformed(&self) {
        self.shared.service.metrics().malformed.inc();
        if self.malformed.fetch_add(1, Ordering::Relaxed) + 1 >= MALFORMED {
            self.connection.close(CODE_MALFORMED, "malformed frames");
        }
    }

    /// Counts how long a request that came at `since` waited for its answer.
    fn answered(&self, since: Instant) {
        let now = self.shared.clock.now();
        let meter = self.shared.service.load_meter();
        meter.answered(now, since.elapsed());
    }

    /// Closes the connection of a client that does not speak in frames.
    fn close_malformed(&self) {
        self.shared.service.metrics().malformed.inc();
        self.connection.close(CODE_MALFORMED, "malformed frames");
    }
}

/// Messages that do not parse before a connection is closed.
const MALFORMED: u32 = 3;
/// The application's error code for that (docs/PROTOCOL.md, section 5.1).
const CODE_MALFORMED: u32 = 1;
/// Reads of the store at once: they are short, and there are few disks.
const READERS: usize = 4;
/// Digests and lists at once.
const LONG_READERS: usize = 2;

/// How often foreign datagrams and processor time are taken over into the metrics.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
