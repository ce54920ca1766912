//! What the plan keeps: usage by hours, habits, and large bodies that wait.

use std::fs;

use ailurus::store::{MAX_UNFETCHED, StoreError, StoredHabits, Unfetched, UsageEntry};
use ailurus::wire::time::UnixMillis;
use bytes::Bytes;

use crate::people::{NOW, Profile, later};

fn body(number: u32) -> Unfetched {
    let mut id = vec![0xb7; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    Unfetched {
        address: Bytes::from_static(&[0xa9; 32]),
        id: Bytes::from(id),
        kind: 1,
        time: NOW,
        size: 20_000,
    }
}

#[test]
fn bodies_wait_once_sealed_and_up_to_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    let mut alice = profile.create("Alice");
    let node = alice.nodes().unwrap()[0].row;
    let store = alice.store();
    store
        .write(|tx| {
            assert!(tx.put_off(node, &body(0), later(5))?);
            assert!(tx.put_off(node, &body(0), later(9))?, "it waits already");
            assert_eq!(tx.unfetched()?, [(node, body(0))]);
            assert_eq!(tx.oldest_unfetched()?, Some((later(5), NOW)));
            for number in 1..MAX_UNFETCHED {
                assert!(tx.put_off(node, &body(number), later(9))?);
            }
            assert!(!tx.put_off(node, &body(MAX_UNFETCHED), later(9))?, "full");
            assert!(tx.put_off(node, &body(3), later(9))?, "but known");
            Ok::<_, StoreError>(())
        })
        .unwrap();
    store.scrub().unwrap();
    let file = fs::read(profile.path()).unwrap();
    for secret in [&[0xa9; 32][..], &[0xb7; 28]] {
        let there = file.windows(secret.len()).any(|window| window == secret);
        assert!(!there, "in clear");
    }
    store
        .write(|tx| {
            tx.fetched(&body(0).id)?;
            assert_eq!(tx.unfetched_len()?, MAX_UNFETCHED - 1);
            tx.drop_unfetched(NOW)?;
            assert_eq!(tx.unfetched_len()?, MAX_UNFETCHED - 1, "not older");
            tx.drop_unfetched(later(1))?;
            assert!(!tx.has_unfetched(node)?);
            assert_eq!(tx.oldest_unfetched()?, None);
            Ok::<_, StoreError>(())
        })
        .unwrap();
}

#[test]
fn bodies_go_with_the_node_that_announced_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut alice = Profile::in_folder(folder.path()).create("Alice");
    let node = alice.nodes().unwrap()[0].row;
    let left = alice.store().write(|tx| {
        tx.put_off(node, &body(0), NOW)?;
        tx.remove_node(node, None)?;
        tx.unfetched_len()
    });
    assert_eq!(left.unwrap(), 0);
}

#[test]
fn hours_of_usage_are_summed_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    let mut alice = profile.create("Alice");
    let entry = |reason, bytes_sent| UsageEntry {
        reason,
        network: 2,
        bytes_sent,
        ..UsageEntry::default()
    };
    let add = |alice: &mut ailurus::client::engine::Engine, hour, entries: &[UsageEntry]| {
        let added = alice.store().write(|tx| tx.add_usage(hour, entries));
        added.unwrap();
    };
    add(&mut alice, 100, &[entry(1, 10), entry(2, 1)]);
    // Another process of the same profile, or a later run.
    drop(alice);
    let mut alice = profile.open();
    add(&mut alice, 100, &[entry(1, 5), entry(3, u64::MAX)]);
    add(&mut alice, 100, &[entry(3, u64::MAX)]);
    for hour in [50, 101, 400] {
        add(&mut alice, hour, &[entry(1, 7)]);
    }
    let kept = alice.store().write(|tx| {
        tx.forget_usage(60, 300)?;
        tx.usage(0)
    });
    assert_eq!(
        kept.unwrap(),
        [
            (100, vec![entry(1, 15), entry(2, 1), entry(3, u64::MAX)]),
            (101, vec![entry(1, 7)])
        ]
    );
}

#[test]
fn habits_are_kept_and_a_new_profile_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    let mut alice = profile.create("Alice");
    assert_eq!(alice.store().read(|tx| tx.habits()).unwrap(), None);
    let habits = StoredHabits {
        preference: 2,
        weights: vec![0.5; 24],
        weights_ms: UnixMillis::as_millis(NOW),
        asked_ms: None,
    };
    let kept = alice.store().write(|tx| tx.set_habits(&habits));
    kept.unwrap();
    drop(alice);
    let read = profile.open().store().read(|tx| tx.habits());
    assert_eq!(read.unwrap(), Some(habits));
}
