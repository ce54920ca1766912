//! A channel made for a measurement: every author's messages are sealed here, as their phones would.

use ailurus::{
    channel::{
        AccessKind, AddressKeys, Envelope, Epoch, Link, MessageId, NewChannel, Previous,
        message::{Draft, EpochCipher, Recipient, encode_content},
    },
    crypto::{DhSecret, SeededEntropy, SigningKey},
    wire::{
        content::{Content, Introduction},
        node::{Batch, Publish, Request, request::Kind},
        time::UnixMillis,
    },
};
use bytes::Bytes;

use super::Failure;

/// A channel, whose keys follow from a seed, and its authors.
pub struct TestChannel {
    keys: NewChannel,
    authors: Vec<Author>,
    entropy: SeededEntropy,
}

struct Author {
    key: SigningKey,
    dh: DhSecret,
    sequence: u64,
    previous: Previous,
}

impl TestChannel {
    /// A channel that began in `epoch`.
    pub fn new(seed: u64, epoch: Epoch, authors: usize) -> Self {
        let mut entropy = SeededEntropy::from_u64(seed);
        let keys = NewChannel::create(epoch, &mut entropy);
        let authors = (0..authors)
            .map(|_| Author {
                key: SigningKey::random(&mut entropy),
                dh: DhSecret::random(&mut entropy),
                sequence: 0,
                previous: Previous::NONE,
            })
            .collect();
        Self {
            keys,
            authors,
            entropy,
        }
    }

    /// A link with read access.
    pub fn link(&self) -> Result<Link, Failure> {
        Ok(Link {
            access: self.keys.access.narrow(AccessKind::Read)?,
            read: Some(self.keys.read.duplicate()),
            admin: None,
            name: "bench".to_owned(),
            nodes: Vec::new(),
        })
    }

    /// The keys of the channel's address in an epoch.
    pub fn address_keys(&self, epoch: Epoch) -> Result<AddressKeys, Failure> {
        Ok(self.keys.access.address_keys(epoch)?)
    }

    /// Each author's introduction, one after the other from `time` on.
    pub fn introductions(&mut self, time: UnixMillis) -> Result<Vec<Envelope>, Failure> {
        let mut sealer = Sealer::new(self, Epoch::of(time))?;
        let mut envelopes = Vec::new();
        for index in 0..self.authors.len() {
            let content = Content {
                introduction: Some(Introduction {
                    name: format!("author {index}"),
                    dh_key: Bytes::copy_from_slice(self.authors[index].dh.public().as_bytes()),
                }),
                ..Content::default()
            };
            let (envelope, _) = sealer.seal(self, index, time.offset(index as i64), content)?;
            envelopes.push(envelope);
        }
        Ok(envelopes)
    }

    /// Texts by the authors in turn, the first at `time` and each `step_ms` after the one before, all in one epoch.
    pub fn texts(
        &mut self,
        texts: &[String],
        time: UnixMillis,
        step_ms: u64,
    ) -> Result<Vec<(Envelope, MessageId)>, Failure> {
        let mut sealer = Sealer::new(self, Epoch::of(time))?;
        let mut time = time;
        let mut sealed = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let content = Content {
                text: Some(text.clone()),
                ..Content::default()
            };
            let author = index % self.authors.len();
            sealed.push(sealer.seal(self, author, time, content)?);
            time = UnixMillis::from_millis(time.as_millis() + step_ms);
        }
        Ok(sealed)
    }
}

/// The keys of one epoch.
struct Sealer {
    address: AddressKeys,
    blinded: SigningKey,
    cipher: EpochCipher,
}

impl Sealer {
    fn new(channel: &TestChannel, epoch: Epoch) -> Result<Self, Failure> {
        let access = &channel.keys.access;
        Ok(Self {
            address: access.address_keys(epoch)?,
            blinded: access
                .blinded_signing(epoch)?
                .ok_or("the channel cannot be written to")?,
            cipher: EpochCipher::new(&channel.keys.read.at(epoch)?),
        })
    }

    fn seal(
        &mut self,
        channel: &mut TestChannel,
        author: usize,
        time: UnixMillis,
        content: Content,
    ) -> Result<(Envelope, MessageId), Failure> {
        if Epoch::of(time) != self.address.epoch {
            return Err("the messages do not fit into their epoch".into());
        }
        let author = &mut channel.authors[author];
        let sequence = author.sequence + 1;
        let introduce = content.introduction.is_some();
        let draft = Draft {
            channel: channel.keys.access.channel_id(),
            address: self.address.address,
            time,
            author: &author.key,
            sequence,
            previous: author.previous,
            content: &encode_content(content, &author.key.public(), sequence, introduce),
        };
        let (envelope, id) = draft.seal(
            &Recipient::Readers(&self.cipher),
            &self.blinded,
            &mut channel.entropy,
        )?;
        author.sequence = sequence;
        author.previous = Previous::of(&id);
        Ok((envelope, id))
    }
}

/// A request that publishes envelopes of one address.
pub fn publish(keys: &AddressKeys, envelopes: &[Envelope]) -> Request {
    let mut publish = Publish {
        blinded_key: Bytes::copy_from_slice(keys.blinded.as_bytes()),
        access_key: Bytes::copy_from_slice(keys.access.public().as_bytes()),
        ..Publish::default()
    };
    let mut before = envelopes
        .first()
        .map_or_else(UnixMillis::default, |first| first.header().time);
    publish.base_time_ms = before.as_millis();
    for envelope in envelopes {
        publish.items.push(envelope.to_item(before));
        before = envelope.header().time;
    }
    Request {
        kind: Some(Kind::Publish(publish)),
    }
}

/// The same envelopes as a node sends them.
pub fn batch(keys: &AddressKeys, envelopes: &[Envelope]) -> Batch {
    let mut before = envelopes
        .first()
        .map_or_else(UnixMillis::default, |first| first.header().time);
    Batch {
        address: Bytes::copy_from_slice(keys.address.as_bytes()),
        base_time_ms: before.as_millis(),
        items: envelopes
            .iter()
            .map(|envelope| {
                let item = envelope.to_item(before);
                before = envelope.header().time;
                item
            })
            .collect(),
    }
}
