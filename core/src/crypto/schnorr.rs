//! BIP-340 Schnorr signatures over secp256k1.
//!
//! Public keys are x-only (32 bytes) and stand for the point with even y. A [`PublicKey`] exists only if it is on the
//! curve. Messages are 32 bytes: callers hash first, with a tag of their own.

use std::{
    cmp::Ordering,
    convert::Infallible,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use k256::{
    AffinePoint, NonZeroScalar,
    elliptic_curve::subtle::ConstantTimeEq,
    schnorr::{
        self,
        signature::{
            hazmat::{PrehashVerifier, RandomizedPrehashSigner},
            rand_core::{TryCryptoRng, TryRng},
        },
    },
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::crypto::{
    entropy::{self, Entropy},
    kdf,
    newtype::LengthError,
};

/// Bytes are not a key of secp256k1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The private key is zero.
    #[error("a private key cannot be zero: draw a new one or restore the right one")]
    Zero,
    /// The private key is not below the order of the curve.
    #[error(
        "the private key is not below the order of secp256k1: draw a new one or restore the right one"
    )]
    OutOfRange,
    /// No point of the curve has this x coordinate.
    #[error("the public key is not on secp256k1: ask for the right key")]
    NotOnCurve,
    /// Text that is no key.
    #[error("a public key is 64 hexadecimal digits: copy it whole")]
    Digits,
}

/// A signature was not made by this key for this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not belong to this key and message: discard the message")]
pub struct SignatureError;

/// A secret scalar that signs; wiped when dropped.
///
/// Besides BIP-340's own use, [`crate::crypto::blind`] tweaks it. It must never sign ECDSA.
pub struct SigningKey {
    secret: Zeroizing<[u8; 32]>,
    inner: schnorr::SigningKey,
    public: PublicKey,
}

impl ZeroizeOnDrop for SigningKey {}

impl SigningKey {
    /// Takes a big-endian scalar k with 0 < k < n.
    ///
    /// # Errors
    ///
    /// [`KeyError::Zero`] or [`KeyError::OutOfRange`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        if bytes.ct_eq(&[0; 32]).into() {
            return Err(KeyError::Zero);
        }
        let scalar = NonZeroScalar::from_repr((*bytes).into())
            .into_option()
            .ok_or(KeyError::OutOfRange)?;
        Ok(Self::from_scalar(scalar))
    }

    /// Draws a new key.
    pub fn random(entropy: &mut dyn Entropy) -> Self {
        loop {
            let bytes = Zeroizing::new(entropy::array(entropy));
            if let Ok(key) = Self::from_bytes(&bytes) {
                return key;
            }
        }
    }

    /// Derives a key from a secret: HKDF with `label` and one counter byte as context, counting from 0 until the result
    /// is in range, which practically always is at once.
    pub fn derive_from(secret: &[u8], label: &str) -> Self {
        (0..=u8::MAX)
            .find_map(|counter| Self::from_bytes(&kdf::derive(secret, label, &[counter])).ok())
            .expect("256 hashes in a row are out of range with probability 2^-32000")
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The 33-byte SEC 1 public key with its parity, which redPanda uses; the same as [`compressed_public`].
    pub fn compressed_public(&self) -> [u8; 33] {
        compressed_public(self)
    }

    /// Shows the secret scalar as it was given, to store it encrypted or to share it in a link.
    pub fn expose(&self) -> Zeroizing<[u8; 32]> {
        self.secret.clone()
    }

    /// Makes a second copy, which is wiped on its own.
    pub fn duplicate(&self) -> Self {
        Self {
            secret: self.secret.clone(),
            inner: self.inner.clone(),
            public: self.public,
        }
    }

    /// Signs 32 bytes with fresh auxiliary randomness (BIP-340, "Default Signing").
    pub fn sign(&self, message: &[u8; 32], entropy: &mut dyn Entropy) -> Signature {
        self.sign_with_aux(message, &entropy::array(entropy))
    }

    /// Signs 32 bytes with given auxiliary randomness, for test vectors; otherwise use [`SigningKey::sign`].
    pub fn sign_with_aux(&self, message: &[u8; 32], aux: &[u8; 32]) -> Signature {
        let signature = self
            .inner
            .sign_prehash_with_rng(&mut FixedAux(aux), message)
            .expect("nonce and s are zero with probability 2^-255");
        Signature(signature.to_bytes())
    }

    pub(super) fn from_scalar(mut scalar: NonZeroScalar) -> Self {
        let secret = Zeroizing::new(scalar.to_bytes().into());
        let inner = schnorr::SigningKey::from(scalar);
        scalar.zeroize();
        let public = PublicKey::from_verifying(*inner.verifying_key());
        Self {
            secret,
            inner,
            public,
        }
    }

    /// The secret scalar, negated if its point has odd y: the one whose point is the lifted public key.
    pub(super) fn even_scalar(&self) -> &NonZeroScalar {
        self.inner.as_nonzero_scalar()
    }
}

/// The 33-byte SEC 1 public key with its parity, which redPanda uses.
pub fn compressed_public(key: &SigningKey) -> [u8; 33] {
    let flipped = !bool::from(
        key.secret
            .as_slice()
            .ct_eq(key.even_scalar().to_bytes().as_slice()),
    );
    let mut bytes = [0; 33];
    bytes[0] = if flipped { 3 } else { 2 };
    bytes[1..].copy_from_slice(key.public.as_bytes());
    bytes
}

/// An x-only public key that is on the curve.
#[derive(Clone, Copy)]
pub struct PublicKey {
    bytes: [u8; 32],
    point: schnorr::VerifyingKey,
}

impl PublicKey {
    /// Lifts an x coordinate to the point with even y (BIP-340, lift_x).
    ///
    /// # Errors
    ///
    /// [`KeyError::NotOnCurve`] if there is no such point.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        schnorr::VerifyingKey::from_bytes(&(*bytes).into())
            .map(Self::from_verifying)
            .map_err(|_| KeyError::NotOnCurve)
    }

    /// The x coordinate, big-endian.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Checks a signature (BIP-340, "Verification").
    ///
    /// # Errors
    ///
    /// [`SignatureError`] if it was not made by this key for this message.
    pub fn verify(&self, message: &[u8; 32], signature: &Signature) -> Result<(), SignatureError> {
        schnorr::Signature::from_bytes(&signature.0)
            .and_then(|signature| self.point.verify_prehash(message, &signature))
            .map_err(|_| SignatureError)
    }

    /// The point with even y.
    pub(super) fn affine(&self) -> &AffinePoint {
        self.point.as_affine()
    }

    /// The x-only key of any finite point.
    pub(super) fn from_affine(point: AffinePoint) -> Option<Self> {
        schnorr::VerifyingKey::try_from(point)
            .ok()
            .map(Self::from_verifying)
    }

    fn from_verifying(point: schnorr::VerifyingKey) -> Self {
        Self {
            bytes: point.to_bytes().into(),
            point,
        }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(&self.bytes[..4]))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.bytes))
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| KeyError::Digits)?;
        Self::from_bytes(&bytes)
    }
}

/// A BIP-340 signature as it travels: x coordinate of R ‖ s. Whether it means anything shows when it is verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Length in bytes.
    pub const LEN: usize = 64;

    /// Takes the bytes of a signature.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// The two halves: x coordinate of R, and s.
    pub(super) fn halves(&self) -> (&[u8; 32], &[u8; 32]) {
        let (r, s) = self.0.split_at(32);
        let halves = (r.first_chunk(), s.first_chunk());
        let (Some(r), Some(s)) = halves else {
            unreachable!("64 bytes split into twice 32")
        };
        (r, s)
    }
}

impl TryFrom<&[u8]> for Signature {
    type Error = LengthError;

    fn try_from(bytes: &[u8]) -> Result<Self, LengthError> {
        let error = LengthError {
            what: "Signature",
            expected: Self::LEN,
            found: bytes.len(),
        };
        bytes.try_into().map(Self).map_err(|_| error)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", hex::encode(&self.0[..4]))
    }
}

/// Hands prepared auxiliary randomness to the signer, which asks for it through `rand_core`.
struct FixedAux<'a>(&'a [u8; 32]);

impl TryRng for FixedAux<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("BIP-340 asks for 32 bytes at once")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("BIP-340 asks for 32 bytes at once")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(self.0);
        Ok(())
    }
}

impl TryCryptoRng for FixedAux<'_> {}

#[cfg(test)]
mod tests {
    use k256::elliptic_curve::sec1::ToSec1Point;

    use super::*;
    use crate::crypto::entropy::SeededEntropy;

    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

    fn bytes(hex: &str) -> [u8; 32] {
        hex::decode(hex).unwrap().try_into().unwrap()
    }

    #[test]
    fn a_private_key_lies_between_zero_and_the_order() {
        let mut order = bytes(ORDER);
        assert_eq!(SigningKey::from_bytes(&[0; 32]).err(), Some(KeyError::Zero));
        assert_eq!(
            SigningKey::from_bytes(&order).err(),
            Some(KeyError::OutOfRange)
        );
        assert_eq!(
            SigningKey::from_bytes(&[0xff; 32]).err(),
            Some(KeyError::OutOfRange)
        );
        order[31] -= 1;
        let last = SigningKey::from_bytes(&order).unwrap();
        assert_eq!(*last.expose(), order);
        // (n - 1)·G = -G: the x of G with odd y.
        assert_eq!(last.compressed_public()[0], 3);
        let mut one = [0; 32];
        one[31] = 1;
        let one = SigningKey::from_bytes(&one).unwrap();
        assert_eq!(compressed_public(&one)[0], 2);
        assert_eq!(one.public(), last.public());
    }

    #[test]
    fn the_compressed_key_is_that_of_sec_1() {
        let mut entropy = SeededEntropy::from_u64(4);
        for _ in 0..8 {
            let key = SigningKey::random(&mut entropy);
            let secret = k256::SecretKey::from_bytes(&(*key.expose()).into()).unwrap();
            assert_eq!(
                key.compressed_public().as_slice(),
                secret.public_key().to_sec1_point(true).as_bytes()
            );
        }
    }

    #[test]
    fn a_signature_fits_one_key_and_message() {
        let mut entropy = SeededEntropy::from_u64(5);
        let (alice, bob) = (
            SigningKey::random(&mut entropy),
            SigningKey::random(&mut entropy),
        );
        let signature = alice.sign(&[1; 32], &mut entropy);
        assert_eq!(alice.public().verify(&[1; 32], &signature), Ok(()));
        assert_eq!(
            alice.public().verify(&[2; 32], &signature),
            Err(SignatureError)
        );
        assert_eq!(
            bob.public().verify(&[1; 32], &signature),
            Err(SignatureError)
        );
        assert_ne!(
            signature,
            alice.sign(&[1; 32], &mut entropy),
            "fresh randomness each time"
        );
        assert_eq!(
            alice.duplicate().sign_with_aux(&[1; 32], &[0; 32]),
            alice.sign_with_aux(&[1; 32], &[0; 32])
        );
    }

    #[test]
    fn derivation_depends_on_secret_and_label() {
        let key = SigningKey::derive_from(b"secret", "label");
        assert_eq!(*key.expose(), *kdf::derive::<32>(b"secret", "label", &[0]));
        assert_ne!(
            key.public(),
            SigningKey::derive_from(b"secret", "other").public()
        );
    }

    #[test]
    fn a_public_key_off_the_curve_is_refused() {
        let off = bytes("eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34");
        assert_eq!(PublicKey::from_bytes(&off), Err(KeyError::NotOnCurve));
        assert_eq!(PublicKey::from_bytes(&[0; 32]), Err(KeyError::NotOnCurve));
        let key = SigningKey::derive_from(b"secret", "label").public();
        assert_eq!(PublicKey::from_bytes(key.as_bytes()), Ok(key));
    }
}
