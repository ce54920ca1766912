//! `ailurus-node run`: the daemon.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use ailurus_node::{Config, Node, NodeError, SystemClock};
use tokio::signal::unix::{SignalKind, signal};

use super::{exit::Failure, settings::Settings};

/// Runs until SIGTERM or SIGINT.
pub fn run(settings: Settings) -> Result<(), Failure> {
    let offset_ms = settings.offset_ms();
    let config = settings.config()?;
    if offset_ms != 0 {
        tracing::warn!(offset_ms, "the clock is shifted: this is for tests only");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format!(
                "the runtime cannot be started: {error}; raise the process limits"
            ))
        })?;
    runtime.block_on(serve(config, offset_ms))?;
    Ok(())
}

async fn serve(config: Config, offset_ms: i64) -> Result<(), NodeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(NodeError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(NodeError::Signal)?;
    let node = Node::start(config, Arc::new(SystemClock::with_offset_ms(offset_ms)))?;
    tracing::info!(listen = %node.local_addr(), metrics = ?node.metrics_addr(), "listening");
    // A closed stdout is no reason to stop.
    let _ = writeln!(io::stdout(), "{}", node.link());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    node.stop().await;
    Ok(())
}
