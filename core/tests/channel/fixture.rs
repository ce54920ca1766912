//! Channels and authors that the tests share.

use ailurus::{
    channel::{
        Access, AccessKind, Envelope, Epoch, Link, LinkError, MessageId, NewChannel, NodeLink,
        Previous, ReadChain,
        message::{Draft, EpochCipher, OpenError, Opened, Recipient, encode_content},
    },
    crypto::{NodeKey, PublicKey, SeededEntropy, SigningKey, kdf, verify_each},
    wire::{
        content::{self, Content},
        time::UnixMillis,
    },
};
use prost::Message as _;

pub const EPOCH: Epoch = Epoch::new(2967);

/// Seed 003's published example, and the comment in the Android app of 2016.
pub const REDPANDA: [&str; 2] = [
    "pr7768EZp1Y8PwQhozCfacTNjL4iRxgJqcm8NDVuyvhfYJDwkzJFTtCZ6",
    "prAZqUNKAu9D4Xtrpiv7yLHL3Pc4gUV6bQ86t86sgrJQ3SkDLn6E1ffez",
];

/// A moment in `epoch`.
pub fn time_in(epoch: Epoch) -> UnixMillis {
    UnixMillis::from_millis(epoch.start().as_millis() + 12_345)
}

pub fn channel(seed: u64) -> NewChannel {
    NewChannel::create(EPOCH, &mut SeededEntropy::from_u64(seed))
}

pub fn author(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32]).unwrap()
}

pub fn text(text: &str) -> Content {
    Content {
        text: Some(text.to_owned()),
        ..Content::default()
    }
}

pub fn node(host: &str) -> NodeLink {
    NodeLink::new(NodeKey::from_bytes([0xfe; 32]), host, 65_535).unwrap()
}

pub fn link(access: &Access, read: Option<ReadChain>) -> Link {
    Link {
        access: access.duplicate(),
        read,
        admin: None,
        name: "Pandas".to_owned(),
        nodes: vec![node("node.example")],
    }
}

/// Prefix, payload and checksum, also where the payload is nonsense.
pub fn encode_text(prefix: &str, payload: &[u8]) -> String {
    let sum = kdf::sha256(&[&kdf::sha256(&[prefix.as_bytes(), payload])]);
    format!(
        "{prefix}{}",
        bs58::encode([payload, &sum[..8]].concat()).into_string()
    )
}

/// The payload of a good link.
pub fn payload(text: &str) -> Vec<u8> {
    let mut bytes = bs58::decode(&text[2..]).into_vec().unwrap();
    bytes.truncate(bytes.len() - 8);
    bytes
}

/// Seals encoded content as the `sequence`-th message of `author`.
pub fn seal(
    access: &Access,
    read: &ReadChain,
    author: &SigningKey,
    epoch: Epoch,
    sequence: u64,
    content: &[u8],
) -> (Envelope, MessageId) {
    let cipher = EpochCipher::new(&read.at(epoch).unwrap());
    let draft = Draft {
        channel: access.channel_id(),
        address: access.address_keys(epoch).unwrap().address,
        time: time_in(epoch),
        author,
        sequence,
        previous: Previous::NONE,
        content,
    };
    let blinded = access.blinded_signing(epoch).unwrap().expect("may write");
    draft
        .seal(
            &Recipient::Readers(&cipher),
            &blinded,
            &mut SeededEntropy::from_u64(sequence),
        )
        .unwrap()
}

/// The same for a text, without the author's key unless that is free.
pub fn say(
    new: &NewChannel,
    author: &SigningKey,
    epoch: Epoch,
    words: &str,
) -> (Envelope, MessageId) {
    let content = encode_content(text(words), &author.public(), 1, false);
    seal(&new.access, &new.read, author, epoch, 1, &content)
}

/// Opens with whatever `read` gives for the envelope's epoch.
pub fn open(access: &Access, read: &ReadChain, envelope: &Envelope) -> Result<Opened, OpenError> {
    let epoch = Epoch::of(envelope.header().time);
    let cipher = EpochCipher::new(&read.at(epoch).expect("a secret for the epoch"));
    Opened::open(envelope, &cipher, access.sealing().expect("may read"))
}

/// Whether the author's signature holds for `author` in the channel of `access`.
pub fn is_by(opened: &Opened, access: &Access, author: &PublicKey) -> bool {
    verify_each(&[opened.batch_item(&access.channel_id(), *author)]) == [true]
}

pub fn parse(text: &str) -> Result<Link, LinkError> {
    text.parse()
}

pub fn refusal(text: &str) -> Option<LinkError> {
    parse(text).err()
}

pub fn parse_payload(prefix: &str, payload: &content::Link) -> Result<Link, LinkError> {
    parse(&encode_text(prefix, &payload.encode_to_vec()))
}

pub fn decoded(text: &str) -> content::Link {
    content::Link::decode(payload(text).as_slice()).unwrap()
}

pub fn kinds() -> [(AccessKind, &'static str); 3] {
    [
        (AccessKind::Full, "af"),
        (AccessKind::Read, "ar"),
        (AccessKind::Write, "aw"),
    ]
}

pub fn same_channel(one: &Access, two: &Access) {
    assert_eq!(one.channel_id(), two.channel_id());
    assert_eq!(one.write_public(), two.write_public());
    assert_eq!(one.admin(), two.admin());
    assert_eq!(one.dht(), two.dht());
    assert_eq!(one.sealing_public(), two.sealing_public());
    let address = |access: &Access| access.address_keys(EPOCH).unwrap().address;
    assert_eq!(address(one), address(two));
}

pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}
