//! Padding, messages of both kinds, and the admin's notices.

use ailurus::{
    channel::{
        AccessKind, AuthorHint, Envelope, Link, MessageId, Previous, ReadChain, ReadSecret,
        access::Root,
        message::{Draft, EpochCipher, Recipient, encode_content},
        padding as pad,
        rotation::{Remaining, Rotation, appoint},
    },
    crypto::{PublicKey, SeededEntropy, entropy, kdf},
    wire::{
        content::{Content, Introduction},
        time::UnixMillis,
    },
};
use prost::Message as _;
use serde_json::{Value, json};

use super::{document, fixed, hex, vector};

pub fn padding() -> Value {
    let lengths = [
        0, 1, 190, 191, 192, 207, 208, 284, 287, 288, 511, 512, 1_023, 1_024, 16_384, 65_000,
    ];
    let mut vectors: Vec<_> = lengths
        .iter()
        .map(|&length| {
            vector(
                "length before and after",
                json!({ "length": length }),
                json!({ "padded": pad::padded_len(length) }),
            )
        })
        .collect();
    let mut padded = b"hello".to_vec();
    pad::pad(&mut padded);
    vectors.push(vector(
        "a plaintext before and after",
        json!({ "plaintext": hex(b"hello") }),
        json!({ "padded_plaintext": hex(padded) }),
    ));
    document("Padding of plaintexts (PROTOCOL.md section 4.2).", vectors)
}

pub fn message() -> Value {
    let first = Content {
        text: Some("Hello, pandas".to_owned()),
        introduction: Some(Introduction {
            name: "Alice".to_owned(),
            dh_key: fixed::author_dh().public().as_bytes().to_vec().into(),
        }),
        ..Content::default()
    };
    let second = Content {
        text: Some("x".repeat(200)),
        ..Content::default()
    };
    let (one, id) = sealed_by(
        "the author's first message, with key and introduction",
        &first,
        1,
        Previous::NONE,
        true,
        21,
    );
    let (two, _) = sealed_by(
        "200 bytes of text: the key is left out, 288 bytes padded",
        &second,
        2,
        Previous::of(&id),
        false,
        22,
    );
    document(
        "Messages (PROTOCOL.md section 4): what the author signs, the padded plaintext, the encrypted body, the signed \
         envelope and its item in a batch whose time before it was item_before_ms.",
        vec![one, two],
    )
}

pub fn sealed() -> Value {
    let access = fixed::access();
    let sealing = kdf::derive::<32>(
        &*kdf::derive::<32>(&fixed::ROOT, "ailurus/reader-root", &[]),
        "ailurus/sealing-key",
        &[],
    );
    let content = Content {
        text: Some("From a member who cannot read".to_owned()),
        ..Content::default()
    };
    let author = fixed::author();
    let encoded = encode_content(content, &author.public(), 1, true);
    let keys = access.address_keys(fixed::EPOCH).expect("finite");
    let draft = draft(&encoded, 1, Previous::NONE, &author);
    let recipient = Recipient::SealingKey(access.sealing_public());
    let blinded = access
        .blinded_signing(fixed::EPOCH)
        .expect("finite")
        .expect("writes");
    let (envelope, id) = draft
        .seal(&recipient, &blinded, &mut SeededEntropy::from_u64(23))
        .expect("short");
    document(
        "A message by a write-only member: HPKE base mode (RFC 9180) instead of AES-GCM (PROTOCOL.md section 4.3). The \
         encapsulated key is the first 32 bytes of the body.",
        vec![vector(
            "kind 1",
            json!({
                "sealing_private": hex(*sealing),
                "blinded_public": keys.blinded.to_string(),
                "channel_id": access.channel_id().to_string(),
                "author_public": author.public().to_string(),
                "hpke_info": hex(b"ailurus/sealed"),
                "sequence": 1,
                "previous": hex(Previous::NONE.as_bytes()),
                "content": hex(&encoded),
            }),
            outer(&envelope, &id),
        )],
    )
}

pub fn rotation() -> Value {
    let channel = fixed::access().channel_id();
    let admin = fixed::admin();
    let author = fixed::author();
    let hint = AuthorHint::of(&channel, &author.public());
    let link = Link {
        access: ailurus::channel::Access::from_root(Root::from_bytes([0x99; 32]), admin.public()),
        read: Some(ReadChain::new(
            fixed::EPOCH,
            ReadSecret::from_bytes([0x9a; 32]),
        )),
        admin: None,
        name: "Pandas".to_owned(),
        nodes: vec![fixed::node_link()],
    };
    let remaining = [Remaining {
        hint,
        dh: fixed::author_dh().public(),
        link: &link,
    }];
    let notice = Rotation::sign(
        &channel,
        1,
        fixed::TIME,
        &remaining,
        &admin,
        &mut SeededEntropy::from_u64(24),
    )
    .expect("one member");
    let rotation = Rotation::parse(&notice).expect("own notice");
    let appointment = appoint(
        &channel,
        &author.public(),
        &admin,
        &mut SeededEntropy::from_u64(25),
    );
    document(
        "Rotation and appointment (PROTOCOL.md section 6).",
        vec![
            vector(
                "a rotation that carries one author along",
                json!({
                    "channel_id": channel.to_string(),
                    "number": 1,
                    "time_ms": fixed::TIME.as_millis(),
                    "author_hint": hint.to_string(),
                    "author_dh_private": hex(fixed::author_dh().expose()),
                    "hpke_info": hex(b"ailurus/rotation"),
                    "new_link": link.to_text().expect("short").as_str(),
                }),
                json!({
                    "statement": hex(&notice.statement),
                    "hash": hex(rotation.hash),
                    "admin_public": admin.public().to_string(),
                    "signature": hex(&notice.signature),
                    "content": hex(Content { rotation: Some(notice), ..Content::default() }.encode_to_vec()),
                }),
            ),
            vector(
                "the author becomes an admin",
                json!({ "channel_id": channel.to_string(), "author_public": author.public().to_string() }),
                json!({
                    "statement": hex(&appointment.statement),
                    "hash": hex(kdf::tagged_hash("ailurus/appointment", &[&appointment.statement])),
                    "admin_public": admin.public().to_string(),
                    "signature": hex(&appointment.signature),
                }),
            ),
        ],
    )
}

fn sealed_by(
    comment: &str,
    content: &Content,
    sequence: u64,
    previous: Previous,
    introduce: bool,
    seed: u64,
) -> (Value, MessageId) {
    let access = fixed::access().narrow(AccessKind::Full).expect("full");
    let author = fixed::author();
    let encoded = encode_content(content.clone(), &author.public(), sequence, introduce);
    let keys = access.address_keys(fixed::EPOCH).expect("finite");
    let blinded = access
        .blinded_signing(fixed::EPOCH)
        .expect("finite")
        .expect("writes");
    let cipher = EpochCipher::new(&fixed::read_secret());
    let (envelope, id) = draft(&encoded, sequence, previous, &author)
        .seal(
            &Recipient::Readers(&cipher),
            &blinded,
            &mut SeededEntropy::from_u64(seed),
        )
        .expect("short");
    // The order in which a seal draws: author's auxiliary randomness, nonce, envelope's auxiliary randomness.
    let mut drawn = SeededEntropy::from_u64(seed);
    let author_aux: [u8; 32] = entropy::array(&mut drawn);
    let nonce: [u8; 12] = entropy::array(&mut drawn);
    let envelope_aux: [u8; 32] = entropy::array(&mut drawn);
    let input = json!({
        "epoch": fixed::EPOCH.number(),
        "read_secret": hex(fixed::READ_SECRET),
        "blinded_private": hex(blinded.expose()),
        "blinded_public": keys.blinded.to_string(),
        "access_public": keys.access.public().to_string(),
        "address": keys.address.to_string(),
        "time_ms": fixed::TIME.as_millis(),
        "channel_id": access.channel_id().to_string(),
        "author_private": hex(author.expose()),
        "author_public": author.public().to_string(),
        "sequence": sequence,
        "previous": hex(previous.as_bytes()),
        "content": hex(&encoded),
        "author_aux": hex(author_aux),
        "nonce": hex(nonce),
        "envelope_aux": hex(envelope_aux),
    });
    let mut output = outer(&envelope, &id);
    let hint = AuthorHint::of(&access.channel_id(), &author.public());
    output["author_hint"] = json!(hint.to_string());
    output["statement"] = json!(hex(statement(
        &envelope,
        &author.public(),
        sequence,
        &previous,
        &encoded
    )));
    output["padded_plaintext"] = json!(hex(plaintext(&envelope)));
    (vector(comment, input, output), id)
}

fn draft<'a>(
    content: &'a [u8],
    sequence: u64,
    previous: Previous,
    author: &'a ailurus::crypto::SigningKey,
) -> Draft<'a> {
    let access = fixed::access();
    Draft {
        channel: access.channel_id(),
        address: access.address_keys(fixed::EPOCH).expect("finite").address,
        time: fixed::TIME,
        author,
        sequence,
        previous,
        content,
    }
}

fn outer(envelope: &Envelope, id: &MessageId) -> Value {
    let before = UnixMillis::from_millis(fixed::TIME.as_millis() - 1_000);
    json!({
        "header": hex(envelope.header().to_bytes()),
        "body": hex(envelope.body()),
        "sealed": hex(envelope.sealed()),
        "envelope_id": envelope.id().to_string(),
        "message_id": id.to_string(),
        "item_before_ms": before.as_millis(),
        "item": hex(envelope.to_item(before).encode_to_vec()),
    })
}

/// What the author signs, put together by the specification.
fn statement(
    envelope: &Envelope,
    author: &PublicKey,
    sequence: u64,
    previous: &Previous,
    content: &[u8],
) -> Vec<u8> {
    [
        fixed::access().channel_id().as_bytes(),
        envelope.header().to_bytes().as_slice(),
        author.as_bytes(),
        &sequence.to_be_bytes(),
        previous.as_bytes(),
        content,
    ]
    .concat()
}

/// The padded plaintext, decrypted by the specification.
fn plaintext(envelope: &Envelope) -> Vec<u8> {
    let key = kdf::derive(&fixed::READ_SECRET, "ailurus/envelope-key", &[]);
    ailurus::crypto::Aead::new(&ailurus::crypto::AeadKey::from_bytes(*key))
        .open_prefixed(&envelope.header().to_bytes(), envelope.body())
        .expect("sealed under this key")
}
