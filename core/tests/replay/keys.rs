//! Hashes, signatures and everything that is derived from a channel's secrets.

use ailurus::crypto::{SeededEntropy, SigningKey, entropy};
use serde_json::Value;

use super::{
    array, base58, bytes, cases, coordinates, ed25519_public, generator_times, hash, hkdf, lift,
    number, schnorr_verify, tagged, x25519_public,
};

#[test]
fn key_derivation() {
    for case in cases("kdf.json") {
        let (input, output) = (&case["input"], &case["output"]);
        if let Some(label) = input["label"].as_str() {
            assert_eq!(
                hkdf(&bytes(&input["secret"]), label, &bytes(&input["context"])),
                bytes(&output["key"])[..]
            );
        } else if let Some(tag) = input["tag"].as_str() {
            assert_eq!(
                tagged(tag, &[&bytes(&input["message"])]),
                bytes(&output["hash"])[..]
            );
        } else {
            let seed = array::<32>(&input["seed"]);
            let stream = bytes(&output["stream"]);
            for (counter, block) in (0_u64..).zip(stream.chunks(32)) {
                let expected = tagged("ailurus/seeded-entropy", &[&seed, &counter.to_be_bytes()]);
                assert_eq!(block, &expected[..block.len()]);
            }
            assert_eq!(
                entropy::array::<80>(&mut SeededEntropy::new(seed)),
                stream[..]
            );
        }
    }
}

#[test]
fn signatures() {
    for case in cases("schnorr.json") {
        let (input, output) = (&case["input"], &case["output"]);
        let message = array(&input["message"]);
        let key = SigningKey::from_bytes(&array(&input["private"])).unwrap();
        assert_eq!(
            key.sign_with_aux(&message, &array(&input["aux"]))
                .as_bytes(),
            &array::<64>(&output["signature"])
        );
        assert!(schnorr_verify(
            &output["public"],
            &message,
            &output["signature"]
        ));
        assert!(!schnorr_verify(
            &output["public"],
            &[0; 32],
            &output["signature"]
        ));
    }
}

#[test]
fn blinding_in_all_parities() {
    // Computed by a separate implementation in Python integers.
    let expected = [
        "c63dcff5fd9978c2122830839dccbe99de312990f03c08fd7f7059536d4d5c80",
        "dd7fd04d9a7871089b5a91fbd00d476683501de7f646fc84d9434e708bafbecb",
        "c2a37f336717bba6c58f19afdedb9cdc38146eebd1411792241035248ffa6ac0",
        "81c4a86ed75c140f47a041e5b15814b2a3a99ec9898ca2437cbf653585961701",
    ];
    let mut parities = Vec::new();
    for (case, expected) in cases("blind.json").iter().zip(expected) {
        let (input, output) = (&case["input"], &case["output"]);
        assert_eq!(output["blinded_public"], expected);
        let write_public = bytes(&output["write_public"]);
        let epoch = number(&input["epoch"]).to_be_bytes();
        let tweak = tagged(
            "ailurus/blind",
            &[&write_public, &bytes(&input["address_secret"]), &epoch],
        );
        assert_eq!(tweak, bytes(&output["tweak"])[..]);
        // Q = lift_x(P) + tG.
        let q = lift(&write_public) + generator_times(&tweak);
        let (x, odd) = coordinates(&q);
        assert_eq!(x, bytes(&output["blinded_public"])[..]);
        assert_eq!(odd, output["q_is_odd"].as_bool().unwrap());
        // The private side reaches the same point.
        let (x, odd) = coordinates(&generator_times(&array(&output["blinded_private"])));
        assert_eq!(
            (x.to_vec(), odd),
            (
                bytes(&output["blinded_public"]),
                output["q_is_odd"].as_bool().unwrap()
            )
        );
        let (x, odd) = coordinates(&generator_times(&array(&input["write_private"])));
        assert_eq!(
            (x.to_vec(), odd),
            (write_public, output["p_is_odd"].as_bool().unwrap())
        );
        assert!(schnorr_verify(
            &output["blinded_public"],
            &array(&input["message"]),
            &output["signature"]
        ));
        parities.push((output["p_is_odd"].as_bool(), output["q_is_odd"].as_bool()));
    }
    parities.sort();
    parities.dedup();
    assert_eq!(parities.len(), 4);
}

#[test]
fn access_from_roots() {
    let cases = cases("access.json");
    let native = (
        bytes(&cases[0]["input"]["root"]),
        "ailurus/write-key",
        "ailurus/reader-root",
    );
    let text = cases[1]["input"]["text"].as_str().unwrap();
    let payload = base58(&text[2..]);
    let (scalar, sum) = payload.split_at(32);
    assert_eq!(sum, &hash(&hash(&[b"pr", scalar].concat()))[..8]);
    assert_eq!(scalar, bytes(&cases[1]["output"]["redpanda_private"]));
    let imported = (
        scalar.to_vec(),
        "ailurus/redpanda/write-key",
        "ailurus/redpanda/reader-root",
    );
    for (case, (secret, write_label, reader_label)) in cases.iter().zip([native, imported]) {
        let output = &case["output"];
        let write = hkdf(&secret, write_label, &[0]);
        assert_eq!(write, bytes(&output["write_private"])[..]);
        let (write_public, _) = coordinates(&generator_times(&write));
        assert_eq!(write_public, bytes(&output["write_public"])[..]);
        assert_eq!(
            tagged("ailurus/channel", &[&write_public]),
            bytes(&output["channel_id"])[..]
        );
        let reader_root = hkdf(&secret, reader_label, &[]);
        assert_eq!(reader_root, bytes(&output["reader_root"])[..]);
        assert_eq!(
            hkdf(&reader_root, "ailurus/address-secret", &[]),
            bytes(&output["address_secret"])[..]
        );
        let sealing = hkdf(&reader_root, "ailurus/sealing-key", &[]);
        assert_eq!(
            x25519_public(&sealing),
            bytes(&output["sealing_public"])[..]
        );
        let dht = hkdf(&write, "ailurus/dht-key", &[]);
        assert_eq!(ed25519_public(&dht), bytes(&output["dht_public"])[..]);
    }
    let output = &cases[1]["output"];
    let (x, odd) = coordinates(&generator_times(&array(&output["redpanda_private"])));
    let compressed = [&[if odd { 3 } else { 2 }][..], &x].concat();
    assert_eq!(compressed, bytes(&output["redpanda_public"]));
    assert_eq!(
        hkdf(scalar, "ailurus/redpanda/admin-key", &[0]),
        bytes(&output["admin_private"])[..]
    );
    assert_eq!(
        hkdf(scalar, "ailurus/redpanda/read-secret", &[]),
        bytes(&output["read_secret"])[..]
    );
    assert_eq!(output["read_epoch"], 0);
}

#[test]
fn read_ratchet() {
    let mut before: Option<Value> = None;
    for case in cases("ratchet.json") {
        let secret = bytes(&case["input"]["read_secret"]);
        assert_eq!(
            hkdf(&secret, "ailurus/read-ratchet", &[]),
            bytes(&case["output"]["next_read_secret"])[..]
        );
        assert_eq!(
            hkdf(&secret, "ailurus/envelope-key", &[]),
            bytes(&case["output"]["envelope_key"])[..]
        );
        if let Some(before) = before {
            assert_eq!(
                before["output"]["next_read_secret"],
                case["input"]["read_secret"]
            );
            assert_eq!(before["output"]["next_epoch"], case["input"]["epoch"]);
        }
        before = Some(case);
    }
}

#[test]
fn addresses() {
    for case in cases("address.json") {
        let (input, output) = (&case["input"], &case["output"]);
        let epoch = number(&input["epoch"]).to_be_bytes();
        let (write, secret) = (
            bytes(&input["write_public"]),
            bytes(&input["address_secret"]),
        );
        let tweak = tagged("ailurus/blind", &[&write, &secret, &epoch]);
        let (q, _) = coordinates(&(lift(&write) + generator_times(&tweak)));
        assert_eq!(q, bytes(&output["blinded_public"])[..]);
        let seed = hkdf(&secret, "ailurus/access-key", &epoch);
        assert_eq!(seed, bytes(&output["access_seed"])[..]);
        let access = ed25519_public(&seed);
        assert_eq!(access, bytes(&output["access_public"])[..]);
        assert_eq!(hash(&[q, access].concat()), bytes(&output["address"])[..]);
    }
}
