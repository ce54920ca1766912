//! Links: access to a channel as text, and so as a QR code (docs/PROTOCOL.md, section 2).

use std::str::FromStr;

use bytes::Bytes;
use prost::Message as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::crypto::{DhPublic, KeyError, PublicKey, SigningKey};
use crate::wire::{
    content::Link as Payload,
    limits::{MAX_HINTS, MAX_LINK, MAX_NAME},
};

use super::{
    access::{Access, AccessKind, DhtKey, ReaderRoot, Root},
    address::AddressSecret,
    epoch::{Epoch, ReadChain, ReadSecret},
    node_link::{NodeLink, NodeLinkError},
    text::{self, TextError},
};

/// Everything a joiner needs: access, the oldest read secret shared, a name and where to find a node.
pub struct Link {
    /// The keys.
    pub access: Access,
    /// The oldest read secret that is shared; none with write access.
    pub read: Option<ReadChain>,
    /// The admin key, which only an imported redPanda string brings.
    pub admin: Option<SigningKey>,
    /// What the channel is called, at most 32 bytes.
    pub name: String,
    /// At most two super nodes.
    pub nodes: Vec<NodeLink>,
}

impl Link {
    /// The link as text of at most 470 characters; hints that do not fit are left out.
    /// A channel imported from redPanda with full access gives its `pr…` string.
    ///
    /// # Errors
    /// If the name is too long, or a link that reads has no read secret.
    pub fn to_text(&self) -> Result<Zeroizing<String>, LinkError> {
        if self.name.len() > MAX_NAME {
            return Err(LinkError::NameTooLong);
        }
        if self.access.kind().reads() && self.read.is_none() {
            return Err(LinkError::Malformed);
        }
        if let Some(scalar) = self.access.redpanda_scalar() {
            return Ok(text::encode("pr", scalar.expose().as_slice()));
        }
        let mut payload = self.to_payload();
        loop {
            let encoded = Zeroizing::new(payload.encode_to_vec());
            let text = text::encode(prefix(self.access.kind()), &encoded);
            if text.len() <= MAX_LINK {
                wipe(payload);
                return Ok(text);
            }
            if payload.nodes.pop().is_none() {
                wipe(payload);
                return Err(LinkError::NameTooLong);
            }
        }
    }

    /// The payload, also for the encrypted store and for rotation.
    pub(crate) fn to_payload(&self) -> Payload {
        let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        let access = &self.access;
        let mut payload = Payload {
            admin_public: copy(access.admin().as_bytes()),
            name: self.name.clone(),
            nodes: self
                .nodes
                .iter()
                .take(MAX_HINTS)
                .map(NodeLink::to_hint)
                .collect(),
            ..Payload::default()
        };
        match access.kind() {
            AccessKind::Full => {
                if let Some(root) = access.root() {
                    payload.root = copy(root.expose());
                }
                if let Some(scalar) = access.redpanda_scalar() {
                    payload.redpanda = copy(scalar.expose().as_slice());
                }
            }
            AccessKind::Read => {
                payload.write_public = copy(access.write_public().as_bytes());
                payload.dht_public = copy(access.dht().as_bytes());
                if let Some(root) = access.reader_root() {
                    payload.reader_root = copy(root.expose());
                }
            }
            AccessKind::Write => {
                if let Some(key) = access.write_private() {
                    payload.write_private = copy(key.as_slice());
                }
                payload.address_secret = copy(access.address_secret().expose());
                payload.sealing_public = copy(access.sealing_public().as_bytes());
            }
        }
        if let Some(read) = self.read.as_ref().filter(|_| access.kind().reads()) {
            payload.read_secret = copy(read.secret().expose());
            payload.read_epoch = read.epoch().number();
        }
        payload
    }

    /// Takes a payload apart; the kind of access is told by what stands in it.
    pub(crate) fn from_payload(payload: Payload) -> Result<Self, LinkError> {
        if payload.name.len() > MAX_NAME {
            return Err(LinkError::NameTooLong);
        }
        let nodes = payload
            .nodes
            .iter()
            .take(MAX_HINTS)
            .map(NodeLink::from_hint)
            .collect::<Result<_, _>>()
            .map_err(LinkError::Node)?;
        let name = payload.name.clone();
        if !payload.redpanda.is_empty() {
            let scalar = SigningKey::from_bytes(&field(&payload.redpanda, "redPanda key")?)?;
            return Ok(Self::from_redpanda(scalar, name, nodes));
        }
        let admin = PublicKey::from_bytes(&field(&payload.admin_public, "admin key")?)?;
        let access = if !payload.root.is_empty() {
            Access::from_root(Root::from_bytes(field(&payload.root, "root")?), admin)
        } else if !payload.reader_root.is_empty() {
            Access::from_reader(
                PublicKey::from_bytes(&field(&payload.write_public, "write key")?)?,
                ReaderRoot::from_bytes(field(&payload.reader_root, "reader root")?),
                DhtKey::from_bytes(field(&payload.dht_public, "DHT key")?),
                admin,
            )
        } else {
            Access::from_writer(
                SigningKey::from_bytes(&field(&payload.write_private, "write key")?)?,
                AddressSecret::from_bytes(field(&payload.address_secret, "address secret")?),
                DhPublic::from_bytes(field(&payload.sealing_public, "sealing key")?),
                admin,
            )
        };
        let read = if access.kind().reads() {
            Some(ReadChain::new(
                Epoch::new(payload.read_epoch),
                ReadSecret::from_bytes(field(&payload.read_secret, "read secret")?),
            ))
        } else {
            None
        };
        wipe(payload);
        Ok(Self {
            access,
            read,
            admin: None,
            name,
            nodes,
        })
    }

    fn from_redpanda(scalar: SigningKey, name: String, nodes: Vec<NodeLink>) -> Self {
        let channel = Access::from_redpanda(scalar);
        Self {
            access: channel.access,
            read: Some(channel.read),
            admin: Some(channel.admin),
            name,
            nodes,
        }
    }
}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(link: &str) -> Result<Self, Self::Err> {
        // Whatever follows, it cannot be read with.
        if link.trim_start().starts_with("pu") {
            return Err(LinkError::RedPandaPublic);
        }
        let (prefix, bytes) = text::decode(link)?;
        match prefix.as_str() {
            "pr" => {
                let key: &[u8; 32] =
                    bytes
                        .as_slice()
                        .try_into()
                        .map_err(|_| LinkError::WrongLength {
                            field: "redPanda key",
                            expected: 32,
                            found: bytes.len(),
                        })?;
                Ok(Self::from_redpanda(
                    SigningKey::from_bytes(key)?,
                    String::new(),
                    Vec::new(),
                ))
            }
            "an" => Err(LinkError::NodeLink),
            "ai" => Err(LinkError::Invitation),
            _ => {
                let payload =
                    Payload::decode(bytes.as_slice()).map_err(|_| LinkError::Malformed)?;
                if !payload.redpanda.is_empty() {
                    return Err(LinkError::Malformed);
                }
                let link = Self::from_payload(payload)?;
                if prefix != self::prefix(link.access.kind()) {
                    return Err(LinkError::Malformed);
                }
                Ok(link)
            }
        }
    }
}

/// The redPanda view of a `pr…` string, for inspection: private scalar and compressed public key.
pub fn redpanda_keys(link: &Link) -> Option<(Zeroizing<[u8; 32]>, [u8; 33])> {
    let scalar = link.access.redpanda_scalar()?;
    Some((scalar.expose(), scalar.compressed_public()))
}

/// Every secret that a link carries, by its name in the payload, as hex: for inspection on explicit request only.
pub fn reveal(link: &Link) -> Vec<(&'static str, Zeroizing<String>)> {
    let payload = link.to_payload();
    let secrets = [
        ("root", &payload.root),
        ("write_private", &payload.write_private),
        ("reader_root", &payload.reader_root),
        ("address_secret", &payload.address_secret),
        ("read_secret", &payload.read_secret),
        ("redpanda", &payload.redpanda),
    ];
    let revealed = secrets
        .into_iter()
        .filter(|(_, bytes)| !bytes.is_empty())
        .map(|(name, bytes)| (name, Zeroizing::new(hex::encode(bytes))))
        .collect();
    wipe(payload);
    revealed
}

/// Why text is not a usable channel link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// An operator's invitation where a channel link was expected.
    #[error("this is an invitation to a super node; a channel link begins with af, ar, aw or pr")]
    Invitation,
    /// A key in it is none.
    #[error("a key in the link is not usable: {0}")]
    Key(#[from] KeyError),
    /// The payload does not have the form that its prefix announces.
    #[error("the link does not hold what its type announces; ask for a new one")]
    Malformed,
    /// The name is over 32 bytes.
    #[error("the channel's name is longer than {MAX_NAME} bytes; choose a shorter one")]
    NameTooLong,
    /// A node hint in it is not usable.
    #[error("the link's super node is not usable: {0}")]
    Node(NodeLinkError),
    /// A node link where a channel link was expected.
    #[error("this is the link of a super node; a channel link begins with af, ar, aw or pr")]
    NodeLink,
    /// redPanda's public string.
    #[error(
        "a pu… string carries no read key, so nothing could be read with it; ask for the pr… string"
    )]
    RedPandaPublic,
    /// Not a link at all.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A field is too short or too long.
    #[error("the link's {field} has {found} bytes instead of {expected}; ask for a new one")]
    WrongLength {
        /// Which.
        field: &'static str,
        /// In bytes.
        expected: usize,
        /// In bytes.
        found: usize,
    },
}

fn prefix(kind: AccessKind) -> &'static str {
    match kind {
        AccessKind::Full => "af",
        AccessKind::Read => "ar",
        AccessKind::Write => "aw",
    }
}

fn field(bytes: &Bytes, field: &'static str) -> Result<[u8; 32], LinkError> {
    <[u8; 32]>::try_from(bytes.as_ref()).map_err(|_| LinkError::WrongLength {
        field,
        expected: 32,
        found: bytes.len(),
    })
}

/// Overwrites the secrets of a payload, as far as its buffers are not shared.
fn wipe(payload: Payload) {
    for secret in [
        payload.root,
        payload.write_private,
        payload.reader_root,
        payload.address_secret,
        payload.read_secret,
        payload.redpanda,
    ] {
        wipe_bytes(secret);
    }
}

/// Overwrites a secret, as far as its buffer is not shared.
pub(super) fn wipe_bytes(secret: Bytes) {
    if let Ok(mut bytes) = secret.try_into_mut() {
        bytes.as_mut().zeroize();
    }
}
