//! Records: how a channel's super nodes are found in the BitTorrent DHT (docs/PROTOCOL.md, section 5.8).
//!
//! A record is a mutable item of BEP 44. Its key is the channel's DHT key blinded for the epoch, so members find it and
//! nobody can tell that two epochs' records belong together; its salt is one of eight slots; its value is encrypted
//! and has one length. Writers sign records; a node puts them into the DHT and refreshes them.

use bytes::Bytes;
use prost::Message as _;

use crate::crypto::{
    Aead, AeadKey, BlindKeyError, Entropy, NodeKey, aead, blind_ed25519,
    ed25519::verify_strict,
    ed25519_blind::BlindedSigner,
    kdf,
    newtype::{id_newtype, secret_newtype},
};
use crate::wire::{
    limits::{MAX_AHEAD, RECORD_LEN, RECORD_LIFETIME, RECORD_SLOTS},
    node as wire,
    time::UnixMillis,
};

use super::{
    access::{Access, dht_secret},
    epoch::Epoch,
    node_link::{NodeLink, NodeLinkError},
};

id_newtype! {
    /// The Ed25519 key of a channel's records in one epoch: what the DHT sees.
    pub struct RecordKey[32];
}

secret_newtype! {
    /// Opens a channel's records of one epoch. Nodes that are to find each other are given it.
    pub struct RecordSecret[32];
}

/// Signs a channel's records of one epoch. It never leaves the process.
pub struct RecordSigner {
    signer: BlindedSigner,
    key: RecordKey,
}

impl Access {
    /// The key under which the channel's nodes are found in `epoch`.
    ///
    /// # Errors
    /// [`BlindKeyError`] if the DHT key that a link brought is none.
    pub fn record_key(&self, epoch: Epoch) -> Result<RecordKey, BlindKeyError> {
        let secret = self.address_secret().expose();
        blind_ed25519(self.dht().as_bytes(), secret, epoch.number()).map(RecordKey::from_bytes)
    }

    /// What opens the channel's records of `epoch`.
    pub fn record_secret(&self, epoch: Epoch) -> RecordSecret {
        let secret = kdf::derive(
            self.address_secret().expose(),
            "ailurus/record-secret",
            &epoch.number().to_be_bytes(),
        );
        RecordSecret::from_bytes(*secret)
    }

    /// Signs records of `epoch`; none with read access.
    ///
    /// # Errors
    /// [`BlindKeyError`], which no real channel meets.
    pub fn record_signer(&self, epoch: Epoch) -> Result<Option<RecordSigner>, BlindKeyError> {
        let Some(write) = self.write() else {
            return Ok(None);
        };
        let (seed, _) = dht_secret(write);
        let address_secret = self.address_secret().expose();
        let signer = BlindedSigner::of_seed(seed.expose(), address_secret, epoch.number())?;
        let key = RecordKey::from_bytes(signer.public());
        Ok(Some(RecordSigner { signer, key }))
    }
}

impl RecordSigner {
    /// The key that it signs for.
    pub fn key(&self) -> &RecordKey {
        &self.key
    }

    /// A record that says where `node` is, for the node's own slot and the next 48 hours.
    pub fn sign(
        &self,
        secret: &RecordSecret,
        node: &NodeLink,
        now: UnixMillis,
        entropy: &mut dyn Entropy,
    ) -> SignedRecord {
        let slot = own_slot(node.key(), &self.key);
        let seq = now.as_secs();
        let content = wire::RecordContent {
            node: Some(node.to_hint()),
            expiry: seq.saturating_add(RECORD_LIFETIME.as_secs()),
        };
        let mut plaintext = content.encode_to_vec();
        // A host has at most 100 bytes, so there is always room for the mark.
        plaintext.push(MARK);
        plaintext.resize(PLAINTEXT_LEN, 0);
        let sealed =
            record_aead(secret).seal_random(entropy, &aad(&self.key, slot, seq), &plaintext);
        let mut value = [0; RECORD_LEN];
        value.copy_from_slice(&sealed);
        let signature = self.signer.sign(&item_bytes(&salt(slot), seq, &value));
        SignedRecord {
            slot,
            seq,
            value,
            signature,
        }
    }
}

/// A record as it stands in the DHT: a mutable item of BEP 44.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRecord {
    /// 0 to 7, see [`salt`].
    pub slot: u8,
    /// Unix seconds when it was signed; of two, the DHT keeps the higher.
    pub seq: u64,
    /// Nonce, ciphertext and tag.
    pub value: [u8; RECORD_LEN],
    /// Ed25519, by the epoch's record key, over [`item_bytes`].
    pub signature: [u8; 64],
}

impl SignedRecord {
    /// Takes a message apart. No signature is checked: that is [`SignedRecord::verify`].
    ///
    /// # Errors
    /// [`RecordError::Malformed`].
    pub fn parse(record: &wire::Record) -> Result<Self, RecordError> {
        Ok(Self {
            slot: u8::try_from(record.slot)
                .ok()
                .filter(|&slot| slot < RECORD_SLOTS)
                .ok_or(RecordError::Malformed)?,
            seq: record.seq,
            value: record
                .value
                .as_ref()
                .try_into()
                .map_err(|_| RecordError::Malformed)?,
            signature: record
                .signature
                .as_ref()
                .try_into()
                .map_err(|_| RecordError::Malformed)?,
        })
    }

    /// As a message.
    pub fn to_wire(&self) -> wire::Record {
        wire::Record {
            slot: u32::from(self.slot),
            seq: self.seq,
            value: Bytes::copy_from_slice(&self.value),
            signature: Bytes::copy_from_slice(&self.signature),
        }
    }

    /// Checks the signature, as the DHT does.
    ///
    /// # Errors
    /// [`RecordError::BadSignature`].
    pub fn verify(&self, key: &RecordKey) -> Result<(), RecordError> {
        let signed = item_bytes(&salt(self.slot), self.seq, &self.value);
        verify_strict(key.as_bytes(), &signed, &self.signature)
            .map_err(|_| RecordError::BadSignature)
    }

    /// Checks the signature, decrypts, and tells which node the record names.
    ///
    /// # Errors
    /// [`RecordError`]: the record is a stranger's, another epoch's, too old or from the future.
    pub fn open(
        &self,
        key: &RecordKey,
        secret: &RecordSecret,
        now: UnixMillis,
    ) -> Result<NodeLink, RecordError> {
        self.verify(key)?;
        if self.seq > now.after(MAX_AHEAD).as_secs() {
            return Err(RecordError::Ahead);
        }
        let plaintext = record_aead(secret)
            .open_prefixed(&aad(key, self.slot, self.seq), &self.value)
            .map_err(|_| RecordError::Sealed)?;
        let end = plaintext
            .iter()
            .rposition(|&byte| byte != 0)
            .filter(|&end| plaintext.get(end) == Some(&MARK))
            .ok_or(RecordError::Malformed)?;
        let content = wire::RecordContent::decode(plaintext.get(..end).unwrap_or_default())
            .map_err(|_| RecordError::Malformed)?;
        if content.expiry > self.seq.saturating_add(RECORD_LIFETIME.as_secs()) {
            return Err(RecordError::TooLong);
        }
        if content.expiry <= now.as_secs() {
            return Err(RecordError::Expired);
        }
        let hint = content.node.ok_or(RecordError::Malformed)?;
        Ok(NodeLink::from_hint(&hint)?)
    }
}

/// The salt of a slot: one byte.
pub fn salt(slot: u8) -> [u8; 1] {
    [slot]
}

/// The slot in which a node's record stands, unless two nodes fall on the same one.
pub fn own_slot(node: &NodeKey, key: &RecordKey) -> u8 {
    let hash = kdf::tagged_hash("ailurus/record-slot", &[key.as_bytes(), node.as_bytes()]);
    let [first, ..] = hash;
    first % RECORD_SLOTS
}

/// What is signed of a mutable item whose value is a byte string (BEP 44, "Signature Verification"):
/// `4:salt` and the salt unless it is empty, `3:seqi` seq `e1:v` and the value, both strings bencoded.
pub fn item_bytes(salt: &[u8], seq: u64, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(salt.len() + value.len() + 64);
    if !salt.is_empty() {
        bytes.extend_from_slice(b"4:salt");
        bytes.extend_from_slice(format!("{}:", salt.len()).as_bytes());
        bytes.extend_from_slice(salt);
    }
    bytes.extend_from_slice(format!("3:seqi{seq}e1:v{}:", value.len()).as_bytes());
    bytes.extend_from_slice(value);
    bytes
}

/// Why a record is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Signed in the future.
    #[error("the record was signed more than 15 minutes ahead of this clock: check the clock")]
    Ahead,
    /// Not signed by this epoch's key.
    #[error("the record is not signed by the channel's key of this epoch; it was ignored")]
    BadSignature,
    /// Its 48 hours are over.
    #[error("the record's time is over: look again later, or take another")]
    Expired,
    /// Not the form of a record.
    #[error("the record does not have the form of this version; it was ignored")]
    Malformed,
    /// The node in it is not usable.
    #[error("the record's super node is not usable: {0}")]
    Node(#[from] NodeLinkError),
    /// Encrypted for others.
    #[error("the record does not open with the channel's secret of this epoch; it was ignored")]
    Sealed,
    /// Good for more than 48 hours.
    #[error("the record claims to be good for more than 48 hours; it was ignored")]
    TooLong,
}

const MARK: u8 = 0x80;
const PLAINTEXT_LEN: usize = RECORD_LEN - aead::NONCE_LEN - aead::TAG_LEN;

fn record_aead(secret: &RecordSecret) -> Aead {
    Aead::new(&AeadKey::from_bytes(*secret.expose()))
}

/// A value moved to another key, slot or time does not open, even if a writer signs it there.
fn aad(key: &RecordKey, slot: u8, seq: u64) -> Vec<u8> {
    [key.as_bytes().as_slice(), &[slot], &seq.to_be_bytes()].concat()
}
