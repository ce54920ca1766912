//! `ailurus usage`: what was spent adds up over runs of the program.

use serde_json::Value;

use crate::world::World;

fn total(usage: &Value, member: &str) -> u64 {
    usage["week"]["total"][member].as_u64().unwrap()
}

#[test]
fn what_each_run_spends_is_kept_and_summed() {
    let world = World::start();
    let (alice, bob, _) = world.pair();
    let usage = || bob.json(&["usage", "--json"]).remove(0);
    let before = usage();
    alice.ok(&["send", "Bamboo", "hello"]);
    let report = bob.json(&["sync", "--json"]).remove(0);
    let after = usage();
    // The report counts UDP payload, the ledger whole packets: 28 bytes more for each.
    for direction in ["bytes_sent", "bytes_received"] {
        let spent = total(&after, direction) - total(&before, direction);
        let payload = report[direction].as_u64().unwrap();
        assert!(spent > payload, "{direction}: {spent} of {payload}");
        assert!(
            spent < payload + payload / 4 + 500,
            "{direction}: {spent} of {payload}"
        );
    }
    assert!(total(&after, "wakeups") >= 1);
    assert!(total(&after, "radio_high_ms") > total(&before, "radio_high_ms"));
    let rows = after["week"]["rows"].as_array().unwrap();
    let sum: u64 = rows
        .iter()
        .map(|row| row["bytes_sent"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, total(&after, "bytes_sent"));
    assert!(
        rows.iter().any(|row| row["reason"] == "registration"),
        "{rows:?}"
    );
    assert!(rows.iter().any(|row| row["reason"] == "user"), "{rows:?}");
    assert!(after["next_wakeup"]["at_ms"].as_u64().unwrap() > 0);
    assert_eq!(usage(), after, "to look costs nothing");

    let shown = bob.ok(&["usage"]);
    for part in [
        "Today since",
        "Last 7 days",
        "wake-ups",
        "█",
        "in all",
        "Preference balanced",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn the_preference_stays() {
    let world = World::start();
    let alice = world.phone("Alice");
    let preference = |arguments: &[&str]| {
        let usage = alice
            .json(&[&["usage", "--json"], arguments].concat())
            .remove(0);
        usage["preference"].as_str().unwrap().to_owned()
    };
    assert_eq!(preference(&[]), "balanced");
    assert_eq!(preference(&["--preference", "frugal"]), "frugal");
    assert_eq!(preference(&[]), "frugal");
    let unknown = alice.run(&["usage", "--preference", "lazy"]);
    assert_eq!(unknown.status.code(), Some(2));
}
