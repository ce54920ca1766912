//! A month in virtual time: the real client engine, store and node service, without sockets or clocks.
//!
//! Resync within 7 days is complete. After that, what was not delivered and all sync information is gone on the node,
//! outbox entries and epoch secrets on the phone, and the person is told; what was received stays.

use std::sync::Arc;
use std::time::Duration;

use ailurus::channel::{
    AccessKind, ChannelId, Envelope, Epoch, Link, NodeLink,
    message::{EpochCipher, Opened},
};
use ailurus::client::{
    Message, MessageState, Notice,
    engine::{Change, Engine},
};
use ailurus::crypto::{NodeKey, NodeSecret, SeededEntropy};
use ailurus::store::{Page, StorageKey};
use ailurus::sync::session::{Session as Conversation, Step};
use ailurus::wire::{
    limits::LIFETIME,
    node::{Batch, Request, response},
    time::UnixMillis,
};
use ailurus_node::{Limits, Service, Session, Store};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
const SEED: u64 = 20_151_101;

struct Node {
    service: Service,
    key: NodeKey,
    folder: TempDir,
}

impl Node {
    fn new() -> Self {
        println!("seed {SEED}");
        let folder = tempfile::tempdir().expect("a folder");
        let key = NodeSecret::from_bytes([9; 32]).public();
        let store = Store::open(&folder.path().join("node.db")).expect("a store");
        Self {
            service: Service::new(Arc::new(store), Limits::default(), key),
            key,
            folder,
        }
    }

    fn phone(&self, name: &str, number: u64) -> Phone {
        let link = NodeLink::new(self.key, "127.0.0.1", 1).expect("a link");
        let path = self.folder.path().join(format!("{name}.db"));
        let storage = StorageKey::from_bytes([1; 32]);
        let mut engine = Engine::create(&path, &storage, name, &[link]).expect("a profile");
        engine.set_entropy(Box::new(SeededEntropy::from_u64(SEED + number)));
        Phone {
            engine,
            node: self.key,
            seen: Vec::new(),
        }
    }

    fn expire(&self, now: UnixMillis) {
        while self.service.expire(now).expect("expires").more {}
    }
}

struct Phone {
    engine: Engine,
    node: NodeKey,
    /// Every batch that ever came, as a thief of the network would have it.
    seen: Vec<Batch>,
}

impl Phone {
    /// What a poll over QUIC does, step by step.
    fn poll(&mut self, node: &Node, own_now: UnixMillis, node_now: UnixMillis) -> Vec<Change> {
        let key = self.node;
        let pseudonym = self.engine.nodes().expect("nodes")[0].pseudonym.public();
        let exporter = [7; 32];
        let session = Session {
            pseudonym,
            early: false,
            exporter: Some(exporter),
        };
        let ask = |request: &Request| {
            node.service
                .handle(&session, node_now, request.clone())
                .into_iter()
                .map(|response| response.kind.expect("an answer"))
                .collect::<Vec<_>>()
        };
        let mut changes = Vec::new();
        let work = self.engine.work(&key, own_now).expect("work");
        let mut talk = Conversation::new(work);
        loop {
            match talk.next() {
                Step::Idle => break,
                Step::Register => {
                    for registration in self
                        .engine
                        .register(&key, &exporter, own_now)
                        .expect("leases")
                    {
                        for answer in ask(&registration.request) {
                            let response::Kind::Registered(answer) = answer else {
                                panic!("{answer:?}");
                            };
                            changes.extend(
                                self.engine
                                    .registered(&key, &registration, &answer)
                                    .expect("leases"),
                            );
                        }
                    }
                    talk.registered();
                }
                Step::Release => {
                    ask(&self.engine.release(&key).expect("a request"));
                    self.engine.released(&key).expect("released");
                    talk.released();
                }
                Step::Sync => {
                    let request = self.engine.sync(&key, false).expect("a request");
                    let mut batches = Vec::new();
                    for answer in ask(&request) {
                        match answer {
                            response::Kind::Hello(hello) => {
                                let (expected, told) =
                                    self.engine.hello(&key, &hello, own_now).expect("hello");
                                changes.extend(told);
                                talk.hello(hello.leases, expected);
                            }
                            response::Kind::Batch(batch) => batches.push(batch),
                            response::Kind::Position(position) => {
                                let cursor = Some(position.cursor.as_ref());
                                let done = self
                                    .engine
                                    .ingest(&key, &batches, cursor, own_now)
                                    .expect("taken in");
                                changes.extend(done.changes);
                                self.seen.append(&mut batches);
                            }
                            response::Kind::CaughtUp(_) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                    assert!(batches.is_empty(), "every batch is followed by a position");
                    talk.caught_up();
                    let leases = self.engine.work(&key, own_now).expect("work");
                    if talk.next() == Step::Idle {
                        talk.set_work(leases);
                    }
                }
                Step::Publish => {
                    let (publications, expired) =
                        self.engine.publish(&key, own_now).expect("publications");
                    changes.extend(expired);
                    for publication in publications {
                        for answer in ask(&publication.request) {
                            let response::Kind::Published(answer) = answer else {
                                panic!("{answer:?}");
                            };
                            changes.extend(
                                self.engine
                                    .published(&key, &publication, &answer)
                                    .expect("taken in"),
                            );
                        }
                    }
                    talk.published();
                }
            }
        }
        changes.extend(self.engine.expire(&[key], own_now).expect("expires"));
        changes
    }

    fn texts(&mut self, channel: &ChannelId) -> Vec<String> {
        self.engine
            .messages(channel, Page::Latest, 10_000)
            .expect("messages")
            .into_iter()
            .map(|message| message.text)
            .collect()
    }

    fn oldest_secret(&mut self) -> Epoch {
        let accesses = self
            .engine
            .store()
            .read(|tx| tx.accesses())
            .expect("accesses");
        accesses[0].read.as_ref().expect("a read secret").epoch()
    }
}

fn received(changes: &[Change]) -> Vec<&Message> {
    changes
        .iter()
        .filter_map(|change| match change {
            Change::Received(message) => Some(message),
            _ => None,
        })
        .collect()
}

fn notices(changes: &[Change]) -> Vec<&Notice> {
    changes
        .iter()
        .filter_map(|change| match change {
            Change::Notice(notice) => Some(notice),
            _ => None,
        })
        .collect()
}

fn invite(from: &mut Phone, channel: &ChannelId, now: UnixMillis) -> Link {
    from.engine
        .link(channel, AccessKind::Full, true, now)
        .expect("a link")
        .parse()
        .expect("it parses")
}

#[test]
fn a_month_of_messages() {
    let node = Node::new();
    let start = Epoch::new(2_900).start().after(5 * HOUR);
    let (mut alice, mut bob, mut carol) = (
        node.phone("Alice", 1),
        node.phone("Bob", 2),
        node.phone("Carol", 3),
    );
    let channel = alice
        .engine
        .create_channel("family", start)
        .expect("a channel");
    alice.poll(&node, start, start);
    for friend in [&mut bob, &mut carol] {
        let link = invite(&mut alice, &channel, start);
        friend.engine.join(&link, None, start).expect("joins");
        friend.poll(&node, start, start);
    }
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
            assert!(notices(&changes).is_empty(), "{changes:?}");
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
    alice
        .engine
        .send(&channel, "never sent", start)
        .expect("queued");

    // No node in reach: queued until the seventh day, then expired, also by the own clock alone.
    let before = start.after(LIFETIME).before(HOUR);
    assert!(
        alice
            .engine
            .expire(&[], before)
            .expect("expires")
            .is_empty()
    );
    let after = start.after(LIFETIME);
    let changes = alice.engine.expire(&[], after).expect("expires");
    assert!(
        notices(&changes).contains(&&Notice::Expired { channel, count: 1 }),
        "{changes:?}"
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
    let (mut alice, mut bob) = (node.phone("Alice", 1), node.phone("Bob", 2));
    let channel = alice
        .engine
        .create_channel("family", start)
        .expect("a channel");
    alice.poll(&node, start, start);
    let link = invite(&mut alice, &channel, start);
    bob.engine.join(&link, None, start).expect("joins");
    bob.poll(&node, start, start);
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
fn a_rotation_reaches_whoever_was_away_for_weeks() {
    let node = Node::new();
    let start = Epoch::new(2_900).start().after(DAY);
    let (mut alice, mut bob, mut carol) = (
        node.phone("Alice", 1),
        node.phone("Bob", 2),
        node.phone("Carol", 3),
    );
    let channel = alice
        .engine
        .create_channel("family", start)
        .expect("a channel");
    alice.poll(&node, start, start);
    for friend in [&mut bob, &mut carol] {
        let link = invite(&mut alice, &channel, start);
        friend.engine.join(&link, None, start).expect("joins");
        friend.poll(&node, start, start);
    }
    alice.poll(&node, start, start);
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
    let (mut alice, mut bob) = (node.phone("Alice", 1), node.phone("Bob", 2));
    let channel = alice
        .engine
        .create_channel("family", start)
        .expect("a channel");
    alice.poll(&node, start, start);
    let link = invite(&mut alice, &channel, start);
    bob.engine.join(&link, None, start).expect("joins");
    bob.poll(&node, start, start);
    alice.poll(&node, start, start);
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
    let (mut alice, mut bob, mut carol) = (
        node.phone("Alice", 1),
        node.phone("Bob", 2),
        node.phone("Carol", 3),
    );
    let channel = alice
        .engine
        .create_channel("family", start)
        .expect("a channel");
    alice.poll(&node, start, start);
    for friend in [&mut bob, &mut carol] {
        let link = invite(&mut alice, &channel, start);
        friend.engine.join(&link, None, start).expect("joins");
        friend.poll(&node, start, start);
    }
    alice.poll(&node, start, start);
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
