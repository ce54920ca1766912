//! One client: what it keeps, polls, leaves and takes back.

use std::time::Duration;

use ailurus::channel::{HopCount, NodeLink};
use ailurus::crypto::NodeKey;
use ailurus::discovery::chooser::{Added, MAX_CANDIDATES};
use ailurus::discovery::{Chooser, Condition, NodeLoad, NodeRecord, Origin, Refusal, Role};
use ailurus::wire::time::UnixMillis;
use proptest::prelude::*;

use super::{DAY, HOUR, MINUTE, NOW, at, key, knowing, node};

fn active(chooser: &Chooser) -> Option<NodeKey> {
    chooser
        .records()
        .iter()
        .find(|record| record.role == Role::Active)
        .map(|record| *record.link.key())
}

fn hops(count: usize) -> HopCount {
    HopCount::new(count).unwrap()
}

fn ms(millis: u64) -> Option<Duration> {
    Some(Duration::from_millis(millis))
}

#[test]
fn three_are_kept_one_is_polled_and_two_get_copies() {
    let chooser = knowing(7, 1..=10);
    assert_eq!(chooser.kept().len(), 3);
    let order = chooser.poll_order(NOW);
    assert_eq!(order.len(), 10, "the others are a last resort");
    assert_eq!(Some(order[0]), active(&chooser));
    assert_eq!(chooser.publish_to(NOW), order[..2]);
    assert!(chooser.kept().contains(&order[1]));

    let one = knowing(7, [1]);
    assert_eq!(one.poll_order(NOW), [key(1)]);
    assert_eq!(one.publish_to(NOW), [key(1)]);
}

#[test]
fn a_failing_node_is_replaced_at_once_and_comes_back_as_standby() {
    let mut chooser = knowing(7, 1..=10);
    let first = active(&chooser).unwrap();
    let before = chooser.kept();
    chooser.failed(&first, "no answer", NOW, 5);
    chooser.choose(NOW);
    let second = active(&chooser).unwrap();
    assert!(before.contains(&second), "a standby takes over");
    let kept = chooser.kept();
    assert_eq!(kept.len(), 4, "a third healthy one joins them");
    assert!(kept.contains(&first), "its leases still stand");
    assert!(!chooser.publish_to(NOW).contains(&first));
    assert!(
        chooser.why(&first, NOW).contains("no answer"),
        "{}",
        chooser.why(&first, NOW)
    );

    assert_eq!(chooser.probe_due(NOW), None, "not at once");
    let later = NOW.after(MINUTE);
    assert_eq!(chooser.probe_due(later), Some(first));
    chooser.answered(&first, ms(10), later, 599_999);
    chooser.choose(later);
    assert_eq!(active(&chooser), Some(second));
    assert!(matches!(
        chooser.record(&first).unwrap().condition,
        Condition::Returning { .. }
    ));
    let settled = later.after(10 * MINUTE);
    chooser.choose(settled);
    let record = chooser.record(&first).unwrap();
    assert!(record.is_healthy());
    assert_ne!(record.role, Role::Active, "the one in use is as good");
    assert_eq!(chooser.kept().len(), 3);
}

#[test]
fn all_down_is_still_a_choice() {
    let mut chooser = knowing(3, 1..=5);
    for number in 1..=5 {
        chooser.failed(&key(number), "no answer", NOW, 0);
    }
    chooser.choose(NOW);
    assert_eq!(chooser.poll_order(NOW).len(), 5);
    assert!(chooser.kept().len() >= 3);
    assert!(active(&chooser).is_some());
}

#[test]
fn what_the_user_adds_comes_first_and_stays() {
    let mut chooser = knowing(11, 1..=20);
    for number in 21..=24 {
        chooser.add(&node(number), Origin::User);
    }
    chooser.choose(NOW);
    let kept = chooser.kept();
    assert_eq!(kept, [21, 22, 23, 24].map(key));

    for number in 0..=255 {
        for origin in [Origin::Member, Origin::Dht] {
            chooser.add(&node(number), origin);
        }
    }
    assert_eq!(chooser.records().len(), MAX_CANDIDATES);
    for number in 21..=24 {
        chooser.failed(&key(number), "no answer", NOW, 0);
    }
    chooser.choose(NOW);
    chooser.choose(NOW.after(30 * DAY));
    assert!([21, 22, 23, 24].iter().all(|number| {
        let record = chooser.record(&key(*number)).unwrap();
        record.origin == Origin::User && matches!(record.condition, Condition::Down { .. })
    }));
    // Added once more: tried at once.
    assert_eq!(chooser.add(&node(21), Origin::User), Added::Known);
    chooser.choose(NOW.after(30 * DAY));
    assert_eq!(active(&chooser), Some(key(21)));
}

#[test]
fn a_full_table_keeps_the_better_origin() {
    let mut chooser = Chooser::new(1, Vec::new());
    for number in 0..MAX_CANDIDATES as u8 {
        chooser.add(&node(number), Origin::Member);
    }
    assert_eq!(chooser.add(&node(100), Origin::Dht), Added::Full);
    let Added::New { forgotten: Some(_) } = chooser.add(&node(101), Origin::User) else {
        panic!("room is made for the user");
    };
    assert_eq!(chooser.records().len(), MAX_CANDIDATES);
    // A stranger's word changes no address that the user gave.
    chooser.add(&at(101, "203.0.113.1"), Origin::Dht);
    assert_eq!(chooser.record(&key(101)).unwrap().link, node(101));
}

#[test]
fn a_node_that_was_away_for_long_is_tried_again_where_too_few_are_left() {
    let mut chooser = knowing(5, 1..=3);
    let away = NOW.after(2 * DAY);
    chooser.failed(&key(1), "no answer", NOW, 0);
    chooser.choose(away);
    assert!(!chooser.kept().contains(&key(1)));
    assert_eq!(chooser.probe_due(away), Some(key(1)));
    // Three others are enough.
    chooser.add(&node(4), Origin::Link);
    chooser.choose(away);
    assert_eq!(chooser.probe_due(away), None);
}

#[test]
fn no_node_counts_us_nearer_than_our_introduction() {
    let mut chooser = knowing(5, [1]);
    let counted = |chooser: &Chooser| chooser.record(&key(1)).unwrap().hop_count;
    chooser.registered(&key(1), hops(1), HopCount::STRANGER);
    assert_eq!(counted(&chooser), HopCount::STRANGER);
    chooser.registered(&key(1), hops(1), hops(3));
    assert_eq!(counted(&chooser), hops(3));
    chooser.registered(&key(1), HopCount::STRANGER, hops(3));
    assert_eq!(counted(&chooser), HopCount::STRANGER);
}

#[test]
fn only_the_user_moves_a_node_that_works_and_one_that_is_down_is_moved_on_trial() {
    let stands = |chooser: &Chooser| chooser.record(&key(1)).unwrap().link.clone();
    for first in [Origin::User, Origin::Link, Origin::Member, Origin::Dht] {
        let mut chooser = Chooser::new(1, Vec::new());
        chooser.add(&node(1), first);
        let elsewhere = at(1, "203.0.113.1");
        for origin in [Origin::Link, Origin::Member, Origin::Dht] {
            chooser.add(&elsewhere, origin);
            assert_eq!(stands(&chooser), node(1), "{first:?}, {origin:?}");
        }
        chooser.failed(&key(1), "no answer", NOW, 0);
        chooser.add(&elsewhere, Origin::Dht);
        assert_eq!(stands(&chooser), elsewhere);
        chooser.add(&at(1, "203.0.113.2"), Origin::Member);
        assert_eq!(stands(&chooser), elsewhere, "one trial at a time");
        chooser.failed(&key(1), "no answer", NOW, 0);
        assert_eq!(stands(&chooser), node(1), "back to where it answered");
        chooser.add(&elsewhere, Origin::Member);
        chooser.answered(&key(1), ms(50), NOW, 0);
        chooser.failed(&key(1), "no answer", NOW, 0);
        assert_eq!(stands(&chooser), elsewhere, "it has moved");
        chooser.add(&node(1), Origin::User);
        assert_eq!(stands(&chooser), node(1));
    }
}

#[test]
fn when_all_are_lost_old_and_new_addresses_are_tried_in_turns() {
    let mut chooser = knowing(5, [1]);
    let elsewhere = [at(1, "203.0.113.1")];
    assert!(!chooser.found(&key(1), &elsewhere, false), "it works");
    for _ in 0..3 {
        assert!(chooser.found(&key(1), &elsewhere, true));
        assert_eq!(chooser.record(&key(1)).unwrap().link, elsewhere[0]);
        assert!(chooser.found(&key(1), &elsewhere, true));
        assert_eq!(chooser.record(&key(1)).unwrap().link, node(1));
    }
}

#[test]
fn a_healthy_node_of_a_link_is_always_among_the_kept() {
    let mut chooser = knowing(5, [1]);
    chooser.answered(&key(1), ms(400), NOW, 0);
    for number in 2..10 {
        chooser.add(&node(number), Origin::Member);
        chooser.answered(&key(number), ms(1), NOW, 0);
    }
    for hour in 0..100 {
        chooser.choose(NOW.after(hour * HOUR));
        assert!(chooser.kept().contains(&key(1)), "hour {hour}");
        assert_eq!(chooser.kept().len(), 3);
    }
}

#[test]
fn not_all_in_one_network() {
    for seed in 0..50 {
        let mut chooser = Chooser::new(seed, Vec::new());
        for number in 1..=6 {
            chooser.add(&at(number, &format!("192.0.2.{number}")), Origin::Link);
        }
        chooser.add(&at(7, "node.example"), Origin::Dht);
        chooser.choose(NOW);
        for step in 0..5 {
            assert!(chooser.kept().contains(&key(7)), "seed {seed}, step {step}");
            chooser.choose(NOW.after(step * HOUR));
        }
    }
}

#[test]
fn a_liar_does_not_win() {
    let idle = NodeLoad::default();
    let busy = NodeLoad {
        clients_permille: 800,
        ..NodeLoad::default()
    };
    for seed in 0..100 {
        let mut chooser = knowing(seed, 1..=4);
        for number in 1..=4 {
            let rtt = if number == 1 { 900 } else { 50 };
            chooser.answered(&key(number), ms(rtt), NOW, 0);
            chooser.loaded(&key(number), if number == 1 { idle } else { busy });
        }
        chooser.choose(NOW.after(MINUTE));
        assert_ne!(active(&chooser), Some(key(1)), "it says 0 and is slow");
        assert!(!chooser.kept().contains(&key(1)));
    }
    for seed in 0..100 {
        let mut chooser = knowing(seed, 1..=4);
        for number in 1..=4 {
            chooser.answered(&key(number), ms(50), NOW, 0);
            chooser.loaded(&key(number), if number == 1 { idle } else { busy });
        }
        chooser.refused(&key(1), Refusal::Full, NOW, 0);
        chooser.choose(NOW);
        assert!(
            !chooser.kept().contains(&key(1)),
            "it says 0 and refuses all"
        );
    }
}

#[test]
fn a_few_milliseconds_change_nothing() {
    let mut chooser = knowing(5, 1..=6);
    for number in 1..=6 {
        chooser.answered(&key(number), ms(60), NOW, 0);
    }
    chooser.choose(NOW);
    let (first, kept) = (active(&chooser), chooser.kept());
    for step in 0..500_u32 {
        let now = NOW.after(Duration::from_secs(60) * step);
        for number in 1..=6 {
            let wobble = u64::from((step * 37 + u32::from(number) * 101) % 60);
            chooser.answered(&key(number), ms(30 + wobble), now, 0);
        }
        chooser.choose(now);
        assert_eq!(active(&chooser), first, "step {step}");
        assert_eq!(chooser.kept(), kept, "step {step}");
    }
}

#[test]
fn a_slow_one_is_left_for_a_clearly_better_one() {
    let mut chooser = knowing(5, 1..=3);
    let slow = active(&chooser).unwrap();
    for round in 0..20_u32 {
        let now = NOW.after(MINUTE * round);
        for number in 1..=3 {
            let rtt = if key(number) == slow { 800 } else { 40 };
            chooser.answered(&key(number), ms(rtt), now, 0);
        }
        chooser.choose(now);
    }
    assert_ne!(active(&chooser), Some(slow));
    assert!(chooser.kept().contains(&slow), "there are only three");
}

#[test]
fn refusals_end_and_are_explained() {
    let mut chooser = knowing(5, 1..=4);
    let refusing = active(&chooser).unwrap();
    chooser.refused(&refusing, Refusal::NoStrangers, NOW, 3);
    chooser.choose(NOW);
    assert!(!chooser.kept().contains(&refusing));
    assert!(chooser.why(&refusing, NOW).contains("introduction"));
    chooser.choose(NOW.after(23 * HOUR));
    assert!(!chooser.record(&refusing).unwrap().is_healthy());
    chooser.choose(NOW.after(31 * HOUR));
    assert!(chooser.record(&refusing).unwrap().is_healthy());

    // Withholding weighs more than what the node says afterwards.
    chooser.refused(&refusing, Refusal::Withheld, NOW, 3);
    chooser.refused(&refusing, Refusal::Full, NOW, 3);
    chooser.registered(&refusing, hops(1), hops(1));
    chooser.choose(NOW.after(6 * DAY));
    assert!(!chooser.record(&refusing).unwrap().is_healthy());
    assert_eq!(chooser.poll_order(NOW).last(), Some(&refusing));
}

#[test]
fn an_introduction_opens_the_door_at_once() {
    let mut chooser = knowing(5, [1]);
    chooser.refused(&key(1), Refusal::NoStrangers, NOW, 0);
    chooser.choose(NOW);
    chooser.forgive(&key(1));
    chooser.registered(&key(1), hops(2), hops(1));
    chooser.choose(NOW);
    assert!(chooser.why(&key(1), NOW).contains("2 hops"));
}

#[test]
fn standbys_are_audited_daily_and_when_a_gap_grows() {
    let mut chooser = knowing(5, 1..=3);
    let standbys: Vec<NodeKey> = chooser
        .records()
        .iter()
        .filter(|record| record.role == Role::Standby)
        .map(|record| *record.link.key())
        .collect();
    assert_eq!(chooser.audit_due(0, NOW), None, "not at first sight");
    let later = NOW.after(2 * DAY);
    for _ in &standbys {
        let due = chooser.audit_due(0, later).unwrap();
        chooser.audited(&due, 0, later, 7);
    }
    assert_eq!(chooser.audit_due(0, later), None);
    assert_eq!(
        chooser.audit_due(2, later),
        None,
        "once in a quarter of an hour"
    );
    let mut later = later;
    for _ in &standbys {
        later = later.after(15 * MINUTE);
        let due = chooser.audit_due(2, later).unwrap();
        chooser.audited(&due, 2, later, 7);
        assert_eq!(chooser.audit_due(3, later.after(14 * MINUTE)), None);
    }
    let again = later.after(15 * MINUTE);
    assert_eq!(chooser.audit_due(2, again), None, "an old gap is not news");
    chooser.audit_failed(&standbys[0], again);
    assert_eq!(chooser.audit_due(3, again), None, "a failed one counts too");
    chooser.audited(&standbys[0], 2, later, 7);
    assert!(
        chooser.audit_due(2, later.after(3 * HOUR)).is_some(),
        "what is missing may have been too young"
    );
}

#[test]
fn a_clock_that_was_set_back_silences_no_node() {
    let mut chooser = knowing(5, 1..=3);
    let future = NOW.after(3_650 * DAY);
    chooser.failed(&key(1), "no answer", future, 0);
    chooser.refused(&key(2), Refusal::Full, future, 0);
    chooser.choose(NOW);
    assert_eq!(chooser.probe_due(NOW), Some(key(1)));
    assert!(chooser.record(&key(2)).unwrap().is_healthy());
}

#[test]
fn it_goes_on_after_a_restart() {
    let mut chooser = knowing(5, 1..=9);
    chooser.answered(&key(1), ms(5), NOW, 0);
    chooser.failed(&key(2), "no answer", NOW, 0);
    chooser.choose(NOW);
    let again = Chooser::new(5, chooser.records().to_vec());
    assert_eq!(again.poll_order(NOW), chooser.poll_order(NOW));
    assert_eq!(again.kept(), chooser.kept());
}

#[derive(Clone, Debug)]
enum Happening {
    Add(u8, u8),
    Remove(u8),
    Answered(u8, u64, u64),
    Failed(u8, u64),
    Refused(u8, u64),
    Loaded(u8, u16),
    Wait(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..80_u8, 0..4_u8).prop_map(|(node, origin)| Happening::Add(node, origin)),
        1 => (0..80_u8).prop_map(Happening::Remove),
        3 => (0..80_u8, 0..3_000_u64, any::<u64>())
            .prop_map(|(node, rtt, random)| Happening::Answered(node, rtt, random)),
        2 => (0..80_u8, any::<u64>()).prop_map(|(node, random)| Happening::Failed(node, random)),
        1 => (0..80_u8, any::<u64>()).prop_map(|(node, random)| Happening::Refused(node, random)),
        1 => (0..80_u8, 0..1_000_u16).prop_map(|(node, load)| Happening::Loaded(node, load)),
        2 => (1..200_000_u64).prop_map(Happening::Wait),
    ]
}

/// Two nodes in each network.
fn paired(number: u8) -> NodeLink {
    at(number, &format!("198.51.{}.{number}", number / 2))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_enough_are_kept(seed: u64, happenings in proptest::collection::vec(happening(), 1..120)) {
        let mut chooser = Chooser::new(seed, Vec::new());
        let mut now = NOW;
        for happening in happenings {
            match happening {
                Happening::Add(node, origin) => {
                    let origin = [Origin::User, Origin::Link, Origin::Member, Origin::Dht][usize::from(origin)];
                    chooser.add(&paired(node), origin);
                }
                Happening::Remove(node) => {
                    chooser.remove(&key(node));
                }
                Happening::Answered(node, rtt, random) => {
                    chooser.answered(&key(node), ms(rtt), now, random);
                }
                Happening::Failed(node, random) => chooser.failed(&key(node), "gone", now, random),
                Happening::Refused(node, random) => {
                    chooser.refused(&key(node), Refusal::Full, now, random);
                }
                Happening::Loaded(node, load) => chooser.loaded(
                    &key(node),
                    NodeLoad { cpu_permille: load, ..NodeLoad::default() },
                ),
                Happening::Wait(seconds) => now = now.after(Duration::from_secs(seconds)),
            }
            chooser.choose(now);
            check(&chooser, now)?;
        }
    }
}

fn check(chooser: &Chooser, now: UnixMillis) -> Result<(), TestCaseError> {
    let records = chooser.records();
    let healthy: Vec<&NodeRecord> = records.iter().filter(|r| r.is_healthy()).collect();
    let kept: Vec<&NodeRecord> = records.iter().filter(|r| r.is_kept()).collect();
    let of_use = kept.iter().filter(|r| r.is_healthy()).count();
    prop_assert!(of_use >= healthy.len().min(3), "{records:?}");
    prop_assert!(kept.len() >= records.len().min(1) && kept.len() <= 5);
    prop_assert!(records.len() <= MAX_CANDIDATES);
    let actives = kept.iter().filter(|r| r.role == Role::Active).count();
    prop_assert_eq!(actives, records.len().min(1));
    if !healthy.is_empty() {
        prop_assert!(
            kept.iter()
                .any(|r| r.role == Role::Active && r.is_healthy())
        );
    }
    let networks = |nodes: &[&NodeRecord]| {
        let all: std::collections::HashSet<_> = nodes.iter().map(|r| r.network()).collect();
        all.len()
    };
    let used: Vec<&NodeRecord> = kept.iter().copied().filter(|r| r.is_healthy()).collect();
    if used.len() > 1 && networks(&healthy) > 1 {
        prop_assert!(networks(&used) > 1, "all in one network");
    }
    prop_assert!(chooser.publish_to(now).len() >= records.len().min(2));
    prop_assert_eq!(chooser.poll_order(now).len(), records.len());
    for record in records {
        prop_assert!(chooser.why(record.link.key(), now).len() > 10);
        if let Condition::Down { retry, .. } = record.condition {
            prop_assert!(retry.since(now) <= Duration::from_secs(6 * 3600));
        }
    }
    Ok(())
}
