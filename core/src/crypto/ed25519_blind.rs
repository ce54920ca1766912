//! An Ed25519 key blinded for one epoch, so that DHT records of different epochs cannot be linked by it.
//!
//! The blinding is that of Tor's onion services (rend-spec-v3, appendix A.2) with hashes of our own. For a master key
//! A = a·B, whose seed gives a and a nonce prefix p (RFC 8032, section 5.1.5):
//!
//! - h = tagged_hash("ailurus/record-blind", A ‖ address secret ‖ epoch as u64 big-endian), clamped as RFC 8032 clamps
//!   a private scalar. Clamping makes h a multiple of 8, so what is not of prime order in A vanishes.
//! - The blinded public key is A' = h·A.
//! - The blinded private key is a' = h·a mod l, with the nonce prefix p' = tagged_hash("ailurus/record-blind-prefix",
//!   p ‖ h).
//!
//! Whoever knows A and the address secret computes A'; only who holds the seed signs for it, and what is signed
//! verifies as plain Ed25519. A blinded private key never leaves the process.

use curve25519_dalek::{
    edwards::CompressedEdwardsY,
    scalar::{Scalar, clamp_integer},
    traits::IsIdentity,
};
use ed25519_dalek::{
    VerifyingKey,
    hazmat::{ExpandedSecretKey, raw_sign},
};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use crate::crypto::kdf;

/// A key cannot be blinded; no key that was made from a seed meets this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the channel's DHT key is no usable Ed25519 key: ask for a new link")]
pub struct BlindKeyError;

/// A private key blinded for one epoch; wiped when dropped.
pub(crate) struct BlindedSigner {
    secret: ExpandedSecretKey,
    public: VerifyingKey,
}

impl BlindedSigner {
    /// Blinds the key of a seed.
    pub(crate) fn of_seed(
        seed: &[u8; 32],
        address_secret: &[u8; 32],
        epoch: u64,
    ) -> Result<Self, BlindKeyError> {
        let mut expanded = Zeroizing::new([0; 64]);
        expanded.copy_from_slice(&Sha512::digest(seed));
        let master = ExpandedSecretKey::from_bytes(&expanded);
        let public = VerifyingKey::from(&master).to_bytes();
        let factor = factor(&public, address_secret, epoch);
        let prefix = kdf::tagged_hash(PREFIX_TAG, &[&master.hash_prefix, factor.as_slice()]);
        let factor = Zeroizing::new(Scalar::from_bytes_mod_order(clamp_integer(*factor)));
        Self::of_parts(*factor * master.scalar, prefix)
    }

    /// A key from its scalar and nonce prefix, as BEP 44 prints them.
    pub(crate) fn of_parts(scalar: Scalar, hash_prefix: [u8; 32]) -> Result<Self, BlindKeyError> {
        let secret = ExpandedSecretKey {
            scalar,
            hash_prefix,
        };
        let public = VerifyingKey::from(&secret);
        if public.is_weak() {
            return Err(BlindKeyError);
        }
        Ok(Self { secret, public })
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.public.to_bytes()
    }

    /// Signs as RFC 8032, section 5.1.6, from the scalar and the prefix on.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        raw_sign::<Sha512>(&self.secret, message, &self.public).to_bytes()
    }
}

/// The blinded public key of an epoch.
///
/// # Errors
///
/// [`BlindKeyError`] if the master key is not on the curve, not in its one encoding, or of small order.
pub fn blind_ed25519(
    master: &[u8; 32],
    address_secret: &[u8; 32],
    epoch: u64,
) -> Result<[u8; 32], BlindKeyError> {
    let point = CompressedEdwardsY(*master)
        .decompress()
        .filter(|point| point.compress().as_bytes() == master)
        .ok_or(BlindKeyError)?;
    let factor = factor(master, address_secret, epoch);
    let blinded = point.mul_clamped(*factor);
    if blinded.is_identity() {
        return Err(BlindKeyError);
    }
    Ok(blinded.compress().to_bytes())
}

const PREFIX_TAG: &str = "ailurus/record-blind-prefix";

/// h, before clamping.
fn factor(master: &[u8; 32], address_secret: &[u8; 32], epoch: u64) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(kdf::tagged_hash(
        "ailurus/record-blind",
        &[master, address_secret, &epoch.to_be_bytes()],
    ))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, SigningKey};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_that_are_no_key_cannot_be_blinded() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        // Of order 4.
        let small = [0; 32];
        for master in [neutral, small, [0xff; 32]] {
            assert_eq!(blind_ed25519(&master, &[1; 32], 1), Err(BlindKeyError));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn both_halves_are_blinded_alike(seed: [u8; 32], secret: [u8; 32], epoch: u64, message: Vec<u8>) {
            let master = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
            let signer = BlindedSigner::of_seed(&seed, &secret, epoch).unwrap();
            let public = blind_ed25519(&master, &secret, epoch).unwrap();
            prop_assert_eq!(signer.public(), public);
            prop_assert_ne!(public, master);
            let signature = Signature::from_bytes(&signer.sign(&message));
            let verifies = |key: [u8; 32]| {
                VerifyingKey::from_bytes(&key).unwrap().verify_strict(&message, &signature).is_ok()
            };
            prop_assert!(verifies(public));
            prop_assert!(!verifies(blind_ed25519(&master, &secret, epoch ^ 1).unwrap()));
            prop_assert!(!verifies(master));
        }
    }
}
