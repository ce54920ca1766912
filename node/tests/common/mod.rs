//! What a client needs for tests: channels, envelopes, leases, and requests over real QUIC.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod daemon;
pub mod wire;

use std::{path::Path, sync::Arc, time::Duration};

use ailurus::{
    channel::{
        Address, AddressKeys, Envelope, Epoch, Kind, Ticket, address::AddressSecret,
        lease_statement,
    },
    crypto::{NodeKey, NodeSecret, Pseudonym, SeededEntropy, SigningKey, blind_signing},
    wire::{
        node::{
            Batch, Fetch, Hello, Lease, Publish, Reason, Register, Release, Request, Response,
            Sync, request, response,
        },
        time::UnixMillis,
    },
};
use ailurus_node::{Limits, Service, Session, Store};
use bytes::Bytes;

/// A day in the middle of an epoch.
pub const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);
pub const ALICE: Pseudonym = Pseudonym::from_bytes([0xa1; 32]);
pub const BOB: Pseudonym = Pseudonym::from_bytes([0xb0; 32]);
pub const EXPORTER: [u8; 32] = [9; 32];
pub const HOUR: Duration = Duration::from_secs(3_600);
pub const DAY: Duration = Duration::from_secs(24 * 3_600);

pub struct Channel {
    write: SigningKey,
    secret: AddressSecret,
    entropy: SeededEntropy,
}

impl Channel {
    pub fn new(seed: u64) -> Self {
        let mut entropy = SeededEntropy::from_u64(seed);
        Self {
            write: SigningKey::random(&mut entropy),
            secret: AddressSecret::random(&mut entropy),
            entropy,
        }
    }

    pub fn keys(&self, epoch: Epoch) -> AddressKeys {
        AddressKeys::derive(&self.write.public(), &self.secret, epoch).expect("an honest channel")
    }

    pub fn address(&self, time: UnixMillis) -> Address {
        self.keys(Epoch::of(time)).address
    }

    /// An envelope whose body has `size` bytes.
    pub fn envelope(&mut self, time: UnixMillis, size: usize) -> Envelope {
        self.envelopes(time, size, 1).pop().expect("one")
    }

    /// Envelopes a millisecond apart.
    pub fn envelopes(&mut self, time: UnixMillis, size: usize, count: u64) -> Vec<Envelope> {
        let epoch = Epoch::of(time);
        let address = self.keys(epoch).address;
        let key = blind_signing(&self.write, self.secret.expose(), epoch.number())
            .expect("an honest channel");
        (0..count)
            .map(|n| {
                let time = time.offset(n as i64);
                let body = [&n.to_be_bytes()[..], &vec![7; size.saturating_sub(8)]].concat();
                Envelope::sign(
                    address,
                    time,
                    Kind::Message,
                    &body[..size],
                    &key,
                    &mut self.entropy,
                )
                .expect("not too large")
            })
            .collect()
    }

    pub fn publish(&self, envelopes: &[Envelope]) -> Request {
        let keys = self.keys(Epoch::of(envelopes[0].header().time));
        let mut before = envelopes[0].header().time;
        let mut items = Vec::new();
        for envelope in envelopes {
            items.push(envelope.to_item(before));
            before = envelope.header().time;
        }
        request(request::Kind::Publish(Publish {
            blinded_key: Bytes::copy_from_slice(keys.blinded.as_bytes()),
            access_key: Bytes::copy_from_slice(keys.access.public().as_bytes()),
            base_time_ms: envelopes[0].header().time.as_millis(),
            items,
        }))
    }

    pub fn lease(
        &self,
        epoch: Epoch,
        node: NodeKey,
        pseudonym: Pseudonym,
        exporter: [u8; 32],
    ) -> Lease {
        self.lease_until(epoch, node, pseudonym, exporter, epoch.lease_end())
    }

    pub fn lease_until(
        &self,
        epoch: Epoch,
        node: NodeKey,
        pseudonym: Pseudonym,
        exporter: [u8; 32],
        end: UnixMillis,
    ) -> Lease {
        let keys = self.keys(epoch);
        let statement = lease_statement(
            &exporter,
            node.as_bytes(),
            pseudonym.as_bytes(),
            &keys.address,
            end.as_secs(),
        );
        Lease {
            blinded_key: Bytes::copy_from_slice(keys.blinded.as_bytes()),
            access_key: Bytes::copy_from_slice(keys.access.public().as_bytes()),
            epoch: epoch.number(),
            lease_end: end.as_secs(),
            proof: Bytes::copy_from_slice(&keys.access.sign(&statement)),
            ..Lease::default()
        }
    }
}

/// A service over a database in a directory, without any network.
pub struct Bench {
    pub service: Service,
    pub node: NodeKey,
}

impl Bench {
    pub fn open(dir: &Path, limits: Limits) -> Self {
        let node = NodeSecret::from_bytes([5; 32]).public();
        let store = Arc::new(Store::open(&dir.join("node.db")).expect("a database"));
        Self {
            service: Service::new(store, limits, node),
            node,
        }
    }

    pub fn ask(&self, who: Pseudonym, now: UnixMillis, request: Request) -> Vec<Response> {
        self.service.handle(&session(who), now, request)
    }

    pub fn publish(
        &self,
        channel: &Channel,
        now: UnixMillis,
        envelopes: &[Envelope],
    ) -> Vec<(u32, Reason)> {
        refusals(&self.ask(ALICE, now, channel.publish(envelopes)))
    }

    pub fn register(
        &self,
        who: Pseudonym,
        now: UnixMillis,
        channel: &Channel,
        epoch: Epoch,
    ) -> Vec<(u32, Reason)> {
        let lease = channel.lease(epoch, self.node, who, EXPORTER);
        refusals(&self.ask(who, now, register(vec![lease])))
    }

    /// Two tickets of the same place.
    pub fn tickets(&self, who: Pseudonym, now: UnixMillis) -> Vec<Ticket> {
        let one = || self.sync(who, now, &Bytes::new()).tickets;
        one().into_iter().chain(one()).collect()
    }

    pub fn sync(&self, who: Pseudonym, now: UnixMillis, cursor: &Bytes) -> Synced {
        Synced::of(self.ask(who, now, sync(cursor.clone())))
    }
}

pub fn session(pseudonym: Pseudonym) -> Session {
    Session {
        pseudonym,
        early: false,
        exporter: Some(EXPORTER),
        network: None,
    }
}

pub fn request(kind: request::Kind) -> Request {
    Request { kind: Some(kind) }
}

pub fn sync(cursor: Bytes) -> Request {
    request(request::Kind::Sync(Sync {
        cursor,
        follow: false,
    }))
}

pub fn follow(cursor: Bytes) -> Request {
    request(request::Kind::Sync(Sync {
        cursor,
        follow: true,
    }))
}

pub fn register(leases: Vec<Lease>) -> Request {
    request(request::Kind::Register(Register {
        leases,
        ..Register::default()
    }))
}

pub fn release(addresses: &[Address]) -> Request {
    let addresses = addresses
        .iter()
        .map(|address| Bytes::copy_from_slice(address.as_bytes()))
        .collect();
    request(request::Kind::Release(Release { addresses }))
}

pub fn fetch(envelope: &Envelope) -> Request {
    request(request::Kind::Fetch(Fetch {
        address: Bytes::copy_from_slice(envelope.header().address.as_bytes()),
        id: Bytes::copy_from_slice(envelope.id().as_bytes()),
    }))
}

/// What an answer refuses, by index; a whole request counts as index 0.
pub fn refusals(responses: &[Response]) -> Vec<(u32, Reason)> {
    let [response] = responses else {
        panic!("one answer, not {responses:?}");
    };
    let refusals = match response.kind.as_ref().expect("a kind") {
        response::Kind::Published(published) => &published.refusals,
        response::Kind::Registered(registered) => &registered.refusals,
        response::Kind::Released(_) => return Vec::new(),
        response::Kind::Refused(refused) => return vec![(0, refused.reason())],
        other => panic!("unexpected answer {other:?}"),
    };
    refusals
        .iter()
        .map(|refusal| (refusal.index, refusal.reason()))
        .collect()
}

/// The answers to a `Sync`, sorted.
#[derive(Default)]
pub struct Synced {
    pub hello: Hello,
    /// Address and body of each envelope, in order of arrival.
    pub envelopes: Vec<(Address, UnixMillis, Bytes)>,
    /// Ids and sizes of those that did not ride along.
    pub apart: Vec<(Bytes, u32)>,
    pub cursor: Option<Bytes>,
    pub positions: usize,
    pub caught_up: bool,
    pub tickets: Vec<Ticket>,
}

impl Synced {
    pub fn of(responses: Vec<Response>) -> Self {
        let mut synced = Self::default();
        for response in responses {
            synced.add(response);
        }
        assert!(synced.caught_up, "the answer ends with CaughtUp");
        synced
    }

    pub fn add(&mut self, response: Response) {
        match response.kind.expect("a kind") {
            response::Kind::Hello(hello) => self.hello = hello,
            response::Kind::Batch(batch) => self.add_batch(&batch),
            response::Kind::Position(position) => {
                self.positions += 1;
                self.cursor = Some(position.cursor);
            }
            response::Kind::CaughtUp(end) => {
                self.caught_up = true;
                self.tickets = end.tickets.iter().filter_map(Ticket::from_wire).collect();
            }
            other => panic!("unexpected answer {other:?}"),
        }
    }

    pub fn add_batch(&mut self, batch: &Batch) {
        let address = Address::try_from(batch.address.as_ref()).expect("an address");
        let mut time = UnixMillis::from_millis(batch.base_time_ms);
        for item in &batch.items {
            time = time.offset(item.time_delta_ms);
            if item.sealed.is_empty() {
                self.apart.push((item.id.clone(), item.size));
            } else {
                self.envelopes.push((address, time, item.sealed.clone()));
            }
        }
    }

    /// Signatures and bodies of one address.
    pub fn of_address(&self, address: Address) -> Vec<Bytes> {
        let here = self
            .envelopes
            .iter()
            .filter(|(other, _, _)| *other == address);
        here.map(|(_, _, sealed)| sealed.clone()).collect()
    }

    pub fn cursor(&self) -> Bytes {
        self.cursor.clone().expect("a position")
    }
}

pub fn sealed(envelopes: &[Envelope]) -> Vec<Bytes> {
    envelopes
        .iter()
        .map(|envelope| envelope.sealed().clone())
        .collect()
}
