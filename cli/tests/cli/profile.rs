//! Profiles: passphrases, names, and what is refused.

use std::{fs, path::Path};

use crate::world::{PASSPHRASE, World, ailurus, refused, texts_of};

#[test]
fn a_wrong_passphrase_opens_nothing_and_changes_nothing() {
    let world = World::start();
    let alice = world.phone("Alice");
    alice.ok(&["channel", "new", "Bamboo"]);
    let arguments = ["channel", "list"];
    let wrong = alice
        .command(&arguments)
        .env("AILURUS_PASSPHRASE", "apples and bamboo")
        .output()
        .unwrap();
    assert!(refused(&arguments, &wrong).contains("passphrase is wrong"));
    let empty = alice
        .command(&arguments)
        .env("AILURUS_PASSPHRASE", "")
        .output()
        .unwrap();
    assert!(refused(&arguments, &empty).contains("AILURUS_PASSPHRASE"));
    assert_eq!(
        alice.json(&["channel", "list", "--json"])[0]["name"],
        "Bamboo"
    );
}

#[test]
fn without_terminal_and_passphrase_nothing_waits() {
    let world = World::start();
    let alice = world.phone("Alice");
    for (phone, arguments) in [
        (&alice, vec!["channel", "list"]),
        (
            &world.no_phone("other"),
            vec!["init", "--name", "Bob", "--node", &world.node_link],
        ),
    ] {
        let output = phone
            .command(&arguments)
            .env_remove("AILURUS_PASSPHRASE")
            .output()
            .unwrap();
        assert!(refused(&arguments, &output).contains("AILURUS_PASSPHRASE"));
    }
    assert!(
        !world.no_phone("other").data.exists(),
        "a refused init leaves no folder"
    );
}

#[test]
fn init_happens_once() {
    let world = World::start();
    let alice = world.phone("Alice");
    let before = contents(&alice.data);
    assert!(
        alice
            .refused(&["init", "--name", "Bob", "--node", &world.node_link])
            .contains("profile already")
    );
    assert_eq!(contents(&alice.data), before);
}

#[test]
fn a_refused_init_leaves_nothing_behind() {
    let world = World::start();
    let nobody = world.no_phone("nobody");
    let long = "a".repeat(33);
    for name in ["", " ", "a\nb", &long] {
        assert!(
            nobody
                .refused(&["init", "--name", name, "--node", &world.node_link])
                .contains("name")
        );
    }
    let mut mistyped = world.node_link;
    mistyped.pop();
    nobody.refused(&["init", "--name", "Bob", "--node", &mistyped]);
    nobody.refused(&[
        "init",
        "--name",
        "Bob",
        "--node",
        "pr7768EZp1Y8PwQhozCfacTNjL4iRxgJqcm8NDVuyvhfYJDwkzJFTtCZ6",
    ]);
    assert!(!nobody.data.exists());
    assert!(nobody.refused(&["channel", "list"]).contains("init"));
}

#[cfg(unix)]
#[test]
fn a_profile_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::start();
    let alice = world.phone("Alice");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&alice.data), 0o700);
    assert_eq!(mode(&alice.data.join("salt")), 0o600);
    for file in fs::read_dir(&alice.data).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        for secret in [PASSPHRASE, "Alice"] {
            assert!(
                !bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes())
            );
        }
    }
}

#[test]
fn channels_are_found_by_name_and_by_unambiguous_prefix() {
    let world = World::start();
    // Without a node no command waits for one.
    let alice = world.no_phone("alice");
    alice.ok(&["init", "--name", "Alice"]);
    let ids: Vec<String> = (0..17)
        .map(|number| alice.ok(&["channel", "new", &format!("Channel {number}")]))
        .collect();
    assert!(
        alice
            .refused(&["channel", "new", "Channel 1"])
            .contains("Channel 1")
    );
    assert!(
        alice
            .refused(&["channel", "rename", "Channel 1", "Channel 2"])
            .contains("Channel 2")
    );
    assert_eq!(alice.ok(&["channel", "list"]).lines().count(), 17);
    // Of 17 ids, two begin with the same of 16 digits.
    let digit = |id: &String| id[..1].to_owned();
    let shared = ids
        .iter()
        .map(digit)
        .find(|first| ids.iter().filter(|id| digit(id) == *first).count() > 1)
        .unwrap();
    assert!(
        alice
            .refused(&["channel", "mute", &shared])
            .contains("several")
    );
    alice.refused(&["channel", "mute", ""]);
    alice.ok(&["channel", "mute", &ids[3]]);
    alice.ok(&["channel", "rename", &ids[3][..16], "Quiet"]);
    let quiet = &alice.json(&["channel", "list", "--json"])[3];
    assert_eq!(
        (&quiet["name"], &quiet["muted"]),
        (&"Quiet".into(), &true.into())
    );
    alice.ok(&["channel", "mute", "Quiet", "--off"]);
    assert_eq!(
        alice.json(&["channel", "list", "--json"])[3]["muted"],
        false
    );
}

#[test]
fn a_shifted_clock_is_announced() {
    let world = World::start();
    let alice = world.phone("Alice");
    let output = alice.run(&["--clock-offset", "90m", "channel", "list"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(texts_of(&output).1.contains("clock is shifted"));
    assert_eq!(
        ailurus(&["--clock-offset", "soon", "demo"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(2)
    );
}

fn contents(folder: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap())
        .map(|file| (file.file_name(), fs::read(file.path()).unwrap()))
        .collect();
    files.sort();
    files
}
