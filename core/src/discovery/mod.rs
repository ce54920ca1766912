//! Which super nodes a client keeps, polls, publishes to and leaves: sans-IO, given inputs, the time and random numbers,
//! and driven by [`crate::client`].
//!
//! [`chooser`] decides over [`record`]s of nodes, in the order that [`rank`] gives; [`backoff`] says when a failing
//! node is tried again; [`audit`] compares two nodes and tells one that withholds from one that never had;
//! [`reason`] explains the choice; [`lookup`] finds others in the DHT when all are lost.

pub mod audit;
pub mod backoff;
pub mod chooser;
pub mod lookup;
pub mod rank;
pub mod reason;
pub mod record;

pub use chooser::Chooser;
pub use record::{Condition, NodeLoad, NodeRecord, Origin, Refusal, Role};
