//! Invitations: what the operator of a super node hands to one person, as text (docs/PROTOCOL.md, section 5.6).

use std::{fmt, str::FromStr};

use bytes::Bytes;
use prost::Message as _;
use zeroize::Zeroizing;

use crate::crypto::{Entropy, HolderSecret, NodeSecret};
use crate::wire::{content::Invitation as Payload, limits::MAX_LINK, node as wire};

use super::{
    introduction::{Introduction, IntroductionError},
    node_link::{NodeLink, NodeLinkError},
    text::{self, TextError},
};

/// A node's link with an introduction of hop count 1 and the secret that uses and extends it.
///
/// It is for one person: whoever registers with it first is counted, and a node lets one client register with it at a time.
pub struct Invitation {
    link: NodeLink,
    introduction: Introduction,
    secret: HolderSecret,
}

impl Invitation {
    /// Makes an invitation to `link` until `expiry_secs` (Unix seconds), at most 90 days ahead.
    ///
    /// The introduction is made by `node`; the link is to be that node's, or nobody can use it.
    pub fn mint(
        node: &NodeSecret,
        link: &NodeLink,
        expiry_secs: u64,
        entropy: &mut dyn Entropy,
    ) -> Self {
        let secret = HolderSecret::random(entropy);
        Self {
            link: link.clone(),
            introduction: Introduction::mint(node, &secret.public(), expiry_secs),
            secret,
        }
    }

    /// The node.
    pub fn link(&self) -> &NodeLink {
        &self.link
    }

    /// The chain of one hop.
    pub fn introduction(&self) -> &Introduction {
        &self.introduction
    }

    /// Link, introduction and the secret of its last key, to be kept.
    pub fn into_parts(self) -> (NodeLink, Introduction, HolderSecret) {
        (self.link, self.introduction, self.secret)
    }

    /// The secret of the introduction's last key.
    pub fn secret(&self) -> &HolderSecret {
        &self.secret
    }

    /// The invitation as text of at most 470 characters that begins with `ai`; it carries the secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let payload = Payload {
            node: Some(self.link.to_hint()),
            secret: Bytes::copy_from_slice(self.secret.expose()),
            expiry: self.introduction.last_expiry_secs(),
            signature: Bytes::copy_from_slice(self.introduction.last_signature()),
        };
        let encoded = Zeroizing::new(payload.encode_to_vec());
        super::link::wipe_bytes(payload.secret);
        let text = text::encode(PREFIX, &encoded);
        debug_assert!(text.len() <= MAX_LINK, "a host has at most 100 bytes");
        text
    }
}

/// The text of [`Invitation::to_text`], secret included: for the person it is made for and nobody else.
impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    /// Reads an invitation and checks the operator's signature; whether its time is over is for
    /// [`Introduction::verify`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (prefix, bytes) = text::decode(text)?;
        if prefix != PREFIX {
            return Err(InvitationError::NotAnInvitation);
        }
        let payload =
            Payload::decode(bytes.as_slice()).map_err(|_| IntroductionError::Malformed)?;
        let hint = payload.node.ok_or(IntroductionError::Malformed)?;
        let link = NodeLink::from_hint(&hint).map_err(InvitationError::Node)?;
        let secret = HolderSecret::try_from(payload.secret.as_ref())
            .map_err(|_| IntroductionError::Malformed)?;
        super::link::wipe_bytes(payload.secret);
        let introduction = Introduction::parse(&wire::Introduction {
            node: hint.key,
            hops: vec![wire::Hop {
                key: Bytes::copy_from_slice(secret.public().as_bytes()),
                expiry: payload.expiry,
                signature: payload.signature,
            }],
        })?;
        introduction.verify_signatures()?;
        Ok(Self {
            link,
            introduction,
            secret,
        })
    }
}

/// Why text is not an invitation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// What stands in it is no introduction by that node.
    #[error("the invitation is not usable: {0}")]
    Introduction(#[from] IntroductionError),
    /// The node in it is not usable.
    #[error("the invitation's super node is not usable: {0}")]
    Node(NodeLinkError),
    /// Another kind of link.
    #[error("this is no invitation to a super node; an invitation begins with \"ai\"")]
    NotAnInvitation,
    /// Not a link at all.
    #[error(transparent)]
    Text(#[from] TextError),
}

const PREFIX: &str = "ai";
