//! What stands inside the encryption: an author that holds the channel's keys can put anything there.

use bytes::Bytes;
use prost::Message as _;

use ailurus::channel::{
    Address, AuthorHint, ChannelId, Envelope, Epoch, Header, Kind, Link, NewChannel, Previous,
    PushChallenge, PushMessage, ReadSecret,
    message::{Draft, EpochCipher, Opened, Recipient},
    padding,
    rotation::{Remaining, Rotation, appoint, parse_appointment},
};
use ailurus::crypto::{
    Aead, AeadKey, DhSecret, Entropy as _, NodeKey, SeededEntropy, SigningKey, derive, seal_to,
    tagged_hash,
};
use ailurus::wire::content::{
    Appointment, Content, Introduction, IntroductionGrant, IntroductionRequest, ListedNode,
    NodeList, Rotated, RotationNotice, RotationSlot, RotationStatement,
};

use super::{ADDRESS, NOW, Target};

/// Any bytes as the content of a message.
pub(super) fn content() -> Target {
    Target {
        body: Box::new(|data| {
            let Ok(content) = Content::decode(data) else {
                return;
            };
            assert_eq!(
                Content::decode(content.encode_to_vec().as_slice()).as_ref(),
                Ok(&content)
            );
            if let Some(notice) = &content.rotation {
                let _ = Rotation::parse(notice);
            }
            if let Some(appointment) = &content.appointment {
                let _ = parse_appointment(&CHANNEL, appointment);
            }
        }),
        seeds: example_contents()
            .iter()
            .map(|content| content.encode_to_vec())
            .collect(),
    }
}

/// Any bytes that a push brings.
pub(super) fn push() -> Target {
    let challenge = PushMessage::Challenge {
        node: NodeKey::from_bytes([7; 32]),
        challenge: PushChallenge::from_bytes([9; 16]),
    };
    Target {
        body: Box::new(|data| {
            let message = PushMessage::parse(data);
            if matches!(message, PushMessage::Challenge { .. }) {
                assert_eq!(message.to_bytes(), data);
            }
        }),
        seeds: [PushMessage::Wakeup, challenge]
            .map(|message| message.to_bytes().to_vec())
            .into(),
    }
}

/// Any plaintext, encrypted as a member would, or any bytes in place of the ciphertext. The first byte chooses.
pub(super) fn envelope_open() -> Target {
    let secret = ReadSecret::from_bytes([1; 32]);
    let sealing = DhSecret::from_bytes([2; 32]);
    let cipher = EpochCipher::new(&secret);
    let key = derive::<32>(secret.expose(), "ailurus/envelope-key", &[]);
    let aead = Aead::new(&AeadKey::from_bytes(*key));
    let author = SigningKey::from_bytes(&[5; 32]).expect("a valid key");

    let seeds = example_contents()
        .iter()
        .map(|content| example_plaintext(content, &author, &cipher, &sealing, &aead))
        .flat_map(|plaintext| {
            let padded = [&[PADDED][..], &plaintext].concat();
            let sealed = [&[SEALED][..], &plaintext].concat();
            [padded, sealed]
        })
        .collect();
    let public = author.public();
    let body = move |data: &[u8]| {
        let Some((choice, text)) = data.split_first() else {
            return;
        };
        let mut plaintext = text.to_vec();
        if choice % 4 == PADDED || choice % 4 == SEALED {
            padding::pad(&mut plaintext);
        }
        let (kind, overhead) = match choice % 4 {
            0 => (Kind::Message, 0),
            SEALED => (Kind::Sealed, 48),
            _ => (Kind::Message, 28),
        };
        let header = Header {
            address: ADDRESS,
            time: NOW,
            kind,
            size: u32::try_from(plaintext.len() + overhead).unwrap_or(u32::MAX),
        };
        let aad = header.to_bytes();
        let mut entropy = SeededEntropy::from_u64(3);
        let encrypted = match choice % 4 {
            0 => plaintext,
            SEALED => seal_to(
                &sealing.public(),
                b"ailurus/sealed",
                &aad,
                &plaintext,
                &mut entropy,
            )
            .expect("a valid key"),
            _ => aead.seal_random(&mut entropy, &aad, &plaintext),
        };
        let sealed = Bytes::from([&[0; 64][..], &encrypted].concat());
        let Ok(envelope) = Envelope::parse(ADDRESS, NOW, kind, sealed) else {
            return;
        };
        let Ok(opened) = Opened::open(&envelope, &cipher, &sealing) else {
            return;
        };
        let author = opened.own_key(&CHANNEL).unwrap_or(public);
        let item = opened.batch_item(&CHANNEL, author);
        assert!(item.key.verify(&item.message, &item.signature).is_err() || author == public);
    };
    Target {
        body: Box::new(body),
        seeds,
    }
}

/// Any statement, signed by the admin, and any access, sealed to a member. The first byte chooses.
pub(super) fn rotation() -> Target {
    let admin = SigningKey::from_bytes(&[6; 32]).expect("a valid key");
    let member = DhSecret::from_bytes([4; 32]);
    let hint = AuthorHint::from_bytes([8; 8]);

    let mut entropy = SeededEntropy::from_u64(2);
    let link = example_link();
    let remaining = [Remaining {
        hint,
        dh: member.public(),
        link: &link,
    }];
    let notice = Rotation::sign(&CHANNEL, 1, NOW, &remaining, &admin, &mut entropy)
        .expect("a valid rotation");
    let parsed = Rotation::parse(&notice).expect("our own notice parses");
    assert!(parsed.open(&hint, &member).is_ok_and(|link| link.is_some()));
    let appointment = appoint(&CHANNEL, &admin.public(), &admin, &mut entropy);
    let seeds = vec![
        [&[0][..], &notice.statement].concat(),
        [&[1][..], &example_rotated()].concat(),
        [&[2][..], &appointment.statement].concat(),
    ];

    let body = move |data: &[u8]| {
        let Some((choice, bytes)) = data.split_first() else {
            return;
        };
        let mut entropy = SeededEntropy::from_u64(3);
        let signed = |label, statement: &[u8], entropy: &mut SeededEntropy| {
            let hash = tagged_hash(label, &[statement]);
            Bytes::copy_from_slice(admin.sign(&hash, entropy).as_bytes())
        };
        let admin_key = Bytes::copy_from_slice(admin.public().as_bytes());
        if choice % 3 == 2 {
            let appointment = Appointment {
                statement: Bytes::copy_from_slice(bytes),
                admin_key,
                signature: signed("ailurus/appointment", bytes, &mut entropy),
            };
            let _ = parse_appointment(&CHANNEL, &appointment);
            return;
        }
        let statement = if choice % 3 == 0 {
            bytes.to_vec()
        } else {
            let mut context = CHANNEL.as_bytes().to_vec();
            context.extend_from_slice(&1_u32.to_be_bytes());
            context.extend_from_slice(hint.as_bytes());
            let sealed = seal_to(
                &member.public(),
                b"ailurus/rotation",
                &context,
                bytes,
                &mut entropy,
            )
            .expect("a valid key");
            RotationStatement {
                channel_id: Bytes::copy_from_slice(CHANNEL.as_bytes()),
                number: 1,
                time_ms: NOW.as_millis(),
                slots: vec![RotationSlot {
                    author: Bytes::copy_from_slice(hint.as_bytes()),
                    sealed: sealed.into(),
                }],
            }
            .encode_to_vec()
        };
        let notice = RotationNotice {
            signature: signed("ailurus/rotation", &statement, &mut entropy),
            statement: statement.into(),
            admin_key,
        };
        let Ok(rotation) = Rotation::parse(&notice) else {
            return;
        };
        assert_eq!(rotation.admin, admin.public());
        if let Ok(Some(link)) = rotation.open(&hint, &member) {
            assert!(rotation.includes(&hint));
            let _ = link.to_text();
        }
    };
    Target {
        body: Box::new(body),
        seeds,
    }
}

const CHANNEL: ChannelId = ChannelId::from_bytes([9; 32]);
const PADDED: u8 = 2;
const SEALED: u8 = 3;

fn example_link() -> Link {
    let channel = NewChannel::create(Epoch::of(NOW), &mut SeededEntropy::from_u64(1));
    Link {
        access: channel.access,
        read: Some(channel.read),
        admin: None,
        name: "family".to_owned(),
        nodes: Vec::new(),
    }
}

/// The access of a member as rotation carries it, taken out of a sealed slot.
fn example_rotated() -> Vec<u8> {
    let text = example_link().to_text().expect("a valid link");
    let payload = bs58::decode(&text[2..]).into_vec().expect("Base58");
    let payload = &payload[..payload.len() - 8];
    let link = ailurus::wire::content::Link::decode(payload).expect("a valid payload");
    Rotated { access: Some(link) }.encode_to_vec()
}

fn example_contents() -> Vec<Content> {
    let mut entropy = SeededEntropy::from_u64(4);
    let mut key = [0; 32];
    entropy.fill(&mut key);
    vec![
        Content {
            text: Some("hello".to_owned()),
            ..Content::default()
        },
        Content {
            text: Some(String::new()),
            author_key: Bytes::copy_from_slice(&key),
            introduction: Some(Introduction {
                name: "Alice".to_owned(),
                dh_key: Bytes::copy_from_slice(&key),
            }),
            rotation: Some(RotationNotice {
                statement: Bytes::from_static(&[0; 40]),
                admin_key: Bytes::copy_from_slice(&key),
                signature: Bytes::from_static(&[0; 64]),
            }),
            appointment: Some(Appointment::default()),
            ..Content::default()
        },
        Content {
            author_key: Bytes::copy_from_slice(&key),
            nodes: Some(NodeList {
                nodes: vec![ListedNode {
                    node: Some(super::example_node().to_hint()),
                    hop_count: Some(1),
                    introduces: true,
                }],
            }),
            introduction_request: Some(IntroductionRequest {
                author: Bytes::from_static(&[1; 8]),
                node: Bytes::copy_from_slice(&key),
                key: Bytes::copy_from_slice(&key),
            }),
            introduction_grant: Some(IntroductionGrant {
                node: Bytes::copy_from_slice(&key),
                key: Bytes::copy_from_slice(&key),
                sealed: Bytes::from_static(&[1; 200]),
            }),
            ..Content::default()
        },
    ]
}

/// The plaintext of a message without its padding.
fn example_plaintext(
    content: &Content,
    author: &SigningKey,
    cipher: &EpochCipher,
    sealing: &DhSecret,
    aead: &Aead,
) -> Vec<u8> {
    let encoded = content.encode_to_vec();
    let draft = Draft {
        channel: CHANNEL,
        address: Address::from_bytes([3; 32]),
        time: NOW,
        author,
        sequence: 300,
        previous: Previous::NONE,
        content: &encoded,
    };
    let mut entropy = SeededEntropy::from_u64(5);
    let (envelope, _) = draft
        .seal(&Recipient::Readers(cipher), author, &mut entropy)
        .expect("a small message");
    assert!(Opened::open(&envelope, cipher, sealing).is_ok());
    let padded = aead
        .open_prefixed(&envelope.header().to_bytes(), envelope.body())
        .expect("our own message opens");
    padding::unpad(&padded).expect("padded").to_vec()
}
