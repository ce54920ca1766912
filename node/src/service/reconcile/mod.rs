//! Set reconciliation between two nodes (docs/PROTOCOL.md, section 5.10): who lacks which envelopes, for little more
//! bytes than the ids of those.
//!
//! The protocol is Negentropy, version 1, over pairs of time and id. It keeps no state at the node that is asked but the
//! sorted pairs, which cost half a second to read for a million envelopes.

mod answering;
mod last;
mod part;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ailurus::{
    channel::{Address, EnvelopeId},
    crypto::kdf,
    wire::{
        limits::{LIFETIME, MAX_AHEAD, MAX_FRAME},
        node::Reconcile,
        time::UnixMillis,
    },
};
use bytes::Bytes;
use negentropy::{Error, Id, Item, Negentropy};

pub(super) use self::answering::Reconciliations;
use self::part::Part;
use crate::store::{Reader, StoreError};

/// One side's way through a reconciliation: the one that asks.
pub(crate) struct Reconciliation {
    addresses: Bytes,
    items: Arc<Vec<Item>>,
    /// Windows that are not reconciled yet.
    windows: VecDeque<Window>,
    current: Option<Current>,
    have: Vec<Id>,
    need: Vec<Id>,
    rounds: usize,
    _turn: Option<Turn>,
}

/// One of the few reconciliations that a node begins at once; dropping it lets another begin.
pub(crate) struct Turn(Arc<AtomicUsize>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Header times from and before, in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    from: u64,
    to: u64,
}

struct Current {
    window: Window,
    negentropy: Negentropy<'static, Part>,
    /// The next message to send; none while its answer is awaited.
    message: Option<Vec<u8>>,
}

/// Why a reconciliation is given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The other node does not speak the protocol.
    #[error("the other node's answer is not Negentropy: {0}; it may run a later version")]
    Protocol(Error),
    /// There was no question.
    #[error("the other node answered a round that was not asked")]
    Unasked,
    /// It does not end.
    #[error("the reconciliation did not end after {0} rounds; it starts anew later")]
    Endless(usize),
}

impl Reconciliation {
    /// What both nodes should have: not so old that it may be gone at one of two honest clocks, nor so new that one of
    /// them must refuse it. `theirs` is the other node's clock.
    pub(crate) fn window(now: UnixMillis, theirs: UnixMillis) -> (UnixMillis, UnixMillis) {
        let from = now.max(theirs).before(LIFETIME).after(EXPIRY_MARGIN);
        let to = now.min(theirs).after(MAX_AHEAD);
        (from, to)
    }

    /// Reads what this node keeps of `addresses`, which are in ascending order, in a window of header times.
    pub(crate) fn load(
        reader: &Reader,
        addresses: &[Address],
        from: UnixMillis,
        to: UnixMillis,
        turn: Turn,
    ) -> Result<Self, StoreError> {
        let whole = Window {
            from: from.as_millis(),
            to: to.as_millis(),
        };
        let items = load(reader, addresses, whole, ITEMS_LOADED)?;
        let windows = split(&items, whole);
        Ok(Self {
            addresses: Bytes::copy_from_slice(&hash(addresses)),
            items: Arc::new(items),
            windows,
            current: None,
            have: Vec::new(),
            need: Vec::new(),
            rounds: 0,
            _turn: Some(turn),
        })
    }

    /// The next question; none once both sides' sets are known to each other, or while an answer is awaited.
    pub(crate) fn ask(&mut self) -> Result<Option<Reconcile>, ReconcileError> {
        if self.current.is_none() {
            let Some(window) = self.windows.pop_front() else {
                return Ok(None);
            };
            let part = Part::of(&self.items, window);
            let mut negentropy =
                Negentropy::owned(part, FRAME).map_err(ReconcileError::Protocol)?;
            let message = negentropy.initiate().map_err(ReconcileError::Protocol)?;
            self.current = Some(Current {
                window,
                negentropy,
                message: Some(message),
            });
        }
        let Some(current) = &mut self.current else {
            return Ok(None);
        };
        let Some(message) = current.message.take() else {
            return Ok(None);
        };
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds > ROUNDS {
            return Err(ReconcileError::Endless(ROUNDS));
        }
        Ok(Some(Reconcile {
            addresses: self.addresses.clone(),
            from_ms: current.window.from,
            to_ms: current.window.to,
            message: Bytes::from(message),
        }))
    }

    /// Takes the other node's answer in.
    pub(crate) fn answered(&mut self, message: &[u8]) -> Result<(), ReconcileError> {
        let current = self.current.as_mut().ok_or(ReconcileError::Unasked)?;
        let next = current
            .negentropy
            .reconcile_with_ids(message, &mut self.have, &mut self.need)
            .map_err(ReconcileError::Protocol)?;
        match next {
            Some(message) => current.message = Some(message),
            None => self.current = None,
        }
        Ok(())
    }

    /// Asks for half as much at a time, as the other node cannot hold so much at once.
    pub(crate) fn narrow(&mut self) {
        let Some(Current { window, .. }) = self.current.take() else {
            return;
        };
        let middle = window.from + (window.to - window.from) / 2;
        if middle == window.from {
            return;
        }
        self.windows.push_front(Window {
            from: middle,
            to: window.to,
        });
        self.windows.push_front(Window {
            from: window.from,
            to: middle,
        });
    }

    /// What the other node lacks, as far as is known since the last call.
    pub(crate) fn take_have(&mut self) -> Vec<EnvelopeId> {
        ids(std::mem::take(&mut self.have))
    }

    /// What this node lacks, as far as is known since the last call.
    pub(crate) fn take_need(&mut self) -> Vec<EnvelopeId> {
        ids(std::mem::take(&mut self.need))
    }
}

/// SHA-256 over addresses in ascending order.
fn hash(addresses: &[Address]) -> [u8; 32] {
    let parts: Vec<&[u8]> = addresses
        .iter()
        .map(|address| address.as_bytes().as_slice())
        .collect();
    kdf::sha256(&parts)
}

/// Stops soon after there are more than `most`.
fn load(
    reader: &Reader,
    addresses: &[Address],
    window: Window,
    most: usize,
) -> Result<Vec<Item>, StoreError> {
    let mut items = Vec::new();
    for address in addresses {
        reader.times_and_ids(address, window.from, window.to, |time, id| {
            if let Ok(id) = Id::from_slice(id) {
                items.push(Item::with_timestamp_and_id(time, id));
            }
        })?;
        if items.len() > most {
            break;
        }
    }
    items.sort_unstable();
    Ok(items)
}

/// Cuts a window into parts of which Negentropy, which cuts by sixteen down to lists of less than 32 ids, ends in short
/// lists: in a large set that halves the bytes.
fn split(items: &[Item], whole: Window) -> VecDeque<Window> {
    let count = items.len();
    let mut list = count;
    while list >= 2 * BUCKETS {
        list /= BUCKETS;
    }
    let parts = if count < SPLIT_FROM {
        1
    } else {
        list.div_ceil(SHORT_LIST).max(count.div_ceil(ITEMS / 2))
    };
    let mut windows = VecDeque::with_capacity(parts);
    let mut from = whole.from;
    for part in 1..parts {
        let to = items
            .get(count / parts * part)
            .map_or(whole.to, |item| item.timestamp);
        if to > from && to < whole.to {
            windows.push_back(Window { from, to });
            from = to;
        }
    }
    windows.push_back(Window { from, to: whole.to });
    windows
}

fn ids(ids: Vec<Id>) -> Vec<EnvelopeId> {
    ids.into_iter()
        .map(|id| EnvelopeId::from_bytes(id.to_bytes()))
        .collect()
}

/// An envelope that has less than this to live is left out: two honest clocks and expiries lie less apart.
const EXPIRY_MARGIN: Duration = Duration::from_secs(3_600);
/// Bytes of one message of Negentropy, which fits a frame with what stands around it.
const FRAME: u64 = MAX_FRAME as u64 - 1_024;
/// Questions after which a reconciliation is given up; a million differences take some 200.
const ROUNDS: usize = 4_096;
/// Into how many parts Negentropy cuts.
const BUCKETS: usize = 16;
/// Ids of a list that is short.
const SHORT_LIST: usize = 4;
/// Sets below this size take little anyhow.
const SPLIT_FROM: usize = 8_192;
/// Pairs that are held for one node, 40 bytes each.
const ITEMS: usize = 2 << 20;
/// Pairs that are read for one reconciliation of this node's own.
const ITEMS_LOADED: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Some of 2,000 envelopes, with four to a millisecond.
    fn items(set: &[u16]) -> Arc<Vec<Item>> {
        let mut items: Vec<Item> = set
            .iter()
            .map(|number| {
                let id = kdf::sha256(&[&number.to_be_bytes()]);
                Item::with_timestamp_and_id(u64::from(number / 4), Id::from_byte_array(id))
            })
            .collect();
        items.sort_unstable();
        items.dedup();
        Arc::new(items)
    }

    fn start(items: &Arc<Vec<Item>>, windows: VecDeque<Window>) -> Reconciliation {
        Reconciliation {
            addresses: Bytes::new(),
            items: Arc::clone(items),
            windows,
            current: None,
            have: Vec::new(),
            need: Vec::new(),
            rounds: 0,
            _turn: None,
        }
    }

    fn run(mut asking: Reconciliation, there: &Arc<Vec<Item>>) -> (Vec<[u8; 32]>, Vec<[u8; 32]>) {
        while let Some(request) = asking.ask().expect("few rounds") {
            let window = Window {
                from: request.from_ms,
                to: request.to_ms,
            };
            let mut there = Negentropy::owned(Part::of(there, window), FRAME).expect("a frame");
            let message = there.reconcile(&request.message).expect("well formed");
            asking.answered(&message).expect("well formed");
        }
        let sorted = |ids: Vec<EnvelopeId>| {
            let mut ids: Vec<_> = ids.iter().map(|id| *id.as_bytes()).collect();
            ids.sort_unstable();
            ids
        };
        (sorted(asking.take_have()), sorted(asking.take_need()))
    }

    fn missing(of: &[Item], from: &[Item]) -> Vec<[u8; 32]> {
        let missing = of.iter().filter(|item| !from.contains(item));
        let mut ids: Vec<_> = missing.map(|item| item.id.to_bytes()).collect();
        ids.sort_unstable();
        ids
    }

    proptest! {
        #[test]
        fn both_differences_are_found(
            here in prop::collection::vec(0_u16..2_000, 0..2_000),
            there in prop::collection::vec(0_u16..2_000, 0..2_000),
            cut in 1_u64..499,
        ) {
            let (here, there) = (items(&here), items(&there));
            let windows = VecDeque::from([Window { from: 0, to: cut }, Window { from: cut, to: 500 }]);
            let (have, need) = run(start(&here, windows), &there);
            prop_assert_eq!(have, missing(&here, &there));
            prop_assert_eq!(need, missing(&there, &here));
        }

        #[test]
        fn an_answer_of_any_bytes_is_an_error_or_an_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let here = items(&[4, 8]);
            let mut asking = start(&here, VecDeque::from([Window { from: 0, to: 9 }]));
            asking.ask().expect("a question");
            let mut answer = vec![0x61];
            answer.extend(bytes);
            let _ = asking.answered(&answer);
        }
    }

    #[test]
    fn windows_cover_everything_once_and_lists_end_short() {
        let items: Vec<Item> = (0..100_000)
            .map(|time| Item::with_timestamp_and_id(time, Id::from_byte_array([0; 32])))
            .collect();
        let whole = Window {
            from: 0,
            to: 200_000,
        };
        let windows = split(&items, whole);
        assert_eq!(windows.len(), 6);
        assert_eq!(windows.front().map(|window| window.from), Some(0));
        assert_eq!(windows.back().map(|window| window.to), Some(200_000));
        for (before, after) in windows.iter().zip(windows.iter().skip(1)) {
            assert_eq!(before.to, after.from);
        }
        assert_eq!(split(&items[..100], whole).len(), 1);
    }

    #[test]
    fn half_a_window_at_a_time_covers_the_same() {
        let mut asking = start(&items(&[]), VecDeque::from([Window { from: 0, to: 9 }]));
        asking.ask().expect("a question");
        asking.narrow();
        assert_eq!(
            asking.windows,
            [Window { from: 0, to: 4 }, Window { from: 4, to: 9 }]
        );
    }

    #[test]
    fn what_is_about_to_expire_at_either_clock_is_left_out() {
        let now = UnixMillis::from_secs(1_700_000_000);
        let theirs = now.after(Duration::from_secs(600));
        let (from, to) = Reconciliation::window(now, theirs);
        assert_eq!(from, theirs.before(LIFETIME).after(EXPIRY_MARGIN));
        assert_eq!(to, now.after(MAX_AHEAD));
        assert_eq!(Reconciliation::window(theirs, now), (from, to));
    }
}
