//! A node's service and phones' engines, driven step by step as a poll over QUIC drives them.

use std::sync::Arc;
use std::time::Duration;

use ailurus::channel::{AccessKind, ChannelId, Epoch, Link, NodeLink};
use ailurus::client::{
    Message, Notice,
    engine::{Change, Engine},
};
use ailurus::crypto::{NodeKey, NodeSecret, SeededEntropy};
use ailurus::store::{Page, StorageKey};
use ailurus::sync::session::{Session as Conversation, Step};
use ailurus::wire::{
    node::{Batch, Request, response},
    time::UnixMillis,
};
use ailurus_node::{Limits, Service, Session, Store};
use tempfile::TempDir;

pub const DAY: Duration = Duration::from_secs(24 * 3600);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const SEED: u64 = 20_151_101;

pub struct Node {
    pub service: Service,
    pub key: NodeKey,
    pub folder: TempDir,
}

impl Node {
    pub fn new() -> Self {
        println!("seed {SEED}");
        let folder = tempfile::tempdir().expect("a folder");
        let key = NodeSecret::from_bytes([9; 32]).public();
        let store = Store::open(&folder.path().join("node.db")).expect("a store");
        Self {
            service: Service::new(Arc::new(store), Limits::default(), key),
            key,
            folder,
        }
    }

    pub fn phone(&self, name: &str, number: u64) -> Phone {
        let link = NodeLink::new(self.key, "127.0.0.1", 1).expect("a link");
        let path = self.folder.path().join(format!("{name}.db"));
        let storage = StorageKey::from_bytes([1; 32]);
        let mut engine = Engine::create(&path, &storage, name, &[link]).expect("a profile");
        engine.set_entropy(Box::new(SeededEntropy::from_u64(SEED + number)));
        Phone {
            engine,
            node: self.key,
            seen: Vec::new(),
        }
    }

    /// Phones in one channel, made by the first; each has introduced itself to the others' node.
    pub fn family<const N: usize>(
        &self,
        names: [&str; N],
        now: UnixMillis,
    ) -> ([Phone; N], ChannelId) {
        let mut number = 0;
        let mut phones = names.map(|name| {
            number += 1;
            self.phone(name, number)
        });
        let (first, others) = phones.split_first_mut().expect("somebody");
        let channel = first
            .engine
            .create_channel("family", now)
            .expect("a channel");
        first.poll(self, now, now);
        for other in others {
            let link = invite(first, &channel, now);
            other.engine.join(&link, None, now).expect("joins");
            other.poll(self, now, now);
        }
        first.poll(self, now, now);
        (phones, channel)
    }

    pub fn expire(&self, now: UnixMillis) {
        while self.service.expire(now).expect("expires").more {}
    }
}

pub struct Phone {
    pub engine: Engine,
    pub node: NodeKey,
    /// Every batch that ever came, as a thief of the network would have it.
    pub seen: Vec<Batch>,
}

impl Phone {
    /// What a poll over QUIC does, step by step.
    pub fn poll(&mut self, node: &Node, own_now: UnixMillis, node_now: UnixMillis) -> Vec<Change> {
        let key = self.node;
        let pseudonym = self.engine.nodes().expect("nodes")[0].pseudonym.public();
        let exporter = [7; 32];
        let session = Session {
            pseudonym,
            early: false,
            exporter: Some(exporter),
            network: None,
        };
        let ask = |request: &Request| {
            node.service
                .handle(&session, node_now, request.clone())
                .into_iter()
                .map(|response| response.kind.expect("an answer"))
                .collect::<Vec<_>>()
        };
        let mut changes = Vec::new();
        let work = self.engine.work(&key, own_now).expect("work");
        let mut talk = Conversation::new(work);
        loop {
            match talk.next() {
                Step::Idle => break,
                Step::Register => {
                    for registration in self
                        .engine
                        .register(&key, &exporter, own_now)
                        .expect("leases")
                    {
                        for answer in ask(&registration.request) {
                            let response::Kind::Registered(answer) = answer else {
                                panic!("{answer:?}");
                            };
                            changes.extend(
                                self.engine
                                    .registered(&key, &registration, &answer, own_now)
                                    .expect("leases"),
                            );
                        }
                    }
                    talk.registered();
                }
                Step::Release => {
                    ask(&self.engine.release(&key).expect("a request"));
                    self.engine.released(&key).expect("released");
                    talk.released();
                }
                // Nobody here has a push service.
                Step::Push => talk.pushed(),
                Step::Announce => {
                    let mut waiting = self.engine.announce(&key, own_now).expect("announcements");
                    while let Some(announcing) = waiting.pop() {
                        for answer in ask(&announcing.request) {
                            match answer {
                                response::Kind::Announced(answer) => waiting.extend(
                                    self.engine
                                        .announced(&key, &announcing, &answer, own_now)
                                        .expect("told"),
                                ),
                                response::Kind::Refused(refused) => self
                                    .engine
                                    .announcing_refused(
                                        &key,
                                        &announcing,
                                        refused.reason(),
                                        own_now,
                                    )
                                    .expect("refused"),
                                other => panic!("{other:?}"),
                            }
                        }
                    }
                    talk.announced();
                }
                Step::Sync => {
                    let request = self.engine.sync(&key, false).expect("a request");
                    let mut batches = Vec::new();
                    let mut tickets = Vec::new();
                    for answer in ask(&request) {
                        match answer {
                            response::Kind::Hello(hello) => {
                                let (expected, told) =
                                    self.engine.hello(&key, &hello, own_now).expect("hello");
                                changes.extend(told);
                                talk.hello(hello.leases, expected);
                            }
                            response::Kind::Batch(batch) => batches.push(batch),
                            response::Kind::Position(position) => {
                                let cursor = Some(position.cursor.as_ref());
                                let done = self
                                    .engine
                                    .ingest(&key, &batches, cursor, own_now)
                                    .expect("taken in");
                                changes.extend(done.changes);
                                self.seen.append(&mut batches);
                            }
                            response::Kind::CaughtUp(end) => tickets = end.tickets,
                            other => panic!("{other:?}"),
                        }
                    }
                    assert!(batches.is_empty(), "every batch is followed by a position");
                    self.engine
                        .keep_tickets(&key, &tickets, own_now)
                        .expect("kept");
                    talk.caught_up();
                    let leases = self.engine.work(&key, own_now).expect("work");
                    if talk.next() == Step::Idle {
                        talk.set_work(leases);
                    }
                }
                Step::Publish => {
                    let (publications, expired) =
                        self.engine.publish(&key, own_now).expect("publications");
                    changes.extend(expired);
                    for publication in publications {
                        for answer in ask(&publication.request) {
                            let response::Kind::Published(answer) = answer else {
                                panic!("{answer:?}");
                            };
                            changes.extend(
                                self.engine
                                    .published(&key, &publication, &answer, own_now)
                                    .expect("taken in"),
                            );
                        }
                    }
                    talk.published();
                }
            }
        }
        changes.extend(self.engine.expire(&[key], own_now).expect("expires"));
        changes
    }

    pub fn texts(&mut self, channel: &ChannelId) -> Vec<String> {
        self.engine
            .messages(channel, Page::Latest, 10_000)
            .expect("messages")
            .into_iter()
            .map(|message| message.text)
            .collect()
    }

    pub fn oldest_secret(&mut self) -> Epoch {
        let accesses = self
            .engine
            .store()
            .read(|tx| tx.accesses())
            .expect("accesses");
        accesses[0].read.as_ref().expect("a read secret").epoch()
    }
}

pub fn received(changes: &[Change]) -> Vec<&Message> {
    changes
        .iter()
        .filter_map(|change| match change {
            Change::Received(message) => Some(message),
            _ => None,
        })
        .collect()
}

pub fn notices(changes: &[Change]) -> Vec<&Notice> {
    changes
        .iter()
        .filter_map(|change| match change {
            Change::Notice(notice) => Some(notice),
            _ => None,
        })
        .collect()
}

pub fn invite(from: &mut Phone, channel: &ChannelId, now: UnixMillis) -> Link {
    from.engine
        .link(channel, AccessKind::Full, true, now)
        .expect("a link")
        .parse()
        .expect("it parses")
}
