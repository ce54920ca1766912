//! DHT records: who signs and finds them, and which are not believed.

use std::collections::BTreeSet;

use ailurus::{
    channel::{
        Access, AccessKind, Epoch, NodeLink, RecordError, SignedRecord,
        record::{item_bytes, own_slots, salt},
    },
    crypto::{BlindKeyError, NodeKey, SeededEntropy},
    wire::{
        limits::{MAX_AHEAD, MAX_HOST, RECORD_LEN, RECORD_LIFETIME, RECORD_SLOTS},
        time::UnixMillis,
    },
};
use proptest::prelude::*;

use crate::fixture::{EPOCH, channel, contains, kinds, node, time_in};

fn now() -> UnixMillis {
    time_in(EPOCH)
}

fn record(access: &Access, epoch: Epoch, node: &NodeLink, now: UnixMillis) -> SignedRecord {
    let signer = access.record_signer(epoch).unwrap().expect("may write");
    signer.sign(
        &access.record_secret(epoch),
        node,
        own_slots(node.key(), signer.key())[0],
        now,
        &mut SeededEntropy::from_u64(1),
    )
}

/// Opens with what a member has for `epoch`.
fn open(
    record: &SignedRecord,
    access: &Access,
    epoch: Epoch,
    now: UnixMillis,
) -> Result<NodeLink, RecordError> {
    let key = access.record_key(epoch).unwrap();
    record.open(&key, &access.record_secret(epoch), now)
}

#[test]
fn writers_sign_and_every_member_reads() {
    let full = channel(1).access;
    let node = node("node.example");
    for (kind, _) in kinds() {
        let member = full.narrow(kind).unwrap();
        let signer = member.record_signer(EPOCH).unwrap();
        assert_eq!(signer.is_some(), kind.writes());
        if let Some(signer) = signer {
            assert_eq!(signer.key(), &full.record_key(EPOCH).unwrap());
            let record = record(&member, EPOCH, &node, now());
            assert_eq!(open(&record, &full, EPOCH, now()), Ok(node.clone()));
        }
        let record = record(&full, EPOCH, &node, now());
        assert_eq!(open(&record, &member, EPOCH, now()), Ok(node.clone()));
    }
}

#[test]
fn a_record_says_nothing_to_the_dht() {
    let access = channel(1).access;
    let hosts = ["a", "node.example", &"n".repeat(MAX_HOST)];
    for host in hosts {
        let node = node(host);
        let record = record(&access, EPOCH, &node, now());
        assert_eq!(record.value.len(), RECORD_LEN);
        assert!(!contains(&record.value, node.key().as_bytes()));
        assert!(!contains(&record.value, host.as_bytes()) || host == "a");
        assert_eq!(open(&record, &access, EPOCH, now()), Ok(node));
    }
    // Two of one node share no ciphertext, and two epochs no key.
    let signer = access.record_signer(EPOCH).unwrap().unwrap();
    let mut entropy = SeededEntropy::from_u64(2);
    let secret = access.record_secret(EPOCH);
    let [one, two] = [(); 2].map(|()| signer.sign(&secret, &node("a"), 3, now(), &mut entropy));
    assert_ne!(one.value[..12], two.value[..12]);
    assert_ne!(access.record_key(EPOCH), access.record_key(EPOCH.next()));
    assert_ne!(
        access.record_key(EPOCH).unwrap().as_bytes(),
        access.dht().as_bytes()
    );
}

#[test]
fn a_record_is_what_bep_44_signs() {
    let access = channel(1).access;
    let record = record(&access, EPOCH, &node("node.example"), now());
    let key = access.record_key(EPOCH).unwrap();
    let mut signed = format!(
        "4:salt1:{}3:seqi{}e1:v256:",
        record.slot as char, record.seq
    );
    assert_eq!(salt(record.slot), [record.slot]);
    assert_eq!(record.seq, now().as_secs());
    let mut bytes = std::mem::take(&mut signed).into_bytes();
    bytes.extend_from_slice(&record.value);
    assert_eq!(
        bytes,
        item_bytes(&salt(record.slot), record.seq, &record.value)
    );
    let key = ed25519_dalek::VerifyingKey::from_bytes(key.as_bytes()).unwrap();
    let signature = ed25519_dalek::Signature::from_bytes(&record.signature);
    assert!(key.verify_strict(&bytes, &signature).is_ok());
}

#[test]
fn strangers_and_other_epochs_are_refused() {
    let (access, other) = (channel(1).access, channel(2).access);
    let node = node("node.example");
    let foreign = record(&other, EPOCH, &node, now());
    let before = record(&access, EPOCH.previous(), &node, now());
    for record in [&foreign, &before] {
        assert_eq!(
            open(record, &access, EPOCH, now()),
            Err(RecordError::BadSignature)
        );
    }
    // A member's signature over what was encrypted for others.
    let key = access.record_key(EPOCH).unwrap();
    let record = record(&access, EPOCH, &node, now());
    assert_eq!(
        record.open(&key, &other.record_secret(EPOCH), now()),
        Err(RecordError::Sealed)
    );
    // A read link that was tampered with.
    let broken = Access::from_reader(
        *access.write_public(),
        ailurus::channel::access::ReaderRoot::from_bytes([1; 32]),
        ailurus::channel::DhtKey::from_bytes([0; 32]),
        *access.admin(),
    );
    assert_eq!(broken.record_key(EPOCH), Err(BlindKeyError));
    assert_eq!(broken.kind(), AccessKind::Read);
}

#[test]
fn stale_and_future_records_are_refused() {
    let access = channel(1).access;
    let signed = record(&access, EPOCH, &node("node.example"), now());
    let seq = UnixMillis::from_secs(signed.seq);
    let last = UnixMillis::from_millis(seq.after(RECORD_LIFETIME).as_millis() - 1);
    assert!(open(&signed, &access, EPOCH, last).is_ok());
    assert_eq!(
        open(&signed, &access, EPOCH, seq.after(RECORD_LIFETIME)),
        Err(RecordError::Expired)
    );
    let early = seq.before(MAX_AHEAD);
    assert!(open(&signed, &access, EPOCH, early).is_ok());
    assert_eq!(
        open(
            &signed,
            &access,
            EPOCH,
            UnixMillis::from_millis(early.as_millis() - 1)
        ),
        Err(RecordError::Ahead)
    );
}

#[test]
fn a_node_has_the_same_three_slots_in_an_epoch_and_all_are_used() {
    let access = channel(1).access;
    let key = access.record_key(EPOCH).unwrap();
    let mut used = [[0; RECORD_SLOTS as usize]; 3];
    for byte in 0..=u8::MAX {
        let node = NodeKey::from_bytes([byte; 32]);
        let slots = own_slots(&node, &key);
        assert_eq!(own_slots(&node, &key), slots);
        assert_eq!(slots.iter().collect::<BTreeSet<_>>().len(), 3);
        for (place, slot) in slots.into_iter().enumerate() {
            used[place][usize::from(slot)] += 1;
        }
    }
    let often = |counts: &[i32; 8]| counts.iter().all(|count| *count > 10);
    assert!(used.iter().all(often), "{used:?}");
    // Any slot can be signed for, and opens there only.
    let (link, secret) = (node("node.example"), access.record_secret(EPOCH));
    let signer = access.record_signer(EPOCH).unwrap().unwrap();
    for slot in 0..RECORD_SLOTS {
        let mut entropy = SeededEntropy::from_u64(1);
        let mut record = signer.sign(&secret, &link, slot, now(), &mut entropy);
        assert_eq!(record.slot, slot);
        assert_eq!(record.open(&key, &secret, now()), Ok(link.clone()));
        record.slot = (slot + 1) % RECORD_SLOTS;
        assert_eq!(
            record.open(&key, &secret, now()),
            Err(RecordError::BadSignature)
        );
    }
}

#[test]
fn a_message_of_another_form_is_refused() {
    let access = channel(1).access;
    let message = record(&access, EPOCH, &node("node.example"), now()).to_wire();
    let refused = |change: fn(&mut ailurus::wire::node::Record)| {
        let mut message = message.clone();
        change(&mut message);
        assert_eq!(SignedRecord::parse(&message), Err(RecordError::Malformed));
    };
    refused(|record| record.slot = 8);
    refused(|record| record.slot = 256);
    refused(|record| record.value.truncate(RECORD_LEN - 1));
    refused(|record| record.signature.truncate(63));
    assert_eq!(SignedRecord::parse(&message).unwrap().to_wire(), message);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_altered_bit_is_refused(
        field in 0..4_u8, byte in any::<prop::sample::Index>(), bit in 0..8_u32,
    ) {
        let access = channel(1).access;
        let mut record = record(&access, EPOCH, &node("node.example"), now());
        match field {
            0 => record.slot ^= 1 << (bit % 3),
            1 => record.seq ^= 1 << bit,
            2 => record.value[byte.index(RECORD_LEN)] ^= 1 << bit,
            _ => record.signature[byte.index(64)] ^= 1 << bit,
        }
        prop_assert_eq!(open(&record, &access, EPOCH, now()), Err(RecordError::BadSignature));
    }
}
