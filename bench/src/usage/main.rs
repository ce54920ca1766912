//! `make usage-check`: does the phone's ledger say what can be seen from outside?
//!
//! A real node and a real client, each in a network namespace of its own, live through hours in minutes by a clock that
//! runs faster. Meanwhile bytes are read from the interface's counters, wake-ups of the radio from the packets on the link
//! between, and wake-ups of the process from the kernel's count of its voluntary context switches. All are compared with
//! the client's `usage`.

mod check;
mod clock;
mod link;
mod phone;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

/// Compares a client's ledger with what is counted from outside; exits 1 if they differ by more than a tenth, and 77 if
/// that cannot be checked here.
#[derive(Parser)]
#[command(
    name = "ailurus-usage-check",
    version,
    after_help = "Example:\n  make usage-check SECONDS=600"
)]
struct Cli {
    /// How long to look
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(30..=86_400))]
    seconds: u64,
    /// How many times faster than real time the clock of node and client runs
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=200))]
    faster: u32,
    /// How this program starts itself as the phone: its folder, then the clock's beginnings
    #[arg(long, hide = true, num_args = 3, value_names = ["FOLDER", "REAL", "THEN"])]
    phone: Option<Vec<PathBuf>>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(arguments) = &cli.phone {
        return match phone::play(arguments, cli.faster) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("ailurus-usage-check: the phone: {error}");
                ExitCode::from(2)
            }
        };
    }
    let link = match link::Link::new() {
        Ok(link) => link,
        Err(error) => {
            println!(
                "not checked: this needs root, the right to make network namespaces, and /dev/net/tun ({error})"
            );
            return ExitCode::from(NOT_HERE);
        }
    };
    match check::run(link, cli.seconds, cli.faster) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("ailurus-usage-check: {error}");
            ExitCode::from(2)
        }
    }
}

/// As test programs tell that they were skipped.
const NOT_HERE: u8 = 77;
