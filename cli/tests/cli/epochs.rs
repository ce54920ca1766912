//! Weeks go by: real processes, node and phones, whose clocks are moved together.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    daemon::Daemon,
    world::{Phone, succeeded, texts_of},
};

const DAY: i64 = 24 * 3_600;
const WEEK: i64 = 7 * DAY;

/// Runs a command at some time: an offset from now in seconds.
fn at(phone: &Phone, offset_s: i64, arguments: &[&str]) -> String {
    let offset = format!("--clock-offset={offset_s}s");
    let mut all = vec![offset.as_str()];
    all.extend(arguments);
    succeeded(&all, &phone.run(&all))
}

fn texts(phone: &Phone) -> Vec<String> {
    phone.texts("Bamboo")
}

/// The offset to a point three days into the next epoch, so that no step below depends on today's date.
fn mid_epoch() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    WEEK - now % WEEK + 3 * DAY
}

#[test]
fn messages_cross_the_turn_of_an_epoch_and_expire_after_seven_days() {
    let folder = TempDir::new().unwrap();
    let node = folder.path().join("node");
    let start = mid_epoch();
    let daemon = Daemon::start(&node, start);
    let link = daemon.link.clone();
    let phone = |name: &str| {
        let phone = Phone {
            data: folder.path().join(name),
        };
        at(&phone, start, &["init", "--name", name, "--node", &link]);
        phone
    };
    let (alice, bob, carol, dave) = (phone("Alice"), phone("Bob"), phone("Carol"), phone("Dave"));
    at(&alice, start, &["channel", "new", "Bamboo"]);
    let full = at(&alice, start, &["channel", "link", "Bamboo"]);
    for friend in [&bob, &carol, &dave] {
        at(friend, start, &["channel", "join", &full]);
    }
    at(&alice, start, &["send", "Bamboo", "before the turn"]);
    at(&dave, start, &["send", "--queue", "Bamboo", "never sent"]);
    daemon.kill();

    // Five days later another epoch runs; what was sent before is still there.
    let later = start + 5 * DAY;
    let daemon = Daemon::start(&node, later);
    assert_eq!(daemon.link, link, "a node keeps key and port");
    at(&bob, later, &["sync"]);
    assert_eq!(texts(&bob), ["before the turn"]);
    at(&bob, later, &["send", "Bamboo", "after the turn"]);
    at(&alice, later, &["sync"]);
    assert_eq!(texts(&alice), ["before the turn", "after the turn"]);
    daemon.kill();

    // Nine days after the start, what was sent then is gone on the node, and whoever was away is told.
    let late = start + 9 * DAY;
    let daemon = Daemon::start(&node, late);
    let report: Value = serde_json::from_str(&at(&carol, late, &["sync", "--json"])).unwrap();
    let got: Vec<_> = report["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["text"].as_str())
        .collect();
    assert_eq!(got, [Some("after the turn")]);
    assert!(report["notices"].to_string().contains("7 days"), "{report}");
    assert_eq!(
        texts(&alice),
        ["before the turn", "after the turn"],
        "what was received stays"
    );

    let report: Value = serde_json::from_str(&at(&dave, late, &["sync", "--json"])).unwrap();
    assert!(
        report["expired"].to_string().contains("never sent"),
        "{report}"
    );
    let shown = dave.json(&["read", "Bamboo", "--json"]);
    let state = shown
        .iter()
        .find(|m| m["text"] == "never sent")
        .map(|m| m["state"].clone());
    assert_eq!(state, Some(Value::from("expired")));
    at(&alice, late, &["sync"]);
    assert!(!texts(&alice).contains(&"never sent".to_owned()));

    // A phone whose clock is wrong by two days is told so, and still sends.
    let wrong = format!("--clock-offset={}s", late + 2 * DAY);
    let output = alice.run(&[&wrong, "send", "Bamboo", "with a wrong clock"]);
    let (_, stderr) = texts_of(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("set the clock"), "{stderr}");
    assert!(stderr.contains("no secret is deleted"), "{stderr}");
    at(&bob, late, &["sync"]);
    assert_eq!(
        texts(&bob).last().map(String::as_str),
        Some("with a wrong clock")
    );
    daemon.kill();
}
