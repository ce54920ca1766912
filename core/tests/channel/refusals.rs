//! Links that must be refused, each with its own error.

use ailurus::{
    channel::{AccessKind, Epoch, EpochError, LinkError, NodeLink, ReadChain, text::TextError},
    crypto::KeyError,
    wire::{
        content,
        limits::{MAX_LINK, MAX_NAME},
    },
};
use bytes::Bytes;

use crate::fixture::{
    EPOCH, channel, decoded, encode_text, kinds, link, node, parse, parse_payload, payload, refusal,
};

const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

#[test]
fn damaged_text_is_refused_with_what_is_wrong() {
    let text = link(&channel(5).access, Some(channel(5).read))
        .to_text()
        .unwrap();
    for end in 0..text.len() {
        let expected = match end {
            0..2 => [TextError::Truncated, TextError::Truncated],
            _ => [TextError::Truncated, TextError::WrongChecksum],
        };
        let Some(LinkError::Text(error)) = refusal(&text[..end]) else {
            panic!("{end} characters were taken for a link");
        };
        assert!(expected.contains(&error), "{end}: {error:?}");
    }
    for at in 2..text.len() {
        let other = if text.as_bytes()[at] == b'2' {
            "3"
        } else {
            "2"
        };
        let mistyped = [&text[..at], other, &text[at + 1..]].concat();
        assert_eq!(
            refusal(&mistyped),
            Some(LinkError::Text(TextError::WrongChecksum))
        );
    }
    for (prefix, error) in [
        ("ax", TextError::UnknownPrefix),
        ("AF", TextError::UnknownPrefix),
        ("aw", TextError::WrongChecksum),
    ] {
        assert_eq!(
            refusal(&format!("{prefix}{}", &text[2..])),
            Some(LinkError::Text(error))
        );
    }
    for character in ["0", "O", "I", "l", "-", "é"] {
        let bad = format!("{}{character}{}", &text[..9], &text[10..]);
        assert_eq!(refusal(&bad), Some(LinkError::Text(TextError::NotBase58)));
    }
    assert_eq!(
        refusal("é"),
        Some(LinkError::Text(TextError::UnknownPrefix))
    );
    assert_eq!(
        refusal(&"a".repeat(MAX_LINK + 1)),
        Some(LinkError::Text(TextError::TooLong))
    );
    assert_eq!(
        refusal(&"é".repeat(1_000_000)),
        Some(LinkError::Text(TextError::TooLong))
    );
}

#[test]
fn keys_out_of_range_are_refused() {
    let order: [u8; 32] = hex::decode(ORDER).unwrap().try_into().unwrap();
    let mut above = order;
    above[31] += 1;
    let mut below = order;
    below[31] -= 1;
    let keys = [
        ([0; 32], Some(KeyError::Zero)),
        (order, Some(KeyError::OutOfRange)),
        (above, Some(KeyError::OutOfRange)),
        (below, None),
    ];
    let write = link(&channel(6).access.narrow(AccessKind::Write).unwrap(), None)
        .to_text()
        .unwrap();
    for (key, error) in keys {
        let expected = error.map(LinkError::Key);
        assert_eq!(refusal(&encode_text("pr", &key)), expected);
        let payload = content::Link {
            write_private: key.to_vec().into(),
            ..decoded(&write)
        };
        assert_eq!(parse_payload("aw", &payload).err(), expected);
    }
}

#[test]
fn points_that_are_not_on_the_curve_are_refused() {
    let mut five = vec![0; 32];
    five[31] = 5;
    let new = channel(7);
    for (kind, prefix) in kinds() {
        let text = link(
            &new.access.narrow(kind).unwrap(),
            kind.reads().then(|| new.read.duplicate()),
        )
        .to_text()
        .unwrap();
        let payload = content::Link {
            admin_public: five.clone().into(),
            ..decoded(&text)
        };
        assert_eq!(
            parse_payload(prefix, &payload).err(),
            Some(LinkError::Key(KeyError::NotOnCurve))
        );
        if kind == AccessKind::Read {
            let payload = content::Link {
                write_public: five.clone().into(),
                ..decoded(&text)
            };
            assert_eq!(
                parse_payload(prefix, &payload).err(),
                Some(LinkError::Key(KeyError::NotOnCurve))
            );
        }
    }
}

#[test]
fn fields_of_a_wrong_length_are_named() {
    let new = channel(8);
    let [full, read, write] = kinds().map(|(kind, _)| {
        let text = link(
            &new.access.narrow(kind).unwrap(),
            kind.reads().then(|| new.read.duplicate()),
        )
        .to_text()
        .unwrap();
        decoded(&text)
    });
    type Field = fn(&mut content::Link) -> &mut Bytes;
    let fields: [(&str, &content::Link, &str, Field); 12] = [
        ("af", &full, "root", |link| &mut link.root),
        ("af", &full, "admin key", |link| &mut link.admin_public),
        ("af", &full, "read secret", |link| &mut link.read_secret),
        ("ar", &read, "write key", |link| &mut link.write_public),
        ("ar", &read, "reader root", |link| &mut link.reader_root),
        ("ar", &read, "DHT key", |link| &mut link.dht_public),
        ("ar", &read, "admin key", |link| &mut link.admin_public),
        ("ar", &read, "read secret", |link| &mut link.read_secret),
        ("aw", &write, "write key", |link| &mut link.write_private),
        ("aw", &write, "address secret", |link| {
            &mut link.address_secret
        }),
        ("aw", &write, "sealing key", |link| &mut link.sealing_public),
        ("aw", &write, "admin key", |link| &mut link.admin_public),
    ];
    for (prefix, good, field, of) in fields {
        for found in [1, 31, 33] {
            let mut bad = good.clone();
            *of(&mut bad) = vec![1; found].into();
            let expected = LinkError::WrongLength {
                field,
                expected: 32,
                found,
            };
            assert_eq!(
                parse_payload(prefix, &bad).err(),
                Some(expected),
                "{prefix} {field}"
            );
        }
    }
    let long = content::Link {
        name: "n".repeat(MAX_NAME + 1),
        ..full.clone()
    };
    assert_eq!(
        parse_payload("af", &long).err(),
        Some(LinkError::NameTooLong)
    );
    for found in [31, 33] {
        let expected = LinkError::WrongLength {
            field: "redPanda key",
            expected: 32,
            found,
        };
        assert_eq!(refusal(&encode_text("pr", &vec![1; found])), Some(expected));
    }
}

#[test]
fn a_payload_under_another_prefix_is_refused() {
    let new = channel(9);
    let texts = kinds().map(|(kind, prefix)| {
        let text = link(
            &new.access.narrow(kind).unwrap(),
            kind.reads().then(|| new.read.duplicate()),
        )
        .to_text()
        .unwrap();
        (prefix, payload(&text))
    });
    for (prefix, payload) in &texts {
        for (_, other) in kinds() {
            let result = parse(&encode_text(other, payload));
            assert_eq!(result.is_ok(), other == *prefix);
            if other != *prefix {
                assert_eq!(result.err(), Some(LinkError::Malformed));
            }
        }
        assert!(encode_text("an", payload).parse::<NodeLink>().is_err());
    }
    // A stored redPanda scalar is no link: its text is the pr string.
    let stored = content::Link {
        redpanda: vec![1; 32].into(),
        ..content::Link::default()
    };
    assert_eq!(
        parse_payload("af", &stored).err(),
        Some(LinkError::Malformed)
    );
    assert_eq!(
        refusal(&encode_text("af", &[0xff; 40])),
        Some(LinkError::Malformed)
    );
    let hint = payload(&node("node.example").to_string());
    assert_eq!(
        refusal(&encode_text("af", &hint)),
        Some(LinkError::Malformed)
    );
    assert_eq!(
        refusal(&node("node.example").to_string()),
        Some(LinkError::NodeLink)
    );
}

#[test]
fn unknown_fields_in_a_link_are_ignored() {
    let text = link(&channel(10).access, Some(channel(10).read))
        .to_text()
        .unwrap();
    // Field 99, length-delimited, three bytes.
    let extended = [payload(&text).as_slice(), &[0x9a, 0x06, 3, 1, 2, 3]].concat();
    assert_eq!(
        parse(&encode_text("af", &extended))
            .unwrap()
            .to_text()
            .unwrap(),
        text
    );
}

#[test]
fn a_read_epoch_far_away_is_an_error_and_not_a_long_wait() {
    let new = channel(13);
    let text = link(&new.access, Some(new.read.duplicate()))
        .to_text()
        .unwrap();
    let far = content::Link {
        read_epoch: u64::MAX,
        ..decoded(&text)
    };
    let link = parse_payload("af", &far).unwrap();
    assert_eq!(
        link.read.unwrap().at(EPOCH).err(),
        Some(EpochError::Deleted(EPOCH))
    );
    let chain = ReadChain::new(Epoch::new(0), new.read.secret().duplicate());
    let far = Epoch::new(u64::MAX);
    assert_eq!(chain.at(far).err(), Some(EpochError::TooFarAhead(far)));
}
