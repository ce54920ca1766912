//! The daemon `ailurus-node`, and the commands with which its operator looks after it.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse())
}
