//! A profile moves into a backup file and out again.

use std::fs;

use crate::world::{World, refused, succeeded};

#[test]
fn a_profile_survives_in_its_backup() {
    let world = World::start();
    let (alice, bob, _) = world.pair();
    alice.ok(&["send", "Bamboo", "before the backup"]);
    let file = world.path("alice.backup");
    alice.ok(&["export", &file]);
    assert!(
        alice
            .refused(&["export", &file])
            .contains("another file name")
    );

    let restored = world.no_phone("restored");
    restored.ok(&["import", &file]);
    assert!(
        restored
            .refused(&["import", &file])
            .contains("profile already")
    );
    assert_eq!(restored.texts("Bamboo"), ["before the backup"]);
    bob.ok(&["send", "Bamboo", "after the backup"]);
    restored.ok(&["sync"]);
    assert_eq!(
        restored.texts("Bamboo"),
        ["before the backup", "after the backup"]
    );
}

#[test]
fn a_backup_may_have_a_passphrase_of_its_own() {
    let world = World::start();
    let alice = world.phone("Alice");
    let file = world.path("alice.backup");
    let with_own = |phone: &crate::world::Phone, arguments: &[&str]| {
        phone
            .command(arguments)
            .env("AILURUS_BACKUP_PASSPHRASE", "a phrase for the vault")
            .output()
            .unwrap()
    };
    succeeded(&["export"], &with_own(&alice, &["export", &file]));

    let restored = world.no_phone("restored");
    assert!(
        restored
            .refused(&["import", &file])
            .contains("passphrase is wrong")
    );
    assert!(
        !restored.data.exists(),
        "a refused import leaves nothing behind"
    );
    succeeded(&["import"], &with_own(&restored, &["import", &file]));
    assert_eq!(restored.ok(&["node", "list"]), world.node_link);
}

#[test]
fn a_damaged_backup_is_refused() {
    let world = World::start();
    let alice = world.phone("Alice");
    let file = world.path("alice.backup");
    alice.ok(&["export", &file]);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let restored = world.no_phone("restored");
    restored.refused(&["import", &file]);
    fs::write(&file, "no backup").unwrap();
    assert!(restored.refused(&["import", &file]).contains("backup"));
    let gone = ["import", "gone.backup"];
    assert!(refused(&gone, &restored.run(&gone)).contains("gone.backup"));
    assert!(!restored.data.exists());
}
