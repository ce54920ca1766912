//! What an operator does with a node over the years: the real program, beside a daemon that runs.

#[path = "operate/backup.rs"]
mod backup;
mod common;
#[path = "operate/config.rs"]
mod config;
#[path = "operate/invitations.rs"]
mod invitations;
#[path = "operate/packaging.rs"]
mod packaging;

use std::{path::Path, process::Command};

use serde_json::Value;

/// A command of the program over a data directory.
fn operator(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ailurus-node"));
    command.args(arguments).arg("--data").arg(dir);
    command.env_remove("AILURUS_LOG");
    command
}

/// Exit code, stdout and stderr.
fn run(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Stdout of what must succeed.
fn ok(dir: &Path, arguments: &[&str]) -> String {
    let (code, out, error) = run(operator(dir, arguments));
    assert_eq!(code, Some(0), "{arguments:?}: {error}");
    out
}

fn json(dir: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&ok(dir, arguments)).expect("one JSON object")
}

/// What is said by a command that must fail with this code, and print nothing.
fn fails(code: i32, command: Command) -> String {
    let (found, out, error) = run(command);
    assert_eq!((found, out.as_str()), (Some(code), ""), "{error}");
    error
}
