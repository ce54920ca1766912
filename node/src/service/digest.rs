//! Digests and lists: what a client needs to find out whether two nodes hold the same.

use std::collections::HashSet;

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

/// An answer, or why there is none.
pub(crate) type Answered = Result<Response, Reason>;

impl DigestQuery {
    /// `None` if it does not parse, asks for more than fits an answer, or for one address twice.
    pub(crate) fn parse(digest: &Digest) -> Option<Self> {
        let addresses = parse_addresses(&digest.addresses)?;
        let whole = |ms: u64| ms.is_multiple_of(HOUR_MS);
        let sums = addresses.len().saturating_mul(digest.steps as usize);
        let sound = whole(digest.from_ms)
            && whole(digest.step_ms)
            && digest.step_ms > 0
            && (1..=MAX_DIGEST_STEPS).contains(&digest.steps)
            && sums <= SUMS
            && addresses.len() <= MAX_LEASES
            && addresses.iter().collect::<HashSet<_>>().len() == addresses.len();
        sound.then_some(Self {
            addresses,
            from: UnixMillis::from_millis(digest.from_ms),
            step_ms: digest.step_ms,
            steps: digest.steps,
        })
    }

    /// Envelopes that may have to be read for it: all of those addresses, as nobody has counted those of some hours.
    pub(super) fn envelopes(
        &self,
        reader: &Reader,
        session: &Session,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        let mut envelopes = 0_u64;
        for address in &self.addresses {
            let kept = reader.leased_envelopes(&session.pseudonym, address, now)?;
            envelopes = envelopes.saturating_add(kept);
        }
        Ok(envelopes)
    }

    pub(super) fn answer(
        &self,
        reader: &Reader,
        session: &Session,
        now: UnixMillis,
    ) -> Result<Answered, StoreError> {
        let mut digests = Digests::default();
        for (index, address) in self.addresses.iter().enumerate() {
            let Some(row) = reader.leased_row(&session.pseudonym, address, now)? else {
                digests.refusals.push(refusal(index, Reason::NotRegistered));
                continue;
            };
            for sum in reader.sums(row, self.from, self.step_ms, self.steps)? {
                digests.sums.push(sum.into());
            }
        }
        Ok(Ok(answer(Kind::Digests(digests))))
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

    /// Envelopes that may have to be read for it.
    pub(super) fn envelopes(
        &self,
        reader: &Reader,
        session: &Session,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        let kept = reader.leased_envelopes(&session.pseudonym, &self.address, now)?;
        Ok(kept.min(MAX_LISTED as u64))
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
        let ids = ids.iter().map(|id| Bytes::copy_from_slice(id)).collect();
        Ok(Ok(answer(Kind::Listed(Listed { ids }))))
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
