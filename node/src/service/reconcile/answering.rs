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

use super::{FRAME, ITEMS, Turn, Window, hash, last::is_last, load, part::Part};
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
    /// None while they are being read.
    items: Option<Arc<Vec<Item>>>,
    /// Since when the node has a place, for whatever window.
    since: UnixMillis,
    until: UnixMillis,
}

impl Reconciliations {
    /// Forgets what was not asked for in the last minute.
    pub(in crate::service) fn expire(&self, now: UnixMillis) {
        self.held()
            .retain(|_, held| held.items.is_none() || held.until > now);
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
        if !self.is_peer(&who) {
            return Ok(Err(Reason::NotRegistered));
        }
        let items = match self.reconciliations.place(&who, now, asked, window) {
            Ok(Some(items)) => items,
            Ok(None) => {
                let read = self.read_pairs(&who, now, asked, window);
                self.reconciliations.fill(&who, &read);
                match read? {
                    Ok(items) => items,
                    Err(reason) => return Ok(Err(reason)),
                }
            }
            Err(reason) => return Ok(Err(reason)),
        };
        let part = Part::of(&items, window);
        let message = Negentropy::owned(part, FRAME)
            .and_then(|mut negentropy| negentropy.reconcile(&request.message));
        match message {
            Ok(message) => {
                if is_last(&message) {
                    self.reconciliations.held().remove(&who);
                }
                Ok(Ok(message))
            }
            Err(_) => Ok(Err(Reason::Malformed)),
        }
    }

    /// Reads the pairs of a window of all that a node has leased.
    fn read_pairs(
        &self,
        who: &Pseudonym,
        now: UnixMillis,
        asked: [u8; 32],
        window: Window,
    ) -> Result<Result<Arc<Vec<Item>>, Reason>, StoreError> {
        let read = self.store.read(|reader| {
            let Some(registration) = reader.registration(who)?.filter(|found| found.peer) else {
                return Ok(Err(Reason::NotRegistered));
            };
            let leased = reader.leases(&registration, now)?;
            let mut addresses: Vec<Address> = leased.iter().map(|lease| lease.address).collect();
            addresses.sort_unstable();
            if hash(&addresses) != asked {
                return Ok(Err(Reason::AddressesDiffer));
            }
            load(reader, &addresses, window, ITEMS).map(Ok)
        })?;
        let items = match read {
            Ok(items) => items,
            Err(reason) => return Ok(Err(reason)),
        };
        // What was read is paid for, whether it is of use or not.
        self.admission
            .penalise(who, None, now, items.len() / ITEMS_PER_PRICE);
        if items.len() > ITEMS {
            return Ok(Err(Reason::TooLarge));
        }
        Ok(Ok(Arc::new(items)))
    }
}

impl Reconciliations {
    /// What is held for a node, or nothing if it has a place now and the pairs are to be read.
    fn place(
        &self,
        who: &Pseudonym,
        now: UnixMillis,
        addresses: [u8; 32],
        window: Window,
    ) -> Result<Option<Arc<Vec<Item>>>, Reason> {
        let mut held = self.held();
        held.retain(|_, held| held.items.is_none() || held.until > now);
        let mut since = now;
        if let Some(found) = held.get_mut(who) {
            let Some(items) = &found.items else {
                // On another stream; each costs the memory and the thread of one node.
                return Err(Reason::Busy);
            };
            if found.addresses == addresses && found.window == window {
                found.until = now.after(HELD);
                return Ok(Some(Arc::clone(items)));
            }
            since = found.since;
        } else if held.len() >= AT_ONCE {
            // Whoever has had a place for long makes room.
            let oldest = held
                .iter()
                .filter(|(_, held)| held.items.is_some() && held.since.after(LONGEST) <= now)
                .min_by_key(|(_, held)| held.since);
            let Some(oldest) = oldest.map(|(node, _)| *node) else {
                return Err(Reason::Busy);
            };
            held.remove(&oldest);
        }
        let reading = Held {
            addresses,
            window,
            items: None,
            since,
            until: now.after(HELD),
        };
        held.insert(*who, reading);
        Ok(None)
    }

    /// Puts what was read into its place, or gives that up.
    fn fill(&self, who: &Pseudonym, read: &Result<Result<Arc<Vec<Item>>, Reason>, StoreError>) {
        let mut held = self.held();
        let Ok(Ok(items)) = read else {
            held.remove(who);
            return;
        };
        if let Some(held) = held.get_mut(who) {
            held.items = Some(Arc::clone(items));
        }
    }
}

/// So many pairs, read, cost a client's allowance as much as one request.
const ITEMS_PER_PRICE: usize = 64;
/// Nodes that are answered at once, and nodes that are asked.
const AT_ONCE: usize = 4;
/// After this time a node makes room for another that waits.
const LONGEST: Duration = Duration::from_secs(120);
/// How long pairs are held between two rounds.
const HELD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);
    const HERE: [u8; 32] = [1; 32];

    fn node(number: u8) -> Pseudonym {
        Pseudonym::from_bytes([number; 32])
    }

    fn window(from: u64) -> Window {
        Window { from, to: 1_000 }
    }

    /// What a node is told that asks for a window: whether it is held, is to be read, or why not.
    fn ask(places: &Reconciliations, who: u8, now: UnixMillis, from: u64) -> Result<bool, Reason> {
        let place = places.place(&node(who), now, HERE, window(from));
        place.map(|held| held.is_some())
    }

    fn fill(places: &Reconciliations, who: u8) {
        places.fill(&node(who), &Ok(Ok(Arc::default())));
    }

    #[test]
    fn one_node_reads_once_at_a_time_however_many_streams_it_has() {
        let places = Reconciliations::default();
        assert_eq!(ask(&places, 1, NOW, 0), Ok(false));
        assert_eq!(ask(&places, 1, NOW, 0), Err(Reason::Busy));
        assert_eq!(ask(&places, 1, NOW, 1), Err(Reason::Busy));
        // Not even after the time for which pairs are held, as the reading goes on.
        assert_eq!(ask(&places, 1, NOW.after(HELD), 1), Err(Reason::Busy));
        fill(&places, 1);
        assert_eq!(ask(&places, 1, NOW, 0), Ok(true));
        assert_eq!(ask(&places, 1, NOW, 1), Ok(false));
        let failed = Ok(Err(Reason::AddressesDiffer));
        places.fill(&node(1), &failed);
        assert_eq!(ask(&places, 1, NOW, 1), Ok(false));
    }

    #[test]
    fn nobody_keeps_a_place_for_ever() {
        let places = Reconciliations::default();
        for who in 1..=4 {
            assert_eq!(ask(&places, who, NOW, 0), Ok(false));
            fill(&places, who);
        }
        assert_eq!(ask(&places, 5, NOW, 0), Err(Reason::Busy));
        let later = NOW.after(Duration::from_secs(50));
        for who in 1..=4 {
            // Another window is no other place.
            assert_eq!(ask(&places, who, later, 1), Ok(false));
            fill(&places, who);
        }
        let last = later.after(Duration::from_secs(50));
        for who in 1..=4 {
            assert_eq!(ask(&places, who, last, 1), Ok(true));
        }
        assert_eq!(ask(&places, 5, last, 0), Err(Reason::Busy));
        assert_eq!(ask(&places, 5, NOW.after(LONGEST), 0), Ok(false));
        assert_eq!(places.held().len(), 4);
    }
}
