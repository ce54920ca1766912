//! The runtime that all calls share, and how calls are cancelled.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ailurus::client::Error;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::{AilurusError, platform};

/// Ends the calls that it was given to. Kotlin's coroutines cancel by themselves; Swift's tasks, and callers that keep
/// a call in another thread, need this.
#[derive(uniffi::Object)]
pub struct Cancellation(watch::Sender<bool>);

#[uniffi::export]
impl Cancellation {
    /// One that was not cancelled yet.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(false)))
    }

    /// Ends the calls, which then fail with `Cancelled`. Nothing that a super node acknowledged is lost.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

/// Runs a call on the runtime. It ends when the returned future is dropped, or when it is cancelled.
pub(crate) async fn run<T: Send + 'static>(
    cancellation: Option<Arc<Cancellation>>,
    call: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, AilurusError> {
    let (answer, answered) = oneshot::channel();
    // Boxed, here and below, or each call would bring its own copy of tokio's task into the library.
    let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
        // Nobody may be waiting any more.
        let _ = answer.send(call.await);
    });
    let task = Task(runtime().spawn(task));
    let Some(cancellation) = cancellation else {
        return outcome(task, answered).await;
    };
    let mut cancelled = cancellation.0.subscribe();
    tokio::select! {
        biased;
        _ = cancelled.wait_for(|cancelled| *cancelled) => Err(AilurusError::cancelled()),
        done = outcome(task, answered) => done,
    }
}

/// Runs store work on a thread that may block. Once begun it runs to its end.
pub(crate) async fn disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, AilurusError> {
    let (answer, answered) = oneshot::channel();
    let task: Box<dyn FnOnce() + Send> = Box::new(move || {
        let _ = answer.send(work());
    });
    outcome(Task(runtime().spawn_blocking(task)), answered).await
}

/// The runtime of this library; it is made at the first call and lives as long as the process.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        #[expect(
            clippy::expect_used,
            reason = "without threads nothing can run; the app gets an exception"
        )]
        Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(BLOCKING)
            .thread_keep_alive(Duration::from_secs(5))
            .thread_name("ailurus")
            .on_thread_start(platform::thread_started)
            .enable_all()
            .build()
            .expect("the threads of the runtime start")
    })
}

/// A phone has more to do than this library.
const WORKERS: usize = 2;
/// Each live connection takes in messages on one, each disk call needs one for a moment, and a key vault may hold one.
const BLOCKING: usize = 64;

/// A spawned call, which is aborted when nobody waits for it any more.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn outcome<T>(
    mut task: Task,
    answered: oneshot::Receiver<Result<T, Error>>,
) -> Result<T, AilurusError> {
    if let Ok(done) = answered.await {
        return Ok(done?);
    }
    match (&mut task.0).await {
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        _ => Err(AilurusError::cancelled()),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_panic_reaches_the_caller() {
        let call = || runtime().block_on(run(None, async { panic!("in a call") }));
        let caught = catch_unwind(AssertUnwindSafe(|| -> Result<(), _> { call() }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"in a call"));
        let work = || runtime().block_on(disk(|| panic!("on a disk")));
        let caught = catch_unwind(AssertUnwindSafe(|| -> Result<(), _> { work() }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"on a disk"));
        // The threads live on.
        assert_eq!(runtime().block_on(disk(|| Ok(7))).unwrap(), 7);
    }

    #[test]
    fn a_cancelled_call_ends_and_drops_its_work() {
        struct Told(Option<std::sync::mpsc::Sender<()>>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _ = self.0.take().unwrap().send(());
            }
        }
        let (sender, dropped) = std::sync::mpsc::channel();
        let cancellation = Cancellation::new();
        let told = Told(Some(sender));
        let call = run(Some(Arc::clone(&cancellation)), async move {
            let _told = told;
            pending::<Result<(), Error>>().await
        });
        let call = runtime().spawn(call);
        assert!(dropped.recv_timeout(Duration::from_millis(50)).is_err());
        cancellation.cancel();
        let ended = runtime().block_on(call).unwrap();
        assert!(
            matches!(ended, Err(AilurusError::Cancelled(_))),
            "{ended:?}"
        );
        dropped.recv_timeout(Duration::from_secs(5)).unwrap();
    }
}
