//! A phone: it plans, is woken, asks, and fetches what is new.

use std::time::Duration;

use ailurus::{
    power::{Due, Needs, NetworkKind, NetworkState, Plan, Power, PowerState, Wakeup, WakeupReason},
    wire::time::UnixMillis,
};
use ailurus_bench::{harness::Failure, random::Random};

use super::{
    Os, Policy, Scene,
    post::{Asked, Brought, Post},
};
use crate::{course::Course, wire::Wire};

/// A phone in the background.
pub struct Phone {
    policy: Policy,
    post: Box<dyn Post>,
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
    /// The node has pushed since it was asked last.
    pushed: bool,
    /// When a push reaches the phone.
    push: Option<Duration>,
    /// When leases are due was looked up in this hour.
    leases_seen: u64,
}

impl Phone {
    /// A phone that is registered and has nothing to do.
    pub fn new(
        policy: Policy,
        post: Box<dyn Post>,
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
            post,
            power,
            random,
            os: scene.os,
            start,
            course: Course::default(),
            online: true,
            woken: None,
            ran: None,
            pushed: false,
            push: None,
            leases_seen: 0,
        }
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
    pub fn write(&mut self, now: Duration) -> Result<(), Failure> {
        let time = self.time(now);
        self.post.write(time)?;
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
    pub fn wake(&mut self, now: Duration, wire: &Wire) -> Result<(), Failure> {
        if self.push.take_if(|at| *at <= now).is_some() {
            if self.power.pushed(self.time(now)) {
                self.exchange(now, &[WakeupReason::Push], wire)?;
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
        self.exchange(now, &reasons, wire)?;
        self.plan(now);
        Ok(())
    }

    fn exchange(
        &mut self,
        now: Duration,
        reasons: &[WakeupReason],
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
        // A push has said already that there is something.
        if !reasons.contains(&WakeupReason::Push) {
            let asked = self.post.ask(begun)?;
            if asked != Asked::NotAsked {
                at = wire.datagram(&mut self.course, at, reason);
            }
            if asked == Asked::Nothing {
                self.power.synced(self.time(at));
                return self.look_at_leases(at);
            }
        }
        let Brought { sent, carried } = self.post.talk(self.time(at))?;
        let (there, done) = wire.conversation(&mut self.course, at, carried, reason);
        self.pushed = false;
        for time in sent {
            let since = time.since(self.start);
            self.course
                .delays
                .push((since, there.saturating_sub(since)));
            self.power.received(time, self.time(there));
        }
        self.power.synced(self.time(done));
        self.power
            .set_due(WakeupReason::Outbox, None, self.time(done));
        if carries.contains(&WakeupReason::Registration) {
            self.leases_seen = 0;
        }
        self.look_at_leases(done)
    }

    /// Tells the planner when leases are due: it is looked up once an hour, some days ahead.
    fn look_at_leases(&mut self, now: Duration) -> Result<(), Failure> {
        let time = self.time(now);
        let hour = time.as_secs() / 3_600;
        if self.leases_seen == hour {
            return Ok(());
        }
        self.leases_seen = hour;
        let mut due_at = |hours: u32| self.post.leases_due(time.after(HOUR * hours));
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
