//! Push services and clients in virtual time.

use super::*;

const START: UnixMillis = UnixMillis::from_secs(1_700_000_000);

/// Clients that poll when they are told to, and services that answer at once.
struct World {
    pushes: Pushes,
    now: UnixMillis,
    sent: Vec<(UnixMillis, Pseudonym, Body)>,
}

impl World {
    fn new() -> Self {
        Self {
            pushes: Pushes::new(Rates::per_host(50)),
            now: START,
            sent: Vec::new(),
        }
    }

    fn want(&mut self, number: u32, host: &str) {
        let host = Host::named(host);
        assert!(self.pushes.wanted(&client(number), &host, self.now));
    }

    fn poll(&mut self, number: u32) {
        self.pushes.polled(&client(number), self.now);
    }

    /// Goes on for so long; each request is answered at once as `answer` says. Returns how many there were.
    fn run(&mut self, time: Duration, mut answer: impl FnMut(&Due) -> Outcome) -> usize {
        let end = self.now.after(time);
        let before = self.sent.len();
        loop {
            for due in self.pushes.due(self.now, |_| false) {
                self.sent.push((self.now, due.client, due.body));
                let outcome = answer(&due);
                self.pushes.done(&due, outcome, self.now);
            }
            let wait = self.pushes.wait(self.now).unwrap_or(Duration::MAX);
            if wait > end.since(self.now) {
                self.now = end;
                return self.sent.len() - before;
            }
            self.now = self.now.after(wait.max(Duration::from_millis(1)));
        }
    }

    fn delivered(&mut self, time: Duration) -> usize {
        self.run(time, |_| Outcome::Delivered)
    }
}

fn client(number: u32) -> Pseudonym {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Pseudonym::from_bytes(bytes)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn hours(hours: u64) -> Duration {
    seconds(hours * 3_600)
}

#[test]
fn one_wakeup_until_the_client_polls() {
    let mut world = World::new();
    for _ in 0..1_000 {
        world.want(1, "push.example");
        world.delivered(Duration::from_millis(10));
    }
    assert_eq!(world.delivered(seconds(600)), 0);
    assert_eq!(world.sent.len(), 1);
    assert!(world.sent[0].0.since(START) < seconds(1));

    world.poll(1);
    assert_eq!(world.delivered(seconds(600)), 0);
    world.want(1, "push.example");
    assert_eq!(world.delivered(seconds(1)), 1);
}

#[test]
fn whoever_polls_in_time_is_not_woken() {
    let mut world = World::new();
    world.want(1, "push.example");
    world.poll(1);
    assert_eq!(world.delivered(hours(1)), 0);
}

#[test]
fn a_lively_conversation_wakes_less_and_less_often() {
    let mut world = World::new();
    // A message a second for an hour, and a client that polls as soon as it is woken.
    for _ in 0..3_600 {
        world.want(1, "push.example");
        if world.delivered(seconds(1)) > 0 {
            world.poll(1);
        }
    }
    assert!((10..30).contains(&world.sent.len()), "{}", world.sent.len());
    // After a silence the next one comes at once.
    world.delivered(seconds(1_800));
    world.poll(1);
    world.delivered(seconds(1_800));
    let before = world.now;
    world.want(1, "push.example");
    assert_eq!(world.delivered(seconds(1)), 1);
    assert!(world.sent.last().expect("sent").0.since(before) < seconds(1));
}

#[test]
fn a_phone_that_is_off_is_woken_more_and_more_seldom() {
    let mut world = World::new();
    // A message every ten minutes for a week, and nobody polls.
    for _ in 0..7 * 144 {
        world.want(1, "push.example");
        world.delivered(seconds(600));
    }
    assert!((5..15).contains(&world.sent.len()), "{}", world.sent.len());
}

#[test]
fn ten_thousand_clients_of_one_service_are_a_stream_and_no_flood() {
    let mut world = World::new();
    for number in 0..10_000 {
        world.want(number, "push.example");
    }
    world.delivered(seconds(1));
    let first = world.sent.len();
    assert!((200..=301).contains(&first), "{first}");
    world.delivered(seconds(60));
    let later = world.sent.len() - first;
    assert!((2_900..=3_050).contains(&later), "{later}");
    // Others do not wait for it.
    world.want(10_001, "other.example");
    let before = world.now;
    world.delivered(seconds(1));
    let other = world.sent.iter().find(|(_, who, _)| *who == client(10_001));
    assert!(other.expect("woken").0.since(before) < seconds(1));
    world.delivered(seconds(300));
    assert_eq!(world.sent.len(), 10_001, "everybody was woken once");
}

#[test]
fn a_service_that_does_not_answer_holds_few_requests_and_nobody_else() {
    let mut world = World::new();
    for number in 0..1_000 {
        world.want(number, "slow.example");
        world.want(1_000 + number, "quick.example");
    }
    let mut stuck = Vec::new();
    for _ in 0..200 {
        world.now = world.now.after(Duration::from_millis(500));
        for due in world.pushes.due(world.now, |_| false) {
            if due.host == Host::named("slow.example") {
                stuck.push(due);
            } else {
                world.sent.push((world.now, due.client, due.body));
                world.pushes.done(&due, Outcome::Delivered, world.now);
            }
        }
    }
    assert_eq!(stuck.len(), 8);
    assert_eq!(world.sent.len(), 1_000);
}

#[test]
fn everything_at_once_is_bounded() {
    let mut world = World::new();
    for number in 0..1_000 {
        let host = Host::named(&format!("{number}.example"));
        assert!(world.pushes.may_challenge(&client(number), world.now));
        world.pushes.challenge(&client(number), &host, world.now);
    }
    assert_eq!(
        world.pushes.due(world.now, |_| false).len(),
        CHALLENGES_AT_ONCE
    );
    for number in 1_000..2_000 {
        world.want(number, &format!("{number}.example"));
    }
    world.now = world.now.after(seconds(1));
    let due = world.pushes.due(world.now, |_| false);
    assert_eq!(due.len(), AT_ONCE - CHALLENGES_AT_ONCE);
    assert!(due.iter().all(|due| due.body == Body::Wakeup));
}

#[test]
fn tables_are_capped() {
    let mut world = World::new();
    let host = Host::named("push.example");
    for number in 0..CLIENTS as u32 {
        assert!(world.pushes.wanted(&client(number), &host, world.now));
    }
    let late = client(CLIENTS as u32);
    assert!(!world.pushes.wanted(&late, &host, world.now));
    // Whoever is known goes on.
    assert!(world.pushes.wanted(&client(1), &host, world.now));
    // Once somebody was woken there is room for another one, and no more.
    assert!(world.delivered(seconds(1)) > 0);
    assert!(world.pushes.wanted(&late, &host, world.now));
    assert_eq!(world.pushes.clients.len(), CLIENTS);
}

#[test]
fn services_are_capped_and_forgotten() {
    let mut world = World::new();
    for number in 0..2 * SERVICES as u32 {
        world.want(number, &format!("{number}.example"));
    }
    world.delivered(seconds(10));
    assert!(world.pushes.services.len() <= SERVICES);
    world.delivered(hours(3));
    assert_eq!(world.sent.len(), 2 * SERVICES, "the others came later");
}

#[test]
fn challenges_are_few_for_each_service_and_client() {
    let mut world = World::new();
    let host = Host::named("victim.example");
    for number in 0..10_000 {
        assert!(world.pushes.may_challenge(&client(number), world.now));
        assert!(!world.pushes.may_challenge(&client(number), world.now));
        world.pushes.challenge(&client(number), &host, world.now);
    }
    let sent = world.delivered(seconds(60));
    assert!((300..=355).contains(&sent), "{sent}");
    // A wake-up does not wait behind them.
    world.want(20_000, "victim.example");
    world.delivered(seconds(1));
    assert!(world.sent.iter().any(|(_, who, _)| *who == client(20_000)));
    assert!(world.pushes.may_challenge(&client(1), world.now));
}

#[test]
fn a_failure_is_tried_again_later_and_later_and_then_given_up() {
    let mut world = World::new();
    world.want(1, "push.example");
    let sent = world.run(hours(5), |_| Outcome::Later(Duration::ZERO));
    assert_eq!(sent, TRIES as usize);
    let times: Vec<u64> = world
        .sent
        .windows(2)
        .map(|pair| pair[1].0.since(pair[0].0).as_secs())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(times[0] >= 10, "{times:?}");
}

#[test]
fn a_service_says_how_long_to_wait_and_is_believed_up_to_an_hour() {
    for (said, waited) in [(120, 120), (1_000_000, 3_600)] {
        let mut world = World::new();
        world.want(1, "push.example");
        let mut first = true;
        world.run(hours(2), |_| {
            if std::mem::take(&mut first) {
                Outcome::Later(seconds(said))
            } else {
                Outcome::Delivered
            }
        });
        let times: Vec<UnixMillis> = world.sent.iter().map(|(at, ..)| *at).collect();
        assert_eq!(times.len(), 2);
        assert_eq!(times[1].since(times[0]).as_secs(), waited);
    }
}

#[test]
fn a_service_that_fails_is_asked_one_at_a_time() {
    let mut world = World::new();
    for number in 0..1_000 {
        world.want(number, "push.example");
    }
    let failing = world.run(seconds(600), |_| Outcome::Later(Duration::ZERO));
    assert!(failing < 30, "{failing}");
    // It is there again: all are woken.
    world.run(hours(2), |_| Outcome::Delivered);
    let woken: BTreeSet<_> = world.sent.iter().map(|(_, who, _)| *who).collect();
    assert_eq!(woken.len(), 1_000);
}

#[test]
fn one_client_that_is_refused_does_not_hold_up_the_others() {
    let mut world = World::new();
    for number in 0..100 {
        world.want(number, "push.example");
    }
    world.run(seconds(10), |due| {
        if due.client == client(7) {
            Outcome::Later(seconds(3_600))
        } else {
            Outcome::Delivered
        }
    });
    assert_eq!(world.sent.len(), 100);
}

#[test]
fn what_is_gone_is_dropped_at_once_and_what_is_refused_after_some_time() {
    let mut pushes = Pushes::new(Rates::per_host(50));
    let host = Host::named("push.example");
    let mut now = START;
    let mut send = |pushes: &mut Pushes, outcome| {
        assert!(pushes.wanted(&client(1), &host, now));
        now = now.after(hours(30));
        let due = pushes.due(now, |_| false);
        let [due] = due.as_slice() else {
            panic!("one, not {due:?}");
        };
        pushes.done(due, outcome, now)
    };
    assert_eq!(send(&mut pushes, Outcome::Gone), Some(PushTrouble::Gone));
    for _ in 1..GIVEN_UP {
        assert_eq!(send(&mut pushes, Outcome::Refused), None);
    }
    assert_eq!(
        send(&mut pushes, Outcome::Refused),
        Some(PushTrouble::Refused)
    );
    assert_eq!(send(&mut pushes, Outcome::NotPublic), None);
    assert_eq!(send(&mut pushes, Outcome::Delivered), None);
}

#[test]
fn a_challenge_that_fails_ends_at_once() {
    for (outcome, trouble) in [
        (Outcome::Refused, PushTrouble::Refused),
        (Outcome::NotPublic, PushTrouble::NotPublic),
        (Outcome::Gone, PushTrouble::Gone),
    ] {
        let mut world = World::new();
        let host = Host::named("push.example");
        world.pushes.challenge(&client(1), &host, world.now);
        let due = world.pushes.due(world.now, |_| false);
        assert_eq!(
            world.pushes.done(&due[0], outcome, world.now),
            Some(trouble)
        );
        assert_eq!(world.delivered(hours(1)), 0);
    }
}

#[test]
fn what_was_withdrawn_is_not_sent_and_its_answer_changes_nothing() {
    let mut world = World::new();
    world.want(1, "push.example");
    world.pushes.withdrawn(&client(1));
    assert_eq!(world.delivered(hours(1)), 0);

    world.want(1, "push.example");
    world.now = world.now.after(seconds(1));
    let due = world.pushes.due(world.now, |_| false);
    world.pushes.withdrawn(&client(1));
    let host = Host::named("other.example");
    world.pushes.challenge(&client(1), &host, world.now);
    assert_eq!(world.pushes.done(&due[0], Outcome::Gone, world.now), None);
    assert_eq!(world.delivered(seconds(1)), 1);
    assert_eq!(world.sent[0].2, Body::Challenge);
}

#[test]
fn whoever_follows_is_woken_only_if_the_connection_was_lost() {
    for (lost, woken) in [(false, 0), (true, 1)] {
        let mut world = World::new();
        world.want(1, "push.example");
        world.now = world.now.after(seconds(1));
        assert!(world.pushes.due(world.now, |_| true).is_empty());
        world.now = world.now.after(seconds(30));
        world.pushes.left(&client(1), lost, world.now);
        assert_eq!(world.delivered(hours(1)), woken, "{lost}");
    }
    let mut world = World::new();
    world.want(1, "push.example");
    world.now = world.now.after(seconds(1));
    assert!(world.pushes.due(world.now, |_| true).is_empty());
    assert_eq!(world.delivered(hours(1)), 0);
    world.pushes.left(&client(1), true, world.now);
    assert_eq!(
        world.delivered(hours(1)),
        0,
        "it showed long ago that it stood"
    );
}

#[test]
fn what_comes_after_a_poll_amid_a_request_wakes_again() {
    let mut world = World::new();
    world.want(1, "push.example");
    world.now = world.now.after(seconds(1));
    let due = world.pushes.due(world.now, |_| false);
    // The service is slow to answer: the phone polled already, and then another message came.
    world.poll(1);
    world.want(1, "push.example");
    world.pushes.done(&due[0], Outcome::Delivered, world.now);
    assert_eq!(world.delivered(seconds(60)), 1);
}

#[test]
fn a_clock_that_is_set_changes_nothing_for_long() {
    let mut world = World::new();
    world.want(1, "push.example");
    assert_eq!(world.delivered(seconds(1)), 1);
    world.poll(1);
    world.now = world.now.before(hours(24 * 365));
    world.want(1, "push.example");
    assert_eq!(world.delivered(seconds(10)), 1);
    world.poll(1);
    world.now = world.now.after(hours(24));
    world.want(1, "push.example");
    assert_eq!(world.delivered(seconds(10)), 1);
}

#[test]
fn networks_are_limited_too_as_names_lead_anywhere() {
    let mut world = World::new();
    let network = |ip: &str| Network::of(ip.parse().expect("an address")).expect("a network");
    let here = network("198.51.100.1");
    let granted = (0..1_000)
        .filter(|_| world.pushes.may_connect(here, world.now).is_ok())
        .count();
    assert_eq!(granted, 500);
    let wait = world.pushes.may_connect(here, world.now);
    assert!(wait.expect_err("used up") <= Duration::from_millis(20));
    assert!(
        world
            .pushes
            .may_connect(network("203.0.113.1"), world.now)
            .is_ok()
    );
    // Waiting for that is no failure.
    world.want(1, "push.example");
    let mut waits = 20;
    world.run(seconds(60), |_| {
        waits -= 1;
        if waits > 0 {
            Outcome::Wait(Duration::from_millis(20))
        } else {
            Outcome::Delivered
        }
    });
    assert_eq!(world.sent.len(), 20);
}
