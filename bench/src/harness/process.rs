//! Other processes: killed when they are no longer wanted, read line by line. This program again plays the clients: it
//! is told to go on by lines on its stdin and answers by lines on its stdout.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::mpsc, time::timeout};

use super::Failure;

/// A process whose stdout is read; it is killed when this is dropped.
pub struct Process {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Process {
    /// Starts a command.
    pub fn start(command: &mut Command) -> Result<Self, Failure> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("a process has no stdout")?;
        let (sender, lines) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line it writes.
    pub async fn line(&mut self, patience: Duration) -> Result<String, Failure> {
        let line = timeout(patience, self.lines.recv())
            .await
            .map_err(|_| "another process does not answer")?;
        Ok(line.ok_or("another process ended early; its reason is on stderr")?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program in a role.
pub struct RoleProcess {
    process: Process,
    stdin: ChildStdin,
}

impl RoleProcess {
    /// Starts a role with arguments.
    pub fn start(role: &str, arguments: &[String]) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("--role")
            .arg(role)
            .args(arguments)
            .env_remove("ONLY")
            .stdin(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let stdin = process.child.stdin.take().ok_or("a role has no stdin")?;
        Ok(Self { process, stdin })
    }

    /// Tells it to go on.
    pub fn go(&mut self) -> Result<(), Failure> {
        Ok(self.stdin.write_all(b"go\n")?)
    }

    /// What it says next.
    pub async fn answer<T: DeserializeOwned>(&mut self, patience: Duration) -> Result<T, Failure> {
        Ok(serde_json::from_str(&self.process.line(patience).await?)?)
    }
}

/// In a role: waits to be told to go on; false when the other side is done.
pub fn told() -> Result<bool, Failure> {
    let mut line = String::new();
    Ok(std::io::stdin().read_line(&mut line)? > 0)
}

/// In a role: says something.
pub fn say(answer: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(answer)?);
    Ok(())
}
