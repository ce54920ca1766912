//! Processes are killed at any moment, node and phones: what was acknowledged is there, and nothing twice.

use std::{collections::BTreeMap, process::Stdio, thread::sleep, time::Duration};

use tempfile::TempDir;

use crate::{daemon::Daemon, world::Phone};

#[test]
fn killed_processes_lose_nothing_acknowledged() {
    let folder = TempDir::new().unwrap();
    let node = folder.path().join("node");
    let mut daemon = Daemon::start(&node, 0);
    let link = daemon.link.clone();
    let phone = |name: &str| {
        let phone = Phone {
            data: folder.path().join(name),
        };
        phone.ok(&["init", "--name", name, "--node", &link]);
        phone
    };
    let (alice, bob) = (phone("Alice"), phone("Bob"));
    alice.ok(&["channel", "new", "Bamboo"]);
    bob.ok(&["channel", "join", &alice.ok(&["channel", "link", "Bamboo"])]);

    let mut acknowledged = Vec::new();
    for number in 0_u64..24 {
        let text = format!("message {number}");
        let mut child = alice
            .command(&["send", "Bamboo", &text])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Spread over the time that sending takes, so that each stage is hit.
        sleep(Duration::from_millis(30 + (number * 67) % 400));
        if number % 8 == 5 {
            daemon.kill();
            daemon = Daemon::start(&node, 0);
        }
        if number % 4 != 3 {
            let _ = child.kill();
        }
        if child.wait().unwrap().success() {
            acknowledged.push(text);
        }
    }
    println!("{} of 24 were acknowledged", acknowledged.len());
    assert!(!acknowledged.is_empty(), "some got through");
    assert!(acknowledged.len() < 24, "some were killed");

    alice.ok(&["sync"]);
    bob.ok(&["sync"]);
    let mut counts = BTreeMap::new();
    for text in bob.texts("Bamboo") {
        *counts.entry(text).or_insert(0) += 1;
    }
    for text in &acknowledged {
        assert_eq!(counts.get(text), Some(&1), "{text}");
    }
    assert!(
        counts.values().all(|count| *count == 1),
        "nothing twice: {counts:?}"
    );
    // What a killed process had queued left with the sync; both phones have the same.
    let mut sent = alice.texts("Bamboo");
    sent.sort();
    assert_eq!(sent, counts.into_keys().collect::<Vec<_>>());
}
