//! Digests and lists: two nodes that hold the same say the same.

use ailurus::{
    channel::{Address, Envelope, Epoch},
    wire::{
        limits::{MAX_DIGEST_STEPS, MAX_LISTED},
        node::{Digest, Digests, List, Reason, Sum, request, response},
        time::UnixMillis,
    },
};
use ailurus_node::Limits;
use bytes::Bytes;
use proptest::prelude::*;

use crate::{common::*, people::Desk};

const HOUR_MS: u64 = 3_600_000;

/// The whole hour before `NOW`.
fn hour() -> UnixMillis {
    UnixMillis::from_millis(NOW.as_millis() / HOUR_MS * HOUR_MS)
}

fn digest(addresses: &[Address], from: UnixMillis, step_ms: u64, steps: u32) -> Digest {
    Digest {
        addresses: addresses
            .iter()
            .map(|address| Bytes::copy_from_slice(address.as_bytes()))
            .collect(),
        from_ms: from.as_millis(),
        step_ms,
        steps,
    }
}

fn ask(desk: &Desk, digest: Digest) -> Result<Digests, Reason> {
    let asked = request(request::Kind::Digest(digest));
    let mut responses = desk.bench.ask(BOB, NOW, asked);
    match responses.pop().expect("an answer").kind.expect("a kind") {
        response::Kind::Digests(digests) => Ok(digests),
        response::Kind::Refused(refused) => Err(refused.reason()),
        other => panic!("unexpected answer {other:?}"),
    }
}

fn list(
    desk: &Desk,
    address: Address,
    from: UnixMillis,
    to: UnixMillis,
) -> Result<Vec<Bytes>, Reason> {
    let asked = request(request::Kind::List(List {
        address: Bytes::copy_from_slice(address.as_bytes()),
        from_ms: from.as_millis(),
        to_ms: to.as_millis(),
    }));
    let mut responses = desk.bench.ask(BOB, NOW, asked);
    match responses.pop().expect("an answer").kind.expect("a kind") {
        response::Kind::Listed(listed) => Ok(listed.ids),
        response::Kind::Refused(refused) => Err(refused.reason()),
        other => panic!("unexpected answer {other:?}"),
    }
}

/// A node at which Bob leases the channels.
fn desk(channels: &[&Channel]) -> Desk {
    let desk = Desk::new(Limits::default());
    for channel in channels {
        assert_eq!(desk.bench.register(BOB, NOW, channel, Epoch::of(NOW)), []);
    }
    desk
}

fn sum(envelopes: &[&Envelope]) -> Sum {
    let mut ids = [0; 16];
    for envelope in envelopes {
        let id = envelope.id();
        for (sum, byte) in ids.iter_mut().zip(id.as_bytes()) {
            *sum ^= byte;
        }
    }
    Sum {
        count: u32::try_from(envelopes.len()).expect("few"),
        ids: if envelopes.is_empty() {
            Bytes::new()
        } else {
            Bytes::copy_from_slice(&ids)
        },
    }
}

#[test]
fn what_lies_on_an_edge_counts_once_in_the_later_step() {
    let mut channel = Channel::new(1);
    let desk = desk(&[&channel]);
    let from = hour().before(2 * HOUR);
    let mut at = |millis: i64| channel.envelope(from.offset(millis), 100);
    let hour_ms = HOUR_MS.cast_signed();
    let [before, first, last, edge, end] = [-1, 0, hour_ms - 1, hour_ms, 2 * hour_ms].map(&mut at);
    let all = [&before, &first, &last, &edge, &end].map(Clone::clone);
    assert_eq!(desk.bench.publish(&channel, NOW, &all), []);
    let address = channel.address(NOW);
    let answered = ask(&desk, digest(&[address], from, HOUR_MS, 2)).expect("sums");
    assert_eq!(answered.sums, [sum(&[&first, &last]), sum(&[&edge])]);
    let whole = ask(&desk, digest(&[address], from, 2 * HOUR_MS, 1)).expect("sums");
    assert_eq!(whole.sums, [sum(&[&first, &last, &edge])]);
    let empty = ask(
        &desk,
        digest(&[address], from.before(10 * HOUR), HOUR_MS, 1),
    );
    assert_eq!(empty.expect("sums").sums, [sum(&[])]);

    let ids = |envelopes: &[&Envelope]| -> Vec<Bytes> {
        envelopes
            .iter()
            .map(|envelope| Bytes::copy_from_slice(envelope.id().as_bytes()))
            .collect()
    };
    let to = from.after(HOUR);
    assert_eq!(list(&desk, address, from, to), Ok(ids(&[&first, &last])));
    assert_eq!(list(&desk, address, to, to.offset(1)), Ok(ids(&[&edge])));
    assert_eq!(list(&desk, address, to, from), Ok(Vec::new()));
}

#[test]
fn sums_need_a_lease_and_whole_hours() {
    let (one, two) = (Channel::new(1), Channel::new(2));
    let desk = desk(&[&one]);
    let addresses = [two.address(NOW), one.address(NOW)];
    let answered = ask(&desk, digest(&addresses, hour(), HOUR_MS, 3)).expect("sums");
    assert_eq!(answered.sums.len(), 3);
    assert_eq!(answered.refusals.len(), 1);
    let refusal = &answered.refusals[0];
    assert_eq!(
        (refusal.index, refusal.reason()),
        (0, Reason::NotRegistered)
    );
    assert_eq!(
        list(&desk, addresses[0], hour(), NOW),
        Err(Reason::NotRegistered)
    );
    let address = &addresses[1..];
    let malformed = |digest| assert_eq!(ask(&desk, digest), Err(Reason::Malformed));
    malformed(digest(address, hour(), HOUR_MS, MAX_DIGEST_STEPS + 1));
    malformed(digest(address, hour(), HOUR_MS, 0));
    malformed(digest(address, hour(), 0, 1));
    malformed(digest(address, hour(), HOUR_MS / 2, 1));
    malformed(digest(address, hour().offset(1), HOUR_MS, 1));
    malformed(digest(&[addresses[1]; 100], hour(), HOUR_MS, 168));
    assert!(ask(&desk, digest(address, hour(), HOUR_MS, MAX_DIGEST_STEPS)).is_ok());
    assert!(
        ask(
            &desk,
            digest(address, hour(), u64::MAX / HOUR_MS * HOUR_MS, 2)
        )
        .is_ok()
    );
}

#[test]
fn a_list_is_cut_and_reading_much_costs() {
    let desk = Desk::new(Limits {
        items_per_second: 1,
        items_burst: 10_000,
        ..Limits::default()
    });
    let mut channel = Channel::new(1);
    assert_eq!(desk.bench.register(BOB, NOW, &channel, Epoch::of(NOW)), []);
    let envelopes = channel.envelopes(hour(), 10, 5_000);
    for part in envelopes.chunks(1_000) {
        assert_eq!(desk.bench.publish(&channel, NOW, part), []);
    }
    let address = channel.address(NOW);
    let listed = list(&desk, address, hour(), NOW).expect("ids");
    assert_eq!(listed.len(), MAX_LISTED);
    assert_eq!(listed[0], envelopes[0].id().as_bytes().as_slice());
    let sums = || ask(&desk, digest(&[address], hour(), HOUR_MS, 1));
    let answered = (0..1_000).take_while(|_| sums().is_ok()).count();
    // 10,000 items, of which each digest takes one and 78 for what it reads.
    assert!((110..=127).contains(&answered), "{answered}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_order_of_arrival_does_not_matter(
        times in prop::collection::vec(0_u64..20 * HOUR_MS, 1..60),
        missing in any::<prop::sample::Index>(),
    ) {
        let (mut one, mut two) = (Channel::new(1), Channel::new(2));
        let from = hour().before(20 * HOUR);
        let envelopes: Vec<(bool, Envelope)> = times
            .iter()
            .enumerate()
            .map(|(index, millis)| {
                let first = index % 3 != 0;
                let channel = if first { &mut one } else { &mut two };
                (first, channel.envelope(from.offset(millis.cast_signed()), 50))
            })
            .collect();
        let (here, there) = (desk(&[&one, &two]), desk(&[&two, &one]));
        let publish = |desk: &Desk, (first, envelope): &(bool, Envelope)| {
            let channel = if *first { &one } else { &two };
            assert_eq!(desk.bench.publish(channel, NOW, std::slice::from_ref(envelope)), []);
        };
        for envelope in &envelopes {
            publish(&here, envelope);
        }
        let missing = missing.index(envelopes.len());
        for (index, envelope) in envelopes.iter().enumerate().rev() {
            if index != missing {
                publish(&there, envelope);
            }
        }
        let addresses = [one.address(NOW), two.address(NOW)];
        let sums = |desk: &Desk| ask(desk, digest(&addresses, from, HOUR_MS, 20)).expect("sums").sums;
        let different = sums(&here).iter().zip(sums(&there)).filter(|(a, b)| **a != *b).count();
        prop_assert_eq!(different, 1);
        publish(&there, &envelopes[missing]);
        prop_assert_eq!(sums(&here), sums(&there));
        let lists = |desk: &Desk| addresses.map(|address| list(desk, address, from, NOW));
        prop_assert_eq!(lists(&here), lists(&there));
    }
}

#[test]
fn what_there_is_to_read_is_paid_for_before_and_by_the_network_too() {
    let desk = Desk::new(Limits {
        items_per_second: 1,
        items_per_second_per_network: 1,
        items_burst_per_network: 100,
        ..Limits::default()
    });
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(hour(), 10, 2_000);
    for part in envelopes.chunks(1_000) {
        assert_eq!(desk.bench.publish(&channel, NOW, part), []);
    }
    let address = channel.address(NOW);
    let mut answered = Vec::new();
    // Each with a new key, of which none has asked before.
    for number in 1..=8 {
        let who = crate::people::client(number);
        assert_eq!(desk.bench.register(who, NOW, &channel, Epoch::of(NOW)), []);
        let session = ailurus_node::Session {
            network: ailurus_node::Network::of("192.0.2.1".parse().expect("an address")),
            ..session(who)
        };
        let asked = request(request::Kind::Digest(digest(
            &[address],
            hour(),
            HOUR_MS,
            1,
        )));
        let mut responses = desk.bench.service.handle(&session, NOW, asked);
        answered.push(match responses.pop().and_then(|one| one.kind) {
            Some(response::Kind::Digests(_)) => None,
            Some(response::Kind::Refused(refused)) => Some(refused.reason()),
            other => panic!("{other:?}"),
        });
    }
    // Each takes one item, and 31 for 2,000 envelopes.
    assert_eq!(answered[..3], [None; 3]);
    assert_eq!(answered[3..], [Some(Reason::NetworkLimited); 5]);
    let twice = digest(&[address, address], hour(), HOUR_MS, 1);
    assert_eq!(ask(&desk, twice), Err(Reason::Malformed));
}
