//! A chain goes from the operator from hand to hand, and nobody but those in it has to do anything.

use ailurus::{
    channel::AccessKind,
    client::Error,
    crypto::HolderSecret,
    store::Page,
    wire::{
        limits::MAX_HOPS,
        node::{Reason, Registered, request::Kind},
        time::UnixMillis,
    },
};

use crate::world::{
    EXPORTER, NOW, Phone, Writer, days, exchange, hops, hours, invitation, meet, node, node_link,
    own_hint, queued, shown,
};

#[test]
fn a_chain_passes_from_the_operator_to_alice_bob_and_carol() {
    let mut alice = Phone::new("Alice");
    let mut bob = Phone::new("Bob");
    let mut carol = Phone::new("Carol");
    let family = meet(&mut alice, &mut bob, "family");
    let friends = meet(&mut bob, &mut carol, "friends");
    assert!(alice.hop_count(NOW).is_stranger());

    alice.engine.add_invitation(&invitation(1), NOW).unwrap();
    assert_eq!(alice.hop_count(NOW), hops(1));
    alice.engine.introduce(&family, NOW).unwrap();
    exchange(&mut alice, &mut bob, NOW);
    assert_eq!(bob.hop_count(NOW), hops(2));
    // Carol is in no channel where Alice introduces, so she gets hers from Bob.
    exchange(&mut bob, &mut carol, NOW);
    assert!(carol.hop_count(NOW).is_stranger());
    bob.engine.introduce(&friends, NOW).unwrap();
    exchange(&mut bob, &mut carol, NOW);
    assert_eq!(carol.hop_count(NOW), hops(3));

    // Each lies in the tree below the one before, and the node counts them so.
    let chains = [&mut alice, &mut bob, &mut carol].map(|phone| phone.introduction().unwrap());
    for pair in chains.windows(2) {
        assert!(pair[1].chain().starts_with(&pair[0].chain()));
        assert_ne!(pair[0].holder(), pair[1].holder());
    }
    for (phone, chain) in [&mut alice, &mut bob, &mut carol].into_iter().zip(&chains) {
        assert_eq!(chain.verify(&node(), NOW), Ok(()));
        let requests = phone.register(NOW);
        assert_eq!(shown(&requests[0]).as_ref(), Some(chain));
    }
    // None of it is shown as a message.
    for (phone, channel) in [(&mut alice, family), (&mut bob, friends)] {
        assert!(
            phone
                .engine
                .messages(&channel, Page::Latest, 10)
                .unwrap()
                .is_empty()
        );
    }
}

#[test]
fn a_seventh_hop_is_refused() {
    let mut people: Vec<Phone> = (1..=MAX_HOPS + 1)
        .map(|number| Phone::new(&format!("Person {number}")))
        .collect();
    people[0]
        .engine
        .add_invitation(&invitation(1), NOW)
        .unwrap();
    for number in 0..MAX_HOPS {
        let [one, two] = people.get_disjoint_mut([number, number + 1]).unwrap();
        let channel = meet(one, two, &format!("pair {number}"));
        assert_eq!(one.hop_count(NOW), hops(number + 1));
        let introduced = one.engine.introduce(&channel, NOW);
        if number + 1 == MAX_HOPS {
            assert!(matches!(introduced, Err(Error::NoIntroduction)));
            assert!(two.hop_count(NOW).is_stranger());
            return;
        }
        introduced.unwrap();
        exchange(one, two, NOW);
    }
    panic!("there are six hops");
}

#[test]
fn only_who_holds_an_introduction_introduces() {
    let mut alice = Phone::new("Alice");
    let mut bob = Phone::new("Bob");
    let family = meet(&mut alice, &mut bob, "family");
    let refused = alice.engine.introduce(&family, NOW);
    assert!(matches!(refused, Err(Error::NoIntroduction)));
    // Nor by one whose time is over.
    alice.engine.add_invitation(&invitation(1), NOW).unwrap();
    let refused = alice.engine.introduce(&family, days(91));
    assert!(matches!(refused, Err(Error::NoIntroduction)));
    assert!(alice.hop_count(days(91)).is_stranger());
    let refused = bob.engine.add_invitation(&invitation(2), days(91));
    assert!(matches!(refused, Err(Error::Introduction(_))));
}

#[test]
fn who_only_reads_or_only_writes_neither_asks_nor_introduces() {
    for kind in [AccessKind::Read, AccessKind::Write] {
        let mut alice = Phone::new("Alice");
        let mut bob = Phone::new("Bob");
        let family = alice.engine.create_channel("family", NOW).unwrap();
        let link = alice.link(&family, kind);
        bob.engine.join(&link, None, NOW).unwrap();
        // Somebody has to be there who reads.
        let mut carol = Phone::new("Carol");
        let link = alice.link(&family, AccessKind::Full);
        carol.engine.join(&link, None, NOW).unwrap();
        exchange(&mut carol, &mut alice, NOW);
        alice.engine.add_invitation(&invitation(1), NOW).unwrap();
        alice.engine.introduce(&family, NOW).unwrap();
        exchange(&mut alice, &mut bob, NOW);
        assert!(bob.hop_count(NOW).is_stranger());
        bob.engine.add_invitation(&invitation(2), NOW).unwrap();
        let refused = bob.engine.introduce(&family, NOW);
        assert!(matches!(refused, Err(Error::NotAllowed(found)) if found == kind));
    }
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let mut alice = Phone::new("Alice");
    let mut bob = Phone::new("Bob");
    let family = meet(&mut alice, &mut bob, "family");
    alice.engine.add_invitation(&invitation(1), NOW).unwrap();
    alice.engine.introduce(&family, NOW).unwrap();
    bob.take(&alice.publish(NOW), NOW);
    let request = |phone: &mut Phone| {
        queued(phone, |content| content.introduction_request.clone())
            .pop()
            .map(|request| request.key)
    };
    let key = request(&mut bob).expect("Bob asks");
    bob.publish(NOW);
    // Nothing came of it, and for three days nothing more is said.
    for now in [hours(1), days(2)] {
        bob.hear(0, now);
        bob.settle(now);
        assert_eq!(bob.waiting(), 0);
    }
    bob.hear(0, days(3));
    bob.settle(days(3));
    assert_eq!(request(&mut bob), Some(key.clone()));
    exchange(&mut bob, &mut alice, days(3));
    assert_eq!(bob.hop_count(days(3)), hops(2));
    assert_eq!(bob.introduction().unwrap().holder().as_bytes(), &key[..]);
    // And then there is nothing to ask for, until the introduction nears its end; then with another key.
    for now in [days(7), days(60)] {
        bob.hear(0, now);
        bob.settle(now);
        assert_eq!(
            queued(&mut bob, |content| content.introduction_request.clone()),
            []
        );
    }
    bob.hear(0, days(80));
    bob.settle(days(80));
    let again = request(&mut bob).expect("Bob asks anew");
    assert_ne!(again, key);
}

#[test]
fn an_author_gets_one_introduction_of_a_chain() {
    let mut alice = Phone::new("Alice");
    let mut bob = Phone::new("Bob");
    let family = meet(&mut alice, &mut bob, "family");
    alice.engine.add_invitation(&invitation(1), NOW).unwrap();
    alice.engine.introduce(&family, NOW).unwrap();
    alice.publish(NOW);
    let alice_hint = own_hint(&mut alice, &family);
    let mut mallory = Writer::new(alice.link(&family, AccessKind::Full), 6);
    let mut ask = |alice: &mut Phone, key: u8, now: UnixMillis| {
        let request = ailurus::wire::content::IntroductionRequest {
            author: alice_hint.as_bytes().to_vec().into(),
            node: node().as_bytes().to_vec().into(),
            key: HolderSecret::from_bytes([key; 32])
                .public()
                .as_bytes()
                .to_vec()
                .into(),
        };
        let content = ailurus::wire::content::Content {
            introduction_request: Some(request),
            ..Default::default()
        };
        let batch = mallory.says(content, now);
        alice.take(&[batch], now);
        let granted = queued(alice, |content| content.introduction_grant.clone()).len();
        alice.publish(now);
        granted
    };
    assert_eq!(ask(&mut alice, 1, NOW), 1);
    assert_eq!(ask(&mut alice, 2, NOW), 0, "another key");
    assert_eq!(ask(&mut alice, 1, NOW), 0, "too soon");
    assert_eq!(ask(&mut alice, 2, days(2)), 0, "another key, later");
    assert_eq!(
        ask(&mut alice, 1, days(2)),
        1,
        "the same, as if it was lost"
    );
    // With a new invitation everybody may ask anew.
    let newer = {
        let mut entropy = ailurus::crypto::SeededEntropy::from_u64(2);
        let expiry = days(92).as_secs();
        ailurus::channel::Invitation::mint(
            &crate::world::operator(),
            &node_link(),
            expiry,
            &mut entropy,
        )
    };
    alice.engine.add_invitation(&newer, days(2)).unwrap();
    assert_eq!(ask(&mut alice, 2, days(2)), 1);
}

#[test]
fn whoever_asks_under_many_names_uses_up_only_so_much() {
    let mut alice = Phone::new("Alice");
    let mut bob = Phone::new("Bob");
    let family = meet(&mut alice, &mut bob, "family");
    alice.engine.add_invitation(&invitation(1), NOW).unwrap();
    alice.engine.introduce(&family, NOW).unwrap();
    let hint = own_hint(&mut alice, &family);
    let link = alice
        .engine
        .link(&family, AccessKind::Full, true, NOW)
        .unwrap();
    for number in 1..=40 {
        let mut mallory = Writer::new(link.parse().unwrap(), number);
        let content = ailurus::wire::content::Content {
            introduction_request: Some(ailurus::wire::content::IntroductionRequest {
                author: hint.as_bytes().to_vec().into(),
                node: node().as_bytes().to_vec().into(),
                key: vec![number; 32].into(),
            }),
            ..Default::default()
        };
        alice.take(&[mallory.says(content, NOW)], NOW);
    }
    assert_eq!(
        queued(&mut alice, |content| content.introduction_grant.clone()).len(),
        32
    );
}

#[test]
fn a_node_is_shown_an_introduction_until_it_counts_us() {
    let mut alice = Phone::new("Alice");
    alice.engine.create_channel("family", NOW).unwrap();
    // As a stranger first.
    let requests = alice.register(NOW);
    assert_eq!(requests.len(), 1);
    assert_eq!(shown(&requests[0]), None);
    assert!(!alice.engine.work(&node(), NOW).unwrap().leases);
    // Then nearer, although no lease is due.
    alice.engine.add_invitation(&invitation(1), NOW).unwrap();
    assert!(alice.engine.work(&node(), NOW).unwrap().leases);
    let requests = alice.register(NOW);
    assert_eq!(requests.len(), 1);
    assert!(shown(&requests[0]).is_some());
    let Some(Kind::Register(register)) = &requests[0].kind else {
        panic!("a registration registers");
    };
    assert!(register.leases.is_empty());
    let proof = register.introduction.as_ref().unwrap();
    let pseudonym = alice.engine.nodes().unwrap()[0].pseudonym.public();
    let signature: [u8; 64] = proof.proof.as_ref().try_into().unwrap();
    let chain = shown(&requests[0]).unwrap();
    assert_eq!(chain.check_proof(&signature, &EXPORTER, &pseudonym), Ok(()));
    // Counted, so not again; but after the node lost the leases.
    assert!(!alice.engine.work(&node(), NOW).unwrap().leases);
    assert!(alice.register(NOW).is_empty());
    alice.hear(0, NOW);
    let requests = alice.register(NOW);
    assert!(shown(&requests[0]).is_some());
}

#[test]
fn a_refused_introduction_does_not_keep_us_out() {
    for (reason, kept) in [
        (Reason::Revoked, false),
        (Reason::IntroductionExpired, false),
        (Reason::SubtreeFull, true),
        (Reason::BadIntroduction, true),
    ] {
        let mut alice = Phone::new("Alice");
        alice.engine.create_channel("family", NOW).unwrap();
        alice.engine.add_invitation(&invitation(1), NOW).unwrap();
        let refused = alice.engine.register(&node(), &EXPORTER, NOW).unwrap();
        alice
            .engine
            .registration_refused(&node(), &refused[0], reason)
            .unwrap();
        assert_eq!(alice.introduction().is_some(), kept, "{reason:?}");
        // The next try is a stranger's.
        let again = alice.engine.register(&node(), &EXPORTER, NOW).unwrap();
        assert_eq!(shown(&again[0].request), None);
        alice
            .engine
            .registered(&node(), &again[0], &Registered::default(), NOW)
            .unwrap();
        assert!(!alice.engine.work(&node(), NOW).unwrap().leases);
        // A day later it may be welcome.
        assert_eq!(alice.engine.work(&node(), days(1)).unwrap().leases, kept);
    }
}
