//! The node as operators run it: the daemon's own process.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A running `ailurus-node`; killed when dropped.
pub struct Daemon {
    child: Child,
    pub link: String,
}

impl Daemon {
    /// Starts the daemon over a folder, with its clock shifted by this many seconds.
    pub fn start(folder: &Path, offset_s: i64) -> Self {
        let mut child = Command::new(binary())
            .arg("--data")
            .arg(folder)
            .args(["--listen", "127.0.0.1:0"])
            .arg(format!("--clock-offset={offset_s}s"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut link = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut link)
            .unwrap();
        assert!(link.starts_with("an"), "{link}");
        Self {
            child,
            link: link.trim().to_owned(),
        }
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon, which a build of the workspace puts beside the command line.
fn binary() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_ailurus")).with_file_name("ailurus-node");
    assert!(
        path.exists(),
        "run `cargo build --workspace` first: this test starts ailurus-node"
    );
    path
}
