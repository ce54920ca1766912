//! Ed25519 keys (RFC 8032): super nodes, access keys of an epoch, the pseudonyms clients show to nodes, and the one-time
//! keys of introductions.
//!
//! The four purposes are four pairs of types, so that one cannot stand in for another. Verification is strict: keys
//! and nonces of small order and non-canonical encodings are refused.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::crypto::{
    newtype::{id_newtype, secret_newtype},
    schnorr::SignatureError,
};

/// What stands before the seed in a PKCS#8 v1 file (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Declares a seed and the public key that belongs to it.
macro_rules! ed25519_pair {
    (
        $(#[$secret_meta:meta])* $secret:ident,
        $(#[$public_meta:meta])* $public:ident
    ) => {
        secret_newtype! {
            $(#[$secret_meta])*
            pub struct $secret[32];
        }

        id_newtype! {
            $(#[$public_meta])*
            pub struct $public[32];
        }

        impl $secret {
            /// The public key.
            pub fn public(&self) -> $public {
                $public::from_bytes(SigningKey::from_bytes(self.expose()).verifying_key().to_bytes())
            }

            /// Signs a message of any length (RFC 8032, section 5.1.6).
            pub fn sign(&self, message: &[u8]) -> [u8; 64] {
                SigningKey::from_bytes(self.expose()).sign(message).to_bytes()
            }

            /// The seed as a PKCS#8 v1 file (RFC 8410, section 7), the form TLS libraries take.
            pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
                pkcs8_der(self.expose())
            }
        }

        impl $public {
            /// Checks a signature strictly.
            ///
            /// # Errors
            ///
            /// [`SignatureError`] if it was not made by this key for this message, or if these bytes are no key.
            pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), SignatureError> {
                verify_strict(self.as_bytes(), message, signature)
            }
        }
    };
}

ed25519_pair! {
    /// The private seed of a super node's identity.
    NodeSecret,
    /// A super node's identity, pinned by whoever handed out its link.
    NodeKey
}

ed25519_pair! {
    /// The private seed of a channel's access key for one epoch; every member derives it from the address secret.
    AccessSecret,
    /// A channel's access key for one epoch: it lets its holder register and fetch the epoch's address.
    AccessKey
}

ed25519_pair! {
    /// The private seed of a client's key at one super node.
    PseudonymSecret,
    /// A client's TLS key at one super node; it uses another at every node.
    Pseudonym
}

ed25519_pair! {
    /// The private seed of a holder's key in one introduction; never used for another.
    HolderSecret,
    /// A holder's one-time key in an introduction (docs/PROTOCOL.md, section 5.6).
    HolderKey
}

fn pkcs8_der(seed: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + seed.len()));
    der.extend_from_slice(&PKCS8_PREFIX);
    der.extend_from_slice(seed);
    der
}

pub(crate) fn verify_strict(
    key: &[u8; 32],
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), SignatureError> {
    VerifyingKey::from_bytes(key)
        .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)))
        .map_err(|_| SignatureError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::entropy::SeededEntropy;

    #[test]
    fn a_signature_fits_one_key_and_message() {
        let mut entropy = SeededEntropy::from_u64(1);
        let (alice, bob) = (
            NodeSecret::random(&mut entropy),
            NodeSecret::random(&mut entropy),
        );
        let signature = alice.sign(b"hello");
        assert_eq!(alice.public().verify(b"hello", &signature), Ok(()));
        assert_eq!(
            alice.public().verify(b"hallo", &signature),
            Err(SignatureError)
        );
        assert_eq!(
            bob.public().verify(b"hello", &signature),
            Err(SignatureError)
        );
    }

    #[test]
    fn bytes_that_are_no_key_verify_nothing() {
        let signature = AccessSecret::from_bytes([1; 32]).sign(b"");
        // The neutral element would make R = s·B pass for any message if small orders were allowed.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut forged = [0; 64];
        forged[0] = 1;
        assert_eq!(
            AccessKey::from_bytes(neutral).verify(b"", &forged),
            Err(SignatureError)
        );
        assert_eq!(
            AccessKey::from_bytes([0xff; 32]).verify(b"", &signature),
            Err(SignatureError)
        );
    }

    #[test]
    fn tls_accepts_the_pkcs8_form() {
        let secret = PseudonymSecret::from_bytes([3; 32]);
        let der = secret.to_pkcs8_der();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(der.as_slice());
        let key = rustls::crypto::ring::sign::any_eddsa_type(&key).unwrap();
        let scheme = [rustls::SignatureScheme::ED25519];
        let signature = key.choose_scheme(&scheme).unwrap().sign(b"hello").unwrap();
        assert_eq!(signature, secret.sign(b"hello"));
        let public = key.public_key().unwrap();
        assert!(public.as_ref().ends_with(secret.public().as_bytes()));
    }
}
