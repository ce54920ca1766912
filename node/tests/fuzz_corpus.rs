//! The bodies of the fuzz targets over their seeds, broken in every simple way, and over random bytes: what
//! `make fuzz` does at length, on stable Rust and the same in every run.

#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ailurus::crypto::{Entropy as _, SeededEntropy};

use targets::{NAMES, Target, target};

/// How long each target may take beyond its seeds.
const TIME: Duration = Duration::from_secs(2);
const RANDOM: usize = 2_000;

#[test]
fn every_target_survives_its_corpus() {
    for name in NAMES {
        let target = target(name);
        assert!(!target.seeds.is_empty(), "{name} has no seed");
        for seed in target.seeds.iter().chain(&regressions(name)) {
            (target.body)(seed);
        }
        let tried = distort(&target);
        println!("{name}: {} seeds, {tried} distorted", target.seeds.len());
    }
}

#[test]
fn every_target_is_built_for_cargo_fuzz_too() {
    let folder = fuzz().join("fuzz_targets");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, NAMES);
}

/// Cuts, flipped bits, doubled and swapped parts of the seeds, and random bytes; returns how many.
fn distort(target: &Target) -> usize {
    let begun = Instant::now();
    let mut entropy = SeededEntropy::from_u64(2);
    let mut below = |limit: usize| {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        usize::try_from(u64::from_be_bytes(bytes) % limit.max(1) as u64).unwrap()
    };
    for number in 0..RANDOM {
        if begun.elapsed() > TIME {
            return number;
        }
        let seed = &target.seeds[below(target.seeds.len())];
        let mut bytes = seed.clone();
        let (one, two) = (below(seed.len()), below(seed.len()));
        match below(6) {
            0 => bytes.truncate(one),
            1 => bytes[one] ^= 1 << below(8),
            2 => bytes[one] = bytes[two],
            3 => bytes.extend_from_slice(&seed[one..]),
            4 => drop(bytes.drain(one.min(two)..one.max(two))),
            _ => bytes = (0..below(400)).map(|_| below(256) as u8).collect(),
        }
        (target.body)(&bytes);
    }
    RANDOM
}

/// Inputs that once did harm.
fn regressions(name: &str) -> Vec<Vec<u8>> {
    let Ok(folder) = fs::read_dir(fuzz().join("regressions").join(name)) else {
        return Vec::new();
    };
    folder
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect()
}

fn fuzz() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}
