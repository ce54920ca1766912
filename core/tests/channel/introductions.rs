//! Introductions, invitations and delegations: what holds, and what nobody can forge, shorten or steal.

use ailurus::{
    channel::{
        Address, ChainId, HopCount, Introduction, IntroductionError, Invitation, InvitationError,
        Link, LinkError, NodeLink, NodeLinkError, delegation_statement, text::TextError,
    },
    crypto::{
        AccessSecret, HolderSecret, NodeKey, NodeSecret, Pseudonym, PseudonymSecret, SeededEntropy,
    },
    wire::{
        limits::{INTRODUCTION_LIFETIME, MAX_AHEAD, MAX_HOPS, MAX_HOST, MAX_LINK},
        node as wire,
        time::UnixMillis,
    },
};
use bytes::Bytes;
use proptest::prelude::*;

use crate::fixture::{EPOCH, encode_text, payload, time_in};

const EXPORTER: [u8; 32] = [0x88; 32];

fn now() -> UnixMillis {
    time_in(EPOCH)
}

fn in_days(days: u64) -> u64 {
    now().as_secs() + days * 24 * 3600
}

fn node() -> NodeSecret {
    NodeSecret::from_bytes([9; 32])
}

fn holder(number: usize) -> HolderSecret {
    HolderSecret::from_bytes([u8::try_from(number).unwrap() + 1; 32])
}

fn pseudonym(byte: u8) -> Pseudonym {
    PseudonymSecret::from_bytes([byte; 32]).public()
}

/// A chain of so many hops, its last key that of `holder(hops - 1)`.
fn chain(hops: usize) -> Introduction {
    let mut chain = Introduction::mint(&node(), &holder(0).public(), in_days(90));
    for hop in 1..hops {
        chain = chain
            .extend(&holder(hop - 1), &holder(hop).public(), in_days(80))
            .unwrap();
    }
    chain
}

fn verify(message: &wire::Introduction) -> Result<(), IntroductionError> {
    Introduction::parse(message)?.verify(&node().public(), now())
}

#[test]
fn a_chain_of_one_to_six_hops_holds() {
    let mut ids: Vec<ChainId> = Vec::new();
    for hops in 1..=MAX_HOPS {
        let chain = chain(hops);
        assert_eq!(chain.verify(&node().public(), now()), Ok(()));
        assert_eq!(chain.hop_count(), HopCount::new(hops).unwrap());
        assert_eq!(chain.node(), &node().public());
        assert_eq!(chain.holder(), &holder(hops - 1).public());
        assert_eq!(Introduction::parse(&chain.to_wire()), Ok(chain.clone()));
        // Every chain lies in the subtrees of those that it extends.
        assert_eq!(chain.chain().len(), hops);
        assert_eq!(chain.chain()[..hops - 1], ids);
        assert_eq!(chain.chain().last(), Some(chain.id()));
        ids = chain.chain();
    }
}

#[test]
fn there_is_no_seventh_hop() {
    let six = chain(MAX_HOPS);
    let seventh = six.extend(
        &holder(MAX_HOPS - 1),
        &holder(MAX_HOPS).public(),
        in_days(1),
    );
    assert_eq!(seventh, Err(IntroductionError::TooLong));
    let mut message = six.to_wire();
    message.hops.push(message.hops[0].clone());
    assert_eq!(verify(&message), Err(IntroductionError::TooLong));
    message.hops.clear();
    assert_eq!(verify(&message), Err(IntroductionError::Malformed));
}

#[test]
fn only_the_holder_extends_and_proves() {
    let chain = chain(2);
    let stranger = HolderSecret::from_bytes([0x77; 32]);
    assert_eq!(
        chain.extend(&stranger, &holder(5).public(), in_days(1)),
        Err(IntroductionError::NotHolder)
    );
    assert_eq!(
        chain.prove(&holder(0), &EXPORTER, &pseudonym(1)).err(),
        Some(IntroductionError::NotHolder)
    );
    // Somebody who knows the chain and signs the next hop with a key of their own.
    let mut forged = chain.to_wire();
    let other = Introduction::mint(&node(), &stranger.public(), in_days(80))
        .extend(&stranger, &holder(5).public(), in_days(70))
        .unwrap();
    forged.hops.push(other.to_wire().hops[1].clone());
    assert_eq!(verify(&forged), Err(IntroductionError::BadSignature));
    // And somebody who plays the node.
    let invented = Introduction::mint(
        &NodeSecret::from_bytes([8; 32]),
        &holder(0).public(),
        in_days(1),
    );
    let mut message = invented.to_wire();
    message.node = Bytes::copy_from_slice(node().public().as_bytes());
    assert_eq!(verify(&message), Err(IntroductionError::BadSignature));
}

#[test]
fn nobody_shortens_a_chain() {
    for hops in 2..=MAX_HOPS {
        for left_out in 0..hops - 1 {
            let mut message = chain(hops).to_wire();
            message.hops.remove(left_out);
            assert_eq!(verify(&message), Err(IntroductionError::BadSignature));
        }
        // The chain before the last hop is good, but its key is somebody else's.
        let mut message = chain(hops).to_wire();
        message.hops.pop();
        let shorter = Introduction::parse(&message).unwrap();
        assert_eq!(
            shorter
                .prove(&holder(hops - 1), &EXPORTER, &pseudonym(1))
                .err(),
            Some(IntroductionError::NotHolder)
        );
    }
}

#[test]
fn a_proof_is_for_one_connection_pseudonym_and_chain() {
    let chain = chain(3);
    let message = chain.prove(&holder(2), &EXPORTER, &pseudonym(1)).unwrap();
    let proof: [u8; 64] = message.proof.as_ref().try_into().unwrap();
    let taken = Introduction::parse(&message.introduction.unwrap()).unwrap();
    assert_eq!(taken, chain);
    assert_eq!(taken.check_proof(&proof, &EXPORTER, &pseudonym(1)), Ok(()));
    let refused = Err(IntroductionError::BadProof);
    // Replayed on another connection, and stolen for another pseudonym.
    assert_eq!(
        taken.check_proof(&proof, &[0x89; 32], &pseudonym(1)),
        refused
    );
    assert_eq!(taken.check_proof(&proof, &EXPORTER, &pseudonym(2)), refused);
    // Of a second chain that ends in the same key.
    let other = Introduction::mint(&node(), &holder(2).public(), in_days(90));
    assert_eq!(other.check_proof(&proof, &EXPORTER, &pseudonym(1)), refused);
}

#[test]
fn time_runs_out_and_never_grows() {
    let node = node().public();
    let chain = chain(2);
    let expiry = chain.expiry();
    assert_eq!(expiry.as_secs(), in_days(80));
    let before = UnixMillis::from_millis(expiry.as_millis() - 1);
    assert_eq!(chain.verify(&node, before), Ok(()));
    assert_eq!(chain.verify(&node, expiry), Err(IntroductionError::Expired));
    // Whoever extends cannot add time, by this library or by hand.
    let later = chain
        .extend(&holder(1), &holder(2).public(), in_days(89))
        .unwrap();
    assert_eq!(later.expiry(), expiry);
    let mut message = later.to_wire();
    message.hops[2].expiry += 1;
    assert_eq!(verify(&message), Err(IntroductionError::LaterExpiry));
    let longest = now()
        .after(INTRODUCTION_LIFETIME)
        .after(MAX_AHEAD)
        .as_secs();
    let long = |secs| Introduction::mint(&self::node(), &holder(0).public(), secs);
    assert_eq!(long(longest).verify(&node, now()), Ok(()));
    assert_eq!(
        long(longest + 1).verify(&node, now()),
        Err(IntroductionError::TooFarAhead)
    );
}

#[test]
fn a_chain_leads_to_one_node() {
    let other = NodeKey::from_bytes([7; 32]);
    assert_eq!(
        chain(1).verify(&other, now()),
        Err(IntroductionError::OtherNode)
    );
    let mut message = chain(1).to_wire();
    message.node = Bytes::copy_from_slice(other.as_bytes());
    let moved = Introduction::parse(&message).unwrap();
    assert_eq!(
        moved.verify(&other, now()),
        Err(IntroductionError::BadSignature)
    );
}

#[test]
fn hop_counts_order_by_distance() {
    let counts: Vec<_> = (1..=MAX_HOPS)
        .map(|hops| HopCount::new(hops).unwrap())
        .collect();
    assert!(counts.is_sorted());
    assert!(counts.iter().all(|count| *count < HopCount::STRANGER));
    for (count, hops) in counts.iter().zip(1_u32..) {
        assert_eq!(count.to_wire(), Some(hops));
        assert_eq!(HopCount::from_wire(Some(hops)), *count);
        assert_eq!(count.to_string(), hops.to_string());
    }
    assert_eq!(HopCount::STRANGER.to_wire(), None);
    assert_eq!(HopCount::STRANGER.to_string(), "stranger");
    for strange in [None, Some(0), Some(7), Some(u32::MAX)] {
        assert_eq!(HopCount::from_wire(strange), HopCount::STRANGER);
    }
    assert_eq!(counts[0].next(), Some(counts[1]));
    assert_eq!(counts[5].next(), None);
    assert_eq!(HopCount::STRANGER.next(), None);
}

fn invitation(host: &str) -> Invitation {
    let link = NodeLink::new(node().public(), host, 4_433).unwrap();
    Invitation::mint(&node(), &link, in_days(90), &mut SeededEntropy::from_u64(1))
}

#[test]
fn an_invitation_survives_its_text() {
    for host in ["node.example", &"a".repeat(MAX_HOST)] {
        let invitation = invitation(host);
        let text = invitation.to_string();
        assert!(text.starts_with("ai") && text.len() <= MAX_LINK, "{text}");
        let again: Invitation = text.parse().unwrap();
        assert_eq!(again.link(), invitation.link());
        assert_eq!(again.introduction(), invitation.introduction());
        let (_, introduction, secret) = again.into_parts();
        assert_eq!(introduction.hop_count(), HopCount::new(1).unwrap());
        assert_eq!(introduction.verify(&node().public(), now()), Ok(()));
        assert!(
            introduction
                .prove(&secret, &EXPORTER, &pseudonym(1))
                .is_ok()
        );
    }
}

#[test]
fn what_is_no_invitation_says_what_it_is() {
    let text = invitation("node.example").to_string();
    assert_eq!(text.parse::<Link>().err(), Some(LinkError::Invitation));
    assert_eq!(text.parse::<NodeLink>(), Err(NodeLinkError::Invitation));
    let link = crate::fixture::node("node.example").to_string();
    let refusal = |text: &str| text.parse::<Invitation>().err().unwrap();
    assert_eq!(refusal(&link), InvitationError::NotAnInvitation);
    assert_eq!(
        refusal(&text[..text.len() - 30]),
        InvitationError::Text(TextError::Truncated)
    );
    // A right checksum over a payload with one altered bit: the operator's signature covers it all but host and port.
    let payload = payload(&text);
    let last = payload.len() - 1;
    let mut altered = payload.clone();
    altered[last] ^= 1;
    assert_eq!(
        refusal(&encode_text("ai", &altered)),
        InvitationError::Introduction(IntroductionError::BadSignature)
    );
    assert_eq!(
        refusal(&encode_text("ai", &payload[..last])),
        InvitationError::Introduction(IntroductionError::Malformed)
    );
}

#[test]
fn a_delegation_is_for_one_node_address_and_time() {
    let access = AccessSecret::from_bytes([1; 32]);
    let (node, address) = (NodeKey::from_bytes([2; 32]), Address::from_bytes([3; 32]));
    let signature = access.sign(&delegation_statement(&node, &address, 1_000));
    let verify = |node: &NodeKey, address: &Address, until| {
        access
            .public()
            .verify(&delegation_statement(node, address, until), &signature)
            .is_ok()
    };
    assert!(verify(&node, &address, 1_000));
    assert!(!verify(&NodeKey::from_bytes([4; 32]), &address, 1_000));
    assert!(!verify(&node, &Address::from_bytes([4; 32]), 1_000));
    assert!(!verify(&node, &address, 1_001));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_altered_bit_is_refused(
        hops in 1..=MAX_HOPS, hop in any::<prop::sample::Index>(), field in 0..3_u8,
        byte in any::<prop::sample::Index>(), bit in 0..8_u32,
    ) {
        let mut message = chain(hops).to_wire();
        let hop = &mut message.hops[hop.index(hops)];
        let flip = |bytes: &mut Bytes| {
            let mut altered = bytes.to_vec();
            altered[byte.index(bytes.len())] ^= 1 << bit;
            *bytes = altered.into();
        };
        match field {
            0 => flip(&mut hop.key),
            1 => flip(&mut hop.signature),
            _ => hop.expiry ^= 1 << (u32::try_from(byte.index(8)).unwrap() * 8 + bit),
        }
        prop_assert!(verify(&message).is_err());
    }

    #[test]
    fn a_proof_with_an_altered_bit_is_refused(byte in 0..64_usize, bit in 0..8_u32) {
        let chain = chain(2);
        let message = chain.prove(&holder(1), &EXPORTER, &pseudonym(1)).unwrap();
        let mut proof: [u8; 64] = message.proof.as_ref().try_into().unwrap();
        proof[byte] ^= 1 << bit;
        prop_assert!(chain.check_proof(&proof, &EXPORTER, &pseudonym(1)).is_err());
    }
}
