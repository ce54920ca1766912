//! Whether the time can be believed: what a node deletes by a clock that runs ahead is gone for good.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ailurus::wire::time::UnixMillis;

/// Compares the wall clock with one that cannot be set, and with the time that was kept before the node stopped.
pub(super) struct ClockGuard {
    state: Mutex<State>,
    held: AtomicBool,
}

#[derive(Clone, Copy)]
enum State {
    /// Nothing was looked at yet; the time that was kept when the node ran last.
    Started(Option<UnixMillis>),
    /// This was the time that long ago; it may be far behind what the wall clock says now.
    Running { at: UnixMillis, elapsed: Duration },
    /// After a start the clock was far ahead of what was kept.
    Ahead { kept: UnixMillis, since: Duration },
    /// The operator says that the time is right.
    Trusted,
}

impl ClockGuard {
    pub(super) fn new(kept: Option<UnixMillis>) -> Self {
        Self {
            state: Mutex::new(State::Started(kept)),
            held: AtomicBool::new(false),
        }
    }

    /// Whether something may be deleted by this time.
    pub(super) fn check(&self, now: UnixMillis, elapsed: Duration) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, believed) = state.after(now, elapsed);
        *state = next;
        self.held.store(!believed, Ordering::Release);
        believed
    }

    /// Whether the last time was not believed.
    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    pub(super) fn trust(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Trusted;
        self.held.store(false, Ordering::Release);
    }
}

impl State {
    fn after(self, now: UnixMillis, elapsed: Duration) -> (Self, bool) {
        let running = Self::Running { at: now, elapsed };
        match self {
            Self::Trusted => (self, true),
            Self::Started(Some(kept)) if now > kept.after(DOWNTIME) => {
                let ahead = Self::Ahead {
                    kept,
                    since: elapsed,
                };
                (ahead, false)
            }
            Self::Started(_) => (running, true),
            Self::Ahead { kept, since } => {
                let corrected = now <= kept.after(DOWNTIME);
                if corrected || elapsed.saturating_sub(since) >= WAIT {
                    return (running, true);
                }
                (self, false)
            }
            Self::Running {
                at,
                elapsed: before,
            } => {
                let passed = elapsed.saturating_sub(before);
                let expected = at.after(passed);
                if now > expected.after(JUMP) {
                    return (self, false);
                }
                // Small steps must not add up to a large one, but for an hour in a day.
                let at = now.min(expected.after(passed / 24));
                (Self::Running { at, elapsed }, true)
            }
        }
    }
}

/// A wall clock that gains more than this on the other was set.
const JUMP: Duration = Duration::from_secs(3_600);
/// For how long a node may have been off without anybody wondering: after that, nothing it kept is of use anyhow.
const DOWNTIME: Duration = Duration::from_secs(8 * 24 * 3_600);
/// How long a wrong clock may take to be corrected after a start.
const WAIT: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(24 * 3_600);

    #[test]
    fn a_jump_ahead_is_not_believed_until_it_is_taken_back() {
        let guard = ClockGuard::new(None);
        assert!(guard.check(NOW, MINUTE));
        assert!(guard.check(NOW.after(2 * MINUTE), 2 * MINUTE));
        assert!(!guard.check(NOW.after(DAY), 3 * MINUTE));
        assert!(guard.is_held());
        assert!(!guard.check(NOW.after(3 * DAY), 2 * DAY));
        assert!(guard.check(NOW.after(2 * DAY), 2 * DAY));
        assert!(!guard.is_held());
        // Back is harmless, and from there the same holds.
        assert!(guard.check(NOW, 2 * DAY));
        assert!(!guard.check(NOW.after(DAY), 2 * DAY + MINUTE));
        guard.trust();
        assert!(guard.check(NOW.after(9 * DAY), 2 * DAY + MINUTE));
    }

    #[test]
    fn small_steps_do_not_add_up() {
        let guard = ClockGuard::new(None);
        let believed = (1..100_u32).take_while(|step| {
            let elapsed = MINUTE * *step;
            guard.check(NOW.after(elapsed + HOUR / 4 * *step), elapsed)
        });
        assert!(believed.count() < 6);
    }

    #[test]
    fn after_a_long_time_off_an_hour_has_to_pass() {
        let ahead = NOW.after(9 * DAY);
        let guard = ClockGuard::new(Some(NOW));
        assert!(!guard.check(ahead, MINUTE));
        assert!(!guard.check(ahead.after(HOUR - MINUTE), HOUR));
        assert!(guard.check(ahead.after(HOUR), HOUR + MINUTE));
        let corrected = ClockGuard::new(Some(NOW));
        assert!(!corrected.check(ahead, MINUTE));
        assert!(corrected.check(NOW.after(DAY), 2 * MINUTE));
        assert!(ClockGuard::new(Some(NOW)).check(NOW.after(8 * DAY), MINUTE));
    }
}
