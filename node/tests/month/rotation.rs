//! Channels that move, and whom they take along, over weeks.

use ailurus::channel::{Epoch, Link};
use ailurus::client::Notice;

use ailurus::wire::limits::ROTATION_REPEATED;

use crate::world::{DAY, Node, invite, notices};

#[test]
fn a_rotation_reaches_whoever_was_away_for_weeks() {
    let node = Node::new();
    let start = Epoch::new(2_900).start().after(DAY);
    let ([mut alice, mut bob, mut carol], channel) = node.family(["Alice", "Bob", "Carol"], start);
    let carols_key = alice
        .engine
        .members(&channel)
        .expect("members")
        .into_iter()
        .find(|member| member.name == "Carol")
        .expect("known")
        .author;
    let (moved, _) = alice
        .engine
        .rotate(&channel, &[carols_key], start)
        .expect("rotates");

    let mut now = start;
    for _ in 0..18 {
        now = now.after(2 * DAY);
        alice.poll(&node, now, now);
        node.expire(now);
    }
    // Five weeks later the first notice is long gone; the repeated one is there.
    let changes = bob.poll(&node, now, now);
    assert!(
        notices(&changes)
            .iter()
            .any(|notice| matches!(notice, Notice::Rotated { to, .. } if *to == moved)),
        "{changes:?}"
    );
    bob.engine.send(&moved, "found you", now).expect("queued");
    bob.poll(&node, now, now);
    alice.poll(&node, now, now);
    assert_eq!(alice.texts(&moved), ["found you"]);
    let changes = carol.poll(&node, now, now);
    assert!(notices(&changes).contains(&&Notice::Moved { channel }));

    // A new link from the same admin takes Carol along, in the channel she knows.
    let link = invite(&mut alice, &moved, now);
    assert_eq!(carol.engine.join(&link, None, now).expect("joins"), moved);
    carol.poll(&node, now, now);
    assert_eq!(carol.texts(&channel), ["found you"], "by the former id too");
}

#[test]
fn whoever_was_left_out_lives_on_in_other_channels() {
    let node = Node::new();
    let start = Epoch::new(2_900).start().after(DAY);
    let (mut alice, mut carol) = (node.phone("Alice", 1), node.phone("Carol", 3));
    let channel = alice
        .engine
        .create_channel("family", start)
        .expect("a channel");
    alice.poll(&node, start, start);
    let link = invite(&mut alice, &channel, start);
    carol.engine.join(&link, None, start).expect("joins");
    let other = carol
        .engine
        .create_channel("other", start)
        .expect("a channel");
    carol.poll(&node, start, start);
    alice.poll(&node, start, start);
    let carols_key = alice.engine.members(&channel).expect("members")[1].author;
    alice
        .engine
        .rotate(&channel, &[carols_key], start)
        .expect("rotates");
    alice.poll(&node, start, start);
    carol.poll(&node, start, start);
    // In later weeks it is others who repeat the notice.
    for week in 1..12 {
        let now = start.after(DAY * 7 * week);
        carol
            .engine
            .send(&other, "still here", now)
            .expect("queued");
        carol.poll(&node, now, now);
        node.expire(now);
    }
    assert_eq!(carol.texts(&other).len(), 11);
}

#[test]
fn a_notice_about_keys_that_are_here_already_stops_nothing() {
    let node = Node::new();
    let start = Epoch::new(2_900).start().after(DAY);
    let ([mut alice, mut bob], channel) = node.family(["Alice", "Bob"], start);
    let (moved, _) = alice.engine.rotate(&channel, &[], start).expect("rotates");
    alice
        .engine
        .send(&moved, "here now", start)
        .expect("queued");
    alice.poll(&node, start, start);
    // Bob gets the new link by hand before he hears of the rotation.
    let link = invite(&mut alice, &moved, start);
    bob.engine
        .join(&link, Some("family, new"), start)
        .expect("joins");
    let changes = bob.poll(&node, start, start);
    assert!(notices(&changes).contains(&&Notice::Moved { channel }));
    bob.poll(&node, start, start);
    assert_eq!(bob.texts(&moved), ["here now"]);
}

#[test]
fn a_redpanda_channel_moves_to_an_admin_of_its_own() {
    let node = Node::new();
    let start = Epoch::new(2_900).start().after(DAY);
    let (mut alice, mut bob) = (node.phone("Alice", 1), node.phone("Bob", 2));
    let link: Link = "pr7768EZp1Y8PwQhozCfacTNjL4iRxgJqcm8NDVuyvhfYJDwkzJFTtCZ6"
        .parse()
        .expect("it parses");
    let channel = alice
        .engine
        .join(&link, Some("panda"), start)
        .expect("joins");
    bob.engine.join(&link, Some("panda"), start).expect("joins");
    alice.poll(&node, start, start);
    bob.poll(&node, start, start);
    alice.poll(&node, start, start);
    assert!(
        bob.engine.channels().expect("channels")[0].admin,
        "every importer is admin"
    );
    let (moved, _) = alice.engine.rotate(&channel, &[], start).expect("rotates");
    alice.poll(&node, start, start);
    bob.poll(&node, start, start);
    for (phone, admin) in [(&mut alice, true), (&mut bob, false)] {
        let summary = &phone.engine.channels().expect("channels")[0];
        assert_eq!(summary.id, moved);
        assert_eq!((summary.admin, summary.redpanda), (admin, false));
    }
    bob.engine
        .send(&moved, "native now", start)
        .expect("queued");
    bob.poll(&node, start, start);
    alice.poll(&node, start, start);
    assert_eq!(alice.texts(&moved), ["native now"]);
}

#[test]
fn the_first_admin_comes_before_those_it_appointed() {
    let node = Node::new();
    let start = Epoch::new(2_900).start().after(DAY);
    let ([mut alice, mut bob, mut carol], channel) = node.family(["Alice", "Bob", "Carol"], start);
    assert!(bob.engine.rotate(&channel, &[], start).is_err(), "not yet");
    let bobs_key = alice
        .engine
        .members(&channel)
        .expect("members")
        .into_iter()
        .find(|member| member.name == "Bob")
        .expect("known")
        .author;
    alice
        .engine
        .appoint(&channel, &bobs_key, start)
        .expect("appoints");
    alice.poll(&node, start, start);
    bob.poll(&node, start, start);
    carol.poll(&node, start, start);

    // Both rotate before either hears of the other.
    let (bobs, _) = bob.engine.rotate(&channel, &[], start).expect("appointed");
    let (alices, _) = alice.engine.rotate(&channel, &[], start).expect("rotates");
    assert_ne!(bobs, alices);
    bob.poll(&node, start, start);
    // Carol hears Bob's first, and then changes over.
    let changes = carol.poll(&node, start, start);
    assert!(
        notices(&changes)
            .iter()
            .any(|notice| matches!(notice, Notice::Rotated { to, .. } if *to == bobs)),
        "{changes:?}"
    );
    alice.poll(&node, start, start);
    for phone in [&mut carol, &mut bob] {
        phone.poll(&node, start, start);
        phone.poll(&node, start, start);
        assert_eq!(
            phone.engine.channels().expect("channels")[0].id,
            alices,
            "the first admin's holds"
        );
    }
    alice
        .engine
        .send(&alices, "together", start)
        .expect("queued");
    alice.poll(&node, start, start);
    carol.poll(&node, start, start);
    assert_eq!(carol.texts(&alices), ["together"]);
}

#[test]
fn a_notice_is_repeated_for_eight_weeks_and_then_the_old_keys_go() {
    let node = Node::new();
    let start = Epoch::new(2_900).start().after(DAY);
    let mut alice = node.phone("Alice", 1);
    let channel = alice
        .engine
        .create_channel("family", start)
        .expect("a channel");
    alice.poll(&node, start, start);
    alice.engine.rotate(&channel, &[], start).expect("rotates");
    assert_eq!(ROTATION_REPEATED, DAY * 7 * LAST);
    let mut repeated = Vec::new();
    for week in 0..12 {
        let now = start.after(DAY * 7 * week);
        alice.poll(&node, now, now);
        alice.poll(&node, now, now);
        node.expire(now);
        // Nothing else is said here, so whatever the node keeps of this week is the notice.
        repeated.push(node.service.store().envelopes() > 0);
        let keys = alice
            .engine
            .store()
            .read(|tx| tx.accesses())
            .expect("accesses")
            .len();
        assert_eq!(keys, if week <= LAST + 1 { 2 } else { 1 }, "week {week}");
    }
    let expected: Vec<bool> = (0..12).map(|week| week <= LAST).collect();
    assert_eq!(repeated, expected);
}

/// The last week in which a notice is repeated.
const LAST: u32 = 8;
