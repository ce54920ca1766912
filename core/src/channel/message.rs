//! Sealing and opening: an author's signed content inside an envelope (docs/PROTOCOL.md, section 4.2).

use std::sync::LazyLock;

use prost::Message as _;
use zeroize::Zeroizing;

use crate::crypto::{
    Aead, AeadKey, DhPublic, DhSecret, Entropy, PublicKey, Signature, SigningKey,
    batch::BatchItem,
    hpke,
    kdf::{self, TaggedHasher},
    newtype::id_newtype,
};
use crate::wire::{
    content::Content,
    limits::{MAX_NAME, MAX_TEXT},
    time::UnixMillis,
};

use super::{
    access::ChannelId,
    address::Address,
    envelope::{Envelope, EnvelopeError, Header, Kind},
    epoch::ReadSecret,
    padding,
};

id_newtype! {
    /// Names a message for phones: the hash of what its author signed.
    pub struct MessageId[32];
}

id_newtype! {
    /// The first bytes of an author key's hash in one channel; messages carry it in place of the key.
    pub struct AuthorHint[8];
}

impl AuthorHint {
    /// The hint of an author key in a channel.
    pub fn of(channel: &ChannelId, author: &PublicKey) -> Self {
        let hash = kdf::tagged_hash(
            "ailurus/author-hint",
            &[channel.as_bytes(), author.as_bytes()],
        );
        let mut hint = [0; 8];
        hint.copy_from_slice(&hash[..8]);
        Self::from_bytes(hint)
    }
}

id_newtype! {
    /// The first 8 bytes of an author's previous [`MessageId`]; zeros before the first.
    pub struct Previous[8];
}

impl Previous {
    /// Before an author's first message.
    pub const NONE: Self = Self::from_bytes([0; 8]);

    /// After `message`.
    pub fn of(message: &MessageId) -> Self {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&message.as_bytes()[..8]);
        Self::from_bytes(bytes)
    }
}

/// Encrypts and decrypts the bodies of one channel in one epoch.
pub struct EpochCipher(Aead);

impl EpochCipher {
    /// The cipher of the epoch whose secret this is.
    pub fn new(secret: &ReadSecret) -> Self {
        let key = kdf::derive(secret.expose(), "ailurus/envelope-key", &[]);
        Self(Aead::new(&AeadKey::from_bytes(*key)))
    }
}

/// What an author says next.
pub struct Draft<'a> {
    /// The channel.
    pub channel: ChannelId,
    /// Where and when: the address must be the one of the epoch that `time` falls in.
    pub address: Address,
    /// The node's time.
    pub time: UnixMillis,
    /// The author's key in this channel.
    pub author: &'a SigningKey,
    /// One higher than the author's message before.
    pub sequence: u64,
    /// The author's message before.
    pub previous: Previous,
    /// Encoded content, see [`encode_content`].
    pub content: &'a [u8],
}

/// To whom the body is encrypted.
pub enum Recipient<'a> {
    /// Everyone who has the epoch's read secret.
    Readers(&'a EpochCipher),
    /// The holders of the channel's sealing key: all that a write-only member can do.
    SealingKey(&'a DhPublic),
}

impl Draft<'_> {
    /// Signs as author, encrypts, and signs with the blinded write key.
    pub fn seal(
        &self,
        recipient: &Recipient<'_>,
        blinded: &SigningKey,
        entropy: &mut dyn Entropy,
    ) -> Result<(Envelope, MessageId), EnvelopeError> {
        let author = self.author.public();
        let mut plaintext = Zeroizing::new(Vec::with_capacity(
            padding::padded_len(prefix_len(self.sequence) + self.content.len()) + TAG,
        ));
        plaintext.extend_from_slice(AuthorHint::of(&self.channel, &author).as_bytes());
        prost::encoding::encode_varint(self.sequence, &mut *plaintext);
        plaintext.extend_from_slice(self.previous.as_bytes());

        let (kind, overhead) = match recipient {
            Recipient::Readers(_) => (Kind::Message, NONCE + TAG),
            Recipient::SealingKey(_) => (Kind::Sealed, ENCAPSULATED + TAG),
        };
        let length = padding::padded_len(plaintext.len() + SIGNATURE + self.content.len());
        let size = length + overhead;
        let header = Header {
            address: self.address,
            time: self.time,
            kind,
            size: u32::try_from(size).map_err(|_| EnvelopeError::TooLarge(size))?,
        };
        let statement = Statement {
            channel: &self.channel,
            header: &header,
            author: &author,
            sequence: self.sequence,
            previous: &self.previous,
            content: self.content,
        };
        let id = statement.id();
        plaintext.extend_from_slice(self.author.sign(id.as_bytes(), entropy).as_bytes());
        plaintext.extend_from_slice(self.content);
        padding::pad(&mut plaintext);

        let aad = header.to_bytes();
        let body = match recipient {
            Recipient::Readers(cipher) => cipher.0.seal_random(entropy, &aad, &plaintext),
            Recipient::SealingKey(key) => {
                hpke::seal_to(key, SEALED_INFO, &aad, &plaintext, entropy)
                    .map_err(|_| EnvelopeError::UnusableKey)?
            }
        };
        let envelope = Envelope::sign(self.address, self.time, kind, &body, blinded, entropy)?;
        Ok((envelope, id))
    }
}

/// A decrypted body, not yet attributed: the author's signature is still to be checked.
pub struct Opened {
    /// Which author it claims to be by.
    pub hint: AuthorHint,
    /// The author's count of messages.
    pub sequence: u64,
    /// The author's message before.
    pub previous: Previous,
    /// What was said.
    pub content: Content,
    /// True if a write-only member sealed it.
    pub sealed: bool,
    header: Header,
    signature: Signature,
    encoded: Zeroizing<Vec<u8>>,
    prefix: usize,
}

impl Opened {
    /// Decrypts a body under the epoch's read secret, or the sealing key for what write-only members sealed.
    pub fn open(
        envelope: &Envelope,
        cipher: &EpochCipher,
        sealing: &DhSecret,
    ) -> Result<Self, OpenError> {
        let header = *envelope.header();
        let aad = header.to_bytes();
        let mut padded = Zeroizing::new(match header.kind {
            Kind::Message => cipher
                .0
                .open_prefixed(&aad, envelope.body())
                .map_err(|_| OpenError::Decrypt)?,
            Kind::Sealed => hpke::open_from(sealing, SEALED_INFO, &aad, envelope.body())
                .map_err(|_| OpenError::Decrypt)?,
        });
        let length = padding::unpad(&padded).ok_or(OpenError::Malformed)?.len();
        padded.truncate(length);

        let mut rest = padded.as_slice();
        let hint = AuthorHint::from_bytes(take(&mut rest)?);
        let sequence =
            prost::encoding::decode_varint(&mut rest).map_err(|_| OpenError::Malformed)?;
        let previous = Previous::from_bytes(take(&mut rest)?);
        let signature = Signature::from_bytes(take(&mut rest)?);
        let prefix = length - rest.len();
        if prefix != prefix_len(sequence) {
            return Err(OpenError::Malformed);
        }
        let content = Content::decode(rest).map_err(|_| OpenError::Malformed)?;
        let within = |text: &str, limit| text.len() <= limit;
        if !content
            .text
            .as_deref()
            .is_none_or(|text| within(text, MAX_TEXT))
            || !content
                .introduction
                .as_ref()
                .is_none_or(|introduction| within(&introduction.name, MAX_NAME))
        {
            return Err(OpenError::Malformed);
        }
        Ok(Self {
            hint,
            sequence,
            previous,
            content,
            sealed: header.kind == Kind::Sealed,
            header,
            signature,
            encoded: padded,
            prefix,
        })
    }

    /// The author key that this message itself brings, if it matches the hint.
    pub fn own_key(&self, channel: &ChannelId) -> Option<PublicKey> {
        let bytes = <[u8; 32]>::try_from(self.content.author_key.as_ref()).ok()?;
        let key = PublicKey::from_bytes(&bytes).ok()?;
        (AuthorHint::of(channel, &key) == self.hint).then_some(key)
    }

    /// The author's signature as an item for [`crate::crypto::batch::verify_each`]; its message is the message id.
    pub fn batch_item(&self, channel: &ChannelId, author: PublicKey) -> BatchItem {
        let id = Statement {
            channel,
            header: &self.header,
            author: &author,
            sequence: self.sequence,
            previous: &self.previous,
            content: self.encoded.get(self.prefix..).unwrap_or_default(),
        }
        .id();
        BatchItem {
            key: author,
            message: *id.as_bytes(),
            signature: self.signature,
        }
    }
}

/// Encodes content, adding the author's key where that costs no padding, or where `introduce` says it must.
pub fn encode_content(
    mut content: Content,
    author: &PublicKey,
    sequence: u64,
    introduce: bool,
) -> Zeroizing<Vec<u8>> {
    let bare = prefix_len(sequence) + content.encoded_len();
    content.author_key = bytes::Bytes::copy_from_slice(author.as_bytes());
    let keyed = prefix_len(sequence) + content.encoded_len();
    if !introduce && padding::padded_len(keyed) > padding::padded_len(bare) {
        content.author_key.clear();
    }
    Zeroizing::new(content.encode_to_vec())
}

/// Why a body could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Wrong key, or changed on the way.
    #[error("the message was not encrypted for this channel and epoch, or was changed on the way")]
    Decrypt,
    /// It decrypts, but is not what an author writes.
    #[error("the message does not have the form of this version; it was dropped")]
    Malformed,
}

/// What an author signs.
struct Statement<'a> {
    channel: &'a ChannelId,
    header: &'a Header,
    author: &'a PublicKey,
    sequence: u64,
    previous: &'a Previous,
    content: &'a [u8],
}

impl Statement<'_> {
    fn id(&self) -> MessageId {
        MessageId::from_bytes(AUTHOR.hash(&[
            self.channel.as_bytes(),
            &self.header.to_bytes(),
            self.author.as_bytes(),
            &self.sequence.to_be_bytes(),
            self.previous.as_bytes(),
            self.content,
        ]))
    }
}

const NONCE: usize = 12;
const TAG: usize = 16;
const ENCAPSULATED: usize = 32;
const SIGNATURE: usize = 64;
const SEALED_INFO: &[u8] = b"ailurus/sealed";

static AUTHOR: LazyLock<TaggedHasher> = LazyLock::new(|| TaggedHasher::new("ailurus/author"));

/// Length of everything before the content: hint, sequence number, previous message, signature.
fn prefix_len(sequence: u64) -> usize {
    8 + prost::encoding::encoded_len_varint(sequence) + 8 + SIGNATURE
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], OpenError> {
    let (head, tail) = rest.split_first_chunk().ok_or(OpenError::Malformed)?;
    *rest = tail;
    Ok(*head)
}
