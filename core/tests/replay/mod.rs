//! The committed vectors replayed from their text alone.
//!
//! Below are the primitives of docs/PROTOCOL.md section 1 straight from their crates, without this library's wrappers.

use std::{fs, path::PathBuf};

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, KeyInit, Payload},
};
use hkdf::Hkdf;
use hpke::{
    Deserializable, OpModeR, aead::AesGcm256, kdf::HkdfSha256, kem::X25519HkdfSha256,
    single_shot_open,
};
use k256::{
    ProjectivePoint, Scalar,
    elliptic_curve::{ff::PrimeField, sec1::ToSec1Point},
    schnorr::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

mod keys;
mod links;
mod messages;
mod nodes;
mod probes;
mod transport;

fn hash(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}

fn tagged(tag: &str, parts: &[&[u8]]) -> [u8; 32] {
    let tag = hash(tag.as_bytes());
    hash(&[&tag, &tag, parts.concat().as_slice()].concat())
}

fn hkdf(secret: &[u8], label: &str, context: &[u8]) -> [u8; 32] {
    let info = [label.as_bytes(), &[0], context].concat();
    let mut output = [0; 32];
    Hkdf::<Sha256>::new(Some(&[]), secret)
        .expand(&info, &mut output)
        .expect("32 bytes");
    output
}

fn base58(text: &str) -> Vec<u8> {
    bs58::decode(text).into_vec().expect("Base58")
}

fn schnorr_verify(public: &Value, message: &[u8; 32], signature: &Value) -> bool {
    let bytes = |value: &Value| hex::decode(value.as_str().expect("text")).expect("hex");
    let key: [u8; 32] = bytes(public).try_into().expect("32 bytes");
    let key = VerifyingKey::from_bytes(&key.into()).expect("on the curve");
    Signature::try_from(bytes(signature).as_slice())
        .is_ok_and(|signature| key.verify_prehash(message, &signature).is_ok())
}

/// The point with this x and even y.
fn lift(x: &[u8]) -> ProjectivePoint {
    let x: [u8; 32] = x.try_into().expect("32 bytes");
    (*VerifyingKey::from_bytes(&x.into())
        .expect("on the curve")
        .as_affine())
    .into()
}

fn generator_times(scalar: &[u8; 32]) -> ProjectivePoint {
    ProjectivePoint::GENERATOR * Scalar::from_repr((*scalar).into()).expect("below n")
}

/// x, and whether y is odd.
fn coordinates(point: &ProjectivePoint) -> ([u8; 32], bool) {
    let encoded = point.to_affine().to_sec1_point(true);
    let (tag, x) = encoded.as_bytes().split_at(1);
    (x.try_into().expect("32 bytes"), tag == [3])
}

fn ed25519_public(seed: &[u8; 32]) -> [u8; 32] {
    ed25519_dalek::SigningKey::from_bytes(seed)
        .verifying_key()
        .to_bytes()
}

fn ed25519_verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let public: [u8; 32] = public.try_into().expect("32 bytes");
    let signature: [u8; 64] = signature.try_into().expect("64 bytes");
    ed25519_dalek::VerifyingKey::from_bytes(&public).is_ok_and(|key| {
        key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature))
            .is_ok()
    })
}

fn x25519_public(secret: &[u8; 32]) -> [u8; 32] {
    x25519_dalek::x25519(*secret, x25519_dalek::X25519_BASEPOINT_BYTES)
}

fn aes_open(key: &[u8; 32], nonce: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let nonce: [u8; 12] = nonce.try_into().expect("12 bytes");
    Aes256Gcm::new(key.into())
        .decrypt(&nonce.into(), Payload { msg: sealed, aad })
        .ok()
}

fn hpke_open(secret: &[u8], info: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (encapsulated, ciphertext) = sealed.split_at(32);
    let secret = <X25519HkdfSha256 as hpke::Kem>::PrivateKey::from_bytes(secret).expect("a key");
    let encapsulated =
        <X25519HkdfSha256 as hpke::Kem>::EncappedKey::from_bytes(encapsulated).expect("a key");
    single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &secret,
        &encapsulated,
        info,
        ciphertext,
        aad,
    )
    .ok()
}

pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors")
}

pub fn read(name: &str) -> String {
    fs::read_to_string(directory().join(name))
        .unwrap_or_else(|error| panic!("docs/vectors/{name}: {error}"))
}

fn cases(name: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(&read(name)).expect("JSON");
    let cases = document["vectors"].as_array().expect("a list").clone();
    assert!(!cases.is_empty(), "{name} is empty");
    cases
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("hex text")).expect("hex")
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("the right length")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}
