//! `check-config` and each mistake that it knows, and that guide and sample explain the same keys.

use std::{
    collections::BTreeSet,
    fs,
    net::{TcpListener, UdpSocket},
    path::Path,
    process::Command,
};

use crate::{
    common::daemon::{Daemon, is_root, temp},
    ok, run,
};

/// `check-config` with a file; exit code, stdout and stderr.
fn check(dir: &Path, file: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let path = dir.join("ailurus-node.toml");
    fs::write(&path, file).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ailurus-node"));
    command
        .arg("check-config")
        .arg("--config")
        .arg(&path)
        .args(more);
    run(command)
}

/// A file without fault.
fn sound(dir: &Path) -> String {
    format!(
        "data = {:?}\nlisten = \"127.0.0.1:0\"\nadvertise = \"chat.example.org:4433\"\n[limits]\nbytes = 100_000_000\n",
        dir.join("node")
    )
}

#[test]
fn a_sound_configuration_is_shown_and_changes_nothing() {
    let dir = temp();
    let (code, out, error) = check(dir.path(), &sound(dir.path()), &["--dht", "10.0.0.1:6881"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    for part in [
        "chat.example.org:4433",
        "10.0.0.1:6881",
        "limits.bytes",
        "100000000",
        "✓",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(!dir.path().join("node").exists());
    let (code, out, _) = check(dir.path(), &sound(dir.path()), &["--json"]);
    assert_eq!(code, Some(0));
    let report: serde_json::Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!(report["ok"], true);
    assert_eq!(report["settings"]["limits"]["bytes"], 100_000_000);
    assert_eq!(report["settings"]["dht"], "off");
    assert_eq!(report["findings"], serde_json::json!([]));
}

#[test]
fn each_mistake_is_named_with_its_key() {
    let dir = temp();
    let sound = sound(dir.path());
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let taken_udp = format!("listen = \"{}\"", taken.local_addr().expect("bound"));
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken_tcp = format!(
        "metrics = \"{}\"\nlisten",
        held.local_addr().expect("bound")
    );
    let file = dir.path().join("file");
    fs::write(&file, "").expect("written");
    let no_directory = format!("data = {file:?}\n#");
    for (from, to, key) in [
        ("listen", "lisen", "lisen"),
        ("127.0.0.1:0", "here", "listen"),
        (
            "chat.example.org:4433",
            "chat.example.org",
            "chat.example.org",
        ),
        ("chat.example.org:4433", "0.0.0.0:4433", "advertise"),
        ("[limits]", "dht = \"somewhere\"\n[limits]", "somewhere"),
        ("bytes = 100_000_000", "bytes = -1", "bytes"),
        (
            "bytes = 100_000_000",
            "bytes = 1",
            "limits.bytes_per_address",
        ),
        (
            "bytes =",
            "registrations = 0\nbytes =",
            "limits.registrations",
        ),
        ("listen = \"127.0.0.1:0\"", &taken_udp, "listen"),
        ("listen", &taken_tcp, "metrics"),
        ("data =", &no_directory, "data"),
        ("data =", "#", "--data"),
    ] {
        assert!(sound.contains(from), "{from}");
        let (code, _, error) = check(dir.path(), &sound.replacen(from, to, 1), &[]);
        assert_eq!(code, Some(2), "{to}: {error}");
        assert!(error.contains(key), "{to}: {error}");
    }
    let (code, out, error) = check(dir.path(), &sound, &["--listen", "0.0.0.0:0"]);
    assert_eq!(
        (code, error.as_str()),
        (Some(0), ""),
        "the command line comes first: {out}"
    );
    if !is_root() {
        let locked = dir.path().join("locked");
        fs::create_dir(&locked).expect("made");
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).expect("changed");
        let inside = locked.join("node");
        let (code, _, error) = check(
            dir.path(),
            &sound,
            &["--data", inside.to_str().expect("plain")],
        );
        assert_eq!(code, Some(2));
        assert!(error.contains("data"), "{error}");
    }
}

#[test]
fn a_running_node_does_not_count_as_a_taken_port() {
    let dir = temp();
    let node = dir.path().join("node");
    let _daemon = Daemon::start(&node, &[]);
    let (code, out, error) = check(dir.path(), &sound(dir.path()), &[]);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("A node runs"), "{out}");
    assert!(ok(&node, &["status"]).contains("running"));
}

/// Keys of the sample, commented out or not.
fn sample_keys() -> BTreeSet<String> {
    let sample = include_str!("../../ailurus-node.toml");
    let keys = sample.lines().filter_map(|line| {
        let (key, _) = line.trim_start_matches("# ").split_once(" = ")?;
        let plain = key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        plain.then(|| key.to_owned())
    });
    keys.collect()
}

#[test]
fn the_guide_explains_every_key_and_no_other() {
    let guide = include_str!("../../../docs/OPERATING.md");
    let (_, section) = guide.split_once("\n## Configuration\n").expect("a section");
    let (section, _) = section.split_once("\n## ").expect("an end");
    // The rows of its tables: | `key` | … |
    let explained: BTreeSet<String> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(keys, _)| keys)
        .flat_map(|keys| keys.split("`, `"))
        .filter(|key| {
            key.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
        .map(str::to_owned)
        .collect();
    assert_eq!(explained, sample_keys());
}
