//! What an outsider or a member may alter, and what then refuses it.

use ailurus::{
    channel::{
        Access, Address, AuthorHint, Envelope, Epoch, Header, Kind, ReadChain,
        message::{OpenError, Opened, encode_content},
    },
    crypto::{Aead, AeadKey, SeededEntropy, SigningKey, kdf},
    wire::time::UnixMillis,
};

use crate::fixture::{EPOCH, author, channel, is_by, open, say, seal, text, time_in};

/// A member who decrypts a message, alters the plaintext and seals it again under any header.
struct Insider<'a> {
    access: &'a Access,
    read: &'a ReadChain,
}

impl Insider<'_> {
    fn cipher(&self, epoch: Epoch) -> Aead {
        let key = kdf::derive(
            self.read.at(epoch).unwrap().expose(),
            "ailurus/envelope-key",
            &[],
        );
        Aead::new(&AeadKey::from_bytes(*key))
    }

    fn plaintext(&self, envelope: &Envelope) -> Vec<u8> {
        let header = envelope.header();
        self.cipher(Epoch::of(header.time))
            .open_prefixed(&header.to_bytes(), envelope.body())
            .unwrap()
    }

    fn seal(&self, time: UnixMillis, padded: &[u8]) -> Envelope {
        let mut entropy = SeededEntropy::from_u64(99);
        let epoch = Epoch::of(time);
        let address = self.access.address_keys(epoch).unwrap().address;
        let header = Header {
            address,
            time,
            kind: Kind::Message,
            size: padded.len() as u32 + 28,
        };
        let body = self
            .cipher(epoch)
            .seal_random(&mut entropy, &header.to_bytes(), padded);
        let blinded = self.access.blinded_signing(epoch).unwrap().unwrap();
        Envelope::sign(address, time, Kind::Message, &body, &blinded, &mut entropy).unwrap()
    }
}

fn opens_and_is_by(
    access: &Access,
    read: &ReadChain,
    envelope: &Envelope,
    author: &SigningKey,
) -> bool {
    let epoch = Epoch::of(envelope.header().time);
    assert!(
        envelope
            .verify(&access.address_keys(epoch).unwrap().blinded)
            .is_ok(),
        "an insider's own signature"
    );
    is_by(
        &open(access, read, envelope).unwrap(),
        access,
        &author.public(),
    )
}

#[test]
fn an_altered_header_is_refused_outside_and_inside() {
    let new = channel(1);
    let (envelope, _) = say(&new, &author(7), EPOCH, "hello");
    let keys = new.access.address_keys(EPOCH).unwrap();
    let header = *envelope.header();
    let sealed = envelope.sealed().clone();
    let mut other_address = *header.address.as_bytes();
    other_address[31] ^= 1;
    let longer = [sealed.as_ref(), &[0]].concat();
    let altered = [
        Envelope::parse(
            Address::from_bytes(other_address),
            header.time,
            header.kind,
            sealed.clone(),
        ),
        Envelope::parse(
            header.address,
            header.time.offset(1),
            header.kind,
            sealed.clone(),
        ),
        Envelope::parse(
            header.address,
            header.time.offset(-1),
            header.kind,
            sealed.clone(),
        ),
        Envelope::parse(header.address, header.time, Kind::Sealed, sealed.clone()),
        Envelope::parse(
            header.address,
            header.time,
            header.kind,
            sealed.slice(..sealed.len() - 1),
        ),
        Envelope::parse(header.address, header.time, header.kind, longer.into()),
    ];
    for altered in altered {
        let altered = altered.unwrap();
        assert_ne!(altered.id(), envelope.id());
        assert!(
            altered.verify(&keys.blinded).is_err(),
            "{:?}",
            altered.header()
        );
        assert_eq!(
            open(&new.access, &new.read, &altered).err(),
            Some(OpenError::Decrypt),
            "{:?}",
            altered.header()
        );
    }
}

#[test]
fn an_altered_byte_anywhere_is_refused() {
    let new = channel(2);
    let (envelope, _) = say(&new, &author(7), EPOCH, "hello");
    let keys = new.access.address_keys(EPOCH).unwrap();
    let header = envelope.header();
    for at in 0..envelope.sealed().len() {
        let mut bytes = envelope.sealed().to_vec();
        bytes[at] ^= 0x10;
        let altered =
            Envelope::parse(header.address, header.time, header.kind, bytes.into()).unwrap();
        assert!(altered.verify(&keys.blinded).is_err(), "byte {at}");
        // The outer signature is not part of what decryption covers.
        assert_eq!(
            open(&new.access, &new.read, &altered).is_ok(),
            at < 64,
            "byte {at}"
        );
    }
}

#[test]
fn an_insider_cannot_redate_a_message() {
    let new = channel(3);
    let insider = Insider {
        access: &new.access,
        read: &new.read,
    };
    let (envelope, _) = say(&new, &author(7), EPOCH, "hello");
    let plaintext = insider.plaintext(&envelope);
    let same = insider.seal(envelope.header().time, &plaintext);
    assert!(
        opens_and_is_by(&new.access, &new.read, &same, &author(7)),
        "unaltered it is still Alice's"
    );
    for time in [envelope.header().time.offset(1), time_in(EPOCH.next())] {
        assert!(!opens_and_is_by(
            &new.access,
            &new.read,
            &insider.seal(time, &plaintext),
            &author(7)
        ));
    }
}

#[test]
fn an_insider_cannot_alter_what_an_author_signed() {
    let new = channel(4);
    let insider = Insider {
        access: &new.access,
        read: &new.read,
    };
    let (envelope, _) = say(&new, &author(7), EPOCH, "hello");
    let plaintext = insider.plaintext(&envelope);
    // Sequence number, previous message, signature, the last byte of the text.
    let text = 8 + 1 + 8 + 64 + 2 + 4;
    assert_eq!(plaintext[text], b'o');
    for at in [8, 9, 16, 17, 80, text] {
        let mut altered = plaintext.clone();
        altered[at] ^= 1;
        let sealed = insider.seal(envelope.header().time, &altered);
        assert!(
            !opens_and_is_by(&new.access, &new.read, &sealed, &author(7)),
            "byte {at}"
        );
    }
}

#[test]
fn an_insider_cannot_speak_as_another() {
    let new = channel(5);
    let channel_id = new.access.channel_id();
    let (alice, mallory) = (author(7), author(8));
    let insider = Insider {
        access: &new.access,
        read: &new.read,
    };
    let (envelope, _) = say(&new, &mallory, EPOCH, "as Alice");
    let mut plaintext = insider.plaintext(&envelope);
    plaintext[..8].copy_from_slice(AuthorHint::of(&channel_id, &alice.public()).as_bytes());
    let forged = insider.seal(envelope.header().time, &plaintext);
    let opened = open(&new.access, &new.read, &forged).unwrap();
    assert_eq!(
        opened.own_key(&channel_id),
        None,
        "the key inside does not fit the hint"
    );
    assert!(!is_by(&opened, &new.access, &alice.public()));

    // Mallory signs content that names Alice's key under Mallory's hint.
    let content = encode_content(text("as Alice"), &alice.public(), 1, true);
    let (envelope, _) = seal(&new.access, &new.read, &mallory, EPOCH, 1, &content);
    let opened = open(&new.access, &new.read, &envelope).unwrap();
    assert_eq!(opened.own_key(&channel_id), None);
    assert!(!is_by(&opened, &new.access, &alice.public()));
    assert!(is_by(&opened, &new.access, &mallory.public()));
}

#[test]
fn a_message_does_not_count_in_another_channel() {
    let (one, two) = (channel(6), channel(7));
    let alice = author(7);
    assert_ne!(one.access.channel_id(), two.access.channel_id());
    let (envelope, _) = say(&one, &alice, EPOCH, "only here");
    let keys = two.access.address_keys(EPOCH).unwrap();
    let header = envelope.header();
    let moved = Envelope::parse(
        keys.address,
        header.time,
        header.kind,
        envelope.sealed().clone(),
    )
    .unwrap();
    assert!(moved.verify(&keys.blinded).is_err());
    assert_eq!(
        open(&two.access, &two.read, &moved).err(),
        Some(OpenError::Decrypt)
    );
    assert_eq!(
        open(&two.access, &two.read, &envelope).err(),
        Some(OpenError::Decrypt)
    );

    // A member of both seals the same plaintext there.
    let plaintext = Insider {
        access: &one.access,
        read: &one.read,
    }
    .plaintext(&envelope);
    let replayed = Insider {
        access: &two.access,
        read: &two.read,
    }
    .seal(header.time, &plaintext);
    assert!(!opens_and_is_by(&two.access, &two.read, &replayed, &alice));
    let opened = open(&two.access, &two.read, &replayed).unwrap();
    assert_ne!(
        opened.hint,
        AuthorHint::of(&two.access.channel_id(), &alice.public())
    );
    assert!(
        !is_by(&opened, &one.access, &alice.public()),
        "also not by the first channel's id: the address differs"
    );
}

#[test]
fn plaintexts_that_no_author_writes_are_malformed() {
    let new = channel(8);
    let insider = Insider {
        access: &new.access,
        read: &new.read,
    };
    let (envelope, _) = say(&new, &author(7), EPOCH, "hello");
    let good = insider.plaintext(&envelope);
    let without_mark = vec![0; 192];
    let mut long_padding = good.clone();
    long_padding.extend([0; 16]);
    let cut = good[..good.len() - 1].to_vec();
    // A sequence number in two bytes where one suffices.
    let end = good.iter().rposition(|byte| *byte == 0x80).unwrap();
    let mut long_varint = [&good[..8], &[0x81, 0], &good[9..end]].concat();
    ailurus::channel::padding::pad(&mut long_varint);
    let mut short = good[..50].to_vec();
    ailurus::channel::padding::pad(&mut short);
    for bad in [
        without_mark,
        long_padding,
        cut,
        long_varint,
        short,
        Vec::new(),
    ] {
        let sealed = insider.seal(time_in(EPOCH), &bad);
        assert_eq!(
            open(&new.access, &new.read, &sealed).err(),
            Some(OpenError::Malformed),
            "{} bytes",
            bad.len()
        );
    }
}

#[test]
fn an_envelope_of_another_epoch_does_not_open() {
    let new = channel(9);
    let (envelope, _) = say(&new, &author(7), EPOCH, "hello");
    let later = ailurus::channel::message::EpochCipher::new(&new.read.at(EPOCH.next()).unwrap());
    let opened = Opened::open(&envelope, &later, new.access.sealing().unwrap());
    assert_eq!(opened.err(), Some(OpenError::Decrypt));
    assert!(
        envelope
            .verify(&new.access.address_keys(EPOCH.next()).unwrap().blinded)
            .is_err()
    );
}
