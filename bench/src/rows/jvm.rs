//! What Kotlin adds: the start of a virtual machine with the library, and one call across the border.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use ailurus::{channel::NodeLink, crypto::NodeKey};

use crate::harness::{
    Failure,
    clock::BenchClock,
    folder,
    process::Process,
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
};

use super::catch_up::{KEY, stored_profile};
use super::phone::mobile_library;

pub const SUITE: Suite = Suite {
    specs: &[
        Spec {
            name: "cold_start_jvm_ms",
            unit: "ms",
            limit: Limit::AtMost(900.0),
        },
        Spec {
            name: "ffi_call_us",
            unit: "µs",
            limit: Limit::None,
        },
    ],
    patience: Duration::from_secs(180),
    run: || Box::pin(run()),
};

async fn run() -> Result<Vec<Measured>, Failure> {
    let folder = folder()?;
    let java = Java::prepare(folder.path())?;
    Ok(vec![cold_start(&java).await?, border(&java).await?])
}

async fn cold_start(java: &Java) -> Result<Measured, Failure> {
    let profile = java.folder.join("profile");
    let made = profile.clone();
    tokio::task::spawn_blocking(move || stored_profile(&made, BenchClock::in_mid_epoch()))
        .await??;
    let profile = profile.display().to_string();
    let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let empty = java.empty_library()?;

    let start = || java.command("ColdStartKt", &[&profile, &key]);
    let floor = || java.command("ColdFloorKt", &[&empty]);
    // Once each, so that files are in memory.
    timed(start()).await?;
    timed(floor()).await?;

    let (mut times, mut floors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (took, line) = timed(start()).await?;
        if line != "50" {
            return Err(format!("a start read {line} messages").into());
        }
        let (least, _) = timed(floor()).await?;
        times.push(took);
        floors.push(least);
        ratios.push(took / least);
    }
    let sample = |values| Sample::new(values).ok_or("no run");
    let ratio = sample(ratios)?;
    let fault = (ratio.median() > RATIO).then(|| format!("more than {RATIO} times the floor"));
    Ok(Measured::new("cold_start_jvm_ms", &sample(times)?)
        .floor(sample(floors)?.median())
        .note(&format!(
            "times the floor: median {:.2} of {ratio}; the floor loads JNA, an empty library and coroutines; both with the class-data sharing that a JDK has by itself",
            ratio.median()
        ))
        .fault(fault))
}

async fn border(java: &Java) -> Result<Measured, Failure> {
    let node = NodeLink::new(NodeKey::from_bytes([7; 32]), "127.0.0.1", 4433)?.to_string();
    let mut values = Vec::new();
    for _ in 0..3 {
        let mut process = Process::start(&mut java.command("BorderCallKt", &[&node]))?;
        let line: serde_json::Value = serde_json::from_str(&process.line(PATIENCE).await?)?;
        values.push(line["ffi_call_us"].as_f64().ok_or("no figure")?);
    }
    let sample = Sample::new(values).ok_or("no run")?;
    Ok(Measured::new("ffi_call_us", &sample).note(
        "median of 10,000 warm calls of inspectLink with 1 KB of text, from Kotlin through JNA",
    ))
}

/// Where a virtual machine finds what it needs.
struct Java {
    class_path: String,
    library: PathBuf,
    folder: PathBuf,
}

impl Java {
    fn prepare(folder: &Path) -> Result<Self, Failure> {
        let class_path =
            std::fs::read_to_string("target/kotlin/ailurus/classpath.txt").map_err(|error| {
                format!("{error}: there are no Kotlin classes to measure; run `make bench`")
            })?;
        // Only the library for phones, and not the one of the tests that lies on the class path.
        let library = folder.join("native");
        std::fs::create_dir_all(&library)?;
        std::fs::copy(mobile_library()?, library.join("libailurus.so"))?;
        Ok(Self {
            class_path: class_path.trim().to_owned(),
            library,
            folder: folder.to_owned(),
        })
    }

    fn command(&self, class: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xshare:auto", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Djna.library.path={}", self.library.display()))
            .args(["-cp", &self.class_path])
            .arg(format!("org.ailurus.{class}"))
            .args(arguments);
        command
    }

    fn empty_library(&self) -> Result<String, Failure> {
        let (source, library) = (self.folder.join("empty.c"), self.folder.join("libempty.so"));
        std::fs::write(&source, "int empty(void) { return 0; }\n")?;
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(&source)
            .status()?;
        if !made.success() {
            return Err("cc did not make an empty library".into());
        }
        Ok(library.display().to_string())
    }
}

/// From the start of a process to its first line.
async fn timed(mut command: Command) -> Result<(f64, String), Failure> {
    let start = Instant::now();
    let mut process = Process::start(&mut command)?;
    let line = process.line(PATIENCE).await?;
    Ok((start.elapsed().as_secs_f64() * 1e3, line))
}

const RUNS: usize = 9;
/// A start takes at most this many times the floor.
const RATIO: f64 = 2.0;
const PATIENCE: Duration = Duration::from_secs(30);
