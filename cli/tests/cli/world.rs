//! A super node, and phones that are folders with processes run over them.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use ailurus::client::SystemClock;
use ailurus_node::{Config, Node};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub const PASSPHRASE: &str = "bamboo and apples";

/// A node and a folder for everything else.
pub struct World {
    pub folder: TempDir,
    runtime: Runtime,
    node: Option<Node>,
    pub node_link: String,
}

impl World {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let node = start_node(&runtime, folder.path());
        let node_link = node.link().to_string();
        Self {
            folder,
            runtime,
            node: Some(node),
            node_link,
        }
    }

    pub fn stop_node(&mut self) {
        let node = self.node.take().expect("the node runs");
        self.runtime.block_on(node.stop());
    }

    pub fn restart_node(&mut self) {
        let node = start_node(&self.runtime, self.folder.path());
        assert_eq!(
            node.link().to_string(),
            self.node_link,
            "a node keeps key and port"
        );
        self.node = Some(node);
    }

    /// A new profile.
    pub fn phone(&self, name: &str) -> Phone {
        let phone = self.no_phone(&name.to_lowercase());
        phone.ok(&["init", "--name", name, "--node", &self.node_link]);
        phone
    }

    /// A folder without a profile.
    pub fn no_phone(&self, folder: &str) -> Phone {
        Phone {
            data: self.folder.path().join(folder),
        }
    }

    /// A path for a file.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Two phones in one channel.
    pub fn pair(&self) -> (Phone, Phone, String) {
        let (alice, bob) = (self.phone("Alice"), self.phone("Bob"));
        let channel = alice.ok(&["channel", "new", "Bamboo"]);
        let link = alice.ok(&["channel", "link", "Bamboo"]);
        assert_eq!(bob.ok(&["channel", "join", &link]), channel);
        (alice, bob, channel)
    }
}

fn start_node(runtime: &Runtime, folder: &Path) -> Node {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let _guard = runtime.enter();
    Node::start(
        Config::new(folder.join("node"), listen),
        Arc::new(SystemClock::default()),
    )
    .unwrap()
}

pub struct Phone {
    pub data: PathBuf,
}

impl Phone {
    /// A command over this folder, with the passphrase set.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = ailurus(&[]);
        command
            .arg("--data")
            .arg(&self.data)
            .args(arguments)
            .env("AILURUS_PASSPHRASE", PASSPHRASE);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs with something on standard input.
    pub fn fed(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Whoever refuses its input early closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// Runs what must succeed; its result without the last line break.
    pub fn ok(&self, arguments: &[&str]) -> String {
        succeeded(arguments, &self.run(arguments))
    }

    /// Runs what must fail with exit code 1, and print nothing as its result; what it says on standard error.
    pub fn refused(&self, arguments: &[&str]) -> String {
        refused(arguments, &self.run(arguments))
    }

    /// What `read` shows.
    pub fn texts(&self, channel: &str) -> Vec<String> {
        self.json(&["read", channel, "--json"])
            .iter()
            .map(|line| line["text"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Runs what prints one JSON object a line.
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        self.ok(arguments)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// A command without a folder, and without what the surroundings may have set.
pub fn ailurus(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ailurus"));
    command.args(arguments).stdin(Stdio::null());
    for variable in [
        "AILURUS_PASSPHRASE",
        "AILURUS_BACKUP_PASSPHRASE",
        "AILURUS_DATA",
        "AILURUS_LOG",
        "AILURUS_DHT",
    ] {
        command.env_remove(variable);
    }
    command
}

pub fn succeeded(arguments: &[&str], output: &Output) -> String {
    let (stdout, stderr) = texts_of(output);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?}\n{stdout}\n{stderr}"
    );
    stdout.strip_suffix('\n').unwrap_or(&stdout).to_owned()
}

pub fn refused(arguments: &[&str], output: &Output) -> String {
    let (stdout, stderr) = texts_of(output);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{arguments:?}\n{stdout}\n{stderr}"
    );
    assert_eq!(stdout, "", "{arguments:?}");
    assert!(stderr.contains("ailurus: "), "{arguments:?}: {stderr}");
    stderr
}

pub fn texts_of(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}
