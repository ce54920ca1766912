//! Introductions, invitations, delegations and DHT records.

use ailurus::{
    channel::{Introduction, Invitation, NodeLink, SignedRecord},
    crypto::{NodeKey, Pseudonym},
    wire::{content, node as wire, time::UnixMillis},
};
use curve25519_dalek::{EdwardsPoint, Scalar, edwards::CompressedEdwardsY, scalar::clamp_integer};
use prost::Message as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use super::{
    aes_open, array, base58, bytes, cases, ed25519_public, ed25519_verify, hkdf, number, tagged,
};

#[test]
fn introductions() {
    for case in cases("introduction.json") {
        let (input, output) = (&case["input"], &case["output"]);
        if let Some(text) = output["text"].as_str() {
            invitation(input, text);
            continue;
        }
        let node = bytes(&input["node_key"]);
        assert_eq!(ed25519_public(&array(&input["node_seed"])), node[..]);
        let hops = output["hops"].as_array().unwrap();
        let seeds = input["holder_seeds"].as_array().unwrap();
        assert_eq!(hops.len(), seeds.len());
        let mut chain = tagged("ailurus/introduction-chain", &[&node]);
        let mut signer = node.clone();
        for ((hop, seed), expiry) in hops
            .iter()
            .zip(seeds)
            .zip(input["expiries"].as_array().unwrap())
        {
            let (key, signature) = (bytes(&hop["key"]), bytes(&hop["signature"]));
            assert_eq!(key, ed25519_public(&array(seed)));
            assert_eq!(hop["expiry"], *expiry);
            let expiry = number(expiry).to_be_bytes();
            let statement = tagged("ailurus/introduction", &[&chain, &key, &expiry]);
            assert!(ed25519_verify(&signer, &statement, &signature));
            chain = tagged(
                "ailurus/introduction-chain",
                &[&chain, &key, &expiry, &signature],
            );
            assert_eq!(chain, bytes(&hop["chain"])[..]);
            signer = key;
        }
        let (exporter, pseudonym) = (bytes(&input["exporter"]), bytes(&input["pseudonym"]));
        let statement = tagged(
            "ailurus/introduction-proof",
            &[&exporter, &node, &pseudonym, &chain],
        );
        let proof = bytes(&output["proof"]);
        assert!(ed25519_verify(&signer, &statement, &proof));

        let message = wire::Introduction::decode(bytes(&output["introduction"]).as_slice());
        let parsed = Introduction::parse(&message.unwrap()).unwrap();
        let now = UnixMillis::from_secs(number(&input["expiries"][0]) - 90 * 86_400);
        let node = NodeKey::try_from(node.as_slice()).unwrap();
        assert_eq!(parsed.verify(&node, now), Ok(()));
        let checked = parsed.check_proof(
            &proof.try_into().unwrap(),
            &array(&input["exporter"]),
            &Pseudonym::from_bytes(array(&input["pseudonym"])),
        );
        assert_eq!(checked, Ok(()));
    }
}

fn invitation(input: &Value, text: &str) {
    assert!(text.starts_with("ai"));
    let payload = base58(&text[2..]);
    let payload = &payload[..payload.len() - 8];
    let message = content::Invitation::decode(payload).unwrap();
    let node = message.node.unwrap();
    assert_eq!(node.key, bytes(&input["node_key"]));
    assert_eq!(node.host, input["host"].as_str().unwrap());
    assert_eq!(u64::from(node.port), number(&input["port"]));
    assert_eq!(message.secret, bytes(&input["secret"]));
    assert_eq!(message.expiry, number(&input["expiry"]));
    let chain = tagged("ailurus/introduction-chain", &[&node.key]);
    let holder = ed25519_public(&array(&input["secret"]));
    let statement = tagged(
        "ailurus/introduction",
        &[&chain, &holder, &message.expiry.to_be_bytes()],
    );
    assert!(ed25519_verify(&node.key, &statement, &message.signature));
    let parsed: Invitation = text.parse().unwrap();
    assert_eq!(parsed.secret().expose(), &message.secret[..]);
}

#[test]
fn delegations() {
    for case in cases("delegation.json") {
        let (input, output) = (&case["input"], &case["output"]);
        let until = number(&input["until"]).to_be_bytes();
        let parts = ["node_key", "address"].map(|name| bytes(&input[name]));
        let statement = tagged("ailurus/delegation", &[&parts.concat(), &until]);
        assert_eq!(statement, bytes(&output["statement"])[..]);
        let access = bytes(&input["access_public"]);
        assert_eq!(ed25519_public(&array(&input["access_seed"])), access[..]);
        assert!(ed25519_verify(
            &access,
            &statement,
            &bytes(&output["delegation"])
        ));
    }
}

#[test]
fn pushes() {
    for case in cases("push.json") {
        let (input, output) = (&case["input"], &case["output"]);
        let mut payload = match input["node_key"].as_str() {
            None => vec![1],
            Some(_) => {
                let parts = ["node_key", "challenge"].map(|name| bytes(&input[name]));
                [&[2][..], &parts.concat()].concat()
            }
        };
        payload.resize(64, 0);
        assert_eq!(payload, bytes(&output["payload"]));
    }
}

#[test]
fn records() {
    let mut keys = Vec::new();
    for case in cases("record.json") {
        let (input, output) = (&case["input"], &case["output"]);
        let (master, secret) = (bytes(&input["dht_public"]), bytes(&input["address_secret"]));
        let epoch = number(&input["epoch"]).to_be_bytes();
        let seed: [u8; 32] = array(&input["dht_seed"]);
        assert_eq!(ed25519_public(&seed), master[..]);
        // The public key by the point, and by the private key.
        let factor = tagged("ailurus/record-blind", &[&master, &secret, &epoch]);
        let key = bytes(&output["record_key"]);
        let point = CompressedEdwardsY::from_slice(&master)
            .unwrap()
            .decompress()
            .unwrap();
        assert_eq!(point.mul_clamped(factor).compress().as_bytes()[..], key);
        let expanded = Sha512::digest(seed);
        let scalar =
            |bytes: &[u8]| Scalar::from_bytes_mod_order(clamp_integer(bytes.try_into().unwrap()));
        let private = scalar(&factor) * scalar(&expanded[..32]);
        assert_eq!(
            EdwardsPoint::mul_base(&private).compress().as_bytes()[..],
            key
        );
        let record_secret = hkdf(&secret, "ailurus/record-secret", &epoch);
        assert_eq!(record_secret, bytes(&output["record_secret"])[..]);

        let node = bytes(&input["node_key"]);
        let slot = u8::try_from(number(&output["slot"])).unwrap();
        let mut numbers: Vec<u8> = (0..8).collect();
        let hash = tagged("ailurus/record-slot", &[&key, &node]);
        let slots = [0, 1, 2].map(|n| numbers.remove(usize::from(hash[n]) % (8 - n)));
        assert_eq!(json!(slots), output["slots"]);
        assert_eq!(slot, slots[0]);
        let (seq, value) = (number(&output["seq"]), bytes(&output["value"]));
        assert_eq!(seq, number(&input["time_ms"]) / 1_000);
        let mut signed = b"4:salt1:".to_vec();
        signed.push(slot);
        signed.extend_from_slice(format!("3:seqi{seq}e1:v256:").as_bytes());
        signed.extend_from_slice(&value);
        let signature = bytes(&output["signature"]);
        assert!(ed25519_verify(&key, &signed, &signature));
        let (nonce, sealed) = value.split_at(12);
        let aad = [key.as_slice(), &[slot], &seq.to_be_bytes()].concat();
        let plain = aes_open(&record_secret, nonce, &aad, sealed).expect("opens");
        let end = plain.iter().rposition(|byte| *byte != 0).unwrap();
        assert_eq!(plain[end], 0x80);
        let content = wire::RecordContent::decode(&plain[..end]).unwrap();
        assert_eq!(content.expiry, seq + 48 * 3_600);
        let hint = content.node.unwrap();
        let link = NodeLink::from_hint(&hint).unwrap();
        assert_eq!(link.key().as_bytes()[..], node);
        assert_eq!(link.host(), input["host"].as_str().unwrap());
        assert_eq!(u64::from(link.port()), number(&input["port"]));

        let record = SignedRecord {
            slot,
            seq,
            value: value.try_into().unwrap(),
            signature: signature.try_into().unwrap(),
        };
        let opened = record.open(
            &key.as_slice().try_into().unwrap(),
            &record_secret.as_slice().try_into().unwrap(),
            UnixMillis::from_secs(seq),
        );
        assert_eq!(opened, Ok(link));
        keys.push(key);
    }
    keys.dedup();
    assert_eq!(keys.len(), 2, "another key each epoch");
}
