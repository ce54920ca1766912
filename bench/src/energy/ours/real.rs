//! The real engine, over SQLite, and the real node's service, over SQLite: all but the sockets.

use std::{
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use ailurus::{
    channel::{AccessKind, ChannelId, Link, NodeLink, Standing},
    client::engine::Engine,
    crypto::{NodeSecret, SeededEntropy},
    store::StorageKey,
    wire::time::UnixMillis,
};
use ailurus_bench::harness::Failure;
use ailurus_node::{Limits, Service, Store};
use tempfile::TempDir;

use super::{
    post::{Asked, Brought, Dues, Post, Sender},
    talk::{publish, talk},
};
use crate::wire::Carried;

/// A node, in memory where there is some to be had as a disk.
pub struct Node {
    pub service: Service,
    pub link: NodeLink,
    folder: TempDir,
}

impl Node {
    /// An empty one.
    pub fn new(seed: u64) -> Result<Rc<Self>, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("ailurus-energy-")
            .tempdir_in(scratch())?;
        let secret = NodeSecret::random(&mut SeededEntropy::from_u64(seed));
        let store = Store::open(&folder.path().join("node.db"))?;
        let limits = Limits::default();
        Ok(Rc::new(Self {
            service: Service::new(Arc::new(store), limits, secret.public()),
            link: NodeLink::new(secret.public(), "127.0.0.1", 1)?,
            folder,
        }))
    }

    fn engine(&self, name: &str, seed: u64) -> Result<Engine, Failure> {
        let path = self.folder.path().join(format!("{name}.db"));
        let key = StorageKey::from_bytes([1; 32]);
        let mut engine = Engine::create(&path, &key, name, std::slice::from_ref(&self.link))?;
        engine.set_entropy(Box::new(SeededEntropy::from_u64(seed)));
        Ok(engine)
    }
}

/// A family: one who writes, and those whose phones are looked at. All have registered and rest at `start`.
pub fn family(
    seed: u64,
    phones: usize,
    start: UnixMillis,
) -> Result<(RealSender, Vec<RealPost>), Failure> {
    let node = Node::new(seed)?;
    let before = start.before(HOUR);
    let mut engine = node.engine("sender", seed.wrapping_mul(1_000))?;
    let channel = engine.create_channel("family", before)?;
    let link = engine.link(&channel, AccessKind::Full, true, before)?;
    let link: Link = link.parse()?;
    let mut posts = Vec::new();
    for number in 0..phones {
        let seed = seed.wrapping_mul(1_000).wrapping_add(1 + number as u64);
        let mut engine = node.engine(&format!("phone {number}"), seed)?;
        engine.join(&link, None, before)?;
        let own = engine.create_channel("own", before)?;
        posts.push(RealPost {
            engine,
            node: Rc::clone(&node),
            own,
            empty: Carried::default(),
        });
    }
    for round in 0..SETTLING {
        let now = before.after(MINUTE * round);
        talk(&mut engine, &node, now)?;
        let mut quiet = true;
        for post in &mut posts {
            quiet &= post.settle(now)?;
        }
        if quiet {
            let sender = RealSender {
                engine,
                node,
                channel,
            };
            return Ok((sender, posts));
        }
    }
    Err("the phones do not come to rest before the first day".into())
}

/// A phone's engine.
pub struct RealPost {
    engine: Engine,
    node: Rc<Node>,
    /// A channel in which nobody else is.
    own: ChannelId,
    /// What a poll carries that finds nothing.
    empty: Carried,
}

impl RealPost {
    /// Polls; whether there was nothing to do, twice.
    fn settle(&mut self, now: UnixMillis) -> Result<bool, Failure> {
        let Brought { sent, carried } = talk(&mut self.engine, &self.node, now)?;
        let before = std::mem::replace(&mut self.empty, carried);
        Ok(sent.is_empty() && carried.questions == 0 && carried == before)
    }
}

impl Post for RealPost {
    fn ask(&mut self, now: UnixMillis) -> Result<Asked, Failure> {
        let Some(asking) = self.engine.ask(now)? else {
            return Ok(Asked::Skipped);
        };
        let answer = self.node.service.answer_probe(HERE, now, &asking.question);
        let answer = answer.ok_or("the node is silent when asked by datagram")?;
        let opened = asking
            .open(&answer)
            .ok_or("an answer is for somebody else")?;
        self.engine.answered(&asking, &opened, now)?;
        Ok(match opened.0 {
            Standing::Nothing => Asked::Nothing,
            Standing::News | Standing::Unknown => Asked::News,
        })
    }

    fn talk(&mut self, now: UnixMillis) -> Result<Brought, Failure> {
        let mut brought = talk(&mut self.engine, &self.node, now)?;
        // The rest is in the packets of a poll that finds nothing.
        let carried = &mut brought.carried;
        carried.sent = carried.sent.saturating_sub(self.empty.sent);
        carried.received = carried.received.saturating_sub(self.empty.received);
        Ok(brought)
    }

    fn write(&mut self, now: UnixMillis) -> Result<(), Failure> {
        self.engine.send(&self.own, "on my way", now)?;
        Ok(())
    }

    fn dues(&mut self, now: UnixMillis) -> Result<Dues, Failure> {
        Ok(self.engine.dues(false, now)?)
    }
}

/// Who writes to them all.
pub struct RealSender {
    engine: Engine,
    node: Rc<Node>,
    channel: ChannelId,
}

impl Sender for RealSender {
    fn send(&mut self, bytes: usize, now: UnixMillis) -> Result<(), Failure> {
        let text = ".".repeat(bytes);
        self.engine.send(&self.channel, &text, now)?;
        publish(&mut self.engine, &self.node, now)
    }

    fn expire(&mut self, now: UnixMillis) -> Result<(), Failure> {
        while self.node.service.expire(now)?.more {}
        // Leases of the next epoch.
        if self.engine.work(self.node.link.key(), now)?.leases {
            talk(&mut self.engine, &self.node, now)?;
        }
        Ok(())
    }
}

/// Memory, where there is some to be had as a disk: an fsync shows nothing here.
fn scratch() -> std::path::PathBuf {
    let memory = std::path::PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    }
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);
const SETTLING: u32 = 10;

#[cfg(test)]
mod tests {
    use ailurus::channel::Epoch;

    use super::*;
    use crate::ours::light;

    #[test]
    fn the_small_node_carries_what_the_real_one_does() {
        let start = Epoch::new(2_970).start().after(HOUR * 72);
        let (mut sender, mut posts) = family(1, 1, start).unwrap();
        let (mut light_sender, mut light_posts) = light::family(1, start);
        let (real, light) = (&mut posts[0], &mut light_posts[0]);
        for (count, bytes) in [
            (0, 0),
            (1, 200),
            (5, 200),
            (20, 200),
            (10, 20),
            (10, 100),
            (10, 400),
            (10, 460),
            (10, 1_000),
        ] {
            for _ in 0..count {
                sender.send(bytes, start).unwrap();
                light_sender.send(bytes, start).unwrap();
            }
            let (real, light) = (real.talk(start).unwrap(), light.talk(start).unwrap());
            assert_eq!(real.sent.len(), count);
            assert_eq!(real.carried, light.carried, "{count} of {bytes}");
        }
        for _ in 0..2 {
            real.write(start).unwrap();
            light.write(start).unwrap();
            assert_eq!(real.ask(start).unwrap(), Asked::Skipped);
            assert_eq!(light.ask(start).unwrap(), Asked::Skipped);
            let (real, light) = (real.talk(start).unwrap(), light.talk(start).unwrap());
            assert!(real.carried.sent.abs_diff(light.carried.sent) < 5);
            assert!(real.carried.received.abs_diff(light.carried.received) < 5);
            assert_eq!(real.carried.questions, light.carried.questions);
        }
    }

    #[test]
    fn a_datagram_tells_what_the_real_node_has() {
        let start = Epoch::new(2_970).start().after(HOUR * 72);
        let (mut sender, mut posts) = family(2, 1, start).unwrap();
        let post = &mut posts[0];
        let mut now = start;
        for _ in 0..5 {
            now = now.after(MINUTE);
            assert_eq!(post.ask(now).unwrap(), Asked::Nothing);
        }
        sender.send(30, now).unwrap();
        assert_eq!(post.ask(now).unwrap(), Asked::News);
        assert_eq!(post.talk(now).unwrap().sent.len(), 1);
        assert_eq!(post.ask(now).unwrap(), Asked::Nothing);
        // Now and then it connects whatever it is told.
        let later = now.after(HOUR * 7);
        assert_eq!(post.ask(later).unwrap(), Asked::Skipped);
    }
}
