//! redPanda's strings: what they give, and what a channel made from one can share.

use ailurus::{
    channel::{
        AccessKind, Epoch, EpochError, LinkError, NarrowError, link::redpanda_keys,
        message::encode_content,
    },
    crypto::SigningKey,
};

use crate::fixture::{
    EPOCH, REDPANDA, author, contains, link, open, parse, payload, refusal, same_channel, seal,
    text,
};

#[test]
fn redpanda_strings_give_the_known_keys() {
    // Private scalar and compressed public key, recomputed from redPanda's import rule by another implementation.
    let known = [
        (
            "7ade0dbfd1817bd34628f54486de63aac25a32dd085ed7624fa482d65d64195d",
            "02a83aa64d1d122233c531b5b667d9b0e4bee9604990a6d2d2c9a0fb47e91e5555",
        ),
        (
            "c086a90a59d97bee467c7a2ba8de0e398371865554ecaa2e567e7c9a75411fd2",
            "03891f63420a1d81ee66d3a29067000c968127019f348aa28d74415bfad9d9f29f",
        ),
    ];
    for (text, (private, public)) in REDPANDA.iter().zip(known) {
        let link = parse(text).unwrap();
        let (scalar, compressed) = redpanda_keys(&link).unwrap();
        assert_eq!(
            (hex::encode(*scalar), hex::encode(compressed)),
            (private.to_owned(), public.to_owned())
        );
        assert_eq!(link.to_text().unwrap().as_str(), *text);
        assert!(link.access.is_redpanda());
        assert_eq!(link.access.kind(), AccessKind::Full);
        assert_eq!(
            link.admin.as_ref().map(|admin| admin.public()),
            Some(*link.access.admin())
        );
        // The scalar's own public key appears nowhere among the channel's keys.
        assert_ne!(
            hex::encode(link.access.write_public().as_bytes()),
            public[2..]
        );
        assert_ne!(hex::encode(link.access.admin().as_bytes()), public[2..]);
    }
}

#[test]
fn importers_of_one_string_agree_and_read_from_1970_on() {
    let [one, two] = [parse(REDPANDA[0]).unwrap(), parse(REDPANDA[0]).unwrap()];
    let (one_read, two_read) = (one.read.unwrap(), two.read.unwrap());
    assert_eq!(one_read.epoch(), Epoch::new(0));
    let opened = {
        let content = encode_content(text("hello"), &author(3).public(), 1, true);
        let (envelope, _) = seal(&one.access, &one_read, &author(3), EPOCH, 1, &content);
        open(&two.access, &two_read, &envelope).unwrap()
    };
    assert_eq!(opened.content.text.as_deref(), Some("hello"));
}

#[test]
fn a_redpanda_public_string_is_refused_with_the_reason() {
    let text = "puaoLQSi2XVs49EmyxP8yMGTRjp3ZNQWefziRRQbbyak6psxTbioVkkY6";
    assert_eq!(refusal(text), Some(LinkError::RedPandaPublic));
    assert!(
        LinkError::RedPandaPublic
            .to_string()
            .contains("no read key")
    );
}

#[test]
fn a_redpanda_channel_gives_a_read_link_and_no_write_link() {
    let imported = parse(REDPANDA[0]).unwrap();
    let write = imported.access.narrow(AccessKind::Write);
    assert_eq!(write.err(), Some(NarrowError::RedPandaWrite));

    let mut chain = imported.read.as_ref().unwrap().duplicate();
    chain.forget_before(EPOCH).unwrap();
    let shared = link(
        &imported.access.narrow(AccessKind::Read).unwrap(),
        Some(chain),
    )
    .to_text()
    .unwrap();
    assert!(shared.starts_with("ar"));
    let reader = parse(&shared).unwrap();
    assert_eq!(reader.access.kind(), AccessKind::Read);
    assert!(reader.admin.is_none() && !reader.access.is_redpanda());
    same_channel(&reader.access, &imported.access);
    assert!(
        reader
            .access
            .sealing()
            .unwrap()
            .ct_eq(imported.access.sealing().unwrap())
    );
    assert_eq!(
        reader.read.as_ref().unwrap().at(EPOCH.previous()).err(),
        Some(EpochError::Deleted(EPOCH.previous()))
    );

    // Neither the scalar nor anything that signs is in the link.
    let inside = payload(&shared);
    let (scalar, _) = redpanda_keys(&imported).unwrap();
    let write = SigningKey::derive_from(scalar.as_slice(), "ailurus/redpanda/write-key").expose();
    for secret in [
        scalar.as_slice(),
        write.as_slice(),
        imported.admin.unwrap().expose().as_slice(),
    ] {
        assert!(!contains(&inside, secret));
    }
}
