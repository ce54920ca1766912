//! The service without a network: every reason to refuse, cursors, limits, expiry.

mod common;

use ailurus::{
    channel::Epoch,
    crypto::Pseudonym,
    wire::{
        limits::{
            ADDRESS_EARLY, LIFETIME, MAX_AHEAD, MAX_INLINE, MAX_ITEMS, MAX_LEASES, MAX_SEALED,
        },
        node::{Reason, Request, request, response},
    },
};
use ailurus_node::{Limits, Session};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use common::*;

fn bench(limits: Limits) -> (tempfile::TempDir, Bench) {
    let dir = tempfile::tempdir().expect("a directory");
    let bench = Bench::open(dir.path(), limits);
    (dir, bench)
}

fn epoch() -> Epoch {
    Epoch::of(NOW)
}

#[test]
fn what_was_published_is_synced_in_order_and_once() {
    let (_dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 300, 2_500);
    assert_eq!(bench.register(BOB, NOW, &channel, epoch()), []);
    for part in envelopes.chunks(1_000) {
        assert_eq!(bench.publish(&channel, NOW, part), []);
    }
    let first = bench.sync(BOB, NOW, &Bytes::new());
    assert_eq!(first.hello.time_ms, NOW.as_millis());
    assert_eq!((first.hello.from_start, first.hello.leases), (false, 1));
    assert_eq!(first.of_address(channel.address(NOW)), sealed(&envelopes));
    assert_eq!(first.positions, 3);
    let times: Vec<_> = first.envelopes.iter().map(|(_, time, _)| *time).collect();
    let sent: Vec<_> = envelopes
        .iter()
        .map(|envelope| envelope.header().time)
        .collect();
    assert_eq!(times, sent);

    let second = bench.sync(BOB, NOW, &first.cursor());
    assert!(second.envelopes.is_empty() && !second.hello.from_start);
    assert_eq!(second.cursor, None);
}

#[test]
fn a_position_between_loses_and_repeats_nothing() {
    let (_dir, bench) = bench(Limits::default());
    let mut channels: Vec<Channel> = (0..5).map(Channel::new).collect();
    for channel in &channels {
        assert_eq!(bench.register(BOB, NOW, channel, epoch()), []);
    }
    let mut sent = vec![Vec::new(); channels.len()];
    for round in 0..60_u64 {
        for (index, channel) in channels.iter_mut().enumerate() {
            let time = NOW.offset(i64::try_from(round).expect("small") * 100);
            let envelopes = channel.envelopes(time, 200, 1 + (round * 7 + index as u64) % 13);
            assert_eq!(bench.publish(channel, NOW, &envelopes), []);
            sent[index].extend(sealed(&envelopes));
        }
    }
    // The connection breaks after each position in turn; the next sync goes on from there.
    let mut cursor = Bytes::new();
    let mut got = Synced::default();
    loop {
        let responses = bench.ask(BOB, NOW, sync(cursor.clone()));
        let end = responses
            .iter()
            .position(|response| matches!(response.kind, Some(response::Kind::Position(_))));
        let Some(end) = end else { break };
        for response in responses.into_iter().take(end + 1) {
            got.add(response);
        }
        cursor = got.cursor();
    }
    assert!(got.positions > 1);
    for (channel, sent) in channels.iter().zip(&sent) {
        assert_eq!(&got.of_address(channel.address(NOW)), sent);
    }
}

#[test]
fn an_address_registered_later_starts_seven_days_back() {
    let (_dir, bench) = bench(Limits::default());
    let (mut old, mut new) = (Channel::new(1), Channel::new(2));
    bench.register(BOB, NOW, &old, epoch());
    let before_old = old.envelopes(NOW, 200, 1_500);
    let before_new = new.envelopes(NOW, 200, 1_700);
    for part in before_old.chunks(1_000) {
        bench.publish(&old, NOW, part);
    }
    for part in before_new.chunks(1_000) {
        bench.publish(&new, NOW, part);
    }
    let first = bench.sync(BOB, NOW, &Bytes::new());
    assert_eq!(first.envelopes.len(), 1_500);
    assert_eq!(bench.register(BOB, NOW, &new, epoch()), []);
    let after = old.envelopes(NOW.after(HOUR), 200, 10);
    bench.publish(&old, NOW.after(HOUR), &after);

    // Broken off in the middle of the backlog, it goes on where it was.
    let now = NOW.after(HOUR);
    let responses = bench.ask(BOB, now, sync(first.cursor()));
    let mut part = Synced::default();
    for response in responses {
        part.add(response);
        if part.positions == 1 {
            break;
        }
    }
    assert_eq!(
        part.of_address(new.address(NOW)),
        sealed(&before_new)[..1_000]
    );
    let third = Channel::new(3);
    bench.register(BOB, now, &third, epoch());
    let rest = bench.sync(BOB, now, &part.cursor());
    assert_eq!(
        rest.of_address(new.address(NOW)),
        sealed(&before_new)[1_000..]
    );
    assert_eq!(rest.of_address(old.address(NOW)), sealed(&after));
    assert_eq!(rest.hello.leases, 3);
    let last = bench.sync(BOB, now, &rest.cursor());
    assert_eq!((last.envelopes.len(), last.cursor), (0, None));
}

#[test]
fn an_empty_answer_is_as_large_with_200_addresses() {
    let (_dir, bench) = bench(Limits::default());
    let size = |who: Pseudonym, channels: u64| {
        let leases = (0..channels)
            .map(|seed| Channel::new(seed).lease(epoch(), bench.node, who, EXPORTER))
            .collect();
        assert_eq!(refusals(&bench.ask(who, NOW, register(leases))), []);
        let cursor = bench.sync(who, NOW, &Bytes::new()).cursor();
        let responses = bench.ask(who, NOW, sync(cursor));
        assert_eq!(responses.len(), 2);
        responses
            .iter()
            .map(|response| response.encoded_len())
            .sum::<usize>()
    };
    // One byte for the number of leases.
    assert!(size(BOB, 200).abs_diff(size(ALICE, 1)) <= 1);
}

#[test]
fn a_cursor_from_elsewhere_starts_over() {
    let (dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 3);
    bench.register(ALICE, NOW, &channel, epoch());
    bench.register(BOB, NOW, &channel, epoch());
    bench.publish(&channel, NOW, &envelopes);
    let of_alice = bench.sync(ALICE, NOW, &Bytes::new()).cursor();
    let of_bob = bench.sync(BOB, NOW, &Bytes::new()).cursor();
    let starts_over = |bench: &Bench, cursor: &Bytes| {
        let synced = bench.sync(BOB, NOW, cursor);
        assert!(synced.hello.from_start);
        assert_eq!(synced.of_address(channel.address(NOW)), sealed(&envelopes));
    };
    starts_over(&bench, &of_alice);
    starts_over(&bench, &of_bob.slice(..of_bob.len() - 1));
    starts_over(&bench, &Bytes::from_static(b"nonsense"));
    assert!(!bench.sync(BOB, NOW, &of_bob).hello.from_start);

    // Of a registration that was given up.
    bench.ask(BOB, NOW, release(&[channel.address(NOW)]));
    let gone = bench.sync(BOB, NOW, &of_bob);
    assert!(gone.hello.from_start && gone.hello.leases == 0 && gone.cursor.is_none());
    bench.register(BOB, NOW, &channel, epoch());
    starts_over(&bench, &of_bob);

    // Of an earlier generation.
    let of_bob = bench.sync(BOB, NOW, &Bytes::new()).cursor();
    let generation = bench.sync(BOB, NOW, &of_bob).hello.generation;
    drop(bench);
    let mut store = ailurus_node::Store::open(&dir.path().join("node.db")).expect("opens");
    store.begin_generation().expect("written");
    drop(store);
    let restored = Bench::open(dir.path(), Limits::default());
    assert_ne!(
        restored.sync(BOB, NOW, &Bytes::new()).hello.generation,
        generation
    );
    starts_over(&restored, &of_bob);
}

#[test]
fn a_cursor_ahead_of_a_backup_starts_over() {
    let (dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 4);
    bench.register(BOB, NOW, &channel, epoch());
    bench.publish(&channel, NOW, &envelopes[..2]);
    let backup = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("node.db");
    let source = rusqlite::Connection::open(&path).expect("opens");
    source
        .execute(
            "VACUUM INTO ?1",
            [backup.path().join("node.db").to_str().expect("plain")],
        )
        .expect("copied");
    bench.publish(&channel, NOW, &envelopes[2..]);
    let cursor = bench.sync(BOB, NOW, &Bytes::new()).cursor();
    let restored = Bench::open(backup.path(), Limits::default());
    let synced = restored.sync(BOB, NOW, &cursor);
    assert!(synced.hello.from_start);
    assert_eq!(synced.envelopes.len(), 2);
}

#[test]
fn resending_is_acknowledged_and_stored_once() {
    let (dir, first) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 3);
    first.register(BOB, NOW, &channel, epoch());
    let twice = [envelopes.clone(), envelopes.clone()].concat();
    assert_eq!(first.publish(&channel, NOW, &twice), []);
    assert_eq!(first.publish(&channel, NOW, &envelopes), []);
    drop(first);
    let again = Bench::open(dir.path(), Limits::default());
    assert_eq!(again.publish(&channel, NOW, &envelopes), []);
    assert_eq!(again.service.store().envelopes(), 3);
    assert_eq!(again.sync(BOB, NOW, &Bytes::new()).envelopes.len(), 3);
}

#[test]
fn many_requests_are_answered_in_their_order_and_committed_together() {
    let (_dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 2);
    let early = Session {
        early: true,
        ..session(BOB)
    };
    let answers = bench.service.handle_all(
        vec![
            (session(BOB), channel.publish(&envelopes[..1])),
            (session(BOB), sync(Bytes::new())),
            (early, release(&[channel.address(NOW)])),
            (session(BOB), channel.publish(&envelopes)),
        ],
        NOW,
    );
    let kinds: Vec<_> = answers.into_iter().map(|answer| answer.kind).collect();
    let [
        Some(response::Kind::Published(first)),
        Some(response::Kind::Refused(synced)),
        Some(response::Kind::Refused(released)),
        Some(response::Kind::Published(last)),
    ] = kinds.as_slice()
    else {
        panic!("{kinds:?}");
    };
    assert!(first.refusals.is_empty() && last.refusals.is_empty());
    assert_eq!(synced.reason(), Reason::Malformed);
    assert_eq!(released.reason(), Reason::EarlyData);
    assert_eq!(bench.service.store().envelopes(), 2);
    assert_eq!(bench.service.metrics().commits.get(), 1);
}

#[test]
fn bad_items_are_refused_one_by_one() {
    let (_dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let late = NOW.after(MAX_AHEAD).offset(1);
    let old = NOW.before(LIFETIME);
    let one = |bench: &Bench, change: &dyn Fn(&mut ailurus::wire::node::Item)| {
        let mut channel = Channel::new(1);
        let envelopes = channel.envelopes(NOW, 200, 3);
        let mut request = channel.publish(&envelopes);
        let Some(request::Kind::Publish(publish)) = &mut request.kind else {
            unreachable!()
        };
        change(&mut publish.items[1]);
        refusals(&bench.ask(ALICE, NOW, request))
    };
    let body = |length: usize| Bytes::from(vec![1; length]);
    assert_eq!(one(&bench, &|_| {}), []);
    assert_eq!(
        one(&bench, &|item| item.sealed = body(200)),
        [(1, Reason::BadSignature)]
    );
    assert_eq!(
        one(&bench, &|item| item.sealed = body(63)),
        [(1, Reason::Malformed)]
    );
    assert_eq!(
        one(&bench, &|item| item.sealed = body(MAX_SEALED + 1)),
        [(1, Reason::TooLarge)]
    );
    assert_eq!(
        one(&bench, &|item| item.kind = 99),
        [(1, Reason::Malformed)]
    );
    assert_eq!(
        one(&bench, &|item| item.kind = 1),
        [(1, Reason::BadSignature)]
    );
    let ahead = channel.envelope(late, 200);
    assert_eq!(
        bench.publish(&channel, NOW, &[ahead]),
        [(0, Reason::ClockAhead)]
    );
    let ok_ahead = channel.envelope(NOW.after(MAX_AHEAD), 200);
    assert_eq!(bench.publish(&channel, NOW, &[ok_ahead]), []);
    let expired = channel.envelope(old, 200);
    assert_eq!(
        bench.publish(&channel, NOW, &[expired]),
        [(0, Reason::Expired)]
    );
    let ok_old = channel.envelope(old.offset(1), 200);
    assert_eq!(bench.publish(&channel, NOW, &[ok_old]), []);
}

#[test]
fn an_envelope_fits_only_its_own_address() {
    let (_dir, bench) = bench(Limits::default());
    let (mut one, mut two) = (Channel::new(1), Channel::new(2));
    let envelope = one.envelope(NOW, 200);
    let of_two = two.envelope(NOW, 200);
    let mut request = two.publish(&[of_two]);
    let Some(request::Kind::Publish(publish)) = &mut request.kind else {
        unreachable!()
    };
    publish.items = vec![envelope.to_item(NOW)];
    assert_eq!(
        refusals(&bench.ask(ALICE, NOW, request.clone())),
        [(0, Reason::BadSignature)]
    );
    let Some(request::Kind::Publish(publish)) = &mut request.kind else {
        unreachable!()
    };
    publish.blinded_key = Bytes::from_static(&[0xff; 32]);
    assert_eq!(
        refusals(&bench.ask(ALICE, NOW, request.clone())),
        [(0, Reason::Malformed)]
    );
    let Some(request::Kind::Publish(publish)) = &mut request.kind else {
        unreachable!()
    };
    publish.blinded_key = Bytes::from_static(&[1; 31]);
    assert_eq!(
        refusals(&bench.ask(ALICE, NOW, request)),
        [(0, Reason::Malformed)]
    );
}

#[test]
fn too_many_at_once_are_malformed() {
    let (_dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelope = channel.envelope(NOW, 200);
    let most = vec![envelope; MAX_ITEMS];
    assert_eq!(bench.publish(&channel, NOW, &most), []);
    let more = [most.clone(), most[..1].to_vec()].concat();
    assert_eq!(
        bench.publish(&channel, NOW, &more),
        [(0, Reason::Malformed)]
    );
    let lease = channel.lease(epoch(), bench.node, BOB, EXPORTER);
    let most = register(vec![lease.clone(); MAX_LEASES]);
    assert_eq!(refusals(&bench.ask(BOB, NOW, most)), []);
    let more = register(vec![lease; MAX_LEASES + 1]);
    assert_eq!(
        refusals(&bench.ask(BOB, NOW, more)),
        [(0, Reason::Malformed)]
    );
    let addresses = vec![channel.address(NOW); MAX_LEASES + 1];
    assert_eq!(
        refusals(&bench.ask(BOB, NOW, release(&addresses))),
        [(0, Reason::Malformed)]
    );
    assert_eq!(
        refusals(&bench.ask(BOB, NOW, Request { kind: None })),
        [(0, Reason::Malformed)]
    );
}

#[test]
fn a_lease_needs_a_proof_for_this_connection_node_client_and_time() {
    let (_dir, bench) = bench(Limits::default());
    let channel = Channel::new(1);
    let ask = |lease| refusals(&bench.ask(BOB, NOW, register(vec![lease])));
    let node = bench.node;
    assert_eq!(
        ask(channel.lease(epoch(), node, BOB, [1; 32])),
        [(0, Reason::BadProof)]
    );
    assert_eq!(
        ask(channel.lease(epoch(), node, ALICE, EXPORTER)),
        [(0, Reason::BadProof)]
    );
    let other = ailurus::crypto::NodeKey::from_bytes([1; 32]);
    assert_eq!(
        ask(channel.lease(epoch(), other, BOB, EXPORTER)),
        [(0, Reason::BadProof)]
    );
    let mut later = channel.lease(epoch(), node, BOB, EXPORTER);
    later.lease_end -= 1;
    assert_eq!(ask(later), [(0, Reason::BadProof)]);
    let mut foreign = channel.lease(epoch(), node, BOB, EXPORTER);
    foreign.blinded_key = Channel::new(2)
        .lease(epoch(), node, BOB, EXPORTER)
        .blinded_key;
    assert_eq!(ask(foreign), [(0, Reason::BadProof)]);
    let mut short = channel.lease(epoch(), node, BOB, EXPORTER);
    short.proof.truncate(63);
    assert_eq!(ask(short), [(0, Reason::Malformed)]);
    let until = |end| channel.lease_until(epoch(), node, BOB, EXPORTER, end);
    let end = epoch().lease_end();
    assert_eq!(
        ask(until(end.after(std::time::Duration::from_secs(1)))),
        [(0, Reason::LeaseEnd)]
    );
    assert_eq!(ask(until(NOW)), [(0, Reason::LeaseEnd)]);
    assert_eq!(ask(until(end)), []);
}

#[test]
fn a_lease_is_taken_two_days_early_and_no_earlier() {
    let (_dir, bench) = bench(Limits::default());
    let channel = Channel::new(1);
    let next = epoch().next();
    let first = next.start().before(ADDRESS_EARLY);
    assert_eq!(
        bench.register(BOB, first.offset(-1), &channel, next),
        [(0, Reason::TooEarly)]
    );
    assert_eq!(bench.register(BOB, first, &channel, next), []);
}

#[test]
fn early_data_registers_and_releases_nothing() {
    let (_dir, bench) = bench(Limits::default());
    let channel = Channel::new(1);
    let early = Session {
        early: true,
        ..session(BOB)
    };
    let lease = channel.lease(epoch(), bench.node, BOB, EXPORTER);
    let asked = |request| refusals(&bench.service.handle(&early, NOW, request));
    assert_eq!(asked(register(vec![lease])), [(0, Reason::EarlyData)]);
    assert_eq!(
        asked(release(&[channel.address(NOW)])),
        [(0, Reason::EarlyData)]
    );
    let synced = Synced::of(bench.service.handle(&early, NOW, sync(Bytes::new())));
    assert_eq!(synced.hello.leases, 0);
}

#[test]
fn a_client_has_a_limited_number_of_addresses() {
    let (_dir, bench) = bench(Limits {
        addresses_per_client: 2,
        registrations: 1,
        ..Limits::default()
    });
    let channels: Vec<Channel> = (0..3).map(Channel::new).collect();
    let leases = channels
        .iter()
        .map(|channel| channel.lease(epoch(), bench.node, BOB, EXPORTER));
    assert_eq!(
        refusals(&bench.ask(BOB, NOW, register(leases.collect()))),
        [(2, Reason::ClientFull)]
    );
    // Extending one is no new one.
    assert_eq!(bench.register(BOB, NOW, &channels[0], epoch()), []);
    assert_eq!(
        bench.register(ALICE, NOW, &channels[0], epoch()),
        [(0, Reason::NodeFull)]
    );
    bench.ask(BOB, NOW, release(&[channels[0].address(NOW)]));
    assert_eq!(bench.register(BOB, NOW, &channels[2], epoch()), []);
}

#[test]
fn an_address_and_the_node_hold_a_limited_number_of_envelopes() {
    let (_dir, count) = bench(Limits {
        envelopes_per_address: 2,
        ..Limits::default()
    });
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 3);
    assert_eq!(
        count.publish(&channel, NOW, &envelopes),
        [(2, Reason::AddressFull)]
    );
    // What is there stays acknowledged.
    assert_eq!(count.publish(&channel, NOW, &envelopes[..2]), []);
    let (_dir, bytes) = bench(Limits {
        bytes_per_address: 2 * 264,
        ..Limits::default()
    });
    assert_eq!(
        bytes.publish(&channel, NOW, &envelopes),
        [(2, Reason::AddressFull)]
    );
    let (_dir, node) = bench(Limits {
        bytes: 264,
        ..Limits::default()
    });
    assert_eq!(node.publish(&channel, NOW, &envelopes[..1]), []);
    let mut other = Channel::new(2);
    let more = other.envelopes(NOW, 200, 1);
    assert_eq!(node.publish(&other, NOW, &more), [(0, Reason::NodeFull)]);
}

#[test]
fn a_client_that_sends_too_fast_is_told() {
    let (_dir, bench) = bench(Limits {
        items_burst: 5,
        items_per_second: 1,
        ..Limits::default()
    });
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 6);
    assert_eq!(
        bench.publish(&channel, NOW, &envelopes),
        [(0, Reason::RateLimited)]
    );
    assert_eq!(bench.publish(&channel, NOW, &envelopes[..5]), []);
    assert_eq!(
        refusals(&bench.ask(ALICE, NOW, sync(Bytes::new()))),
        [(0, Reason::RateLimited)]
    );
    let later = NOW.after(std::time::Duration::from_secs(2));
    assert_eq!(bench.publish(&channel, later, &envelopes[..2]), []);
}

#[test]
fn forgeries_cost_their_sender_more() {
    let (_dir, bench) = bench(Limits {
        items_burst: 100,
        items_per_second: 1,
        ..Limits::default()
    });
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 5);
    let mut request = channel.publish(&envelopes);
    let Some(request::Kind::Publish(publish)) = &mut request.kind else {
        unreachable!()
    };
    for item in &mut publish.items {
        item.sealed = Bytes::from(vec![1; 264]);
    }
    assert_eq!(refusals(&bench.ask(ALICE, NOW, request)).len(), 5);
    assert_eq!(
        bench.publish(&channel, NOW, &envelopes),
        [(0, Reason::RateLimited)]
    );
}

#[test]
fn large_bodies_are_fetched_with_a_lease() {
    let (_dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let large = channel.envelope(NOW, MAX_INLINE);
    let largest_inline = channel.envelope(NOW.offset(1), MAX_INLINE - 64);
    bench.register(BOB, NOW, &channel, epoch());
    assert_eq!(
        bench.publish(&channel, NOW, &[large.clone(), largest_inline.clone()]),
        []
    );
    let synced = bench.sync(BOB, NOW, &Bytes::new());
    assert_eq!(
        synced.apart,
        [(
            Bytes::copy_from_slice(large.id().as_bytes()),
            MAX_INLINE as u32
        )]
    );
    assert_eq!(
        synced.of_address(channel.address(NOW)),
        sealed(&[largest_inline])
    );
    let responses = bench.ask(BOB, NOW, fetch(&large));
    let Some(response::Kind::Batch(batch)) = &responses[0].kind else {
        panic!("{responses:?}")
    };
    let mut fetched = Synced::default();
    fetched.add_batch(batch);
    assert_eq!(
        fetched.of_address(channel.address(NOW)),
        sealed(std::slice::from_ref(&large))
    );
    assert_eq!(fetched.envelopes[0].1, NOW);

    assert_eq!(
        refusals(&bench.ask(ALICE, NOW, fetch(&large))),
        [(0, Reason::NotRegistered)]
    );
    let unknown = Channel::new(1).envelope(NOW.offset(9), 200);
    assert_eq!(
        refusals(&bench.ask(BOB, NOW, fetch(&unknown))),
        [(0, Reason::NotFound)]
    );
    let later = NOW.after(LIFETIME);
    assert_eq!(
        refusals(&bench.ask(BOB, later, fetch(&large))),
        [(0, Reason::NotFound)]
    );
}

#[test]
fn after_seven_days_nothing_is_left() {
    let (dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 2_300);
    bench.register(BOB, NOW, &channel, epoch());
    for part in envelopes.chunks(1_000) {
        bench.publish(&channel, NOW, part);
    }
    let last = NOW.after(LIFETIME).offset(2_299);
    assert_eq!(
        bench
            .sync(BOB, last.offset(-1), &Bytes::new())
            .envelopes
            .len(),
        1
    );
    assert_eq!(bench.sync(BOB, last, &Bytes::new()).envelopes.len(), 0);
    let mut gone = 0;
    loop {
        let expired = bench.service.expire(last).expect("expires");
        gone += expired.envelopes;
        if !expired.more {
            break;
        }
    }
    assert_eq!(gone, 2_300);
    assert_eq!(bench.service.store().envelopes(), 0);
    let over = epoch().lease_end();
    assert_eq!(
        bench.sync(BOB, over.offset(-1), &Bytes::new()).hello.leases,
        1
    );
    assert_eq!(bench.sync(BOB, over, &Bytes::new()).hello.leases, 0);
    let expired = bench.service.expire(over).expect("expires");
    assert_eq!((expired.leases, expired.addresses), (1, 1));
    assert_eq!(expired.pseudonyms, [BOB]);
    drop(bench);
    let database = rusqlite::Connection::open(dir.path().join("node.db")).expect("opens");
    for table in ["addresses", "envelopes", "registrations", "leases"] {
        let count: i64 = database
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .expect("counted");
        assert_eq!(count, 0, "{table}");
    }
}

#[test]
fn positions_are_not_given_away_twice() {
    let (dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    bench.register(BOB, NOW, &channel, epoch());
    let first = channel.envelopes(NOW, 200, 3);
    bench.publish(&channel, NOW, &first);
    let cursor = bench.sync(BOB, NOW, &Bytes::new()).cursor();
    let now = NOW.after(LIFETIME + HOUR);
    bench.service.expire(now).expect("expires");
    drop(bench);
    let bench = Bench::open(dir.path(), Limits::default());
    bench.register(BOB, now, &channel, Epoch::of(now));
    let second = channel.envelopes(now, 200, 2);
    bench.publish(&channel, now, &second);
    let synced = bench.sync(BOB, now, &cursor);
    assert!(!synced.hello.from_start);
    assert_eq!(synced.of_address(channel.address(now)), sealed(&second));
}

#[test]
fn a_database_of_version_1_opens() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("node.db"), include_bytes!("data/v1.db")).expect("copied");
    let bench = Bench::open(dir.path(), Limits::default());
    let channel = Channel::new(1);
    let synced = bench.sync(BOB, NOW, &Bytes::new());
    assert_eq!(synced.hello.leases, 1);
    assert_eq!(
        synced.of_address(channel.address(NOW)),
        sealed(&Channel::new(1).envelopes(NOW, 200, 3))
    );
    // It is written to like any other.
    let more = Channel::new(1).envelopes(NOW.offset(10), 200, 1);
    assert_eq!(bench.publish(&channel, NOW, &more), []);
}

/// Writes `data/vN.db` for the current schema N; to be run by hand when one is released.
#[test]
#[ignore = "writes a test file; run it when a schema version is released"]
fn write_the_database_of_this_version() {
    let (dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    bench.register(BOB, NOW, &channel, epoch());
    let envelopes = channel.envelopes(NOW, 200, 3);
    assert_eq!(bench.publish(&channel, NOW, &envelopes), []);
    drop(bench);
    let database = rusqlite::Connection::open(dir.path().join("node.db")).expect("opens");
    let version: i64 = database
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .expect("a version");
    let target = format!("{}/tests/data/v{version}.db", env!("CARGO_MANIFEST_DIR"));
    // Fails if there is one: a released schema never changes.
    database
        .execute("VACUUM INTO ?1", [target])
        .expect("written");
}

#[test]
fn a_database_of_a_later_version_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("node.db");
    drop(ailurus_node::Store::open(&path).expect("made"));
    let database = rusqlite::Connection::open(&path).expect("opens");
    database
        .pragma_update(None, "user_version", 99)
        .expect("set");
    drop(database);
    let error = ailurus_node::Store::open(&path)
        .err()
        .expect("refused")
        .to_string();
    assert!(error.contains("99") && error.contains("update"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_requests_never_panic(requests in prop::collection::vec(arbitrary_request(), 1..8)) {
        let (_dir, bench) = bench(Limits::default());
        for request in requests {
            let responses = bench.ask(BOB, NOW, request);
            prop_assert!(!responses.is_empty());
        }
    }
}

/// Bytes that parse as a request, by way of random bytes in every field.
fn arbitrary_request() -> impl Strategy<Value = Request> {
    use ailurus::wire::node::{Fetch, Item, Lease, Publish, Register, Release, Sync};

    let bytes = || {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..100),
            prop::collection::vec(any::<u8>(), 32),
            prop::collection::vec(any::<u8>(), 64),
            // The generator's x coordinate: a key that is on the curve.
            Just(vec![
                0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87,
                0x0b, 0x07, 0x02, 0x9b, 0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b,
                0x16, 0xf8, 0x17, 0x98,
            ]),
        ]
        .prop_map(Bytes::from)
    };
    let number = || {
        prop_oneof![
            any::<u64>(),
            Just(NOW.as_millis()),
            Just(NOW.as_secs()),
            Just(epoch().number())
        ]
    };
    let item = (any::<i64>(), 0..3_u32, bytes(), bytes(), any::<u32>()).prop_map(
        |(time_delta_ms, kind, sealed, id, size)| Item {
            time_delta_ms,
            kind,
            sealed,
            id,
            size,
        },
    );
    let lease = (bytes(), bytes(), number(), number(), bytes()).prop_map(
        |(blinded_key, access_key, epoch, lease_end, proof)| Lease {
            blinded_key,
            access_key,
            epoch,
            lease_end,
            proof,
            ..Lease::default()
        },
    );
    prop_oneof![
        (bytes(), any::<bool>())
            .prop_map(|(cursor, follow)| request(request::Kind::Sync(Sync { cursor, follow }))),
        prop::collection::vec(lease, 0..4).prop_map(|leases| request(request::Kind::Register(
            Register {
                leases,
                ..Register::default()
            }
        ))),
        prop::collection::vec(bytes(), 0..4)
            .prop_map(|addresses| request(request::Kind::Release(Release { addresses }))),
        (
            bytes(),
            bytes(),
            number(),
            prop::collection::vec(item, 0..6)
        )
            .prop_map(|(blinded_key, access_key, base_time_ms, items)| request(
                request::Kind::Publish(Publish {
                    blinded_key,
                    access_key,
                    base_time_ms,
                    items
                })
            )),
        (bytes(), bytes())
            .prop_map(|(address, id)| request(request::Kind::Fetch(Fetch { address, id }))),
    ]
}
