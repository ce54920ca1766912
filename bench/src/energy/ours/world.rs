//! The world around the phones: their node, the others who write, and time.

use std::{sync::Arc, time::Duration};

use ailurus::{
    channel::{AccessKind, ChannelId, Epoch, Link, NodeLink},
    client::engine::Engine,
    crypto::{NodeSecret, SeededEntropy},
    store::StorageKey,
    wire::time::UnixMillis,
};
use ailurus_bench::{harness::Failure, random::Random};
use ailurus_node::{Limits, Service, Store};
use tempfile::TempDir;

use super::{
    Policy, Scene,
    phone::Phone,
    talk::{Node, publish, talk},
};
use crate::{course::Course, trace::Message};

/// What phones that are set in these ways do in a scene; one course each.
///
/// They share a node and a channel, in which somebody else writes all messages; none does what another one is charged
/// for.
pub fn run(scene: &Scene<'_>, policies: &[Policy]) -> Result<Vec<Course>, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("ailurus-energy-")
        .tempdir_in(scratch())?;
    let mut world = World::new(scene, policies, &folder)?;
    world.live(scene)?;
    let courses = world.phones.into_iter().map(|phone| {
        let mut course = phone.course;
        course.packets.sort_by_key(|packet| packet.at);
        course
    });
    Ok(courses.collect())
}

struct World {
    service: Service,
    link: NodeLink,
    sender: Engine,
    channel: ChannelId,
    start: UnixMillis,
    phones: Vec<Phone>,
    /// Each phone's own, in which nobody else is.
    own: Vec<ChannelId>,
}

impl World {
    fn new(scene: &Scene<'_>, policies: &[Policy], folder: &TempDir) -> Result<Self, Failure> {
        // Midnight in the middle of an epoch, so that a week has a turn in it.
        let start = Epoch::new(2_970).start().after(DAY * 3);
        let secret = NodeSecret::random(&mut SeededEntropy::from_u64(scene.seed));
        let store = Store::open(&folder.path().join("node.db"))?;
        let service = Service::new(Arc::new(store), Limits::default(), secret.public());
        let link = NodeLink::new(secret.public(), "127.0.0.1", 1)?;
        let engine = |name: &str, number: u64| -> Result<Engine, Failure> {
            let path = folder.path().join(format!("{name}.db"));
            let key = StorageKey::from_bytes([1; 32]);
            let mut engine = Engine::create(&path, &key, name, std::slice::from_ref(&link))?;
            let seed = scene.seed.wrapping_mul(1_000).wrapping_add(number);
            engine.set_entropy(Box::new(SeededEntropy::from_u64(seed)));
            Ok(engine)
        };
        let before = start.before(HOUR);
        let mut sender = engine("sender", 0)?;
        let channel = sender.create_channel("family", before)?;
        let mut phones = Vec::new();
        let mut own = Vec::new();
        for (number, policy) in (1..).zip(policies) {
            let mut engine = engine(policy.name, number)?;
            let text = sender.link(&channel, AccessKind::Full, true, before)?;
            let link: Link = text.parse()?;
            engine.join(&link, None, before)?;
            if !scene.sends.is_empty() {
                own.push(engine.create_channel("own", before)?);
            }
            // The platform treats all phones alike.
            let random = Random::new(scene.seed, 2);
            phones.push(Phone::new(*policy, engine, scene, start, random));
        }
        let mut world = Self {
            service,
            link,
            sender,
            channel,
            start,
            phones,
            own,
        };
        world.settle(before)?;
        Ok(world)
    }

    /// Everybody registers and introduces themselves.
    fn settle(&mut self, before: UnixMillis) -> Result<(), Failure> {
        let node = Node {
            service: &self.service,
            key: *self.link.key(),
        };
        for round in 0..SETTLING {
            let now = before.after(Duration::from_secs(60) * round);
            talk(&mut self.sender, &node, now)?;
            let mut quiet = true;
            for phone in &mut self.phones {
                quiet &= phone.settle(&node, now)?;
            }
            if quiet {
                return Ok(());
            }
        }
        Err("the phones do not come to rest before the first day".into())
    }

    fn live(&mut self, scene: &Scene<'_>) -> Result<(), Failure> {
        let mut messages = scene.messages.iter().enumerate().peekable();
        let mut sends = scene.sends.iter().peekable();
        let mut networks = changes(scene.outages).into_iter().peekable();
        let mut dozing = Some(Duration::ZERO);
        let mut expires = Duration::ZERO;
        for phone in &mut self.phones {
            phone.plan(Duration::ZERO);
        }
        loop {
            let woken = self.phones.iter().filter_map(Phone::next).min();
            let next = [
                messages.peek().map(|(_, message)| message.at),
                sends.peek().map(|at| **at),
                networks.peek().map(|(at, _)| *at),
                dozing,
                woken,
            ];
            let Some(now) = next
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at < scene.end)
            else {
                return Ok(());
            };
            if now >= expires {
                self.service.expire(self.start.after(now))?;
                expires = now + HOUR;
            }
            if let Some((_, online)) = networks.next_if(|(at, _)| *at <= now) {
                for phone in &mut self.phones {
                    phone.set_online(online, now);
                }
            } else if dozing.is_some_and(|at| at <= now) {
                if scene.os.next_change(now).is_some() {
                    for phone in &mut self.phones {
                        phone.set_doze(scene.os.dozes(now), now);
                    }
                }
                dozing = scene.os.next_change(now);
            } else if let Some((number, message)) =
                messages.next_if(|(_, message)| message.at <= now)
            {
                self.write(number, message)?;
                for phone in &mut self.phones {
                    phone.offered(message.at, scene.wire);
                }
            } else if sends.next_if(|at| **at <= now).is_some() {
                for (phone, channel) in self.phones.iter_mut().zip(&self.own) {
                    phone.write(now, channel)?;
                }
            } else {
                self.wake(now, scene)?;
            }
        }
    }

    fn wake(&mut self, now: Duration, scene: &Scene<'_>) -> Result<(), Failure> {
        let node = Node {
            service: &self.service,
            key: *self.link.key(),
        };
        for phone in &mut self.phones {
            if phone.next().is_some_and(|at| at <= now) {
                phone.wake(now, &node, scene.wire)?;
            }
        }
        Ok(())
    }

    /// Somebody writes a text of this length.
    fn write(&mut self, number: usize, message: &Message) -> Result<(), Failure> {
        let text = format!("{number:.<width$}", width = message.bytes);
        let now = self.start.after(message.at);
        self.sender.send(&self.channel, &text, now)?;
        let node = Node {
            service: &self.service,
            key: *self.link.key(),
        };
        publish(&mut self.sender, &node, now)
    }
}

/// Outages as single changes.
fn changes(outages: &[(Duration, Duration)]) -> Vec<(Duration, bool)> {
    let mut changes: Vec<(Duration, bool)> = outages
        .iter()
        .flat_map(|(from, to)| [(*from, false), (*to, true)])
        .collect();
    changes.sort_unstable();
    changes
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

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const SETTLING: u32 = 10;
