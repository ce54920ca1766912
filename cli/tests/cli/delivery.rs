//! The outbox: queued, delivered later, and what happens without a node.

use std::{thread, time::Instant};

use crate::world::{World, texts_of};

#[test]
fn a_queued_message_leaves_at_the_next_sync() {
    let world = World::start();
    let (alice, bob, _) = world.pair();
    assert_eq!(alice.ok(&["send", "Bamboo", "later", "--queue"]).len(), 64);
    assert_eq!(
        alice.json(&["read", "Bamboo", "--json"])[0]["state"],
        "queued"
    );
    bob.ok(&["sync"]);
    assert_eq!(bob.texts("Bamboo"), [""; 0]);
    alice.ok(&["sync"]);
    assert_eq!(
        alice.json(&["read", "Bamboo", "--json"])[0]["state"],
        "at_node"
    );
    bob.ok(&["sync"]);
    assert_eq!(bob.texts("Bamboo"), ["later"]);
}

#[test]
fn without_a_node_a_message_stays_queued_and_the_exit_code_says_so() {
    let mut world = World::start();
    let (alice, bob, _) = world.pair();
    world.stop_node();

    let started = Instant::now();
    let (sent, chatted) = thread::scope(|scope| {
        let chat = scope.spawn(|| alice.fed(&["chat", "Bamboo"], b"typed in vain\n"));
        (
            alice.run(&["send", "Bamboo", "into the void"]),
            chat.join().unwrap(),
        )
    });
    let (_, stderr) = texts_of(&chatted);
    assert_eq!(chatted.status.code(), Some(3), "{stderr}");
    assert_eq!(
        stderr.matches("super node").count(),
        1,
        "an unreachable node is told once: {stderr}"
    );
    let (stdout, stderr) = texts_of(&sent);
    assert_eq!(sent.status.code(), Some(3), "{stderr}");
    assert_eq!(stdout.trim().len(), 64, "the id under which it waits");
    assert!(
        stderr.contains("stays queued") && stderr.contains("ailurus sync"),
        "{stderr}"
    );
    assert!(
        (14..25).contains(&started.elapsed().as_secs()),
        "{:?}",
        started.elapsed()
    );

    let offline = alice.run(&["channel", "new", "Made offline"]);
    let (stdout, stderr) = texts_of(&offline);
    assert_eq!(
        (offline.status.code(), stdout.trim().len()),
        (Some(0), 64),
        "{stderr}"
    );
    assert!(stderr.contains("ailurus sync"), "{stderr}");
    assert_eq!(alice.run(&["sync"]).status.code(), Some(1));

    world.restart_node();
    alice.ok(&["sync"]);
    bob.ok(&["sync"]);
    let mut arrived = bob.texts("Bamboo");
    arrived.sort();
    assert_eq!(arrived, ["into the void", "typed in vain"]);
}

#[test]
fn leaving_wipes_the_channel_here() {
    let world = World::start();
    let (alice, bob, channel) = world.pair();
    alice.ok(&["send", "Bamboo", "stays with others"]);
    bob.ok(&["sync"]);
    assert_eq!(alice.ok(&["channel", "leave", "Bamboo"]), "");
    assert_eq!(alice.ok(&["channel", "list"]), "");
    assert!(
        alice
            .refused(&["read", &channel[..8]])
            .contains("list of your channels")
    );
    assert_eq!(bob.texts("Bamboo"), ["stays with others"]);
}

#[test]
fn text_may_come_from_standard_input() {
    let world = World::start();
    let (alice, bob, _) = world.pair();
    let sent = alice.fed(&["send", "Bamboo", "-"], "two\nlines\n".as_bytes());
    assert_eq!(sent.status.code(), Some(0), "{}", texts_of(&sent).1);
    bob.ok(&["sync"]);
    assert_eq!(bob.texts("Bamboo"), ["two\nlines"]);
    assert!(
        bob.ok(&["read", "Bamboo"])
            .ends_with("Alice: two\n    lines")
    );
}

#[test]
fn what_cannot_be_sent_changes_nothing() {
    let world = World::start();
    let alice = world.phone("Alice");
    alice.ok(&["channel", "new", "Bamboo"]);
    let too_long = "a".repeat(16 * 1024 + 1);
    for text in ["", too_long.as_str()] {
        let error = alice.refused(&["send", "Bamboo", text]);
        assert!(error.contains("text"), "{error}");
    }
    assert_eq!(
        alice.fed(&["send", "Bamboo", "-"], b"\n").status.code(),
        Some(1)
    );
    assert_eq!(
        alice
            .fed(&["send", "Bamboo", "-"], too_long.as_bytes())
            .status
            .code(),
        Some(1)
    );
    assert_eq!(
        alice
            .fed(&["send", "Bamboo", "-"], b"\xff\xfe")
            .status
            .code(),
        Some(1)
    );
    assert_eq!(alice.texts("Bamboo"), [""; 0]);
    alice.ok(&["send", "Bamboo", &too_long[1..], "--queue"]);
    assert_eq!(alice.texts("Bamboo").len(), 1, "the longest text fits");
}

#[test]
fn a_deleted_message_is_gone_here_only() {
    let world = World::start();
    let (alice, bob, _) = world.pair();
    let id = alice.ok(&["send", "Bamboo", "regretted"]);
    bob.ok(&["sync"]);
    assert!(
        alice
            .refused(&["message", "delete", "ffffffff0000"])
            .contains("ffffffff0000")
    );
    alice.ok(&["message", "delete", &id[..12]]);
    alice.ok(&["sync"]);
    assert_eq!(alice.texts("Bamboo"), [""; 0]);
    assert_eq!(bob.texts("Bamboo"), ["regretted"]);
}
