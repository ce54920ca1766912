//! Everything about a request that can be checked without the database: keys, proofs, times, sizes, signatures.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ailurus::{
    channel::{
        Address, Envelope, EnvelopeError, Epoch, Introduction, IntroductionError, TimeError,
        delegation_statement, lease_statement,
    },
    crypto::{AccessKey, NodeKey, Pseudonym, PublicKey, batch, kdf},
    wire::{
        limits::{ADDRESS_EARLY, MAX_ITEMS, MAX_LEASES},
        node::{IntroductionProof, Item, Lease, Publish, Reason, Register},
        time::UnixMillis,
    },
};

use super::{Session, network::Network, verified::Verified};
use crate::store::{Introduced, Keys};

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
    Register(Register),
    Release(Vec<Address>),
}

impl Write {
    /// About how much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let WriteKind::Publish(publish) = &self.kind else {
            return 1_024;
        };
        let items = publish.items.iter();
        items.map(|item| item.sealed.len().saturating_add(64)).sum()
    }
}

/// The same request, checked.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) pseudonym: Pseudonym,
    /// It came from another super node.
    pub(crate) peer: bool,
    /// Where from, to pay for it.
    pub(crate) network: Option<Network>,
    pub(crate) kind: CheckedKind,
}

#[derive(Debug)]
pub(crate) enum CheckedKind {
    Refused(Reason),
    Publish(Keys, Vec<Result<Envelope, Reason>>),
    Register {
        leases: Vec<Result<CheckedLease, Reason>>,
        introduced: Option<Introduced>,
    },
    Release(Vec<Address>),
}

impl Checked {
    /// How many of its envelopes and leases had a false signature; an introduction counts as one.
    pub(crate) fn bad_signatures(&self) -> usize {
        match &self.kind {
            CheckedKind::Publish(_, items) => items
                .iter()
                .filter(|item| matches!(item, Err(Reason::BadSignature)))
                .count(),
            CheckedKind::Register { leases, .. } => leases
                .iter()
                .filter(|lease| matches!(lease, Err(Reason::BadProof)))
                .count(),
            CheckedKind::Refused(Reason::BadIntroduction) => 1,
            CheckedKind::Refused(_) | CheckedKind::Release(_) => 0,
        }
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
    /// By an access key's word for this node, not by its proof for this connection.
    pub(crate) delegated: bool,
}

/// Checks requests; remembers the keys it saw last, since lifting a point to the curve costs as much as half a signature,
/// and the delegations that were good, since other nodes show one again until they are let in.
pub(crate) struct Checker {
    node: NodeKey,
    keys: HashMap<[u8; 64], Keys>,
    /// Hashes of key, statement and signature.
    delegations: HashSet<[u8; 32]>,
    /// Envelopes that other nodes in this process have verified.
    verified: Option<Arc<Verified>>,
}

impl Checker {
    pub(crate) fn new(node: NodeKey, verified: Option<Arc<Verified>>) -> Self {
        Self {
            node,
            keys: HashMap::new(),
            delegations: HashSet::new(),
            verified,
        }
    }

    /// Checks requests in their order; the signatures of all envelopes among them are verified together.
    pub(crate) fn check(&mut self, now: UnixMillis, writes: Vec<Write>) -> Vec<Checked> {
        let mut checked: Vec<Checked> = writes
            .into_iter()
            .map(|write| self.parse(now, write))
            .collect();
        verify(&mut checked, self.verified.as_deref());
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
            WriteKind::Register(register) => match self.register(now, &session, &register) {
                Ok((leases, introduced)) => CheckedKind::Register { leases, introduced },
                Err(reason) => CheckedKind::Refused(reason),
            },
            WriteKind::Release(addresses) => CheckedKind::Release(addresses),
        };
        Checked {
            pseudonym: session.pseudonym,
            peer,
            network: session.network,
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

    #[expect(
        clippy::type_complexity,
        reason = "the two parts of a request, each checked"
    )]
    fn register(
        &mut self,
        now: UnixMillis,
        session: &Session,
        register: &Register,
    ) -> Result<(Vec<Result<CheckedLease, Reason>>, Option<Introduced>), Reason> {
        if session.early {
            return Err(Reason::EarlyData);
        }
        if register.leases.len() > MAX_LEASES {
            return Err(Reason::Malformed);
        }
        let exporter = session.exporter.ok_or(Reason::EarlyData)?;
        let introduced = match &register.introduction {
            Some(proof) => Some(self.introduction(now, session, &exporter, proof)?),
            None => None,
        };
        let check = |lease| self.lease(now, session, &exporter, lease);
        Ok((register.leases.iter().map(check).collect(), introduced))
    }

    /// Checks a chain of signatures, its time, and that whoever registers holds its last key.
    fn introduction(
        &self,
        now: UnixMillis,
        session: &Session,
        exporter: &[u8; 32],
        proof: &IntroductionProof,
    ) -> Result<Introduced, Reason> {
        let refused = |error| match error {
            IntroductionError::Expired => Reason::IntroductionExpired,
            _ => Reason::BadIntroduction,
        };
        let introduction = proof.introduction.as_ref().ok_or(Reason::Malformed)?;
        let signature: &[u8; 64] = proof
            .proof
            .as_ref()
            .try_into()
            .map_err(|_| Reason::Malformed)?;
        let introduction = Introduction::parse(introduction).map_err(refused)?;
        introduction.verify(&self.node, now).map_err(refused)?;
        introduction
            .check_proof(signature, exporter, &session.pseudonym)
            .map_err(refused)?;
        let hops = introduction.hop_count().to_wire().unwrap_or(u32::MAX);
        Ok(Introduced {
            hops: u8::try_from(hops).map_err(|_| Reason::BadIntroduction)?,
            holder: *introduction.holder(),
            end_s: introduction.expiry().as_secs(),
            chain: introduction.chain(),
        })
    }

    fn lease(
        &mut self,
        now: UnixMillis,
        session: &Session,
        exporter: &[u8; 32],
        lease: &Lease,
    ) -> Result<CheckedLease, Reason> {
        let keys = self.keys(&lease.blinded_key, &lease.access_key)?;
        let delegated = !lease.delegation.is_empty();
        // One or the other.
        if delegated && !lease.proof.is_empty() {
            return Err(Reason::Malformed);
        }
        let signature = if delegated {
            &lease.delegation
        } else {
            &lease.proof
        };
        let signature: &[u8; 64] = signature
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
        if delegated {
            // The transport has proved the pseudonym: whoever dials with this key is the node that was delegated to.
            let node = NodeKey::from_bytes(*session.pseudonym.as_bytes());
            let statement = delegation_statement(&node, &keys.address, lease.lease_end);
            self.delegation(&keys.access, &statement, signature)?;
        } else {
            let statement = lease_statement(
                exporter,
                self.node.as_bytes(),
                session.pseudonym.as_bytes(),
                &keys.address,
                lease.lease_end,
            );
            keys.access
                .verify(&statement, signature)
                .map_err(|_| Reason::BadProof)?;
        }
        Ok(CheckedLease {
            keys,
            end_s: lease.lease_end,
            delegated,
        })
    }

    fn delegation(
        &mut self,
        access: &AccessKey,
        statement: &[u8; 32],
        signature: &[u8; 64],
    ) -> Result<(), Reason> {
        let hash = kdf::sha256(&[access.as_bytes(), statement, signature]);
        if self.delegations.contains(&hash) {
            return Ok(());
        }
        access
            .verify(statement, signature)
            .map_err(|_| Reason::BadProof)?;
        if self.delegations.len() >= DELEGATIONS {
            self.delegations.clear();
        }
        self.delegations.insert(hash);
        Ok(())
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

fn verify(checked: &mut [Checked], verified: Option<&Verified>) {
    let (mut items, mut batch) = (Vec::new(), Vec::new());
    for request in checked {
        let CheckedKind::Publish(keys, envelopes) = &mut request.kind else {
            continue;
        };
        for place in envelopes {
            let Ok(envelope) = place else {
                continue;
            };
            let item = envelope.batch_item(keys.blinded);
            if !verified.is_some_and(|verified| verified.knows(&item)) {
                batch.push(item);
                items.push(place);
            }
        }
    }
    let mut verdicts = batch::verify_each(&batch).into_iter();
    for (place, item) in items.into_iter().zip(&batch) {
        if verdicts.next() != Some(true) {
            *place = Err(Reason::BadSignature);
        } else if let Some(verified) = verified {
            verified.remember(item);
        }
    }
}

/// Pairs of keys remembered, about 250 bytes each: as many as a busy node needs, or each request costs half a signature
/// more.
const KEYS: usize = 32_768;
/// Delegations remembered, about 40 bytes each.
const DELEGATIONS: usize = 65_536;
