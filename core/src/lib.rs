//! Private chat channels without a central server, for phones.

// Bytes from outside meet this code, so it may not panic; and only what owns tasks may read the clock.
#![deny(unsafe_code)]
#![warn(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::redundant_clone,
    clippy::unwrap_used,
    unnameable_types,
    unreachable_pub
)]

pub mod channel;
#[expect(
    clippy::disallowed_methods,
    reason = "the client owns tasks, timers and the clock"
)]
pub mod client;
#[expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "each panic names why it cannot happen, and indices run over tables made here, never by bytes from outside"
)]
pub mod crypto;
pub mod discovery;
#[expect(
    clippy::disallowed_methods,
    reason = "connections have tasks and timeouts of their own"
)]
pub mod net;
pub mod power;
pub mod store;
pub mod sync;
pub mod wire;

/// The Rust in docs/BATTERY.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/BATTERY.md")]
mod battery_guide {}
