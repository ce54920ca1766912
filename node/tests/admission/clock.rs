//! A clock that runs ahead deletes nothing for good.

use std::{path::Path, time::Duration};

use ailurus::wire::{limits::LIFETIME, node::Reason, time::UnixMillis};
use ailurus_node::Limits;

use crate::{
    common::*,
    people::{Answer, Desk, client},
};

const MINUTE: Duration = Duration::from_secs(60);

fn filled() -> (Desk, Channel) {
    let desk = Desk::new(Limits::default());
    let mut channel = Channel::new(1);
    desk.come(client(1), NOW, None);
    let envelopes = channel.envelopes(NOW, 200, 3);
    assert_eq!(desk.bench.publish(&channel, NOW, &envelopes), []);
    (desk, channel)
}

fn tick(bench: &Bench, now: UnixMillis, elapsed: Duration) -> (usize, bool) {
    let expired = bench.service.tick(now, elapsed).expect("expires");
    (expired.envelopes, expired.held)
}

fn again(dir: &Path) -> Bench {
    Bench::open(dir, Limits::default())
}

#[test]
fn a_clock_that_is_put_forward_deletes_nothing_until_it_is_put_back() {
    let (desk, _) = filled();
    let ahead = NOW.after(LIFETIME + DAY);
    assert_eq!(tick(&desk.bench, NOW, MINUTE), (0, false));
    assert_eq!(tick(&desk.bench, ahead, 2 * MINUTE), (0, true));
    assert!(desk.metric("ailurus_node_clock_held 1"));
    assert_eq!(desk.number("SELECT count(*) FROM envelopes"), 3);
    assert_eq!(desk.number("SELECT count(*) FROM leases"), 1);
    assert_eq!(
        tick(&desk.bench, NOW.after(2 * MINUTE), 3 * MINUTE),
        (0, false)
    );
    assert!(desk.metric("ailurus_node_clock_held 0"));
    // Time that has really passed counts.
    assert_eq!(tick(&desk.bench, ahead, LIFETIME + DAY), (3, false));
}

#[test]
fn after_9_days_off_an_hour_passes_or_the_operator_says_that_the_time_is_right() {
    let later = NOW.after(9 * DAY);
    for trusted in [false, true] {
        let (desk, _) = filled();
        assert_eq!(tick(&desk.bench, NOW, MINUTE), (0, false));
        let Desk { dir, bench } = desk;
        drop(bench);
        let bench = again(dir.path());
        if trusted {
            bench.service.trust_clock();
            assert_eq!(tick(&bench, later, MINUTE), (3, false));
            continue;
        }
        assert_eq!(tick(&bench, later, MINUTE), (0, true));
        // What is held is not kept as the time, so that another start changes nothing.
        drop(bench);
        let bench = again(dir.path());
        assert_eq!(tick(&bench, later, MINUTE), (0, true));
        assert_eq!(tick(&bench, later.after(HOUR), HOUR), (0, true));
        assert_eq!(tick(&bench, later.after(HOUR), HOUR + MINUTE), (3, false));
    }
}

#[test]
fn while_the_time_may_be_wrong_nobody_goes_because_of_it() {
    let limits = Limits {
        strangers: 1,
        ..Limits::default()
    };
    let desk = Desk::new(limits);
    desk.come(client(1), NOW, None);
    let ahead = NOW.after(9 * DAY);
    tick(&desk.bench, NOW, MINUTE);
    tick(&desk.bench, ahead, 2 * MINUTE);
    let epoch = ailurus::channel::Epoch::of(ahead);
    let come = |now| {
        let lease = Channel::new(1).lease(epoch, desk.bench.node, client(2), EXPORTER);
        desk.register(client(2), now, vec![lease], None)
    };
    assert_eq!(come(ahead), Answer::NoLease(Reason::NoStrangers));
    desk.bench.service.trust_clock();
    assert_eq!(come(ahead), Answer::In(None));
}
