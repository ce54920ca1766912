//! Two services that complete each other, without a network.

mod common;

use std::sync::Arc;

use ailurus::{
    channel::{Epoch, NewChannel, NodeLink, delegation_statement, record::own_slots},
    crypto::{NodeKey, NodeSecret, Pseudonym},
    wire::{
        content::NodeHint,
        limits::{LIFETIME, MAX_FRAME},
        node::{
            Announce, Announced, Announcement, Published, Reason, Reconcile, Request, Response,
            request, response::Kind,
        },
        time::UnixMillis,
    },
};
use ailurus_node::{Limits, Service, Session, Store, Wire, WireEnd};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use tempfile::TempDir;

use common::*;

struct Place {
    dir: TempDir,
    service: Arc<Service>,
    key: NodeKey,
}

impl Place {
    fn new(seed: u8) -> Self {
        Self::with(seed, Limits::default())
    }

    fn with(seed: u8, limits: Limits) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let key = NodeSecret::from_bytes([seed; 32]).public();
        let store = Arc::new(Store::open(&dir.path().join("node.db")).expect("a database"));
        Self {
            service: Arc::new(Service::new(store, limits, key)),
            dir,
            key,
        }
    }

    fn ask(&self, now: UnixMillis, request: Request) -> Response {
        self.ask_as(ALICE, now, request)
    }

    fn ask_as(&self, who: Pseudonym, now: UnixMillis, request: Request) -> Response {
        let mut answers = self.service.handle(&session(who), now, request);
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    /// Registers Alice and announces the channel's address of this epoch.
    fn serve(&self, channel: &Channel, now: UnixMillis, peers: &[&Self]) {
        let epoch = Epoch::of(now);
        let lease = channel.lease(epoch, self.key, ALICE, EXPORTER);
        assert_eq!(refusals(&[self.ask(now, register(vec![lease]))]), []);
        let announced = self.announce(now, vec![announcement(channel, epoch, self.key, peers)]);
        assert_eq!(announced.refusals, []);
    }

    fn announce(&self, now: UnixMillis, announcements: Vec<Announcement>) -> Announced {
        let announce = request(request::Kind::Announce(Announce { announcements }));
        match self.ask(now, announce).kind {
            Some(Kind::Announced(announced)) => announced,
            other => panic!("{other:?}"),
        }
    }

    fn publish(
        &self,
        channel: &Channel,
        now: UnixMillis,
        envelopes: &[ailurus::channel::Envelope],
    ) {
        for part in envelopes.chunks(500) {
            assert_eq!(refusals(&[self.ask(now, channel.publish(part))]), []);
        }
    }

    fn wire(&self, other: &Self, now: UnixMillis) -> Wire {
        Wire::new(&self.service, other.key, now).expect("readable")
    }

    /// Signatures and bodies of one address, sorted.
    fn kept(&self, channel: &Channel, now: UnixMillis) -> Vec<Bytes> {
        let answers = self
            .service
            .handle(&session(ALICE), now, sync(Bytes::new()));
        let mut kept = Synced::of(answers).of_address(channel.address(now));
        kept.sort();
        kept
    }
}

fn announcement(channel: &Channel, epoch: Epoch, node: NodeKey, peers: &[&Place]) -> Announcement {
    let keys = channel.keys(epoch);
    let until = epoch.lease_end().as_secs();
    let statement = delegation_statement(&node, &keys.address, until);
    Announcement {
        address: Bytes::copy_from_slice(keys.address.as_bytes()),
        until,
        delegation: Bytes::copy_from_slice(&keys.access.sign(&statement)),
        peers: peers.iter().map(|peer| hint(peer.key)).collect(),
        ..Announcement::default()
    }
}

fn hint(key: NodeKey) -> NodeHint {
    NodeHint {
        key: Bytes::copy_from_slice(key.as_bytes()),
        host: "192.0.2.1".to_owned(),
        port: 4433,
    }
}

fn run(wire: &mut Wire, from: &Place, to: &Place, now: UnixMillis) -> Option<WireEnd> {
    let mut largest = 0;
    let end = wire
        .run(&from.service, now, |session: &Session, request| {
            largest = largest.max(request.encoded_len());
            let answers = to.service.handle(session, now, request);
            for answer in &answers {
                largest = largest.max(answer.encoded_len());
            }
            answers
        })
        .expect("readable");
    assert!(largest <= MAX_FRAME);
    end
}

#[test]
fn two_nodes_end_with_the_same_envelopes() {
    let (a, b) = (Place::new(1), Place::new(2));
    let mut channel = Channel::new(1);
    let mine = channel.envelopes(NOW, 300, 1_500);
    let both = channel.envelopes(NOW.offset(-5_000_000), 300, 700);
    let large = channel.envelopes(NOW.offset(-90_000), 20_000, 3);
    let theirs = channel.envelopes(NOW.offset(-60_000), 300, 900);
    for place in [&a, &b] {
        place.serve(&channel, NOW, &[&a, &b]);
        place.publish(&channel, NOW, &both);
    }
    a.publish(&channel, NOW, &mine);
    b.publish(&channel, NOW, &large);
    b.publish(&channel, NOW, &theirs);
    let mut wire = a.wire(&b, NOW);
    assert_eq!(run(&mut wire, &a, &b, NOW), None);
    let mut all: Vec<Bytes> = [mine, both, theirs]
        .iter()
        .flat_map(|part| sealed(part))
        .collect();
    all.sort();
    assert_eq!(a.kept(&channel, NOW), all);
    assert_eq!(b.kept(&channel, NOW), all);
    for envelope in &large {
        let answer = a.ask(NOW, fetch(envelope));
        assert!(matches!(answer.kind, Some(Kind::Batch(_))), "{answer:?}");
    }
    // Again, and there is nothing to do until the next reconciliation.
    assert_eq!(run(&mut wire, &a, &b, NOW), None);
    assert!(wire.wake() > NOW.after(HOUR / 10));
}

#[test]
fn a_stranger_who_claims_to_be_a_node_is_refused() {
    let (a, b) = (Place::new(1), Place::new(2));
    let (mut channel, other) = (Channel::new(1), Channel::new(2));
    let epoch = Epoch::of(NOW);
    b.serve(&channel, NOW, &[]);
    let sent = channel.envelopes(NOW, 300, 3);
    b.publish(&channel, NOW, &sent);
    let stranger = Pseudonym::from_bytes(*a.key.as_bytes());
    let reconcile = || {
        request(request::Kind::Reconcile(Reconcile {
            addresses: Bytes::from_static(&[0; 32]),
            from_ms: 0,
            to_ms: NOW.as_millis(),
            message: Bytes::from_static(&[0x61]),
        }))
    };
    // Without any lease, and with a client's.
    assert_eq!(
        refusals(&[b.ask_as(stranger, NOW, reconcile())]),
        [(0, Reason::NotRegistered)]
    );
    assert_eq!(
        refusals(&[b.ask(NOW, reconcile())]),
        [(0, Reason::NotRegistered)]
    );
    let id = channel.envelopes(NOW, 300, 1)[0].id();
    let blind = request(request::Kind::Fetch(ailurus::wire::node::Fetch {
        address: Bytes::new(),
        id: Bytes::copy_from_slice(id.as_bytes()),
    }));
    assert_eq!(
        refusals(&[b.ask_as(stranger, NOW, blind)]),
        [(0, Reason::NotFound)]
    );

    let keys = channel.keys(epoch);
    let end = epoch.lease_end().as_secs();
    let sound = delegation_statement(&a.key, &keys.address, end);
    let forms = [
        // By another channel's key.
        other.keys(epoch).access.sign(&sound),
        // For another address.
        keys.access
            .sign(&delegation_statement(&a.key, &other.address(NOW), end)),
        // For another node.
        keys.access
            .sign(&delegation_statement(&b.key, &keys.address, end)),
        // Until another time.
        keys.access
            .sign(&delegation_statement(&a.key, &keys.address, end - 1)),
    ];
    let mut lease = channel.lease(epoch, b.key, stranger, EXPORTER);
    lease.proof = Bytes::new();
    for form in forms {
        lease.delegation = Bytes::copy_from_slice(&form);
        let refused = refusals(&[b.ask_as(stranger, NOW, register(vec![lease.clone()]))]);
        assert_eq!(refused, [(0, Reason::BadProof)]);
    }
    lease.delegation = Bytes::copy_from_slice(&keys.access.sign(&sound));
    assert_eq!(
        refusals(&[b.ask_as(ALICE, NOW, register(vec![lease.clone()]))]),
        [(0, Reason::BadProof)]
    );
    assert_eq!(
        refusals(&[b.ask_as(stranger, NOW, register(vec![lease]))]),
        []
    );
    // Now it may ask, but for exactly what it leased.
    let differs = refusals(&[b.ask_as(stranger, NOW, reconcile())]);
    assert_eq!(differs, [(0, Reason::AddressesDiffer)]);
}

#[test]
fn announcements_are_checked_one_by_one() {
    let a = Place::new(1);
    let (channel, unknown) = (Channel::new(1), Channel::new(2));
    let epoch = Epoch::of(NOW);
    a.serve(&channel, NOW, &[]);
    let good = || announcement(&channel, epoch, a.key, &[]);
    let refused = |one: Announcement| {
        let announced = a.announce(NOW, vec![good(), one]);
        let [refusal] = announced.refusals.as_slice() else {
            panic!("{announced:?}");
        };
        assert_eq!(refusal.index, 1);
        refusal.reason()
    };
    assert_eq!(
        refused(announcement(&unknown, epoch, a.key, &[])),
        Reason::NotRegistered
    );
    let elsewhere = NodeSecret::from_bytes([9; 32]).public();
    assert_eq!(
        refused(announcement(&channel, epoch, elsewhere, &[])),
        Reason::BadProof
    );
    let mut late = good();
    late.until = epoch.next().next().lease_end().as_secs();
    assert_eq!(refused(late), Reason::LeaseEnd);
    let mut crowd = good();
    crowd.peers = vec![hint(elsewhere); 9];
    assert_eq!(refused(crowd), Reason::Malformed);
    let mut half = good();
    half.record_key = Bytes::from_static(&[1; 32]);
    assert_eq!(refused(half), Reason::Malformed);

    let many = (0..129).map(|_| good()).collect();
    let announce = request(request::Kind::Announce(Announce {
        announcements: many,
    }));
    assert_eq!(
        refusals(&[a.ask(NOW, announce.clone())]),
        [(0, Reason::Malformed)]
    );
    let mut early = session(ALICE);
    (early.early, early.exporter) = (true, None);
    assert_eq!(
        refusals(&a.service.handle(&early, NOW, announce)),
        [(0, Reason::EarlyData)]
    );
}

#[test]
fn a_record_is_wanted_once_a_day_and_only_this_nodes_is_taken() {
    let a = Place::new(1);
    let mut entropy = ailurus::crypto::SeededEntropy::from_u64(7);
    let epoch = Epoch::of(NOW);
    let access = NewChannel::create(epoch, &mut entropy).access;
    let keys = access.address_keys(epoch).expect("an honest channel");
    let signer = access
        .record_signer(epoch)
        .expect("derived")
        .expect("a writer");
    let secret = access.record_secret(epoch);
    let end = epoch.lease_end().as_secs();
    let statement = ailurus::channel::lease_statement(
        &EXPORTER,
        a.key.as_bytes(),
        ALICE.as_bytes(),
        &keys.address,
        end,
    );
    let lease = ailurus::wire::node::Lease {
        blinded_key: Bytes::copy_from_slice(keys.blinded.as_bytes()),
        access_key: Bytes::copy_from_slice(keys.access.public().as_bytes()),
        epoch: epoch.number(),
        lease_end: end,
        proof: Bytes::copy_from_slice(&keys.access.sign(&statement)),
        ..Default::default()
    };
    assert_eq!(refusals(&[a.ask(NOW, register(vec![lease]))]), []);
    let delegation = delegation_statement(&a.key, &keys.address, end);
    let bare = Announcement {
        address: Bytes::copy_from_slice(keys.address.as_bytes()),
        until: end,
        delegation: Bytes::copy_from_slice(&keys.access.sign(&delegation)),
        record_key: Bytes::copy_from_slice(signer.key().as_bytes()),
        record_secret: Bytes::copy_from_slice(secret.expose()),
        ..Announcement::default()
    };
    let own = own_slots(&a.key, signer.key());
    let signed = |key: NodeKey, slots: &[u8]| {
        let link = NodeLink::new(key, "192.0.2.1", 4433).expect("a link");
        let mut entropy = ailurus::crypto::SeededEntropy::from_u64(8);
        let sign = |slot: &u8| signer.sign(&secret, &link, *slot, NOW, &mut entropy);
        Announcement {
            records: slots
                .iter()
                .map(sign)
                .map(|record| record.to_wire())
                .collect(),
            ..bare.clone()
        }
    };
    let refused = |announcement| a.announce(NOW, vec![announcement]).refusals[0].reason();
    let wanted = |after: u32, announcement: &Announcement| -> Vec<(u32, u32)> {
        let now = NOW.after(HOUR * after);
        let answer = a.announce(now, vec![announcement.clone()]);
        assert_eq!(answer.refusals, []);
        let slots = answer.records_wanted.iter();
        slots.map(|wanted| (wanted.index, wanted.slot)).collect()
    };
    let all: Vec<(u32, u32)> = own.iter().map(|slot| (0, u32::from(*slot))).collect();
    let none: Vec<(u32, u32)> = Vec::new();
    let elsewhere = NodeSecret::from_bytes([9; 32]).public();
    assert_eq!(refused(signed(elsewhere, &own[..1])), Reason::BadProof);
    assert_eq!(wanted(0, &bare), all);
    let strange = (0..8).find(|slot| !own.contains(slot)).expect("of eight");
    let other_slot = signed(a.key, &[own[0], strange]);
    assert_eq!(refused(other_slot), Reason::BadProof);
    let mut forged = signed(a.key, &own);
    forged.records[2].seq += 1;
    assert_eq!(refused(forged), Reason::BadSignature);
    let four = signed(a.key, &[own.as_slice(), &own[..1]].concat());
    assert_eq!(refused(four), Reason::Malformed);
    assert_eq!(wanted(0, &bare), all, "nothing was kept of these");
    assert_eq!(wanted(0, &signed(a.key, &own)), none);
    assert_eq!(wanted(23, &bare), none);
    assert_eq!(wanted(24, &bare), all[..1], "the others were not needed");
    assert_eq!(wanted(48, &bare), all, "nothing stands any more");
    let after = UnixMillis::from_secs(end).after(HOUR);
    a.service.expire(after).expect("expires");
    let database = rusqlite::Connection::open(a.dir.path().join("node.db")).expect("opens");
    let left = database.query_row("SELECT count(*) FROM records", [], |row| row.get(0));
    assert_eq!(left, Ok(0));
}

#[test]
fn an_address_that_no_client_of_the_other_node_has_is_left_out_and_tried_again() {
    let (a, b) = (Place::new(1), Place::new(2));
    let (mut one, mut two) = (Channel::new(1), Channel::new(2));
    a.serve(&one, NOW, &[&a, &b]);
    a.serve(&two, NOW, &[&a, &b]);
    b.serve(&one, NOW, &[&a, &b]);
    let of_one = one.envelopes(NOW, 300, 3);
    let of_two = two.envelopes(NOW, 300, 4);
    a.publish(&one, NOW, &of_one);
    a.publish(&two, NOW, &of_two);
    let mut wire = a.wire(&b, NOW);
    let mut run = |now: UnixMillis| {
        let end = wire.run(&a.service, now, |session, request| {
            b.service.handle(session, now, request)
        });
        assert_eq!(end.expect("readable"), None);
        wire.wake()
    };
    let mut now = run(NOW);
    assert_eq!((b.kept(&one, NOW).len(), b.kept(&two, NOW).len()), (3, 0));
    b.serve(&two, NOW, &[&a, &b]);
    while b.kept(&two, NOW).len() < 4 {
        assert!(now < NOW.after(HOUR), "not within an hour");
        now = run(now);
    }
    // When its clients leave, it keeps nothing for the other node, which finds that out and goes on with the rest.
    let gone = release(&[two.address(NOW)]);
    assert_eq!(refusals(&[b.ask(now, gone)]), []);
    let more = one.envelopes(NOW, 301, 5);
    a.publish(&one, now, &more);
    let end = now.after(DAY);
    while b.kept(&one, NOW).len() < 8 {
        assert!(now < end, "not within a day");
        now = run(now);
    }
}

#[test]
fn members_send_a_node_nowhere_in_its_own_network() {
    let a = Place::new(1);
    let channel = Channel::new(1);
    a.serve(&channel, NOW, &[]);
    let epoch = Epoch::of(NOW);
    let named = |service: &Service| {
        let mut announced = announcement(&channel, epoch, a.key, &[]);
        announced.peers = ["127.0.0.1", "192.168.0.7", "localhost", "192.0.2.9"]
            .into_iter()
            .zip(10_u8..)
            .map(|(host, seed)| NodeHint {
                host: host.to_owned(),
                ..hint(NodeSecret::from_bytes([seed; 32]).public())
            })
            .collect();
        let announce = request(request::Kind::Announce(Announce {
            announcements: vec![announced],
        }));
        service.handle(&session(ALICE), NOW, announce);
        let database = a.dir.path().join("node.db");
        let database = rusqlite::Connection::open(database).expect("opens");
        let count: i64 = database
            .query_row("SELECT count(*) FROM peers", [], |row| row.get(0))
            .expect("counted");
        count
    };
    assert_eq!(named(&a.service), 1);
    // Unless it is there itself.
    a.service.advertise("192.168.0.1");
    assert_eq!(named(&a.service), 4);
}

#[test]
fn leases_that_the_other_node_remembers_alone_are_released() {
    let (a, b) = (Place::new(1), Place::new(2));
    let (mut one, two) = (Channel::new(1), Channel::new(2));
    for place in [&a, &b] {
        place.serve(&one, NOW, &[&a, &b]);
        place.serve(&two, NOW, &[&a, &b]);
    }
    let mut wire = a.wire(&b, NOW);
    wire.run(&a.service, NOW, |session, request| {
        b.service.handle(session, NOW, request)
    })
    .expect("readable");
    drop(wire);
    // The link is gone, and then the clients that had the second channel; nobody tells the other node.
    assert_eq!(refusals(&[a.ask(NOW, release(&[two.address(NOW)]))]), []);
    let envelopes = one.envelopes(NOW, 300, 3);
    a.publish(&one, NOW, &envelopes);
    let mut wire = a.wire(&b, NOW);
    let mut now = NOW;
    while b.kept(&one, NOW).len() < 3 {
        assert!(now < NOW.after(HOUR), "not within an hour");
        let end = wire.run(&a.service, now, |session, request| {
            b.service.handle(session, now, request)
        });
        assert_eq!(end.expect("readable"), None);
        now = wire.wake();
    }
}

#[test]
fn who_acknowledges_and_drops_is_found_out_and_the_honest_is_not() {
    let (a, b) = (Place::new(1), Place::new(2));
    let mut channel = Channel::new(1);
    for place in [&a, &b] {
        place.serve(&channel, NOW, &[&a, &b]);
    }
    let sent = channel.envelopes(NOW, 300, 5);
    a.publish(&channel, NOW, &sent);
    let mut wire = a.wire(&b, NOW);
    let drops = |session: &Session, now: UnixMillis, request: Request| match request.kind {
        Some(request::Kind::Publish(_)) => vec![Response {
            kind: Some(Kind::Published(Published::default())),
        }],
        _ => b.service.handle(session, now, request),
    };
    let first = wire.run(&a.service, NOW, |session, request| {
        drops(session, NOW, request)
    });
    assert_eq!(first.expect("readable"), None);
    let later = wire.wake();
    let second = wire.run(&a.service, later, |session, request| {
        drops(session, later, request)
    });
    assert_eq!(second.expect("readable"), Some(WireEnd::Withheld));

    // The same with an honest node, whose clock is ahead so that it forgets first.
    let (c, d) = (Place::new(3), Place::new(4));
    let old = NOW.before(LIFETIME).after(HOUR * 2);
    let edge = channel.envelopes(old, 300, 5);
    for place in [&c, &d] {
        place.serve(&channel, NOW, &[&c, &d]);
    }
    let early = Channel::new(1);
    let epoch = Epoch::of(old);
    for place in [&c, &d] {
        let lease = early.lease(epoch, place.key, ALICE, EXPORTER);
        assert_eq!(refusals(&[place.ask(NOW, register(vec![lease]))]), []);
        let announced =
            place.announce(NOW, vec![announcement(&early, epoch, place.key, &[&c, &d])]);
        assert_eq!(announced.refusals, []);
    }
    c.publish(&early, NOW, &edge);
    let ahead = |now: UnixMillis| now.after(HOUR / 4);
    let mut wire = c.wire(&d, NOW);
    let mut now = NOW;
    let mut acknowledged = 0;
    for _ in 0..30 {
        let end = wire.run(&c.service, now, |session, request| {
            acknowledged += usize::from(matches!(request.kind, Some(request::Kind::Publish(_))));
            d.service.handle(session, ahead(now), request)
        });
        assert_eq!(end.expect("readable"), None);
        d.service.expire(ahead(now)).expect("expired");
        c.service.expire(now).expect("expired");
        now = now.after(HOUR / 12).max(wire.wake());
    }
    assert!(now > old.after(LIFETIME), "it went past the edge");
    assert_eq!(acknowledged, 1, "it was offered once");
}

#[test]
fn a_node_that_sends_nonsense_is_left() {
    let (a, b) = (Place::new(1), Place::new(2));
    let mut channel = Channel::new(1);
    for place in [&a, &b] {
        place.serve(&channel, NOW, &[&a, &b]);
    }
    let sent = channel.envelopes(NOW, 300, 3);
    b.publish(&channel, NOW, &sent);
    let mut wire = a.wire(&b, NOW);
    let end = wire.run(&a.service, NOW, |session, request| {
        let mut answers = b.service.handle(session, NOW, request);
        for answer in &mut answers {
            if let Some(Kind::Batch(batch)) = &mut answer.kind {
                for item in &mut batch.items {
                    let mut sealed = item.sealed.to_vec();
                    sealed[70] ^= 1;
                    item.sealed = sealed.into();
                }
            }
        }
        answers
    });
    assert_eq!(end.expect("readable"), Some(WireEnd::Misbehaved));
    assert!(a.kept(&channel, NOW).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_sets_end_equal(
        here in prop::collection::vec((0_u8..3, 0_u64..400), 0..120),
        there in prop::collection::vec((0_u8..3, 0_u64..400), 0..120),
        both in prop::collection::vec((0_u8..3, 0_u64..400), 0..60),
    ) {
        let (a, b) = (Place::new(1), Place::new(2));
        let mut channels: Vec<Channel> = (0..3).map(Channel::new).collect();
        for channel in &channels {
            for place in [&a, &b] {
                place.serve(channel, NOW, &[&a, &b]);
            }
        }
        // No two bodies of one time: an id says nothing of the signature.
        let mut count = 0;
        let mut put = |set: &[(u8, u64)], places: &[&Place]| {
            for (channel, minutes) in set {
                let channel = &mut channels[usize::from(*channel)];
                count += 1;
                let time = Epoch::of(NOW).start().offset(*minutes as i64 * 60_000 + count);
                let envelope = channel.envelope(time, 300);
                for place in places {
                    place.publish(channel, NOW, std::slice::from_ref(&envelope));
                }
            }
        };
        put(&here, &[&a]);
        put(&there, &[&b]);
        put(&both, &[&a, &b]);
        let mut wire = a.wire(&b, NOW);
        prop_assert_eq!(run(&mut wire, &a, &b, NOW), None);
        let mut total = 0;
        for channel in &channels {
            let kept = a.kept(channel, NOW);
            total += kept.len();
            prop_assert!(kept == b.kept(channel, NOW));
        }
        prop_assert_eq!(total, here.len() + there.len() + both.len());
    }
}
