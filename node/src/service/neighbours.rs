//! Which clients are super nodes, and whether there is news of others.

use std::{
    collections::HashSet,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use ailurus::crypto::Pseudonym;

use super::{Service, network::is_local_host};
use crate::store::Store;

/// What the service notes of other super nodes.
pub(super) struct Neighbours {
    /// Those that have leases here.
    registered: RwLock<HashSet<Pseudonym>>,
    /// What the store knows of others may have changed.
    changed: AtomicBool,
    /// This node is one of a local network, and so may be the others.
    local: AtomicBool,
}

impl Neighbours {
    pub(super) fn new(store: &Store) -> Self {
        // If they cannot be read, they are known once they register again.
        let registered = store.read(|reader| reader.peer_pseudonyms());
        Self {
            registered: RwLock::new(registered.unwrap_or_default().into_iter().collect()),
            changed: AtomicBool::new(true),
            local: AtomicBool::new(false),
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

    /// Tells the service how clients reach this node: at a host of a local network, others may be there too.
    pub fn advertise(&self, host: &str) {
        let local = is_local_host(host);
        self.neighbours.local.store(local, Ordering::Release);
    }

    /// Whether this node may be sent to a host by what others say.
    pub(crate) fn may_dial(&self, host: &str) -> bool {
        self.neighbours.local.load(Ordering::Acquire) || !is_local_host(host)
    }

    /// Whether what is known of other nodes may have changed since the last call.
    pub(crate) fn take_neighbours_changed(&self) -> bool {
        self.neighbours.changed.swap(false, Ordering::AcqRel)
    }

    /// Notes that it may have.
    pub(crate) fn neighbours_changed(&self) {
        self.neighbours.changed.store(true, Ordering::Release);
    }

    /// Notes whether delegations ended with the last lease of a client, given how many there were. New ones are noted when
    /// they are announced, so clients that come and go otherwise are no news.
    pub(super) fn note_ended_delegations(&self, before: u64) {
        if self.store.totals().delegations < before {
            self.neighbours_changed();
        }
    }

    /// Looks again which of these clients, whose leases changed, are super nodes.
    pub(super) fn sort_out_peers(&self, changed: &[Pseudonym]) {
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
