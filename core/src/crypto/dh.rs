//! X25519 key agreement (RFC 7748).

use x25519_dalek::{PublicKey, StaticSecret};

use crate::crypto::newtype::{id_newtype, secret_newtype};

secret_newtype! {
    /// A private X25519 key.
    pub struct DhSecret[32];
}

id_newtype! {
    /// A public X25519 key. Any 32 bytes are one (RFC 7748, section 5); bad ones show in [`DhSecret::diffie_hellman`].
    pub struct DhPublic[32];
}

secret_newtype! {
    /// What two sides of a key agreement share. It is not uniform: derive keys from it with [`crate::crypto::kdf`].
    pub struct SharedSecret[32];
}

/// A key agreement failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DhError {
    /// The result is all zero: the other side's key has small order and contributes nothing (RFC 7748, section 6.1).
    #[error("the other side's X25519 key has small order: refuse it and ask for a proper key")]
    SmallOrder,
}

impl DhSecret {
    /// The public key.
    pub fn public(&self) -> DhPublic {
        DhPublic::from_bytes(PublicKey::from(&self.inner()).to_bytes())
    }

    /// Agrees on a shared secret with the holder of `other`.
    ///
    /// # Errors
    ///
    /// [`DhError::SmallOrder`] if the result would be all zero.
    pub fn diffie_hellman(&self, other: &DhPublic) -> Result<SharedSecret, DhError> {
        let shared = self
            .inner()
            .diffie_hellman(&PublicKey::from(*other.as_bytes()));
        if !shared.was_contributory() {
            return Err(DhError::SmallOrder);
        }
        Ok(SharedSecret::from_bytes(shared.to_bytes()))
    }

    fn inner(&self) -> StaticSecret {
        StaticSecret::from(*self.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::entropy::SeededEntropy;

    #[test]
    fn both_sides_agree() {
        let mut entropy = SeededEntropy::from_u64(1);
        let (alice, bob) = (
            DhSecret::random(&mut entropy),
            DhSecret::random(&mut entropy),
        );
        let shared = alice.diffie_hellman(&bob.public()).unwrap();
        assert!(shared.ct_eq(&bob.diffie_hellman(&alice.public()).unwrap()));
        assert!(!shared.ct_eq(&alice.diffie_hellman(&alice.public()).unwrap()));
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        let alice = DhSecret::from_bytes([5; 32]);
        let mut one = [0; 32];
        one[0] = 1;
        for point in [[0; 32], one] {
            assert_eq!(
                alice.diffie_hellman(&DhPublic::from_bytes(point)).err(),
                Some(DhError::SmallOrder)
            );
        }
    }
}
