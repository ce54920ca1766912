//! Introductions: what is refused, what counts, quotas and revocations of subtrees.

use ailurus::{
    channel::Introduction,
    crypto::NodeSecret,
    wire::node::{IntroductionProof, Reason},
};
use ailurus_node::Limits;

use crate::{
    common::*,
    people::{
        Answer, Desk, client, expiry, holder, introduction, introduction_until, operator, proof,
    },
};

#[test]
fn an_introduction_counts_its_hops_and_without_one_everybody_is_a_stranger() {
    let desk = Desk::new(Limits::default());
    assert_eq!(desk.come(client(1), NOW, None), Answer::In(None));
    assert_eq!(desk.come_from(client(2), NOW, &[1]), Answer::In(Some(1)));
    let farthest = [1, 2, 3, 4, 5, 6];
    assert_eq!(
        desk.come_from(client(3), NOW, &farthest),
        Answer::In(Some(6))
    );
    assert_eq!(desk.number("SELECT count(*) FROM chains"), 7);
    assert!(desk.metric("ailurus_node_registrations 3"));
    assert!(desk.metric("ailurus_node_strangers 1"));
}

#[test]
fn a_hop_count_stays_and_only_improves() {
    let desk = Desk::new(Limits::default());
    let who = client(1);
    assert_eq!(desk.come(who, NOW, None), Answer::In(None));
    assert_eq!(desk.come_from(who, NOW, &[1, 1, 1]), Answer::In(Some(3)));
    assert_eq!(desk.come(who, NOW, None), Answer::In(Some(3)));
    assert_eq!(desk.come_from(who, NOW, &[1, 2, 1, 1]), Answer::In(Some(3)));
    assert_eq!(desk.come_from(who, NOW, &[2, 1]), Answer::In(Some(2)));
    // Without leases too.
    assert_eq!(
        desk.register(who, NOW, Vec::new(), Some(proof(&[3], who))),
        Answer::In(Some(1))
    );
    assert_eq!(desk.number("SELECT count(*) FROM chains"), 1);
    assert!(desk.metric("ailurus_node_strangers 0"));
    // Who has no lease gets no registration for an introduction alone.
    let other = client(2);
    assert_eq!(
        desk.register(other, NOW, Vec::new(), Some(proof(&[4], other))),
        Answer::In(None)
    );
    assert_eq!(desk.number("SELECT count(*) FROM registrations"), 1);
}

#[test]
fn as_near_for_longer_replaces() {
    let desk = Desk::new(Limits::default());
    let who = client(1);
    let until = |path: &[u8], expiry| {
        introduction_until(path, expiry)
            .prove(&holder(path), &EXPORTER, &who)
            .expect("held")
    };
    let ends = || desk.number("SELECT introduction_end_s FROM registrations");
    desk.come(who, NOW, Some(until(&[1], expiry())));
    desk.come(who, NOW, Some(until(&[2], expiry() - 1)));
    assert_eq!(ends(), expiry());
    desk.come(who, NOW, Some(until(&[2], expiry() + 1)));
    assert_eq!(ends(), expiry() + 1);
}

#[test]
fn forged_shortened_replayed_and_stolen_introductions_are_refused() {
    let desk = Desk::new(Limits::default());
    let who = client(1);
    let come = |proof| desk.come(who, NOW, Some(proof));
    let bad = Answer::Refused(Reason::BadIntroduction);
    let good = || proof(&[1, 2, 3], who);
    let change = |change: &dyn Fn(&mut ailurus::wire::node::Introduction)| {
        let mut proof = good();
        change(proof.introduction.as_mut().expect("there"));
        proof
    };

    // Any bit of any hop.
    for hop in 0..3 {
        let forged = change(&|chain| {
            let mut signature = chain.hops[hop].signature.to_vec();
            signature[7] ^= 1;
            chain.hops[hop].signature = signature.into();
        });
        assert_eq!(come(forged), bad, "{hop}");
        assert_eq!(come(change(&|chain| chain.hops[hop].expiry -= 1)), bad);
    }
    // Nearer than it is.
    assert_eq!(come(change(&|chain| drop(chain.hops.remove(1)))), bad);
    assert_eq!(come(change(&|chain| drop(chain.hops.remove(0)))), bad);
    assert_eq!(come(change(&|chain| chain.hops.truncate(2))), bad);
    assert_eq!(come(change(&|chain| chain.hops.clear())), bad);
    // From somebody who has it, but not its last key.
    let stolen = IntroductionProof {
        introduction: Some(introduction(&[1, 2, 3]).to_wire()),
        proof: holder(&[1, 2]).sign(b"mine").to_vec().into(),
    };
    assert_eq!(come(stolen), bad);
    // Taken from another connection, or from another client's.
    let replayed = introduction(&[1, 2, 3])
        .prove(&holder(&[1, 2, 3]), &[1; 32], &who)
        .expect("held");
    assert_eq!(come(replayed), bad);
    assert_eq!(come(proof(&[1, 2, 3], client(2))), bad);
    // For another node, and by who is no node.
    let other = NodeSecret::from_bytes([6; 32]);
    let elsewhere = Introduction::mint(&other, &holder(&[1]).public(), expiry());
    let elsewhere = elsewhere
        .prove(&holder(&[1]), &EXPORTER, &who)
        .expect("held");
    assert_eq!(come(elsewhere.clone()), bad);
    let mut relabelled = elsewhere;
    let node = operator().public();
    relabelled.introduction.as_mut().expect("there").node = node.as_bytes().to_vec().into();
    assert_eq!(come(relabelled), bad);
    // No introduction at all.
    let mut short = good();
    short.proof.truncate(63);
    assert_eq!(come(short), Answer::Refused(Reason::Malformed));
    let mut empty = good();
    empty.introduction = None;
    assert_eq!(come(empty), Answer::Refused(Reason::Malformed));

    // Nothing of this registered anybody; the same client may come as a stranger, or with what is good.
    assert_eq!(desk.number("SELECT count(*) FROM registrations"), 0);
    assert_eq!(desk.come(who, NOW, None), Answer::In(None));
    assert_eq!(come(good()), Answer::In(Some(3)));
}

#[test]
fn an_introduction_has_its_time() {
    let desk = Desk::new(Limits::default());
    let who = client(1);
    let until = |expiry| {
        introduction_until(&[1], expiry)
            .prove(&holder(&[1]), &EXPORTER, &who)
            .expect("held")
    };
    let over = Answer::Refused(Reason::IntroductionExpired);
    assert_eq!(desk.come(who, NOW, Some(until(NOW.as_secs()))), over);
    let too_long = until(NOW.after(92 * DAY).as_secs());
    assert_eq!(
        desk.come(who, NOW, Some(too_long)),
        Answer::Refused(Reason::BadIntroduction)
    );
    assert_eq!(
        desk.come(who, NOW, Some(until(NOW.as_secs() + 1))),
        Answer::In(Some(1))
    );
}

#[test]
fn one_client_at_a_time_uses_a_holders_key() {
    let desk = Desk::new(Limits::default());
    assert_eq!(desk.come_from(client(1), NOW, &[1]), Answer::In(Some(1)));
    let taken = Answer::Refused(Reason::BadIntroduction);
    assert_eq!(desk.come_from(client(2), NOW, &[1]), taken);
    assert_eq!(desk.come_from(client(1), NOW, &[1]), Answer::In(Some(1)));
    // The same key in another chain is the same holder.
    let again = introduction_until(&[1], expiry() - 5)
        .prove(&holder(&[1]), &EXPORTER, &client(2))
        .expect("held");
    assert_eq!(desk.come(client(2), NOW, Some(again)), taken);
    desk.bench
        .ask(client(1), NOW, release(&[Channel::new(1).address(NOW)]));
    assert_eq!(desk.number("SELECT count(*) FROM chains"), 0);
    assert_eq!(desk.come_from(client(2), NOW, &[1]), Answer::In(Some(1)));
}

#[test]
fn a_subtree_has_a_quota() {
    let desk = Desk::new(Limits {
        clients_per_introduction: 2,
        ..Limits::default()
    });
    let invitation = introduction(&[1]).chain()[0];
    desk.database()
        .execute(
            "INSERT INTO invitations (chain, label, quota, expiry_s, created_s) VALUES (?1, 'Alice', 4, ?2, ?3)",
            (invitation.as_bytes().as_slice(), 1, 1),
        )
        .expect("written");
    let full = Answer::Refused(Reason::SubtreeFull);
    let come = |number, path: &[u8]| desk.come_from(client(number), NOW, path);
    // Two below one holder, however deep.
    assert_eq!(come(1, &[1, 1]), Answer::In(Some(2)));
    assert_eq!(come(2, &[1, 1, 1, 1]), Answer::In(Some(4)));
    assert_eq!(come(3, &[1, 1, 2]), full);
    // Who is counted already may come again, also with another place in it.
    assert_eq!(come(2, &[1, 1, 2]), Answer::In(Some(3)));
    // Four below the invitation.
    assert_eq!(come(3, &[1]), Answer::In(Some(1)));
    assert_eq!(come(4, &[1, 2]), Answer::In(Some(2)));
    assert_eq!(come(5, &[1, 3]), full);
    // A stranger is let in, and another invitation has a quota of its own: the node's, as nobody noted one.
    assert_eq!(desk.come(client(5), NOW, None), Answer::In(None));
    assert_eq!(come(5, &[1, 3]), full);
    assert_eq!(come(6, &[2]), Answer::In(Some(1)));
    assert_eq!(come(7, &[2, 1]), Answer::In(Some(2)));
    assert_eq!(come(8, &[2, 2]), full);
    // There is room again when one has left.
    desk.bench
        .ask(client(4), NOW, release(&[Channel::new(1).address(NOW)]));
    assert_eq!(come(5, &[1, 3]), Answer::In(Some(2)));
}

#[test]
fn a_revoked_subtree_goes_as_a_whole_and_stays_out() {
    let desk = Desk::new(Limits::default());
    let come = |number, path: &[u8]| desk.come_from(client(number), NOW, path);
    for (number, path) in [
        (1, &[1][..]),
        (2, &[1, 1]),
        (3, &[1, 1, 1, 1]),
        (4, &[1, 2]),
        (5, &[2]),
    ] {
        assert!(matches!(come(number, path), Answer::In(Some(_))));
    }
    desk.come(client(6), NOW, None);
    let revoked = introduction(&[1, 1]).chain()[1];
    let until = NOW.after(90 * DAY).as_secs();
    desk.database()
        .execute(
            "INSERT INTO revocations (chain, until_s, reason) VALUES (?1, ?2, 'spam')",
            (
                revoked.as_bytes().as_slice(),
                i64::try_from(until).expect("small"),
            ),
        )
        .expect("written");
    // At once for whoever comes,
    let refused = Answer::Refused(Reason::Revoked);
    assert_eq!(come(7, &[1, 1, 2]), refused);
    assert_eq!(come(2, &[1, 1]), refused);
    // and with the next tick for whoever is there.
    assert_eq!(desk.hello(client(3), NOW), (1, Reason::Unspecified));
    desk.tick(NOW);
    for number in [2, 3] {
        assert_eq!(desk.hello(client(number), NOW), (0, Reason::Revoked));
    }
    for number in [1, 4, 5, 6] {
        assert_eq!(desk.hello(client(number), NOW), (1, Reason::Unspecified));
    }
    assert!(desk.metric("ailurus_node_evicted_total{reason=\"revoked\"} 2"));
    assert_eq!(desk.come(client(2), NOW, None), Answer::In(None));
    assert_eq!(desk.hello(client(2), NOW), (1, Reason::Unspecified));
    // Its introductions have ended when the revocation does.
    desk.tick(NOW.after(90 * DAY));
    assert_eq!(desk.number("SELECT count(*) FROM revocations"), 0);
}

#[test]
fn who_has_an_introduction_that_ended_is_a_stranger_if_there_is_room() {
    let desk = Desk::new(Limits {
        strangers: 1,
        ..Limits::default()
    });
    let until = NOW.after(DAY).as_secs();
    for number in [1, 2] {
        let who = client(number);
        let proof = introduction_until(&[number], until)
            .prove(&holder(&[number]), &EXPORTER, &who)
            .expect("held");
        assert_eq!(desk.come(who, NOW, Some(proof)), Answer::In(Some(1)));
    }
    let later = NOW.after(DAY);
    desk.tick(later);
    assert_eq!(desk.come(client(1), later, None), Answer::In(None));
    assert_eq!(
        desk.hello(client(2), later),
        (0, Reason::IntroductionExpired)
    );
    assert_eq!(desk.number("SELECT count(*) FROM chains"), 0);
    assert!(desk.metric("ailurus_node_strangers 1"));
}
