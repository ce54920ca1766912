//! What is sealed opens for whom it should, later epochs open nothing earlier, and sizes keep their budget.

use ailurus::{
    channel::{
        AccessKind, AuthorHint, Envelope, EnvelopeError, Epoch, EpochError, Kind, Previous,
        TimeError,
        message::{Draft, EpochCipher, OpenError, Opened, Recipient, encode_content},
        padding,
    },
    crypto::{SeededEntropy, entropy},
    wire::{
        content::{Content, Introduction},
        limits::{LIFETIME, MAX_AHEAD, MAX_NAME, MAX_SEALED, MAX_TEXT},
        node::Item,
        time::UnixMillis,
    },
};
use prost::Message as _;

use crate::fixture::{EPOCH, author, channel, is_by, open, say, seal, text, time_in};

#[test]
fn a_reader_opens_and_attributes_a_message() {
    let new = channel(1);
    let alice = author(7);
    let (envelope, id) = say(&new, &alice, EPOCH, "hello");
    let keys = new.access.address_keys(EPOCH).unwrap();
    assert_eq!(envelope.header().address, keys.address);
    assert!(envelope.verify(&keys.blinded).is_ok());
    let reader = new.access.narrow(AccessKind::Read).unwrap();
    let opened = open(&reader, &new.read, &envelope).unwrap();
    assert_eq!(opened.content.text.as_deref(), Some("hello"));
    assert_eq!(
        opened.hint,
        AuthorHint::of(&reader.channel_id(), &alice.public())
    );
    // A short message has room for the key.
    assert_eq!(opened.own_key(&reader.channel_id()), Some(alice.public()));
    let item = opened.batch_item(&reader.channel_id(), alice.public());
    assert_eq!(item.message, *id.as_bytes());
    assert!(is_by(&opened, &reader, &alice.public()));
    assert!(!is_by(&opened, &reader, &author(8).public()));
    assert!(!opened.sealed);
}

#[test]
fn a_write_only_member_is_read_by_readers_alone() {
    let new = channel(2);
    let writer = new.access.narrow(AccessKind::Write).unwrap();
    let bob = author(9);
    let content = encode_content(text("from outside"), &bob.public(), 1, true);
    let draft = Draft {
        channel: writer.channel_id(),
        address: writer.address_keys(EPOCH).unwrap().address,
        time: time_in(EPOCH),
        author: &bob,
        sequence: 1,
        previous: Previous::NONE,
        content: &content,
    };
    let recipient = Recipient::SealingKey(writer.sealing_public());
    let blinded = writer.blinded_signing(EPOCH).unwrap().unwrap();
    let (envelope, _) = draft
        .seal(&recipient, &blinded, &mut SeededEntropy::from_u64(1))
        .unwrap();
    assert_eq!(envelope.header().kind, Kind::Sealed);
    assert!(
        envelope
            .verify(&new.access.address_keys(EPOCH).unwrap().blinded)
            .is_ok()
    );
    let opened = open(&new.access, &new.read, &envelope).unwrap();
    assert!(opened.sealed && is_by(&opened, &new.access, &bob.public()));

    // Another channel's sealing key does not open it, nor does it pass for the other kind.
    let other = channel(3);
    assert_eq!(
        open(&other.access, &new.read, &envelope).err(),
        Some(OpenError::Decrypt)
    );
    let header = envelope.header();
    let disguised = Envelope::parse(
        header.address,
        header.time,
        Kind::Message,
        envelope.sealed().clone(),
    )
    .unwrap();
    assert_eq!(
        open(&new.access, &new.read, &disguised).err(),
        Some(OpenError::Decrypt)
    );
}

#[test]
fn two_epochs_later_nothing_opens_the_first() {
    let mut new = channel(4);
    let alice = author(7);
    let (envelope, _) = say(&new, &alice, EPOCH, "the past");
    assert!(open(&new.access, &new.read, &envelope).is_ok());
    let later = EPOCH.next().next();
    assert_eq!(new.read.forget_before(later), Ok(true));
    assert_eq!(new.read.forget_before(later), Ok(false));
    assert_eq!(new.read.epoch(), later);
    for epoch in [EPOCH, EPOCH.next()] {
        assert_eq!(new.read.at(epoch).err(), Some(EpochError::Deleted(epoch)));
    }
    // Not with any secret that still follows, and not through the sealing key.
    let mut epoch = later;
    for _ in 0..50 {
        let cipher = EpochCipher::new(&new.read.at(epoch).unwrap());
        let opened = Opened::open(&envelope, &cipher, new.access.sealing().unwrap());
        assert_eq!(opened.err(), Some(OpenError::Decrypt));
        epoch = epoch.next();
    }
}

#[test]
fn secrets_outlive_every_envelope_they_open() {
    // The last envelope of an epoch may be dated up to its end and be accepted until 7 days later.
    let end = EPOCH.end();
    assert_eq!(EPOCH.secrets_end(), end.after(LIFETIME).after(MAX_AHEAD));
    assert_eq!(EPOCH.lease_end(), end.after(LIFETIME));
    let last = UnixMillis::from_millis(end.as_millis() - 1);
    assert_eq!((Epoch::of(last), Epoch::of(end)), (EPOCH, EPOCH.next()));
    assert_eq!(Epoch::alive(last), [EPOCH.previous(), EPOCH]);
    assert!(last.after(LIFETIME) < EPOCH.secrets_end());
    // What Epoch::alive leaves out is expired at any node.
    assert!(
        EPOCH
            .previous()
            .start()
            .before(std::time::Duration::from_millis(1))
            .after(LIFETIME)
            <= EPOCH.start()
    );
}

#[test]
fn nodes_refuse_the_future_and_expire_the_past() {
    let (envelope, _) = say(&channel(5), &author(7), EPOCH, "now");
    let time = envelope.header().time;
    let ms = |time: UnixMillis, by: i64| time.offset(by);
    assert_eq!(envelope.check_time(time), Ok(()));
    assert_eq!(envelope.check_time(time.before(MAX_AHEAD)), Ok(()));
    assert_eq!(
        envelope.check_time(ms(time.before(MAX_AHEAD), -1)),
        Err(TimeError::Ahead)
    );
    assert_eq!(envelope.check_time(ms(time.after(LIFETIME), -1)), Ok(()));
    assert_eq!(
        envelope.check_time(time.after(LIFETIME)),
        Err(TimeError::Expired)
    );
}

#[test]
fn a_200_byte_text_keeps_its_budget() {
    let new = channel(6);
    let alice = author(7);
    let mut random = SeededEntropy::from_u64(9);
    for sequence in [1, 127, 128, 16_384, 100_000_000] {
        let words: String = entropy::array::<200>(&mut random)
            .iter()
            .map(|byte| char::from(0x20 + byte % 0x5f))
            .collect();
        let content = encode_content(text(&words), &alice.public(), sequence, false);
        let (envelope, _) = seal(&new.access, &new.read, &alice, EPOCH, sequence, &content);
        let (nonce, tag) = (12, 16);
        assert_eq!(
            envelope.body().len() - nonce - tag,
            288,
            "sequence {sequence}"
        );
        let opened = open(&new.access, &new.read, &envelope).unwrap();
        assert_eq!(opened.content.text.as_deref(), Some(words.as_str()));
        assert_eq!(opened.own_key(&new.access.channel_id()), None);
        // An hour after the message before it, as a field of a Batch.
        let item = envelope.to_item(envelope.header().time.offset(-3_600_000));
        let encoded = item.encode_to_vec();
        let in_batch = 1 + prost::length_delimiter_len(encoded.len()) + encoded.len();
        assert!(in_batch <= 392, "{in_batch} bytes");
    }
}

#[test]
fn the_author_key_travels_when_it_is_free_or_asked_for() {
    let alice = author(7).public();
    for length in 0..600 {
        let content = text(&"x".repeat(length));
        let bare = 8 + 1 + 8 + 64 + content.encoded_len();
        let free = padding::padded_len(bare + 34) == padding::padded_len(bare);
        let key = |introduce| {
            Content::decode(encode_content(content.clone(), &alice, 1, introduce).as_slice())
                .unwrap()
                .author_key
        };
        assert_eq!(key(false).is_empty(), !free, "{length}");
        assert_eq!(key(true), alice.as_bytes().as_slice());
    }
}

#[test]
fn limits_of_size_hold() {
    let new = channel(8);
    let alice = author(7);
    let content = |length: usize| text(&"x".repeat(length)).encode_to_vec();
    let (envelope, _) = seal(&new.access, &new.read, &alice, EPOCH, 1, &content(MAX_TEXT));
    assert!(open(&new.access, &new.read, &envelope).is_ok());
    let (envelope, _) = seal(
        &new.access,
        &new.read,
        &alice,
        EPOCH,
        1,
        &content(MAX_TEXT + 1),
    );
    assert_eq!(
        open(&new.access, &new.read, &envelope).err(),
        Some(OpenError::Malformed)
    );
    let named = |length: usize| {
        let introduction = Introduction {
            name: "n".repeat(length),
            dh_key: vec![1; 32].into(),
        };
        Content {
            introduction: Some(introduction),
            ..Content::default()
        }
        .encode_to_vec()
    };
    let (envelope, _) = seal(&new.access, &new.read, &alice, EPOCH, 1, &named(MAX_NAME));
    assert!(open(&new.access, &new.read, &envelope).is_ok());
    let (envelope, _) = seal(
        &new.access,
        &new.read,
        &alice,
        EPOCH,
        1,
        &named(MAX_NAME + 1),
    );
    assert_eq!(
        open(&new.access, &new.read, &envelope).err(),
        Some(OpenError::Malformed)
    );

    let keys = new.access.address_keys(EPOCH).unwrap();
    let parse = |length: usize| {
        Envelope::parse(
            keys.address,
            time_in(EPOCH),
            Kind::Message,
            vec![0; length].into(),
        )
    };
    assert!(parse(MAX_SEALED).is_ok());
    assert_eq!(
        parse(MAX_SEALED + 1).err(),
        Some(EnvelopeError::TooLarge(MAX_SEALED + 1 - 64))
    );
    assert!(parse(64).is_ok());
    assert_eq!(parse(63).err(), Some(EnvelopeError::Truncated));
    let item = Item {
        kind: 2,
        sealed: vec![0; 64].into(),
        ..Item::default()
    };
    let error = Envelope::from_item(keys.address, time_in(EPOCH), &item).err();
    assert_eq!(error, Some(EnvelopeError::UnknownKind(2)));
}
