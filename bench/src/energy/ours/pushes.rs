//! When a node wakes a client by push, as `node/src/push/plan.rs` decides it: at most once until the client has polled, and
//! less and less often in a lively conversation.

use std::time::Duration;

/// What a node has in mind for one client.
#[derive(Debug, Default)]
pub struct Pushes {
    /// When a push reaches the phone, and when it leaves the node.
    under_way: Option<(Duration, Duration)>,
    /// It was woken and has not polled since.
    unanswered: bool,
    /// The last wake-up, and how many came in a row.
    woken: Option<(Duration, u32)>,
}

impl Pushes {
    /// Something new reached the node.
    pub fn offered(&mut self, now: Duration) {
        if self.unanswered || self.under_way.is_some() {
            return;
        }
        let quiet = self.woken.map_or(Duration::ZERO, |(at, row)| {
            let times = 2_u32.saturating_pow(row.saturating_sub(1).min(16));
            at + FIRST_QUIET.saturating_mul(times).min(LONGEST_QUIET)
        });
        let leaves = quiet.max(now + GATHER);
        self.under_way = Some((leaves + LATENCY, leaves));
    }

    /// When a push reaches the phone next.
    pub fn next(&self) -> Option<Duration> {
        self.under_way.map(|(there, _)| there)
    }

    /// Whether one is there.
    pub fn arrived(&mut self, now: Duration) -> bool {
        let Some((_, left)) = self.under_way.take_if(|(there, _)| *there <= now) else {
            return false;
        };
        self.unanswered = true;
        let row = match self.woken {
            Some((at, row)) if left.saturating_sub(at) < REMEMBERED => row.saturating_add(1),
            _ => 1,
        };
        self.woken = Some((left, row));
        true
    }

    /// The client has polled: it knows what there is.
    pub fn polled(&mut self, now: Duration) {
        self.unanswered = false;
        // What has left the node comes, for nothing.
        self.under_way.take_if(|(_, leaves)| *leaves > now);
    }

    /// The push service delivers what it kept.
    pub fn again(&mut self, now: Duration) {
        self.under_way = Some((now + LATENCY, now));
    }
}

/// What comes within this time shares a wake-up.
const GATHER: Duration = Duration::from_millis(300);
/// Between two wake-ups of a client that polls at each: at first, and in a lively conversation.
const FIRST_QUIET: Duration = Duration::from_secs(5);
const LONGEST_QUIET: Duration = Duration::from_secs(300);
/// How long wake-ups count as being in a row.
const REMEMBERED: Duration = Duration::from_secs(900);
/// From the node through a push service to the phone: an assumption.
const LATENCY: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_client_is_woken_once_until_it_polls_and_then_less_and_less_often() {
        let mut pushes = Pushes::default();
        let mut waits = Vec::new();
        let mut now = at(1_000_000);
        for _ in 0..8 {
            pushes.offered(now);
            // Shares it.
            pushes.offered(now + at(100));
            let there = pushes.next().unwrap();
            assert!(!pushes.arrived(there - at(1)) && pushes.arrived(there));
            waits.push((there - now).as_millis());
            pushes.offered(there);
            assert_eq!(pushes.next(), None, "not before it polls");
            pushes.polled(there);
            now = there;
        }
        // From the push before, which left 0.3 s earlier.
        let seconds: Vec<u128> = waits.iter().map(|wait| wait / 1_000).collect();
        assert_eq!(seconds, [0, 5, 10, 20, 40, 80, 160, 300]);
        // Half an hour later it is a first one again.
        pushes.offered(now + at(1_800_000));
        assert_eq!(pushes.next(), Some(now + at(1_800_600)));
        pushes.polled(now + at(1_800_100));
        assert_eq!(pushes.next(), None, "it has polled by itself");
    }
}
