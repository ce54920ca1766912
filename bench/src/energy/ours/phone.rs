//! A phone: it plans, is woken, asks, and fetches what is new.

use std::time::Duration;

use ailurus::{
    channel::ChannelId,
    client::engine::Engine,
    power::{Due, Needs, NetworkKind, NetworkState, Plan, Power, PowerState, Wakeup, WakeupReason},
    wire::time::UnixMillis,
};
use ailurus_bench::{harness::Failure, random::Random};

use super::{
    Os, Policy, Scene,
    talk::{Brought, Node, talk},
};
use crate::{
    course::Course,
    wire::{Carried, Wire},
};

/// A phone in the background.
pub struct Phone {
    policy: Policy,
    engine: Engine,
    power: Power,
    random: Random,
    os: Os,
    /// Midnight before the first day.
    start: UnixMillis,
    pub course: Course,
    online: bool,
    /// When the platform wakes it, and for what.
    woken: Option<(Duration, Wakeup)>,
    /// When it ran last.
    ran: Option<Duration>,
    /// The node has something that it does not.
    news: bool,
    /// The node has pushed since it was asked last.
    pushed: bool,
    /// When a push reaches the phone.
    push: Option<Duration>,
    /// What a poll carries that finds nothing.
    empty: Carried,
    /// When leases are due was looked up in this hour.
    leases_seen: u64,
}

impl Phone {
    /// A phone that is registered and has nothing to do.
    pub fn new(
        policy: Policy,
        engine: Engine,
        scene: &Scene<'_>,
        start: UnixMillis,
        random: Random,
    ) -> Self {
        let begun = start.before(scene.history_lasts);
        let mut power = Power::new(begun);
        power.set_preference(policy.preference);
        let network = NetworkState {
            kind: NetworkKind::Cellular,
            ..NetworkState::default()
        };
        power.set_network(network, begun);
        power.set_push(policy.push);
        for message in scene.history {
            let time = begun.after(message.at);
            power.received(time, time);
        }
        power.attempted(start);
        power.synced(start);
        Self {
            policy,
            engine,
            power,
            random,
            os: scene.os,
            start,
            course: Course::default(),
            online: true,
            woken: None,
            ran: None,
            news: false,
            pushed: false,
            push: None,
            empty: Carried::default(),
            leases_seen: 0,
        }
    }

    /// Polls until nothing is new, before the days begin.
    pub fn settle(&mut self, node: &Node<'_>, now: UnixMillis) -> Result<bool, Failure> {
        let brought = talk(&mut self.engine, node, now)?;
        let quiet = brought.messages.is_empty() && brought.carried.questions == 0;
        if quiet {
            self.empty = brought.carried;
        }
        Ok(quiet)
    }

    /// When it does something next.
    pub fn next(&self) -> Option<Duration> {
        let woken = self.woken.as_ref().map(|(at, _)| *at);
        [woken, self.push].into_iter().flatten().min()
    }

    /// Plans again: something was told, or time has passed.
    pub fn plan(&mut self, now: Duration) {
        let Plan { wakeup, .. } = self.power.plan(self.time(now));
        let Some(wakeup) = wakeup else {
            self.woken = None;
            return;
        };
        // The platform is asked again only for something else than before.
        if self
            .woken
            .as_ref()
            .is_some_and(|(_, before)| (before.at, before.slack) == (wakeup.at, wakeup.slack))
        {
            if let Some((_, before)) = &mut self.woken {
                *before = wakeup;
            }
            return;
        }
        let at = wakeup.at.since(self.start).max(now);
        let moment = self.os.wakes(at, wakeup.slack, self.ran, &mut self.random);
        self.woken = Some((moment.max(now), wakeup));
    }

    /// Something reached the node.
    pub fn offered(&mut self, at: Duration, wire: &Wire) {
        self.news = true;
        if self.policy.push && self.online && !self.pushed {
            self.pushed = true;
            let there = at + PUSH_LATENCY;
            wire.push(&mut self.course, there);
            self.push = Some(there);
        }
    }

    /// The network goes, or comes.
    pub fn set_online(&mut self, online: bool, now: Duration) {
        self.online = online;
        let kind = if online {
            NetworkKind::Cellular
        } else {
            NetworkKind::Offline
        };
        let state = NetworkState {
            kind,
            ..NetworkState::default()
        };
        self.power.set_network(state, self.time(now));
        self.plan(now);
    }

    /// The platform says whether the phone dozes.
    pub fn set_doze(&mut self, doze: bool, now: Duration) {
        let state = PowerState {
            battery_percent: Some(80),
            doze,
            ..PowerState::default()
        };
        self.power.set_power(state, self.time(now));
        self.plan(now);
    }

    /// A person writes something on it and puts it away.
    pub fn write(&mut self, now: Duration, channel: &ChannelId) -> Result<(), Failure> {
        let time = self.time(now);
        self.engine.send(channel, "on my way", time)?;
        let due = Due {
            from: time,
            by: time,
            needs: Needs::Any,
        };
        self.power.set_due(WakeupReason::Outbox, Some(due), time);
        self.plan(now);
        Ok(())
    }

    /// Does what is due at `now`, which [`Phone::next`] gave.
    pub fn wake(&mut self, now: Duration, node: &Node<'_>, wire: &Wire) -> Result<(), Failure> {
        if self.push.take_if(|at| *at <= now).is_some() {
            if self.power.pushed(self.time(now)) {
                self.exchange(now, &[WakeupReason::Push], node, wire)?;
            }
            self.plan(now);
            return Ok(());
        }
        let Some((_, wakeup)) = self.woken.take() else {
            return Ok(());
        };
        let reasons = if wakeup.reasons.is_empty() {
            vec![WakeupReason::Sync]
        } else {
            wakeup.reasons
        };
        self.exchange(now, &reasons, node, wire)?;
        self.plan(now);
        Ok(())
    }

    fn exchange(
        &mut self,
        now: Duration,
        reasons: &[WakeupReason],
        node: &Node<'_>,
        wire: &Wire,
    ) -> Result<(), Failure> {
        if !self.online {
            self.course.attempts_without_network += 1;
        }
        self.ran = Some(now);
        let begun = self.time(now);
        let carries = self.power.carries(begun);
        self.power.attempted(begun);
        let reason = name(reasons.first().copied().unwrap_or(WakeupReason::Sync));
        let mut at = now;
        // Whoever only asks, asks by datagram; a push says that there is something.
        let asks = carries.iter().all(|carried| *carried == WakeupReason::Sync)
            && !reasons.contains(&WakeupReason::Push);
        if asks {
            at = wire.datagram(&mut self.course, at, reason);
            if !self.news {
                self.power.synced(self.time(at));
                return self.look_at_leases(at, node);
            }
        }
        let time = self.time(at);
        let Brought { messages, carried } = talk(&mut self.engine, node, time)?;
        let more = Carried {
            sent: carried.sent.saturating_sub(self.empty.sent),
            received: carried.received.saturating_sub(self.empty.received),
            questions: carried.questions,
        };
        let (there, done) = wire.conversation(&mut self.course, at, more, reason);
        self.news = false;
        self.pushed = false;
        for message in &messages {
            let sent = message.time.since(self.start);
            self.course.delays.push((sent, there.saturating_sub(sent)));
            self.power.received(message.time, self.time(there));
        }
        self.power.synced(self.time(done));
        self.power
            .set_due(WakeupReason::Outbox, None, self.time(done));
        if carries.contains(&WakeupReason::Registration) {
            self.leases_seen = 0;
        }
        self.look_at_leases(done, node)
    }

    /// Tells the planner when leases are due: it is looked up once an hour, some days ahead.
    fn look_at_leases(&mut self, now: Duration, node: &Node<'_>) -> Result<(), Failure> {
        let time = self.time(now);
        let hour = time.as_secs() / 3_600;
        if self.leases_seen == hour {
            return Ok(());
        }
        self.leases_seen = hour;
        let mut due_at = |hours: u32| -> Result<bool, Failure> {
            let work = self.engine.work(&node.key, time.after(HOUR * hours))?;
            Ok(work.leases)
        };
        // What is due once is due until it is done, so the first hour is found by halving.
        let (mut not_yet, mut by_then) = (0, LOOK_AHEAD_H);
        let due = if due_at(by_then)? {
            while by_then - not_yet > 1 {
                let middle = u32::midpoint(not_yet, by_then);
                if due_at(middle)? {
                    by_then = middle;
                } else {
                    not_yet = middle;
                }
            }
            let from = time.after(HOUR * by_then);
            Some(Due {
                from,
                by: from.after(LEASE_SLACK),
                needs: Needs::Any,
            })
        } else {
            None
        };
        self.power.set_due(WakeupReason::Registration, due, time);
        Ok(())
    }

    fn time(&self, at: Duration) -> UnixMillis {
        self.start.after(at)
    }
}

/// What a reason is called in tables.
fn name(reason: WakeupReason) -> &'static str {
    match reason {
        WakeupReason::Sync => "sync",
        WakeupReason::Outbox => "outbox",
        WakeupReason::Registration => "registration",
        WakeupReason::Dht => "dht",
        WakeupReason::Mesh => "mesh",
        WakeupReason::Resync => "resync",
        WakeupReason::Dust => "dust",
        WakeupReason::Upkeep => "upkeep",
        WakeupReason::Push => "push",
        WakeupReason::User => "user",
        WakeupReason::Foreground => "foreground",
        _ => "other",
    }
}

/// From the node through a push service to the phone.
const PUSH_LATENCY: Duration = Duration::from_millis(500);
const HOUR: Duration = Duration::from_secs(3_600);
const LOOK_AHEAD_H: u32 = 24;
const LEASE_SLACK: Duration = Duration::from_secs(6 * 3_600);
