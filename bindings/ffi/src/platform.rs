//! What differs between platforms: threads and the place for logs.

#[cfg(target_os = "android")]
mod android;

/// Called on each new thread of ours that may call the app.
pub(crate) fn thread_started() {
    #[cfg(target_os = "android")]
    android::attach_thread();
}

/// Writes a line to the platform's log: logcat on Android, standard error elsewhere.
pub(crate) fn log_layer<S>() -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    #[cfg(target_os = "android")]
    return android::log_layer();
    #[cfg(not(target_os = "android"))]
    stderr::Stderr
}

#[cfg(not(target_os = "android"))]
mod stderr {
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, Layer};

    use crate::log::LogRecord;

    pub(super) struct Stderr;

    impl<S: Subscriber> Layer<S> for Stderr {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let record = LogRecord::from(event);
            eprintln!("{:?} {}: {}", record.level, record.target, record.message);
        }
    }
}
