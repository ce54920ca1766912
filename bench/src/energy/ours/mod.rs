//! What this library does: the real planner, the real engine over SQLite, the real node's service, in virtual time.
//!
//! Sockets and the way between are left out; what is said there is written by [`Wire`]. The platform wakes a phone at any
//! moment within the plan's slack, by chance from the seed.

pub mod light;
mod os;
mod phone;
mod post;
mod pushes;
mod real;
mod talk;
mod world;

use std::time::Duration;

use ailurus::power::Preference;

use super::{trace::Message, wire::Wire};

pub use os::Os;
pub use world::run;

/// How a phone is set.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// What it is called.
    pub title: &'static str,
    pub preference: Preference,
    /// A confirmed push endpoint wakes it.
    pub push: bool,
}

/// All that are shown.
pub const POLICIES: [Policy; 4] = [FAST, BALANCED, FRUGAL, PUSHED];

const FAST: Policy = Policy {
    title: "Ailurus, fast",
    preference: Preference::Fast,
    push: false,
};
/// The default.
pub const BALANCED: Policy = Policy {
    title: "Ailurus, balanced",
    preference: Preference::Balanced,
    push: false,
};
pub const FRUGAL: Policy = Policy {
    title: "Ailurus, frugal",
    preference: Preference::Frugal,
    push: false,
};
pub const PUSHED: Policy = Policy {
    title: "Ailurus, balanced with push",
    preference: Preference::Balanced,
    push: true,
};

/// How true the node and the phones' engines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// The node's service and the phones' engines, with their databases.
    Real,
    /// What counts as they do: for tests over many seeds.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests are in a hurry"))]
    Light,
}

/// What happens to the phones.
pub struct Scene<'a> {
    /// To each of them.
    pub messages: &'a [Message],
    /// What came in the weeks before, from which the planner has learned; until the start, at which these are counted.
    pub history: &'a [Message],
    /// How long the history is.
    pub history_lasts: Duration,
    /// When each phone sends a message itself.
    pub sends: &'a [Duration],
    /// When the network goes, and when it comes back.
    pub outages: &'a [(Duration, Duration)],
    pub end: Duration,
    pub os: Os,
    pub node: Node,
    pub seed: u64,
    pub wire: &'a Wire,
}
