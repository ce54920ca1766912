//! The world around the phones: their node, the others who write, and time.

use std::time::Duration;

use ailurus::{channel::Epoch, wire::time::UnixMillis};
use ailurus_bench::{harness::Failure, random::Random};

use super::{
    Node, Policy, Scene, light,
    phone::Phone,
    post::{Post, Sender},
    real,
};
use crate::course::Course;

/// What phones that are set in these ways do in a scene; one course each.
///
/// They share a node and a channel, in which somebody else writes all messages; none does what another one is charged
/// for.
pub fn run(scene: &Scene<'_>, policies: &[Policy]) -> Result<Vec<Course>, Failure> {
    let mut world = World::new(scene, policies)?;
    world.live(scene)?;
    let courses = world.phones.into_iter().map(|phone| {
        let mut course = phone.course;
        course.packets.sort_by_key(|packet| packet.at);
        course
    });
    Ok(courses.collect())
}

struct World {
    sender: Box<dyn Sender>,
    start: UnixMillis,
    phones: Vec<Phone>,
}

impl World {
    fn new(scene: &Scene<'_>, policies: &[Policy]) -> Result<Self, Failure> {
        // Midnight in the middle of an epoch, so that a week has a turn in it.
        let start = Epoch::new(2_970).start().after(DAY * 3);
        let (sender, posts) = match scene.node {
            Node::Real => real::family(scene.seed, policies.len(), start).map(boxed)?,
            Node::Light => boxed(light::family(policies.len(), start)),
        };
        let phones = policies.iter().zip(posts).map(|(policy, post)| {
            // The platform treats all phones alike.
            let random = Random::new(scene.seed, 2);
            Phone::new(*policy, post, scene, start, random)
        });
        let phones = phones.collect::<Result<_, _>>()?;
        Ok(Self {
            sender,
            start,
            phones,
        })
    }

    fn live(&mut self, scene: &Scene<'_>) -> Result<(), Failure> {
        let mut messages = scene.messages.iter().peekable();
        let mut sends = scene.sends.iter().peekable();
        let mut networks = changes(scene.outages).into_iter().peekable();
        let mut dozing = Some(Duration::ZERO);
        let mut expires = Duration::ZERO;
        loop {
            let woken = self.phones.iter().filter_map(Phone::next).min();
            let next = [
                messages.peek().map(|message| message.at),
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
                self.sender.expire(self.start.after(now))?;
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
            } else if let Some(message) = messages.next_if(|message| message.at <= now) {
                self.sender
                    .send(message.bytes, self.start.after(message.at))?;
                for phone in &mut self.phones {
                    phone.offered(message.at);
                }
            } else if sends.next_if(|at| **at <= now).is_some() {
                for phone in &mut self.phones {
                    phone.write(now)?;
                }
            } else {
                for phone in &mut self.phones {
                    if phone.next().is_some_and(|at| at <= now) {
                        phone.wake(now, scene.wire)?;
                    }
                }
            }
        }
    }
}

fn boxed<S: Sender + 'static, P: Post + 'static>(
    (sender, posts): (S, Vec<P>),
) -> (Box<dyn Sender>, Vec<Box<dyn Post>>) {
    let boxed = |post| -> Box<dyn Post> { Box::new(post) };
    (Box::new(sender), posts.into_iter().map(boxed).collect())
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

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
