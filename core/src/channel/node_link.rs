//! Node links: a super node's key and where to reach it.

use std::{fmt, str::FromStr};

use prost::Message as _;

use crate::crypto::NodeKey;
use crate::wire::{content::NodeHint, limits::MAX_HOST};

use super::text::{self, TextError};

/// A super node as its operator hands it out: pinned key, host and port.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeLink {
    key: NodeKey,
    host: String,
    port: u16,
}

impl NodeLink {
    /// A link to the node with this key at `host` (a name or an IP address without brackets).
    pub fn new(key: NodeKey, host: &str, port: u16) -> Result<Self, NodeLinkError> {
        let plain = !host.is_empty()
            && host.len() <= MAX_HOST
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte));
        if !plain || port == 0 {
            return Err(NodeLinkError::BadAddress);
        }
        Ok(Self {
            key,
            host: host.to_owned(),
            port,
        })
    }

    /// The node's Ed25519 identity.
    pub fn key(&self) -> &NodeKey {
        &self.key
    }

    /// Name or IP address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As a message.
    pub fn to_hint(&self) -> NodeHint {
        NodeHint {
            key: bytes::Bytes::copy_from_slice(self.key.as_bytes()),
            host: self.host.clone(),
            port: u32::from(self.port),
        }
    }

    /// From a message.
    ///
    /// # Errors
    /// [`NodeLinkError::BadKey`] or [`NodeLinkError::BadAddress`].
    pub fn from_hint(hint: &NodeHint) -> Result<Self, NodeLinkError> {
        let key = NodeKey::try_from(hint.key.as_ref()).map_err(|_| NodeLinkError::BadKey)?;
        let port = u16::try_from(hint.port).map_err(|_| NodeLinkError::BadAddress)?;
        Self::new(key, &hint.host, port)
    }
}

impl fmt::Display for NodeLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::encode(PREFIX, &self.to_hint().encode_to_vec()))
    }
}

impl fmt::Debug for NodeLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeLink({:?}, {}:{})", self.key, self.host, self.port)
    }
}

impl FromStr for NodeLink {
    type Err = NodeLinkError;

    fn from_str(link: &str) -> Result<Self, Self::Err> {
        let (prefix, payload) = text::decode(link)?;
        if prefix == "ai" {
            return Err(NodeLinkError::Invitation);
        }
        if prefix != PREFIX {
            return Err(NodeLinkError::NotANodeLink);
        }
        let hint = NodeHint::decode(payload.as_slice()).map_err(|_| NodeLinkError::BadAddress)?;
        Self::from_hint(&hint)
    }
}

/// Why text is not a node link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeLinkError {
    /// No usable host or port.
    #[error(
        "the node's address is not a host name or IP address with a port from 1 to 65535; ask its operator for the link again"
    )]
    BadAddress,
    /// The key is not 32 bytes.
    #[error("the node's key does not have 32 bytes; ask its operator for the link again")]
    BadKey,
    /// An operator's invitation, which holds more than a link.
    #[error("this is an invitation to a super node: add it as one; a node link begins with \"an\"")]
    Invitation,
    /// A channel link where a node link was expected.
    #[error("this is a channel link; a node link begins with \"an\"")]
    NotANodeLink,
    /// Not a link at all.
    #[error(transparent)]
    Text(#[from] TextError),
}

const PREFIX: &str = "an";
