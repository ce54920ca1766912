//! Push: what a super node is told, and what it says of it.

use serde_json::Value;

use crate::world::{Phone, World};

fn status(phone: &Phone) -> Value {
    phone
        .json(&["push", "status", "--json"])
        .pop()
        .expect("a node")
}

#[test]
fn a_subscription_is_set_shown_and_cleared() {
    let world = World::start();
    let alice = world.phone("Alice");
    alice.ok(&["channel", "new", "Bamboo"]);
    alice.ok(&["sync"]);
    assert_eq!(status(&alice)["state"], "off");
    let node = status(&alice)["node"].as_str().unwrap().to_owned();
    let id = &node[..8];

    let key = alice.ok(&["push", "key", id]);
    assert_eq!(key.trim().len(), 87, "65 bytes in base64url");
    assert_eq!(status(&alice)["key"], key.trim());
    assert_eq!(status(&alice)["gateway"], false);

    // The example of RFC 8291, at an address that no node goes to.
    let p256dh =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    let auth = "BTBZMqHH6r4Tts7J_aSIgg";
    let endpoint = "https://10.0.0.1/bamboo";
    let keys = ["--p256dh", p256dh, "--auth", auth];
    let set = [&["push", "set", id, "--endpoint", endpoint][..], &keys].concat();
    alice.ok(&set);
    let after = status(&alice);
    assert_eq!(after["state"], "dropped");
    assert!(
        after["trouble"]
            .as_str()
            .unwrap()
            .contains("public address")
    );
    let shown = alice.ok(&["push", "status"]);
    assert!(shown.contains("no more"), "{shown}");

    alice.ok(&["push", "clear", id]);
    assert_eq!(status(&alice)["state"], "off");
    alice.ok(&["push", "receive", "AQAAAA"]);
    alice.ok(&["push", "receive"]);
}

#[test]
fn what_is_no_subscription_is_refused() {
    let world = World::start();
    let alice = world.phone("Alice");
    let node = status(&alice)["node"].as_str().unwrap().to_owned();
    let id = &node[..8];
    let endpoint = "https://push.example.net/x";
    for wrong in [
        vec![
            "push",
            "set",
            id,
            "--endpoint",
            endpoint,
            "--p256dh",
            "AAAA",
            "--auth",
            "AAAA",
        ],
        vec![
            "push",
            "set",
            id,
            "--endpoint",
            endpoint,
            "--p256dh",
            "?",
            "--auth",
            "AAAA",
        ],
        vec!["push", "set", id, "--platform", "FCM", "--token", "abc"],
        vec!["push", "receive", "not base64url"],
        vec!["push", "key", "ffffffffffff"],
    ] {
        alice.refused(&wrong);
    }
    assert_eq!(status(&alice)["state"], "off");
}
