//! A full disk and a folder that may not be written. Each test starts itself again in a mount namespace of its own,
//! where it may mount a small file system; nothing stays mounted.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use ailurus::client::{Error, engine::Engine};
use ailurus::store::{Page, StoreError};

use crate::people::{NOW, Profile};

#[test]
fn a_full_disk_is_a_clear_error_and_loses_nothing() {
    in_own_mounts(
        "disk::a_full_disk_is_a_clear_error_and_loses_nothing",
        |folder| {
            mount(&["-t", "tmpfs", "-o", "size=1536k", "none"], folder);
            let profile = Profile::in_folder(folder);
            let mut alice = profile.create("Alice");
            let channel = alice.create_channel("family", NOW).unwrap();
            let text = "x".repeat(16_000);
            let mut acknowledged = 0;
            let error = loop {
                match alice.send(&channel, &text, NOW) {
                    Ok(_) => acknowledged += 1,
                    Err(error) => break error,
                }
                assert!(acknowledged < 1_000, "the disk does not fill");
            };
            assert!(
                matches!(error, Error::Store(StoreError::DiskFull)),
                "{error:?}"
            );
            assert!(acknowledged > 5);
            let count = |engine: &mut Engine| {
                let messages = engine.messages(&channel, Page::Latest, 1_000);
                messages.unwrap().len()
            };
            assert_eq!(count(&mut alice), acknowledged, "in the open profile");
            drop(alice);

            mount(&["-o", "remount,size=8m"], folder);
            let mut alice = profile.open();
            assert_eq!(count(&mut alice), acknowledged, "after a restart");
            alice.send(&channel, "there is room again", NOW).unwrap();
            assert_eq!(count(&mut alice), acknowledged + 1);
        },
    );
}

#[test]
fn no_profile_is_made_on_a_full_disk() {
    in_own_mounts("disk::no_profile_is_made_on_a_full_disk", |folder| {
        mount(&["-t", "tmpfs", "-o", "size=64k", "none"], folder);
        let profile = Profile::in_folder(folder);
        let filler = folder.join("filler");
        fs::write(&filler, vec![0; 60 * 1024]).unwrap();
        let created = Engine::create(profile.path(), &Profile::key(), "Alice", &[]).err();
        assert!(
            matches!(created, Some(Error::Store(StoreError::DiskFull))),
            "{created:?}"
        );
        fs::remove_file(filler).unwrap();
        mount(&["-o", "remount,size=8m"], folder);
        // What is left does not stand in the way.
        drop(profile.create("Alice"));
        profile.open();
    });
}

#[test]
fn a_folder_that_may_not_be_written_is_a_clear_error() {
    in_own_mounts(
        "disk::a_folder_that_may_not_be_written_is_a_clear_error",
        |folder| {
            mount(&["-t", "tmpfs", "-o", "size=8m", "none"], folder);
            let profile = Profile::in_folder(folder);
            let mut alice = profile.create("Alice");
            let channel = alice.create_channel("family", NOW).unwrap();
            alice.send(&channel, "hello", NOW).unwrap();
            drop(alice);
            let before = fs::read(profile.path()).unwrap();

            mount(&["-o", "remount,ro"], folder);
            let opened = Engine::open(profile.path(), &Profile::key())
                .and_then(|mut engine| engine.send(&channel, "lost?", NOW))
                .err();
            assert!(
                matches!(opened, Some(Error::Store(StoreError::ReadOnly))),
                "{opened:?}"
            );
            let other = folder.join("other.db");
            let created = Engine::create(&other, &Profile::key(), "Alice", &[]).err();
            assert!(
                matches!(created, Some(Error::Store(StoreError::ReadOnly))),
                "{created:?}"
            );

            mount(&["-o", "remount,rw"], folder);
            assert!(fs::read(profile.path()).unwrap() == before);
            let mut alice = profile.open();
            alice.send(&channel, "again", NOW).unwrap();
            assert_eq!(
                crate::people::texts(&mut alice, &channel),
                ["hello", "again"]
            );
        },
    );
}

/// Runs `body` in a process that may mount, or prints what that needs; fails without it where AILURUS_CI=1.
fn in_own_mounts(test: &str, body: impl FnOnce(&Path)) {
    const INSIDE: &str = "AILURUS_TEST_MOUNTS";
    if let Some(folder) = env::var_os(INSIDE) {
        body(Path::new(&folder));
        return;
    }
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]);
        command.args(arguments);
        command
    };
    let possible = unshare(&["mount", "-t", "tmpfs", "none", "/mnt"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !possible {
        let needs = "needs Linux with `unshare` and `mount` (util-linux) and user namespaces";
        assert!(env::var_os("AILURUS_CI").is_none(), "{test} {needs}");
        eprintln!("skipped: {test} {needs}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = env::current_exe().unwrap();
    let status = unshare(&[])
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, folder.path())
        .status()
        .unwrap();
    assert!(status.success());
}

fn mount(arguments: &[&str], folder: &Path) {
    let status = Command::new("mount")
        .args(arguments)
        .arg(folder)
        .status()
        .unwrap();
    assert!(status.success(), "mount {arguments:?}");
}
