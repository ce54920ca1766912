//! Node processes that are killed and started again, whose clocks are wrong, and that are far away, while real clients
//! use them.

#[path = "../common/mod.rs"]
mod common;

mod clock;
#[cfg(target_os = "linux")]
mod far;
#[cfg(target_os = "linux")]
mod link;
mod reconciliation;
mod survival;
mod world;
