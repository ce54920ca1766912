//! The super nodes of a profile: added and removed by the user, and what the client makes of them.

use std::time::Duration;

use crate::channel::{HopCount, NodeLink};
use crate::crypto::NodeKey;

use super::{Client, Error};

pub use crate::discovery::NodeLoad;

/// A super node as this profile sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Key and address.
    pub link: NodeLink,
    /// The key.
    pub id: NodeKey,
    /// What it is used for.
    pub state: NodeState,
    /// Our distance from its operator, as the node counts.
    pub hop_count: HopCount,
    /// How busy it says it is; `None` before it was heard.
    pub load: Option<NodeLoad>,
    /// Time from a request to its answer, smoothed; `None` before it was measured.
    pub rtt: Option<Duration>,
    /// Why it is what it is, as a sentence for people.
    pub reason: String,
}

/// What a super node is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// The one that is polled.
    Active,
    /// It takes over when the active one fails.
    Standby,
    /// It did not answer the last time, or answers again and is not trusted yet.
    Down,
    /// It does not want us, or was left because it withheld messages.
    Refused,
}

impl Client {
    /// Adds a super node, or changes the address of a known one. Needs no network.
    pub fn add_node(&self, link: &NodeLink) -> Result<(), Error> {
        self.engine().add_node(link, self.now())?;
        self.inner().nodes_changed();
        Ok(())
    }

    /// Removes a super node; it comes back only if it is added again. Needs no network: leases there end by themselves.
    ///
    /// # Errors
    /// [`Error::UnknownNode`] if there is none with this key.
    pub fn remove_node(&self, node: &NodeKey) -> Result<(), Error> {
        if !self.engine().remove_node(node, self.now())? {
            return Err(Error::UnknownNode(node.to_string()));
        }
        self.inner().forget_dialer(node);
        self.inner().nodes_changed();
        Ok(())
    }

    /// The super nodes of this profile, in the order in which they would be polled.
    pub fn nodes(&self) -> Result<Vec<NodeStatus>, Error> {
        self.engine().node_statuses(self.now())
    }
}
