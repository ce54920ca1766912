//! Rotation: an admin moves the channel to new keys and leaves somebody out (docs/PROTOCOL.md, section 6).

use bytes::Bytes;
use prost::Message as _;
use zeroize::Zeroizing;

use crate::crypto::{DhPublic, DhSecret, Entropy, PublicKey, Signature, SigningKey, hpke, kdf};
use crate::wire::{
    content::{
        Appointment, AppointmentStatement, Rotated, RotationNotice, RotationSlot, RotationStatement,
    },
    limits::MAX_ROTATION,
    time::UnixMillis,
};

use super::{
    access::ChannelId,
    link::{Link, LinkError},
    message::AuthorHint,
};

/// Whom a rotation carries along: hint, key to seal to, and what to give.
pub struct Remaining<'a> {
    /// The author.
    pub hint: AuthorHint,
    /// The key that the author published.
    pub dh: DhPublic,
    /// The new access, full or write-only.
    pub link: &'a Link,
}

/// A rotation notice whose admin signature verifies.
pub struct Rotation {
    /// The channel that moved.
    pub channel: ChannelId,
    /// One higher than the rotation before.
    pub number: u32,
    /// When, by the admin's node.
    pub time: UnixMillis,
    /// Of two notices with one number, the lower hash holds.
    pub hash: [u8; 32],
    /// Who signed it; whether that key is an admin's is for the caller to check.
    pub admin: PublicKey,
    slots: Vec<RotationSlot>,
}

impl Rotation {
    /// Signs a notice that moves `channel`.
    ///
    /// # Errors
    /// If there are more authors than one notice can carry.
    pub fn sign(
        channel: &ChannelId,
        number: u32,
        time: UnixMillis,
        remaining: &[Remaining<'_>],
        admin: &SigningKey,
        entropy: &mut dyn Entropy,
    ) -> Result<RotationNotice, RotationError> {
        let mut slots = Vec::with_capacity(remaining.len());
        for member in remaining {
            let access = Zeroizing::new(
                Rotated {
                    access: Some(member.link.to_payload()),
                }
                .encode_to_vec(),
            );
            let context = slot_context(channel, number, &member.hint);
            // Whoever published a key that cannot be sealed to has thrown themselves out.
            let Ok(sealed) = hpke::seal_to(&member.dh, INFO, &context, &access, entropy) else {
                continue;
            };
            slots.push(RotationSlot {
                author: Bytes::copy_from_slice(member.hint.as_bytes()),
                sealed: sealed.into(),
            });
        }
        let statement = RotationStatement {
            channel_id: Bytes::copy_from_slice(channel.as_bytes()),
            number,
            time_ms: time.as_millis(),
            slots,
        }
        .encode_to_vec();
        if statement.len() > MAX_ROTATION {
            return Err(RotationError::TooManyMembers);
        }
        let signature = admin.sign(&rotation_hash(&statement), entropy);
        Ok(RotationNotice {
            statement: statement.into(),
            admin_key: Bytes::copy_from_slice(admin.public().as_bytes()),
            signature: Bytes::copy_from_slice(signature.as_bytes()),
        })
    }

    /// Checks a notice's form and signature.
    pub fn parse(notice: &RotationNotice) -> Result<Self, RotationError> {
        let hash = rotation_hash(&notice.statement);
        let admin = verify(&notice.admin_key, &notice.signature, &hash)?;
        let statement = RotationStatement::decode(notice.statement.clone())
            .map_err(|_| RotationError::Malformed)?;
        Ok(Self {
            channel: ChannelId::try_from(statement.channel_id.as_ref())
                .map_err(|_| RotationError::Malformed)?,
            number: statement.number,
            time: UnixMillis::from_millis(statement.time_ms),
            hash,
            admin,
            slots: statement.slots,
        })
    }

    /// True if this notice holds against another one of the same channel.
    pub fn precedes(&self, number: u32, hash: &[u8; 32]) -> bool {
        self.number > number || (self.number == number && self.hash < *hash)
    }

    /// Whether an author was carried along.
    pub fn includes(&self, author: &AuthorHint) -> bool {
        self.slots
            .iter()
            .any(|slot| slot.author.as_ref() == author.as_bytes())
    }

    /// The new access for `author`; `None` if there is no slot for it.
    pub fn open(&self, author: &AuthorHint, dh: &DhSecret) -> Result<Option<Link>, RotationError> {
        let Some(slot) = self
            .slots
            .iter()
            .find(|slot| slot.author.as_ref() == author.as_bytes())
        else {
            return Ok(None);
        };
        let context = slot_context(&self.channel, self.number, author);
        let access = Zeroizing::new(
            hpke::open_from(dh, INFO, &context, &slot.sealed)
                .map_err(|_| RotationError::Malformed)?,
        );
        let payload = Rotated::decode(access.as_slice())
            .map_err(|_| RotationError::Malformed)?
            .access
            .ok_or(RotationError::Malformed)?;
        Ok(Some(Link::from_payload(payload)?))
    }
}

/// Signs the appointment of `author` as a further admin.
pub fn appoint(
    channel: &ChannelId,
    author: &PublicKey,
    admin: &SigningKey,
    entropy: &mut dyn Entropy,
) -> Appointment {
    let statement = AppointmentStatement {
        channel_id: Bytes::copy_from_slice(channel.as_bytes()),
        author_key: Bytes::copy_from_slice(author.as_bytes()),
    }
    .encode_to_vec();
    let signature = admin.sign(&appointment_hash(&statement), entropy);
    Appointment {
        statement: statement.into(),
        admin_key: Bytes::copy_from_slice(admin.public().as_bytes()),
        signature: Bytes::copy_from_slice(signature.as_bytes()),
    }
}

/// Checks an appointment for `channel`: who was appointed, and by which key.
pub fn parse_appointment(
    channel: &ChannelId,
    appointment: &Appointment,
) -> Result<(PublicKey, PublicKey), RotationError> {
    let hash = appointment_hash(&appointment.statement);
    let admin = verify(&appointment.admin_key, &appointment.signature, &hash)?;
    let statement = AppointmentStatement::decode(appointment.statement.clone())
        .map_err(|_| RotationError::Malformed)?;
    if statement.channel_id.as_ref() != channel.as_bytes() {
        return Err(RotationError::Malformed);
    }
    Ok((public_key(&statement.author_key)?, admin))
}

/// Why a notice cannot be made or followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// The new access inside is not usable.
    #[error("the new access is not usable: {0}")]
    Access(#[from] LinkError),
    /// The admin signature does not verify.
    #[error("the notice is not signed by the admin key that it names; it was ignored")]
    BadSignature,
    /// Not the form of a notice.
    #[error("the notice does not have the form of this version; it was ignored")]
    Malformed,
    /// More members than fit.
    #[error("the channel has more members than one rotation can carry; share a new link instead")]
    TooManyMembers,
}

const INFO: &[u8] = b"ailurus/rotation";

fn rotation_hash(statement: &[u8]) -> [u8; 32] {
    kdf::tagged_hash("ailurus/rotation", &[statement])
}

fn appointment_hash(statement: &[u8]) -> [u8; 32] {
    kdf::tagged_hash("ailurus/appointment", &[statement])
}

fn slot_context(channel: &ChannelId, number: u32, author: &AuthorHint) -> Vec<u8> {
    let mut context = channel.as_bytes().to_vec();
    context.extend_from_slice(&number.to_be_bytes());
    context.extend_from_slice(author.as_bytes());
    context
}

fn verify(key: &[u8], signature: &[u8], hash: &[u8; 32]) -> Result<PublicKey, RotationError> {
    let key = public_key(key)?;
    let signature = Signature::try_from(signature).map_err(|_| RotationError::Malformed)?;
    key.verify(hash, &signature)
        .map_err(|_| RotationError::BadSignature)?;
    Ok(key)
}

fn public_key(bytes: &[u8]) -> Result<PublicKey, RotationError> {
    let bytes = <&[u8; 32]>::try_from(bytes).map_err(|_| RotationError::Malformed)?;
    PublicKey::from_bytes(bytes).map_err(|_| RotationError::Malformed)
}
