//! The Ailurus super node: keeps envelopes for light clients that are away, and pushes them to those that are there.
//!
//! [`Service`] decides everything and owns no clock, socket or random source: a test drives it through a month of
//! virtual time. [`Node`] puts it on a QUIC endpoint, with one thread that verifies signatures and one that commits.
//! The daemon `ailurus-node` is a command line around [`Node`]. `docs/PROTOCOL.md` section 5 specifies what is said.
//!
//! What a node keeps is in one SQLite file ([`Store`]). An acknowledgement means that the envelope is on disk.

mod clock;
mod config;
mod error;
mod http;
mod identity;
mod metrics;
mod node;
mod server;
mod service;
mod store;

pub use clock::SystemClock;
pub use config::{Config, ConfigError, ConfigFile, Limits, parse_host_port, parse_offset};
pub use error::NodeError;
pub use metrics::Metrics;
pub use node::Node;
pub use service::{Service, Session};
pub use store::{Expired, Store, StoreError};
