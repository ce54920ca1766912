//! The daemon as a process, and commands of its program.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ailurus::{channel::NodeLink, wire::time::UnixMillis};

/// A daemon that is killed when it goes out of scope.
pub struct Daemon {
    child: Child,
    pub link: NodeLink,
    /// All of stderr, once it has ended.
    log: std::thread::JoinHandle<String>,
}

impl Daemon {
    pub fn start(dir: &Path, more: &[&str]) -> Self {
        Self::spawn(command(dir, "127.0.0.1:0", more))
    }

    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let mut stderr = child.stderr.take().expect("piped");
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            // What is no UTF-8 is no log.
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("a line");
        let Ok(link) = line.trim_end().parse() else {
            let _ = child.kill();
            panic!(
                "{line:?} is no node link; stderr: {}",
                log.join().expect("read")
            );
        };
        Self { child, link, log }
    }

    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        // SAFETY: the process is ours and not waited for yet, so its id is its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Sends a signal; exit code, time it took, and the log.
    pub fn end(mut self, signal: i32) -> (Option<i32>, Duration, String) {
        let started = Instant::now();
        self.signal(signal);
        let status = self.child.wait().expect("ends");
        let log = std::mem::replace(&mut self.log, std::thread::spawn(String::new));
        (status.code(), started.elapsed(), log.join().expect("read"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Fails if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn command(dir: &Path, listen: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ailurus-node"));
    command
        .arg("--data")
        .arg(dir)
        .args(["--listen", listen])
        .args(more);
    command.env("AILURUS_LOG", "info");
    command
}

/// Runs a daemon that is expected not to start.
pub fn refused(mut command: Command) -> (Option<i32>, String) {
    let Output {
        status,
        stderr,
        stdout,
    } = command.output().expect("runs");
    assert!(stdout.is_empty(), "nothing but a link goes to stdout");
    (status.code(), String::from_utf8(stderr).expect("text"))
}

pub fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

pub fn now() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    UnixMillis::from_millis(u64::try_from(since.as_millis()).expect("before the end of time"))
}

/// Says what is needed for a check that cannot run here; fails where everything must run.
pub fn needs(what: &str) {
    println!("not checked: this needs {what}");
    assert_ne!(
        std::env::var("AILURUS_CI").as_deref(),
        Ok("1"),
        "AILURUS_CI=1 and no {what}"
    );
}

pub fn is_root() -> bool {
    // SAFETY: reads a number.
    unsafe { libc::geteuid() == 0 }
}

/// A TCP address that was free a moment ago.
pub fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("bound")
}

/// A GET: status and body.
pub fn http(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("connects");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"
    )
    .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .expect("a status")
        .parse()
        .expect("a number");
    (status, body.to_owned())
}
