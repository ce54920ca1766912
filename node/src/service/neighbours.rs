//! Which clients are super nodes, and whether there is news of others.

use std::{
    collections::HashSet,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use ailurus::crypto::Pseudonym;

use super::Service;
use crate::store::Store;

/// What the service notes of other super nodes.
pub(super) struct Neighbours {
    /// Those that have leases here.
    registered: RwLock<HashSet<Pseudonym>>,
    /// What the store knows of others may have changed.
    changed: AtomicBool,
}

impl Neighbours {
    pub(super) fn new(store: &Store) -> Self {
        // If they cannot be read, they are known once they register again.
        let registered = store.read(|reader| reader.peer_pseudonyms());
        Self {
            registered: RwLock::new(registered.unwrap_or_default().into_iter().collect()),
            changed: AtomicBool::new(true),
        }
    }
}

impl Service {
    /// Whether a pseudonym is that of a super node with leases here.
    pub(crate) fn is_peer(&self, pseudonym: &Pseudonym) -> bool {
        let registered = self.neighbours.registered.read();
        registered
            .unwrap_or_else(PoisonError::into_inner)
            .contains(pseudonym)
    }

    /// Whether what is known of other nodes may have changed since the last call.
    pub(crate) fn take_neighbours_changed(&self) -> bool {
        self.neighbours.changed.swap(false, Ordering::AcqRel)
    }

    /// Notes that it may have.
    pub(crate) fn neighbours_changed(&self) {
        self.neighbours.changed.store(true, Ordering::Release);
    }

    /// Looks again which of these clients, whose leases changed, are super nodes.
    pub(super) fn sort_out_peers(&self, changed: &[Pseudonym]) {
        // An address that was leased or released may be shared now, or no more.
        self.neighbours_changed();
        for pseudonym in changed {
            // If it cannot be read, it stays what it was.
            let Ok(peer) = self.store.read(|reader| reader.is_peer(pseudonym)) else {
                continue;
            };
            let registered = self.neighbours.registered.write();
            let mut registered = registered.unwrap_or_else(PoisonError::into_inner);
            if peer {
                registered.insert(*pseudonym);
            } else {
                registered.remove(pseudonym);
            }
        }
    }
}
