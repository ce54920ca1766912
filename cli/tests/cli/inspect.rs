//! `ailurus key inspect`.

use serde_json::Value;

use crate::world::{World, ailurus, refused, succeeded};

/// The example of the redPanda document; a published private key.
const REDPANDA: &str = "pr7768EZp1Y8PwQhozCfacTNjL4iRxgJqcm8NDVuyvhfYJDwkzJFTtCZ6";

#[test]
fn a_redpanda_string_shows_its_keys() {
    // From seed 003, section 1 of the research on it: recomputed outside this library.
    let other = inspect(&[
        "prAZqUNKAu9D4Xtrpiv7yLHL3Pc4gUV6bQ86t86sgrJQ3SkDLn6E1ffez",
        "--reveal",
    ]);
    assert_eq!(
        other["public_key"],
        "03891f63420a1d81ee66d3a29067000c968127019f348aa28d74415bfad9d9f29f"
    );
    assert_eq!(
        other["private_key"],
        "c086a90a59d97bee467c7a2ba8de0e398371865554ecaa2e567e7c9a75411fd2"
    );

    let shown = inspect(&[REDPANDA]);
    assert_eq!(
        (&shown["kind"], &shown["access"]),
        (&"redpanda".into(), &"full".into())
    );
    assert!(
        shown["public_key"].as_str().unwrap().starts_with("02a83a"),
        "{shown}"
    );
    assert_eq!(shown["read_epoch"], 0);
    assert_eq!(shown.get("private_key"), None, "only with --reveal");
    assert_eq!(shown.get("read_secret"), None, "only with --reveal");
}

#[test]
fn links_of_each_kind_show_what_they_hold_and_no_secret() {
    let world = World::start();
    let alice = world.phone("Alice");
    let channel = alice.ok(&["channel", "new", "Bamboo"]);
    let mut keys = Vec::new();
    for access in ["full", "read", "write"] {
        let link = alice.ok(&["channel", "link", "Bamboo", "--access", access]);
        let shown = inspect(&[&link]);
        assert_eq!(
            (&shown["kind"], &shown["access"]),
            (&"channel".into(), &access.into())
        );
        assert_eq!(
            (&shown["channel_id"], &shown["name"]),
            (&channel.as_str().into(), &"Bamboo".into())
        );
        assert_eq!(shown["nodes"][0]["host"], "127.0.0.1");
        assert_eq!(shown.get("read_epoch").is_some(), access != "write");
        assert_eq!(
            inspect(&[&link, "--reveal"]).get("read_secret").is_some(),
            access != "write"
        );
        keys.push(shown["public_key"].clone());
    }
    assert!(
        keys[0] == keys[1] && keys[1] == keys[2],
        "one write key, however it is shared"
    );

    let node = inspect(&[&world.node_link]);
    assert_eq!(node["kind"], "node");
    assert_eq!(node["public_key"].as_str().unwrap().len(), 64);

    let plain = succeeded(
        &["key"],
        &ailurus(&["key", "inspect", REDPANDA]).output().unwrap(),
    );
    assert!(
        plain
            .lines()
            .any(|line| line.starts_with("public key ") && line.contains("02a83a")),
        "{plain}"
    );
}

#[test]
fn what_is_no_link_is_refused_with_the_reason() {
    let long = "a".repeat(1_000);
    for (link, reason) in [
        (
            "pu7768EZp1Y8PwQhozCfacTNjL4iRxgJqcm8NDVuyvhfYJDwkzJFTtCZ6",
            "read key",
        ),
        (
            "pr7768EZp1Y8PwQhozCfacTNjL4iRxgJqcm8NDVuyvhfYJDwkzJFTtCZ7",
            "checksum",
        ),
        ("xx7768EZ", "known type"),
        ("pr", "cut off"),
        ("pr0OIl", "do not belong"),
        (&long, "longer than"),
    ] {
        let arguments = ["key", "inspect", link];
        let error = refused(&arguments, &ailurus(&arguments).output().unwrap());
        assert!(error.contains(reason), "{link}: {error}");
        assert!(!error.contains(link), "a link is never repeated: {error}");
    }
}

fn inspect(arguments: &[&str]) -> Value {
    let all = [&["key", "inspect", "--json"], arguments].concat();
    let line = succeeded(&all, &ailurus(&all).output().unwrap());
    assert_eq!(line.lines().count(), 1);
    serde_json::from_str(&line).unwrap()
}
