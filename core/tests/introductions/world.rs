//! People with phones, and a super node that hands on what they publish.

use ailurus::{
    channel::{
        AccessKind, Address, AuthorHint, ChannelId, Epoch, HopCount, Introduction, Invitation,
        Link, NodeLink, Previous,
        message::{Draft, EpochCipher, Recipient, encode_content},
    },
    client::engine::Engine,
    crypto::{AccessKey, DhSecret, NodeKey, NodeSecret, PublicKey, SeededEntropy, SigningKey},
    store::{OutboxItem, StorageKey},
    wire::{
        content::{self, Content},
        node::{Batch, Registered, Request, request::Kind},
        time::UnixMillis,
    },
};
use bytes::Bytes;
use tempfile::TempDir;

/// The middle of an epoch.
pub const NOW: UnixMillis = UnixMillis::from_secs(2_950 * 7 * 24 * 3_600 + 300_000);
pub const EXPORTER: [u8; 32] = [0x88; 32];
const DAY: u64 = 24 * 3_600;

/// So many hours after [`NOW`].
pub fn hours(hours: u64) -> UnixMillis {
    UnixMillis::from_secs(NOW.as_secs() + hours * 3_600)
}

pub fn days(days: u64) -> UnixMillis {
    hours(days * 24)
}

/// The operator's node, which everybody here uses.
pub fn operator() -> NodeSecret {
    NodeSecret::from_bytes([9; 32])
}

pub fn node() -> NodeKey {
    operator().public()
}

pub fn node_link() -> NodeLink {
    NodeLink::new(node(), "node.example", 4_433).unwrap()
}

/// Another node.
pub fn other_link(number: u8) -> NodeLink {
    let key = NodeSecret::from_bytes([number; 32]).public();
    NodeLink::new(key, &format!("node{number}.example"), 4_433).unwrap()
}

pub fn invitation(seed: u64) -> Invitation {
    let expiry = NOW.as_secs() + 90 * DAY;
    let mut entropy = SeededEntropy::from_u64(seed);
    Invitation::mint(&operator(), &node_link(), expiry, &mut entropy)
}

pub fn hops(number: usize) -> HopCount {
    HopCount::new(number).unwrap()
}

pub struct Phone {
    pub engine: Engine,
    pub folder: TempDir,
}

impl Phone {
    pub fn new(name: &str) -> Self {
        Self::with(name, &[node_link()])
    }

    pub fn with(name: &str, nodes: &[NodeLink]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = StorageKey::from_bytes([1; 32]);
        let path = folder.path().join("profile.db");
        Self {
            engine: Engine::create(&path, &key, name, nodes).unwrap(),
            folder,
        }
    }

    pub fn link(&mut self, channel: &ChannelId, kind: AccessKind) -> Link {
        let link = self.engine.link(channel, kind, true, NOW).unwrap();
        link.parse().unwrap()
    }

    /// What waits to be sent, as the node would hand it on.
    pub fn publish(&mut self, now: UnixMillis) -> Vec<Batch> {
        let mut batches = Vec::new();
        for publication in self.engine.publish(&node(), now).unwrap().0 {
            self.engine
                .published(&node(), &publication, &Default::default(), now)
                .unwrap();
            let Some(Kind::Publish(publish)) = publication.request.kind else {
                panic!("a publication publishes");
            };
            let blinded =
                PublicKey::from_bytes(publish.blinded_key[..].try_into().unwrap()).unwrap();
            let access = AccessKey::try_from(&publish.access_key[..]).unwrap();
            batches.push(Batch {
                address: Bytes::copy_from_slice(Address::of(&blinded, &access).as_bytes()),
                base_time_ms: publish.base_time_ms,
                items: publish.items,
            });
        }
        batches
    }

    pub fn take(&mut self, batches: &[Batch], now: UnixMillis) {
        self.engine.ingest(&node(), batches, None, now).unwrap();
    }

    /// Messages of every kind that wait for the node.
    pub fn waiting(&mut self) -> usize {
        self.outbox().len()
    }

    fn outbox(&mut self) -> Vec<OutboxItem> {
        let nodes = self.engine.nodes().unwrap();
        let row = nodes
            .iter()
            .find(|stored| *stored.link.key() == node())
            .expect("everybody uses it")
            .row;
        self.engine.store().read(|tx| tx.outbox_for(row)).unwrap()
    }

    pub fn hop_count(&mut self, now: UnixMillis) -> HopCount {
        self.engine.hop_count(&node(), now).unwrap()
    }

    pub fn introduction(&mut self) -> Option<Introduction> {
        let held = self.engine.store().read(|tx| tx.introduction(&node()));
        held.unwrap().map(|held| held.introduction)
    }

    /// What is done after each poll of the node.
    pub fn settle(&mut self, now: UnixMillis) {
        self.engine.expire(&[node()], now).unwrap();
    }

    /// The node's clock is known from the first poll on.
    pub fn hear(&mut self, leases: u32, now: UnixMillis) {
        let hello = ailurus::wire::node::Hello {
            time_ms: now.as_millis(),
            leases,
            ..Default::default()
        };
        self.engine.hello(&node(), &hello, now).unwrap();
    }

    /// Registers everything that is due, as the node would: it counts us by what we show.
    pub fn register(&mut self, now: UnixMillis) -> Vec<Request> {
        let registrations = self.engine.register(&node(), &EXPORTER, now).unwrap();
        let mut requests = Vec::new();
        for registration in registrations {
            let shown = shown(&registration.request);
            let answer = Registered {
                hop_count: shown.map(|chain| chain.hop_count().to_wire().unwrap()),
                ..Registered::default()
            };
            self.engine
                .registered(&node(), &registration, &answer, now)
                .unwrap();
            requests.push(registration.request);
        }
        requests
    }
}

/// The introduction in a registration.
pub fn shown(request: &Request) -> Option<Introduction> {
    let Some(Kind::Register(register)) = &request.kind else {
        panic!("a registration registers");
    };
    let proof = register.introduction.as_ref()?;
    Some(Introduction::parse(proof.introduction.as_ref().unwrap()).unwrap())
}

/// Two people in a channel of their own, who know each other.
pub fn meet(first: &mut Phone, second: &mut Phone, name: &str) -> ChannelId {
    let channel = first.engine.create_channel(name, NOW).unwrap();
    let link = first.link(&channel, AccessKind::Full);
    second.engine.join(&link, None, NOW).unwrap();
    exchange(first, second, NOW);
    channel
}

/// Carries everything there and back until nobody has more to say.
pub fn exchange(one: &mut Phone, two: &mut Phone, now: UnixMillis) {
    loop {
        let there = one.publish(now);
        two.take(&there, now);
        let back = two.publish(now);
        one.take(&back, now);
        if there.is_empty() && back.is_empty() {
            return;
        }
    }
}

/// Somebody who holds the keys of a channel and writes what they like.
pub struct Writer {
    link: Link,
    key: SigningKey,
    pub dh: DhSecret,
    sequence: u64,
    previous: Previous,
    entropy: SeededEntropy,
}

impl Writer {
    pub fn new(link: Link, seed: u8) -> Self {
        Self {
            link,
            key: SigningKey::from_bytes(&[seed; 32]).unwrap(),
            dh: DhSecret::from_bytes([seed; 32]),
            sequence: 0,
            previous: Previous::NONE,
            entropy: SeededEntropy::from_u64(u64::from(seed)),
        }
    }

    pub fn says(&mut self, mut content: Content, now: UnixMillis) -> Batch {
        content.introduction = Some(content::Introduction {
            name: "Mallory".to_owned(),
            dh_key: Bytes::copy_from_slice(self.dh.public().as_bytes()),
        });
        self.sequence += 1;
        let epoch = Epoch::of(now);
        let access = &self.link.access;
        let cipher = EpochCipher::new(&self.link.read.as_ref().unwrap().at(epoch).unwrap());
        let author = self.key.public();
        let draft = Draft {
            channel: access.channel_id(),
            address: access.address_keys(epoch).unwrap().address,
            time: UnixMillis::from_millis(now.as_millis() + self.sequence),
            author: &self.key,
            sequence: self.sequence,
            previous: self.previous,
            content: &encode_content(content, &author, self.sequence, true),
        };
        let blinded = access.blinded_signing(epoch).unwrap().unwrap();
        let (envelope, id) = draft
            .seal(&Recipient::Readers(&cipher), &blinded, &mut self.entropy)
            .unwrap();
        self.previous = Previous::of(&id);
        let header = envelope.header();
        Batch {
            address: Bytes::copy_from_slice(header.address.as_bytes()),
            base_time_ms: header.time.as_millis(),
            items: vec![envelope.to_item(header.time)],
        }
    }
}

/// The hint of the only other author that a phone knows.
pub fn hint_of_other(phone: &mut Phone, channel: &ChannelId) -> AuthorHint {
    let members = phone.engine.members(channel).unwrap();
    let other = members.iter().find(|member| !member.own).unwrap();
    AuthorHint::of(channel, &other.author)
}

/// The hint of a phone's own author.
pub fn own_hint(phone: &mut Phone, channel: &ChannelId) -> AuthorHint {
    let members = phone.engine.members(channel).unwrap();
    let own = members.iter().find(|member| member.own).unwrap();
    AuthorHint::of(channel, &own.author)
}

/// Whether a phone has queued a message of the kind that `what` finds, the unsealed ones.
pub fn queued<T>(phone: &mut Phone, what: impl Fn(&Content) -> Option<T>) -> Vec<T> {
    phone
        .outbox()
        .iter()
        .filter_map(|item| what(&item.content))
        .collect()
}
