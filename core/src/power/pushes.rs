//! Pushes: each wakes at once, unless many came for nothing.

use std::time::Duration;

use crate::wire::time::UnixMillis;

/// A bucket of tokens. A push that brought nothing costs one, so whoever sends pushes in a storm buys few wake-ups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pushes {
    /// Time that could be turned into tokens, as of `at`.
    credit: Duration,
    at: UnixMillis,
    /// A wake-up by push whose use has not shown yet.
    open: bool,
}

impl Pushes {
    pub(super) fn new(now: UnixMillis) -> Self {
        Self {
            credit: FULL,
            at: now,
            open: false,
        }
    }

    /// A wake-up for a push begins.
    pub(super) fn spend(&mut self, now: UnixMillis) {
        self.refill(now);
        self.credit = self.credit.saturating_sub(TOKEN);
        self.open = true;
    }

    /// It brought something.
    pub(super) fn was_useful(&mut self) {
        if std::mem::take(&mut self.open) {
            self.credit = (self.credit + TOKEN).min(FULL);
        }
    }

    /// When the next push may wake.
    pub(super) fn next(&self, last: UnixMillis) -> UnixMillis {
        let gap = last.after(GAP);
        gap.max(self.at.after(TOKEN.saturating_sub(self.credit)))
    }

    /// The clock was set back.
    pub(super) fn set_back(&mut self, by: Duration) {
        self.at = self.at.before(by);
    }

    fn refill(&mut self, now: UnixMillis) {
        self.credit = (self.credit + now.since(self.at)).min(FULL);
        self.at = now;
    }
}

/// Between two wake-ups by push.
const GAP: Duration = Duration::from_secs(5);
/// What a push for nothing costs.
const TOKEN: Duration = Duration::from_secs(600);
/// Six of them.
const FULL: Duration = Duration::from_secs(6 * 600);
