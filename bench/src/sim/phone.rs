//! What a phone does when it wakes: asks the best node, or the next one, and says what others are to know.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ailurus::{channel::NodeLink, wire::time::UnixMillis};

use super::{
    Failure,
    channel::Channels,
    choice::Choice,
    client::{Brought, Client, Network, Waiting},
    node::Node,
};

/// A phone, with what is noted of it.
pub struct Phone {
    pub client: Client,
    pub choice: Choice,
    /// When its polls were complete.
    pub polled: Vec<UnixMillis>,
    pub tally: Tally,
    /// It is new at a node, which first has to hear of its channels from others.
    pub is_new: bool,
}

/// What is counted of one phone.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub polls: u64,
    pub failed_over: u64,
    pub without_node: u64,
    pub refusals: u64,
    pub evictions: u64,
}

/// What a phone finds around it.
pub struct Around<'a> {
    pub nodes: &'a [Mutex<Node>],
    /// Every node's link.
    pub links: &'a [NodeLink],
    /// Which channel an address is of.
    pub by_address: &'a HashMap<[u8; 32], usize>,
    /// The phone's own.
    pub channels: Channels<'a>,
}

impl Phone {
    /// People write when they look.
    pub fn write(&mut self, around: &mut Around<'_>, now: UnixMillis) -> Result<(), Failure> {
        let client = &mut self.client;
        let looks = DAY.as_millis() as f64 / client.rhythm;
        for membership in &client.memberships {
            let channel = around.channels.change(membership.channel)?;
            let share = MESSAGES / channel.members.len() as f64 / looks;
            let mut count = share.floor() as usize;
            count += usize::from(client.random.chance(share.fract()));
            for _ in 0..count.min(40) {
                let (number, envelope) =
                    channel.write(membership.member, now, &mut client.random)?;
                client.outbox.push(Waiting {
                    channel: membership.channel,
                    number,
                    envelope,
                    at: Vec::new(),
                });
            }
        }
        Ok(())
    }

    /// Asks for what is new, and runs the errands.
    pub fn exchange(&mut self, around: &mut Around<'_>, now: UnixMillis) -> Result<(), Failure> {
        self.tally.polls += 1;
        let plan = self.choice.plan(now);
        let mut asked = None;
        for (rank, node) in plan.order.iter().enumerate() {
            if self.talk(*node, around, now)? {
                asked = Some(*node);
                self.tally.failed_over += u64::from(rank > 0);
                break;
            }
        }
        let Some(asked) = asked else {
            self.tally.without_node += 1;
            return Ok(());
        };
        self.polled.push(now);
        let kept = self.choice.plan(now).kept;
        let mut told = HashMap::from([(asked, true)]);
        for &node in &kept {
            let errand = self.client.has_work(node, &around.channels, &kept, now)?;
            if asked != node && errand {
                told.insert(node, self.talk(node, around, now)?);
            }
        }
        self.compare(&told, around, now)
    }

    /// Real phones compare sums and fetch what differs; here they ask the other node for what is new there, unless they
    /// just have, whether it answered or not.
    fn compare(
        &mut self,
        told: &HashMap<usize, bool>,
        around: &mut Around<'_>,
        now: UnixMillis,
    ) -> Result<(), Failure> {
        let Some(standby) = self.choice.comparison(now) else {
            return Ok(());
        };
        let answered = match told.get(&standby) {
            Some(answered) => *answered,
            None => self.talk(standby, around, now)?,
        };
        if answered {
            let link = around.links.get(standby).ok_or("there is no such node")?;
            let random = self.client.random.number();
            self.choice.compared(link.key(), now, random);
        }
        Ok(())
    }

    /// Whether the node answered and serves this phone.
    fn talk(
        &mut self,
        index: usize,
        around: &mut Around<'_>,
        now: UnixMillis,
    ) -> Result<bool, Failure> {
        let kept = self.choice.plan(now).kept;
        for membership in &self.client.memberships {
            around.channels.change(membership.channel)?.name(&kept);
        }
        let network = Network {
            kept,
            links: around.links,
        };
        let brought = {
            let node = around.nodes.get(index).ok_or("there is no such node")?;
            let mut node = node.lock().unwrap_or_else(PoisonError::into_inner);
            let channels = &mut around.channels;
            self.client
                .talk(index, &mut node, channels, &network, now)?
        };
        self.is_new |= brought.newcomer;
        self.take(&brought, around, now)?;
        let random = self.client.random.number();
        let key = around
            .links
            .get(index)
            .ok_or("there is no such node")?
            .key();
        if !brought.answered {
            self.choice.failed(key, now, random);
            return Ok(false);
        }
        if let Some(reason) = brought.refused {
            self.tally.refusals += 1;
            return Ok(!self.choice.refused(key, reason, now, random));
        }
        self.choice.answered(key, &brought, now, random);
        Ok(true)
    }

    fn take(
        &mut self,
        brought: &Brought,
        around: &mut Around<'_>,
        now: UnixMillis,
    ) -> Result<(), Failure> {
        self.tally.evictions += u64::from(brought.evicted);
        for (channel, number) in &brought.acknowledged {
            let messages = &mut around.channels.change(*channel)?.messages;
            let message = messages.get_mut(*number);
            let message = message.ok_or("a node has what nobody wrote")?;
            message.acknowledged.get_or_insert(now);
        }
        for (address, numbers) in &brought.received {
            let channel = around.by_address.get(address.as_ref());
            let membership = channel.and_then(|channel| {
                let mut memberships = self.client.memberships.iter();
                memberships.find(|membership| membership.channel == *channel)
            });
            let membership = membership.ok_or("a phone got what it is no member of")?;
            let channel = around.channels.change(membership.channel)?;
            for number in numbers {
                channel.arrived(membership.member, *number, now);
            }
        }
        Ok(())
    }
}

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Messages that are written in a channel on a day.
const MESSAGES: f64 = 4.0;
