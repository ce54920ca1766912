//! What a phone does with an app: on the screen, in the background, suspended, ended.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::timeout;

use crate::power::AppState;
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
    /// Tells whether a person looks at the app: in the foreground there are live connections, as with
    /// [`Client::live`], and in the background none. Must be called within a tokio runtime. Idempotent.
    pub fn set_app_state(&self, state: AppState) {
        let mut live = lock(&self.0.live);
        let now = self.now();
        lock(&self.inner().power).set_app_state(state, now);
        match state {
            AppState::Foreground if live.is_none() => *live = Some(self.live()),
            AppState::Foreground => {}
            AppState::Background => {
                // The app may be ended from now on; if the engine is busy, whoever uses it goes on to keep it.
                if live.take().is_some()
                    && let Ok(mut engine) = self.inner().engine.try_lock()
                {
                    self.inner().keep_or_say(&mut engine, now);
                }
            }
        }
        self.inner().replan();
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
        let keeper = Arc::clone(inner);
        let closing = inner.blocking(move |engine, now| {
            // Late, if whoever called this gave up and resumed since.
            if *phase.borrow() == Phase::Running {
                return Ok(());
            }
            keeper.keep_or_say(engine, now);
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
        let keeper = Arc::clone(inner);
        let closing = inner.blocking(move |engine, now| {
            keeper.keep_or_say(engine, now);
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
