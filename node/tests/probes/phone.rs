//! What a phone makes of answers, over days of virtual time.

use std::net::{IpAddr, Ipv4Addr};

use ailurus::{
    channel::Standing,
    client::engine::Asking,
    wire::{probe::Datagram, time::UnixMillis},
};

use crate::virtual_world::{DAY, HOUR, Node, Phone, received};

const START: UnixMillis = UnixMillis::from_secs(1_700_000_000);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn ask(phone: &mut Phone, now: UnixMillis) -> Option<Asking> {
    phone.engine.ask(now).expect("a profile")
}

/// Asks by datagram; `None` if it takes a connection.
fn probe(phone: &mut Phone, node: &Node, now: UnixMillis) -> Option<Standing> {
    let asking = ask(phone, now)?;
    let answer = node.service.answer_probe(HERE, now, &asking.question);
    Some(take_in(phone, &asking, &answer.expect("an answer"), now))
}

fn take_in(phone: &mut Phone, asking: &Asking, answer: &Datagram, now: UnixMillis) -> Standing {
    let opened = asking.open(answer).expect("to this question");
    phone
        .engine
        .answered(asking, &opened, now)
        .expect("taken in");
    opened.0
}

/// Alice and Bob in a channel, with nothing left to do.
fn settled() -> (Node, Phone, Phone, ailurus::channel::ChannelId) {
    let node = Node::new();
    let ([mut alice, mut bob], channel) = node.family(["Alice", "Bob"], START);
    for _ in 0..2 {
        alice.poll(&node, START, START);
        bob.poll(&node, START, START);
    }
    (node, alice, bob, channel)
}

#[test]
fn a_connection_is_made_for_news_and_every_six_hours() {
    let (node, mut alice, mut bob, channel) = settled();
    let mut now = START;
    let (mut full, mut asked) = (0, 0);
    // Every half hour for a day; a message at noon.
    for half_hour in 1..=48_u64 {
        now = now.after(HOUR / 2);
        if half_hour == 24 {
            alice.engine.send(&channel, "lunch", now).expect("queued");
            assert!(
                ask(&mut alice, now).is_none(),
                "the outbox takes a connection"
            );
            alice.poll(&node, now, now);
        }
        if half_hour == 26 {
            // Her own message is nothing new to her.
            assert_eq!(probe(&mut alice, &node, now), Some(Standing::Nothing));
        }
        match probe(&mut bob, &node, now) {
            Some(Standing::Nothing) => asked += 1,
            Some(standing) => {
                assert_eq!((standing, half_hour), (Standing::News, 24));
                let changes = bob.poll(&node, now, now);
                assert_eq!(received(&changes)[0].text, "lunch");
                full += 1;
            }
            None => {
                bob.poll(&node, now, now);
                full += 1;
            }
        }
    }
    // Four by time, one for the message; announcements at 20 hours fall together with one or come besides.
    assert!((4..=6).contains(&full), "{full} connections");
    assert_eq!(full + asked, 48);
}

#[test]
fn a_lost_answer_uses_a_ticket_twice_and_no_more() {
    let (node, _alice, mut bob, _channel) = settled();
    let now = START.after(HOUR);
    let mut asking = ask(&mut bob, now).expect("a ticket");
    let first = asking.question;
    assert!(bob.engine.ask_again(&mut asking, now).expect("a profile"));
    assert_ne!(first, asking.question, "under another nonce");
    // The ticket is the same.
    assert_eq!(first[..61], asking.question[..61]);
    assert!(!bob.engine.ask_again(&mut asking, now).expect("a profile"));
    // The answer to the first may come late.
    let answer = node.service.answer_probe(HERE, now, &first);
    assert_eq!(
        take_in(&mut bob, &asking, &answer.expect("an answer"), now),
        Standing::Nothing
    );

    // A process that dies after it asked: the ticket may be sent once more, then none is left.
    let mut sent = Vec::new();
    while let Some(asking) = ask(&mut bob, now) {
        sent.push(asking.question[..61].to_vec());
    }
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0], sent[1]);
    bob.poll(&node, now, now);
    assert_eq!(probe(&mut bob, &node, now), Some(Standing::Nothing));
}

#[test]
fn tickets_go_with_the_place_they_belong_to() {
    let (node, mut alice, mut bob, channel) = settled();
    let now = START.after(HOUR);
    alice.engine.send(&channel, "hello", now).expect("queued");
    alice.poll(&node, now, now);
    // A live connection brings a position, and ends without tickets.
    bob.poll(&node, now, now);
    let cursor = bob.engine.nodes().expect("nodes")[0].cursor.clone();
    let key = bob.node;
    assert!(ask(&mut bob, now).is_some());
    bob.engine
        .ingest(&key, &[], Some(&cursor), now)
        .expect("taken in");
    assert!(ask(&mut bob, now).is_none());
}

#[test]
fn a_node_that_always_says_yes_is_not_asked_for_a_day() {
    let (node, mut alice, mut bob, channel) = settled();
    let key = bob.node;
    let reliability = |phone: &mut Phone| {
        let nodes = phone.engine.nodes().expect("nodes");
        nodes[0].state.as_ref().expect("known").reliability
    };
    let mut now = START;
    let mut lies = 0;
    let mut before = 1_000;
    for _ in 0..10 {
        now = now.after(HOUR / 4);
        before = reliability(&mut bob);
        let Some(asking) = ask(&mut bob, now) else {
            break;
        };
        let answer = node.service.answer_probe(HERE, now, &asking.question);
        let (_, next) = asking
            .open(&answer.expect("an answer"))
            .expect("to this question");
        bob.engine
            .answered(&asking, &(Standing::News, next), now)
            .expect("taken in");
        lies += 1;
        assert!(received(&bob.poll(&node, now, now)).is_empty());
    }
    assert_eq!(lies, 3);
    assert!(reliability(&mut bob) < before, "it counts against the node");
    // For a day no datagram is spent on it, whatever it says meanwhile.
    let until = now.after(DAY);
    while now.after(HOUR) < until {
        now = now.after(HOUR);
        assert!(ask(&mut bob, now).is_none());
        bob.poll(&node, now, now);
    }
    now = until;
    bob.poll(&node, now, now);
    assert!(ask(&mut bob, now).is_some());

    // What is true is forgotten by it: two lies, then a message.
    for _ in 0..3 {
        for _ in 0..2 {
            now = now.after(HOUR / 4);
            let Some(asking) = ask(&mut bob, now) else {
                bob.poll(&node, now, now);
                continue;
            };
            let answer = node.service.answer_probe(HERE, now, &asking.question);
            let (_, next) = asking.open(&answer.expect("an answer")).expect("opens");
            bob.engine
                .answered(&asking, &(Standing::News, next), now)
                .expect("taken in");
            bob.poll(&node, now, now);
        }
        alice.engine.send(&channel, "really", now).expect("queued");
        alice.poll(&node, now, now);
        bob.poll(&node, now, now);
        let nodes = bob.engine.nodes().expect("nodes");
        let stored = nodes.iter().find(|node| *node.link.key() == key);
        assert_eq!(
            stored
                .and_then(|node| node.state.as_ref())
                .map(|state| state.unproven),
            Some(0)
        );
    }
}

#[test]
fn a_node_that_never_answers_by_datagram_is_polled() {
    let (node, _alice, mut bob, _channel) = settled();
    let mut now = START;
    let mut asked = 0;
    for _ in 0..20 {
        now = now.after(HOUR / 4);
        if let Some(mut asking) = ask(&mut bob, now) {
            bob.engine.ask_again(&mut asking, now).expect("a profile");
            bob.engine.unanswered(&asking, now).expect("a profile");
            asked += 1;
        }
        bob.poll(&node, now, now);
    }
    assert_eq!(asked, 3);
}

#[test]
fn by_a_wrong_clock_nobody_relies_on_tickets() {
    let (node, _alice, mut bob, _channel) = settled();
    // Suspended for three days, or the clock was put forward.
    assert!(ask(&mut bob, START.after(3 * DAY)).is_none());
    assert!(ask(&mut bob, START.after(DAY)).is_none());
    // Set back a year: nobody knows when the last sync was.
    let past = START.before(365 * DAY);
    assert!(ask(&mut bob, past).is_none());
    bob.poll(&node, past, START);
    assert!(ask(&mut bob, past).is_some(), "it was synced with now");
    assert!(ask(&mut bob, past.after(7 * HOUR)).is_none());
}

#[test]
fn nothing_in_two_polls_is_the_same() {
    let (node, _alice, mut bob, _channel) = settled();
    let mut seen: Vec<Datagram> = Vec::new();
    for minute in 0..60 {
        let now = START.after(HOUR / 60 * minute);
        let asking = ask(&mut bob, now).expect("a ticket");
        let answer = node.service.answer_probe(HERE, now, &asking.question);
        let answer = answer.expect("an answer");
        take_in(&mut bob, &asking, &answer, now);
        seen.extend([asking.question, answer]);
    }
    // No eight bytes in a row stand twice, wherever; random ones do so once in 2^50 such runs.
    let mut runs = std::collections::HashSet::new();
    for datagram in &seen {
        for run in datagram.windows(8) {
            assert!(runs.insert(run.to_vec()));
        }
    }
    // And the first byte says only what a datagram is.
    let firsts: std::collections::HashSet<u8> = seen.iter().map(|datagram| datagram[0]).collect();
    assert_eq!(firsts.len(), 2);
}
