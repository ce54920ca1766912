//! One push service among others: who waits for it, and how much of it may be used.

use std::{collections::VecDeque, time::Duration};

use ailurus::crypto::Pseudonym;

use super::{
    outcome::Body,
    rates::{Bucket, Rates},
    steady::back_off,
};

/// A push service.
pub(super) struct Service {
    wakeups: VecDeque<Ticket>,
    challenges: VecDeque<Ticket>,
    bucket: Bucket,
    challenge_bucket: Bucket,
    pub(super) sending: usize,
    /// Failures since something succeeded.
    failures: u32,
    /// Left alone until then.
    pause: Duration,
    /// It is in a list of those to look at.
    pub(super) listed: bool,
}

/// Somebody's place in a queue, void if they have another serial number by now.
pub(super) type Ticket = (Pseudonym, u64);

/// What a service may be sent now.
pub(super) enum Turn {
    Send(Ticket, Body),
    /// Nobody waits.
    Empty,
    /// Something is on its way, and more at once would be too much.
    Full,
    /// Not before this.
    Later(Duration),
}

impl Service {
    pub(super) fn new(rates: &Rates, now: Duration) -> Self {
        Self {
            wakeups: VecDeque::new(),
            challenges: VecDeque::new(),
            bucket: Bucket::full(rates.host, now),
            challenge_bucket: Bucket::full(rates.challenges, now),
            sending: 0,
            failures: 0,
            pause: Duration::ZERO,
            listed: false,
        }
    }

    pub(super) fn queue(&mut self, ticket: Ticket, body: Body) {
        match body {
            Body::Wakeup => self.wakeups.push_back(ticket),
            Body::Challenge => self.challenges.push_back(ticket),
        }
    }

    pub(super) fn is_waited_for(&self) -> bool {
        !self.wakeups.is_empty() || !self.challenges.is_empty()
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_idle(&mut self, rates: &Rates, now: Duration) -> bool {
        !self.listed
            && self.sending == 0
            && !self.is_waited_for()
            && self.pause <= now
            && self.bucket.is_full(rates.host, now)
            && self.challenge_bucket.is_full(rates.challenges, now)
    }

    /// Takes the next one that may be sent. Wake-ups come before challenges, and those whose place is void are skipped;
    /// `may_challenge` is false while enough challenges are on their way everywhere.
    pub(super) fn turn(
        &mut self,
        rates: &Rates,
        now: Duration,
        may_challenge: bool,
        mut stands: impl FnMut(&Ticket, Body) -> bool,
    ) -> Turn {
        skip(&mut self.wakeups, |ticket| stands(ticket, Body::Wakeup));
        skip(&mut self.challenges, |ticket| {
            stands(ticket, Body::Challenge)
        });
        let body = match (self.wakeups.is_empty(), self.challenges.is_empty()) {
            (false, _) => Body::Wakeup,
            (true, false) => Body::Challenge,
            (true, true) => return Turn::Empty,
        };
        if now < self.pause {
            return Turn::Later(self.pause);
        }
        // After failures one at a time shows whether it is there again.
        let most = if self.failures >= FAILING { 1 } else { AT_ONCE };
        if self.sending >= most {
            return Turn::Full;
        }
        if body == Body::Challenge {
            if !may_challenge {
                return Turn::Later(now + CHALLENGE_AGAIN);
            }
            if let Err(later) = self.challenge_bucket.take(rates.challenges, now) {
                return Turn::Later(later);
            }
        }
        if let Err(later) = self.bucket.take(rates.host, now) {
            return Turn::Later(later);
        }
        let queue = match body {
            Body::Wakeup => &mut self.wakeups,
            Body::Challenge => &mut self.challenges,
        };
        match queue.pop_front() {
            Some(ticket) => {
                self.sending += 1;
                Turn::Send(ticket, body)
            }
            None => Turn::Empty,
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.pause = Duration::ZERO;
    }

    /// One client's subscription may have a limit of its own, so a single failure says nothing of the service.
    pub(super) fn failed(&mut self, now: Duration, after: Duration) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILING {
            let wait = back_off(FIRST_PAUSE, self.failures - FAILING, LONGEST_PAUSE);
            self.pause = now + wait.max(after.min(LONGEST_PAUSE));
        }
    }
}

fn skip(queue: &mut VecDeque<Ticket>, mut stands: impl FnMut(&Ticket) -> bool) {
    while queue.front().is_some_and(|ticket| !stands(ticket)) {
        queue.pop_front();
    }
}

/// Requests to one service at once.
const AT_ONCE: usize = 8;
/// Failures in a row after which it is the service that fails.
const FAILING: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
const CHALLENGE_AGAIN: Duration = Duration::from_secs(1);
