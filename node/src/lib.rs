//! The Ailurus super node: keeps envelopes for light clients that are away, and pushes them to those that are there.
//!
//! [`Service`] decides everything and owns no clock, socket or random source: a test drives it through a month of
//! virtual time. [`Node`] puts it on a QUIC endpoint, with one thread that verifies signatures and one that commits.
//! The daemon `ailurus-node` is a command line around [`Node`]. `docs/PROTOCOL.md` section 5 specifies what is said.
//!
//! What a node keeps is in one SQLite file ([`Store`]). An acknowledgement means that the envelope is on disk.

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

mod check;
mod clock;
mod config;
mod error;
mod http;
mod identity;
mod metrics;
#[expect(clippy::disallowed_methods, reason = "starts the node's tasks")]
mod node;
mod operator;
mod peers;
mod push;
#[expect(clippy::disallowed_methods, reason = "connections run in tasks")]
mod server;
mod service;
mod store;

pub use check::{Checked, Finding, Severity, check};
pub use clock::SystemClock;
pub use config::{
    Config, ConfigError, ConfigFile, Limits, Push, PushConfigError, parse_host_port, parse_offset,
};
pub use error::NodeError;
pub use metrics::{Metrics, OutcomeLabel, ReasonLabel, SaidLabel};
pub use node::Node;
pub use operator::{
    InvitationRow, InvitationStatus, Kept, OnProgress, Operator, OperatorError, PeerNode, Progress,
    Restored, Revocation, Revoked, Status, Subtree, Terms, restore,
};
pub use peers::{Pushes, Wire, WireEnd, Wires};
pub use service::{Network, Offered, PushOffer, Service, Session, Verified};
pub use store::{Expired, Store, StoreError};
