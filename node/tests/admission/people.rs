//! A node with an operator's key, a tree of introductions, and clients that register with them.

use ailurus::{
    channel::{Epoch, Introduction},
    crypto::{HolderSecret, NodeSecret, Pseudonym, kdf},
    wire::{
        node::{
            IntroductionProof, Lease, Reason, Register, Registered, Request, request, response,
        },
        time::UnixMillis,
    },
};
use ailurus_node::{Limits, Session};
use bytes::Bytes;
use rusqlite::Connection;

use crate::common::*;

/// A node whose database can be looked into.
pub struct Desk {
    pub dir: tempfile::TempDir,
    pub bench: Bench,
}

/// What a client was answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The hop count that counts.
    In(Option<u32>),
    /// The leases were refused, with the reason of the first.
    NoLease(Reason),
    /// The whole request was.
    Refused(Reason),
}

pub fn operator() -> NodeSecret {
    NodeSecret::from_bytes([5; 32])
}

pub fn client(number: u8) -> Pseudonym {
    Pseudonym::from_bytes([number; 32])
}

pub fn expiry() -> u64 {
    NOW.after(60 * DAY).as_secs()
}

/// The secret of whoever stands at a place of the tree: the first number is the operator's invitation.
pub fn holder(path: &[u8]) -> HolderSecret {
    HolderSecret::from_bytes(kdf::tagged_hash("test/holder", &[path]))
}

/// The introduction of that place.
pub fn introduction(path: &[u8]) -> Introduction {
    introduction_until(path, expiry())
}

pub fn introduction_until(path: &[u8], expiry: u64) -> Introduction {
    let mut chain = Introduction::mint(&operator(), &holder(&path[..1]).public(), expiry);
    for depth in 2..=path.len() {
        let next = holder(&path[..depth]).public();
        chain = chain
            .extend(&holder(&path[..depth - 1]), &next, expiry)
            .expect("extended");
    }
    chain
}

pub fn proof(path: &[u8], who: Pseudonym) -> IntroductionProof {
    introduction(path)
        .prove(&holder(path), &EXPORTER, &who)
        .expect("held")
}

pub fn request_to_register(leases: Vec<Lease>, introduction: Option<IntroductionProof>) -> Request {
    request(request::Kind::Register(Register {
        leases,
        introduction,
    }))
}

impl Desk {
    pub fn new(limits: Limits) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let bench = Bench::open(dir.path(), limits);
        Self { dir, bench }
    }

    pub fn database(&self) -> Connection {
        Connection::open(self.dir.path().join("node.db")).expect("opens")
    }

    /// A number from the database.
    pub fn number(&self, sql: &str) -> u64 {
        let found: i64 = self
            .database()
            .query_row(sql, [], |row| row.get(0))
            .expect("a number");
        u64::try_from(found).expect("not negative")
    }

    /// Registers one address, the same for everybody.
    pub fn come(
        &self,
        who: Pseudonym,
        now: UnixMillis,
        introduction: Option<IntroductionProof>,
    ) -> Answer {
        let epoch = Epoch::of(NOW);
        let lease = Channel::new(1).lease(epoch, self.bench.node, who, EXPORTER);
        self.register(who, now, vec![lease], introduction)
    }

    /// Registers with the introduction of a place in the tree.
    pub fn come_from(&self, who: Pseudonym, now: UnixMillis, path: &[u8]) -> Answer {
        self.come(who, now, Some(proof(path, who)))
    }

    pub fn register(
        &self,
        who: Pseudonym,
        now: UnixMillis,
        leases: Vec<Lease>,
        introduction: Option<IntroductionProof>,
    ) -> Answer {
        self.register_over(session(who), now, leases, introduction)
    }

    /// The same over a connection from anywhere.
    pub fn register_over(
        &self,
        session: Session,
        now: UnixMillis,
        leases: Vec<Lease>,
        introduction: Option<IntroductionProof>,
    ) -> Answer {
        let asked = request_to_register(leases, introduction);
        let mut responses = self.bench.service.handle(&session, now, asked);
        let response = responses.pop().expect("an answer").kind.expect("a kind");
        match response {
            response::Kind::Registered(Registered {
                refusals,
                hop_count,
            }) => match refusals.first() {
                Some(refusal) => Answer::NoLease(refusal.reason()),
                None => Answer::In(hop_count),
            },
            response::Kind::Refused(refused) => Answer::Refused(refused.reason()),
            other => panic!("unexpected answer {other:?}"),
        }
    }

    /// Leases, and why there are none.
    pub fn hello(&self, who: Pseudonym, now: UnixMillis) -> (u32, Reason) {
        let hello = self.bench.sync(who, now, &Bytes::new()).hello;
        (hello.leases, hello.ended())
    }

    pub fn tick(&self, now: UnixMillis) {
        while self.bench.service.expire(now).expect("expires").more {}
    }

    pub fn metric(&self, line: &str) -> bool {
        self.bench.service.metrics().encode().contains(line)
    }
}
