//! A full node: who goes for whom, what they are told, and that limits hold whatever comes.

use std::{collections::HashMap, sync::Arc};

use ailurus::{
    channel::{ChainId, Epoch, Introduction},
    crypto::{NodeSecret, Pseudonym},
    wire::{
        limits::LIFETIME,
        node::{Reason, response},
    },
};
use ailurus_node::{Config, Limits, Network, Node, Session, SystemClock};
use bytes::Bytes;
use proptest::prelude::*;

use crate::{
    common::{
        wire::{Phone, ask},
        *,
    },
    people::{Answer, Desk, client, holder, introduction, proof, request_to_register},
};

#[test]
fn the_farthest_goes_first_and_of_those_the_longest_unseen() {
    let desk = Desk::new(Limits {
        registrations: 3,
        ..Limits::default()
    });
    let at = |hours: u32| NOW.after(hours * HOUR);
    assert_eq!(desk.come_from(client(1), NOW, &[1, 1]), Answer::In(Some(2)));
    desk.come(client(2), at(1), None);
    desk.come(client(3), at(2), None);
    // Seen later than 3, as a poll counts as well as a registration.
    desk.bench.sync(client(2), at(5), &Bytes::new());
    desk.tick(at(5));

    // A stranger is no nearer than a stranger.
    let full = Answer::NoLease(Reason::NodeFull);
    assert_eq!(desk.come(client(4), at(6), None), full);
    assert_eq!(
        desk.come_from(client(4), at(6), &[2, 1]),
        Answer::In(Some(2))
    );
    assert_eq!(desk.hello(client(3), at(6)), (0, Reason::Evicted));
    assert_eq!(desk.hello(client(2), at(6)), (1, Reason::Unspecified));
    assert_eq!(
        desk.come_from(client(5), at(6), &[3, 1, 1]),
        Answer::In(Some(3))
    );
    assert_eq!(desk.hello(client(2), at(6)), (0, Reason::Evicted));
    // No nearer than the farthest that is there now.
    assert_eq!(desk.come_from(client(6), at(6), &[4, 1, 1]), full);
    assert_eq!(
        desk.come_from(client(6), at(6), &[4, 1]),
        Answer::In(Some(2))
    );
    assert_eq!(desk.hello(client(5), at(6)), (0, Reason::Evicted));
    assert_eq!(desk.come_from(client(7), at(6), &[5]), Answer::In(Some(1)));
    assert_eq!(desk.hello(client(1), at(6)), (0, Reason::Evicted));
    assert_eq!(desk.number("SELECT count(*) FROM registrations"), 3);
    assert_eq!(desk.number("SELECT count(*) FROM leases"), 3);
    assert!(desk.metric("ailurus_node_evicted_total{reason=\"evicted\"} 4"));
    // What was said is said until the client is back.
    desk.bench
        .ask(client(7), at(7), release(&[Channel::new(1).address(NOW)]));
    assert_eq!(desk.come(client(1), at(7), None), Answer::In(None));
    assert_eq!(desk.hello(client(1), at(7)), (1, Reason::Unspecified));
    assert_eq!(desk.hello(client(7), at(7)), (0, Reason::Unspecified));
}

#[test]
fn a_node_takes_so_many_strangers() {
    let desk = Desk::new(Limits {
        strangers: 1,
        ..Limits::default()
    });
    assert_eq!(desk.come(client(1), NOW, None), Answer::In(None));
    let refused = Answer::NoLease(Reason::NoStrangers);
    assert_eq!(desk.come(client(2), NOW, None), refused);
    assert_eq!(desk.come(client(1), NOW, None), Answer::In(None));
    // With an introduction it is none, and leaves a stranger's place to somebody.
    assert_eq!(desk.come_from(client(2), NOW, &[1]), Answer::In(Some(1)));
    assert_eq!(desk.come_from(client(1), NOW, &[2]), Answer::In(Some(1)));
    assert_eq!(desk.come(client(3), NOW, None), Answer::In(None));
}

#[test]
fn a_client_is_told_that_its_leases_are_over() {
    let desk = Desk::new(Limits::default());
    desk.come(client(1), NOW, None);
    let over = Epoch::of(NOW).lease_end();
    desk.tick(over);
    assert_eq!(desk.hello(client(1), over), (0, Reason::LeaseOver));
    let forgotten = over.after(28 * DAY);
    assert_eq!(desk.hello(client(1), forgotten), (0, Reason::Unspecified));
    desk.tick(forgotten);
    assert_eq!(desk.number("SELECT count(*) FROM endings"), 0);
}

#[test]
fn what_an_evicted_client_leased_is_kept_for_its_time() {
    let desk = Desk::new(Limits {
        registrations: 1,
        ..Limits::default()
    });
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 3);
    desk.come(client(1), NOW, None);
    desk.bench.publish(&channel, NOW, &envelopes);
    desk.come_from(client(2), NOW, &[1]);
    let synced = desk.bench.sync(client(2), NOW, &Bytes::new());
    assert_eq!(synced.envelopes.len(), 3);
    desk.tick(NOW.after(LIFETIME + HOUR));
    assert_eq!(desk.number("SELECT count(*) FROM envelopes"), 0);
}

#[test]
fn clients_of_one_network_share_an_allowance() {
    let desk = Desk::new(Limits {
        items_per_second_per_network: 1,
        items_burst_per_network: 5,
        ..Limits::default()
    });
    let ask = |number, ip: &str| {
        let session = Session {
            network: Network::of(ip.parse().expect("an address")),
            ..session(client(number))
        };
        desk.bench.service.handle(&session, NOW, sync(Bytes::new()))
    };
    for number in 1..=5 {
        assert_eq!(ask(number, "192.0.2.77").len(), 2);
    }
    assert_eq!(
        refusals(&ask(6, "192.0.2.3")),
        [(0, Reason::NetworkLimited)]
    );
    assert_eq!(ask(6, "198.51.100.3").len(), 2);
    assert_eq!(ask(6, "127.0.0.1").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_is_told_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let limits = Limits {
        registrations: 1,
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..Config::new(dir.path(), "127.0.0.1:0".parse().expect("an address"))
    };
    let clock = SystemClock::default();
    let now = ailurus::wire::time::Clock::now(&clock);
    let node = Node::start(config, Arc::new(clock)).expect("starts");
    let key = std::fs::read(dir.path().join("node.key")).expect("drawn");
    let secret = NodeSecret::from_bytes(key.try_into().expect("32 bytes"));
    let (far, near) = (Phone::new(node.link()), Phone::new(node.link()));
    let channel = Channel::new(1);
    let connection = far.connect().await;
    let epoch = Epoch::of(now);
    assert_eq!(far.register(&connection, &channel, epoch).await, []);
    let (mut stream, hello) = far.follow(&connection, Bytes::new()).await;
    assert_eq!(hello.hello.leases, 1);
    let load = hello.hello.load.expect("told");
    assert_eq!((load.clients, load.clients_permille), (1, 1_000));

    let connection = near.connect().await;
    let exporter = connection.exporter().expect("complete");
    let minted = Introduction::mint(
        &secret,
        &holder(&[1]).public(),
        now.after(30 * DAY).as_secs(),
    );
    let proof = minted
        .prove(&holder(&[1]), &exporter, &near.pseudonym)
        .expect("held");
    let lease = channel.lease(epoch, *node.link().key(), near.pseudonym, exporter);
    let answer = ask(&connection, &request_to_register(vec![lease], Some(proof))).await;
    let Some(response::Kind::Registered(registered)) = answer.kind else {
        panic!("{answer:?}")
    };
    assert_eq!(registered.hop_count, Some(1));

    let Some(response::Kind::Refused(refused)) = stream.next().await.expect("a frame").kind else {
        panic!("not told")
    };
    assert_eq!(refused.reason(), Reason::Evicted);
    assert!(stream.next().await.is_none(), "the stream ends");
    node.stop().await;
}

/// A client comes, with the introduction of a place in the tree or none.
fn step() -> impl Strategy<Value = (u8, Vec<u8>)> {
    (1_u8..12, prop::collection::vec(1_u8..3, 0..4))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn limits_hold_and_nobody_goes_for_somebody_farther(steps in prop::collection::vec(step(), 1..30)) {
        let limits = Limits { registrations: 4, strangers: 2, clients_per_introduction: 3, ..Limits::default() };
        let desk = Desk::new(limits);
        let standing = || -> HashMap<Vec<u8>, u64> {
            let database = desk.database();
            let mut statement = database
                .prepare("SELECT pseudonym, coalesce(hop_count, 7) FROM registrations")
                .expect("prepared");
            let rows = statement
                .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))
                .expect("read");
            rows.collect::<Result<_, _>>().expect("read")
        };
        let others = |chain: &ChainId, who: &Pseudonym| -> i64 {
            let database = desk.database();
            let sql = "SELECT count(*) FROM chains JOIN registrations ON row = registration_row
                WHERE chain = ?1 AND pseudonym != ?2";
            let keys = (chain.as_bytes().as_slice(), who.as_bytes().as_slice());
            database.query_row(sql, keys, |row| row.get(0)).expect("counted")
        };
        let mut before = standing();
        for (minute, (number, path)) in (0_u32..).zip(steps) {
            let who = client(number);
            let now = NOW.after(minute * std::time::Duration::from_secs(60));
            let shown = (!path.is_empty()).then(|| proof(&path, who));
            let answer = desk.come(who, now, shown);
            let after = standing();
            let strangers = after.values().filter(|hops| **hops == 7).count();
            prop_assert!(after.len() <= 4 && strangers <= 2, "{after:?}");
            let fullest = desk.number(
                "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM chains GROUP BY chain)",
            );
            prop_assert!(fullest <= 3);
            let gone: Vec<u64> = before
                .iter()
                .filter(|(client, _)| !after.contains_key(*client))
                .map(|(_, hops)| *hops)
                .collect();
            let own = after.get(who.as_bytes().as_slice()).copied();
            match answer {
                Answer::In(hops) => {
                    prop_assert_eq!(own, Some(hops.map_or(7, u64::from)));
                    let farthest = before.values().max().copied().unwrap_or(0);
                    for hops in &gone {
                        prop_assert!(Some(*hops) > own && *hops == farthest);
                    }
                    prop_assert!(gone.len() <= 1 && (gone.is_empty() || before.len() == 4));
                }
                Answer::Refused(Reason::SubtreeFull) => {
                    prop_assert_eq!(&after, &before);
                    let full = introduction(&path)
                        .chain()
                        .iter()
                        .any(|chain| others(chain, &who) >= 3);
                    prop_assert!(full, "there was room at {path:?}");
                }
                _ => prop_assert_eq!(&after, &before),
            }
            before = after;
        }
        let line = format!("ailurus_node_registrations {}\n", before.len());
        prop_assert!(desk.metric(&line));
    }
}
