//! Signatures that were found good, for nodes that share a process: in a simulation each is verified once, by the node
//! that sees it first.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ailurus::crypto::{batch::BatchItem, kdf};

/// What one of the nodes has verified. It grows with every signature: for simulations, which end.
#[derive(Debug, Default)]
pub struct Verified(Mutex<HashSet<[u8; 32]>>);

impl Verified {
    pub(super) fn knows(&self, item: &BatchItem) -> bool {
        self.all().contains(&hash(item))
    }

    pub(super) fn remember(&self, item: &BatchItem) {
        self.all().insert(hash(item));
    }

    fn all(&self) -> MutexGuard<'_, HashSet<[u8; 32]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(item: &BatchItem) -> [u8; 32] {
    kdf::sha256(&[
        item.key.as_bytes(),
        &item.message,
        item.signature.as_bytes(),
    ])
}

#[cfg(test)]
mod tests {
    use ailurus::crypto::{SeededEntropy, Signature, SigningKey};

    use super::*;

    #[test]
    fn a_signature_is_known_for_its_key_and_message_alone() {
        let mut entropy = SeededEntropy::from_u64(1);
        let mut keys = || SigningKey::random(&mut entropy).public();
        let item = BatchItem {
            key: keys(),
            message: [1; 32],
            signature: Signature::from_bytes([2; 64]),
        };
        let verified = Verified::default();
        assert!(!verified.knows(&item));
        verified.remember(&item);
        assert!(verified.knows(&item));
        let other_key = BatchItem {
            key: keys(),
            ..item
        };
        let other_message = BatchItem {
            message: [3; 32],
            ..item
        };
        let other_signature = BatchItem {
            signature: Signature::from_bytes([3; 64]),
            ..item
        };
        for other in [other_key, other_message, other_signature] {
            assert!(!verified.knows(&other));
        }
    }
}
