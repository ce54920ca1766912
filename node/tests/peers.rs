//! Two services that complete each other, without a network.

mod common;

use std::sync::Arc;

use ailurus::{
    channel::{Epoch, NodeLink, delegation_statement},
    crypto::{NodeKey, NodeSecret, Pseudonym},
    wire::{
        content::NodeHint,
        limits::{LIFETIME, MAX_FRAME},
        node::{
            Announce, Announced, Announcement, Published, Reason, Reconcile, Request, Response,
            request, response::Kind,
        },
        time::UnixMillis,
    },
};
use ailurus_node::{Limits, Service, Session, Store, Wire, WireEnd};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use tempfile::TempDir;

use common::*;

struct Place {
    _dir: TempDir,
    service: Arc<Service>,
    key: NodeKey,
}

impl Place {
    fn new(seed: u8) -> Self {
        Self::with(seed, Limits::default())
    }

    fn with(seed: u8, limits: Limits) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let key = NodeSecret::from_bytes([seed; 32]).public();
        let store = Arc::new(Store::open(&dir.path().join("node.db")).expect("a database"));
        Self {
            service: Arc::new(Service::new(store, limits, key)),
            _dir: dir,
            key,
        }
    }

    fn ask(&self, now: UnixMillis, request: Request) -> Response {
        self.ask_as(ALICE, now, request)
    }

    fn ask_as(&self, who: Pseudonym, now: UnixMillis, request: Request) -> Response {
        let mut answers = self.service.handle(&session(who), now, request);
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    /// Registers Alice and announces the channel's address of this epoch.
    fn serve(&self, channel: &Channel, now: UnixMillis, peers: &[&Place]) {
        let epoch = Epoch::of(now);
        let lease = channel.lease(epoch, self.key, ALICE, EXPORTER);
        assert_eq!(refusals(&[self.ask(now, register(vec![lease]))]), []);
        let announced = self.announce(now, vec![announcement(channel, epoch, self.key, peers)]);
        assert_eq!(announced.refusals, []);
    }

    fn announce(&self, now: UnixMillis, announcements: Vec<Announcement>) -> Announced {
        let announce = request(request::Kind::Announce(Announce { announcements }));
        match self.ask(now, announce).kind {
            Some(Kind::Announced(announced)) => announced,
            other => panic!("{other:?}"),
        }
    }

    fn publish(&self, channel: &Channel, now: UnixMillis, envelopes: &[ailurus::channel::Envelope]) {
        for part in envelopes.chunks(500) {
            assert_eq!(refusals(&[self.ask(now, channel.publish(part))]), []);
        }
    }

    fn wire(&self, other: &Place, now: UnixMillis) -> Wire {
        Wire::new(&self.service, other.key, now).expect("readable")
    }

    /// Signatures and bodies of one address, sorted.
    fn kept(&self, channel: &Channel, now: UnixMillis) -> Vec<Bytes> {
        let answers = self.service.handle(&session(ALICE), now, sync(Bytes::new()));
        let mut kept = Synced::of(answers).of_address(channel.address(now));
        kept.sort();
        kept
    }
}

fn announcement(channel: &Channel, epoch: Epoch, node: NodeKey, peers: &[&Place]) -> Announcement {
    let keys = channel.keys(epoch);
    let until = epoch.lease_end().as_secs();
    let statement = delegation_statement(&node, &keys.address, until);
    Announcement {
        address: Bytes::copy_from_slice(keys.address.as_bytes()),
        until,
        delegation: Bytes::copy_from_slice(&keys.access.sign(&statement)),
        peers: peers.iter().map(|peer| hint(peer.key)).collect(),
        ..Announcement::default()
    }
}

fn hint(key: NodeKey) -> NodeHint {
    NodeHint {
        key: Bytes::copy_from_slice(key.as_bytes()),
        host: "192.0.2.1".to_owned(),
        port: 4433,
    }
}

fn run(wire: &mut Wire, from: &Place, to: &Place, now: UnixMillis) -> Option<WireEnd> {
    let mut largest = 0;
    let end = wire
        .run(&from.service, now, |session: &Session, request| {
            largest = largest.max(request.encoded_len());
            let answers = to.service.handle(session, now, request);
            for answer in &answers {
                largest = largest.max(answer.encoded_len());
            }
            answers
        })
        .expect("readable");
    assert!(largest <= MAX_FRAME);
    end
}

#[test]
fn two_nodes_end_with_the_same_envelopes() {
    let (a, b) = (Place::new(1), Place::new(2));
    let mut channel = Channel::new(1);
    let mine = channel.envelopes(NOW, 300, 1_500);
    let both = channel.envelopes(NOW.offset(-5_000_000), 300, 700);
    let large = channel.envelopes(NOW.offset(-90_000), 20_000, 3);
    let theirs = channel.envelopes(NOW.offset(-60_000), 300, 900);
    for place in [&a, &b] {
        place.serve(&channel, NOW, &[&a, &b]);
        place.publish(&channel, NOW, &both);
    }
    a.publish(&channel, NOW, &mine);
    b.publish(&channel, NOW, &large);
    b.publish(&channel, NOW, &theirs);
    let mut wire = a.wire(&b, NOW);
    assert_eq!(run(&mut wire, &a, &b, NOW), None);
    let mut all: Vec<Bytes> = [mine, both, theirs].iter().flat_map(|part| sealed(part)).collect();
    all.sort();
    assert_eq!(a.kept(&channel, NOW), all);
    assert_eq!(b.kept(&channel, NOW), all);
    for envelope in &large {
        let answer = a.ask(NOW, fetch(envelope));
        assert!(matches!(answer.kind, Some(Kind::Batch(_))), "{answer:?}");
    }
    // Again, and there is nothing to do until the next reconciliation.
    assert_eq!(run(&mut wire, &a, &b, NOW), None);
    assert!(wire.wake() > NOW.after(HOUR / 10));
}
