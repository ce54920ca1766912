//! Room `power`: when a light client connects, decided from what the platform tells about the phone.
//!
//! In the foreground a client is live; in the background it holds no connection, because carrier NATs forget UDP in
//! about 30 seconds and each packet keeps the radio up for ten, and wakes up now and then instead. [`Power`] says when:
//! everything that has a time is given to it as a [`Due`], and one [`Plan`] comes out. [`Ledger`] counts what was spent,
//! with the [`radio`] model that the energy laboratory uses too. Like all logic over time it is given the time.

mod due;
mod habits;
mod ledger;
mod plan;
mod planner;
mod pushes;
pub mod radio;
mod state;
mod tempo;
mod usage;

pub use due::{Due, Needs};
pub use habits::{HOURS, Habits};
pub use ledger::{Hour, Ledger};
pub use plan::{Plan, Wakeup, WakeupReason};
pub use planner::{Memory, Power};
pub use state::{AppState, NetworkKind, NetworkState, PowerState, Preference, StandbyBucket};
pub use tempo::KEEP_ALIVE;
pub use usage::{Usage, UsagePeriod, UsageReport, UsageRow};
