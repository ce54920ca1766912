//! Push: how super nodes wake this phone.

use std::fmt;

use ailurus::client as core;

pub use ailurus::client::PushTrouble;

/// Where a super node reaches this phone. Whoever has it can wake the phone: it is given to one node only and never logged.
#[derive(uniffi::Enum)]
#[uniffi::export(Debug, Display)]
pub enum PushTarget {
    /// A subscription of UnifiedPush or Web Push (RFC 8030), made for this node alone with its `push_key`.
    WebPush {
        /// An https URL of at most 1,024 bytes, at a public address.
        endpoint: String,
        /// The subscription's public key: P-256, uncompressed, 65 bytes (RFC 8291). The app keeps the private one.
        p256dh: Vec<u8>,
        /// Its authentication secret, 16 bytes (RFC 8291).
        auth: Vec<u8>,
    },
    /// A token of a platform that has one for an app, for the gateway of the node's operator. It is the same at all nodes,
    /// which can tell by it that they have the same client.
    Gateway {
        /// As the operator calls it, such as "fcm" or "apns": 1 to 32 characters of a-z, 0-9, '.', '_' and '-'.
        platform: String,
        /// At most 4,096 bytes.
        token: String,
    },
}

/// Push by one super node.
#[derive(uniffi::Record)]
pub struct PushStatus {
    /// How far it has come.
    pub state: PushState,
    /// The key to subscribe with, 65 bytes, if the node was asked and pushes to endpoints.
    pub key: Option<Vec<u8>>,
    /// The node takes `Gateway`, as far as it was asked.
    pub gateway: bool,
}

/// How far a phone and a node have come with push.
#[derive(uniffi::Enum)]
pub enum PushState {
    /// Nothing was set.
    Off,
    /// The node is told at the next contact.
    Waiting,
    /// The node sends a challenge through the endpoint, which the app hands to `on_push`.
    Challenged,
    /// The challenge came back: the node wakes this phone.
    Confirmed,
    /// The node is told at the next contact that it is over.
    Withdrawing,
    /// The node pushes there no more: the app subscribes anew. The old target is tried again now and then.
    Dropped {
        /// Why.
        trouble: PushTrouble,
        /// The same as an English sentence.
        reason: String,
    },
}

/// Why a node pushes to an endpoint no more.
#[uniffi::remote(Enum)]
pub enum PushTrouble {
    /// The endpoint is not at a public address by https.
    NotPublic,
    /// Nobody answered there, often enough.
    Unreachable,
    /// The push service or the node refuses it.
    Refused,
    /// The push service knows of no such subscription any more.
    Gone,
}

impl From<PushTarget> for core::PushTarget {
    fn from(target: PushTarget) -> Self {
        match target {
            PushTarget::WebPush {
                endpoint,
                p256dh,
                auth,
            } => Self::WebPush {
                endpoint,
                p256dh,
                auth,
            },
            PushTarget::Gateway { platform, token } => Self::Gateway { platform, token },
        }
    }
}

impl From<core::PushStatus> for PushStatus {
    fn from(status: core::PushStatus) -> Self {
        Self {
            state: status.state.into(),
            key: status.key.map(|key| key.as_bytes().to_vec()),
            gateway: status.gateway,
        }
    }
}

impl From<core::PushState> for PushState {
    fn from(state: core::PushState) -> Self {
        match state {
            core::PushState::Off => Self::Off,
            core::PushState::Waiting => Self::Waiting,
            core::PushState::Challenged => Self::Challenged,
            core::PushState::Confirmed => Self::Confirmed,
            core::PushState::Withdrawing => Self::Withdrawing,
            core::PushState::Dropped(trouble) => Self::Dropped {
                reason: trouble.to_string(),
                trouble,
            },
        }
    }
}

/// What a log may hold of it.
impl fmt::Display for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WebPush { .. } => f.write_str("PushTarget::WebPush(..)"),
            Self::Gateway { platform, .. } => write!(f, "PushTarget::Gateway({platform:?}, ..)"),
        }
    }
}

impl fmt::Debug for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
