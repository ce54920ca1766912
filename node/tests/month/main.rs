//! A month in virtual time: the real client engine, store and node service, without sockets or clocks.
//!
//! Resync within 7 days is complete. After that, what was not delivered and all sync information is gone on the node,
//! outbox entries and epoch secrets on the phone, and the person is told; what was received stays.

mod rotation;
mod world;

use ailurus::channel::{
    Envelope, Epoch,
    message::{EpochCipher, Opened},
};
use ailurus::client::engine::Change;
use ailurus::client::{MessageState, Notice};
use ailurus::store::Page;
use ailurus::wire::{limits::LIFETIME, time::UnixMillis};

use world::{DAY, HOUR, Node, notices, received};

#[test]
fn a_month_of_messages() {
    let node = Node::new();
    let start = Epoch::new(2_900).start().after(5 * HOUR);
    let ([mut alice, mut bob, mut carol], channel) = node.family(["Alice", "Bob", "Carol"], start);
    let first_secret = Epoch::of(start);

    let mut sent = Vec::new();
    let mut bob_polls = 0;
    let mut carol_missed = false;
    for day in 0_u32..30 {
        for part in 0..3 {
            let now = start.after(DAY * day).after(HOUR * (part * 7));
            let text = format!("day {day}, part {part}");
            alice.engine.send(&channel, &text, now).expect("queued");
            let changes = alice.poll(&node, now, now);
            assert!(notices(&changes).is_empty(), "{changes:?}");
            sent.push((now, text));
            node.expire(now);
        }
        let now = start.after(DAY * day).after(HOUR * 20);
        // Bob looks in every sixth day and misses nothing.
        if day % 6 == 5 {
            bob_polls += 1;
            let changes = bob.poll(&node, now, now);
            // Carol introduces herself again and again, and is told of once.
            let name = "Carol".to_owned();
            let carol_joined = Notice::Joined { channel, name };
            let told: &[&Notice] = if bob_polls == 1 {
                &[&carol_joined]
            } else {
                &[]
            };
            assert_eq!(notices(&changes), told, "day {day}");
            let all: Vec<_> = sent.iter().map(|(_, text)| text.clone()).collect();
            assert_eq!(bob.texts(&channel), all, "day {day}");
        }
        // Carol is away for 12 days and told so.
        if day == 2 || day == 14 {
            let changes = carol.poll(&node, now, now);
            let missed = notices(&changes)
                .into_iter()
                .any(|notice| matches!(notice, Notice::Missed { .. }));
            assert_eq!(missed, day == 14, "{changes:?}");
            carol_missed |= missed;
            if day == 14 {
                let expected: Vec<_> = sent
                    .iter()
                    .filter(|(time, _)| time.after(LIFETIME) > now)
                    .map(|(_, text)| text.as_str())
                    .collect();
                let got: Vec<_> = received(&changes).iter().map(|m| m.text.as_str()).collect();
                assert_eq!(got, expected);
            }
        }
    }
    assert!(bob_polls == 5 && carol_missed);

    let end = start.after(30 * DAY);
    let kept = sent
        .iter()
        .filter(|(time, _)| time.after(LIFETIME) > end)
        .count();
    node.expire(end);
    assert_eq!(
        node.service.store().envelopes(),
        kept as u64,
        "older ones are gone on the node"
    );
    assert_eq!(
        carol.texts(&channel).len(),
        9 + 21,
        "what was received stays"
    );

    // Two epochs on, nothing left on the phone opens an envelope of the first.
    let now = end;
    alice.poll(&node, now, now);
    bob.poll(&node, now, now);
    assert!(alice.oldest_secret() > first_secret.next());
    let first = bob
        .seen
        .iter()
        .find(|batch| Epoch::of(UnixMillis::from_millis(batch.base_time_ms)) == first_secret)
        .expect("something of the first epoch")
        .clone();
    let envelope = Envelope::from_item(
        first.address.as_ref().try_into().expect("an address"),
        UnixMillis::from_millis(first.base_time_ms),
        &first.items[0],
    )
    .expect("an envelope");
    let accesses = bob
        .engine
        .store()
        .read(|tx| tx.accesses())
        .expect("accesses");
    let chain = accesses[0].read.as_ref().expect("a chain");
    assert!(chain.at(first_secret).is_err());
    for later in 0..40 {
        let secret = chain
            .at(Epoch::new(chain.epoch().number() + later))
            .expect("forward");
        let sealing = accesses[0].access.sealing().expect("full access");
        assert!(Opened::open(&envelope, &EpochCipher::new(&secret), sealing).is_err());
    }

    // A month without anybody: the node forgets all, leases included.
    let later = end.after(30 * DAY);
    node.expire(later);
    assert_eq!(node.service.store().envelopes(), 0);
}

#[test]
fn what_no_node_takes_expires_and_is_told() {
    let node = Node::new();
    let start = Epoch::new(2_900).start().after(HOUR);
    let mut alice = node.phone("Alice", 1);
    let channel = alice
        .engine
        .create_channel("family", start)
        .expect("a channel");
    alice.poll(&node, start, start);
    let queued = alice
        .engine
        .send(&channel, "never sent", start)
        .expect("queued");
    // Sealed for a node that was not reached, and so under its final id.
    alice.engine.publish(&node.key, start).expect("sealed");

    // No node in reach: queued until the seventh day, then expired, also by the own clock alone.
    let before = start.after(LIFETIME).before(HOUR);
    assert!(
        alice
            .engine
            .expire(&[], before)
            .expect("expires")
            .is_empty()
    );
    // Stamps never repeat, so it may be dated a little later.
    let after = start.after(LIFETIME).after(HOUR);
    let changes = alice.engine.expire(&[], after).expect("expires");
    assert!(
        notices(&changes).contains(&&Notice::Expired { channel, count: 1 }),
        "{changes:?}"
    );
    let was = changes.iter().find_map(|change| match change {
        Change::Expired { message, was } => Some((message.id, *was)),
        _ => None,
    });
    assert!(
        was.is_some_and(|(id, was)| id != queued && was == Some(queued)),
        "{was:?}"
    );
    let messages = alice
        .engine
        .messages(&channel, Page::Latest, 10)
        .expect("messages");
    assert_eq!(messages[0].state, MessageState::Expired);
    // What is queued and then waits too long is not sent with the first contact either.
    alice
        .engine
        .send(&channel, "too late", after)
        .expect("queued");
    let after = after.after(LIFETIME);
    let changes = alice.poll(&node, after, after);
    assert!(
        notices(&changes).contains(&&Notice::Expired { channel, count: 1 }),
        "{changes:?}"
    );
    assert!(received(&changes).is_empty());
    node.expire(after);
    assert_eq!(node.service.store().envelopes(), 0);
}

#[test]
fn a_clock_wrong_by_a_day_is_named_and_deletes_nothing() {
    let node = Node::new();
    let start = Epoch::new(2_900).start().after(DAY);
    let ([mut alice, mut bob], channel) = node.family(["Alice", "Bob"], start);
    let before = alice.oldest_secret();

    let wrong = start.after(40 * DAY);
    alice
        .engine
        .send(&channel, "from the future", wrong)
        .expect("queued");
    let changes = alice.poll(&node, wrong, start.after(HOUR));
    let named = notices(&changes).into_iter().any(|notice| {
        matches!(
            notice,
            Notice::Clock {
                ahead: true,
                deletion_held: true,
                ..
            }
        ) && notice.to_string().contains("clock")
    });
    assert!(named, "{changes:?}");
    assert_eq!(alice.oldest_secret(), before, "no secret is deleted");

    // It was stamped with the node's time, so it arrives.
    let changes = bob.poll(&node, start.after(2 * HOUR), start.after(2 * HOUR));
    let got = received(&changes);
    assert_eq!(got.len(), 1, "{changes:?}");
    assert_eq!(got[0].time, start.after(HOUR));

    // The clock set right, things go on.
    let changes = alice.poll(&node, start.after(3 * HOUR), start.after(3 * HOUR));
    assert!(notices(&changes).is_empty(), "{changes:?}");
}

#[test]
fn a_node_that_lies_about_the_time_silences_nobody() {
    let (liar, honest) = (Node::new(), Node::new());
    let start = Epoch::new(2_900).start().after(DAY);
    let mut alice = liar.phone("Alice", 1);
    let channel = alice
        .engine
        .create_channel("family", start)
        .expect("a channel");
    alice
        .engine
        .send(&channel, "dated by the liar", start)
        .expect("queued");
    alice.poll(&liar, start, start.after(365 * DAY));
    // Both nodes have one key here, so this is as if the liar came to its senses, or another took its place.
    let now = start.after(HOUR);
    alice
        .engine
        .send(&channel, "dated well", now)
        .expect("queued");
    alice.poll(&honest, now, now);
    let times: Vec<_> = alice
        .engine
        .messages(&channel, Page::Latest, 10)
        .expect("messages")
        .iter()
        .filter(|message| message.text == "dated well")
        .map(|message| (message.time, message.state))
        .collect();
    assert_eq!(times, [(now, MessageState::AtNode)]);
}
