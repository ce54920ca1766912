//! Sealing to an X25519 key: HPKE base mode (RFC 9180) with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM.
//!
//! Anyone can seal; who did is not shown. There is no forward secrecy: whoever gets the private key opens everything
//! ever sealed to it.

use ::hpke::{
    Deserializable, OpModeR, OpModeS, Serializable, aead::AesGcm256, kdf::HkdfSha256,
    kem::X25519HkdfSha256, single_shot_open, single_shot_seal_with_rng,
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
    #[error(
        "the sealed text does not open with this key and context: it was altered or meant for someone else"
    )]
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
    let recipient =
        PublicKey::from_bytes(recipient.as_bytes()).map_err(|_| HpkeError::BadRecipient)?;
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
pub fn open_from(
    recipient: &DhSecret,
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, HpkeError> {
    let Some((enc, ciphertext)) = sealed.split_first_chunk::<ENC_LEN>() else {
        return Err(HpkeError::TooShort);
    };
    if sealed.len() < OVERHEAD {
        return Err(HpkeError::TooShort);
    }
    let enc = EncappedKey::from_bytes(enc).map_err(|_| HpkeError::Rejected)?;
    let recipient = PrivateKey::from_bytes(recipient.expose()).map_err(|_| HpkeError::Rejected)?;
    single_shot_open::<AesGcm256, HkdfSha256, Kem>(
        &OpModeR::Base,
        &recipient,
        &enc,
        info,
        ciphertext,
        aad,
    )
    .map_err(|_| HpkeError::Rejected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::entropy::SeededEntropy;

    #[test]
    fn opens_the_official_vector() {
        // The test vectors that accompany RFC 9180 (as AWS-LC copies them), base mode, KEM 0x0020, KDF 0x0001,
        // AEAD 0x0002, first encryption. The RFC's own Appendix A prints no suite with AES-256-GCM.
        let secret = "497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d";
        let public = "430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c";
        let enc = "6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256";
        let ciphertext = "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a";
        let secret = DhSecret::try_from(hex::decode(secret).unwrap().as_slice()).unwrap();
        assert_eq!(secret.public().to_string(), public);
        let sealed = hex::decode([enc, ciphertext].concat()).unwrap();
        let opened = open_from(&secret, b"Ode on a Grecian Urn", b"Count-0", &sealed).unwrap();
        assert_eq!(opened, b"Beauty is truth, truth beauty");
    }

    #[test]
    fn only_the_recipient_opens_and_only_in_context() {
        let mut entropy = SeededEntropy::from_u64(1);
        let (alice, bob) = (
            DhSecret::random(&mut entropy),
            DhSecret::random(&mut entropy),
        );
        let sealed = seal_to(&alice.public(), b"info", b"aad", b"text", &mut entropy).unwrap();
        assert_eq!(sealed.len(), 4 + OVERHEAD);
        assert_eq!(
            open_from(&alice, b"info", b"aad", &sealed).unwrap(),
            b"text"
        );
        assert_eq!(
            open_from(&bob, b"info", b"aad", &sealed),
            Err(HpkeError::Rejected)
        );
        assert_eq!(
            open_from(&alice, b"Info", b"aad", &sealed),
            Err(HpkeError::Rejected)
        );
        assert_eq!(
            open_from(&alice, b"info", b"", &sealed),
            Err(HpkeError::Rejected)
        );
        for length in 0..sealed.len() {
            let error = if length < OVERHEAD {
                HpkeError::TooShort
            } else {
                HpkeError::Rejected
            };
            assert_eq!(
                open_from(&alice, b"info", b"aad", &sealed[..length]),
                Err(error)
            );
        }
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        let mut entropy = SeededEntropy::from_u64(2);
        let zero = DhPublic::from_bytes([0; 32]);
        assert_eq!(
            seal_to(&zero, b"", b"", b"", &mut entropy),
            Err(HpkeError::BadRecipient)
        );
        let alice = DhSecret::random(&mut entropy);
        assert_eq!(
            open_from(&alice, b"", b"", &[0; OVERHEAD]),
            Err(HpkeError::Rejected)
        );
    }
}
