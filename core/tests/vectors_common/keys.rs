//! Hashes, signatures and everything that is derived from a channel's secrets.

use ailurus::{
    channel::{Access, Epoch, Link},
    crypto::{
        DhSecret, NodeSecret, SeededEntropy, SigningKey,
        blind::{blind_public, blind_signing, blind_tweak},
        entropy, kdf,
    },
};
use serde_json::{Value, json};

use super::{document, fixed, hex, vector};

pub fn kdf() -> Value {
    let secret = [0x0b; 32];
    let derived = |label: &str, context: &[u8]| {
        vector(
            "HKDF-SHA256, empty salt, info = label || 00 || context, 32 bytes",
            json!({ "secret": hex(secret), "label": label, "context": hex(context) }),
            json!({ "key": hex(*kdf::derive::<32>(&secret, label, context)) }),
        )
    };
    let tagged = |tag: &str, message: &[u8]| {
        vector(
            "SHA256(SHA256(tag) || SHA256(tag) || message)",
            json!({ "tag": tag, "message": hex(message) }),
            json!({ "hash": hex(kdf::tagged_hash(tag, &[message])) }),
        )
    };
    document(
        "Key derivation and tagged hashes (PROTOCOL.md section 1). The last vector is the byte stream of the seeded \
         random source that the other files draw from: tagged hash of seed || block number, blocks one after another.",
        vec![
            derived("ailurus/example", b""),
            derived("ailurus/example", &7_u64.to_be_bytes()),
            tagged("ailurus/example", b""),
            tagged("BIP0340/challenge", b"message"),
            vector(
                "80 bytes of the seeded source of number 7",
                json!({ "seed": hex(seed(7)) }),
                json!({ "stream": hex(entropy::array::<80>(&mut SeededEntropy::from_u64(7))) }),
            ),
        ],
    )
}

pub fn schnorr() -> Value {
    let message = kdf::sha256(&[b"message"]);
    let vectors = [(1, 0), (3, 1), (0x44, 0xff)]
        .map(|(last, aux)| {
            let mut secret = [0; 32];
            secret[31] = last;
            let key = SigningKey::from_bytes(&secret).expect("in range");
            vector(
                "BIP-340 signature of 32 bytes with given auxiliary randomness",
                json!({ "private": hex(secret), "message": hex(message), "aux": hex([aux; 32]) }),
                json!({
                    "public": key.public().to_string(),
                    "signature": hex(key.sign_with_aux(&message, &[aux; 32]).as_bytes()),
                }),
            )
        })
        .to_vec();
    document(
        "BIP-340 signatures as we use them; the official vectors are checked besides.",
        vectors,
    )
}

pub fn blind() -> Value {
    let address_secret = [0x5a; 32];
    let message = kdf::sha256(&[b"blinded"]);
    let vectors = [(1, 0), (2, 0), (6, 0), (9, 4)]
        .map(|(last, epoch)| {
            let mut secret = [0; 32];
            secret[31] = last;
            let key = SigningKey::from_bytes(&secret).expect("in range");
            let tweak = blind_tweak(&key.public(), &address_secret, epoch).expect("in range");
            let public = blind_public(&key.public(), &address_secret, epoch).expect("finite");
            let signing = blind_signing(&key, &address_secret, epoch).expect("finite");
            let odd = |key: &SigningKey| key.compressed_public()[0] == 3;
            vector(
                &format!(
                    "P has {} y, Q has {} y",
                    parity(odd(&key)),
                    parity(odd(&signing))
                ),
                json!({
                    "write_private": hex(secret),
                    "address_secret": hex(address_secret),
                    "epoch": epoch,
                    "message": hex(message),
                    "aux": hex([0; 32]),
                }),
                json!({
                    "write_public": key.public().to_string(),
                    "p_is_odd": odd(&key),
                    "tweak": hex(tweak),
                    "blinded_private": hex(signing.expose()),
                    "blinded_public": public.to_string(),
                    "q_is_odd": odd(&signing),
                    "signature": hex(signing.sign_with_aux(&message, &[0; 32]).as_bytes()),
                }),
            )
        })
        .to_vec();
    document(
        "Write keys blinded for an epoch (PROTOCOL.md section 3.2), in all four parities of P and Q. blinded_private is \
         the unreduced sum: BIP-340 signing negates it if Q has odd y.",
        vectors,
    )
}

pub fn access() -> Value {
    let native = fixed::access();
    let reader_root = kdf::derive(&fixed::ROOT, "ailurus/reader-root", &[]);
    let write = SigningKey::derive_from(&fixed::ROOT, "ailurus/write-key");
    let mut output = derived(&native, &write, &reader_root);
    output["admin_public"] = json!(native.admin().to_string());

    let link: Link = fixed::REDPANDA.parse().expect("the seed's string");
    let (scalar, compressed) = ailurus::channel::link::redpanda_keys(&link).expect("imported");
    let write = SigningKey::derive_from(scalar.as_slice(), "ailurus/redpanda/write-key");
    let reader_root = kdf::derive(scalar.as_slice(), "ailurus/redpanda/reader-root", &[]);
    let mut imported = derived(&link.access, &write, &reader_root);
    let admin = link.admin.expect("every importer is admin");
    imported["redpanda_private"] = json!(hex(scalar));
    imported["redpanda_public"] = json!(hex(compressed));
    imported["admin_private"] = json!(hex(admin.expose()));
    imported["admin_public"] = json!(admin.public().to_string());
    let read = link.read.expect("full access reads");
    imported["read_epoch"] = json!(read.epoch().number());
    imported["read_secret"] = json!(hex(read.secret().expose()));
    document(
        "What follows from a root and from a redPanda string (PROTOCOL.md section 2).",
        vec![
            vector(
                "a native channel",
                json!({ "root": hex(fixed::ROOT), "admin_private": hex(fixed::admin().expose()) }),
                output,
            ),
            vector(
                "the published example of seed 003",
                json!({ "text": fixed::REDPANDA }),
                imported,
            ),
        ],
    )
}

pub fn ratchet() -> Value {
    let mut secret = fixed::read_secret();
    let mut epoch = fixed::EPOCH;
    let mut vectors = Vec::new();
    for _ in 0..3 {
        let next = secret.ratchet();
        vectors.push(vector(
            "one turn",
            json!({ "epoch": epoch.number(), "read_secret": hex(secret.expose()) }),
            json!({
                "envelope_key": hex(*kdf::derive::<32>(secret.expose(), "ailurus/envelope-key", &[])),
                "next_epoch": epoch.next().number(),
                "next_read_secret": hex(next.expose()),
            }),
        ));
        secret = next;
        epoch = epoch.next();
    }
    document(
        "The read secret's ratchet and the key of each epoch's bodies (PROTOCOL.md section 3.1).",
        vectors,
    )
}

pub fn address() -> Value {
    let access = fixed::access();
    let address_secret = kdf::derive::<32>(
        &*kdf::derive::<32>(&fixed::ROOT, "ailurus/reader-root", &[]),
        "ailurus/address-secret",
        &[],
    );
    let vectors = [fixed::EPOCH, fixed::EPOCH.next(), Epoch::new(0)]
        .map(|epoch| {
            let keys = access.address_keys(epoch).expect("finite");
            vector(
                "the address of one epoch",
                json!({
                    "write_public": access.write_public().to_string(),
                    "address_secret": hex(*address_secret),
                    "epoch": epoch.number(),
                }),
                json!({
                    "blinded_public": keys.blinded.to_string(),
                    "access_seed": hex(keys.access.expose()),
                    "access_public": keys.access.public().to_string(),
                    "address": keys.address.to_string(),
                }),
            )
        })
        .to_vec();
    document(
        "Blinded key, access key and address of an epoch (PROTOCOL.md section 3.2).",
        vectors,
    )
}

/// What both origins of full access lead to.
fn derived(access: &Access, write: &SigningKey, reader_root: &[u8; 32]) -> Value {
    let sealing = DhSecret::from_bytes(*kdf::derive(reader_root, "ailurus/sealing-key", &[]));
    let dht = NodeSecret::from_bytes(*kdf::derive(
        write.expose().as_slice(),
        "ailurus/dht-key",
        &[],
    ));
    json!({
        "write_private": hex(write.expose()),
        "write_public": access.write_public().to_string(),
        "reader_root": hex(reader_root),
        "address_secret": hex(*kdf::derive::<32>(reader_root, "ailurus/address-secret", &[])),
        "sealing_private": hex(sealing.expose()),
        "sealing_public": access.sealing_public().to_string(),
        "dht_seed": hex(dht.expose()),
        "dht_public": access.dht().to_string(),
        "channel_id": access.channel_id().to_string(),
    })
}

fn parity(odd: bool) -> &'static str {
    if odd { "odd" } else { "even" }
}

fn seed(number: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[24..].copy_from_slice(&number.to_be_bytes());
    seed
}
