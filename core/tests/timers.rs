//! Whatever the client does by itself at some time is registered with the plan of wake-ups (docs/ARCHITECTURE.md, "The
//! plan"): there is no other timer. Waiting within one operation is allowed where this list says so, and why.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Where the client waits for time to pass: file, how often it says so, and why that is no timer of its own.
const WAITS: [(&str, usize, &str); 4] = [
    (
        "live.rs",
        9,
        "one sleeps until the plan says; the others are patience, pauses and back-off of live connections, which a person \
         looks at",
    ),
    (
        "poll.rs",
        2,
        "between two tries of wait_delivered, for which a person waits; seconds until a push may be followed",
    ),
    (
        "probe.rs",
        1,
        "patience with the answer to a datagram, within one poll",
    ),
    ("round.rs", 3, "patience with nodes within one poll"),
];

/// What makes time pass; limits of single operations (`timeout`) end something and begin nothing.
const TIMERS: [&str; 5] = [
    "sleep(",
    "sleep_until(",
    "interval(",
    "interval_at(",
    "recv_timeout(",
];

#[test]
fn the_client_has_no_timer_beside_the_plan() {
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/client");
    let mut found = BTreeMap::new();
    count(&client, &client, &mut found);
    let allowed: BTreeMap<String, usize> = WAITS
        .iter()
        .map(|(file, times, _)| ((*file).to_owned(), *times))
        .collect();
    assert_eq!(
        found, allowed,
        "register it with Power::set_due instead, or say here why it is a part of one operation"
    );
}

#[test]
fn periodic_timers_are_nowhere_in_the_library() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&source, &mut files);
    assert!(files.len() > 100);
    for file in files {
        let code = code(&fs::read_to_string(&file).unwrap());
        for timer in ["time::interval", " interval(", "interval_at("] {
            assert!(!code.contains(timer), "{}: {timer}", file.display());
        }
    }
}

fn count(root: &Path, folder: &Path, found: &mut BTreeMap<String, usize>) {
    let mut files = Vec::new();
    sources(folder, &mut files);
    for file in files {
        let code = code(&fs::read_to_string(&file).unwrap());
        let times: usize = TIMERS.map(|timer| uses(&code, timer)).iter().sum();
        if times > 0 {
            let name = file
                .strip_prefix(root)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            found.insert(name, times);
        }
    }
}

/// How often a function is called, not counting those whose names only end alike.
fn uses(code: &str, call: &str) -> usize {
    let begins = |at: usize| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
    };
    code.match_indices(call)
        .filter(|(at, _)| begins(*at))
        .count()
}

fn sources(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The text without comments and what follows the first test module.
fn code(text: &str) -> String {
    let lines = text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"));
    let lines = lines.map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}
