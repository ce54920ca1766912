//! The super nodes of a profile, as apps see them.

use std::time::Duration;

use ailurus::client as core;

use crate::NodeKey;

pub use ailurus::client::{NodeLoad, NodeState};

/// What a super node is used for.
#[uniffi::remote(Enum)]
pub enum NodeState {
    /// The one that is polled.
    Active,
    /// It takes over when the active one fails.
    Standby,
    /// It did not answer the last time while another did, or answers again and is not trusted yet. Where no node answers,
    /// the network may be to blame, and nothing changes.
    Down,
    /// It does not want us, or was left because it withheld messages.
    Refused,
}

/// How busy a super node says it is.
#[uniffi::remote(Record)]
pub struct NodeLoad {
    /// Clients that are registered there.
    pub clients: u32,
    /// Of as many as it takes, in permille.
    pub clients_permille: u16,
    /// Of what it may keep, in permille.
    pub storage_permille: u16,
    /// Of all its cores, over the last minute, in permille.
    pub cpu_permille: u16,
    /// From a request to its answer, median of the last minute.
    pub latency: Duration,
}

/// A super node as this profile sees it.
#[derive(uniffi::Record)]
pub struct NodeStatus {
    /// Its link: key and address.
    pub link: String,
    /// The key.
    pub id: NodeKey,
    /// Its host name or IP address.
    pub host: String,
    /// Its UDP port.
    pub port: u16,
    /// What it is used for.
    pub state: NodeState,
    /// Our distance from its operator, as the node counts: 1 to 6; nothing for a stranger.
    pub hop_count: Option<u8>,
    /// How busy it says it is; nothing before it was heard.
    pub load: Option<NodeLoad>,
    /// Time from a request to its answer, smoothed; nothing before it was measured.
    pub rtt: Option<Duration>,
    /// Why it is what it is, as an English sentence.
    pub reason: String,
}

impl From<core::NodeStatus> for NodeStatus {
    fn from(node: core::NodeStatus) -> Self {
        Self {
            link: node.link.to_string(),
            id: node.id,
            host: node.link.host().to_owned(),
            port: node.link.port(),
            state: node.state,
            hop_count: node
                .hop_count
                .to_wire()
                .and_then(|hops| u8::try_from(hops).ok()),
            load: node.load,
            rtt: node.rtt,
            reason: node.reason,
        }
    }
}
