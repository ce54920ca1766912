//! A write key blinded for one epoch, so that addresses of different epochs cannot be linked by it.
//!
//! The blinding is BIP-341's tweak ("Constructing and spending Taproot outputs") with another tag: P = lift_x(write
//! key), t = tagged_hash("ailurus/blind", P ‖ address secret ‖ epoch as u64 big-endian), Q = P + t·G. Whoever knows the
//! write key's public half and the address secret computes Q; only who holds the private half signs for it, and signing
//! is plain BIP-340. A blinded private key never leaves the process.

use k256::{
    NonZeroScalar, ProjectivePoint, Scalar,
    elliptic_curve::{ff::PrimeField, group::Group},
};
use zeroize::Zeroizing;

use crate::crypto::{
    kdf,
    schnorr::{PublicKey, SigningKey},
};

/// Tag of the hash that gives the tweak.
pub const BLIND_TAG: &str = "ailurus/blind";

/// A key cannot be blinded for this epoch; each case has a probability of about 2^-128 or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlindError {
    /// The tweak is zero, which would publish the write key itself.
    #[error("the blinding tweak is zero: rotate the channel to get another address secret")]
    ZeroTweak,
    /// The tweak is not below the order of the curve.
    #[error("the blinding tweak is out of range: rotate the channel to get another address secret")]
    TweakOutOfRange,
    /// The blinded key is the point at infinity.
    #[error(
        "the blinded key is the point at infinity: rotate the channel to get another address secret"
    )]
    Infinity,
}

/// The blinded public key of an epoch: the x-only Q.
///
/// # Errors
///
/// [`BlindError`], practically never.
pub fn blind_public(
    key: &PublicKey,
    address_secret: &[u8; 32],
    epoch: u64,
) -> Result<PublicKey, BlindError> {
    tweak_public(
        key,
        &parse_tweak(&blind_tweak(key, address_secret, epoch)?)?,
    )
}

/// The blinded signing key of an epoch, whose public key is that of [`blind_public`].
///
/// # Errors
///
/// [`BlindError`], practically never.
pub fn blind_signing(
    key: &SigningKey,
    address_secret: &[u8; 32],
    epoch: u64,
) -> Result<SigningKey, BlindError> {
    tweak_signing(
        key,
        &parse_tweak(&blind_tweak(&key.public(), address_secret, epoch)?)?,
    )
}

/// The tweak t as 32 big-endian bytes, for test vectors and independent implementations.
///
/// # Errors
///
/// [`BlindError::ZeroTweak`] or [`BlindError::TweakOutOfRange`], practically never.
pub fn blind_tweak(
    key: &PublicKey,
    address_secret: &[u8; 32],
    epoch: u64,
) -> Result<[u8; 32], BlindError> {
    let tweak = kdf::tagged_hash(
        BLIND_TAG,
        &[key.as_bytes(), address_secret, &epoch.to_be_bytes()],
    );
    parse_tweak(&tweak)?;
    Ok(tweak)
}

fn parse_tweak(tweak: &[u8; 32]) -> Result<NonZeroScalar, BlindError> {
    let scalar = Scalar::from_repr((*tweak).into())
        .into_option()
        .ok_or(BlindError::TweakOutOfRange)?;
    NonZeroScalar::new(scalar)
        .into_option()
        .ok_or(BlindError::ZeroTweak)
}

fn tweak_public(key: &PublicKey, tweak: &NonZeroScalar) -> Result<PublicKey, BlindError> {
    let point = ProjectivePoint::mul_by_generator(tweak) + key.affine();
    if point.is_identity().into() {
        return Err(BlindError::Infinity);
    }
    PublicKey::from_affine(point.to_affine()).ok_or(BlindError::Infinity)
}

fn tweak_signing(key: &SigningKey, tweak: &NonZeroScalar) -> Result<SigningKey, BlindError> {
    // The even scalar is the private key negated if P has odd y.
    let sum = Zeroizing::new(**key.even_scalar() + **tweak);
    let blinded = NonZeroScalar::new(*sum)
        .into_option()
        .ok_or(BlindError::Infinity)?;
    Ok(SigningKey::from_scalar(blinded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{entropy::SeededEntropy, schnorr::compressed_public};

    const ADDRESS_SECRET: [u8; 32] = [0x5a; 32];

    fn small_key(scalar: u8) -> SigningKey {
        let mut bytes = [0; 32];
        bytes[31] = scalar;
        SigningKey::from_bytes(&bytes).unwrap()
    }

    /// Whether P and Q have odd y. Q's parity shows in the unreduced sum, before BIP-340 drops it.
    fn parities(key: &SigningKey, epoch: u64) -> (bool, bool) {
        let blinded = blind_signing(key, &ADDRESS_SECRET, epoch).unwrap();
        (
            compressed_public(key)[0] == 3,
            compressed_public(&blinded)[0] == 3,
        )
    }

    /// Private key (last byte), epoch, and whether P and Q have odd y.
    const PARITIES: [(u8, u64, bool, bool); 4] = [
        (1, 0, false, false),
        (2, 0, false, true),
        (6, 0, true, false),
        (9, 4, true, true),
    ];

    #[test]
    fn all_four_parities_sign_and_verify() {
        let mut entropy = SeededEntropy::from_u64(1);
        for (scalar, epoch, p_odd, q_odd) in PARITIES {
            let key = small_key(scalar);
            assert_eq!(
                parities(&key, epoch),
                (p_odd, q_odd),
                "key {scalar}, epoch {epoch}"
            );
            let signing = blind_signing(&key, &ADDRESS_SECRET, epoch).unwrap();
            let public = blind_public(&key.public(), &ADDRESS_SECRET, epoch).unwrap();
            assert_eq!(signing.public(), public);
            let signature = signing.sign(&[7; 32], &mut entropy);
            assert_eq!(public.verify(&[7; 32], &signature), Ok(()));
            assert!(key.public().verify(&[7; 32], &signature).is_err());
        }
    }

    /// Q of each entry of [`PARITIES`], computed by a separate implementation in Python integers.
    const BLINDED: [&str; 4] = [
        "c63dcff5fd9978c2122830839dccbe99de312990f03c08fd7f7059536d4d5c80",
        "dd7fd04d9a7871089b5a91fbd00d476683501de7f646fc84d9434e708bafbecb",
        "c2a37f336717bba6c58f19afdedb9cdc38146eebd1411792241035248ffa6ac0",
        "81c4a86ed75c140f47a041e5b15814b2a3a99ec9898ca2437cbf653585961701",
    ];

    #[test]
    fn blinded_keys_match_another_implementation() {
        for ((scalar, epoch, ..), expected) in PARITIES.into_iter().zip(BLINDED) {
            let blinded =
                blind_public(&small_key(scalar).public(), &ADDRESS_SECRET, epoch).unwrap();
            assert_eq!(blinded.to_string(), expected, "key {scalar}, epoch {epoch}");
        }
    }

    #[test]
    fn blinding_agrees_with_the_formula_on_points() {
        for (scalar, epoch, ..) in PARITIES {
            let public = small_key(scalar).public();
            let preimage = [
                public.as_bytes().as_slice(),
                &ADDRESS_SECRET,
                &epoch.to_be_bytes(),
            ]
            .concat();
            let tag = kdf::sha256(&[b"ailurus/blind"]);
            let tweak = blind_tweak(&public, &ADDRESS_SECRET, epoch).unwrap();
            assert_eq!(tweak, kdf::sha256(&[&tag, &tag, &preimage]));
            let scalar = Scalar::from_repr(tweak.into()).unwrap();
            let q = ProjectivePoint::from(*public.affine()) + ProjectivePoint::GENERATOR * scalar;
            let expected = PublicKey::from_affine(q.to_affine()).unwrap();
            assert_eq!(blind_public(&public, &ADDRESS_SECRET, epoch), Ok(expected));
        }
    }

    #[test]
    fn key_secret_and_epoch_all_matter() {
        let (one, two) = (small_key(1).public(), small_key(2).public());
        let base = blind_public(&one, &ADDRESS_SECRET, 1).unwrap();
        assert_ne!(base, one);
        assert_ne!(base, blind_public(&one, &ADDRESS_SECRET, 2).unwrap());
        assert_ne!(base, blind_public(&one, &[0; 32], 1).unwrap());
        assert_ne!(base, blind_public(&two, &ADDRESS_SECRET, 1).unwrap());
    }

    #[test]
    fn degenerate_tweaks_are_errors() {
        let order = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
            .unwrap();
        let order: [u8; 32] = order.try_into().unwrap();
        assert_eq!(parse_tweak(&[0; 32]).err(), Some(BlindError::ZeroTweak));
        assert_eq!(parse_tweak(&order).err(), Some(BlindError::TweakOutOfRange));
        for scalar in [1, 6] {
            let key = small_key(scalar);
            let opposite = -*key.even_scalar();
            assert_eq!(
                tweak_public(&key.public(), &opposite),
                Err(BlindError::Infinity)
            );
            assert_eq!(
                tweak_signing(&key, &opposite).err(),
                Some(BlindError::Infinity)
            );
        }
    }
}
