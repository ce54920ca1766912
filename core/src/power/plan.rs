//! The plan: what is connected, when to wake up next, and what for.

use std::time::Duration;

use crate::wire::time::UnixMillis;

/// What a wake-up is for, and what a byte was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WakeupReason {
    /// To ask the super nodes for what is new.
    Sync,
    /// A message waits to be sent.
    Outbox,
    /// Leases end, addresses of the next epoch are due, or nodes are to be told of each other.
    Registration,
    /// Other super nodes are looked for in the DHT, as all that are known are lost.
    Dht,
    /// A mesh is looked after.
    Mesh,
    /// Large bodies that waited for a better network.
    Resync,
    /// Cover traffic.
    Dust,
    /// A node that failed is tried again, or two are compared.
    Upkeep,
    /// A push said that there is something new.
    Push,
    /// The user asked for it.
    User,
    /// A person looks at the app: live connections.
    Foreground,
}

/// When the app asks its platform to be woken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// Not before this, by the client's clock.
    pub at: UnixMillis,
    /// How much later will do, so that the platform can wake several apps at once.
    pub slack: Duration,
    /// What makes it necessary then.
    pub reasons: Vec<WakeupReason>,
    /// All that is done then: the reasons, and what may be done early and so shares the wake-up.
    pub carries: Vec<WakeupReason>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Keep connections to the super nodes; else hold none.
    pub live: bool,
    /// When something is due next: the app asks for it in the background, the library itself does it while live. `None`
    /// while there is nothing to do or no network to do it on.
    pub wakeup: Option<Wakeup>,
    /// Between packets that keep a live connection open; `None` for none.
    pub keep_alive: Option<Duration>,
    /// Whether to forward for others.
    pub relay: bool,
}
