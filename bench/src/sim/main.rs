//! `make sim`: a week of a whole network in virtual time, from a seed.
//!
//! The nodes are the real ones: [`ailurus_node::Service`] over real SQLite files, admission, leases, eviction and
//! reconciliation included, and every signature is real. The phones choose their nodes with the real chooser and say
//! what real phones say; only their databases and the network between are left out.

mod channel;
mod choice;
mod client;
mod node;
mod phone;
mod report;
mod settle;
mod turns;
mod world;

use std::{num::NonZeroUsize, process::ExitCode, thread::available_parallelism};

use clap::Parser;

use ailurus_bench::random;
use report::Scale;

/// Why a simulation cannot go on, as a sentence.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Simulates a network of super nodes and light clients, and exits 1 if a message did not arrive that should have.
#[derive(Parser)]
#[command(
    name = "ailurus-sim",
    version,
    after_help = "Example:\n  make sim SIM='--seed 7 --fail-rate 0.2'"
)]
struct Cli {
    /// What chance begins with; the same seed and sizes repeat a run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Super nodes
    #[arg(long, default_value_t = 200)]
    nodes: usize,
    /// Light clients
    #[arg(long, default_value_t = 20_000)]
    clients: usize,
    /// Channels
    #[arg(long, default_value_t = 5_000)]
    channels: usize,
    /// Days in which people write
    #[arg(long, default_value_t = 7)]
    days: u64,
    /// Share of the nodes that fail on a day
    #[arg(long, default_value_t = 0.1)]
    fail_rate: f64,
    /// Processors to use; the outcome does not depend on it [default: all]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let scale = Scale {
        seed: cli.seed,
        nodes: cli.nodes,
        clients: cli.clients,
        channels: cli.channels,
        days: cli.days,
        fail_rate: cli.fail_rate,
    };
    eprintln!(
        "seed {}: {} nodes, {} clients, {} channels, {} days, {} of the nodes fail on a day",
        scale.seed, scale.nodes, scale.clients, scale.channels, scale.days, scale.fail_rate
    );
    let threads = cli
        .threads
        .or_else(|| available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    let report = match world::run(scale, threads) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("ailurus-sim: {error}");
            return ExitCode::from(2);
        }
    };
    if cli.json {
        match serde_json::to_string(&report) {
            Ok(line) => println!("{line}"),
            Err(error) => {
                eprintln!("ailurus-sim: {error}");
                return ExitCode::from(2);
            }
        }
    } else {
        report.print();
    }
    if report.is_complete() {
        ExitCode::SUCCESS
    } else {
        eprintln!("ailurus-sim: not everything has arrived");
        ExitCode::from(1)
    }
}
