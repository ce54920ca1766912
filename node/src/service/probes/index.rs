//! What is needed to answer at once, in memory: the addresses of clients that asked, and the last position of each.
//!
//! It is filled from the database when a client asks for the first time, and follows every commit. It may say that there
//! is something where there is nothing; the other way round it never errs.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use ailurus::channel::Standing;

use super::tickets::Contents;

/// Clients and addresses that are known.
pub(super) struct Index {
    state: Mutex<State>,
    /// Held by whoever reads a client from the database: one at a time.
    loading: Mutex<()>,
    most_clients: usize,
    most_addresses: usize,
}

#[derive(Default)]
struct State {
    clients: HashMap<u64, Client>,
    addresses: HashMap<u32, Latest>,
    /// The end of the log up to which all commits are taken in.
    end: u64,
    /// What happened while a client was being read.
    journal: Option<Journal>,
}

#[derive(Default)]
struct Journal {
    stored: Vec<Appended>,
    forgotten: Vec<u64>,
}

/// A client as it was read.
pub(super) struct Client {
    pub(super) binding: u64,
    /// Rows of its addresses.
    pub(super) addresses: Box<[u32]>,
}

/// A new envelope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appended {
    pub(super) address: u32,
    pub(super) position: u64,
    /// Who published it.
    pub(super) origin: u64,
}

/// The last envelope of an address.
#[derive(Clone, Copy)]
struct Latest {
    position: u64,
    /// By so much the last one of somebody else than its publisher is before it, or more.
    alone: u32,
    /// Who published it, in short; zero if that is not known.
    origin: u32,
}

/// What to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) standing: Standing,
    /// Up to where in the log that is known.
    pub(super) end: u64,
    /// How many addresses were looked at for it.
    pub(super) addresses: usize,
}

impl Index {
    /// An empty one, of a log that ends at `end`, for so many clients.
    pub(super) fn new(end: u64, most_clients: usize) -> Self {
        let state = State {
            end,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            loading: Mutex::new(()),
            most_clients: most_clients.max(1),
            most_addresses: most_clients.max(1).saturating_mul(ADDRESSES_PER_CLIENT),
        }
    }

    /// What to answer to a ticket; `None` if the client has to be read first.
    pub(super) fn look(&self, ticket: &Contents) -> Option<Known> {
        self.state().look(ticket)
    }

    /// Takes in what was committed, in the order of the log, up to `end`.
    pub(super) fn committed(&self, stored: impl Iterator<Item = Appended>, end: u64) {
        let mut state = self.state();
        for appended in stored {
            state.append(&appended);
            if let Some(journal) = &mut state.journal {
                journal.stored.push(appended);
            }
        }
        state.end = state.end.max(end);
    }

    /// Forgets clients whose leases changed.
    pub(super) fn forget(&self, clients: impl Iterator<Item = u64>) {
        let mut state = self.state();
        for client in clients {
            state.clients.remove(&client);
            if let Some(journal) = &mut state.journal {
                journal.forgotten.push(client);
            }
        }
    }

    /// Reads a client by `client` and the last position of an address by `latest`, and says what to answer. A client that
    /// `client` does not find is unknown, and remembered as that.
    pub(super) fn load<E>(
        &self,
        ticket: &Contents,
        client: impl FnOnce() -> Result<Option<Client>, E>,
        mut latest: impl FnMut(u32) -> Result<u64, E>,
    ) -> Result<Known, E> {
        let _alone = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let emptied = {
            let mut state = self.state();
            // Another question of the same client was waiting before.
            if let Some(known) = state.look(ticket) {
                return Ok(known);
            }
            state.journal = Some(Journal::default());
            state.make_room(self.most_clients, self.most_addresses)
        };
        // A lot to take apart, and nobody has to wait for it.
        drop(emptied);
        let read = self.read(client, &mut latest);
        let mut state = self.state();
        let journal = state.journal.take().unwrap_or_default();
        let (client, addresses) = read?;
        for (row, position) in addresses {
            state.addresses.entry(row).or_insert(Latest {
                position,
                alone: 0,
                origin: 0,
            });
        }
        for appended in &journal.stored {
            state.append(appended);
        }
        // Read before its leases changed, perhaps.
        let known = if journal.forgotten.contains(&ticket.client) {
            state.unknown()
        } else {
            state.clients.insert(ticket.client, client);
            state.look(ticket).unwrap_or_else(|| state.unknown())
        };
        Ok(known)
    }

    /// Reads the client, and those of its addresses that are not known.
    fn read<E>(
        &self,
        client: impl FnOnce() -> Result<Option<Client>, E>,
        latest: &mut impl FnMut(u32) -> Result<u64, E>,
    ) -> Result<(Client, Vec<(u32, u64)>), E> {
        let client = client()?.unwrap_or_else(|| Client {
            binding: 0,
            addresses: Box::default(),
        });
        let unknown: Vec<u32> = {
            let state = self.state();
            let rows = client.addresses.iter().copied();
            rows.filter(|row| !state.addresses.contains_key(row))
                .collect()
        };
        let mut addresses = Vec::with_capacity(unknown.len());
        for row in unknown {
            addresses.push((row, latest(row)?));
        }
        Ok((client, addresses))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn look(&self, ticket: &Contents) -> Option<Known> {
        let client = self.clients.get(&ticket.client)?;
        if client.binding != ticket.binding || client.addresses.is_empty() {
            return Some(self.unknown());
        }
        let mut standing = Standing::Nothing;
        for row in &client.addresses {
            let latest = self.addresses.get(row)?;
            if latest.is_news(ticket.client, ticket.position) {
                standing = Standing::News;
            }
        }
        Some(Known {
            standing,
            end: self.end,
            addresses: client.addresses.len(),
        })
    }

    fn unknown(&self) -> Known {
        Known {
            standing: Standing::Unknown,
            end: self.end,
            addresses: 0,
        }
    }

    fn append(&mut self, appended: &Appended) {
        if let Entry::Occupied(mut latest) = self.addresses.entry(appended.address) {
            latest.get_mut().append(appended);
        }
    }

    /// Begins anew when there is no room for one more; what was there is to be dropped without the lock.
    fn make_room(
        &mut self,
        most_clients: usize,
        most_addresses: usize,
    ) -> Option<(HashMap<u64, Client>, HashMap<u32, Latest>)> {
        let full = self.clients.len() >= most_clients || self.addresses.len() >= most_addresses;
        full.then(|| {
            (
                std::mem::take(&mut self.clients),
                std::mem::take(&mut self.addresses),
            )
        })
    }
}

impl Latest {
    fn append(&mut self, appended: &Appended) {
        // Read from the database already.
        let Some(gap) = appended.position.checked_sub(self.position) else {
            return;
        };
        if gap == 0 {
            return;
        }
        let gap = u32::try_from(gap).unwrap_or(u32::MAX);
        let origin = in_short(appended.origin);
        self.alone = if origin == self.origin {
            self.alone.saturating_add(gap)
        } else {
            gap
        };
        self.origin = origin;
        self.position = appended.position;
    }

    /// Whether there is something after `position` that this client did not publish itself.
    fn is_news(&self, client: u64, position: u64) -> bool {
        let of_others = if self.origin == in_short(client) {
            self.position.saturating_sub(u64::from(self.alone))
        } else {
            self.position
        };
        of_others > position
    }
}

/// Two clients that are the same in short would not hear of each other's envelopes before their next connection: one
/// chance in four billion, and nobody can choose it.
fn in_short(client: u64) -> u32 {
    (client as u32).max(1)
}

/// Addresses that are kept for each client, on average at most.
const ADDRESSES_PER_CLIENT: usize = 8;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn ticket(client: u64, position: u64) -> Contents {
        Contents {
            registration: 1,
            client,
            binding: 5,
            position,
        }
    }

    fn client(addresses: &[u32]) -> Option<Client> {
        Some(Client {
            binding: 5,
            addresses: addresses.into(),
        })
    }

    fn look(index: &Index, ticket: &Contents) -> Option<(Standing, u64)> {
        index.look(ticket).map(|known| (known.standing, known.end))
    }

    fn load(
        index: &Index,
        who: u64,
        position: u64,
        addresses: &[u32],
        latest: u64,
    ) -> (Standing, u64) {
        let known = index.load(
            &ticket(who, position),
            || Ok::<_, Infallible>(client(addresses)),
            |_| Ok(latest),
        );
        let Ok(known) = known;
        (known.standing, known.end)
    }

    fn append(index: &Index, address: u32, position: u64, origin: u64) {
        let appended = Appended {
            address,
            position,
            origin,
        };
        index.committed([appended].into_iter(), position);
    }

    #[test]
    fn news_is_what_others_published_after_the_ticket() {
        let index = Index::new(10, 100);
        assert!(look(&index, &ticket(1, 10)).is_none());
        assert_eq!(load(&index, 1, 10, &[7, 8], 9), (Standing::Nothing, 10));
        assert_eq!(look(&index, &ticket(1, 8)), Some((Standing::News, 10)));
        // Own ones, and others' at other addresses.
        append(&index, 7, 11, 1);
        append(&index, 9, 12, 2);
        append(&index, 7, 13, 1);
        assert_eq!(look(&index, &ticket(1, 10)), Some((Standing::Nothing, 13)));
        // With one of somebody else in between.
        append(&index, 7, 14, 2);
        append(&index, 7, 15, 1);
        assert_eq!(look(&index, &ticket(1, 13)), Some((Standing::News, 15)));
        assert_eq!(look(&index, &ticket(1, 14)), Some((Standing::Nothing, 15)));
        assert_eq!(load(&index, 2, 14, &[7], 0), (Standing::News, 15));
    }

    #[test]
    fn another_binding_and_no_address_are_unknown() {
        let index = Index::new(10, 100);
        load(&index, 1, 10, &[7], 0);
        let other = Contents {
            binding: 6,
            ..ticket(1, 10)
        };
        assert_eq!(look(&index, &other), Some((Standing::Unknown, 10)));
        assert_eq!(load(&index, 2, 10, &[], 0).0, Standing::Unknown);
        let gone = index.load(&ticket(3, 10), || Ok::<_, Infallible>(None), |_| Ok(0));
        assert_eq!(
            gone.map(|known| (known.standing, known.end)),
            Ok((Standing::Unknown, 10))
        );
        // Remembered, so that nobody reads again and again.
        assert_eq!(look(&index, &ticket(3, 10)), Some((Standing::Unknown, 10)));
        index.forget([1, 3].into_iter());
        assert!(look(&index, &ticket(1, 10)).is_none());
        assert!(look(&index, &ticket(3, 10)).is_none());
    }

    #[test]
    fn what_is_committed_while_a_client_is_read_is_not_missed() {
        let index = Index::new(10, 100);
        let known = index.load(
            &ticket(1, 10),
            || {
                // The reader sees the log as it is now; the next commit comes after that.
                append(&index, 7, 11, 2);
                Ok::<_, Infallible>(client(&[7]))
            },
            |_| Ok(9),
        );
        assert_eq!(
            known.map(|known| (known.standing, known.end)),
            Ok((Standing::News, 11))
        );
        let known = index.load(
            &ticket(2, 11),
            || {
                index.forget([2].into_iter());
                Ok::<_, Infallible>(client(&[7]))
            },
            |_| Ok(9),
        );
        assert_eq!(
            known.map(|known| (known.standing, known.end)),
            Ok((Standing::Unknown, 11))
        );
        assert!(look(&index, &ticket(2, 11)).is_none(), "read anew");
    }

    #[test]
    fn there_is_a_cap() {
        let index = Index::new(10, 4);
        for who in 1..=100 {
            assert_eq!(load(&index, who, 10, &[who as u32], 9).0, Standing::Nothing);
            let state = index.state();
            assert!(state.clients.len() <= 4 && state.addresses.len() <= 32);
        }
        // A client that shares an address with one that is forgotten for it.
        for who in 1..=20 {
            let (mine, ours) = (who as u32, 1_000);
            assert_eq!(load(&index, who, 10, &[mine, ours], 9).0, Standing::Nothing);
            assert_eq!(
                look(&index, &ticket(who, 10)),
                Some((Standing::Nothing, 10))
            );
        }
        let many: Vec<u32> = (0..100).collect();
        assert_eq!(load(&index, 101, 10, &many, 9).0, Standing::Nothing);
        load(&index, 102, 10, &[7], 9);
        assert!(index.state().addresses.len() <= 32);
    }
}
