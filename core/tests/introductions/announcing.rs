//! What a node is told of the others, and the records that it puts into the DHT.

use ailurus::{
    channel::{
        Access, AccessKind, Address, AddressKeys, Epoch, NodeLink, RecordKey, RecordSecret,
        SignedRecord, delegation_statement, own_slots,
    },
    client::engine::Announcing,
    wire::{
        limits::MAX_AHEAD,
        node::{Announced, Announcement, Hello, Reason, RecordWanted, Refusal, request::Kind},
        time::UnixMillis,
    },
};

use crate::world::{NOW, Phone, hours, meet, node, node_link, other_link};

fn announcements(announcing: &Announcing) -> Vec<Announcement> {
    let Some(Kind::Announce(announce)) = &announcing.request.kind else {
        panic!("announcements announce");
    };
    announce.announcements.clone()
}

/// Tells the node everything that is due; it wants no records.
fn told(phone: &mut Phone, now: UnixMillis) -> Vec<Announcement> {
    let mut told = Vec::new();
    for announcing in phone.engine.announce(&node(), now).unwrap() {
        told.extend(announcements(&announcing));
        let answer = Announced::default();
        let more = phone.engine.announced(&node(), &announcing, &answer, now);
        assert!(more.unwrap().is_none());
    }
    assert!(!phone.engine.work(&node(), now).unwrap().announces);
    told
}

/// A phone with a channel that is leased, and the channel's keys.
fn leased(nodes: &[NodeLink]) -> (Phone, Access) {
    let mut phone = Phone::with("Alice", nodes);
    let family = phone.engine.create_channel("family", NOW).unwrap();
    assert!(
        phone.engine.announce(&node(), NOW).unwrap().is_empty(),
        "there is no lease yet"
    );
    phone.register(NOW);
    let access = phone.link(&family, AccessKind::Full).access;
    (phone, access)
}

fn keys(access: &Access, epoch: Epoch) -> AddressKeys {
    access.address_keys(epoch).unwrap()
}

#[test]
fn every_leased_address_is_delegated_until_its_lease_ends() {
    let (mut alice, access) = leased(&[node_link(), other_link(1), other_link(2)]);
    assert!(alice.engine.work(&node(), NOW).unwrap().announces);
    let told = told(&mut alice, NOW);
    let epochs = Epoch::alive(NOW);
    assert_eq!(told.len(), epochs.len());
    for epoch in epochs {
        let keys = keys(&access, epoch);
        let announcement = told
            .iter()
            .find(|announcement| announcement.address == keys.address.as_bytes()[..])
            .expect("every address");
        assert_eq!(announcement.until, epoch.lease_end().as_secs());
        let signature: [u8; 64] = announcement.delegation.as_ref().try_into().unwrap();
        let statement = delegation_statement(&node(), &keys.address, announcement.until);
        assert_eq!(keys.access.public().verify(&statement, &signature), Ok(()));
        let mut peers: Vec<_> = announcement
            .peers
            .iter()
            .map(|hint| NodeLink::from_hint(hint).unwrap())
            .collect();
        peers.sort();
        let mut expected = vec![other_link(1), other_link(2)];
        expected.sort();
        assert_eq!(peers, expected, "never the node itself");
        // Nobody looks for a week that is over.
        assert_eq!(announcement.record_key.is_empty(), epoch != epochs[1]);
        assert_eq!(announcement.record_secret.is_empty(), epoch != epochs[1]);
        assert!(announcement.records.is_empty());
    }
}

#[test]
fn writers_sign_the_records_that_a_node_wants_once() {
    let (mut alice, access) = leased(&[node_link()]);
    let announcing = alice.engine.announce(&node(), NOW).unwrap().remove(0);
    // All of them, also where there can be none; and all slots, as if they were this node's.
    let wanted_of = |index| (0..=8).map(|slot| wanted(index, slot)).collect::<Vec<_>>();
    let answer = Announced {
        records_wanted: [0, 1, 2, 7].map(wanted_of).concat(),
        ..Announced::default()
    };
    let again = alice
        .engine
        .announced(&node(), &announcing, &answer, NOW)
        .unwrap()
        .expect("a record for this week");
    let [announcement] = announcements(&again).try_into().unwrap();
    let epoch = Epoch::of(NOW);
    let address = Address::try_from(announcement.address.as_ref()).unwrap();
    assert_eq!(address, keys(&access, epoch).address);
    let key = RecordKey::try_from(announcement.record_key.as_ref()).unwrap();
    assert_eq!(key, access.record_key(epoch).unwrap());
    let secret = RecordSecret::try_from(announcement.record_secret.as_ref()).unwrap();
    let mut signed = Vec::new();
    for record in &announcement.records {
        let record = SignedRecord::parse(record).unwrap();
        assert_eq!(record.open(&key, &secret, NOW), Ok(node_link()));
        assert_eq!(record.seq, NOW.as_secs());
        signed.push(record.slot);
    }
    assert_eq!(signed, own_slots(&node(), &key), "and for no other's slots");
    assert!(announcement.peers.is_empty(), "it has been told of them");
    let more = alice
        .engine
        .announced(&node(), &again, &answer, NOW)
        .unwrap();
    assert!(more.is_none(), "a node cannot make us sign for ever");
}

#[test]
fn a_record_is_not_signed_far_ahead_for_a_node_whose_clock_is() {
    let (mut alice, _) = leased(&[node_link()]);
    let hello = Hello {
        time_ms: hours(5).as_millis(),
        leases: 2,
        ..Hello::default()
    };
    alice.engine.hello(&node(), &hello, NOW).unwrap();
    let announcing = alice.engine.announce(&node(), NOW).unwrap().remove(0);
    let all = [0, 1].map(|index| (0..8).map(move |slot| wanted(index, slot)));
    let answer = Announced {
        records_wanted: all.into_iter().flatten().collect(),
        ..Announced::default()
    };
    let again = alice
        .engine
        .announced(&node(), &announcing, &answer, NOW)
        .unwrap()
        .expect("records");
    let latest = NOW.after(MAX_AHEAD).as_secs();
    for announcement in announcements(&again) {
        assert_eq!(announcement.records.len(), 3);
        let mut seqs = announcement.records.iter().map(|record| record.seq);
        assert!(seqs.all(|seq| seq == latest));
    }
}

fn wanted(index: u32, slot: u32) -> RecordWanted {
    RecordWanted { index, slot }
}

#[test]
fn readers_announce_and_sign_nothing() {
    let mut alice = Phone::new("Alice");
    let family = alice.engine.create_channel("family", NOW).unwrap();
    let mut bob = Phone::new("Bob");
    let link = alice.link(&family, AccessKind::Read);
    bob.engine.join(&link, None, NOW).unwrap();
    bob.register(NOW);
    let announcing = bob.engine.announce(&node(), NOW).unwrap().remove(0);
    assert!(
        announcements(&announcing)
            .iter()
            .any(|announcement| !announcement.record_key.is_empty())
    );
    let answer = Announced {
        records_wanted: vec![wanted(0, 5), wanted(1, 5)],
        ..Announced::default()
    };
    let more = bob
        .engine
        .announced(&node(), &announcing, &answer, NOW)
        .unwrap();
    assert!(more.is_none());
    // Who only writes has no lease, and says nothing.
    let mut carol = Phone::new("Carol");
    let link = alice.link(&family, AccessKind::Write);
    carol.engine.join(&link, None, NOW).unwrap();
    carol.register(NOW);
    assert!(carol.engine.announce(&node(), NOW).unwrap().is_empty());
}

#[test]
fn a_node_is_told_again_after_20_hours_or_when_something_changed() {
    let (mut alice, _) = leased(&[node_link()]);
    assert_eq!(told(&mut alice, NOW).len(), 2);
    assert!(
        alice
            .engine
            .announce(&node(), hours(19))
            .unwrap()
            .is_empty()
    );
    assert_eq!(told(&mut alice, hours(20)).len(), 2);
    // Another node of ours.
    alice.engine.add_node(&other_link(1), hours(20)).unwrap();
    let again = told(&mut alice, hours(20));
    assert_eq!(again.len(), 2);
    assert_eq!(again[0].peers.len(), 1);
    // One that a member keeps.
    let mut bob = Phone::with("Bob", &[node_link(), other_link(2)]);
    meet(&mut bob, &mut alice, "friends");
    alice.register(hours(20));
    told(&mut alice, hours(20));
    bob.engine.add_node(&other_link(3), hours(20)).unwrap();
    bob.hear(0, hours(20));
    bob.settle(hours(20));
    alice.take(&bob.publish(hours(20)), hours(20));
    let again = told(&mut alice, hours(20));
    assert_eq!(again.len(), 2, "of that channel only");
    assert_eq!(again[0].peers.len(), 3);
    // A node that lost its leases lost this too.
    alice.hear(0, hours(20));
    assert!(
        alice
            .engine
            .announce(&node(), hours(20))
            .unwrap()
            .is_empty()
    );
    alice.register(hours(20));
    assert_eq!(told(&mut alice, hours(20)).len(), 4);
    // And the next week's address is told of when it is leased.
    let next = Epoch::of(NOW).next().start();
    let soon = UnixMillis::from_secs(next.as_secs() - 3_600);
    alice.register(soon);
    let again = told(&mut alice, soon);
    assert_eq!(again.len(), 6);
    assert_eq!(
        again
            .iter()
            .filter(|told| !told.record_key.is_empty())
            .count(),
        4,
        "this week's and the next one's"
    );
}

#[test]
fn a_refusal_is_for_20_hours_and_a_busy_node_is_told_at_the_next_poll() {
    for (reason, again) in [
        (Reason::Malformed, false),
        (Reason::NodeFull, false),
        (Reason::RateLimited, true),
        (Reason::Busy, true),
    ] {
        let (mut alice, _) = leased(&[node_link()]);
        let announcing = alice.engine.announce(&node(), NOW).unwrap().remove(0);
        let answer = Announced {
            refusals: vec![Refusal {
                index: 0,
                reason: reason.into(),
            }],
            records_wanted: vec![wanted(0, 5)],
        };
        let more = alice.engine.announced(&node(), &announcing, &answer, NOW);
        assert!(more.unwrap().is_none(), "no record for what was refused");
        assert_eq!(alice.engine.work(&node(), NOW).unwrap().announces, again);
        alice
            .engine
            .announcing_refused(&node(), &announcing, reason, NOW)
            .unwrap();
        assert_eq!(alice.engine.work(&node(), NOW).unwrap().announces, again);
    }
}
