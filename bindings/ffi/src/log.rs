//! Logs: what this library has to say to developers. They hold no secret, name or text.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::{AilurusError, platform};

/// How much a log record matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// A fault of this library.
    Error,
    /// Something went wrong and was dealt with.
    Warn,
    /// What happens, in short.
    Info,
    /// What happens, for developers.
    Debug,
}

/// One line of the log.
#[derive(Clone, Debug, uniffi::Record)]
pub struct LogRecord {
    /// How much it matters.
    pub level: LogLevel,
    /// The module that it comes from.
    pub target: String,
    /// What happened.
    pub message: String,
}

/// Takes log records, on a thread of its own. Records that come faster than they are taken are dropped and counted.
#[uniffi::export(foreign)]
pub trait LogSink: Send + Sync {
    /// One record.
    fn log(&self, record: LogRecord) -> Result<(), LogSinkError>;
}

/// A log sink failed; logging goes on.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum LogSinkError {
    /// It threw.
    #[error("the log sink failed: {reason}")]
    Failed {
        /// What it said.
        reason: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for LogSinkError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed {
            reason: error.reason,
        }
    }
}

/// Sends records of at least this level to `sink`, from now on and instead of where they went before; without a sink
/// to logcat on Android and to standard error elsewhere. Before the first call nothing is logged.
///
/// Fails with `Busy` if the app's Rust code has installed a `tracing` subscriber of its own, which gets them instead.
#[uniffi::export]
pub fn set_log_sink(level: LogLevel, sink: Option<Arc<dyn LogSink>>) -> Result<(), AilurusError> {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let subscriber = tracing_subscriber::registry().with(Switch {
            platform: platform::log_layer(),
        });
        tracing::subscriber::set_global_default(subscriber).is_ok()
    });
    if !installed {
        return Err(AilurusError::Busy(
            "this process has a log of its own already; take the records from there".to_owned(),
        ));
    }
    let mut state = state();
    state.level = level.into();
    state.sender = sink.map(start);
    drop(state);
    tracing::callsite::rebuild_interest_cache();
    Ok(())
}

struct State {
    level: LevelFilter,
    sender: Option<SyncSender<LogRecord>>,
}

fn state() -> std::sync::MutexGuard<'static, State> {
    static STATE: Mutex<State> = Mutex::new(State {
        level: LevelFilter::OFF,
        sender: None,
    });
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread that hands records to a sink; it ends when another sink takes its place.
fn start(sink: Arc<dyn LogSink>) -> SyncSender<LogRecord> {
    let (sender, records) = sync_channel::<LogRecord>(WAITING);
    // Without a thread the records are dropped, which is all that can be done about it here.
    let _ = std::thread::Builder::new()
        .name("ailurus-log".to_owned())
        .spawn(move || {
            platform::thread_started();
            for record in records {
                let dropped = DROPPED.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    let _ = sink.log(LogRecord {
                        level: LogLevel::Warn,
                        target: module_path!().to_owned(),
                        message: format!("{dropped} records were dropped"),
                    });
                }
                let _ = sink.log(record);
            }
        });
    sender
}

/// Records that wait for a slow sink.
const WAITING: usize = 1_024;
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Sends records to the sink of the moment.
struct Switch<P> {
    platform: P,
}

impl<S, P> Layer<S> for Switch<P>
where
    S: Subscriber,
    P: Layer<S>,
{
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // Other crates may log what they please, secrets and names included.
        metadata.target().starts_with("ailurus") && *metadata.level() <= state().level
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let sender = state().sender.clone();
        match sender {
            None => self.platform.on_event(event, context),
            Some(sender) => {
                if sender.try_send(LogRecord::from(event)).is_err() {
                    DROPPED.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

impl From<&tracing::Event<'_>> for LogRecord {
    fn from(event: &tracing::Event<'_>) -> Self {
        let mut text = Text::default();
        event.record(&mut text);
        Self {
            level: (*event.metadata().level()).into(),
            target: event.metadata().target().to_owned(),
            message: text.message + &text.fields,
        }
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields += &format!(" {}={value:?}", field.name());
        }
    }
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::OFF,
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
        }
    }
}

impl From<tracing::Level> for LogLevel {
    fn from(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG | tracing::Level::TRACE => Self::Debug,
        }
    }
}
