//! Other super nodes, with a member's word for an address instead of its proof.

use ailurus::{
    channel::{Epoch, delegation_statement},
    crypto::{NodeKey, Pseudonym},
    wire::node::{Lease, Reason},
};
use ailurus_node::Limits;
use bytes::Bytes;

use crate::{
    common::*,
    people::{Answer, Desk, client},
};

/// A member's word that `node` may lease the channel's address; the node's key is its pseudonym where it dials.
fn delegated(channel: &Channel, node: Pseudonym) -> Lease {
    let epoch = Epoch::of(NOW);
    let keys = channel.keys(epoch);
    let until = epoch.lease_end().as_secs();
    let node = NodeKey::from_bytes(*node.as_bytes());
    let statement = delegation_statement(&node, &keys.address, until);
    Lease {
        blinded_key: Bytes::copy_from_slice(keys.blinded.as_bytes()),
        access_key: Bytes::copy_from_slice(keys.access.public().as_bytes()),
        epoch: epoch.number(),
        lease_end: until,
        delegation: Bytes::copy_from_slice(&keys.access.sign(&statement)),
        ..Lease::default()
    }
}

#[test]
fn a_delegation_is_for_one_node_address_and_time() {
    let desk = Desk::new(Limits::default());
    let (node, channel) = (client(1), Channel::new(1));
    let come = |who, lease| desk.register(who, NOW, vec![lease], None);
    let refused = Answer::NoLease(Reason::BadProof);
    let good = || delegated(&channel, node);
    assert_eq!(come(client(2), good()), refused);
    let mut longer = good();
    longer.lease_end -= 1;
    assert_eq!(come(node, longer), refused);
    let mut other = delegated(&Channel::new(2), node);
    other.delegation = good().delegation;
    assert_eq!(come(node, other), refused);
    let mut forged = good();
    forged.delegation = Bytes::from_static(&[1; 64]);
    assert_eq!(come(node, forged), refused);
    let mut short = good();
    short.delegation.truncate(63);
    assert_eq!(come(node, short), Answer::NoLease(Reason::Malformed));
    let mut both = good();
    both.proof = channel
        .lease(Epoch::of(NOW), desk.bench.node, node, EXPORTER)
        .proof;
    assert_eq!(come(node, both), Answer::NoLease(Reason::Malformed));
    // As a proof it is worth nothing, nor a proof as a delegation.
    let mut as_proof = good();
    as_proof.proof = std::mem::take(&mut as_proof.delegation);
    assert_eq!(come(node, as_proof), refused);
    assert_eq!(desk.number("SELECT count(*) FROM registrations"), 0);
    // Nobody here cares about the address.
    let alone = Answer::NoLease(Reason::NotRegistered);
    assert_eq!(come(node, good()), alone);
    desk.come(client(9), NOW, None);
    assert_eq!(come(node, good()), Answer::In(None));
}

#[test]
fn peers_have_limits_of_their_own() {
    let desk = Desk::new(Limits {
        registrations: 1,
        strangers: 1,
        addresses_per_client: 3,
        peers: 2,
        addresses_per_peer: 2,
        ..Limits::default()
    });
    let channels: Vec<Channel> = (1..4).map(Channel::new).collect();
    let come = |number, index: usize| {
        let lease = delegated(&channels[index], client(number));
        desk.register(client(number), NOW, vec![lease], None)
    };
    let all = |who| {
        let lease =
            |channel: &Channel| channel.lease(Epoch::of(NOW), desk.bench.node, who, EXPORTER);
        channels.iter().map(lease).collect::<Vec<_>>()
    };
    let answer = desk.register(client(9), NOW, all(client(9)), None);
    assert_eq!(answer, Answer::In(None));
    assert_eq!(come(1, 0), Answer::In(None));
    assert_eq!(come(1, 1), Answer::In(None));
    assert_eq!(come(1, 2), Answer::NoLease(Reason::ClientFull));
    assert_eq!(come(2, 0), Answer::In(None));
    assert_eq!(come(3, 0), Answer::NoLease(Reason::NodeFull));
    assert!(desk.metric("ailurus_node_peers 2"));
    assert!(desk.metric("ailurus_node_registrations 1"));
    // A nearer client takes the place of a client, not of a peer.
    let proof = crate::people::proof(&[1], client(8));
    let answer = desk.register(client(8), NOW, all(client(8)), Some(proof));
    assert_eq!(answer, Answer::In(Some(1)));
    assert_eq!(desk.hello(client(9), NOW), (0, Reason::Evicted));
    // The addresses were without a client for a moment, so what was on them is gone and may come again.
    assert_eq!(desk.hello(client(1), NOW).0, 0);
    assert_eq!(come(1, 0), Answer::In(None));
    assert_eq!(desk.number("SELECT count(*) FROM leases WHERE peer = 1"), 1);
}

#[test]
fn a_client_is_no_node_and_a_node_no_client() {
    let desk = Desk::new(Limits::default());
    let channel = Channel::new(1);
    desk.come(client(1), NOW, None);
    let lease = delegated(&channel, client(1));
    assert_eq!(
        desk.register(client(1), NOW, vec![lease], None),
        Answer::NoLease(Reason::BadProof)
    );
    let lease = delegated(&channel, client(2));
    assert_eq!(
        desk.register(client(2), NOW, vec![lease], None),
        Answer::In(None)
    );
    assert_eq!(
        desk.come(client(2), NOW, None),
        Answer::NoLease(Reason::BadProof)
    );
    // It has no use for an introduction.
    assert_eq!(
        desk.register(
            client(2),
            NOW,
            Vec::new(),
            Some(crate::people::proof(&[1], client(2)))
        ),
        Answer::In(None)
    );
    assert_eq!(desk.number("SELECT count(*) FROM chains"), 0);
}

#[test]
fn a_super_node_has_an_address_as_long_as_a_client_has() {
    let desk = Desk::new(Limits::default());
    let (channel, other) = (Channel::new(1), Channel::new(2));
    let node = client(1);
    let come = |channel| desk.register(node, NOW, vec![delegated(channel, node)], None);
    desk.come(client(8), NOW, None);
    desk.come(client(9), NOW, None);
    let lease = other.lease(Epoch::of(NOW), desk.bench.node, client(9), EXPORTER);
    desk.register(client(9), NOW, vec![lease], None);
    assert_eq!(come(&channel), Answer::In(None));
    assert_eq!(come(&other), Answer::In(None));

    let address = channel.address(NOW);
    desk.bench.ask(client(8), NOW, release(&[address]));
    assert_eq!(desk.hello(node, NOW).0, 2, "another client has it");
    desk.bench.ask(client(9), NOW, release(&[address]));
    assert_eq!(desk.hello(node, NOW).0, 1);
    // Not even its registration is left with the last lease.
    desk.bench
        .ask(client(9), NOW, release(&[other.address(NOW)]));
    assert_eq!(desk.number("SELECT count(*) FROM registrations"), 0);
    assert_eq!(desk.number("SELECT count(*) FROM addresses"), 0);
    // It is not refused for ever.
    desk.come(client(8), NOW, None);
    assert_eq!(come(&channel), Answer::In(None));
    // Nor does it stay when the client's lease ends by itself.
    let epoch = Epoch::of(NOW);
    let soon = NOW.after(HOUR);
    let short = channel.lease_until(epoch, desk.bench.node, client(7), EXPORTER, soon);
    desk.bench.ask(client(8), NOW, release(&[address]));
    desk.register(client(7), NOW, vec![short], None);
    assert_eq!(come(&channel), Answer::In(None));
    desk.tick(soon);
    assert_eq!(desk.number("SELECT count(*) FROM leases"), 0);
    assert!(desk.metric("ailurus_node_peers 0"));
}

#[test]
fn leases_of_super_nodes_have_a_budget() {
    let desk = Desk::new(Limits {
        leases_of_peers: 1,
        ..Limits::default()
    });
    let channel = Channel::new(1);
    desk.come(client(8), NOW, None);
    let come = |who| desk.register(who, NOW, vec![delegated(&channel, who)], None);
    assert_eq!(come(client(1)), Answer::In(None));
    assert_eq!(come(client(2)), Answer::NoLease(Reason::NodeFull));
    assert_eq!(desk.come(client(9), NOW, None), Answer::In(None));
}

#[test]
fn a_super_node_that_is_gone_for_a_day_gives_its_place_up() {
    let desk = Desk::new(Limits {
        peers: 1,
        ..Limits::default()
    });
    let channel = Channel::new(1);
    desk.come(client(8), NOW, None);
    let come = |who, now| desk.register(who, now, vec![delegated(&channel, who)], None);
    assert_eq!(come(client(1), NOW), Answer::In(None));
    let full = Answer::NoLease(Reason::NodeFull);
    assert_eq!(come(client(2), NOW.after(DAY - HOUR)), full);
    assert_eq!(come(client(2), NOW.after(DAY)), Answer::In(None));
    assert_eq!(desk.hello(client(1), NOW.after(DAY)).0, 0);
}
