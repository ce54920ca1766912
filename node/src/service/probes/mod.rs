//! Polls by datagram: who may ask, with what ticket, and what to answer (docs/PROTOCOL.md, section 5.15).
//!
//! Nothing that is asked changes anything but what is kept in memory to answer faster. The node has no list of tickets: one
//! that is shown again is answered again, and only its holder can read that.

mod index;
mod prefixes;
mod tickets;

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ailurus::{
    channel::{
        Standing, Ticket,
        probe::{Authentic, Question},
    },
    crypto::{NodeKey, Pseudonym, kdf},
    wire::{node::CaughtUp, probe::Datagram, time::UnixMillis},
};
use zeroize::Zeroizing;

use self::{
    index::{Appended, Client, Index, Known},
    prefixes::Prefixes,
    tickets::{Contents, Tickets},
};
use super::{CatchUp, Network, Service, Stored};
use crate::{
    config::Limits,
    store::{Registration, Store, StoreError},
};

/// All that polls by datagram need.
pub(crate) struct Probes {
    prefixes: Mutex<Prefixes>,
    tickets: Tickets,
    index: Index,
    names: Zeroizing<[u8; 32]>,
    generation: [u8; 16],
}

/// What is to be done about a datagram.
pub(crate) enum Probed {
    /// Nothing is sent.
    Silent,
    Answer(Datagram),
    /// The client has to be read from the database first, with [`Service::load_probe`].
    Load(Box<Waiting>),
}

/// A question whose answer is in the database.
pub(crate) struct Waiting {
    authentic: Authentic,
    contents: Contents,
}

impl Probes {
    pub(super) fn new(store: &Store, limits: &Limits, node: NodeKey) -> Self {
        let per_second = limits.probes_per_second_per_network;
        let clients = usize::try_from(limits.probed_clients).unwrap_or(usize::MAX);
        Self {
            prefixes: Mutex::new(Prefixes::new(per_second, limits.probes_burst_per_network)),
            tickets: Tickets::new(store, node),
            index: Index::new(store.end(), clients),
            // The same after a restart, as tickets outlive it.
            names: kdf::derive(
                store.cursor_key().expose(),
                "ailurus/node/ticket-names",
                &[],
            ),
            generation: *store.generation(),
        }
    }

    fn prefixes(&self) -> MutexGuard<'_, Prefixes> {
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what was committed, while nobody else commits.
    pub(super) fn committed(&self, stored: &[Stored], end: u64) {
        // Mostly many in a row are by one client.
        let mut last: Option<(Pseudonym, u64)> = None;
        let appended = stored.iter().filter_map(|stored| {
            let known = last.filter(|(client, _)| *client == stored.origin);
            let (_, origin) =
                *last.insert(known.unwrap_or_else(|| (stored.origin, self.client(&stored.origin))));
            Some(Appended {
                address: u32::try_from(stored.address_row).ok()?,
                position: stored.position,
                origin,
            })
        });
        self.index.committed(appended, end);
    }

    /// Forgets clients whose leases changed.
    pub(super) fn forget<'a>(&self, clients: impl Iterator<Item = &'a Pseudonym>) {
        self.index.forget(clients.map(|client| self.client(client)));
    }

    /// Takes a new key if the day is a new one.
    pub(super) fn turn(&self, store: &Store, now: UnixMillis) {
        self.tickets.turn(store, now);
    }

    /// A ticket of a client that knows all up to `position`.
    fn ticket(
        &self,
        client: &Pseudonym,
        registration: &Registration,
        position: u64,
    ) -> Option<Ticket> {
        let contents = Contents {
            registration: registration.row,
            client: self.client(client),
            binding: self.binding(registration),
            position,
        };
        self.tickets.seal(&self.tickets.fresh().ticket, &contents)
    }

    fn answer(&self, waiting: &Waiting, known: &Known) -> Probed {
        let standing = known.standing;
        let mut next = waiting.contents;
        if standing == Standing::Nothing {
            next.position = next.position.max(known.end);
        }
        let fresh = self.tickets.fresh();
        match self.tickets.seal(&fresh.ticket, &next) {
            Some(next) => Probed::Answer(waiting.authentic.answer(&fresh.answer, standing, &next)),
            None => Probed::Silent,
        }
    }

    /// A short name of a client, which says to nobody else who it is.
    fn client(&self, pseudonym: &Pseudonym) -> u64 {
        self.name(&[b"client", pseudonym.as_bytes()])
    }

    fn binding(&self, registration: &Registration) -> u64 {
        let version = registration.version.to_be_bytes();
        self.name(&[b"binding", &self.generation, &registration.id, &version])
    }

    fn name(&self, parts: &[&[u8]]) -> u64 {
        let hash = kdf::keyed_hash(&self.names, parts);
        let (first, _) = hash.as_chunks::<8>();
        first.first().copied().map_or(0, u64::from_be_bytes)
    }
}

impl Service {
    /// Answers a poll by datagram that came from `from`, reading from the database if it must; `None`: nothing is sent.
    pub fn answer_probe(&self, from: IpAddr, now: UnixMillis, datagram: &[u8]) -> Option<Datagram> {
        match self.probe(from, now, datagram) {
            Probed::Silent => None,
            Probed::Answer(answer) => Some(answer),
            Probed::Load(waiting) => self.load_probe(now, &waiting),
        }
    }

    /// The same as far as memory goes.
    pub(crate) fn probe(&self, from: IpAddr, now: UnixMillis, datagram: &[u8]) -> Probed {
        let probes = &self.probes;
        let network = Network::around(from);
        if !probes.prefixes().take(network, now) {
            self.metrics.probes_limited.inc();
            return Probed::Silent;
        }
        let Some(waiting) = open(&probes.tickets, datagram) else {
            self.metrics.probes_unopened.inc();
            return Probed::Silent;
        };
        match probes.index.look(&waiting.contents) {
            Some(known) => {
                self.metrics.count_probe(known.standing);
                let more = known.addresses / ADDRESSES_PER_UNIT;
                if more > 0 {
                    probes.prefixes().charge(network, now, more as u64);
                }
                probes.answer(&waiting, &known)
            }
            None => Probed::Load(Box::new(waiting)),
        }
    }

    /// The answer for a client that was not in memory.
    pub(crate) fn load_probe(&self, now: UnixMillis, waiting: &Waiting) -> Option<Datagram> {
        self.metrics.probes_loaded.inc();
        let (probes, contents) = (&self.probes, &waiting.contents);
        let known = self.store.read(|reader| {
            let client = || {
                let Some((pseudonym, registration)) =
                    reader.registration_in(contents.registration)?
                else {
                    return Ok(None);
                };
                // The row is another client's by now.
                if probes.client(&pseudonym) != contents.client {
                    return Ok(None);
                }
                let rows = reader.leased_rows(registration.row, now)?;
                // Rows are counted from one and reach no such number.
                let rows = rows
                    .into_iter()
                    .map(u32::try_from)
                    .collect::<Result<_, _>>();
                Ok::<_, StoreError>(rows.ok().map(|addresses| Client {
                    binding: probes.binding(&registration),
                    addresses,
                }))
            };
            probes
                .index
                .load(contents, client, |row| reader.latest(row.into()))
        });
        match known {
            Ok(known) => {
                self.metrics.count_probe(known.standing);
                match probes.answer(waiting, &known) {
                    Probed::Answer(answer) => Some(answer),
                    Probed::Silent | Probed::Load(_) => None,
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a poll by datagram is not answered");
                None
            }
        }
    }

    /// Ends a catch-up that sent everything up to `position`, with tickets for what comes after it.
    pub(crate) fn caught_up(&self, catch_up: &CatchUp, position: u64, now: UnixMillis) -> CaughtUp {
        let Some((client, registration)) = catch_up.client() else {
            return CaughtUp::default();
        };
        if !self.clock.is_held() {
            self.probes.turn(&self.store, now);
        }
        let ticket = || self.probes.ticket(client, registration, position);
        CaughtUp {
            // One: each costs a poll some 100 bytes, and each answer brings the next.
            tickets: ticket().iter().map(Ticket::to_wire).collect(),
        }
    }
}

/// So many addresses of a client cost its network one poll by datagram more.
const ADDRESSES_PER_UNIT: usize = 32;

/// A question whose ticket was sealed here, asked by somebody who knows its secret.
fn open(tickets: &Tickets, datagram: &[u8]) -> Option<Waiting> {
    let question = Question::parse(datagram)?;
    let (contents, secret) = tickets.open(question.ticket())?;
    Some(Waiting {
        authentic: question.authenticate(&secret)?,
        contents,
    })
}
