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
    limits::{MAX_AHEAD, RECORD_LEN, RECORD_LIFETIME, RECORD_SLOTS, SLOTS_PER_NODE},
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

    /// A record that says where `node` is, for the next 48 hours and a slot below [`RECORD_SLOTS`] that the node names:
    /// one of its [`own_slots`].
    pub fn sign(
        &self,
        secret: &RecordSecret,
        node: &NodeLink,
        slot: u8,
        now: UnixMillis,
        entropy: &mut dyn Entropy,
    ) -> SignedRecord {
        let seq = now.as_secs();
        let content = wire::RecordContent {
            node: Some(node.to_hint()),
            expiry: seq.saturating_add(RECORD_LIFETIME.as_secs()),
        };
        self.seal(secret, slot, seq, &content, entropy)
    }

    fn seal(
        &self,
        secret: &RecordSecret,
        slot: u8,
        seq: u64,
        content: &wire::RecordContent,
        entropy: &mut dyn Entropy,
    ) -> SignedRecord {
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

/// The slots in which a node's record may stand, the one that it prefers first. With three to choose from, the five nodes
/// of a channel nearly always find a place each, in whatever order they come (cuckoo hashing).
pub fn own_slots(node: &NodeKey, key: &RecordKey) -> [u8; SLOTS_PER_NODE] {
    let hash = kdf::tagged_hash("ailurus/record-slot", &[key.as_bytes(), node.as_bytes()]);
    let mut rest: Vec<u8> = (0..RECORD_SLOTS).collect();
    let mut numbers = hash.into_iter();
    std::array::from_fn(|_| {
        let number = numbers.next().map_or(0, usize::from);
        rest.remove(number % rest.len())
    })
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

#[cfg(test)]
mod tests {
    use curve25519_dalek::Scalar;

    use super::*;
    use crate::channel::NewChannel;
    use crate::crypto::SeededEntropy;

    /// BEP 44, "Test Vectors": one key, without and with a salt.
    #[test]
    fn signs_as_bep_44_does() {
        let private: [u8; 64] = array(
            "e06d3183d14159228433ed599221b80bd0a5ce8352e4bdf0262f76786ef1c74d\
             b7e7a9fea2c0eb269d61e3b38e450a22e754941ac78479d6c54e1faf6037881d",
        );
        let (scalar, prefix) = private.split_first_chunk::<32>().unwrap();
        let scalar = Scalar::from_bytes_mod_order(*scalar);
        let signer = BlindedSigner::of_parts(scalar, prefix.try_into().unwrap()).unwrap();
        let public = array("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548");
        assert_eq!(signer.public(), public);
        for (salt, buffer, signature) in [
            (
                b"".as_slice(),
                b"3:seqi1e1:v12:Hello World!".as_slice(),
                "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff\
                 1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01",
            ),
            (
                b"foobar",
                b"4:salt6:foobar3:seqi1e1:v12:Hello World!",
                "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d\
                 df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08",
            ),
        ] {
            let signed = item_bytes(salt, 1, b"Hello World!");
            assert_eq!(signed, buffer);
            assert_eq!(signer.sign(&signed), array(signature));
            assert_eq!(verify_strict(&public, &signed, &array(signature)), Ok(()));
        }
    }

    #[test]
    fn a_writer_cannot_sign_for_longer_than_48_hours() {
        let mut entropy = SeededEntropy::from_u64(1);
        let epoch = Epoch::new(2_967);
        let access = NewChannel::create(epoch, &mut entropy).access;
        let signer = access.record_signer(epoch).unwrap().unwrap();
        let secret = access.record_secret(epoch);
        let node = NodeLink::new(NodeKey::from_bytes([7; 32]), "node.example", 4_433).unwrap();
        let seq = epoch.start().as_secs();
        for (longer, opened) in [(0, Ok(node.clone())), (1, Err(RecordError::TooLong))] {
            let content = wire::RecordContent {
                node: Some(node.to_hint()),
                expiry: seq + RECORD_LIFETIME.as_secs() + longer,
            };
            let record = signer.seal(&secret, 3, seq, &content, &mut entropy);
            let found = record.open(signer.key(), &secret, epoch.start());
            assert_eq!(found, opened);
        }
    }

    fn array<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }
}
