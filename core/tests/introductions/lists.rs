//! Node lists: said when members could not know, and not otherwise.

use ailurus::{
    channel::{AccessKind, HopCount},
    client::engine::{Candidate, Origin},
    wire::content::Content,
};

use crate::world::{
    NOW, Phone, days, exchange, hops, hours, invitation, meet, node_link, other_link, queued,
};

fn lists(phone: &mut Phone) -> Vec<Vec<(String, Option<u32>, bool)>> {
    queued(phone, |content: &Content| content.nodes.clone())
        .into_iter()
        .map(|list| {
            let listed = list.nodes.into_iter();
            let mut listed: Vec<_> = listed
                .map(|node| (node.node.unwrap().host, node.hop_count, node.introduces))
                .collect();
            listed.sort();
            listed
        })
        .collect()
}

#[test]
fn a_chat_with_the_nodes_of_its_link_costs_no_list() {
    let mut alice = Phone::with("Alice", &[node_link(), other_link(1)]);
    let mut bob = Phone::with("Bob", &[]);
    meet(&mut alice, &mut bob, "family");
    for now in [NOW, hours(1), days(2)] {
        for phone in [&mut alice, &mut bob] {
            phone.hear(0, now);
            phone.settle(now);
            assert_eq!(phone.waiting(), 0);
        }
    }
}

#[test]
fn nodes_that_others_could_not_know_are_told_once() {
    let mut alice = Phone::new("Alice");
    let mut bob = Phone::with("Bob", &[node_link(), other_link(1), other_link(2)]);
    meet(&mut alice, &mut bob, "family");
    for phone in [&mut alice, &mut bob] {
        phone.hear(0, NOW);
        phone.settle(NOW);
    }
    assert_eq!(alice.waiting(), 0);
    let told = lists(&mut bob);
    let expected = ["node.example", "node1.example", "node2.example"]
        .map(|host| (host.to_owned(), None, false));
    assert_eq!(told, [expected.to_vec()]);
    exchange(&mut bob, &mut alice, NOW);
    let candidates: Vec<_> = alice
        .engine
        .candidates(NOW)
        .unwrap()
        .into_iter()
        .map(|candidate| (candidate.link, candidate.origin))
        .collect();
    assert_eq!(candidates.len(), 3);
    assert!(candidates.contains(&(node_link(), Origin::Link)));
    assert!(candidates.contains(&(other_link(1), Origin::Member)));
    bob.settle(hours(5));
    assert_eq!(bob.waiting(), 0, "told already");
    // A node that another member named needs no second word.
    alice.engine.add_node(&other_link(1), hours(5)).unwrap();
    alice.settle(hours(5));
    assert_eq!(alice.waiting(), 0);
    // Another one is news, though not at once.
    bob.engine.add_node(&other_link(3), hours(5)).unwrap();
    bob.settle(hours(5));
    assert_eq!(lists(&mut bob).len(), 1);
    bob.publish(hours(5));
    bob.engine.add_node(&other_link(4), hours(5)).unwrap();
    bob.settle(hours(5));
    assert_eq!(lists(&mut bob).len(), 0);
    bob.settle(hours(6));
    assert_eq!(lists(&mut bob)[0].len(), 5);
}

#[test]
fn nobody_is_told_before_somebody_is_there() {
    let mut alice = Phone::new("Alice");
    let family = alice.engine.create_channel("family", NOW).unwrap();
    alice.publish(NOW);
    alice.engine.add_invitation(&invitation(1), NOW).unwrap();
    alice.engine.introduce(&family, NOW).unwrap();
    assert_eq!(alice.waiting(), 0);
    // Who joins hears of it.
    let mut bob = Phone::new("Bob");
    let link = alice.link(&family, AccessKind::Full);
    bob.engine.join(&link, None, NOW).unwrap();
    exchange(&mut bob, &mut alice, NOW);
    alice.hear(0, NOW);
    alice.settle(NOW);
    assert_eq!(
        lists(&mut alice),
        [[("node.example".to_owned(), Some(1), true)]]
    );
    exchange(&mut alice, &mut bob, NOW);
    assert_eq!(bob.hop_count(NOW), hops(2));
    // So does who joins later, a day after the last time.
    let mut carol = Phone::new("Carol");
    carol.engine.join(&link, None, hours(2)).unwrap();
    exchange(&mut carol, &mut alice, hours(2));
    alice.settle(hours(3));
    assert_eq!(lists(&mut alice).len(), 0);
    alice.settle(hours(25));
    assert_eq!(lists(&mut alice).len(), 1);
    exchange(&mut alice, &mut carol, hours(25));
    assert_eq!(carol.hop_count(hours(25)), hops(2));
    alice.settle(days(4));
    assert_eq!(lists(&mut alice).len(), 0);
}

#[test]
fn candidates_come_from_invitations_links_and_members_in_this_order() {
    let mut alice = Phone::with("Alice", &[node_link(), other_link(1)]);
    let mut bob = Phone::with("Bob", &[other_link(2), node_link()]);
    meet(&mut alice, &mut bob, "family");
    bob.engine.add_invitation(&invitation(1), NOW).unwrap();
    let found = bob.engine.candidates(NOW).unwrap();
    assert_eq!(
        found[0],
        Candidate {
            link: node_link(),
            origin: Origin::Invitation,
            hop_count: hops(1),
        }
    );
    assert_eq!(found[1].link, other_link(1));
    assert_eq!(found[1].hop_count, HopCount::STRANGER);
    assert_eq!(found.len(), 2);
}
