//! What travels between client and super node.

use ailurus::{
    crypto::{BatchItem, PublicKey, Signature, verify_batch, verify_each},
    wire::{
        frame::{FrameDecoder, FrameError},
        node::{Lease, Request, request::Kind},
    },
};
use prost::Message as _;

use super::{array, bytes, cases, ed25519_verify, hash, number, schnorr_verify, tagged};

#[test]
fn lease_proofs() {
    for case in cases("lease.json") {
        let (input, output) = (&case["input"], &case["output"]);
        let names = ["exporter", "node_key", "pseudonym", "address"];
        let end = number(&input["lease_end"]);
        let parts = names.map(|name| bytes(&input[name])).concat();
        let statement = tagged("ailurus/lease", &[&parts, &end.to_be_bytes()]);
        assert_eq!(statement, bytes(&output["statement"])[..]);
        assert!(ed25519_verify(
            &bytes(&input["access_public"]),
            &statement,
            &bytes(&output["proof"])
        ));
        assert_eq!(end, (number(&input["epoch"]) + 2) * 604_800);
        let lease = Lease::decode(bytes(&output["lease"]).as_slice()).unwrap();
        assert_eq!(
            hash(&[lease.blinded_key, lease.access_key].concat()),
            bytes(&input["address"])[..]
        );
        assert_eq!(lease.proof, bytes(&output["proof"]));
    }
}

#[test]
fn frames_and_requests() {
    for case in cases("framing.json") {
        let (input, output) = (&case["input"], &case["output"]);
        let mut decoder = FrameDecoder::new();
        if let Some(frame) = input["frame"].as_str() {
            decoder.push(hex::decode(frame).unwrap().into());
            assert_eq!(output["error"], "NotShortest");
            assert_eq!(decoder.next(300_000), Err(FrameError::NotShortest));
        } else if let Some(length) = input["length"].as_u64() {
            let header = bytes(&output["header"]);
            assert_eq!(header.len(), 1 << (header[0] >> 6));
            let value = header
                .iter()
                .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
            assert_eq!(value & !(0b11 << (header.len() * 8 - 2)), length);
        } else {
            decoder.push(bytes(&output["frame"]).into());
            assert_eq!(
                decoder.next(300_000).unwrap().unwrap(),
                bytes(&input["body"])
            );
        }
    }
    for case in cases("requests.json") {
        let output = &case["output"];
        let mut decoder = FrameDecoder::new();
        decoder.push(bytes(&output["frame"]).into());
        let body = decoder.next(300_000).unwrap().unwrap();
        assert_eq!(body, bytes(&output["body"]));
        let kind = Request::decode(body).unwrap().kind.unwrap();
        let comment = case["comment"].as_str().unwrap();
        match kind {
            Kind::Sync(sync) => assert_eq!(sync.follow, comment.contains("staying")),
            Kind::Register(register) => assert_eq!(register.leases.len(), 1),
            Kind::Fetch(fetch) => assert_eq!(fetch.id.len(), 32),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn batches() {
    let cases = cases("batch.json");
    let (mut items, mut expected) = (Vec::new(), Vec::new());
    for case in &cases {
        let (input, valid) = (&case["input"], case["output"]["valid"].as_bool().unwrap());
        let message = array(&input["message"]);
        assert_eq!(
            schnorr_verify(&input["public"], &message, &input["signature"]),
            valid
        );
        expected.push(valid);
        items.push(BatchItem {
            key: PublicKey::from_bytes(&array(&input["public"])).unwrap(),
            message,
            signature: Signature::from_bytes(array(&input["signature"])),
        });
    }
    assert_eq!(expected.iter().filter(|valid| **valid).count(), 3);
    assert_eq!(verify_each(&items), expected);
    assert!(verify_batch(&items).is_err());
    items.retain(|item| item.key.verify(&item.message, &item.signature).is_ok());
    assert!(verify_batch(&items).is_ok());
}
