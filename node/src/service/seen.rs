//! Which clients were here: noted in memory, written with the next commit, at most once an hour for each.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ailurus::{crypto::Pseudonym, wire::time::UnixMillis};

/// Clients whose last visit is not in the database yet, and when it was.
#[derive(Default)]
pub(crate) struct Seen {
    waiting: Mutex<HashMap<Pseudonym, u64>>,
    /// When those were noted of whom it is not known what the database says.
    noted: Mutex<HashMap<Pseudonym, u64>>,
}

impl Seen {
    /// Notes a client whose last visit in the database is `before_s`.
    pub(crate) fn note(&self, pseudonym: &Pseudonym, before_s: u64, now: UnixMillis) {
        let now_s = now.as_secs();
        if before_s.saturating_add(INTERVAL_S) > now_s {
            return;
        }
        let mut waiting = self.waiting();
        if waiting.len() < WAITING {
            waiting.insert(*pseudonym, now_s);
        }
    }

    /// Notes a client of which it is not known when it was last here; nothing comes of it if it has no leases.
    pub(crate) fn note_visit(&self, pseudonym: &Pseudonym, now: UnixMillis) {
        let now_s = now.as_secs();
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let lately =
            |before_s: &u64| *before_s <= now_s && before_s.saturating_add(INTERVAL_S) > now_s;
        if noted.get(pseudonym).is_some_and(lately) {
            return;
        }
        if noted.len() >= WAITING {
            noted.retain(|_, before_s| lately(before_s));
        }
        if noted.len() >= WAITING {
            noted.clear();
        }
        noted.insert(*pseudonym, now_s);
        drop(noted);
        self.note(pseudonym, 0, now);
    }

    /// Hands over some of those that wait. If they cannot be written, they are noted again when they come again.
    pub(crate) fn take(&self) -> Vec<(Pseudonym, u64)> {
        let mut waiting = self.waiting();
        if waiting.len() <= AT_ONCE {
            return std::mem::take(&mut *waiting).into_iter().collect();
        }
        let some: Vec<_> = waiting
            .iter()
            .take(AT_ONCE)
            .map(|(pseudonym, seen_s)| (*pseudonym, *seen_s))
            .collect();
        for (pseudonym, _) in &some {
            waiting.remove(pseudonym);
        }
        some
    }

    /// Whether there is more to take.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting().is_empty()
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Pseudonym, u64>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How exact the database is, in seconds.
const INTERVAL_S: u64 = 3_600;
/// Clients that may wait, about 60 bytes each; the others are noted when they come again.
const WAITING: usize = 65_536;
/// Clients written with one commit, so that no publisher waits long.
const AT_ONCE: usize = 1_024;
