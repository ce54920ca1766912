//! The side that is asked: it holds the pairs of a window for the rounds that follow.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ailurus::{
    channel::Address,
    crypto::Pseudonym,
    wire::{
        node::{Reason, Reconcile, Reconciled, Response, response::Kind},
        time::UnixMillis,
    },
};
use bytes::Bytes;
use negentropy::{Item, Negentropy};

use super::{FRAME, ITEMS, Turn, Window, hash, load, part::Part};
use crate::{
    service::{Service, Session, commit::answer},
    store::StoreError,
};

/// What is held for nodes that are being answered.
#[derive(Default)]
pub(in crate::service) struct Reconciliations {
    held: Mutex<HashMap<Pseudonym, Held>>,
    /// How many this node has begun itself.
    begun: Arc<AtomicUsize>,
}

struct Held {
    addresses: [u8; 32],
    window: Window,
    items: Arc<Vec<Item>>,
    until: UnixMillis,
}

impl Reconciliations {
    /// Forgets what was not asked for in the last minute.
    pub(in crate::service) fn expire(&self, now: UnixMillis) {
        self.held().retain(|_, held| held.until > now);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Pseudonym, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Leave to begin a reconciliation, unless as many as may be are under way: each holds 40 bytes an envelope.
    pub(crate) fn reconciliation_turn(&self) -> Option<Turn> {
        let begun = &self.reconciliations.begun;
        let more = |count: usize| (count < AT_ONCE).then_some(count.saturating_add(1));
        begun
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        Some(Turn(Arc::clone(begun)))
    }

    /// Answers one round. Reads a whole window at the first, so it belongs on a thread that may wait.
    pub(crate) fn reconcile(
        &self,
        session: &Session,
        now: UnixMillis,
        request: &Reconcile,
    ) -> Response {
        match self.reconciled(session, now, request) {
            Ok(Ok(message)) => answer(Kind::Reconciled(Reconciled {
                message: Bytes::from(message),
            })),
            Ok(Err(reason)) => self.refuse(reason, now),
            Err(_) => self.refuse(Reason::Storage, now),
        }
    }

    fn reconciled(
        &self,
        session: &Session,
        now: UnixMillis,
        request: &Reconcile,
    ) -> Result<Result<Vec<u8>, Reason>, StoreError> {
        let window = Window {
            from: request.from_ms,
            to: request.to_ms,
        };
        let asked = <[u8; 32]>::try_from(request.addresses.as_ref());
        let (Ok(asked), true) = (asked, window.from < window.to) else {
            return Ok(Err(Reason::Malformed));
        };
        let who = session.pseudonym;
        let leased = self.store.read(|reader| {
            let Some(registration) = reader.registration(&who)?.filter(|found| found.peer) else {
                return Ok(None);
            };
            Ok(Some(reader.leases(&registration, now)?))
        })?;
        let Some(leased) = leased else {
            return Ok(Err(Reason::NotRegistered));
        };
        let mut addresses: Vec<Address> = leased.iter().map(|lease| lease.address).collect();
        addresses.sort_unstable();
        if hash(&addresses) != asked {
            return Ok(Err(Reason::AddressesDiffer));
        }
        let items = match self.hold(&who, now, asked, window, &addresses)? {
            Ok(items) => items,
            Err(reason) => return Ok(Err(reason)),
        };
        let part = Part::of(&items, window);
        let message = Negentropy::owned(part, FRAME)
            .and_then(|mut negentropy| negentropy.reconcile(&request.message));
        match message {
            Ok(message) => {
                if message.len() <= 1 {
                    self.reconciliations.held().remove(&who);
                }
                Ok(Ok(message))
            }
            Err(_) => Ok(Err(Reason::Malformed)),
        }
    }

    /// The pairs of a window, from the round before or from the database.
    fn hold(
        &self,
        who: &Pseudonym,
        now: UnixMillis,
        addresses_hash: [u8; 32],
        window: Window,
        addresses: &[Address],
    ) -> Result<Result<Arc<Vec<Item>>, Reason>, StoreError> {
        {
            let mut held = self.reconciliations.held();
            held.retain(|_, held| held.until > now);
            if let Some(found) = held.get_mut(who)
                && found.addresses == addresses_hash
                && found.window == window
            {
                found.until = now.after(HELD);
                return Ok(Ok(Arc::clone(&found.items)));
            }
            held.remove(who);
            if held.len() >= AT_ONCE {
                return Ok(Err(Reason::Busy));
            }
            // Takes the place, so that no fifth is let in while this is being read.
            held.insert(
                *who,
                Held {
                    addresses: [0; 32],
                    window,
                    items: Arc::default(),
                    until: now.after(HELD),
                },
            );
        }
        let loaded = self.store.read(|reader| load(reader, addresses, window));
        let mut held = self.reconciliations.held();
        let items = match loaded {
            Ok(items) if items.len() <= ITEMS => Arc::new(items),
            Ok(_) => {
                held.remove(who);
                return Ok(Err(Reason::TooLarge));
            }
            Err(error) => {
                held.remove(who);
                return Err(error);
            }
        };
        self.admission
            .penalise(who, None, now, items.len() / ITEMS_PER_PRICE);
        held.insert(
            *who,
            Held {
                addresses: addresses_hash,
                window,
                items: Arc::clone(&items),
                until: now.after(HELD),
            },
        );
        Ok(Ok(items))
    }
}

/// So many pairs, read, cost a client's allowance as much as one request.
const ITEMS_PER_PRICE: usize = 64;
/// Nodes that are answered at once, and nodes that are asked.
const AT_ONCE: usize = 4;
/// How long pairs are held between two rounds.
const HELD: Duration = Duration::from_secs(60);
