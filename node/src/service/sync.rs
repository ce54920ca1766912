//! Catching up: everything new for all addresses of a client, in the order of the log, without holding it in memory.

use std::collections::{HashMap, VecDeque};

use ailurus::{
    channel::Address,
    crypto::Pseudonym,
    wire::{
        limits::MAX_ITEMS,
        node::{Batch, Hello, Item, Load, Position, PushState, Reason, Response, response::Kind},
        time::UnixMillis,
    },
};
use bytes::Bytes;

use super::{
    commit::answer,
    cursor::{Backfill, Cursors, Place},
};
use crate::store::{LeaseRow, Reader, Registration, Row, Sealed, StoreError};

/// A client's way through the log, from its cursor to the end, in steps of about 1,000 envelopes.
pub(crate) struct CatchUp {
    pseudonym: Pseudonym,
    served: Option<Served>,
    /// The cursor that the client holds is of another registration or generation.
    from_start: bool,
    /// Why it has no leases any more.
    ended: Option<Reason>,
    push: PushState,
}

/// Leases, and how far they are served.
struct Served {
    registration: Registration,
    leases: Vec<LeaseRow>,
    place: Place,
    /// The place that the client has a cursor for.
    told: Option<Place>,
    /// Positions found and not read yet, with the index of their lease.
    found: VecDeque<(u64, usize)>,
    /// What has been reached once they are.
    found_to: u64,
}

impl CatchUp {
    /// Begins from a cursor; one that is not of this registration and generation means 7 days back.
    pub(super) fn begin(
        reader: &Reader,
        cursors: &Cursors,
        pseudonym: Pseudonym,
        end: u64,
        now: UnixMillis,
        cursor: &[u8],
    ) -> Result<Self, StoreError> {
        let Some(registration) = reader.registration(&pseudonym)? else {
            return Ok(Self {
                pseudonym,
                served: None,
                from_start: !cursor.is_empty(),
                ended: reader.ending(&pseudonym, now)?,
                push: PushState::None,
            });
        };
        // A place beyond the end is of a log that was replaced by an older backup.
        let told = cursors
            .open(&pseudonym, &registration.id, cursor)
            .filter(|place| place.position <= end && place.version <= registration.version);
        let leases = reader.leases(&registration, now)?;
        let push = reader.push_state(registration.row)?;
        let start = Place {
            // What is older, a super node finds by reconciliation.
            position: if registration.peer { end } else { 0 },
            version: registration.version,
            ..Place::default()
        };
        Ok(Self {
            pseudonym,
            served: Some(Served {
                registration,
                leases,
                place: told.unwrap_or(start),
                told,
                found: VecDeque::new(),
                found_to: 0,
            }),
            from_start: told.is_none() && !cursor.is_empty(),
            ended: None,
            push,
        })
    }

    /// Reads registration and leases again and goes on from where it was.
    pub(super) fn reload(
        &mut self,
        reader: &Reader,
        end: u64,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let Some(registration) = reader.registration(&self.pseudonym)? else {
            self.served = None;
            return Ok(());
        };
        let leases = reader.leases(&registration, now)?;
        let before = self
            .served
            .take()
            .filter(|before| before.registration.id == registration.id);
        let start = Place {
            // As at the beginning: it may have lost all its leases meanwhile and come back.
            position: if registration.peer { end } else { 0 },
            version: registration.version,
            ..Place::default()
        };
        let mut place = before.as_ref().map_or(start, |before| before.place);
        if registration.peer {
            place.version = registration.version;
        }
        self.served = Some(Served {
            registration,
            leases,
            place,
            told: before.and_then(|before| before.told),
            found: VecDeque::new(),
            found_to: 0,
        });
        Ok(())
    }

    /// The first answer.
    pub(super) fn hello(&self, generation: &[u8; 16], now: UnixMillis, load: Load) -> Response {
        let leases = self.served.as_ref().map_or(0, |served| served.leases.len());
        answer(Kind::Hello(Hello {
            time_ms: now.as_millis(),
            generation: Bytes::copy_from_slice(generation),
            from_start: self.from_start,
            leases: u32::try_from(leases).unwrap_or(u32::MAX),
            load: Some(load),
            ended: self.ended.unwrap_or_default().into(),
            push: self.push.into(),
        }))
    }

    /// When the client was here last, if it is registered; Unix seconds.
    pub(super) fn seen_s(&self) -> Option<u64> {
        let served = self.served.as_ref()?;
        Some(served.registration.seen_s)
    }

    /// Whose leases these are, if it is a client's and there are some.
    pub(super) fn client(&self) -> Option<(&Pseudonym, &Registration)> {
        let served = self.served.as_ref()?;
        let is_client = !served.registration.peer && !served.leases.is_empty();
        is_client.then_some((&self.pseudonym, &served.registration))
    }

    /// Addresses with a lease.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Address> {
        let leases = self.served.iter().flat_map(|served| &served.leases);
        leases.map(|lease| lease.address)
    }

    /// The last position that has been served.
    pub(crate) fn position(&self) -> u64 {
        self.served
            .as_ref()
            .map_or(0, |served| served.place.position)
    }

    /// Notes that everything up to `position` was pushed, and returns the frame that says so.
    pub(super) fn pushed(&mut self, cursors: &Cursors, position: u64) -> Option<Response> {
        let served = self.served.as_mut()?;
        served.place.position = served.place.position.max(position);
        served.tell(cursors, &self.pseudonym)
    }

    /// The next answers up to the position `end`; none once it is reached.
    pub(super) fn step(
        &mut self,
        reader: &Reader,
        cursors: &Cursors,
        end: u64,
        now: UnixMillis,
    ) -> Result<Vec<Response>, StoreError> {
        let Some(served) = &mut self.served else {
            return Ok(Vec::new());
        };
        let mut answers = served.read(reader, end, now)?;
        answers.extend(served.tell(cursors, &self.pseudonym));
        Ok(answers)
    }
}

impl Served {
    /// Reads until there is something to answer or nothing more to read.
    fn read(
        &mut self,
        reader: &Reader,
        end: u64,
        now: UnixMillis,
    ) -> Result<Vec<Response>, StoreError> {
        loop {
            if self.found.is_empty() && !self.find(reader, end)? {
                return Ok(Vec::new());
            }
            let answers = self.read_found(reader, now)?;
            if !answers.is_empty() {
                return Ok(answers);
            }
        }
    }

    /// Looks for positions to read; false if there are none up to the end.
    fn find(&mut self, reader: &Reader, end: u64) -> Result<bool, StoreError> {
        loop {
            if self.place.backfill.is_none() && self.place.version < self.registration.version {
                self.place.backfill = Some(Backfill {
                    reached: 0,
                    version: self.registration.version,
                });
            }
            let (versions, after, to) = match self.place.backfill {
                Some(backfill) => (
                    self.place.version + 1..=backfill.version,
                    backfill.reached,
                    self.place.position,
                ),
                None => (0..=self.place.version, self.place.position, end),
            };
            let mut found = Vec::new();
            let mut reached = to;
            let chosen = self.leases.iter().enumerate();
            let chosen: Vec<_> = chosen
                .filter(|(_, lease)| versions.contains(&lease.version))
                .collect();
            let limit = (FOUND_AT_ONCE / chosen.len().max(1)).max(FOUND_PER_LEASE);
            for (index, lease) in chosen {
                let before = found.len();
                reader.positions(lease.address_row, after, to, limit, |position| {
                    found.push((position, index));
                })?;
                if found.len() - before == limit {
                    // There may be more of this address: only what lies before it is complete.
                    reached = reached.min(found.last().map_or(to, |(position, _)| *position));
                }
            }
            found.retain(|(position, _)| *position <= reached);
            found.sort_unstable();
            if !found.is_empty() {
                self.found = found.into();
                self.found_to = reached;
                return Ok(true);
            }
            let Some(backfill) = self.place.backfill.take() else {
                return Ok(false);
            };
            self.place.version = backfill.version;
        }
    }

    /// Reads the next envelopes of those found, and moves the place behind them.
    fn read_found(
        &mut self,
        reader: &Reader,
        now: UnixMillis,
    ) -> Result<Vec<Response>, StoreError> {
        let mut groups: Vec<Group> = Vec::new();
        let mut of_lease: HashMap<usize, usize> = HashMap::new();
        let mut bytes = 0;
        let mut reached = self.found_to;
        for _ in 0..ENVELOPES_PER_STEP {
            let Some((position, lease)) = self.found.pop_front() else {
                break;
            };
            reached = match self.found.front() {
                Some(_) => position,
                None => self.found_to,
            };
            let peer = self.registration.peer;
            let Some(row) = reader.envelope(position, peer, now)? else {
                continue;
            };
            let Some(address) = self.leases.get(lease).map(|lease| lease.address) else {
                continue;
            };
            let open = of_lease
                .get(&lease)
                .and_then(|group| groups.get_mut(*group));
            let group = match open.filter(|group| group.has_room(&row)) {
                Some(group) => group,
                None => {
                    of_lease.insert(lease, groups.len());
                    groups.push(Group::new(address, row.time));
                    let Some(group) = groups.last_mut() else {
                        continue;
                    };
                    group
                }
            };
            bytes += group.push(row);
            if bytes >= BYTES_PER_STEP {
                break;
            }
        }
        match &mut self.place.backfill {
            Some(backfill) => backfill.reached = reached,
            None => self.place.position = reached,
        }
        Ok(groups.into_iter().map(Group::into_response).collect())
    }

    /// The cursor of the place, if it is not what the client was told last.
    fn tell(&mut self, cursors: &Cursors, pseudonym: &Pseudonym) -> Option<Response> {
        if self.told == Some(self.place) {
            return None;
        }
        self.told = Some(self.place);
        let cursor = cursors.seal(pseudonym, &self.registration.id, &self.place);
        Some(answer(Kind::Position(Position { cursor })))
    }
}

/// A batch of one address in the making.
pub(crate) struct Group {
    address: Address,
    base: UnixMillis,
    last: UnixMillis,
    items: Vec<Item>,
    bytes: usize,
}

impl Group {
    /// An empty one, whose first item has time `base`.
    pub(crate) fn new(address: Address, base: UnixMillis) -> Self {
        Self {
            address,
            base,
            last: base,
            items: Vec::new(),
            bytes: 0,
        }
    }

    /// Whose envelopes these are.
    pub(crate) fn address(&self) -> Address {
        self.address
    }

    /// Whether another fits into the same frame.
    pub(crate) fn has_room(&self, row: &Row) -> bool {
        self.items.len() < MAX_ITEMS && self.bytes.saturating_add(row.wire_len()) <= BATCH_BYTES
    }

    /// Adds an envelope; returns about how many bytes it takes.
    pub(crate) fn push(&mut self, row: Row) -> usize {
        let length = row.wire_len();
        let mut item = Item {
            time_delta_ms: row.time.delta(self.last),
            kind: row.kind as u32,
            ..Item::default()
        };
        match row.sealed {
            Sealed::Inline(sealed) => item.sealed = sealed,
            Sealed::Apart { id, body_len } => {
                item.id = Bytes::copy_from_slice(id.as_bytes());
                item.size = body_len;
            }
        }
        self.last = row.time;
        self.items.push(item);
        self.bytes = self.bytes.saturating_add(length);
        length
    }

    /// The finished batch.
    pub(crate) fn into_response(self) -> Response {
        answer(Kind::Batch(Batch {
            address: Bytes::copy_from_slice(self.address.as_bytes()),
            base_time_ms: self.base.as_millis(),
            items: self.items,
        }))
    }
}

/// Bytes of items in one batch.
const BATCH_BYTES: usize = 64 * 1024;
/// After this many envelopes or bytes, a client is given a place to store.
const ENVELOPES_PER_STEP: usize = 1_000;
const BYTES_PER_STEP: usize = 1 << 20;
/// Positions looked up at once, over all leases and for each at least.
const FOUND_AT_ONCE: usize = 8_192;
const FOUND_PER_LEASE: usize = 64;
