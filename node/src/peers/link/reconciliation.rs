//! When the link reconciles, and what of it.

use std::time::Duration;

use ailurus::{
    channel::Address,
    wire::{
        node::{Reason, request},
        time::UnixMillis,
    },
};

use super::{Asked, End, Link, Step};
use crate::{peers::plan::jitter, service::Reconciliation, store::StoreError};

impl Link {
    pub(super) fn reconcile(
        &mut self,
        now: UnixMillis,
        steps: &mut Vec<Step>,
    ) -> Result<(), StoreError> {
        let changing = self
            .asked
            .iter()
            .any(|asked| matches!(asked, Asked::Register(_) | Asked::Release));
        if changing || self.registered.is_empty() {
            return Ok(());
        }
        if self.reconciling.is_none() {
            // What was found before is exchanged first, or it would be found again.
            if now < self.next_reconciliation || !self.asked.is_empty() || self.has_work() {
                return Ok(());
            }
            let Some(turn) = self.service.reconciliation_turn() else {
                self.next_reconciliation = now.after(TURN_PAUSE);
                return Ok(());
            };
            let theirs = now.offset(self.clock_ahead_ms);
            let (from, to) = Reconciliation::window(now, theirs);
            let addresses: Vec<Address> = self.registered.keys().copied().collect();
            self.acknowledged.begin();
            self.missing = 0;
            let loaded = self
                .service
                .store()
                .read(|reader| Reconciliation::load(reader, &addresses, from, to, turn))?;
            self.reconciling = Some(loaded);
            self.reconciling_since = now;
        }
        if self.reconciling.is_some() && self.reconciling_since.after(SLOW) < now {
            let end = End::Failed("its reconciliations take too long".to_owned());
            self.end.get_or_insert(end);
            return Ok(());
        }
        let Some(reconciling) = &mut self.reconciling else {
            return Ok(());
        };
        if self
            .asked
            .iter()
            .any(|asked| matches!(asked, Asked::Reconcile))
        {
            return Ok(());
        }
        // What has been found so far goes first, so that it is never much.
        if self.fetches.len() >= FOUND || self.lacking.len() >= FOUND {
            return Ok(());
        }
        match reconciling.ask() {
            Ok(Some(reconcile)) => {
                steps.push(Step::ask(request::Kind::Reconcile(reconcile)));
                self.asked.push_back(Asked::Reconcile);
            }
            Ok(None) => {
                self.reconciling = None;
                self.differed = 0;
                // What is pushed arrives; this is only for what was not, and costs both nodes a look at everything.
                self.quiet = if self.found {
                    0
                } else {
                    self.quiet.saturating_add(1)
                };
                self.found = false;
                let wait = RECONCILE_EVERY.saturating_mul(1 << self.quiet.min(10));
                self.reconcile_after(now, wait.min(RECONCILE_LAST));
            }
            Err(error) => {
                tracing::debug!(node = ?self.node, %error, "a reconciliation is given up");
                self.reconciling = None;
                self.reconcile_after(now, RECONCILE_EVERY);
            }
        }
        Ok(())
    }

    pub(super) fn has_work(&self) -> bool {
        !self.fetches.is_empty() || !self.lacking.is_empty() || !self.offers.is_empty()
    }

    fn reconcile_after(&mut self, now: UnixMillis, wait: Duration) {
        let jitter = jitter(&self.own, &self.node, now, wait);
        self.next_reconciliation = now.after(wait).after(jitter);
    }

    pub(super) fn reconcile_answered(&mut self, message: &[u8]) {
        let Some(reconciling) = &mut self.reconciling else {
            return;
        };
        if reconciling.answered(message).is_err() {
            self.misbehaved("a reconciliation that does not parse");
            return;
        }
        for id in reconciling.take_have() {
            if self.acknowledged.is_withheld(&id) {
                self.end.get_or_insert(End::Withheld(id));
                return;
            }
            self.lacking.push_back(id);
        }
        let need = reconciling.take_need();
        self.found |= !need.is_empty() || !self.lacking.is_empty();
        self.fetches.extend(need.into_iter().map(|id| (None, id)));
    }

    pub(super) fn reconcile_refused(&mut self, now: UnixMillis, reason: Reason) {
        match reason {
            Reason::TooLarge => {
                if let Some(reconciling) = &mut self.reconciling {
                    reconciling.narrow();
                }
            }
            Reason::Busy => {
                self.reconciling = None;
                self.reconcile_after(now, BUSY_PAUSE);
            }
            Reason::AddressesDiffer | Reason::NotRegistered => {
                self.reconciling = None;
                self.differed = self.differed.saturating_add(1);
                let wait = if self.differed < 3 {
                    DIFFERENT_PAUSE
                } else {
                    RECONCILE_EVERY
                };
                self.next_reconciliation = now.after(wait);
                // It may have lost some; what it has is leased once more without harm.
                self.registered.clear();
                // Or it has some from before, which this node shares no more.
                self.strays = self.differed > 1;
            }
            _ => {
                self.reconciling = None;
                self.reconcile_after(now, RECONCILE_EVERY);
            }
        }
    }
}

/// Time between two reconciliations, besides a quarter at random.
pub(super) const RECONCILE_EVERY: Duration = Duration::from_secs(600);
/// And at most, when nothing is found again and again.
const RECONCILE_LAST: Duration = Duration::from_secs(6 * 3_600);
/// How long one may take with all that is exchanged for it: others wait for their turn.
const SLOW: Duration = Duration::from_secs(1_800);
/// How long it waits while this node does as many as it may.
const TURN_PAUSE: Duration = Duration::from_secs(1);
/// How long a busy node is left alone.
const BUSY_PAUSE: Duration = Duration::from_secs(30);
/// Before the next try after addresses were registered anew.
const DIFFERENT_PAUSE: Duration = Duration::from_secs(2);
/// Ids found by one reconciliation before it pauses for them to be exchanged.
const FOUND: usize = 65_536;
