//! Properties of every codec: what is written is read back, and random bytes are refused without harm.

use ailurus::{
    channel::{
        Access, AccessKind, Address, AuthorHint, Envelope, Epoch, Kind, Link, NodeLink, Previous,
        ReadChain, ReadSecret,
        access::Root,
        message::{Draft, EpochCipher, Opened, Recipient},
        padding,
        rotation::{Rotation, parse_appointment},
    },
    crypto::{Aead, AeadKey, DhSecret, NodeKey, SeededEntropy, SigningKey, kdf},
    wire::{
        content::{self, Appointment, Content, Introduction, RotationNotice},
        frame::FrameDecoder,
        limits::{MAX_FRAME, MAX_LINK},
        node::{Batch, Request, Response},
        time::UnixMillis,
    },
};
use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};
use prost::Message as _;

use crate::fixture::{EPOCH, channel, encode_text, is_by, open, time_in};

/// Bytes of a private key.
fn private() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>().prop_filter("in range", |bytes| SigningKey::from_bytes(bytes).is_ok())
}

fn key(bytes: &[u8; 32]) -> SigningKey {
    SigningKey::from_bytes(bytes).unwrap()
}

fn node_link() -> impl Strategy<Value = NodeLink> {
    (any::<[u8; 32]>(), "[a-zA-Z0-9.:%_-]{1,100}", 1..=u16::MAX)
        .prop_map(|(key, host, port)| NodeLink::new(NodeKey::from_bytes(key), &host, port).unwrap())
}

fn kind() -> impl Strategy<Value = AccessKind> {
    prop_oneof![
        Just(AccessKind::Full),
        Just(AccessKind::Read),
        Just(AccessKind::Write)
    ]
}

fn name() -> impl Strategy<Value = String> {
    "\\PC{0,32}".prop_filter("at most 32 bytes", |name| name.len() <= 32)
}

fn content() -> impl Strategy<Value = Content> {
    let introduction = (name(), vec(any::<u8>(), 32)).prop_map(|(name, key)| Introduction {
        name,
        dh_key: key.into(),
    });
    (option::of("\\PC{0,300}"), option::of(introduction)).prop_map(|(text, introduction)| Content {
        text,
        introduction,
        ..Content::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn links_round_trip(
        root: [u8; 32], admin in private(), secret: [u8; 32], epoch: u64, kind in kind(), name in name(),
        nodes in vec(node_link(), 0..3),
    ) {
        let access = Access::from_root(Root::from_bytes(root), key(&admin).public()).narrow(kind).unwrap();
        let read = kind.reads().then(|| ReadChain::new(Epoch::new(epoch), ReadSecret::from_bytes(secret)));
        let link = Link { access, read, admin: None, name, nodes };
        let text = link.to_text().unwrap();
        prop_assert!(text.len() <= MAX_LINK);
        let again: Link = text.parse().unwrap();
        prop_assert_eq!(again.to_text().unwrap(), text);
        prop_assert_eq!(again.access.kind(), kind);
        prop_assert_eq!(again.access.channel_id(), link.access.channel_id());
        prop_assert_eq!(again.access.admin(), link.access.admin());
        prop_assert_eq!(&again.name, &link.name);
        prop_assert!(link.nodes.starts_with(&again.nodes));
        let chain = |link: &Link| link.read.as_ref().map(|read| (read.epoch(), *read.secret().expose()));
        prop_assert_eq!(chain(&again), chain(&link));
    }

    #[test]
    fn node_links_round_trip(link in node_link()) {
        prop_assert_eq!(link.to_string().parse(), Ok(link));
    }

    #[test]
    fn redpanda_strings_round_trip(scalar in private()) {
        let text = encode_text("pr", &scalar);
        let link: Link = text.parse().unwrap();
        prop_assert_eq!(link.to_text().unwrap().to_string(), text);
    }

    #[test]
    fn messages_round_trip(
        content in content(), author in private(), sequence: u64, previous: [u8; 8], offset in 0_u64..604_800_000,
        sealed: bool, seed: u64,
    ) {
        let new = channel(1);
        let author = key(&author);
        let encoded = content.encode_to_vec();
        let draft = Draft {
            channel: new.access.channel_id(),
            address: new.access.address_keys(EPOCH).unwrap().address,
            time: UnixMillis::from_millis(EPOCH.start().as_millis() + offset),
            author: &author,
            sequence,
            previous: Previous::from_bytes(previous),
            content: &encoded,
        };
        let cipher = EpochCipher::new(&new.read.at(EPOCH).unwrap());
        let recipient = match sealed {
            true => Recipient::SealingKey(new.access.sealing_public()),
            false => Recipient::Readers(&cipher),
        };
        let blinded = new.access.blinded_signing(EPOCH).unwrap().unwrap();
        let (envelope, id) = draft.seal(&recipient, &blinded, &mut SeededEntropy::from_u64(seed)).unwrap();
        prop_assert!(envelope.verify(&blinded.public()).is_ok());
        let opened = open(&new.access, &new.read, &envelope).unwrap();
        prop_assert_eq!(&opened.content, &content);
        prop_assert_eq!((opened.sequence, *opened.previous.as_bytes()), (sequence, previous));
        prop_assert_eq!(opened.hint, AuthorHint::of(&draft.channel, &author.public()));
        prop_assert_eq!(opened.sealed, sealed);
        prop_assert_eq!(opened.batch_item(&draft.channel, author.public()).message, *id.as_bytes());
        prop_assert!(is_by(&opened, &new.access, &author.public()));
    }

    #[test]
    fn batches_round_trip(
        address: [u8; 32], base: u64,
        envelopes in vec((any::<u64>(), any::<bool>(), vec(any::<u8>(), 64..400)), 0..20),
    ) {
        let address = Address::from_bytes(address);
        let envelopes: Vec<_> = envelopes
            .into_iter()
            .map(|(time, sealed, bytes)| {
                let kind = if sealed { Kind::Sealed } else { Kind::Message };
                // Times of real headers are far from where deltas saturate.
                Envelope::parse(address, UnixMillis::from_millis(time >> 2), kind, bytes.into()).unwrap()
            })
            .collect();
        let base = UnixMillis::from_millis(base >> 2);
        let mut before = base;
        let mut items = Vec::new();
        for envelope in &envelopes {
            items.push(envelope.to_item(before));
            before = envelope.header().time;
        }
        let batch = Batch { address: address.as_bytes().to_vec().into(), base_time_ms: base.as_millis(), items };
        let batch = Batch::decode(batch.encode_to_vec().as_slice()).unwrap();
        let mut before = UnixMillis::from_millis(batch.base_time_ms);
        let mut rebuilt = Vec::new();
        for item in &batch.items {
            let envelope = Envelope::from_item(address, before, item).unwrap();
            before = envelope.header().time;
            rebuilt.push(envelope);
        }
        prop_assert!(rebuilt.iter().zip(&envelopes).all(|(one, two)| one.id() == two.id()));
        prop_assert_eq!(rebuilt, envelopes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_text_is_no_link(text in "\\PC{0,500}", tail in "[1-9A-HJ-NP-Za-km-z]{0,480}", prefix in "af|ar|aw|an|pr|pu|..") {
        for text in [text, format!("{prefix}{tail}")] {
            prop_assert!(text.parse::<Link>().is_err());
            prop_assert!(text.parse::<NodeLink>().is_err());
        }
    }

    #[test]
    fn random_payloads_with_a_good_checksum_do_no_harm(
        payload in vec(any::<u8>(), 0..330), prefix in "af|ar|aw|an",
    ) {
        let text = encode_text(&prefix, &payload);
        let _ = text.parse::<Link>();
        let _ = text.parse::<NodeLink>();
    }

    #[test]
    fn random_fields_of_a_link_do_no_harm(
        fields in vec(prop_oneof![8 => vec(any::<u8>(), 32), 1 => vec(any::<u8>(), 0..40)], 9), read_epoch: u64, name in "\\PC{0,20}",
        port in 0_u32..70_000, host in "[a-z0-9.]{0,40}|\\PC{0,110}", prefix in "af|ar|aw",
    ) {
        let field = |at: usize| Bytes::from(fields[at].clone());
        // Without a root the other kinds get their turn.
        let payload = content::Link {
            root: if prefix == "af" { field(0) } else { Bytes::new() },
            write_public: field(1),
            write_private: field(2),
            reader_root: if prefix == "aw" { Bytes::new() } else { field(3) },
            address_secret: field(4),
            sealing_public: field(5),
            dht_public: field(6),
            read_secret: field(7),
            admin_public: field(8),
            read_epoch,
            name,
            nodes: vec![content::NodeHint { key: field(0), host, port }],
            redpanda: Bytes::new(),
        };
        if let Ok(link) = encode_text(&prefix, &payload.encode_to_vec()).parse::<Link>() {
            // Whatever is taken can be shared again.
            prop_assert!(link.to_text().unwrap().parse::<Link>().is_ok());
        }
    }

    #[test]
    fn random_envelopes_and_bodies_do_no_harm(sealed in vec(any::<u8>(), 0..600), sealed_kind: bool) {
        let new = channel(2);
        let keys = new.access.address_keys(EPOCH).unwrap();
        let kind = if sealed_kind { Kind::Sealed } else { Kind::Message };
        let length = sealed.len();
        let parsed = Envelope::parse(keys.address, time_in(EPOCH), kind, sealed.into());
        prop_assert_eq!(parsed.is_ok(), length >= 64);
        if let Ok(envelope) = parsed {
            prop_assert!(envelope.verify(&keys.blinded).is_err());
            prop_assert!(open(&new.access, &new.read, &envelope).is_err());
        }
    }

    #[test]
    fn random_plaintexts_from_an_insider_do_no_harm(mut plaintext in vec(any::<u8>(), 0..400), padded: bool) {
        let new = channel(3);
        let secret = new.read.at(EPOCH).unwrap();
        if padded {
            padding::pad(&mut plaintext);
        }
        let address = new.access.address_keys(EPOCH).unwrap().address;
        let blank = Envelope::parse(address, time_in(EPOCH), Kind::Message, vec![0; 64 + 28 + plaintext.len()].into()).unwrap();
        let aead = Aead::new(&AeadKey::from_bytes(*kdf::derive(secret.expose(), "ailurus/envelope-key", &[])));
        let body = aead.seal_random(&mut SeededEntropy::from_u64(1), &blank.header().to_bytes(), &plaintext);
        let sealed = [&[0; 64][..], &body].concat();
        let envelope = Envelope::parse(address, time_in(EPOCH), Kind::Message, sealed.into()).unwrap();
        let cipher = EpochCipher::new(&secret);
        if let Ok(opened) = Opened::open(&envelope, &cipher, new.access.sealing().unwrap()) {
            let author = crate::fixture::author(7).public();
            prop_assert!(!is_by(&opened, &new.access, &author));
            let _ = opened.own_key(&new.access.channel_id());
        }
    }

    #[test]
    fn random_statements_do_no_harm(statement in vec(any::<u8>(), 0..300), signature in vec(any::<u8>(), 0..70)) {
        let new = channel(4);
        let id = new.access.channel_id();
        let admin_key = Bytes::from(new.admin.public().as_bytes().to_vec());
        let notice = |signature: Vec<u8>| RotationNotice {
            statement: statement.clone().into(),
            admin_key: admin_key.clone(),
            signature: signature.into(),
        };
        prop_assert!(Rotation::parse(&notice(signature.clone())).is_err());
        let hash = kdf::tagged_hash("ailurus/rotation", &[&statement]);
        let signed = new.admin.sign(&hash, &mut SeededEntropy::from_u64(1));
        if let Ok(rotation) = Rotation::parse(&notice(signed.as_bytes().to_vec())) {
            let _ = rotation.open(&AuthorHint::from_bytes([0; 8]), &DhSecret::from_bytes([1; 32]));
        }
        let hash = kdf::tagged_hash("ailurus/appointment", &[&statement]);
        let signed = new.admin.sign(&hash, &mut SeededEntropy::from_u64(1));
        for signature in [signature, signed.as_bytes().to_vec()] {
            let appointment = Appointment {
                statement: statement.clone().into(),
                admin_key: admin_key.clone(),
                signature: signature.into(),
            };
            prop_assert!(parse_appointment(&id, &appointment).is_err());
        }
    }

    #[test]
    fn random_bytes_into_protobuf_and_frames_do_no_harm(bytes in vec(any::<u8>(), 0..2_000)) {
        let _ = Request::decode(bytes.as_slice());
        let _ = Response::decode(bytes.as_slice());
        let _ = Content::decode(bytes.as_slice());
        let _ = content::Link::decode(bytes.as_slice());
        let _ = padding::unpad(&bytes);
        let mut decoder = FrameDecoder::new();
        decoder.push(bytes.into());
        while let Ok(Some(frame)) = decoder.next(MAX_FRAME) {
            prop_assert!(frame.len() <= MAX_FRAME);
        }
    }
}
