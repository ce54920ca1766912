//! Keys, signatures, encryption and key derivation: everything in Ailurus that is cryptography.
//!
//! The room holds thin newtypes over the RustCrypto and dalek crates. It adds no algorithm of its own except one
//! speed-up, [`batch`], which answers exactly as single verification does. What it adds is types: a key of one purpose
//! cannot be passed where another is meant, secrets are wiped when dropped and cannot be printed, compared with `==` or
//! copied by accident, and bytes from outside become a key only after they were checked.
//!
//! | module | what it does | standard |
//! |---|---|---|
//! | [`entropy`] | where random bytes come from | |
//! | [`newtype`] | macros for ids and secrets | |
//! | [`kdf`] | SHA-256, tagged hashes, HKDF, HMAC | FIPS 180-4, BIP-340, RFC 5869, RFC 2104 |
//! | [`aead`] | AES-256-GCM | NIST SP 800-38D |
//! | [`schnorr`] | signatures over secp256k1 | BIP-340 |
//! | [`blind`] | a write key blinded for one epoch | BIP-341, "Constructing and spending Taproot outputs" |
//! | [`batch`] | many BIP-340 signatures at once | BIP-340, "Batch Verification" |
//! | [`ed25519`] | node, access, pseudonym and holder keys | RFC 8032, RFC 8410 |
//! | [`ed25519_blind`] | a DHT key blinded for one epoch | Tor rend-spec-v3, appendix A.2 |
//! | [`dh`] | X25519 | RFC 7748 |
//! | [`hpke`] | sealing to an X25519 key | RFC 9180 |
//! | [`password`] | keys from pass phrases | RFC 9106 |
//!
//! Nothing here owns a random source or a clock: a function that needs randomness takes `&mut dyn Entropy`, so
//! protocol code replays from a seed.

pub mod aead;
mod affine;
pub mod batch;
pub mod blind;
pub mod dh;
pub mod ed25519;
pub mod ed25519_blind;
pub mod entropy;
pub mod hpke;
pub mod kdf;
mod multiscalar;
pub mod newtype;
pub mod password;
pub mod schnorr;

pub use self::{
    aead::{Aead, AeadError, AeadKey},
    batch::{BatchError, BatchItem, verify_batch, verify_each},
    blind::{BlindError, blind_public, blind_signing},
    dh::{DhError, DhPublic, DhSecret, SharedSecret},
    ed25519::{
        AccessKey, AccessSecret, HolderKey, HolderSecret, NodeKey, NodeSecret, Pseudonym,
        PseudonymSecret,
    },
    ed25519_blind::{BlindKeyError, blind_ed25519},
    entropy::{Entropy, OsEntropy, SeededEntropy},
    hpke::{HpkeError, open_from, seal_to},
    kdf::{TaggedHasher, derive, keyed_hash, sha256, tagged_hash},
    newtype::{LengthError, ParseIdError},
    password::{PasswordError, PasswordParams, derive_key},
    schnorr::{KeyError, PublicKey, Signature, SignatureError, SigningKey},
};
