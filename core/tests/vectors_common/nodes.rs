//! Introductions, invitations, delegations and DHT records.

use ailurus::{
    channel::{
        Introduction, Invitation, PushChallenge, PushMessage, delegation_statement,
        record::own_slots,
    },
    crypto::{HolderSecret, SeededEntropy},
};
use prost::Message as _;
use serde_json::{Value, json};

use super::{document, fixed, hex, vector};

const EXPORTER: [u8; 32] = [0x88; 32];

pub fn introduction() -> Value {
    let (node, pseudonym) = (fixed::node(), fixed::pseudonym().public());
    let holders = [0xa1, 0xa2, 0xa3].map(|byte| HolderSecret::from_bytes([byte; 32]));
    let expiries = [90, 80, 80].map(in_days);
    let mut chain = Introduction::mint(&node, &holders[0].public(), expiries[0]);
    let mut vectors = Vec::new();
    for (number, (holder, expiry)) in holders.iter().zip(expiries).enumerate() {
        if number > 0 {
            chain = chain
                .extend(&holders[number - 1], &holder.public(), expiry)
                .expect("room");
        }
        let proof = chain
            .prove(holder, &EXPORTER, &pseudonym)
            .expect("the holder");
        let wire = chain.to_wire();
        let hops: Vec<Value> = wire
            .hops
            .iter()
            .zip(chain.chain())
            .map(|(hop, id)| {
                json!({
                    "key": hex(&hop.key),
                    "expiry": hop.expiry,
                    "signature": hex(&hop.signature),
                    "chain": id.to_string(),
                })
            })
            .collect();
        vectors.push(vector(
            "a chain from the node to one holder more, and the proof with which that holder registers",
            json!({
                "node_seed": hex(node.expose()),
                "node_key": node.public().to_string(),
                "holder_seeds": holders[..=number]
                    .iter()
                    .map(|holder| hex(holder.expose()))
                    .collect::<Vec<_>>(),
                "expiries": expiries[..=number].to_vec(),
                "exporter": hex(EXPORTER),
                "pseudonym": pseudonym.to_string(),
            }),
            json!({
                "hops": hops,
                "introduction": hex(wire.encode_to_vec()),
                "proof": hex(&proof.proof),
            }),
        ));
    }
    let mut entropy = SeededEntropy::from_u64(31);
    let invitation = Invitation::mint(&node, &fixed::node_link(), in_days(90), &mut entropy);
    vectors.push(vector(
        "an operator's invitation",
        json!({
            "node_key": node.public().to_string(),
            "host": "node.example",
            "port": 4433,
            "secret": hex(invitation.secret().expose()),
            "expiry": in_days(90),
        }),
        json!({ "text": invitation.to_text().as_str() }),
    ));
    document(
        "Introductions and invitations (PROTOCOL.md section 5.6).",
        vectors,
    )
}

pub fn delegation() -> Value {
    let keys = fixed::access().address_keys(fixed::EPOCH).expect("finite");
    let node = fixed::node().public();
    let until = fixed::EPOCH.lease_end().as_secs();
    let statement = delegation_statement(&node, &keys.address, until);
    document(
        "A delegation (PROTOCOL.md section 5.7): Ed25519 by the access key over the statement.",
        vec![vector(
            "for one node until its lease ends",
            json!({
                "node_key": node.to_string(),
                "address": keys.address.to_string(),
                "until": until,
                "access_seed": hex(keys.access.expose()),
                "access_public": keys.access.public().to_string(),
            }),
            json!({ "statement": hex(statement), "delegation": hex(keys.access.sign(&statement)) }),
        )],
    )
}

pub fn push() -> Value {
    let challenge = PushMessage::Challenge {
        node: fixed::node().public(),
        challenge: PushChallenge::from_bytes([0x88; 16]),
    };
    document(
        "What a node sends by push (PROTOCOL.md section 5.16), before encryption.",
        vec![
            vector(
                "a wake-up",
                json!({}),
                json!({ "payload": hex(PushMessage::Wakeup.to_bytes()) }),
            ),
            vector(
                "a challenge",
                json!({
                    "node_key": fixed::node().public().to_string(),
                    "challenge": hex([0x88; 16]),
                }),
                json!({ "payload": hex(challenge.to_bytes()) }),
            ),
        ],
    )
}

pub fn record() -> Value {
    let access = fixed::access();
    let address_secret = address_secret();
    let mut entropy = SeededEntropy::from_u64(32);
    let vectors = [fixed::EPOCH, fixed::EPOCH.next()]
        .map(|epoch| {
            let signer = access.record_signer(epoch).expect("a key").expect("writes");
            let secret = access.record_secret(epoch);
            let node = fixed::node_link();
            let slots = own_slots(node.key(), signer.key());
            let [slot, ..] = slots;
            let record = signer.sign(&secret, &node, slot, fixed::TIME, &mut entropy);
            vector(
                "a node's record in one epoch",
                json!({
                    "dht_seed": hex(dht_seed()),
                    "dht_public": access.dht().to_string(),
                    "address_secret": hex(address_secret),
                    "epoch": epoch.number(),
                    "time_ms": fixed::TIME.as_millis(),
                    "node_key": fixed::node().public().to_string(),
                    "host": "node.example",
                    "port": 4433,
                }),
                json!({
                    "record_key": signer.key().to_string(),
                    "record_secret": hex(secret.expose()),
                    "slot": record.slot,
                    "slots": slots,
                    "seq": record.seq,
                    "value": hex(record.value),
                    "signature": hex(record.signature),
                }),
            )
        })
        .to_vec();
    document(
        "Blinded record keys and records in the DHT (PROTOCOL.md section 5.8).",
        vectors,
    )
}

fn address_secret() -> [u8; 32] {
    use ailurus::crypto::kdf::derive;
    let reader_root = derive::<32>(&fixed::ROOT, "ailurus/reader-root", &[]);
    *derive::<32>(reader_root.as_slice(), "ailurus/address-secret", &[])
}

fn dht_seed() -> [u8; 32] {
    use ailurus::crypto::{SigningKey, kdf::derive};
    let write = SigningKey::derive_from(&fixed::ROOT, "ailurus/write-key");
    *derive::<32>(write.expose().as_slice(), "ailurus/dht-key", &[])
}

/// So many days after [`fixed::TIME`], in Unix seconds.
fn in_days(days: u64) -> u64 {
    fixed::TIME.as_secs() + days * 24 * 3_600
}
