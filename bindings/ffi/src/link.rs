//! Links, looked at before they are used.

use std::time::SystemTime;

use ailurus::channel::{Invitation, Link, LinkError, NodeLink};
use ailurus::client::Error;

use crate::records::system_time;
use crate::{AccessKind, AilurusError, NodeKey};

/// What a link is for.
#[derive(uniffi::Enum)]
pub enum LinkInfo {
    /// It shares a channel: `join` takes it.
    Channel {
        /// The name that it proposes; empty with a redPanda string.
        name: String,
        /// What it allows.
        access: AccessKind,
        /// A redPanda string: no forward secrecy.
        redpanda: bool,
    },
    /// It names a super node: `add_node` takes it.
    Node {
        /// The node's key.
        id: NodeKey,
        /// Its host name or IP address.
        host: String,
        /// Its UDP port.
        port: u16,
    },
    /// A super node's operator invites one person: `add_invitation` takes it. It holds a secret.
    Invitation {
        /// The node's key.
        id: NodeKey,
        /// Its host name or IP address.
        host: String,
        /// Its UDP port.
        port: u16,
        /// When it ends.
        expires: SystemTime,
    },
}

/// Says what a link is for, without using it. White space around it is passed over, and so is `ailurus:` before it.
///
/// Fails with `BadLink`, whose message says what is wrong with it.
#[uniffi::export]
pub fn inspect_link(text: &str) -> Result<LinkInfo, AilurusError> {
    let text = bare(text);
    match text.parse::<Link>() {
        Ok(link) => Ok(LinkInfo::Channel {
            access: link.access.kind(),
            redpanda: link.access.is_redpanda(),
            name: link.name,
        }),
        Err(LinkError::NodeLink) => {
            let node: NodeLink = text.parse().map_err(Error::NodeLink)?;
            Ok(LinkInfo::Node {
                id: *node.key(),
                host: node.host().to_owned(),
                port: node.port(),
            })
        }
        Err(LinkError::Invitation) => {
            let invitation: Invitation = text.parse().map_err(Error::Invitation)?;
            Ok(LinkInfo::Invitation {
                id: *invitation.link().key(),
                host: invitation.link().host().to_owned(),
                port: invitation.link().port(),
                expires: system_time(invitation.introduction().expiry()),
            })
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn channel_link(text: &str) -> Result<Link, AilurusError> {
    Ok(bare(text).parse::<Link>()?)
}

pub(crate) fn node_link(text: &str) -> Result<NodeLink, AilurusError> {
    Ok(bare(text).parse::<NodeLink>().map_err(Error::NodeLink)?)
}

pub(crate) fn invitation(text: &str) -> Result<Invitation, AilurusError> {
    Ok(bare(text)
        .parse::<Invitation>()
        .map_err(Error::Invitation)?)
}

/// Links travel as `ailurus:…` where something must say which app opens them.
fn bare(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("ailurus:").unwrap_or(text)
}
