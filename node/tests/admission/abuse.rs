//! Who has many keys, or one introduction, does not get the node to itself.

use ailurus::{
    channel::{Epoch, delegation_statement},
    crypto::Pseudonym,
    wire::{
        node::{Announce, Announcement, Digest, List, Reason, request, response},
        time::UnixMillis,
    },
};
use ailurus_node::{Limits, Network, Session};
use bytes::Bytes;

use crate::{
    common::*,
    people::{Answer, Desk, client, holder, introduction_until},
};

/// A connection from an address.
fn from(who: Pseudonym, ip: &str) -> Session {
    Session {
        network: Network::of(ip.parse().expect("an address")),
        ..session(who)
    }
}

fn come_from_network(desk: &Desk, who: Pseudonym, now: UnixMillis, ip: &str) -> Answer {
    let lease = Channel::new(1).lease(Epoch::of(NOW), desk.bench.node, who, EXPORTER);
    desk.register_over(from(who, ip), now, vec![lease], None)
}

#[test]
fn the_tree_of_an_invitation_pushes_out_as_many_a_day_as_it_may_bring() {
    let desk = Desk::new(Limits {
        registrations: 4,
        clients_per_introduction: 2,
        ..Limits::default()
    });
    for number in 1..=4 {
        desk.come(client(number), NOW, None);
    }
    let address = Channel::new(1).address(NOW);
    let again = |number: u8, now| {
        let answer = desk.come_from(client(number), now, &[1, number]);
        if answer == Answer::In(Some(2)) {
            desk.bench.ask(client(number), now, release(&[address]));
            // A stranger of its own takes the place.
            desk.come(client(number + 100), now, None);
        }
        answer
    };
    assert_eq!(again(11, NOW), Answer::In(Some(2)));
    assert_eq!(again(12, NOW), Answer::In(Some(2)));
    let enough = Answer::NoLease(Reason::SubtreeFull);
    assert_eq!(again(13, NOW), enough);
    assert_eq!(again(13, NOW.after(DAY - HOUR)), enough);
    // Another tree may still.
    assert_eq!(desk.come_from(client(21), NOW, &[2]), Answer::In(Some(1)));
    // And where there is room, nobody is pushed out.
    desk.bench.ask(client(21), NOW, release(&[address]));
    assert_eq!(
        desk.come_from(client(14), NOW, &[1, 14]),
        Answer::In(Some(2))
    );
    assert_eq!(again(13, NOW.after(DAY)), Answer::In(Some(2)));
    desk.tick(NOW.after(2 * DAY));
    assert_eq!(desk.number("SELECT count(*) FROM evictions"), 0);
}

#[test]
fn on_a_full_node_who_came_by_an_introduction_goes_with_it() {
    let desk = Desk::new(Limits {
        registrations: 2,
        ..Limits::default()
    });
    desk.come(client(1), NOW, None);
    desk.come(client(2), NOW, None);
    let soon = NOW.after(HOUR);
    let short = introduction_until(&[1, 1], soon.as_secs());
    let proof = short
        .prove(&holder(&[1, 1]), &EXPORTER, &client(3))
        .expect("held");
    assert_eq!(desk.come(client(3), NOW, Some(proof)), Answer::In(Some(2)));
    desk.tick(soon);
    let told = desk.hello(client(3), soon);
    assert_eq!(told, (0, Reason::IntroductionExpired));
    assert_eq!(
        desk.number("SELECT count(*) FROM registrations WHERE hop_count IS NULL"),
        1
    );
    // With room it would have stayed as a stranger: see introduction.rs.
    assert_eq!(desk.come(client(1), soon, None), Answer::In(None));
}

#[test]
fn a_new_stranger_costs_its_network_a_thousand_items() {
    let desk = Desk::new(Limits {
        items_per_second_per_network: 100,
        items_burst_per_network: 2_100,
        ..Limits::default()
    });
    let come = |number, now| come_from_network(&desk, client(number), now, "192.0.2.7");
    assert_eq!(come(1, NOW), Answer::In(None));
    assert_eq!(come(2, NOW), Answer::In(None));
    assert_eq!(come(3, NOW), Answer::NoLease(Reason::NetworkLimited));
    // Who is there pays no more than before.
    assert_eq!(come(1, NOW), Answer::In(None));
    let elsewhere = come_from_network(&desk, client(4), NOW, "198.51.100.7");
    assert_eq!(elsewhere, Answer::In(None));
    let later = NOW.after(std::time::Duration::from_secs(10));
    assert_eq!(come(3, later), Answer::In(None));
}

#[test]
fn one_network_brings_so_many_strangers_and_is_not_kept_in_clear() {
    let desk = Desk::new(Limits {
        registrations_per_network: 2,
        ..Limits::default()
    });
    let come = |number, ip: &str| come_from_network(&desk, client(number), NOW, ip);
    assert_eq!(come(1, "192.0.2.1"), Answer::In(None));
    assert_eq!(come(2, "192.0.2.2"), Answer::In(None));
    assert_eq!(
        come(3, "192.0.2.3"),
        Answer::NoLease(Reason::NetworkLimited)
    );
    assert_eq!(come(3, "198.51.100.3"), Answer::In(None));
    // Nothing is known of where a proxy's clients come from.
    assert_eq!(come(4, "127.0.0.1"), Answer::In(None));
    let plain = "SELECT count(*) FROM networks WHERE instr(network, x'c00002') > 0";
    assert_eq!(desk.number(plain), 0);
    let address = Channel::new(1).address(NOW);
    desk.bench.ask(client(1), NOW, release(&[address]));
    assert_eq!(come(5, "192.0.2.5"), Answer::In(None));
    for number in 2..=5 {
        desk.bench.ask(client(number), NOW, release(&[address]));
    }
    assert_eq!(desk.number("SELECT count(*) FROM networks"), 0);
}

#[test]
fn a_stranger_gives_its_place_to_another_after_8_days_without_a_sign() {
    let desk = Desk::new(Limits {
        strangers: 2,
        ..Limits::default()
    });
    // Leased for longer than that.
    let epoch = Epoch::new(Epoch::of(NOW).number() + 1);
    let start = epoch.start();
    let come = |number, now| {
        let who = client(number);
        let lease = Channel::new(1).lease(epoch, desk.bench.node, who, EXPORTER);
        desk.register(who, now, vec![lease], None)
    };
    assert_eq!(come(1, start), Answer::In(None));
    assert_eq!(come(2, start), Answer::In(None));
    desk.bench
        .sync(client(1), start.after(2 * DAY), &Bytes::new());
    desk.tick(start.after(2 * DAY));
    let full = Answer::NoLease(Reason::NoStrangers);
    assert_eq!(come(3, start.after(8 * DAY - HOUR)), full);
    assert_eq!(come(3, start.after(8 * DAY)), Answer::In(None));
    let told = desk.hello(client(2), start.after(8 * DAY));
    assert_eq!(told, (0, Reason::Evicted));
    assert_eq!(come(4, start.after(8 * DAY)), full);
}

fn announce(desk: &Desk, session: &Session, seeds: &[u64]) -> Vec<Option<Reason>> {
    let epoch = Epoch::of(NOW);
    let announcements = seeds.iter().map(|seed| {
        let keys = Channel::new(*seed).keys(epoch);
        let until = epoch.lease_end().as_secs();
        let statement = delegation_statement(&desk.bench.node, &keys.address, until);
        Announcement {
            address: Bytes::copy_from_slice(keys.address.as_bytes()),
            until,
            delegation: Bytes::copy_from_slice(&keys.access.sign(&statement)),
            ..Announcement::default()
        }
    });
    let announce = Announce {
        announcements: announcements.collect(),
    };
    let asked = request(request::Kind::Announce(announce));
    let mut responses = desk.bench.service.handle(session, NOW, asked);
    let Some(response::Kind::Announced(announced)) = responses.pop().and_then(|one| one.kind)
    else {
        panic!("not announced");
    };
    let mut reasons = vec![None; seeds.len()];
    for refusal in announced.refusals {
        reasons[refusal.index as usize] = Some(refusal.reason());
    }
    reasons
}

#[test]
fn a_delegation_goes_with_the_last_lease() {
    let desk = Desk::new(Limits::default());
    let delegations = || desk.number("SELECT count(*) FROM delegations");
    desk.come(client(1), NOW, None);
    desk.come(client(2), NOW, None);
    assert_eq!(announce(&desk, &session(client(1)), &[1]), [None]);
    let address = Channel::new(1).address(NOW);
    desk.bench.ask(client(1), NOW, release(&[address]));
    assert_eq!(delegations(), 1);
    desk.bench.ask(client(2), NOW, release(&[address]));
    assert_eq!(delegations(), 0);
}

#[test]
fn a_false_proof_is_paid_for_by_client_and_network() {
    let desk = Desk::new(Limits {
        items_per_second_per_network: 1,
        items_burst_per_network: 5_000,
        ..Limits::default()
    });
    let mut lease = Channel::new(1).lease(Epoch::of(NOW), desk.bench.node, client(9), EXPORTER);
    lease.proof = Bytes::from_static(&[1; 64]);
    let come = |number| {
        let leases = vec![lease.clone(); 200];
        desk.register_over(from(client(number), "192.0.2.1"), NOW, leases, None)
    };
    // 200 leases and 20 times as much for what was wrong with them.
    assert_eq!(come(1), Answer::NoLease(Reason::BadProof));
    assert_eq!(come(2), Answer::NoLease(Reason::BadProof));
    assert_eq!(come(3), Answer::Refused(Reason::NetworkLimited));
}

#[test]
fn whoever_asks_for_anything_was_seen() {
    let desk = Desk::new(Limits::default());
    let mut channel = Channel::new(1);
    let seen = || desk.number("SELECT seen_s FROM registrations");
    desk.come(client(1), NOW, None);
    assert_eq!(seen(), NOW.as_secs());
    let address = Bytes::copy_from_slice(channel.address(NOW).as_bytes());
    let from_ms = NOW.as_millis() / 3_600_000 * 3_600_000;
    let envelope = channel.envelope(NOW, 100);
    let requests = [
        channel.publish(std::slice::from_ref(&envelope)),
        fetch(&envelope),
        request(request::Kind::List(List {
            address: address.clone(),
            from_ms,
            to_ms: from_ms + 1,
        })),
        request(request::Kind::Digest(Digest {
            addresses: vec![address],
            from_ms,
            step_ms: 3_600_000,
            steps: 1,
        })),
    ];
    for (hours, asked) in (1..).zip(requests) {
        let now = NOW.after(hours * HOUR);
        desk.bench.ask(client(1), now, asked);
        desk.tick(now);
        assert_eq!(seen(), now.as_secs(), "hour {hours}");
    }
    // What is refused is no sign of life, and within the hour nothing is written.
    let later = NOW.after(5 * HOUR - std::time::Duration::from_secs(1));
    desk.bench.ask(client(1), later, fetch(&envelope));
    desk.tick(later);
    assert_eq!(seen(), NOW.after(4 * HOUR).as_secs());
    let refused = channel.envelope(NOW, 101);
    desk.bench
        .ask(client(1), NOW.after(6 * HOUR), fetch(&refused));
    desk.tick(NOW.after(6 * HOUR));
    assert_eq!(seen(), NOW.after(4 * HOUR).as_secs());
}
