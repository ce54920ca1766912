//! Blinded addresses: where a channel's envelopes of one epoch are kept, without saying which channel it is.

use crate::crypto::{
    AccessKey, AccessSecret, BlindError, PublicKey, kdf,
    newtype::{id_newtype, secret_newtype},
};

use super::epoch::Epoch;

secret_newtype! {
    /// Blinds the write key and derives the access keys; everyone in a channel has it, no node does.
    pub struct AddressSecret[32];
}

id_newtype! {
    /// SHA-256 of a blinded write key and an access key: all that a node knows of a channel in one epoch.
    pub struct Address[32];
}

impl Address {
    /// The address of a pair of keys; a node checks both with it.
    pub fn of(blinded: &PublicKey, access: &AccessKey) -> Self {
        Self::from_bytes(kdf::sha256(&[blinded.as_bytes(), access.as_bytes()]))
    }
}

/// The keys behind an address, as a phone derives them (docs/PROTOCOL.md, section 3).
pub struct AddressKeys {
    /// The epoch they are for.
    pub epoch: Epoch,
    /// The address.
    pub address: Address,
    /// The blinded write key, under which envelopes are signed.
    pub blinded: PublicKey,
    /// Signs registrations.
    pub access: AccessSecret,
}

impl AddressKeys {
    /// Derives the keys of one epoch.
    ///
    /// # Errors
    /// If the blinding falls on one of the excluded values, which no honest channel ever meets.
    pub fn derive(
        write: &PublicKey,
        secret: &AddressSecret,
        epoch: Epoch,
    ) -> Result<Self, BlindError> {
        let blinded = crate::crypto::blind_public(write, secret.expose(), epoch.number())?;
        let seed = kdf::derive(
            secret.expose(),
            "ailurus/access-key",
            &epoch.number().to_be_bytes(),
        );
        let access = AccessSecret::from_bytes(*seed);
        let address = Address::of(&blinded, &access.public());
        Ok(Self {
            epoch,
            address,
            blinded,
            access,
        })
    }
}

/// What the access key signs to lease an address: everything that a stolen proof could be replayed against.
pub fn lease_statement(
    exporter: &[u8; 32],
    node: &[u8; 32],
    pseudonym: &[u8; 32],
    address: &Address,
    lease_end_secs: u64,
) -> [u8; 32] {
    kdf::tagged_hash(
        "ailurus/lease",
        &[
            exporter,
            node,
            pseudonym,
            address.as_bytes(),
            &lease_end_secs.to_be_bytes(),
        ],
    )
}
