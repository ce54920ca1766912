//! `ailurus completions`.

use std::io::{self, Write as _};

use clap::CommandFactory as _;

use crate::{
    args::Cli,
    exit::{CliError, Outcome},
};

/// Prints the script that completes commands in a shell.
pub fn print(shell: clap_complete::Shell) -> Result<Outcome, CliError> {
    // Into memory first: clap_complete panics where a pipe breaks.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ailurus", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(Outcome::Done)
}
