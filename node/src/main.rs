//! The daemon `ailurus-node`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use ailurus_node::{
    Config, ConfigFile, Node, NodeError, SystemClock, parse_host_port, parse_offset,
};
use clap::{CommandFactory as _, Parser, error::ErrorKind};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// An Ailurus super node: keeps envelopes for light clients that are away.
///
/// It prints its node link, alone on a line, once it listens. Logs go to stderr; set AILURUS_LOG to filter them
/// (error, warn, info, debug, trace).
#[derive(Parser)]
#[command(
    name = "ailurus-node",
    version,
    after_help = "Example:\n  ailurus-node --data /var/lib/ailurus-node --listen 0.0.0.0:4433 --advertise chat.example.org:4433"
)]
struct Cli {
    /// Directory of the node's key and database; made if missing
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// UDP address to listen on; port 0 is chosen once and kept
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Host and port that the node link shows, if not the listen address
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_host_port)]
    advertise: Option<(String, u16)>,
    /// TCP address of Prometheus /metrics and of /health; off if not given
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// TOML file with these settings and the limits
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory was restored from a backup: have all clients reconcile
    #[arg(long)]
    restored: bool,
    /// Shift the clock, for tests: 8d, 90m, -3h
    #[arg(long, value_name = "DURATION", value_parser = parse_offset, allow_hyphen_values = true)]
    clock_offset: Option<i64>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("AILURUS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let offset_ms = cli.clock_offset.unwrap_or(0);
    let config = match config(cli) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if offset_ms != 0 {
        tracing::warn!(offset_ms, "the clock is shifted: this is for tests only");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(
                &format!("the runtime cannot be started: {error}; raise the process limits"),
                1,
            );
        }
    };
    match runtime.block_on(run(config, offset_ms)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string(), if error.is_usage() { 2 } else { 1 }),
    }
}

async fn run(config: Config, offset_ms: i64) -> Result<(), NodeError> {
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

/// The command line over the file over the defaults.
fn config(cli: Cli) -> Result<Config, ExitCode> {
    let file = match &cli.config {
        Some(path) => ConfigFile::read(path).map_err(|error| fail(&error.to_string(), 1))?,
        None => ConfigFile::default(),
    };
    let advertised = file.advertise.as_deref().map(parse_host_port);
    let advertised = advertised
        .transpose()
        .map_err(|error| fail(&error.to_string(), 1))?;
    let missing = |what: &str| {
        let kind = ErrorKind::MissingRequiredArgument;
        Cli::command()
            .error(
                kind,
                format!("{what} is not given, neither here nor with --config FILE"),
            )
            .exit()
    };
    let Some(data) = cli.data.or(file.data) else {
        missing("--data DIR")
    };
    let Some(listen) = cli.listen.or(file.listen) else {
        missing("--listen ADDR")
    };
    Ok(Config {
        data,
        listen,
        advertise: cli.advertise.or(advertised),
        metrics: cli.metrics.or(file.metrics),
        restored: cli.restored,
        limits: file.limits,
    })
}

fn fail(message: &str, code: u8) -> ExitCode {
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(io::stderr(), "ailurus-node: {message}");
    ExitCode::from(code)
}
