//! Ailurus on the desktop: a light client for the terminal, over the same API as the apps.

mod args;
mod clock_offset;
mod commands;
mod exit;
mod line_editor;
mod local_time;
mod output;
mod passphrase;
mod profile;
mod terminal;

use std::{io, process::ExitCode, time::Duration};

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use args::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log();
    if let Some(offset) = cli.clock_offset {
        tracing::warn!(
            millis = offset.as_millis(),
            "the clock is shifted by --clock-offset"
        );
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(Err(error.into())),
    };
    let result = runtime.block_on(commands::run(cli));
    runtime.shutdown_timeout(SHUTDOWN);
    exit::report(result)
}

/// How long work that nobody waits for any more may take to end.
const SHUTDOWN: Duration = Duration::from_millis(500);

fn start_log() {
    let filter = EnvFilter::try_from_env("AILURUS_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(output::Style::of_stderr().coloured())
        .init();
}
