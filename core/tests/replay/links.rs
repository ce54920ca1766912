//! Links of every kind, and text that must be refused.

use ailurus::{
    channel::{Link, NodeLink},
    wire::content,
};
use prost::Message as _;
use serde_json::Value;

use super::{
    base58, bytes, cases, coordinates, ed25519_public, generator_times, hash, hkdf, x25519_public,
};

#[test]
fn links() {
    for case in cases("links.json") {
        let (input, output) = (&case["input"], &case["output"]);
        let text = output["text"].as_str().unwrap();
        let payload = bytes(&output["payload"]);
        let sum = hash(&hash(&[&text.as_bytes()[..2], &payload].concat()));
        assert_eq!(
            base58(&text[2..]),
            [payload.as_slice(), &sum[..8]].concat(),
            "{text}"
        );
        match &text[..2] {
            "an" => {
                let node: NodeLink = text.parse().unwrap();
                assert_eq!(input["key"], node.key().to_string());
                assert_eq!(input["host"], node.host());
                assert_eq!(input["port"], node.port());
                assert_eq!(node.to_string(), text);
            }
            "pr" => assert_eq!(payload, bytes(&input["scalar"])),
            prefix => {
                let link: Link = text.parse().unwrap();
                assert_eq!(
                    link.access.kind().to_string(),
                    input["access"].as_str().unwrap()
                );
                assert_eq!(prefix, ["af", "ar", "aw"][link.access.kind() as usize]);
                assert_eq!(link.to_text().unwrap().as_str(), text);
                link_payload(
                    input,
                    &content::Link::decode(payload.as_slice()).unwrap(),
                    prefix,
                );
            }
        }
    }
}

/// The fields of a channel link by the table of section 2.2.
fn link_payload(input: &Value, payload: &content::Link, prefix: &str) {
    let root = bytes(&input["root"]);
    let write = hkdf(&root, "ailurus/write-key", &[0]);
    let write_public = coordinates(&generator_times(&write)).0;
    let reader_root = hkdf(&root, "ailurus/reader-root", &[]);
    let address_secret = hkdf(&reader_root, "ailurus/address-secret", &[]);
    let sealing_public = x25519_public(&hkdf(&reader_root, "ailurus/sealing-key", &[]));
    let dht = ed25519_public(&hkdf(&write, "ailurus/dht-key", &[]));
    let when = |condition: bool, bytes: &[u8]| {
        if condition {
            bytes.to_vec()
        } else {
            Vec::new()
        }
    };
    let expected = content::Link {
        root: when(prefix == "af", &root).into(),
        write_public: when(prefix == "ar", &write_public).into(),
        write_private: when(prefix == "aw", &write).into(),
        reader_root: when(prefix == "ar", &reader_root).into(),
        address_secret: when(prefix == "aw", &address_secret).into(),
        sealing_public: when(prefix == "aw", &sealing_public).into(),
        dht_public: when(prefix == "ar", &dht).into(),
        read_secret: input["read_secret"]
            .as_str()
            .map_or(Vec::new(), |hex| hex::decode(hex).unwrap())
            .into(),
        read_epoch: input["read_epoch"].as_u64().unwrap_or(0),
        admin_public: bytes(&input["admin_public"]).into(),
        name: input["name"].as_str().unwrap().to_owned(),
        nodes: payload.nodes.clone(),
        redpanda: Vec::new().into(),
    };
    assert_eq!(payload, &expected);
    assert_eq!(
        payload.nodes.len(),
        input["nodes"].as_array().unwrap().len()
    );
}

#[test]
fn unusable_links_are_refused() {
    for case in cases("rejected-links.json") {
        let text = case["input"]["text"].as_str().unwrap();
        let error = text.parse::<Link>().err().map(|error| format!("{error:?}"));
        assert!(error.is_some(), "{}", case["comment"]);
        assert_eq!(
            case["output"]["error"].as_str(),
            error.as_deref(),
            "{}",
            case["comment"]
        );
    }
}
