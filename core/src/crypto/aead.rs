//! AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags.
//!
//! One key must never see the same nonce twice. With random nonces ([`Aead::seal_random`]) keep to 2^32 messages a key
//! (SP 800-38D, section 8.3).

use aes_gcm::{
    Aes256Gcm,
    aead::{AeadInOut, KeyInit},
};

use crate::crypto::{
    entropy::{self, Entropy},
    newtype::secret_newtype,
};

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;

/// Bytes of a tag.
pub const TAG_LEN: usize = 16;

secret_newtype! {
    /// A key for AES-256-GCM.
    pub struct AeadKey[32];
}

/// A sealed text could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AeadError {
    /// There are fewer bytes than a nonce and a tag take.
    #[error("the sealed text is shorter than its nonce and tag: fetch it again in full")]
    TooShort,
    /// Key, nonce, associated data or ciphertext is not the one that was sealed.
    #[error(
        "the sealed text does not open with this key and context: it was altered or meant for someone else"
    )]
    Rejected,
}

/// An AES-256-GCM key, expanded once for many messages.
pub struct Aead {
    cipher: Aes256Gcm,
}

impl Aead {
    /// Expands a key.
    pub fn new(key: &AeadKey) -> Self {
        Self {
            cipher: Aes256Gcm::new(key.expose().into()),
        }
    }

    /// Encrypts and authenticates `plaintext` and authenticates `aad`; returns ciphertext ‖ tag.
    ///
    /// # Panics
    ///
    /// If `plaintext` is longer than GCM's 64 GiB.
    pub fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(plaintext.len() + TAG_LEN);
        buffer.extend_from_slice(plaintext);
        self.seal_in_place(nonce, aad, &mut buffer);
        buffer
    }

    /// Like [`Aead::seal`], replacing the plaintext in `buffer` by ciphertext ‖ tag.
    ///
    /// # Panics
    ///
    /// If the plaintext is longer than GCM's 64 GiB.
    pub fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut Vec<u8>) {
        let tag = self.seal_detached(nonce, aad, buffer);
        buffer.extend_from_slice(&tag);
    }

    /// Like [`Aead::seal`] with a fresh random nonce; returns nonce ‖ ciphertext ‖ tag.
    ///
    /// # Panics
    ///
    /// If `plaintext` is longer than GCM's 64 GiB.
    pub fn seal_random(&self, entropy: &mut dyn Entropy, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = entropy::array(entropy);
        let mut buffer = Vec::with_capacity(NONCE_LEN + plaintext.len() + TAG_LEN);
        buffer.extend_from_slice(&nonce);
        buffer.extend_from_slice(plaintext);
        let (_, text) = buffer.split_at_mut(NONCE_LEN);
        let tag = self.seal_detached(&nonce, aad, text);
        buffer.extend_from_slice(&tag);
        buffer
    }

    /// Opens ciphertext ‖ tag.
    ///
    /// # Errors
    ///
    /// [`AeadError`] if it is too short or not what was sealed; no plaintext is shown then.
    pub fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<Vec<u8>, AeadError> {
        let Some((text, tag)) = ciphertext.split_last_chunk::<TAG_LEN>() else {
            return Err(AeadError::TooShort);
        };
        let mut buffer = text.to_vec();
        self.cipher
            .decrypt_inout_detached(nonce.into(), aad, buffer.as_mut_slice().into(), tag.into())
            .map_err(|_| AeadError::Rejected)?;
        Ok(buffer)
    }

    /// Opens nonce ‖ ciphertext ‖ tag, the form that [`Aead::seal_random`] gives.
    ///
    /// # Errors
    ///
    /// As [`Aead::open`].
    pub fn open_prefixed(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, AeadError> {
        let Some((nonce, ciphertext)) = sealed.split_first_chunk::<NONCE_LEN>() else {
            return Err(AeadError::TooShort);
        };
        self.open(nonce, aad, ciphertext)
    }

    fn seal_detached(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        self.cipher
            .encrypt_inout_detached(nonce.into(), aad, text.into())
            .expect("no message or header of ours comes near GCM's 64 GiB")
            .into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::entropy::SeededEntropy;

    #[test]
    fn all_forms_agree() {
        let mut entropy = SeededEntropy::from_u64(1);
        let aead = Aead::new(&AeadKey::random(&mut entropy));
        let sealed = aead.seal_random(&mut entropy, b"header", b"text");
        let (nonce, rest) = sealed.split_first_chunk().unwrap();
        assert_eq!(aead.seal(nonce, b"header", b"text"), rest);
        assert_eq!(rest.len(), 4 + TAG_LEN);
        let mut buffer = b"text".to_vec();
        aead.seal_in_place(nonce, b"header", &mut buffer);
        assert_eq!(buffer, rest);
        assert_eq!(aead.open(nonce, b"header", rest).unwrap(), b"text");
    }

    #[test]
    fn another_key_or_header_does_not_open() {
        let mut entropy = SeededEntropy::from_u64(2);
        let aead = Aead::new(&AeadKey::random(&mut entropy));
        let other = Aead::new(&AeadKey::random(&mut entropy));
        let sealed = aead.seal_random(&mut entropy, b"header", b"text");
        assert_eq!(
            other.open_prefixed(b"header", &sealed),
            Err(AeadError::Rejected)
        );
        assert_eq!(
            aead.open_prefixed(b"Header", &sealed),
            Err(AeadError::Rejected)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_was_cut_or_altered_does_not_open(
            text in prop::collection::vec(any::<u8>(), 0..80), at in any::<prop::sample::Index>(), bit in 0..8u32,
        ) {
            let mut entropy = SeededEntropy::from_u64(3);
            let aead = Aead::new(&AeadKey::random(&mut entropy));
            let sealed = aead.seal_random(&mut entropy, b"", &text);
            prop_assert_eq!(aead.open_prefixed(b"", &sealed), Ok(text));
            let at = at.index(sealed.len());
            prop_assert!(aead.open_prefixed(b"", &sealed[..at]).is_err());
            let mut altered = sealed;
            altered[at] ^= 1 << bit;
            prop_assert_eq!(aead.open_prefixed(b"", &altered), Err(AeadError::Rejected));
        }
    }
}
