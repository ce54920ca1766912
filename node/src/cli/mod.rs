//! The command line: one module a command.

mod backup;
mod check_config;
mod exit;
mod invite;
mod revoke;
mod run;
mod settings;
mod status;
mod text;

use std::{io, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use self::settings::Settings;

/// An Ailurus super node: keeps envelopes for light clients that are away.
///
/// Without a command it runs: it prints its node link, alone on a line, once it listens. Logs go to stderr; set
/// AILURUS_LOG to filter them (error, warn, info, debug, trace). The other commands look after a node, most of them
/// while it runs.
#[derive(Parser)]
#[command(name = "ailurus-node", version, propagate_version = true, after_help = ROOT_HELP)]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the node, as without any command
    #[command(after_help = RUN_HELP)]
    Run,
    /// Say whether the node would start with these settings, and with which
    #[command(after_help = CHECK_HELP)]
    CheckConfig {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Mint an invitation for one person, who is then nearer to this node than strangers
    #[command(after_help = INVITE_HELP)]
    Invite(invite::Invite),
    /// Show clients, storage, invitations and who was turned away, while the node runs or not
    #[command(after_help = STATUS_HELP)]
    Status {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Turn away everybody who came through an invitation or a later introduction
    #[command(after_help = REVOKE_HELP)]
    Revoke(revoke::Revoke),
    /// Write node key and database into one file, while the node runs or not
    #[command(after_help = BACKUP_HELP)]
    Backup {
        /// The file to make; it must not be there yet
        file: PathBuf,
    },
    /// Make a data directory from a backup file
    #[command(after_help = RESTORE_HELP)]
    Restore {
        /// A file that `ailurus-node backup` wrote
        file: PathBuf,
    },
}

/// Runs the command.
pub fn run(cli: Cli) -> ExitCode {
    let filter = EnvFilter::try_from_env("AILURUS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(text::is_coloured(&io::stderr()))
        .init();
    let result = match cli.command {
        None | Some(Command::Run) => run::run(cli.settings),
        Some(Command::CheckConfig { json }) => check_config::run(cli.settings, json),
        Some(Command::Invite(invite)) => invite::run(&cli.settings, invite),
        Some(Command::Status { json }) => status::run(&cli.settings, json),
        Some(Command::Revoke(revoke)) => revoke::run(&cli.settings, &revoke),
        Some(Command::Backup { file }) => backup::backup(&cli.settings, &file),
        Some(Command::Restore { file }) => backup::restore(&cli.settings, &file),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

const ROOT_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

Example:
  ailurus-node --data /var/lib/ailurus-node --listen 0.0.0.0:4433 --advertise chat.example.org:4433
  ailurus-node check-config --config /etc/ailurus-node.toml
  ailurus-node status --data /var/lib/ailurus-node";

const RUN_HELP: &str = "\
Example:
  ailurus-node run --config /etc/ailurus-node.toml";

const CHECK_HELP: &str = "\
Reads file and command line as the node does, and looks whether the directory can be written and the port is free.
Prints the settings on stdout and what is wrong with them on stderr; exits with 2 if the node would not start.

Example:
  ailurus-node check-config --config /etc/ailurus-node.toml";

const INVITE_HELP: &str = "\
Prints the invitation alone on stdout. Whoever has it can register with hop count 1 and introduce others, up to six hops
from here; it is good for one client at a time.

Example:
  ailurus-node invite --data /var/lib/ailurus-node --label 'reading circle' --clients 30
  ailurus-node invite --data /var/lib/ailurus-node --qr";

const STATUS_HELP: &str = "\
Example:
  ailurus-node status --data /var/lib/ailurus-node
  ailurus-node status --data /var/lib/ailurus-node --json";

const REVOKE_HELP: &str = "\
Takes effect within a minute while the node runs, else when it starts. Those who are ended are told why.

Example:
  ailurus-node revoke --data /var/lib/ailurus-node 'reading circle'
  ailurus-node revoke --data /var/lib/ailurus-node 5f0c9a81 --days 30";

const BACKUP_HELP: &str = "\
The file holds the node's key: whoever has it can pose as the node. It is made readable for its owner only.

Example:
  ailurus-node backup --data /var/lib/ailurus-node /var/backups/ailurus-node-1.backup";

const RESTORE_HELP: &str = "\
The directory must be empty or missing. Do not run the old and the restored node at the same time.

Example:
  ailurus-node restore --data /var/lib/ailurus-node /var/backups/ailurus-node-1.backup";
