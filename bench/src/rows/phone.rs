//! What a phone feels before the first message: the library's size, the start, and the memory of a poll in background.

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use ailurus::{
    client::{Client, Options, Page},
    store::StorageKey,
};
use serde::{Deserialize, Serialize};

use crate::harness::{
    Failure,
    clock::BenchClock,
    folder,
    node::NodeProcess,
    process::{Process, RoleProcess, say},
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
};

use super::catch_up::{KEY, stored_profile};

pub const SUITE: Suite = Suite {
    specs: &[
        Spec {
            name: "library_mb",
            unit: "MB",
            limit: Limit::AtMost(4.8),
        },
        Spec {
            name: "cold_start_ms",
            unit: "ms",
            limit: Limit::AtMost(80.0),
        },
        Spec {
            name: "poll_peak_mb",
            unit: "MB",
            limit: Limit::AtMost(16.0),
        },
    ],
    patience: Duration::from_secs(120),
    run: || Box::pin(run()),
};

/// Opens a profile and reads its newest messages.
pub const COLD_START: &str = "cold_start";
/// Polls once and says how large it became.
pub const POLL: &str = "poll";

async fn run() -> Result<Vec<Measured>, Failure> {
    Ok(vec![library()?, cold_start().await?, poll_peak().await?])
}

/// The library itself, which `make bench` builds and strips before.
fn library() -> Result<Measured, Failure> {
    let path = mobile_library()?;
    let bytes = std::fs::metadata(&path)?.len();
    let sample = Sample::new(vec![bytes as f64 / 1e6]).ok_or("no size")?;
    Ok(Measured::new("library_mb", &sample).note(&format!(
        "{bytes} bytes, stripped, x86-64, channels and nodes"
    )))
}

/// The stripped library for phones.
pub fn mobile_library() -> Result<std::path::PathBuf, Failure> {
    let path = Path::new("target/mobile/libailurus.so");
    if !path.exists() {
        return Err("there is no library to measure; run `scripts/mobile`".into());
    }
    Ok(std::path::absolute(path)?)
}

async fn cold_start() -> Result<Measured, Failure> {
    let folder = folder()?;
    let profile = folder.path().to_owned();
    tokio::task::spawn_blocking(move || stored_profile(&profile, BenchClock::in_mid_epoch()))
        .await??;
    let program = std::env::current_exe()?;
    let (mut times, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let start = Instant::now();
        let mut process = Process::start(
            Command::new(&program)
                .args(["--role", COLD_START])
                .arg(folder.path()),
        )?;
        let line = process.line(PATIENCE).await?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        if line != "50" {
            return Err(format!("a start read {line} messages").into());
        }
        // The same process without a profile.
        let start = Instant::now();
        let mut process = Process::start(Command::new(&program).arg("--version"))?;
        process.line(PATIENCE).await?;
        floors.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let floor = Sample::new(floors).ok_or("no run")?;
    Ok(
        Measured::new("cold_start_ms", &Sample::new(times).ok_or("no run")?)
            .floor(floor.median())
            .note("floor: the same program printing its version"),
    )
}

async fn poll_peak() -> Result<Measured, Failure> {
    let clock = BenchClock::in_mid_epoch();
    let options = || Options {
        clock: Arc::new(clock.system()),
        ..Options::default()
    };
    let key = || StorageKey::from_bytes(KEY);
    let node = NodeProcess::start(clock).await?;
    let nodes = std::slice::from_ref(node.link());
    let folder = folder()?;
    let alice = Client::create(
        &folder.path().join("alice"),
        &key(),
        "Alice",
        nodes,
        options(),
    )?;
    let channel = alice.create_channel("bench")?;
    let link = alice.link(&channel, ailurus::channel::AccessKind::Full, true)?;
    let mut peaks = Vec::new();
    for run in 0..PEAK_RUNS {
        let path = folder.path().join(format!("phone-{run}"));
        let phone = Client::create(&path, &key(), "Bob", nodes, options())?;
        phone.join(&link.parse()?, None)?;
        phone.poll().await?;
        phone.shutdown().await;
        for message in 0..WAITING {
            alice.send(&channel, &format!("message {message}"))?;
        }
        alice.poll().await?;
        let arguments = [path.display().to_string(), clock.offset_s().to_string()];
        let mut role = RoleProcess::start(POLL, &arguments)?;
        let polled: Polled = role.answer(PATIENCE).await?;
        if polled.messages < WAITING {
            return Err(format!("a poll brought {} messages", polled.messages).into());
        }
        peaks.push(polled.peak_mb);
    }
    alice.shutdown().await;
    let sample = Sample::new(peaks).ok_or("no run")?;
    Ok(Measured::new("poll_peak_mb", &sample).note(&format!(
        "peak resident size of a process that polls {WAITING} messages"
    )))
}

#[derive(Serialize, Deserialize)]
struct Polled {
    messages: usize,
    peak_mb: f64,
}

/// Another process: one start.
pub fn play_cold_start(arguments: &[String]) -> Result<(), Failure> {
    let [folder] = arguments else {
        return Err("a cold start takes a folder".into());
    };
    let client = Client::open(
        folder.as_ref(),
        &StorageKey::from_bytes(KEY),
        Options::default(),
    )?;
    let channels = client.channels()?;
    let channel = channels.first().ok_or("there is no channel")?;
    println!("{}", client.messages(&channel.id, Page::Latest, 50)?.len());
    Ok(())
}

/// Another process: one poll.
pub async fn play_poll(arguments: &[String]) -> Result<(), Failure> {
    let [folder, offset] = arguments else {
        return Err("a poll takes a folder and a clock offset".into());
    };
    let options = Options {
        clock: Arc::new(BenchClock::shifted(offset.parse()?).system()),
        ..Options::default()
    };
    let client = Client::open(folder.as_ref(), &StorageKey::from_bytes(KEY), options)?;
    let report = client.sync_once(Duration::from_secs(25)).await?;
    client.shutdown().await;
    say(&Polled {
        messages: report.messages.len(),
        peak_mb: peak_mb()?,
    })
}

fn peak_mb() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or("/proc has no VmHWM")?
        .parse()?;
    Ok(kib * 1_024.0 / 1e6)
}

const RUNS: usize = 15;
const PEAK_RUNS: usize = 5;
const WAITING: usize = 500;
const PATIENCE: Duration = Duration::from_secs(20);
