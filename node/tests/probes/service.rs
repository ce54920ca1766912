//! The node's side without a network.

use std::net::IpAddr;

use ailurus::{
    channel::{Epoch, SealedTicket, Standing, Ticket, TicketSecret},
    crypto::{NodeSecret, Pseudonym, SeededEntropy},
    wire::{
        limits::{PROBE_LEN, TICKET_LEN},
        probe::{Datagram, QUESTION},
        time::UnixMillis,
    },
};
use ailurus_node::{Limits, Service, Store};
use bytes::Bytes;
use proptest::prelude::*;

use crate::{ask, common::*, open};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn bench(limits: Limits) -> (tempfile::TempDir, Bench) {
    let dir = tempfile::tempdir().expect("a directory");
    let bench = Bench::open(dir.path(), limits);
    (dir, bench)
}

/// Asks with a ticket; what is said, and the next ticket.
fn probe(bench: &Bench, ticket: &Ticket, now: UnixMillis) -> (Standing, Ticket) {
    let (question, asked) = ask(ticket, 1);
    open(&asked, bench.service.answer_probe(HERE, now, &question))
}

fn said(bench: &Bench, ticket: &Ticket, now: UnixMillis) -> Standing {
    probe(bench, ticket, now).0
}

fn is_silent(bench: &Bench, question: &[u8]) -> bool {
    bench.service.answer_probe(HERE, NOW, question).is_none()
}

/// A client with one address that has synced, and its tickets.
fn registered(bench: &Bench, who: Pseudonym, channel: &Channel) -> Vec<Ticket> {
    assert_eq!(bench.register(who, NOW, channel, Epoch::of(NOW)), []);
    let tickets = bench.tickets(who, NOW);
    assert_eq!(tickets.len(), 2);
    tickets
}

/// Alice publishes.
fn publish(bench: &Bench, channel: &mut Channel, time: UnixMillis, count: u64) {
    let envelopes = channel.envelopes(time, 200, count);
    assert_eq!(bench.publish(channel, NOW, &envelopes), []);
}

#[test]
fn a_ticket_asks_for_what_came_after_it() {
    let (_dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let tickets = registered(&bench, BOB, &channel);
    let (standing, next) = probe(&bench, &tickets[0], NOW);
    assert_eq!(standing, Standing::Nothing);
    assert_ne!(next.sealed, tickets[0].sealed);
    // ALICE publishes, who has no lease.
    publish(&bench, &mut channel, NOW, 1);
    for ticket in [&next, &tickets[1]] {
        let (standing, again) = probe(&bench, ticket, NOW);
        assert_eq!(standing, Standing::News);
        assert_eq!(said(&bench, &again, NOW), Standing::News, "until it syncs");
    }
    let cursor = bench.sync(BOB, NOW, &Bytes::new());
    assert_eq!(said(&bench, &cursor.tickets[0], NOW), Standing::Nothing);
    // Elsewhere something comes.
    let mut other = Channel::new(2);
    publish(&bench, &mut other, NOW, 1);
    assert_eq!(said(&bench, &cursor.tickets[0], NOW), Standing::Nothing);
    let metrics = bench.service.metrics().encode();
    assert!(
        metrics.contains("ailurus_node_probes_answered_total{said=\"news\"} 4"),
        "{metrics}"
    );
}

#[test]
fn what_somebody_published_is_nothing_new_to_them() {
    let (_dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let of_alice = registered(&bench, ALICE, &channel);
    let of_bob = registered(&bench, BOB, &channel);
    assert_eq!(said(&bench, &of_alice[0], NOW), Standing::Nothing);
    // Known to both by now.
    assert_eq!(said(&bench, &of_bob[0], NOW), Standing::Nothing);
    publish(&bench, &mut channel, NOW, 3);
    assert_eq!(said(&bench, &of_bob[1], NOW), Standing::News);
    let (standing, next) = probe(&bench, &of_alice[1], NOW);
    assert_eq!(standing, Standing::Nothing);
    let envelopes = channel.envelopes(NOW.offset(10), 200, 1);
    bench.ask(BOB, NOW, channel.publish(&envelopes));
    assert_eq!(said(&bench, &next, NOW), Standing::News);
    // What came between two own ones counts too.
    publish(&bench, &mut channel, NOW.offset(20), 1);
    assert_eq!(said(&bench, &next, NOW), Standing::News);
}

#[test]
fn forged_and_foreign_tickets_get_silence() {
    let (_dir, bench) = bench(Limits::default());
    let channel = Channel::new(1);
    let tickets = registered(&bench, BOB, &channel);
    // Seen on the way: without the secret it is worth nothing.
    let seen = Ticket {
        sealed: tickets[0].sealed,
        secret: TicketSecret::from_bytes([3; 32]),
    };
    assert!(is_silent(&bench, &ask(&seen, 2).0));
    let made_up = Ticket {
        sealed: SealedTicket::from_bytes([7; TICKET_LEN]),
        secret: TicketSecret::from_bytes([3; 32]),
    };
    assert!(is_silent(&bench, &ask(&made_up, 2).0));
    // The ticket of one question with the rest of another.
    let (mut mixed, _) = ask(&tickets[0], 2);
    let (other, _) = ask(&tickets[1], 2);
    mixed[1..=TICKET_LEN].copy_from_slice(&other[1..=TICKET_LEN]);
    assert!(is_silent(&bench, &mixed));

    // Another node, though it has a copy of the database.
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(&dir.path().join("node.db")).expect("a database");
    let key = NodeSecret::from_bytes([6; 32]).public();
    let another = Service::new(store.into(), Limits::default(), key);
    let (question, _) = ask(&tickets[0], 2);
    assert!(another.answer_probe(HERE, NOW, &question).is_none());
    assert_eq!(another.metrics().probes_unopened.get(), 1);
    assert_eq!(bench.service.metrics().probes_unopened.get(), 3);
    // The holder is answered still.
    assert_eq!(said(&bench, &tickets[0], NOW), Standing::Nothing);
}

#[test]
fn a_replay_is_answered_for_the_holder_alone_and_changes_nothing() {
    let (_dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let tickets = registered(&bench, BOB, &channel);
    let (question, asked) = ask(&tickets[0], 2);
    let first = bench.service.answer_probe(HERE, NOW, &question);
    let (_, of_first) = open(&asked, first);
    let before = bench.service.store().end();
    let mut answers = std::collections::HashSet::from([first]);
    for replay in 0..100 {
        let from = IpAddr::from([198, 51, 100, replay]);
        let answer = bench.service.answer_probe(from, NOW, &question);
        assert!(answers.insert(answer), "never the same nonce or ticket");
        assert_eq!(open(&asked, answer).0, Standing::Nothing);
        // Whoever replays knows the question and has another ticket.
        let (_, stranger) = ask(&tickets[1], 2);
        assert!(stranger.open(&answer.expect("an answer")).is_none());
    }
    assert_eq!(bench.service.store().end(), before);
    assert_eq!(said(&bench, &of_first, NOW), Standing::Nothing);
    publish(&bench, &mut channel, NOW, 1);
    assert_eq!(said(&bench, &of_first, NOW), Standing::News);
}

#[test]
fn a_ticket_is_good_for_a_day_and_for_two_at_most() {
    let (dir, bench) = bench(Limits::default());
    let channel = Channel::new(1);
    // Just before midnight.
    let now = UnixMillis::from_secs(1_700_006_399);
    bench.register(BOB, now, &channel, Epoch::of(now));
    let tickets = bench.tickets(BOB, now);
    bench.service.expire(now.after(DAY)).expect("expires");
    assert_eq!(said(&bench, &tickets[0], now.after(DAY)), Standing::Nothing);
    let later = now.offset(1_000).after(DAY);
    bench.service.expire(later).expect("expires");
    let (question, _) = ask(&tickets[1], 2);
    assert!(bench.service.answer_probe(HERE, later, &question).is_none());
    // Nor does anything on the disk open it any more.
    drop(bench);
    let bench = Bench::open(dir.path(), Limits::default());
    assert!(bench.service.answer_probe(HERE, later, &question).is_none());
}

#[test]
fn tickets_outlive_a_restart_and_not_a_restored_backup() {
    let (dir, before) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let tickets = registered(&before, BOB, &channel);
    drop(before);
    let bench = Bench::open(dir.path(), Limits::default());
    let (standing, next) = probe(&bench, &tickets[0], NOW);
    assert_eq!(standing, Standing::Nothing);
    publish(&bench, &mut channel, NOW, 1);
    drop(bench);
    // What came before the restart is found in the database.
    let bench = Bench::open(dir.path(), Limits::default());
    assert_eq!(said(&bench, &next, NOW), Standing::News);
    assert_eq!(bench.service.metrics().probes_loaded.get(), 1);
    drop(bench);
    let mut store = Store::open(&dir.path().join("node.db")).expect("a database");
    store.begin_generation().expect("begun");
    drop(store);
    // Positions may be given away a second time.
    let bench = Bench::open(dir.path(), Limits::default());
    assert!(is_silent(&bench, &ask(&tickets[1], 2).0));
    assert_eq!(bench.sync(BOB, NOW, &Bytes::new()).tickets.len(), 1);
}

#[test]
fn whoever_must_register_again_is_told_to_come() {
    let (_dir, bench) = bench(Limits::default());
    let (one, two) = (Channel::new(1), Channel::new(2));
    let tickets = registered(&bench, BOB, &one);
    assert_eq!(said(&bench, &tickets[0], NOW), Standing::Nothing);
    // Another address: the ticket says nothing of it.
    bench.register(BOB, NOW, &two, Epoch::of(NOW));
    assert_eq!(said(&bench, &tickets[1], NOW), Standing::Unknown);
    let tickets = bench.tickets(BOB, NOW);
    assert_eq!(said(&bench, &tickets[0], NOW), Standing::Nothing);
    // One given up changes nothing for the other; without any the registration is gone.
    let address = two.address(NOW);
    bench.ask(BOB, NOW, release(&[address]));
    assert_eq!(said(&bench, &tickets[1], NOW), Standing::Nothing);
    bench.ask(BOB, NOW, release(&[one.address(NOW)]));
    assert_eq!(said(&bench, &tickets[1], NOW), Standing::Unknown);
    // A new one is not the old one, though it is in the same row.
    bench.register(BOB, NOW, &one, Epoch::of(NOW));
    assert_eq!(said(&bench, &tickets[1], NOW), Standing::Unknown);

    // Leases end.
    let tickets = bench.tickets(BOB, NOW);
    let short = one.lease_until(Epoch::of(NOW), bench.node, ALICE, EXPORTER, NOW.after(HOUR));
    bench.ask(ALICE, NOW, register(vec![short]));
    let of_alice = bench.tickets(ALICE, NOW);
    assert_eq!(said(&bench, &of_alice[0], NOW), Standing::Nothing);
    bench.service.expire(NOW.after(HOUR)).expect("expires");
    let now = NOW.after(HOUR);
    assert_eq!(said(&bench, &of_alice[1], now), Standing::Unknown);
    assert_eq!(said(&bench, &tickets[0], now), Standing::Nothing);
}

#[test]
fn nobody_without_a_lease_and_no_node_is_given_tickets() {
    let (_dir, bench) = bench(Limits::default());
    assert!(bench.sync(BOB, NOW, &Bytes::new()).tickets.is_empty());
}

#[test]
fn a_flood_from_one_network_shuts_out_no_other() {
    let (_dir, bench) = bench(Limits {
        probes_per_second_per_network: 10,
        probes_burst_per_network: 50,
        ..Limits::default()
    });
    let channel = Channel::new(1);
    let tickets = registered(&bench, BOB, &channel);
    let (question, asked) = ask(&tickets[0], 2);
    let mut garbage = [5; PROBE_LEN];
    garbage[0] = QUESTION;
    for host in 0..100_000_u32 {
        let from = IpAddr::from([203, 0, 113, host as u8]);
        assert!(bench.service.answer_probe(from, NOW, &garbage).is_none());
    }
    let metrics = bench.service.metrics();
    // The rest was not even decrypted.
    assert_eq!(metrics.probes_unopened.get(), 50);
    assert_eq!(metrics.probes_limited.get(), 99_950);
    let neighbour = IpAddr::from([203, 0, 113, 77]);
    assert!(
        bench
            .service
            .answer_probe(neighbour, NOW, &question)
            .is_none()
    );
    open(&asked, bench.service.answer_probe(HERE, NOW, &question));
    let six = "2001:db8:7::1".parse().expect("an address");
    open(&asked, bench.service.answer_probe(six, NOW, &question));
    // A second later they may ask again.
    let later = NOW.offset(1_000);
    open(
        &asked,
        bench.service.answer_probe(neighbour, later, &question),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_bytes_get_silence(bytes in prop::collection::vec(any::<u8>(), 0..300), as_question: bool) {
        let (_dir, bench) = bench(Limits::default());
        registered(&bench, BOB, &Channel::new(1));
        let mut bytes = bytes;
        if as_question {
            bytes.resize(PROBE_LEN, 0);
            bytes[0] = QUESTION;
        }
        prop_assert!(is_silent(&bench, &bytes));
    }

    #[test]
    fn no_answer_is_longer_than_its_question(cut in 0..=PROBE_LEN, more in 0..100_usize, flip in 0..8 * PROBE_LEN) {
        let (_dir, bench) = bench(Limits::default());
        let tickets = registered(&bench, BOB, &Channel::new(1));
        let (question, _) = ask(&tickets[0], 2);
        let answered = |datagram: &[u8]| bench.service.answer_probe(HERE, NOW, datagram);
        let length = |answer: Option<Datagram>| answer.map_or(0, |answer| answer.len());
        prop_assert_eq!(length(answered(&question)), question.len());
        prop_assert_eq!(length(answered(&question[..cut])), if cut == PROBE_LEN { PROBE_LEN } else { 0 });
        let longer = [&question[..], &vec![0; more]].concat();
        prop_assert!(length(answered(&longer)) <= longer.len());
        let mut altered = question;
        altered[flip / 8] ^= 1 << (flip % 8);
        prop_assert_eq!(length(answered(&altered)), 0);
    }

    /// Whatever happens, "nothing" is true: a sync from where the ticket was given brings nothing of others.
    #[test]
    fn nothing_is_never_said_where_there_is_something(
        steps in prop::collection::vec((0..7_u8, 0..3_u64, 0..2_u8), 1..60), cap in 1..4_u64,
    ) {
        let (dir, first) = bench(Limits::default());
        drop(first);
        let limits = Limits { probed_clients: cap, ..Limits::default() };
        let mut bench = Bench::open(dir.path(), limits.clone());
        let mut channels: Vec<Channel> = (0..3).map(Channel::new).collect();
        let people = [ALICE, BOB];
        let mut held: [Option<(Bytes, Ticket)>; 2] = [None, None];
        let mut own: [Vec<Bytes>; 2] = [Vec::new(), Vec::new()];
        let mut entropy = SeededEntropy::from_u64(cap);
        for (at, (step, channel, who)) in (1_i64..).zip(steps) {
            let (now, index) = (NOW.offset(at * 1_000), usize::from(who));
            let person = people[index];
            let channel = &mut channels[channel as usize];
            match step {
                0 => drop(bench.register(person, now, channel, Epoch::of(NOW))),
                1 => drop(bench.ask(person, now, release(&[channel.address(NOW)]))),
                2 => {
                    let envelopes = channel.envelopes(now, 100, 1);
                    own[index].extend(sealed(&envelopes));
                    bench.ask(person, now, channel.publish(&envelopes));
                }
                3 => {
                    let cursor = held[index].take().map_or_else(Bytes::new, |(cursor, _)| cursor);
                    let mut synced = bench.sync(person, now, &cursor);
                    let cursor = synced.cursor.clone().unwrap_or(cursor);
                    held[index] = synced.tickets.pop().map(|ticket| (cursor, ticket));
                }
                4 => {
                    let service_limits = limits.clone();
                    drop(bench);
                    bench = Bench::open(dir.path(), service_limits);
                }
                _ => {
                    let Some((cursor, ticket)) = held[index].take() else { continue };
                    let (question, asked) = ticket.ask(&mut entropy);
                    let answer = bench.service.answer_probe(HERE, now, &question);
                    let (standing, next) = open(&asked, answer);
                    let synced = bench.sync(person, now, &cursor);
                    let of_others = synced.envelopes.iter().filter(|(_, _, sealed)| !own[index].contains(sealed));
                    match standing {
                        Standing::Nothing => prop_assert_eq!(of_others.count(), 0),
                        Standing::News => prop_assert!(!synced.envelopes.is_empty()),
                        Standing::Unknown => {}
                    }
                    held[index] = Some((cursor, next));
                }
            }
        }
    }
}
