//! What has a time: from when it is useful, by when it must be done, and on which network.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::wire::time::UnixMillis;

use super::WakeupReason;

/// What a task waits for, up to its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Needs {
    /// Any network.
    #[default]
    Any,
    /// A network on which traffic costs nothing.
    Unmetered,
    /// The same, and power from outside.
    UnmeteredAndCharging,
}

/// When something is to be done. Times are by the client's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Before this it is of no use.
    pub from: UnixMillis,
    /// The limit: then it is done whatever the network is, and a wake-up is asked for if none comes before.
    pub by: UnixMillis,
    /// What it waits for before the limit.
    pub needs: Needs,
}

/// All that is due, one for each reason.
#[derive(Clone, Debug, Default)]
pub(super) struct Dues(BTreeMap<WakeupReason, Task>);

/// Something due, and how often it was tried in vain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) due: Due,
    /// Attempts since it is due.
    pub(super) tries: u32,
    /// The last of them.
    pub(super) tried: UnixMillis,
}

impl Dues {
    pub(super) fn set(&mut self, reason: WakeupReason, due: Option<Due>) {
        match due {
            None => {
                self.0.remove(&reason);
            }
            // What is the same as before goes on being tried later each time.
            Some(due) if self.0.get(&reason).is_some_and(|task| task.due == due) => {}
            Some(due) => {
                let task = Task {
                    due,
                    tries: 0,
                    tried: UnixMillis::default(),
                };
                self.0.insert(reason, task);
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (WakeupReason, &Task)> {
        self.0.iter().map(|(reason, task)| (*reason, task))
    }

    /// An attempt begins, which is one for all that it carries.
    pub(super) fn attempted(&mut self, carries: &[WakeupReason], now: UnixMillis) {
        for reason in carries {
            if let Some(task) = self.0.get_mut(reason) {
                task.tries = task.tries.saturating_add(1);
                task.tried = now;
            }
        }
    }

    /// The clock was set back: nothing is further away than before.
    pub(super) fn set_back(&mut self, by: Duration) {
        for task in self.0.values_mut() {
            task.due.from = task.due.from.before(by);
            task.due.by = task.due.by.before(by);
            task.tried = task.tried.before(by);
        }
    }
}
