//! Hashing and key derivation: SHA-256, BIP-340 tagged hashes, HKDF-SHA256 and HMAC-SHA256.
//!
//! Every use of a secret has its own label or tag, so what is derived for one purpose says nothing about another.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Longest output of HKDF-SHA256 in bytes (RFC 5869, section 2.3).
const MAX_HKDF_OUTPUT: usize = 255 * 32;

/// A key derivation could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KdfError {
    /// More bytes were asked for than HKDF-SHA256 can give.
    #[error(
        "HKDF-SHA256 gives at most 8,160 bytes: ask for fewer, or derive several keys with different labels"
    )]
    OutputTooLong,
}

/// SHA-256 (FIPS 180-4) of the parts one after another.
///
/// The boundaries between parts are not hashed: give variable-length parts their length.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    finish(Sha256::new(), parts)
}

/// Tagged hash (BIP-340, "Design"): SHA256(SHA256(tag) ‖ SHA256(tag) ‖ parts…).
///
/// For a tag that is used often, keep a [`TaggedHasher`].
pub fn tagged_hash(tag: &str, parts: &[&[u8]]) -> [u8; 32] {
    TaggedHasher::new(tag).hash(parts)
}

/// A tagged hash whose tag has been absorbed already, for hot paths.
///
/// The tag fills exactly one block of SHA-256, so each later hash saves its compression and that of the tag.
#[derive(Clone)]
pub struct TaggedHasher {
    midstate: Sha256,
}

impl TaggedHasher {
    /// Absorbs the tag.
    pub fn new(tag: &str) -> Self {
        let tag = Sha256::digest(tag.as_bytes());
        Self {
            midstate: Sha256::new().chain_update(tag).chain_update(tag),
        }
    }

    /// The tagged hash of the parts one after another; equal to [`tagged_hash`].
    pub fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        finish(self.midstate.clone(), parts)
    }
}

/// HKDF-SHA256 (RFC 5869) with an empty salt and info = label ‖ 0x00 ‖ context.
///
/// A label contains no zero byte, so two labels cannot give the same info. `N` is at most 8,160 bytes, checked when
/// compiled.
pub fn derive<const N: usize>(secret: &[u8], label: &str, context: &[u8]) -> Zeroizing<[u8; N]> {
    const {
        assert!(
            N <= MAX_HKDF_OUTPUT,
            "HKDF-SHA256 gives at most 8,160 bytes"
        );
    };
    debug_assert!(!label.contains('\0'), "a label contains no zero byte");
    let mut output = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::new(None, secret)
        .expand_multi_info(&[label.as_bytes(), &[0], context], output.as_mut_slice())
        .expect("the length was checked when compiled");
    output
}

/// HKDF-SHA256 (RFC 5869) with every input open, for protocols that prescribe their own salt and info.
///
/// Our own keys come from [`derive()`].
///
/// # Errors
///
/// [`KdfError::OutputTooLong`] if `output` is longer than 8,160 bytes.
pub fn hkdf_sha256(
    secret: &[u8],
    salt: &[u8],
    info: &[u8],
    output: &mut [u8],
) -> Result<(), KdfError> {
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(info, output)
        .map_err(|_| KdfError::OutputTooLong)
}

/// HMAC-SHA256 (RFC 2104) of the parts one after another.
pub fn keyed_hash(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn finish(mut hasher: Sha256, parts: &[&[u8]]) -> [u8; 32] {
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_matches_fips_180_4() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(sha256(&[b"a", b"", b"bc"])), expected);
    }

    #[test]
    fn a_tagged_hash_is_what_bip_340_says() {
        let tag = sha256(&[b"BIP0340/challenge"]);
        let expected = sha256(&[&tag, &tag, b"message"]);
        assert_eq!(
            tagged_hash("BIP0340/challenge", &[b"mess", b"age"]),
            expected
        );
        assert_ne!(tagged_hash("BIP0340/nonce", &[b"message"]), expected);
    }

    #[test]
    fn derive_is_hkdf_with_an_empty_salt() {
        let mut expected = [0; 42];
        hkdf_sha256(b"secret", b"", b"label\0context", &mut expected).unwrap();
        assert_eq!(*derive::<42>(b"secret", "label", b"context"), expected);
        assert_ne!(*derive::<42>(b"secret", "labelcontext", b""), expected);
    }

    #[test]
    fn an_output_that_hkdf_cannot_give_is_an_error() {
        let mut output = vec![0; MAX_HKDF_OUTPUT + 1];
        assert_eq!(
            hkdf_sha256(b"secret", b"", b"", &mut output),
            Err(KdfError::OutputTooLong)
        );
        assert_eq!(hkdf_sha256(b"secret", b"", b"", &mut output[1..]), Ok(()));
    }

    #[test]
    fn keyed_hash_is_hmac() {
        // RFC 4231, test case 2, with the key padded to 32 bytes by zeros, which HMAC does itself.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(
            hex::encode(keyed_hash(&key, &[b"what do ya want ", b"for nothing?"])),
            expected
        );
    }
}
