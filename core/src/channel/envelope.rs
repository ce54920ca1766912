//! The envelope: what nodes see, check and keep (docs/PROTOCOL.md, section 4.1). Nodes need nothing else of this room.

use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;

use crate::crypto::{
    Entropy, PublicKey, Signature, SignatureError, SigningKey, batch::BatchItem, kdf::TaggedHasher,
    newtype::id_newtype,
};
use crate::wire::{
    limits::{LIFETIME, MAX_AHEAD, MAX_SEALED},
    node::Item,
    time::UnixMillis,
};

use super::address::Address;

id_newtype! {
    /// Names an envelope in transport: the hash of its signed bytes. The same message may travel in several.
    pub struct EnvelopeId[32];
}

/// How the body is encrypted; all that a node learns of what is inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Kind {
    /// AES-256-GCM under the epoch's read secret.
    Message = 0,
    /// HPKE to the channel's sealing key, by a member who cannot read.
    Sealed = 1,
}

impl TryFrom<u32> for Kind {
    type Error = EnvelopeError;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        match number {
            0 => Ok(Self::Message),
            1 => Ok(Self::Sealed),
            _ => Err(EnvelopeError::UnknownKind(number)),
        }
    }
}

/// The part of an envelope that is signed together with the body, and authenticated by its encryption.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Where it is kept; its epoch must be the one that `time` falls in.
    pub address: Address,
    /// When it was sealed, by its node's clock.
    pub time: UnixMillis,
    /// How the body is encrypted.
    pub kind: Kind,
    /// Length of the body in bytes.
    pub size: u32,
}

impl Header {
    /// Length of the signed form in bytes.
    pub const LEN: usize = 46;

    /// The signed form: version 1, address, time (big-endian milliseconds), kind, size (big-endian).
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = 1;
        bytes[1..33].copy_from_slice(self.address.as_bytes());
        bytes[33..41].copy_from_slice(&self.time.as_millis().to_be_bytes());
        bytes[41] = self.kind as u8;
        bytes[42..46].copy_from_slice(&self.size.to_be_bytes());
        bytes
    }
}

/// A signed header and its encrypted body.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    header: Header,
    /// Signature (64 bytes), then body, as they travel and are stored: no copy between frame and row.
    sealed: Bytes,
}

impl Envelope {
    /// Signs a body with the blinded write key of the header's epoch.
    ///
    /// # Errors
    /// If the body is too large.
    pub fn sign(
        address: Address,
        time: UnixMillis,
        kind: Kind,
        body: &[u8],
        blinded: &SigningKey,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, EnvelopeError> {
        let header = Header {
            address,
            time,
            kind,
            size: body_size(body.len())?,
        };
        let id = envelope_id(&header, body);
        let signature = blinded.sign(id.as_bytes(), entropy);
        let mut sealed = Vec::with_capacity(SIGNATURE + body.len());
        sealed.extend_from_slice(signature.as_bytes());
        sealed.extend_from_slice(body);
        Ok(Self {
            header,
            sealed: Bytes::from(sealed),
        })
    }

    /// Takes an envelope apart as it travels; its signature is not checked yet.
    pub fn parse(
        address: Address,
        time: UnixMillis,
        kind: Kind,
        sealed: Bytes,
    ) -> Result<Self, EnvelopeError> {
        let Some(body) = sealed.len().checked_sub(SIGNATURE) else {
            return Err(EnvelopeError::Truncated);
        };
        let header = Header {
            address,
            time,
            kind,
            size: body_size(body)?,
        };
        Ok(Self { header, sealed })
    }

    /// The envelope behind an item of a batch, and the time from which the next item's counts.
    pub fn from_item(
        address: Address,
        before: UnixMillis,
        item: &Item,
    ) -> Result<Self, EnvelopeError> {
        let time = before.offset(item.time_delta_ms);
        Self::parse(
            address,
            time,
            Kind::try_from(item.kind)?,
            item.sealed.clone(),
        )
    }

    /// This envelope as an item of a batch, after one of time `before`.
    pub fn to_item(&self, before: UnixMillis) -> Item {
        Item {
            time_delta_ms: self.header.time.delta(before),
            kind: self.header.kind as u32,
            sealed: self.sealed.clone(),
            ..Item::default()
        }
    }

    /// The signed header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The encrypted body.
    pub fn body(&self) -> &[u8] {
        self.sealed.get(SIGNATURE..).unwrap_or_default()
    }

    /// Signature and body as they travel.
    pub fn sealed(&self) -> &Bytes {
        &self.sealed
    }

    /// The hash of the signed bytes.
    pub fn id(&self) -> EnvelopeId {
        envelope_id(&self.header, self.body())
    }

    /// Checks the signature under the blinded key of its address.
    pub fn verify(&self, blinded: &PublicKey) -> Result<(), SignatureError> {
        let item = self.batch_item(*blinded);
        item.key.verify(&item.message, &item.signature)
    }

    /// The same check as an item for [`crate::crypto::batch::verify_each`]; its message is the envelope id.
    pub fn batch_item(&self, blinded: PublicKey) -> BatchItem {
        BatchItem {
            key: blinded,
            message: *self.id().as_bytes(),
            signature: self.signature(),
        }
    }

    /// Whether a node whose clock shows `now` may keep it.
    pub fn check_time(&self, now: UnixMillis) -> Result<(), TimeError> {
        let time = self.header.time;
        if time > now.after(MAX_AHEAD) {
            return Err(TimeError::Ahead);
        }
        if time.after(LIFETIME) <= now {
            return Err(TimeError::Expired);
        }
        Ok(())
    }

    fn signature(&self) -> Signature {
        let mut bytes = [0; SIGNATURE];
        if let Some(signature) = self.sealed.get(..SIGNATURE) {
            bytes.copy_from_slice(signature);
        }
        Signature::from_bytes(bytes)
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Why bytes are not an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The body is larger than [`MAX_SEALED`] allows.
    #[error("the body of {0} bytes is larger than an envelope may be; send less at once")]
    TooLarge(usize),
    /// Shorter than a signature.
    #[error("the envelope is cut off before the end of its signature")]
    Truncated,
    /// The channel's sealing key is not one that can be sealed to.
    #[error("the channel's sealing key is not usable; ask for a new link")]
    UnusableKey,
    /// A kind of a later version.
    #[error("envelope kind {0} is unknown to this version; update the app")]
    UnknownKind(u32),
}

/// Why a node refuses an envelope's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// More than 15 minutes ahead.
    #[error("the envelope is dated more than 15 minutes ahead: check the sending device's clock")]
    Ahead,
    /// More than 7 days old.
    #[error("the envelope is older than 7 days")]
    Expired,
}

const SIGNATURE: usize = 64;

static ENVELOPE: LazyLock<TaggedHasher> = LazyLock::new(|| TaggedHasher::new("ailurus/envelope"));

fn envelope_id(header: &Header, body: &[u8]) -> EnvelopeId {
    EnvelopeId::from_bytes(ENVELOPE.hash(&[&header.to_bytes(), body]))
}

fn body_size(length: usize) -> Result<u32, EnvelopeError> {
    if length > MAX_SEALED - SIGNATURE {
        return Err(EnvelopeError::TooLarge(length));
    }
    u32::try_from(length).map_err(|_| EnvelopeError::TooLarge(length))
}
