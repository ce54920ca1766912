//! `make bench`: measures what people feel, each row against a limit and, where there is one, a floor of the same run.
//!
//! Prints one JSON object a line and keeps the lines in `target/bench.jsonl`. A suite of [`rows`] measures a few rows
//! together; [`harness`] has the node process, the client processes and what all of them share.

mod rows;

use std::process::ExitCode;

use clap::Parser;

use ailurus_bench::harness;
use harness::{Failure, report::Report, row::Suite};
use rows::SUITES;

/// Measures Ailurus and prints one JSON object a line; exits 1 if a row misses its limit.
#[derive(Parser)]
#[command(
    name = "ailurus-bench",
    version,
    after_help = "Example:\n  make bench ONLY=catch_up"
)]
struct Cli {
    /// Measure only rows whose name begins like this, and replace only these in target/bench.jsonl
    #[arg(long, value_name = "NAME", env = "ONLY", default_value = "")]
    only: String,
    /// How the bench starts itself as another process: a role's name and arguments
    #[arg(long, hide = true, num_args = 1.., allow_hyphen_values = true)]
    role: Option<Vec<String>>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.role {
        Some(role) => rows::play(&role).map(|()| true),
        None => measure(&cli.only),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("ailurus-bench: {error}");
            ExitCode::from(2)
        }
    }
}

/// True if every row that was asked for reached its limit.
fn measure(only: &str) -> Result<bool, Failure> {
    let chosen: Vec<&Suite> = SUITES
        .iter()
        .filter(|suite| suite.specs.iter().any(|spec| spec.name.starts_with(only)))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = SUITES
            .iter()
            .flat_map(|suite| suite.specs)
            .map(|spec| spec.name)
            .collect();
        return Err(format!(
            "no row begins with \"{only}\"; there are {}",
            names.join(", ")
        )
        .into());
    }
    let mut report = Report::open("bench.jsonl", only.is_empty())?;
    let mut all = true;
    for suite in chosen {
        for row in suite.measure() {
            if row.name.starts_with(only) {
                all &= row.ok;
                report.add(&row)?;
            }
        }
    }
    Ok(all)
}
