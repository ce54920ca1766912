//! The super nodes of a profile: listed, added, removed, and introduced to, with and without a network.

use std::collections::BTreeSet;

use ailurus::{channel::NodeLink, crypto::NodeKey, wire::time::Clock as _};
use ailurus_node::{Operator, SystemClock, Terms};
use serde_json::{Value, json};

use crate::world::{Phone, World, ailurus, refused, texts_of};

/// A node that nobody runs.
fn nobody(first: u8) -> NodeLink {
    let mut key = [7; 32];
    key[0] = first;
    NodeLink::new(NodeKey::from_bytes(key), "127.0.0.1", 9).unwrap()
}

/// The operator's invitation, as text.
fn invitation(world: &World) -> String {
    let operator = Operator::open(world.folder.path().join("node")).unwrap();
    let terms = Terms {
        label: None,
        clients: 10,
        days: 30,
    };
    let now = SystemClock::default().now();
    operator
        .invite(&terms, now)
        .unwrap()
        .0
        .to_text()
        .to_string()
}

/// The record of the world's own node.
fn own(phone: &Phone, world: &World) -> Value {
    let nodes = phone.json(&["nodes", "--json"]);
    let found = nodes.iter().find(|node| node["link"] == *world.node_link);
    found.unwrap().clone()
}

#[test]
fn nodes_are_listed_added_and_removed_without_a_network() {
    let mut world = World::start();
    let alice = world.phone("Alice");
    alice.ok(&["channel", "new", "Bamboo"]);
    alice.ok(&["sync"]);

    let node = own(&alice, &world);
    let keys: BTreeSet<&str> = node
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "hop_count",
        "id",
        "link",
        "load",
        "reason",
        "rtt_ms",
        "state",
    ];
    assert_eq!(keys, BTreeSet::from(expected));
    assert_eq!(
        (&node["state"], &node["hop_count"]),
        (&json!("active"), &Value::Null)
    );
    assert_eq!(node["load"]["clients"], 1);
    assert!(node["rtt_ms"].is_u64(), "{node}");
    assert!(!node["reason"].as_str().unwrap().is_empty());

    world.stop_node();
    let output = alice.run(&["sync"]);
    assert_eq!(output.status.code(), Some(1));
    let (_, error) = texts_of(&output);
    assert!(error.contains("ailurus nodes --why"), "{error}");
    let others = [nobody(0xa1), nobody(0xa2)];
    for other in &others {
        alice.ok(&["node", "add", &other.to_string()]);
    }
    assert_eq!(alice.json(&["nodes", "--json"]).len(), 3);
    let drawn = alice.ok(&["nodes", "--why"]);
    let reason = own(&alice, &world)["reason"].as_str().unwrap().to_owned();
    for part in ["stranger", "a1070707", "127.0.0.1:9", &reason] {
        assert!(drawn.contains(part), "{part}: {drawn}");
    }
    assert_eq!(drawn.lines().count(), 6);
    assert_eq!(alice.ok(&["nodes"]).lines().count(), 3);
    assert!(!drawn.contains('\x1b'), "no colour without a terminal");

    let error = alice.refused(&["node", "remove", "a"]);
    assert!(
        error.contains(" super nodes") && error.contains("more digits"),
        "{error}"
    );
    alice.ok(&["node", "remove", "A1"]);
    let error = alice.refused(&["node", "remove", "a1"]);
    assert!(
        error.contains("a1") && error.contains("ailurus nodes"),
        "{error}"
    );
    let whole = hex::encode(others[1].key().as_bytes());
    alice.ok(&["node", "remove", &whole]);
    assert_eq!(alice.json(&["nodes", "--json"]).len(), 1);
    alice.refused(&["node", "remove", ""]);

    // Nothing of it is undone by the next poll.
    world.restart_node();
    alice.ok(&["sync"]);
    assert_eq!(alice.json(&["nodes", "--json"]).len(), 1);

    // One that does not answer while another does is down.
    alice.ok(&["node", "add", &others[0].to_string()]);
    alice.ok(&["sync"]);
    let nodes = alice.json(&["nodes", "--json"]);
    assert_eq!(
        (&nodes[0]["link"], &nodes[0]["state"]),
        (&json!(world.node_link), &json!("active"))
    );
    assert_eq!(
        (&nodes[1]["state"], &nodes[1]["load"]),
        (&json!("down"), &Value::Null)
    );
    let drawn = alice.ok(&["nodes", "--why"]);
    assert!(drawn.contains("✗ down"), "{drawn}");
}

#[test]
fn an_invitation_brings_near_and_is_passed_on_in_a_channel() {
    let world = World::start();
    let (alice, bob, _) = world.pair();
    let error = alice.refused(&["node", "introduce", "Bamboo"]);
    assert!(error.contains("introduc"), "{error}");

    // From standard input, which keeps it out of the shell's history.
    let output = alice.fed(
        &["node", "add", "-"],
        format!("{}\n", invitation(&world)).as_bytes(),
    );
    assert_eq!(output.status.code(), Some(0), "{:?}", texts_of(&output));
    alice.ok(&["sync"]);
    assert_eq!(own(&alice, &world)["hop_count"], 1);
    assert!(alice.ok(&["nodes"]).contains("1 hop"));

    alice.ok(&["node", "introduce", "Bamboo"]);
    // Bob hears of it and asks; Alice answers; Bob registers with what he got.
    for _ in 0..4 {
        bob.ok(&["sync"]);
        alice.ok(&["sync"]);
        if own(&bob, &world)["hop_count"] == 2 {
            return;
        }
    }
    panic!("Bob is not introduced: {}", own(&bob, &world));
}

#[test]
fn what_is_no_link_is_refused_without_repeating_it() {
    let world = World::start();
    let alice = world.phone("Alice");
    let invitation = invitation(&world);
    let cut = &invitation[..invitation.len() - 3];
    for wrong in [cut, "an", "nonsense"] {
        let arguments = ["node", "add", wrong];
        let error = refused(&arguments, &alice.run(&arguments));
        assert!(wrong.len() < 20 || !error.contains(wrong), "{error}");
    }
    assert_eq!(alice.json(&["nodes", "--json"]).len(), 1);
}

#[test]
fn an_invitation_is_inspected_without_its_secret() {
    let world = World::start();
    let invitation = invitation(&world);
    let inspected = |more: &[&str]| {
        let mut command = ailurus(&["key", "inspect", &invitation, "--json"]);
        let output = command.args(more).output().unwrap();
        let record: Value = serde_json::from_slice(&output.stdout).unwrap();
        record
    };
    let record = inspected(&[]);
    assert_eq!(record["kind"], "invitation");
    assert_eq!(record["nodes"][0]["host"], "127.0.0.1");
    let left = record["expires"].as_u64().unwrap() - SystemClock::default().now().as_secs();
    assert!(left.abs_diff(30 * 86_400) < 600, "{left}");
    assert_eq!(record["secret"], Value::Null);
    assert_eq!(
        inspected(&["--reveal"])["secret"].as_str().map(str::len),
        Some(64)
    );
}

#[test]
fn the_dht_is_off_public_or_named() {
    let world = World::start();
    let alice = world.phone("Alice");
    alice.ok(&["--dht", "off", "nodes"]);
    alice.ok(&["nodes", "--dht", "127.0.0.1:1,dht.example.org:2"]);
    for wrong in ["on", "127.0.0.1", ""] {
        let output = ailurus(&["--dht", wrong, "nodes"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        let mut command = alice.command(&["nodes"]);
        let output = command.env("AILURUS_DHT", wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}
