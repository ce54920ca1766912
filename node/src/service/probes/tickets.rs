//! Tickets: what they say, and how they are sealed and opened. The node keeps no list of them.

use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use ailurus::{
    channel::{SealedTicket, Ticket, TicketSecret},
    crypto::{Aead, AeadKey, NodeKey, kdf},
    wire::{limits::TICKET_LEN, probe::NONCE_LEN, time::UnixMillis},
};
use zeroize::Zeroizing;

use crate::store::{Store, TicketKey, TicketKeys};

/// What a ticket says to the node that sealed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Where the registration is in the database.
    pub(super) registration: i64,
    /// Whose it is.
    pub(super) client: u64,
    /// Its id and version, and the log's generation: all that makes the position mean something.
    pub(super) binding: u64,
    /// What is up to here is known to the client.
    pub(super) position: u64,
}

/// Seals and opens tickets, each under the key of its day.
pub(super) struct Tickets {
    node: NodeKey,
    days: RwLock<Option<Days>>,
    nonces: Nonces,
}

struct Days {
    day: u64,
    current: Sealing,
    previous: Sealing,
}

/// The keys of one day.
struct Sealing {
    aead: Aead,
    secrets: Zeroizing<[u8; 32]>,
}

/// Two nonces that never came before.
pub(super) struct Fresh {
    pub(super) answer: [u8; NONCE_LEN],
    pub(super) ticket: [u8; NONCE_LEN],
}

impl Tickets {
    pub(super) fn new(store: &Store, node: NodeKey) -> Self {
        // Without keys there are no tickets until the next day's are drawn.
        let kept = store.ticket_keys().ok().flatten();
        Self {
            node,
            days: RwLock::new(kept.map(|keys| Days::new(&keys))),
            nonces: Nonces::new(store.random()),
        }
    }

    /// Takes a new key if the day is a new one, and gives up the one from two days before.
    pub(super) fn turn(&self, store: &Store, now: UnixMillis) {
        let day = now.as_secs() / DAY_S;
        let is_new = |days: &Option<Days>| days.as_ref().is_none_or(|days| days.day < day);
        if !is_new(&self.days.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        match store.turn_ticket_keys(day) {
            Ok(keys) => {
                let mut days = self.days.write().unwrap_or_else(PoisonError::into_inner);
                *days = Some(Days::new(&keys));
            }
            Err(error) => tracing::warn!(%error, "tickets go on under the key of before"),
        }
    }

    /// Nonces for an answer and its ticket.
    pub(super) fn fresh(&self) -> Fresh {
        self.nonces.next()
    }

    /// A ticket under a nonce that never came before; `None` if there is no key yet.
    pub(super) fn seal(&self, nonce: &[u8; NONCE_LEN], contents: &Contents) -> Option<Ticket> {
        let days = self.days.read().unwrap_or_else(PoisonError::into_inner);
        Some(days.as_ref()?.current.seal(&self.node, nonce, contents))
    }

    /// What a ticket says, and its secret; `None` if it was not sealed here within two days.
    pub(super) fn open(&self, ticket: &[u8; TICKET_LEN]) -> Option<(Contents, TicketSecret)> {
        let days = self.days.read().unwrap_or_else(PoisonError::into_inner);
        let days = days.as_ref()?;
        days.current
            .open(&self.node, ticket)
            .or_else(|| days.previous.open(&self.node, ticket))
    }
}

impl Days {
    fn new(keys: &TicketKeys) -> Self {
        Self {
            day: keys.day,
            current: Sealing::new(&keys.current),
            previous: Sealing::new(&keys.previous),
        }
    }
}

impl Sealing {
    fn new(key: &TicketKey) -> Self {
        let derive = |label| kdf::derive::<32>(key.expose(), label, &[]);
        Self {
            aead: Aead::new(&AeadKey::from_bytes(*derive("ailurus/node/ticket"))),
            secrets: derive("ailurus/node/ticket-secret"),
        }
    }

    fn seal(&self, node: &NodeKey, nonce: &[u8; NONCE_LEN], contents: &Contents) -> Ticket {
        let Contents {
            registration,
            client,
            binding,
            position,
        } = contents;
        let mut text = [0; TEXT];
        let values = [
            registration.to_be_bytes(),
            client.to_be_bytes(),
            binding.to_be_bytes(),
            position.to_be_bytes(),
        ];
        for (place, value) in text.chunks_exact_mut(8).zip(values) {
            place.copy_from_slice(&value);
        }
        let mut sealed = [0; TICKET_LEN];
        let (place, rest) = sealed.split_at_mut(NONCE_LEN);
        place.copy_from_slice(nonce);
        rest.copy_from_slice(&self.aead.seal(nonce, node.as_bytes(), &text));
        Ticket {
            secret: self.secret(&sealed),
            sealed: SealedTicket::from_bytes(sealed),
        }
    }

    fn open(&self, node: &NodeKey, ticket: &[u8; TICKET_LEN]) -> Option<(Contents, TicketSecret)> {
        let text = self.aead.open_prefixed(node.as_bytes(), ticket).ok()?;
        let ([registration, client, binding, position], []) = text.as_chunks::<8>() else {
            return None;
        };
        let contents = Contents {
            registration: i64::from_be_bytes(*registration),
            client: u64::from_be_bytes(*client),
            binding: u64::from_be_bytes(*binding),
            position: u64::from_be_bytes(*position),
        };
        Some((contents, self.secret(ticket)))
    }

    fn secret(&self, ticket: &[u8; TICKET_LEN]) -> TicketSecret {
        TicketSecret::from_bytes(kdf::keyed_hash(&self.secrets, &[ticket]))
    }
}

/// A keyed hash of a counter, under a key of this process alone: no random source is needed, and none repeats but by a
/// chance of one in 2^96 for any two.
struct Nonces {
    key: Zeroizing<[u8; 32]>,
    count: AtomicU64,
}

impl Nonces {
    fn new(key: [u8; 32]) -> Self {
        Self {
            key: Zeroizing::new(key),
            count: AtomicU64::new(0),
        }
    }

    fn next(&self) -> Fresh {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let hash = kdf::keyed_hash(&self.key, &[&count.to_be_bytes()]);
        let mut fresh = Fresh {
            answer: [0; NONCE_LEN],
            ticket: [0; NONCE_LEN],
        };
        let (answer, rest) = hash.split_at(NONCE_LEN);
        fresh.answer.copy_from_slice(answer);
        let (ticket, _) = rest.split_at(NONCE_LEN);
        fresh.ticket.copy_from_slice(ticket);
        fresh
    }
}

const DAY_S: u64 = 24 * 3_600;
const TEXT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);
    const CONTENTS: Contents = Contents {
        registration: 7,
        client: 8,
        binding: 9,
        position: 10,
    };

    fn fresh(node: u8) -> (tempfile::TempDir, Store, Tickets) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("node.db")).expect("a database");
        let tickets = Tickets::new(&store, NodeKey::from_bytes([node; 32]));
        tickets.turn(&store, NOW);
        (folder, store, tickets)
    }

    #[test]
    fn a_ticket_opens_here_for_two_days_and_after_a_restart() {
        let (_folder, store, tickets) = fresh(1);
        let ticket = tickets
            .seal(&tickets.fresh().ticket, &CONTENTS)
            .expect("a key");
        let again = Tickets::new(&store, NodeKey::from_bytes([1; 32]));
        for tickets in [&tickets, &again] {
            let (contents, secret) = tickets.open(ticket.sealed.as_bytes()).expect("its own");
            assert_eq!(contents, CONTENTS);
            assert!(secret.ct_eq(&ticket.secret));
        }
        let day = std::time::Duration::from_secs(DAY_S);
        tickets.turn(&store, NOW.after(day));
        assert!(tickets.open(ticket.sealed.as_bytes()).is_some());
        tickets.turn(&store, NOW.after(2 * day));
        assert!(tickets.open(ticket.sealed.as_bytes()).is_none());
    }

    #[test]
    fn another_node_does_not_open_it_though_it_had_the_same_keys() {
        let (_folder, store, tickets) = fresh(1);
        let ticket = tickets
            .seal(&tickets.fresh().ticket, &CONTENTS)
            .expect("a key");
        let copy = Tickets::new(&store, NodeKey::from_bytes([2; 32]));
        assert!(copy.open(ticket.sealed.as_bytes()).is_none());
        let (_other, _store, other) = fresh(1);
        assert!(other.open(ticket.sealed.as_bytes()).is_none());
    }

    #[test]
    fn every_ticket_and_secret_is_another() {
        let (_folder, _store, tickets) = fresh(1);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            let ticket = tickets
                .seal(&tickets.fresh().ticket, &CONTENTS)
                .expect("a key");
            assert!(seen.insert(ticket.sealed.as_bytes().to_vec()));
            assert!(seen.insert(ticket.secret.expose().to_vec()));
        }
    }
}
