//! What travels between client and super node.

use ailurus::{
    channel::lease_statement,
    crypto::{BatchItem, SeededEntropy, Signature, SigningKey, kdf, verify_each},
    wire::{
        frame,
        node::{Fetch, Lease, Register, Request, Sync, request::Kind},
    },
};
use prost::Message as _;
use serde_json::{Value, json};

use super::{document, fixed, hex, vector};

const EXPORTER: [u8; 32] = [0x88; 32];

pub fn lease() -> Value {
    let (lease, statement) = signed_lease();
    document(
        "The proof of access in a registration (PROTOCOL.md section 5.3): Ed25519 by the access key over the statement.",
        vec![vector(
            "a lease to the latest end that its epoch allows",
            json!({
                "exporter": hex(EXPORTER),
                "node_key": fixed::node().public().to_string(),
                "pseudonym": fixed::pseudonym().public().to_string(),
                "access_seed": hex(access_keys().access.expose()),
                "access_public": hex(&lease.access_key),
                "blinded_public": hex(&lease.blinded_key),
                "address": access_keys().address.to_string(),
                "epoch": lease.epoch,
                "lease_end": lease.lease_end,
            }),
            json!({ "statement": hex(statement), "proof": hex(&lease.proof), "lease": hex(lease.encode_to_vec()) }),
        )],
    )
}

pub fn framing() -> Value {
    let vectors = [0, 1, 63, 64, 16_383, 16_384, 262_144]
        .map(|length| {
            vector(
                "length of a body and the header before it",
                json!({ "length": length }),
                json!({ "header": hex(frame::encode_header(length)) }),
            )
        })
        .into_iter()
        .chain([
            vector(
                "a frame",
                json!({ "body": hex(b"hello") }),
                json!({ "frame": hex(frame::encode(b"hello")) }),
            ),
            vector(
                "refused: not the shortest length",
                json!({ "frame": "400568656c6c6f" }),
                json!({ "error": "NotShortest" }),
            ),
        ])
        .collect();
    document("Frames on a stream (PROTOCOL.md section 5.2).", vectors)
}

pub fn requests() -> Value {
    let request = |comment: &str, kind: Kind| {
        let body = Request { kind: Some(kind) }.encode_to_vec();
        vector(
            comment,
            json!({}),
            json!({ "body": hex(&body), "frame": hex(frame::encode(&body)) }),
        )
    };
    document(
        "Requests as protobuf bodies and as frames (PROTOCOL.md section 5). Protobuf allows other encodings of the same \
         message; readers take them all.",
        vec![
            request(
                "first sync",
                Kind::Sync(Sync {
                    cursor: Vec::new().into(),
                    follow: false,
                }),
            ),
            request(
                "sync from a cursor, staying",
                Kind::Sync(Sync {
                    cursor: vec![0xc0; 24].into(),
                    follow: true,
                }),
            ),
            request(
                "the lease of lease.json",
                Kind::Register(Register {
                    leases: vec![signed_lease().0],
                    ..Register::default()
                }),
            ),
            request(
                "fetch",
                Kind::Fetch(Fetch {
                    address: access_keys().address.as_bytes().to_vec().into(),
                    id: vec![0xee; 32].into(),
                }),
            ),
        ],
    )
}

pub fn batch() -> Value {
    let mut entropy = SeededEntropy::from_u64(26);
    let mut items: Vec<_> = (0..6_u8)
        .map(|number| {
            let key = SigningKey::from_bytes(&[1 + number % 2; 32]).expect("in range");
            let message = kdf::sha256(&[&[number]]);
            BatchItem {
                key: key.public(),
                message,
                signature: key.sign(&message, &mut entropy),
            }
        })
        .collect();
    // One signature of another message, one altered, one whose s is out of range.
    items[2].signature = items[0].signature;
    alter(&mut items[3], |bytes| bytes[63] ^= 1);
    alter(&mut items[4], |bytes| bytes[32..].fill(0xff));
    let verdicts = verify_each(&items);
    let vectors = items
        .iter()
        .zip(verdicts)
        .map(|(item, valid)| {
            vector(
                "an item of the batch",
                json!({
                    "public": item.key.to_string(),
                    "message": hex(item.message),
                    "signature": hex(item.signature.as_bytes()),
                }),
                json!({ "valid": valid }),
            )
        })
        .collect();
    document(
        "A batch with false signatures (PROTOCOL.md section 8): however it is verified, exactly the valid ones pass.",
        vectors,
    )
}

fn access_keys() -> ailurus::channel::AddressKeys {
    fixed::access().address_keys(fixed::EPOCH).expect("finite")
}

fn signed_lease() -> (Lease, [u8; 32]) {
    let keys = access_keys();
    let lease_end = fixed::EPOCH.lease_end().as_secs();
    let statement = lease_statement(
        &EXPORTER,
        fixed::node().public().as_bytes(),
        fixed::pseudonym().public().as_bytes(),
        &keys.address,
        lease_end,
    );
    let lease = Lease {
        blinded_key: keys.blinded.as_bytes().to_vec().into(),
        access_key: keys.access.public().as_bytes().to_vec().into(),
        epoch: fixed::EPOCH.number(),
        lease_end,
        proof: keys.access.sign(&statement).to_vec().into(),
        ..Lease::default()
    };
    (lease, statement)
}

fn alter(item: &mut BatchItem, change: impl FnOnce(&mut [u8; 64])) {
    let mut bytes = *item.signature.as_bytes();
    change(&mut bytes);
    item.signature = Signature::from_bytes(bytes);
}
