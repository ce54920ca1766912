//! The node under test: the daemon itself, in its own process.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use ailurus::channel::NodeLink;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Failure, beside, clock::BenchClock, folder, process::Process};

/// Where a daemon keeps what it has; it outlives the daemon.
pub struct NodeFolder {
    folder: TempDir,
    metrics: SocketAddr,
}

impl NodeFolder {
    /// Empty.
    pub fn new() -> Result<Self, Failure> {
        let folder = folder()?;
        // A port that nobody uses at this moment.
        let metrics = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = format!("metrics = \"{metrics}\"\n{LIMITS}");
        std::fs::write(folder.path().join("node.toml"), config)?;
        Ok(Self { folder, metrics })
    }

    /// What the running daemon counts under a name, without the prefix that all have.
    pub async fn metric(&self, name: &str) -> Result<u64, Failure> {
        let mut stream = TcpStream::connect(self.metrics).await?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let value = text.lines().find_map(|line| {
            let (found, value) = line.strip_prefix("ailurus_node_")?.split_once(' ')?;
            (found == name).then_some(value)
        });
        Ok(value.ok_or("the node does not count that")?.parse()?)
    }

    /// The daemon's database.
    pub fn database(&self) -> PathBuf {
        self.data().join("node.db")
    }

    /// Where else something can be put that goes with it.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn spawn(&self, clock: BenchClock) -> Result<Process, Failure> {
        self.spawn_by(Command::new(daemon()?), clock)
    }

    fn spawn_by(&self, mut command: Command, clock: BenchClock) -> Result<Process, Failure> {
        Process::start(
            command
                .arg("--data")
                .arg(self.data())
                .args(["--listen", "127.0.0.1:0"])
                .arg("--config")
                .arg(self.folder.path().join("node.toml"))
                .arg(format!("--clock-offset={}s", clock.offset_s()))
                .arg("--trust-clock")
                .env("AILURUS_LOG", "error"),
        )
    }
}

/// A running `ailurus-node`; it is killed when this is dropped, as by `kill -9`.
pub struct NodeProcess {
    process: Process,
    link: NodeLink,
    /// Removed with it, if it is its own.
    _folder: Option<NodeFolder>,
}

impl NodeProcess {
    /// Starts a daemon on a fresh data directory, with limits that no measurement meets.
    pub async fn start(clock: BenchClock) -> Result<Self, Failure> {
        let folder = NodeFolder::new()?;
        let mut node = Self::start_in(&folder, clock).await?;
        node._folder = Some(folder);
        Ok(node)
    }

    /// Starts a daemon in a directory and waits until it listens.
    pub async fn start_in(folder: &NodeFolder, clock: BenchClock) -> Result<Self, Failure> {
        let mut process = folder.spawn(clock)?;
        let link = process.line(START).await?.trim().parse()?;
        Ok(Self {
            process,
            link,
            _folder: None,
        })
    }

    /// Starts a daemon that runs on one core only, as if there were no other.
    pub async fn start_pinned(
        folder: &NodeFolder,
        clock: BenchClock,
        core: usize,
    ) -> Result<Self, Failure> {
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string()]).arg(daemon()?);
        let mut process = folder.spawn_by(command, clock)?;
        let link = process.line(START).await?.trim().parse()?;
        Ok(Self {
            process,
            link,
            _folder: None,
        })
    }

    /// Starts a daemon again that listened at `link` before, and waits for nothing.
    pub fn again(folder: &NodeFolder, clock: BenchClock, link: &NodeLink) -> Result<Self, Failure> {
        Ok(Self {
            process: folder.spawn(clock)?,
            link: link.clone(),
            _folder: None,
        })
    }

    /// Where it listens.
    pub fn link(&self) -> &NodeLink {
        &self.link
    }

    /// Seconds of processor time that it has used.
    pub fn cpu_s(&self) -> Result<f64, Failure> {
        let id = self.process.id();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The second field, a name, is in parentheses; user and system time are the 14th and 15th.
        let (_, rest) = stat.rsplit_once(')').ok_or("/proc has no stat")?;
        let times = rest.split_whitespace().skip(11).take(2);
        let ticks = times.map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        Ok(ticks / TICKS_PER_S)
    }

    /// Its resident size in KiB.
    pub fn resident_kib(&self) -> Result<f64, Failure> {
        let id = self.process.id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))
            .map_err(|error| format!("{error}: resident sizes are read from /proc, on Linux"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("/proc has no VmRSS for the node")?;
        let kib = line
            .split_whitespace()
            .next()
            .ok_or("VmRSS has no number")?;
        Ok(kib.parse()?)
    }
}

/// The unit of times in /proc, the same on all of Linux's architectures that matter.
const TICKS_PER_S: f64 = 100.0;
const START: Duration = Duration::from_secs(60);

const LIMITS: &str = "[limits]
connections = 20000
connections_per_ip = 20000
registrations = 10000000
strangers = 10000000
refuse_strangers_above_permille = 1000
items_per_second = 1000000000
items_burst = 1000000000
bytes_per_second = 4000000000
bytes_burst = 4000000000
items_per_second_per_network = 1000000000
items_burst_per_network = 1000000000
bytes_per_second_per_network = 4000000000
bytes_burst_per_network = 4000000000
envelopes_per_address = 10000000
bytes_per_address = 10000000000
";

fn daemon() -> Result<PathBuf, Failure> {
    let path = beside()?.join("ailurus-node");
    if !path.exists() {
        let profile = if cfg!(debug_assertions) {
            ""
        } else {
            "--release "
        };
        return Err(format!(
            "there is no node to measure; run `cargo build {profile}-p ailurus-node`"
        )
        .into());
    }
    Ok(path)
}
