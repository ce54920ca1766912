//! The daemon as its operator meets it: real processes, signals, files, disks that fail.

mod common;

use std::{
    fs,
    net::UdpSocket,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ailurus::{
    channel::{Envelope, Epoch},
    wire::{
        node::{Reason, response},
        time::UnixMillis,
    },
};
use ailurus_node::Store;
use bytes::Bytes;

use common::{
    daemon::{Daemon, command, free_address, http, is_root, needs, now, refused, temp},
    wire::{Phone, Stream, ask, sync},
    *,
};

const LIMIT: Duration = Duration::from_secs(5);

#[test]
fn the_port_is_kept_and_a_taken_one_is_an_error() {
    let dir = temp();
    let first = Daemon::start(dir.path(), &[]);
    let (key, port) = (*first.link.key(), first.link.port());
    assert_eq!(first.link.host(), "127.0.0.1");

    let (code, error) = refused(command(dir.path(), "127.0.0.1:0", &[]));
    assert_eq!(code, Some(1));
    assert!(error.contains("another ailurus-node uses"), "{error}");

    let (code, took, log) = first.end(libc::SIGTERM);
    assert_eq!(code, Some(0), "{log}");
    assert!(took < LIMIT, "{took:?}");

    let second = Daemon::start(dir.path(), &[]);
    assert_eq!((*second.link.key(), second.link.port()), (key, port));
    let (code, took, log) = second.end(libc::SIGINT);
    assert_eq!(code, Some(0), "{log}");
    assert!(took < LIMIT, "{took:?}");

    let _taken = UdpSocket::bind(("127.0.0.1", port)).expect("free");
    let (code, error) = refused(command(dir.path(), "127.0.0.1:0", &[]));
    assert_eq!(code, Some(1));
    assert!(
        error.contains(&port.to_string()) && error.contains("delete"),
        "{error}"
    );
}

#[test]
fn usage_errors_exit_2_and_name_the_next_step() {
    let dir = temp();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let (code, error) = refused(command(dir.path(), listen, &[]));
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains("--advertise"), "{error}");
    }
    for more in [
        &["--advertise", "nohost"][..],
        &["--clock-offset", "soon"],
        &["--metrics", "here"],
        &["--unknown"],
    ] {
        let (code, error) = refused(command(dir.path(), "127.0.0.1:0", more));
        assert_eq!(code, Some(2), "{error}");
    }
    let (code, error) = refused(Command::new(env!("CARGO_BIN_EXE_ailurus-node")));
    assert_eq!(code, Some(2));
    assert!(error.contains("--data"), "{error}");

    let advertised = ["--advertise", "chat.example.org:4433"];
    let daemon = Daemon::spawn(command(dir.path(), "0.0.0.0:0", &advertised));
    assert_eq!(
        (daemon.link.host(), daemon.link.port()),
        ("chat.example.org", 4433)
    );

    let config = dir.path().join("wrong.toml");
    fs::write(&config, "[limits]\nconections = 1\n").expect("written");
    let other = temp();
    let config = config.to_str().expect("plain");
    let (code, error) = refused(command(other.path(), "127.0.0.1:0", &["--config", config]));
    assert_eq!(code, Some(2));
    assert!(error.contains("conections"), "{error}");

    let help = Command::new(env!("CARGO_BIN_EXE_ailurus-node"))
        .arg("--help")
        .output()
        .expect("runs");
    assert!(String::from_utf8_lossy(&help.stdout).contains("Example:"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_can_be_shifted_and_says_so() {
    let dir = temp();
    let daemon = Daemon::start(dir.path(), &["--clock-offset", "-8d"]);
    let connection = Phone::new(&daemon.link).connect().await;
    let told = UnixMillis::from_millis(sync(&connection, Bytes::new()).await.hello.time_ms);
    assert!(told.distance(now().before(8 * DAY)) < Duration::from_secs(60));
    let (_, _, log) = daemon.end(libc::SIGTERM);
    assert!(log.contains("WARN") && log.contains("clock"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_far_ahead_is_not_believed_unless_the_operator_does() {
    let dir = temp();
    let mut channel = Channel::new(1);
    let daemon = Daemon::start(dir.path(), &["--clock-offset", "-9d"]);
    let connection = Phone::new(&daemon.link).connect().await;
    let envelopes = channel.envelopes(now().before(9 * DAY), 200, 3);
    let published = ask(&connection, &channel.publish(&envelopes)).await;
    assert_eq!(refusals(&[published]), []);
    let look = Duration::from_secs(3);
    tokio::time::sleep(look).await;
    daemon.end(libc::SIGTERM);

    for (arguments, kept) in [(&[][..], 3), (&["--trust-clock"][..], 0)] {
        let daemon = Daemon::start(dir.path(), arguments);
        tokio::time::sleep(look).await;
        let (_, _, log) = daemon.end(libc::SIGTERM);
        let held = log.contains("ERROR") && log.contains("--trust-clock");
        assert_eq!(held, kept > 0, "{log}");
        let store = Store::open(&dir.path().join("node.db")).expect("a database");
        assert_eq!(store.envelopes(), kept);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_health_are_served_where_asked_for() {
    let dir = temp();
    let address = free_address();
    let daemon = Daemon::start(dir.path(), &["--metrics", &address.to_string()]);
    let mut channel = Channel::new(1);
    let connection = Phone::new(&daemon.link).connect().await;
    let envelopes = channel.envelopes(now(), 200, 3);
    assert_eq!(
        refusals(&[ask(&connection, &channel.publish(&envelopes)).await]),
        []
    );
    let (status, text) = http(address, "/metrics");
    assert_eq!(status, 200);
    assert!(
        text.contains("ailurus_node_envelopes_accepted_total 3"),
        "{text}"
    );
    assert!(text.contains("ailurus_node_connections 1"), "{text}");
    assert_eq!(http(address, "/health"), (200, r#"{"status":"ok"}"#.into()));
    assert_eq!(http(address, "/").0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_before_kill_9_is_there_once() {
    let dir = temp();
    let time = now().before(HOUR);
    let sent: Vec<Arc<Vec<Envelope>>> = (0..4)
        .map(|seed| Arc::new(Channel::new(seed).envelopes(time, 200, 1_000)))
        .collect();
    let mut acknowledged: Vec<Envelope> = Vec::new();
    for round in 0..3 {
        let daemon = Daemon::start(dir.path(), &[]);
        let stop = Arc::new(AtomicBool::new(false));
        let acks = Arc::new(Mutex::new(Vec::new()));
        let mut publishers = Vec::new();
        for (seed, sent) in (0..4).zip(&sent) {
            let (link, stop, acks) = (daemon.link.clone(), Arc::clone(&stop), Arc::clone(&acks));
            let sent = Arc::clone(sent);
            publishers.push(tokio::spawn(async move {
                let channel = Channel::new(seed);
                let connection = Phone::new(&link).connect().await;
                let (mut sender, mut receiver) = connection.open().await.expect("a stream");
                // The same channels send the same envelopes in each round: most are resent.
                for part in sent.chunks(10).skip(round * 10) {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let request = prost::Message::encode_to_vec(&channel.publish(part));
                    if sender.send(&request).await.is_err() {
                        return;
                    }
                    let Ok(Some(body)) = receiver.next(1 << 16).await else { return };
                    let answer: ailurus::wire::node::Response = prost::Message::decode(body).expect("parses");
                    assert!(matches!(answer.kind, Some(response::Kind::Published(p)) if p.refusals.is_empty()));
                    acks.lock().expect("whole").push(part.to_vec());
                }
            }));
        }
        let deadline = Instant::now() + LIMIT;
        while acks.lock().expect("whole").len() < 30 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        daemon.signal(libc::SIGKILL);
        stop.store(true, Ordering::Relaxed);
        // The clients need not wait for the silence to be noticed.
        for publisher in publishers {
            publisher.abort();
            if let Err(error) = publisher.await {
                assert!(error.is_cancelled(), "{error}");
            }
        }
        let mut acks = acks.lock().expect("whole");
        assert!(acks.len() >= 30, "{} acknowledged", acks.len());
        acknowledged.extend(acks.drain(..).flatten());
    }

    let daemon = Daemon::start(dir.path(), &[]);
    let phone = Phone::new(&daemon.link);
    let connection = phone.connect().await;
    let channels: Vec<Channel> = (0..4).map(Channel::new).collect();
    for channel in &channels {
        assert_eq!(
            phone.register(&connection, channel, Epoch::of(time)).await,
            []
        );
    }
    let synced = sync(&connection, Bytes::new()).await;
    let mut seen = std::collections::HashSet::new();
    for (address, time, sealed) in &synced.envelopes {
        assert!(seen.insert((*address, *time, sealed.clone())), "kept twice");
    }
    for envelope in &acknowledged {
        let header = envelope.header();
        assert!(
            seen.contains(&(header.address, header.time, envelope.sealed().clone())),
            "an acknowledged envelope is missing"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_is_synced_before_an_acknowledgement_leaves() {
    if Command::new("strace").arg("-V").output().is_err() {
        return needs("strace");
    }
    let dir = temp();
    let trace = dir.path().join("trace");
    let data = dir.path().join("data");
    let mut command = Command::new("strace");
    command
        .args([
            "-f",
            "-q",
            "-e",
            "trace=fsync,fdatasync,sendto,sendmsg,sendmmsg,recvmsg,recvmmsg,recvfrom",
            "-s",
            "0",
        ])
        .arg("-o")
        .arg(&trace)
        // Or the node would outlive strace.
        .args(["setpriv", "--pdeathsig", "KILL"])
        .arg(env!("CARGO_BIN_EXE_ailurus-node"))
        .arg("--data")
        .arg(&data)
        .args(["--listen", "127.0.0.1:0"]);
    let daemon = Daemon::spawn(command);
    let mut channel = Channel::new(1);
    let connection = Phone::new(&daemon.link).connect().await;
    let mut stream = Stream::open(&connection).await;
    let syncs = || {
        let text = fs::read_to_string(&trace).expect("a trace");
        text.lines()
            .filter(|line| line.contains("sync(") && line.contains("= 0"))
            .count()
            + text
                .lines()
                .filter(|line| line.contains("sync resumed") && line.contains("= 0"))
                .count()
    };
    for round in 0..5 {
        let envelopes = channel.envelopes(now().offset(round), 200, 1);
        let before = syncs();
        stream.send(&channel.publish(&envelopes)).await;
        assert_eq!(refusals(&[stream.next().await.expect("an answer")]), []);
        // strace writes a call down before it lets the process go on, so what precedes the answer is in the file.
        assert!(syncs() > before, "acknowledged before a sync");
    }
}

#[test]
fn a_data_directory_that_cannot_be_written_is_a_clear_error() {
    let dir = temp();
    let mount = if is_root() {
        let Some(mount) = Mount::tmpfs(dir.path(), "size=1m,ro") else {
            return needs("the right to mount a tmpfs");
        };
        Some(mount)
    } else {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).expect("changed");
        None
    };
    let (code, error) = refused(command(dir.path(), "127.0.0.1:0", &[]));
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error.contains("writable") && error.contains("--data"),
        "{error}"
    );
    drop(mount);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_acknowledges_nothing_and_recovers() {
    if !is_root() {
        return needs("root, to mount a small tmpfs");
    }
    let dir = temp();
    let Some(_mount) = Mount::tmpfs(dir.path(), "size=2m") else {
        return needs("the right to mount a tmpfs");
    };
    let ballast = dir.path().join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).expect("it fits");
    let metrics = free_address();
    let daemon = Daemon::start(
        &dir.path().join("data"),
        &["--metrics", &metrics.to_string()],
    );
    let phone = Phone::new(&daemon.link);
    let connection = phone.connect().await;
    let mut channel = Channel::new(1);
    let time = now();
    assert_eq!(
        phone.register(&connection, &channel, Epoch::of(time)).await,
        []
    );
    let envelopes = channel.envelopes(time, 4_000, 600);
    let mut acknowledged = Vec::new();
    let mut refused = Vec::new();
    for part in envelopes.chunks(10) {
        match refusals(&[ask(&connection, &channel.publish(part)).await]).as_slice() {
            [] => acknowledged.extend_from_slice(part),
            [(0, Reason::Storage)] => {
                refused = part.to_vec();
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(!acknowledged.is_empty() && !refused.is_empty());
    assert_eq!(http(metrics, "/health").0, 503);
    // Reading goes on.
    let synced = sync(&connection, Bytes::new()).await;
    assert_eq!(
        synced.of_address(channel.address(time)),
        sealed(&acknowledged)
    );

    fs::remove_file(&ballast).expect("removed");
    assert_eq!(
        refusals(&[ask(&connection, &channel.publish(&refused)).await]),
        []
    );
    assert_eq!(http(metrics, "/health").0, 200);
    acknowledged.extend(refused);
    let synced = sync(&connection, Bytes::new()).await;
    assert_eq!(
        synced.of_address(channel.address(time)),
        sealed(&acknowledged)
    );
    let (code, _, log) = daemon.end(libc::SIGTERM);
    assert_eq!(code, Some(0));
    assert_eq!(log.matches("nothing can be stored").count(), 1, "{log}");
}

/// A file system of its own, gone at the end.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn tmpfs(path: &'a Path, options: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(path))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        // Lazily: the daemon may still be ending.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
