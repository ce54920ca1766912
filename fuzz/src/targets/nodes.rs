//! What leads to super nodes: introductions, invitations and DHT records.

use prost::Message as _;

use ailurus::channel::{
    Access, Epoch, HopCount, Introduction, Invitation, NewChannel, NodeLink, SignedRecord,
    record::own_slots,
};
use ailurus::crypto::{HolderSecret, NodeSecret, PseudonymSecret, SeededEntropy};
use ailurus::wire::{limits::MAX_HOPS, node as wire, time::UnixMillis};

use super::{NOW, Target};

/// Any message as an introduction with a proof.
pub(super) fn introduction() -> Target {
    let pseudonym = PseudonymSecret::from_bytes([4; 32]).public();
    let genuine: Vec<Introduction> = (1..=MAX_HOPS).map(chain).collect();
    let seeds = genuine
        .iter()
        .zip(0..)
        .map(|(chain, last)| {
            let proof = chain.prove(&holder(last), &EXPORTER, &pseudonym);
            proof.expect("the holder").encode_to_vec()
        })
        .collect();
    let body = move |data: &[u8]| {
        let Ok(message) = wire::IntroductionProof::decode(data) else {
            return;
        };
        let Some(Ok(chain)) = message.introduction.as_ref().map(Introduction::parse) else {
            return;
        };
        assert!(chain.hop_count() < HopCount::STRANGER);
        assert_eq!(
            chain.chain().len(),
            message.introduction.map_or(0, |m| m.hops.len())
        );
        assert_eq!(Introduction::parse(&chain.to_wire()).as_ref(), Ok(&chain));
        if chain.verify(&operator().public(), NOW).is_err() {
            return;
        }
        // Nobody signs what is not there: the chain of a seed, or what it extends.
        assert!(
            genuine
                .iter()
                .any(|known| known.chain().starts_with(&chain.chain()))
        );
        if let Ok(proof) = message.proof.as_ref().try_into() {
            let _ = chain.check_proof(proof, &EXPORTER, &pseudonym);
        }
    };
    Target {
        body: Box::new(body),
        seeds,
    }
}

/// Any text as an invitation.
pub(super) fn invitation() -> Target {
    let link = NodeLink::new(operator().public(), "node.example.org", 4_433).expect("a link");
    let mut entropy = SeededEntropy::from_u64(1);
    let genuine = Invitation::mint(&operator(), &link, expiry(), &mut entropy);
    let seeds = vec![genuine.to_text().as_bytes().to_vec()];
    let body = move |data: &[u8]| {
        let Ok(text) = std::str::from_utf8(data) else {
            return;
        };
        let Ok(invitation) = text.parse::<Invitation>() else {
            return;
        };
        let again: Invitation = invitation.to_text().parse().expect("our own text parses");
        assert_eq!(again.link(), invitation.link());
        assert_eq!(again.introduction(), invitation.introduction());
        assert_eq!(
            invitation.introduction().holder(),
            &invitation.secret().public()
        );
        assert_eq!(
            invitation.introduction().hop_count(),
            HopCount::new(1).expect("one")
        );
    };
    Target {
        body: Box::new(body),
        seeds,
    }
}

/// Any message as a record under a channel's keys.
pub(super) fn record() -> Target {
    let access: Access = NewChannel::create(Epoch::of(NOW), &mut SeededEntropy::from_u64(1)).access;
    let epoch = Epoch::of(NOW);
    let key = access.record_key(epoch).expect("a key");
    let secret = access.record_secret(epoch);
    let signer = access.record_signer(epoch).expect("a key").expect("writes");
    let mut entropy = SeededEntropy::from_u64(2);
    let genuine: Vec<SignedRecord> = ["a", "node.example.org"]
        .map(|host| NodeLink::new(operator().public(), host, 4_433).expect("a link"))
        .iter()
        .map(|link| {
            let [slot, ..] = own_slots(link.key(), signer.key());
            signer.sign(&secret, link, slot, NOW, &mut entropy)
        })
        .collect();
    let seeds = genuine
        .iter()
        .map(|record| record.to_wire().encode_to_vec())
        .collect();
    let body = move |data: &[u8]| {
        let Ok(message) = wire::Record::decode(data) else {
            return;
        };
        let Ok(record) = SignedRecord::parse(&message) else {
            return;
        };
        assert_eq!(SignedRecord::parse(&record.to_wire()).as_ref(), Ok(&record));
        let later = UnixMillis::from_secs(record.seq);
        for now in [NOW, later] {
            if record.open(&key, &secret, now).is_ok() {
                assert!(genuine.contains(&record), "nobody signs for a writer");
            }
        }
    };
    Target {
        body: Box::new(body),
        seeds,
    }
}

/// A chain of so many hops.
fn chain(hops: usize) -> Introduction {
    let mut chain = Introduction::mint(&operator(), &holder(0).public(), expiry());
    for last in 1..u8::try_from(hops).expect("at most six") {
        chain = chain
            .extend(&holder(last - 1), &holder(last).public(), expiry())
            .expect("room");
    }
    chain
}

fn operator() -> NodeSecret {
    NodeSecret::from_bytes([9; 32])
}

fn holder(number: u8) -> HolderSecret {
    HolderSecret::from_bytes([number + 1; 32])
}

fn expiry() -> u64 {
    NOW.as_secs() + 80 * 24 * 3_600
}

const EXPORTER: [u8; 32] = [8; 32];
