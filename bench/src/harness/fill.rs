//! Data directories that are full from the start: filled in process, through the node's own checks and store.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use ailurus::{
    channel::{Address, AddressKeys, Envelope, Epoch, Kind},
    crypto::{
        AccessKey, AccessSecret, Entropy as _, NodeKey, PseudonymSecret, PublicKey, SeededEntropy,
        SigningKey, sha256,
    },
    wire::{
        node::{Register, Request, Response, request, response},
        time::UnixMillis,
    },
};
use ailurus_node::{Limits, Service, Session, Store};

use super::{Failure, clock::BenchClock, wire::lease};

/// A store that is being filled, while no daemon runs on it.
pub struct Filling {
    service: Arc<Service>,
    node: NodeKey,
    clock: BenchClock,
}

impl Filling {
    /// Fills the database at `path` as the node with key `node` would.
    pub fn open(path: &Path, node: &NodeKey, clock: BenchClock) -> Result<Self, Failure> {
        let store = Arc::new(Store::open(path)?);
        Ok(Self {
            service: Arc::new(Service::new(store, unlimited(), *node)),
            node: *node,
            clock,
        })
    }

    /// Commits `count` batches of requests, each in a transaction of its own. Several threads make, check and commit
    /// them, so they come in no certain order.
    pub fn fill(
        &self,
        count: usize,
        make: impl Fn(usize) -> Result<Vec<(Session, Request)>, Failure> + Sync,
    ) -> Result<(), Failure> {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok::<_, Failure>(());
                }
                if let Err(error) = self.commit(make(index)?) {
                    next.store(count, Ordering::Relaxed);
                    return Err(error);
                }
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            for thread in threads {
                thread.join().map_err(|_| "a thread ended in a panic")??;
            }
            Ok(())
        })
    }

    /// Commits requests in one transaction.
    pub fn commit(&self, requests: Vec<(Session, Request)>) -> Result<(), Failure> {
        self.commit_at(requests, self.clock.now())
    }

    /// Commits requests in one transaction, at another time than now.
    pub fn commit_at(
        &self,
        requests: Vec<(Session, Request)>,
        now: UnixMillis,
    ) -> Result<(), Failure> {
        let answers = self.service.handle_all(requests, now);
        match answers.into_iter().find(|answer| !accepted(answer)) {
            Some(refusal) => Err(format!("the store was not filled: {refusal:?}").into()),
            None => Ok(()),
        }
    }

    /// The node on this store.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// What a client asks to lease addresses.
    pub fn register<'a>(
        &self,
        client: &PseudonymSecret,
        leased: impl Iterator<Item = (&'a AddressKeys, AccessKey)>,
    ) -> (Session, Request) {
        let session = session(client);
        let leases = leased
            .map(|(keys, access)| lease(keys, &access, &[0; 32], &self.node, &session.pseudonym));
        let request = Request {
            kind: Some(request::Kind::Register(Register {
                leases: leases.collect(),
                ..Register::default()
            })),
        };
        (session, request)
    }
}

/// Limits that no measurement meets.
pub fn unlimited() -> Limits {
    Limits {
        items_per_second: u32::MAX,
        items_burst: u32::MAX,
        bytes_per_second: u32::MAX,
        bytes_burst: u32::MAX,
        envelopes_per_address: u64::MAX,
        bytes_per_address: u64::MAX,
        registrations: u64::MAX,
        strangers: u64::MAX,
        ..Limits::default()
    }
}

/// Many addresses at little cost: they share a blinded key, and each has an access key of its own.
pub struct Addresses {
    signing: SigningKey,
    blinded: PublicKey,
    epoch: Epoch,
    access: Vec<AccessKey>,
}

impl Addresses {
    /// So many of one epoch; the same in every process.
    pub fn new(count: usize, epoch: Epoch) -> Self {
        let signing = SigningKey::random(&mut SeededEntropy::from_u64(1));
        Self {
            blinded: signing.public(),
            signing,
            epoch,
            access: (0..count).map(|index| access(index).public()).collect(),
        }
    }

    /// The keys of one of them, and the public half of its access key.
    pub fn keys(&self, index: usize) -> (AddressKeys, AccessKey) {
        let public = self.access[index];
        let keys = AddressKeys {
            epoch: self.epoch,
            address: Address::of(&self.blinded, &public),
            blinded: self.blinded,
            access: access(index),
        };
        (keys, public)
    }

    /// An envelope of random bytes.
    pub fn sign(
        &self,
        keys: &AddressKeys,
        time: UnixMillis,
        length: usize,
        entropy: &mut SeededEntropy,
    ) -> Result<Envelope, Failure> {
        let mut body = vec![0; length];
        entropy.fill(&mut body);
        let kind = Kind::Message;
        Ok(Envelope::sign(
            keys.address,
            time,
            kind,
            &body,
            &self.signing,
            entropy,
        )?)
    }
}

/// A client whose connection has an exporter of zeros.
pub fn session(client: &PseudonymSecret) -> Session {
    Session {
        pseudonym: client.public(),
        early: false,
        network: None,
        exporter: Some([0; 32]),
    }
}

/// The pseudonym of a client, the same in every process.
pub fn pseudonym(index: usize) -> PseudonymSecret {
    PseudonymSecret::from_bytes(sha256(&[b"client", &(index as u64).to_be_bytes()]))
}

fn access(index: usize) -> AccessSecret {
    AccessSecret::from_bytes(sha256(&[b"address", &(index as u64).to_be_bytes()]))
}

fn accepted(answer: &Response) -> bool {
    match &answer.kind {
        Some(response::Kind::Registered(registered)) => registered.refusals.is_empty(),
        Some(response::Kind::Published(published)) => published.refusals.is_empty(),
        Some(response::Kind::Announced(announced)) => announced.refusals.is_empty(),
        _ => false,
    }
}

/// While one commits, one checks and one signs.
const THREADS: usize = 3;
