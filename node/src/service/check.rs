//! Everything about a request that can be checked without the database: keys, proofs, times, sizes, signatures.

use std::collections::HashMap;

use ailurus::{
    channel::{Address, Envelope, EnvelopeError, Epoch, TimeError, lease_statement},
    crypto::{AccessKey, NodeKey, Pseudonym, PublicKey, batch},
    wire::{
        limits::{ADDRESS_EARLY, MAX_ITEMS, MAX_LEASES},
        node::{Item, Lease, Publish, Reason},
        time::UnixMillis,
    },
};

use super::Session;
use crate::store::Keys;

/// A request that changes what the node keeps, as it came.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) session: Session,
    /// It comes from another super node.
    pub(crate) peer: bool,
    pub(crate) kind: WriteKind,
}

#[derive(Debug)]
pub(crate) enum WriteKind {
    Publish(Publish),
    Register(Vec<Lease>),
    Release(Vec<Address>),
}

/// The same request, checked.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) pseudonym: Pseudonym,
    /// It came from another super node.
    pub(crate) peer: bool,
    pub(crate) kind: CheckedKind,
}

#[derive(Debug)]
pub(crate) enum CheckedKind {
    Refused(Reason),
    Publish(Keys, Vec<Result<Envelope, Reason>>),
    Register(Vec<Result<CheckedLease, Reason>>),
    Release(Vec<Address>),
}

impl Checked {
    /// How many of its envelopes had a false signature.
    pub(crate) fn bad_signatures(&self) -> usize {
        let CheckedKind::Publish(_, items) = &self.kind else {
            return 0;
        };
        let forged = |item: &&Result<Envelope, Reason>| matches!(item, Err(Reason::BadSignature));
        items.iter().filter(forged).count()
    }

    /// How many rows it may write.
    pub(crate) fn rows(&self) -> usize {
        match &self.kind {
            CheckedKind::Publish(_, items) => items.len(),
            _ => 1,
        }
    }
}

/// A lease whose proof was good.
#[derive(Debug)]
pub(crate) struct CheckedLease {
    pub(crate) keys: Keys,
    pub(crate) end_s: u64,
}

/// Checks requests; remembers the keys it saw last, since lifting a point to the curve costs as much as half a signature.
pub(crate) struct Checker {
    node: NodeKey,
    keys: HashMap<[u8; 64], Keys>,
}

impl Checker {
    pub(crate) fn new(node: NodeKey) -> Self {
        Self {
            node,
            keys: HashMap::new(),
        }
    }

    /// Checks requests in their order; the signatures of all envelopes among them are verified together.
    pub(crate) fn check(&mut self, now: UnixMillis, writes: Vec<Write>) -> Vec<Checked> {
        let mut checked: Vec<Checked> = writes
            .into_iter()
            .map(|write| self.parse(now, write))
            .collect();
        verify(&mut checked);
        checked
    }

    fn parse(&mut self, now: UnixMillis, write: Write) -> Checked {
        let session = write.session;
        let peer = write.peer;
        let kind = match write.kind {
            WriteKind::Publish(publish) => match self.publish(now, publish) {
                Ok((keys, items)) => CheckedKind::Publish(keys, items),
                Err(reason) => CheckedKind::Refused(reason),
            },
            WriteKind::Register(leases) => match self.register(now, &session, &leases) {
                Ok(leases) => CheckedKind::Register(leases),
                Err(reason) => CheckedKind::Refused(reason),
            },
            WriteKind::Release(addresses) => CheckedKind::Release(addresses),
        };
        Checked {
            pseudonym: session.pseudonym,
            peer,
            kind,
        }
    }

    fn publish(
        &mut self,
        now: UnixMillis,
        publish: Publish,
    ) -> Result<(Keys, Vec<Result<Envelope, Reason>>), Reason> {
        if publish.items.len() > MAX_ITEMS {
            return Err(Reason::Malformed);
        }
        let keys = self.keys(&publish.blinded_key, &publish.access_key)?;
        let mut time = UnixMillis::from_millis(publish.base_time_ms);
        let mut items = Vec::with_capacity(publish.items.len());
        for item in &publish.items {
            items.push(envelope(now, keys.address, time, item));
            time = time.offset(item.time_delta_ms);
        }
        Ok((keys, items))
    }

    fn register(
        &mut self,
        now: UnixMillis,
        session: &Session,
        leases: &[Lease],
    ) -> Result<Vec<Result<CheckedLease, Reason>>, Reason> {
        if session.early {
            return Err(Reason::EarlyData);
        }
        if leases.len() > MAX_LEASES {
            return Err(Reason::Malformed);
        }
        let exporter = session.exporter.ok_or(Reason::EarlyData)?;
        let check = |lease| self.lease(now, session, &exporter, lease);
        Ok(leases.iter().map(check).collect())
    }

    fn lease(
        &mut self,
        now: UnixMillis,
        session: &Session,
        exporter: &[u8; 32],
        lease: &Lease,
    ) -> Result<CheckedLease, Reason> {
        let keys = self.keys(&lease.blinded_key, &lease.access_key)?;
        let proof: &[u8; 64] = lease
            .proof
            .as_ref()
            .try_into()
            .map_err(|_| Reason::Malformed)?;
        let epoch = Epoch::new(lease.epoch);
        if now < epoch.start().before(ADDRESS_EARLY) {
            return Err(Reason::TooEarly);
        }
        let end = UnixMillis::from_secs(lease.lease_end);
        if end <= now || end > epoch.lease_end() {
            return Err(Reason::LeaseEnd);
        }
        let statement = lease_statement(
            exporter,
            self.node.as_bytes(),
            session.pseudonym.as_bytes(),
            &keys.address,
            lease.lease_end,
        );
        keys.access
            .verify(&statement, proof)
            .map_err(|_| Reason::BadProof)?;
        Ok(CheckedLease {
            keys,
            end_s: lease.lease_end,
        })
    }

    fn keys(&mut self, blinded: &[u8], access: &[u8]) -> Result<Keys, Reason> {
        let blinded: &[u8; 32] = blinded.try_into().map_err(|_| Reason::Malformed)?;
        let access: &[u8; 32] = access.try_into().map_err(|_| Reason::Malformed)?;
        let mut both = [0; 64];
        both[..32].copy_from_slice(blinded);
        both[32..].copy_from_slice(access);
        if let Some(keys) = self.keys.get(&both) {
            return Ok(*keys);
        }
        let blinded = PublicKey::from_bytes(blinded).map_err(|_| Reason::Malformed)?;
        let access = AccessKey::from_bytes(*access);
        let keys = Keys {
            address: Address::of(&blinded, &access),
            blinded,
            access,
        };
        if self.keys.len() >= KEYS {
            self.keys.clear();
        }
        self.keys.insert(both, keys);
        Ok(keys)
    }
}

fn envelope(
    now: UnixMillis,
    address: Address,
    before: UnixMillis,
    item: &Item,
) -> Result<Envelope, Reason> {
    let envelope = Envelope::from_item(address, before, item).map_err(|error| match error {
        EnvelopeError::TooLarge(_) => Reason::TooLarge,
        _ => Reason::Malformed,
    })?;
    envelope.check_time(now).map_err(|error| match error {
        TimeError::Ahead => Reason::ClockAhead,
        TimeError::Expired => Reason::Expired,
    })?;
    Ok(envelope)
}

fn verify(checked: &mut [Checked]) {
    let batch: Vec<_> = checked
        .iter()
        .filter_map(|request| match &request.kind {
            CheckedKind::Publish(keys, items) => Some((keys.blinded, items)),
            _ => None,
        })
        .flat_map(|(key, items)| {
            let sound = items.iter().filter_map(|item| item.as_ref().ok());
            sound.map(move |envelope| envelope.batch_item(key))
        })
        .collect();
    let mut verdicts = batch::verify_each(&batch).into_iter();
    for request in checked {
        let CheckedKind::Publish(_, items) = &mut request.kind else {
            continue;
        };
        for item in items.iter_mut().filter(|item| item.is_ok()) {
            if verdicts.next() != Some(true) {
                *item = Err(Reason::BadSignature);
            }
        }
    }
}

/// Pairs of keys remembered, about 250 bytes each.
const KEYS: usize = 4_096;
