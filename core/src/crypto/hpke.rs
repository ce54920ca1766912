//! Sealing to an X25519 key: HPKE base mode (RFC 9180) with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM.
//!
//! Anyone can seal; who did is not shown. There is no forward secrecy: whoever gets the private key opens everything
//! ever sealed to it.

use ::hpke::{
    Deserializable, OpModeR, OpModeS, Serializable, aead::AesGcm256, kdf::HkdfSha256, kem::X25519HkdfSha256,
    single_shot_open, single_shot_seal_with_rng,
};

use crate::crypto::{
    dh::{DhPublic, DhSecret},
    entropy::{Entropy, EntropyRng},
};

/// Bytes of the encapsulated key before the ciphertext.
pub const ENC_LEN: usize = 32;

/// Bytes that sealing adds to a plaintext: encapsulated key and tag.
pub const OVERHEAD: usize = ENC_LEN + 16;

type Kem = X25519HkdfSha256;
type PublicKey = <Kem as ::hpke::Kem>::PublicKey;
type PrivateKey = <Kem as ::hpke::Kem>::PrivateKey;
type EncappedKey = <Kem as ::hpke::Kem>::EncappedKey;

/// Something could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpkeError {
    /// The recipient's key cannot be sealed to, as it has small order.
    #[error("the recipient's X25519 key has small order: refuse it and ask for a proper key")]
    BadRecipient,
    /// There are fewer bytes than an encapsulated key and a tag take.
    #[error("the sealed text is shorter than its key and tag: fetch it again in full")]
    TooShort,
    /// It was sealed to another key or context, or altered.
    #[error("the sealed text does not open with this key and context: it was altered or meant for someone else")]
    Rejected,
}

/// Seals `plaintext` to the holder of `recipient`; returns encapsulated key (32 bytes) ‖ ciphertext ‖ tag.
///
/// `info` names the purpose and `aad` what the text belongs to; the opener gives the same.
///
/// # Errors
///
/// [`HpkeError::BadRecipient`].
pub fn seal_to(
    recipient: &DhPublic,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, HpkeError> {
    let recipient = PublicKey::from_bytes(recipient.as_bytes()).map_err(|_| HpkeError::BadRecipient)?;
    let (enc, ciphertext) = single_shot_seal_with_rng::<AesGcm256, HkdfSha256, Kem>(
        &OpModeS::Base,
        &recipient,
        info,
        plaintext,
        aad,
        &mut EntropyRng(entropy),
    )
    .map_err(|_| HpkeError::BadRecipient)?;
    let mut sealed = enc.to_bytes().to_vec();
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

/// Opens what [`seal_to`] made for this key with the same `info` and `aad`.
///
/// # Errors
///
/// [`HpkeError::TooShort`] or [`HpkeError::Rejected`].
pub fn open_from(recipient: &DhSecret, info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, HpkeError> {
    let Some((enc, ciphertext)) = sealed.split_first_chunk::<ENC_LEN>() else {
        return Err(HpkeError::TooShort);
    };
    if sealed.len() < OVERHEAD {
        return Err(HpkeError::TooShort);
    }
    let enc = EncappedKey::from_bytes(enc).map_err(|_| HpkeError::Rejected)?;
    let recipient = PrivateKey::from_bytes(recipient.expose()).map_err(|_| HpkeError::Rejected)?;
    single_shot_open::<AesGcm256, HkdfSha256, Kem>(&OpModeR::Base, &recipient, &enc, info, ciphertext, aad)
        .map_err(|_| HpkeError::Rejected)
}
