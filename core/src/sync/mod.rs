//! What a light client decides over time: sans-IO, given inputs and the time, and driven by [`crate::client`].
//!
//! [`clock`] judges clocks and what may be deleted; [`leases`] says which addresses to lease; [`session`] is one
//! conversation with a super node; [`outbox`] how often to send what; [`retry`] when to try a node again.

pub mod clock;
pub mod leases;
pub mod outbox;
pub mod retry;
pub mod session;
