//! Digests and lists: what a client needs to find out whether two nodes hold the same.

use ailurus::{
    channel::Address,
    wire::{
        limits::{MAX_DIGEST_STEPS, MAX_LEASES, MAX_LISTED},
        node::{Digest, Digests, List, Listed, Reason, Response, Sum, response::Kind},
        time::UnixMillis,
    },
};
use bytes::Bytes;

use super::{Session, commit::answer, parse_addresses, register::refusal};
use crate::store::{IdSum, Reader, StoreError};

/// A request for sums, parsed.
#[derive(Debug)]
pub(crate) struct DigestQuery {
    addresses: Vec<Address>,
    from: UnixMillis,
    step_ms: u64,
    steps: u32,
}

/// A request for ids, parsed.
#[derive(Debug)]
pub(crate) struct ListQuery {
    address: Address,
    from: UnixMillis,
    to: UnixMillis,
}

/// An answer, and how many envelopes it was made from.
pub(crate) type Answered = Result<(Response, u64), Reason>;

impl DigestQuery {
    /// `None` if it does not parse, or asks for more than fits an answer.
    pub(crate) fn parse(digest: &Digest) -> Option<Self> {
        let addresses = parse_addresses(&digest.addresses)?;
        let whole = |ms: u64| ms.is_multiple_of(HOUR_MS);
        let sums = addresses.len().saturating_mul(digest.steps as usize);
        let sound = whole(digest.from_ms)
            && whole(digest.step_ms)
            && digest.step_ms > 0
            && (1..=MAX_DIGEST_STEPS).contains(&digest.steps)
            && sums <= SUMS
            && addresses.len() <= MAX_LEASES;
        sound.then_some(Self {
            addresses,
            from: UnixMillis::from_millis(digest.from_ms),
            step_ms: digest.step_ms,
            steps: digest.steps,
        })
    }

    pub(super) fn answer(
        &self,
        reader: &Reader,
        session: &Session,
        now: UnixMillis,
    ) -> Result<Answered, StoreError> {
        let mut digests = Digests::default();
        let mut read = 0_u64;
        for (index, address) in self.addresses.iter().enumerate() {
            let Some(row) = reader.leased_row(&session.pseudonym, address, now)? else {
                digests.refusals.push(refusal(index, Reason::NotRegistered));
                continue;
            };
            for sum in reader.sums(row, self.from, self.step_ms, self.steps)? {
                read = read.saturating_add(u64::from(sum.count));
                digests.sums.push(sum.into());
            }
        }
        Ok(Ok((answer(Kind::Digests(digests)), read)))
    }
}

impl ListQuery {
    /// `None` if it does not parse.
    pub(crate) fn parse(list: &List) -> Option<Self> {
        Some(Self {
            address: Address::try_from(list.address.as_ref()).ok()?,
            from: UnixMillis::from_millis(list.from_ms),
            to: UnixMillis::from_millis(list.to_ms),
        })
    }

    pub(super) fn answer(
        &self,
        reader: &Reader,
        session: &Session,
        now: UnixMillis,
    ) -> Result<Answered, StoreError> {
        let Some(row) = reader.leased_row(&session.pseudonym, &self.address, now)? else {
            return Ok(Err(Reason::NotRegistered));
        };
        let ids = reader.ids(row, self.from, self.to, MAX_LISTED)?;
        let read = ids.len() as u64;
        let ids = ids.iter().map(|id| Bytes::copy_from_slice(id)).collect();
        Ok(Ok((answer(Kind::Listed(Listed { ids })), read)))
    }
}

impl From<IdSum> for Sum {
    fn from(sum: IdSum) -> Self {
        let ids = match sum.count {
            0 => Bytes::new(),
            _ => Bytes::copy_from_slice(&sum.ids),
        };
        Self {
            count: sum.count,
            ids,
        }
    }
}

const HOUR_MS: u64 = 3_600_000;
/// Sums in one answer: 26 bytes each at most, so that it fits a frame.
const SUMS: usize = 8_192;
