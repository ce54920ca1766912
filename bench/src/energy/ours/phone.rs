//! A phone: it plans, is woken, asks, and fetches what is new.

use std::time::Duration;

use ailurus::{
    power::{NetworkKind, NetworkState, Plan, Power, PowerState, Wakeup, WakeupReason},
    wire::time::UnixMillis,
};
use ailurus_bench::{harness::Failure, random::Random};

use super::{
    Os, Policy, Scene,
    post::{Asked, Brought, Post},
    pushes::Pushes,
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
    pushes: Pushes,
    /// A push came while there was no network, and waits at the push service.
    late: bool,
}

impl Phone {
    /// A phone that is registered and has nothing to do.
    pub fn new(
        policy: Policy,
        post: Box<dyn Post>,
        scene: &Scene<'_>,
        start: UnixMillis,
        random: Random,
    ) -> Result<Self, Failure> {
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
        let mut phone = Self {
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
            pushes: Pushes::default(),
            late: false,
        };
        phone.take_in_dues(Duration::ZERO)?;
        phone.plan(Duration::ZERO);
        Ok(phone)
    }

    /// When it does something next.
    pub fn next(&self) -> Option<Duration> {
        let woken = self.woken.as_ref().map(|(at, _)| *at);
        [woken, self.pushes.next()].into_iter().flatten().min()
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
    pub fn offered(&mut self, at: Duration) {
        if self.policy.push {
            self.pushes.offered(at);
        }
    }

    /// The network goes, or comes.
    pub fn set_online(&mut self, online: bool, now: Duration) {
        self.online = online;
        if online && std::mem::take(&mut self.late) {
            self.pushes.again(now);
        }
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
        self.take_in_dues(now)?;
        self.plan(now);
        Ok(())
    }

    /// Does what is due at `now`, which [`Phone::next`] gave.
    pub fn wake(&mut self, now: Duration, wire: &Wire) -> Result<(), Failure> {
        if self.pushes.arrived(now) {
            if !self.online {
                self.late = true;
                return Ok(());
            }
            wire.push(&mut self.course, now);
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
        // A push has said already that there is something, and what is due takes a connection.
        if carries == [WakeupReason::Sync] && !reasons.contains(&WakeupReason::Push) {
            let asked = self.post.ask(begun)?;
            if asked != Asked::Skipped {
                at = wire.datagram(&mut self.course, at, reason);
            }
            if asked == Asked::Nothing {
                self.power.synced(self.time(at));
                return Ok(());
            }
        }
        let Brought { sent, carried } = self.post.talk(self.time(at))?;
        let (there, done) = wire.conversation(&mut self.course, at, carried, reason);
        self.pushes.polled(at);
        for time in sent {
            let since = time.since(self.start);
            self.course
                .delays
                .push((since, there.saturating_sub(since)));
            self.power.received(time, self.time(there));
        }
        self.power.synced(self.time(done));
        self.take_in_dues(done)
    }

    /// Tells the planner what is due.
    fn take_in_dues(&mut self, now: Duration) -> Result<(), Failure> {
        let time = self.time(now);
        for (reason, due) in self.post.dues(time)? {
            self.power.set_due(reason, due, time);
        }
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
