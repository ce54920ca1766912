//! What a phone does with an app: on the screen, in the background, suspended, ended.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::timeout;

use crate::power::{AppState, NetworkState, PowerState, Wakeup};
use crate::store::StoreError;

use super::inner::Inner;
use super::{Client, Error, Live, lock};

/// Whether a client works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Suspended,
    Closed,
}

impl Phase {
    /// Why nothing can begin.
    pub(super) fn stopped(self) -> Option<Error> {
        match self {
            Self::Running => None,
            Self::Suspended => Some(StoreError::Suspended.into()),
            Self::Closed => Some(Error::ShutDown),
        }
    }

    /// Why something ended before its end; whoever resumed has suspended before.
    pub(super) fn interrupted(self) -> Error {
        self.stopped()
            .unwrap_or_else(|| StoreError::Suspended.into())
    }
}

/// What the clones of a client hold together. When the last one goes, everything ends.
pub(super) struct Handle {
    pub(super) inner: Arc<Inner>,
    /// The connections of the foreground.
    live: Mutex<Option<Live>>,
    /// One change of phase at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Handle {
    pub(super) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
            live: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Tasks that an outliving `Live` holds see this and end; the database closes with the last of them.
        self.inner.phase.send_replace(Phase::Closed);
        self.inner.end_events();
        self.inner.hang_up();
    }
}

impl Client {
    /// Tells how the battery stands. Nothing depends on it as yet.
    pub fn set_power(&self, state: PowerState) {
        lock(&self.inner().power).set_power(state, self.now());
    }

    /// Tells by what the phone is connected. If that is new, live connections and running polls move to a new socket at once
    /// (QUIC migration), and a live connection that is lost on the way is made anew after 2 seconds.
    pub fn set_network(&self, state: NetworkState) {
        let changed = lock(&self.inner().power).set_network(state, self.now());
        if changed {
            self.inner().network_changed();
        }
    }

    /// Tells whether a person looks at the app: in the foreground there are live connections, as with
    /// [`Client::live`], and in the background none. Must be called within a tokio runtime. Idempotent.
    pub fn set_app_state(&self, state: AppState) {
        let mut live = lock(&self.0.live);
        lock(&self.inner().power).set_app_state(state, self.now());
        match state {
            AppState::Foreground if live.is_none() => *live = Some(self.live()),
            AppState::Foreground => {}
            AppState::Background => *live = None,
        }
    }

    /// When to call [`Client::sync_once`] next; `None` in the foreground, where the client is live. A new client
    /// counts from when it was opened.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        let plan = lock(&self.inner().power).plan(self.now());
        plan.wakeup.filter(|_| !plan.live)
    }

    /// Lets go of everything that the system takes amiss of a suspended app: ends live connections and running polls,
    /// closes the sockets, waits for store work that runs, and closes the database, so that no file lock is held (iOS
    /// ends apps that hold one, with 0xdead10cc). Until [`Client::resume`] calls give
    /// [`StoreError::Suspended`]. Idempotent.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after [`Client::shutdown`].
    pub async fn suspend(&self) -> Result<(), Error> {
        let _turn = self.0.turn.lock().await;
        let inner = self.inner();
        // The connections of the foreground rest by themselves.
        self.enter(Phase::Suspended);
        let endpoint = inner.hang_up();
        let phase = inner.phase.subscribe();
        let closing = inner.blocking(move |engine, _| {
            // Late, if whoever called this gave up and resumed since.
            if *phase.borrow() == Phase::Running {
                return Ok(());
            }
            Ok(engine.store().suspend()?)
        });
        let flushing = async {
            if let Some(endpoint) = endpoint {
                endpoint.flush(FLUSH).await;
            }
        };
        tokio::join!(closing, flushing).0
    }

    /// Opens the database again after [`Client::suspend`], and then the live connections of the foreground. Idempotent.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after [`Client::shutdown`], or why the file does not open; it stays suspended then.
    pub async fn resume(&self) -> Result<(), Error> {
        let _turn = self.0.turn.lock().await;
        let inner = Arc::clone(self.inner());
        self.inner()
            .blocking(move |engine, _| {
                engine.store().resume()?;
                // With the engine locked, so that a late suspension sees it.
                inner.phase.send_if_modified(|phase| {
                    let resumes = *phase == Phase::Suspended;
                    if resumes {
                        *phase = Phase::Running;
                    }
                    resumes
                });
                Ok(())
            })
            .await
    }

    /// Ends the client for good: running polls end with [`Error::ShutDown`], live connections and streams of events
    /// end, nodes are told, and the database is closed. Every later call gives [`StoreError::Closed`] or
    /// [`Error::ShutDown`]. Idempotent; takes some seconds at most. Dropping the last clone does the same without
    /// waiting for it.
    pub async fn shutdown(&self) {
        self.enter(Phase::Closed);
        let inner = self.inner();
        lock(&self.0.live).take();
        let endpoint = inner.hang_up();
        let closing = inner.blocking(|engine, _| {
            engine.store().close();
            Ok(())
        });
        let flushing = async {
            if let Some(endpoint) = endpoint {
                endpoint.flush(FLUSH).await;
            }
        };
        // Store work that hangs goes on alone, and the database is closed behind it.
        let (closed, ()) = tokio::join!(timeout(CLOSE, closing), flushing);
        if !matches!(closed, Ok(Ok(()))) {
            tracing::warn!("the profile is still busy and closes later");
        }
        inner.end_events();
    }

    /// Stops what runs. Nothing leads back from a shutdown.
    fn enter(&self, next: Phase) {
        self.inner().phase.send_if_modified(|phase| {
            let enters = *phase != next && *phase != Phase::Closed;
            if enters {
                *phase = next;
            }
            enters
        });
    }
}

/// What closing connections may take.
const FLUSH: Duration = Duration::from_millis(500);
/// What store work that runs may take at a shutdown.
const CLOSE: Duration = Duration::from_secs(5);
