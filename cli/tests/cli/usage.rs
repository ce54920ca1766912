//! Usage errors, shapes of results, pipes, and the demo.

use std::{
    io::Read as _,
    process::{Output, Stdio},
};

use crate::world::{World, ailurus, succeeded, texts_of};

fn run(arguments: &[&str]) -> Output {
    ailurus(arguments).output().unwrap()
}

#[test]
fn the_demo_runs_by_itself() {
    let output = run(&["demo"]);
    let told = succeeded(&["demo"], &output);
    for part in [
        "super node",
        "█",
        "Bob returns",
        "read-only",
        "write-only",
        "steps held",
        "What to do next",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains('\x1b'), "no colour without a terminal");
}

#[test]
fn usage_errors_exit_with_2() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["channel"],
        &["channel", "list"],
        &["--data", "x", "channel", "join"],
        &["--data", "x", "channel", "join", "af", "--qr", "y.png"],
        &["--data", "x", "channel", "link", "c", "--access", "all"],
        &["--data", "x", "init"],
        &["--data", "x", "send", "c"],
    ] {
        let output = run(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            texts_of(&output).1
        );
        assert_eq!(texts_of(&output).0, "", "{arguments:?}");
    }
}

#[test]
fn help_version_and_completions_are_results() {
    assert_eq!(
        succeeded(&["--version"], &run(&["--version"])),
        concat!("ailurus ", env!("CARGO_PKG_VERSION"))
    );
    assert!(succeeded(&["help"], &run(&["send", "--help"])).contains("Example:"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(succeeded(&[shell], &run(&["completions", shell])).contains("inspect"));
    }
}

#[test]
fn json_has_its_documented_shape() {
    let world = World::start();
    let (alice, bob, channel) = world.pair();
    let id = alice.ok(&["send", "Bamboo", "a \"quoted\" text"]);
    let report = bob.json(&["sync", "--json"]).remove(0);
    for member in ["messages", "expired", "notices"] {
        assert!(report[member].is_array(), "{report}");
    }
    for member in ["bytes_sent", "bytes_received"] {
        assert!(
            report[member].as_u64().is_some_and(|bytes| bytes > 500),
            "{report}"
        );
    }

    let message = bob.json(&["read", "Bamboo", "--json"]).remove(0);
    assert_eq!(message, report["messages"][0]);
    assert_eq!(
        (&message["id"], &message["channel"]),
        (&id.as_str().into(), &channel.as_str().into())
    );
    assert_eq!(
        (&message["author_name"], &message["text"]),
        (&"Alice".into(), &"a \"quoted\" text".into())
    );
    assert_eq!(
        (&message["own"], &message["state"]),
        (&false.into(), &"received".into())
    );
    assert!(
        message["time"]
            .as_u64()
            .is_some_and(|time| time > 1_700_000_000_000),
        "{message}"
    );
    assert_eq!(message["author"].as_str().unwrap().len(), 64);

    let listed = bob.json(&["channel", "list", "--json"]).remove(0);
    assert_eq!(
        (&listed["id"], &listed["name"]),
        (&channel.as_str().into(), &"Bamboo".into())
    );
    assert_eq!(
        (&listed["access"], &listed["admin"]),
        (&"full".into(), &false.into())
    );
    let members = bob.json(&["channel", "members", "Bamboo", "--json"]);
    let alice_there = members
        .iter()
        .find(|member| member["name"] == "Alice")
        .unwrap();
    assert_eq!(alice_there["author"], message["author"]);
    let at_alice = alice.json(&["channel", "members", "Bamboo", "--json"]);
    assert!(alice_there["safety_number"].as_str().unwrap().len() >= 60);
    let bob_there = at_alice.iter().find(|member| member["name"] == "Bob");
    assert_eq!(
        bob_there.map(|bob| &bob["safety_number"]),
        Some(&alice_there["safety_number"])
    );
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let world = World::start();
    let alice = world.phone("Alice");
    alice.ok(&["channel", "new", "Bamboo"]);
    let long = "words ".repeat(2_000);
    for _ in 0..8 {
        alice.ok(&["send", "Bamboo", &long, "--queue"]);
    }
    let mut child = alice
        .command(&["read", "Bamboo"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), errors.as_str()),
        (Some(0), "")
    );
}

#[test]
fn secrets_stay_off_standard_error() {
    let world = World::start();
    let alice = world.phone("Alice");
    alice.ok(&["channel", "new", "Bamboo"]);
    let link = alice.ok(&["channel", "link", "Bamboo"]);
    let bob = world.no_phone("bob");
    let init = ["init", "--name", "Bob", "--node", &world.node_link];
    assert_eq!(bob.run(&init).status.code(), Some(0));
    let output = bob
        .command(&["channel", "join", &link])
        .env("AILURUS_LOG", "trace")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let (_, log) = texts_of(&output);
    assert!(!log.contains(&link) && !log.contains("Bamboo"), "{log}");
}
