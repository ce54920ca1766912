//! QR codes, the three kinds of access, and rotation.

use std::fs;

use crate::world::World;

#[test]
fn a_qr_code_in_a_png_file_joins() {
    let world = World::start();
    let (alice, bob) = (world.phone("Alice"), world.phone("Bob"));
    let channel = alice.ok(&["channel", "new", "Bamboo"]);
    let png = world.path("bamboo.png");
    assert_eq!(alice.ok(&["channel", "qr", "Bamboo", "--out", &png]), "");
    assert_eq!(bob.ok(&["channel", "join", "--qr", &png]), channel);
    alice.ok(&["send", "Bamboo", "scanned"]);
    bob.ok(&["sync"]);
    assert_eq!(bob.texts("Bamboo"), ["scanned"]);

    let drawn = alice.ok(&["channel", "qr", "Bamboo"]);
    assert!(
        drawn.lines().count() > 20 && drawn.contains('█') && !drawn.contains('\x1b'),
        "{drawn}"
    );
    let text_file = world.path("no.png");
    fs::write(&text_file, "no picture").unwrap();
    assert!(
        bob.refused(&["channel", "join", "--qr", &text_file])
            .contains("PNG")
    );
    assert!(
        bob.refused(&["channel", "join", "--qr", &world.path("gone.png")])
            .contains("gone.png")
    );
}

#[cfg(unix)]
#[test]
fn a_qr_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::start();
    let alice = world.phone("Alice");
    alice.ok(&["channel", "new", "Bamboo"]);
    let png = world.path("bamboo.png");
    alice.ok(&["channel", "qr", "Bamboo", "--out", &png]);
    assert_eq!(
        fs::metadata(&png).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn read_only_cannot_write_and_write_only_cannot_read() {
    let world = World::start();
    let (alice, bob, channel) = world.pair();
    alice.ok(&["send", "Bamboo", "for readers"]);

    let reader = world.phone("Carol");
    let link = alice.ok(&["channel", "link", "Bamboo", "--access", "read"]);
    assert!(link.starts_with("ar"), "{link}");
    assert_eq!(reader.ok(&["channel", "join", &link]), channel);
    reader.ok(&["sync"]);
    assert_eq!(reader.texts("Bamboo"), ["for readers"]);
    assert!(
        reader
            .refused(&["send", "Bamboo", "no"])
            .contains("read access")
    );
    assert!(
        reader
            .refused(&["channel", "link", "Bamboo", "--access", "full"])
            .contains("read access")
    );
    assert!(
        reader.ok(&["channel", "link", "Bamboo"]).starts_with("ar"),
        "one's own access unless told"
    );

    let writer = world.phone("Box");
    let link = alice.ok(&["channel", "link", "Bamboo", "--access", "write"]);
    assert!(link.starts_with("aw"), "{link}");
    assert_eq!(
        writer
            .fed(&["channel", "join", "-"], format!("{link}\n").as_bytes())
            .status
            .code(),
        Some(0)
    );
    writer.ok(&["send", "Bamboo", "a letter"]);
    writer.ok(&["sync"]);
    assert_eq!(writer.texts("Bamboo"), ["a letter"], "only its own");
    assert!(
        writer
            .refused(&["channel", "link", "Bamboo", "--access", "read"])
            .contains("write access")
    );
    for phone in [&bob, &reader] {
        phone.ok(&["sync"]);
        assert_eq!(phone.texts("Bamboo"), ["for readers", "a letter"]);
    }
}

#[test]
fn a_rotation_leaves_a_member_behind() {
    let world = World::start();
    let (alice, bob, former) = world.pair();
    let carol = world.phone("Carol");
    carol.ok(&["channel", "join", &alice.ok(&["channel", "link", "Bamboo"])]);
    for phone in [&bob, &carol] {
        phone.ok(&["send", "Bamboo", "here"]);
    }
    alice.ok(&["sync"]);
    assert!(
        alice
            .refused(&["channel", "rotate", "Bamboo", "--without", "Nobody"])
            .contains("Nobody")
    );
    assert!(
        bob.refused(&["channel", "rotate", "Bamboo"])
            .contains("admin")
    );
    let present = alice.ok(&["channel", "rotate", "Bamboo", "--without", "Carol"]);
    assert_ne!(present, former);
    alice.ok(&["send", "Bamboo", "after"]);
    for phone in [&bob, &carol] {
        phone.ok(&["sync"]);
        phone.ok(&["sync"]);
    }
    assert!(
        bob.texts(&former[..10]).contains(&"after".to_owned()),
        "a former id still finds the channel"
    );
    assert!(!carol.texts("Bamboo").contains(&"after".to_owned()));
    assert_eq!(carol.json(&["channel", "list", "--json"])[0]["moved"], true);
    assert_eq!(
        bob.json(&["channel", "list", "--json"])[0]["id"],
        present.as_str()
    );
}

#[test]
fn a_redpanda_string_joins_and_refuses_write_only_links() {
    let world = World::start();
    let alice = world.phone("Alice");
    let link = "prAZqUNKAu9D4Xtrpiv7yLHL3Pc4gUV6bQ86t86sgrJQ3SkDLn6E1ffez";
    let id = alice.ok(&["channel", "join", link, "--name", "Old friends"]);
    assert_eq!(id.len(), 64);
    assert_eq!(alice.ok(&["channel", "link", "Old friends"]), link);
    assert!(
        alice
            .refused(&["channel", "link", "Old friends", "--access", "write"])
            .contains("redPanda")
    );
}
