//! Access, what each kind may do, and what links carry.

use ailurus::{
    channel::{
        AccessKind, Address, EpochError, Link, NarrowError, NewChannel, NodeLink, NodeLinkError,
        message::{EpochCipher, Opened},
    },
    crypto::{NodeKey, SeededEntropy, SigningKey, derive},
    wire::{
        content,
        limits::{MAX_HINTS, MAX_HOST, MAX_LINK, MAX_NAME},
    },
};
use prost::Message as _;

use crate::fixture::{
    EPOCH, author, channel, contains, decoded, encode_text, kinds, link, node, open, parse,
    payload, same_channel, say,
};

#[test]
fn access_narrows_to_read_and_write_and_never_widens() {
    let full = channel(1).access;
    for (kind, _) in kinds() {
        let narrowed = full.narrow(kind).unwrap();
        assert_eq!(narrowed.kind(), kind);
        same_channel(&narrowed, &full);
        assert_eq!(
            narrowed.blinded_signing(EPOCH).unwrap().is_some(),
            kind.writes()
        );
        assert_eq!(narrowed.sealing().is_some(), kind.reads());
        if kind == AccessKind::Full {
            continue;
        }
        for (wanted, _) in kinds() {
            let result = narrowed.narrow(wanted).map(|access| access.kind());
            let expected = if wanted == kind {
                Ok(kind)
            } else {
                Err(NarrowError::NotHeld { held: kind, wanted })
            };
            assert_eq!(result, expected);
        }
    }
}

#[test]
fn a_link_holds_no_secret_beyond_its_access() {
    let new = channel(2);
    let full = link(&new.access, Some(new.read.duplicate()))
        .to_text()
        .unwrap();
    let full = decoded(&full);
    let write = SigningKey::derive_from(&full.root, "ailurus/write-key").expose();
    let reader_root = *derive::<32>(&full.root, "ailurus/reader-root", &[]);

    let read = new.access.narrow(AccessKind::Read).unwrap();
    let read = payload(&link(&read, Some(new.read.duplicate())).to_text().unwrap());
    assert!(contains(&read, &reader_root) && contains(&read, new.read.secret().expose()));
    let write_only = new.access.narrow(AccessKind::Write).unwrap();
    let write_only = payload(&link(&write_only, None).to_text().unwrap());
    assert!(contains(&write_only, write.as_slice()));

    for secret in [
        full.root.as_ref(),
        write.as_slice(),
        new.admin.expose().as_slice(),
    ] {
        assert!(!contains(&read, secret));
    }
    for secret in [
        full.root.as_ref(),
        &reader_root,
        new.read.secret().expose(),
        new.admin.expose().as_slice(),
    ] {
        assert!(!contains(&write_only, secret));
    }
    let sealing = new.access.sealing().unwrap().expose();
    assert!(!contains(&write_only, sealing));
}

#[test]
fn every_link_fits_470_characters_and_hints_give_way() {
    let new = channel(3);
    let host = "h".repeat(MAX_HOST);
    for ((kind, prefix), hints) in kinds().into_iter().zip([1, 0, 1]) {
        let link = Link {
            name: "n".repeat(MAX_NAME),
            nodes: vec![node(&host), node(&host)],
            ..link(
                &new.access.narrow(kind).unwrap(),
                kind.reads().then(|| new.read.duplicate()),
            )
        };
        let text = link.to_text().unwrap();
        assert!(
            text.len() <= MAX_LINK && text.starts_with(prefix),
            "{} characters",
            text.len()
        );
        let read = parse(&text).unwrap();
        assert_eq!((read.nodes.len(), read.name), (hints, link.name));
    }
    let short = Link {
        nodes: vec![
            node("192.0.2.1"),
            node("2001:db8::1"),
            node("third.example"),
        ],
        ..link(&new.access, Some(new.read.duplicate()))
    };
    let read = parse(&short.to_text().unwrap()).unwrap();
    assert_eq!(read.nodes, short.nodes[..2]);
}

#[test]
fn white_space_in_a_link_does_no_harm() {
    let text = link(&channel(4).access, Some(channel(4).read))
        .to_text()
        .unwrap();
    let broken: String = text
        .chars()
        .flat_map(|c| [c, ' ', '\n', '\t', '\u{a0}'])
        .collect();
    assert_eq!(parse(&broken).unwrap().to_text().unwrap(), text);
}

#[test]
fn node_links_round_trip_and_refuse_what_cannot_be_reached() {
    for host in [
        "node.example",
        "192.0.2.7",
        "2001:db8::7",
        "fe80::1%eth0",
        &"h".repeat(MAX_HOST),
    ] {
        let link = node(host);
        assert_eq!(link.to_string().parse(), Ok(link));
    }
    let key = NodeKey::from_bytes([1; 32]);
    for (host, port) in [
        ("", 1),
        ("host", 0),
        ("ho st", 1),
        ("[::1]", 1),
        ("hôte", 1),
        ("a/b", 1),
        (&*"h".repeat(MAX_HOST + 1), 1),
    ] {
        assert_eq!(
            NodeLink::new(key, host, port),
            Err(NodeLinkError::BadAddress)
        );
    }
    let hint = |key: usize, host: &str, port| content::NodeHint {
        key: vec![1; key].into(),
        host: host.to_owned(),
        port,
    };
    let parse =
        |hint: content::NodeHint| encode_text("an", &hint.encode_to_vec()).parse::<NodeLink>();
    assert_eq!(parse(hint(31, "host", 1)), Err(NodeLinkError::BadKey));
    assert_eq!(
        parse(hint(32, "host", 65_536)),
        Err(NodeLinkError::BadAddress)
    );
    assert_eq!(parse(hint(32, "", 1)), Err(NodeLinkError::BadAddress));
    let channel_link = link(&channel(11).access, Some(channel(11).read))
        .to_text()
        .unwrap();
    assert_eq!(
        channel_link.parse::<NodeLink>(),
        Err(NodeLinkError::NotANodeLink)
    );
}

#[test]
fn a_link_without_history_opens_nothing_of_the_epoch_before() {
    let new = channel(12);
    let author = author(5);
    let current = EPOCH.next();
    let (old, _) = say(&new, &author, EPOCH, "before");
    let (fresh, _) = say(&new, &author, current, "after");
    let mut forwarded = new.read.duplicate();
    forwarded.forget_before(current).unwrap();
    let text = link(&new.access, Some(forwarded)).to_text().unwrap();
    let joined = parse(&text).unwrap();
    let read = joined.read.unwrap();
    assert_eq!(read.at(EPOCH).err(), Some(EpochError::Deleted(EPOCH)));
    assert_eq!(
        open(&joined.access, &read, &fresh)
            .unwrap()
            .content
            .text
            .as_deref(),
        Some("after")
    );
    let wrong = EpochCipher::new(&read.at(current).unwrap());
    let sealing = joined.access.sealing().unwrap();
    assert!(Opened::open(&old, &wrong, sealing).is_err());
    // With history it opens.
    let with = parse(
        &link(&new.access, Some(new.read.duplicate()))
            .to_text()
            .unwrap(),
    )
    .unwrap();
    assert!(open(&with.access, &with.read.unwrap(), &old).is_ok());
}

#[test]
fn addresses_of_two_epochs_and_two_channels_share_nothing() {
    let mut seen = std::collections::HashSet::new();
    for seed in 0..4 {
        let access = NewChannel::create(EPOCH, &mut SeededEntropy::from_u64(seed)).access;
        for epoch in [EPOCH, EPOCH.next(), EPOCH.next().next()] {
            let keys = access.address_keys(epoch).unwrap();
            assert_eq!(
                Address::of(&keys.blinded, &keys.access.public()),
                keys.address
            );
            for bytes in [
                *keys.address.as_bytes(),
                *keys.blinded.as_bytes(),
                *keys.access.public().as_bytes(),
            ] {
                assert!(seen.insert(bytes));
            }
            assert_eq!(
                access.blinded_signing(epoch).unwrap().unwrap().public(),
                keys.blinded
            );
        }
        assert!(seen.insert(*access.write_public().as_bytes()));
        assert!(seen.insert(*access.channel_id().as_bytes()));
    }
}

#[test]
fn a_link_names_two_nodes_at_most() {
    let new = channel(1);
    let mut link = link(&new.access, Some(new.read.duplicate()));
    link.nodes = ["one.example", "two.example", "three.example"]
        .map(node)
        .to_vec();
    let read: Link = link.to_text().unwrap().parse().unwrap();
    assert_eq!(read.nodes, link.nodes[..MAX_HINTS]);
    assert_eq!(MAX_HINTS, 2);
}
