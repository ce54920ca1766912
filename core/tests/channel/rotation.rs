//! Rotation and appointment: who is carried along, and what nobody can forge.

use ailurus::{
    channel::{
        AccessKind, AuthorHint, ChannelId, NewChannel,
        message::encode_content,
        rotation::{Remaining, Rotation, RotationError, appoint, parse_appointment},
    },
    crypto::{DhPublic, DhSecret, SeededEntropy, SigningKey},
    wire::{
        content::{Content, Introduction, RotationNotice, RotationStatement},
        limits::MAX_ROTATION,
    },
};
use prost::Message as _;

use crate::fixture::{EPOCH, author, channel, link, seal, time_in};

struct Member {
    key: SigningKey,
    dh: DhSecret,
}

impl Member {
    fn new(byte: u8) -> Self {
        Self {
            key: author(byte),
            dh: DhSecret::from_bytes([byte; 32]),
        }
    }

    fn hint(&self, channel: &ChannelId) -> AuthorHint {
        AuthorHint::of(channel, &self.key.public())
    }
}

/// Moves `old` to `new`, carrying `members` along with the access named.
fn rotate(
    old: &NewChannel,
    new: &NewChannel,
    members: &[(&Member, AccessKind)],
    number: u32,
    seed: u64,
) -> RotationNotice {
    let id = old.access.channel_id();
    let links: Vec<_> = members
        .iter()
        .map(|(_, kind)| {
            link(
                &new.access.narrow(*kind).unwrap(),
                kind.reads().then(|| new.read.duplicate()),
            )
        })
        .collect();
    let remaining: Vec<_> = members
        .iter()
        .zip(&links)
        .map(|((member, _), link)| Remaining {
            hint: member.hint(&id),
            dh: member.dh.public(),
            link,
        })
        .collect();
    Rotation::sign(
        &id,
        number,
        time_in(EPOCH),
        &remaining,
        &old.admin,
        &mut SeededEntropy::from_u64(seed),
    )
    .unwrap()
}

#[test]
fn who_remains_gets_new_access_and_who_was_removed_gets_nothing() {
    let (old, new) = (channel(1), channel(2));
    let (alice, bob, carol) = (Member::new(7), Member::new(8), Member::new(9));
    let notice = rotate(
        &old,
        &new,
        &[(&alice, AccessKind::Full), (&bob, AccessKind::Write)],
        1,
        5,
    );
    let rotation = Rotation::parse(&notice).unwrap();
    let id = old.access.channel_id();
    assert_eq!(
        (rotation.channel, rotation.number, rotation.admin),
        (id, 1, old.admin.public())
    );

    for (member, kind) in [(&alice, AccessKind::Full), (&bob, AccessKind::Write)] {
        assert!(rotation.includes(&member.hint(&id)));
        let moved = rotation
            .open(&member.hint(&id), &member.dh)
            .unwrap()
            .unwrap();
        assert_eq!(moved.access.kind(), kind);
        assert_eq!(moved.access.channel_id(), new.access.channel_id());
        assert_eq!(moved.read.is_some(), kind.reads());
    }
    assert!(!rotation.includes(&carol.hint(&id)));
    assert!(matches!(
        rotation.open(&carol.hint(&id), &carol.dh),
        Ok(None)
    ));
    // Carol is still a member of the old channel and sees every slot, but opens none.
    for hint in [alice.hint(&id), bob.hint(&id)] {
        assert_eq!(
            rotation.open(&hint, &carol.dh).err(),
            Some(RotationError::Malformed)
        );
    }
    // A slot is bound to its author: Bob's key does not open Alice's.
    assert_eq!(
        rotation.open(&alice.hint(&id), &bob.dh).err(),
        Some(RotationError::Malformed)
    );
    // Nothing of the new channel follows from the old one.
    assert_ne!(new.access.channel_id(), id);
    assert_ne!(
        new.access.address_keys(EPOCH).unwrap().address,
        old.access.address_keys(EPOCH).unwrap().address
    );
}

#[test]
fn a_tampered_notice_is_refused() {
    let (old, new) = (channel(1), channel(2));
    let alice = Member::new(7);
    let notice = rotate(&old, &new, &[(&alice, AccessKind::Full)], 1, 5);
    for at in 0..notice.statement.len() {
        let mut statement = notice.statement.to_vec();
        statement[at] ^= 1;
        let tampered = RotationNotice {
            statement: statement.into(),
            ..notice.clone()
        };
        assert_eq!(
            Rotation::parse(&tampered).err(),
            Some(RotationError::BadSignature),
            "byte {at}"
        );
    }
    let mut signature = notice.signature.to_vec();
    signature[40] ^= 1;
    let tampered = RotationNotice {
        signature: signature.into(),
        ..notice.clone()
    };
    assert_eq!(
        Rotation::parse(&tampered).err(),
        Some(RotationError::BadSignature)
    );
    let other = author(3).public().as_bytes().to_vec();
    let tampered = RotationNotice {
        admin_key: other.into(),
        ..notice.clone()
    };
    assert_eq!(
        Rotation::parse(&tampered).err(),
        Some(RotationError::BadSignature)
    );
    for (admin_key, signature) in [
        (vec![1; 31], notice.signature.to_vec()),
        (notice.admin_key.to_vec(), vec![1; 63]),
        (vec![0; 32], vec![1; 64]),
    ] {
        let tampered = RotationNotice {
            admin_key: admin_key.into(),
            signature: signature.into(),
            ..notice.clone()
        };
        assert_eq!(
            Rotation::parse(&tampered).err(),
            Some(RotationError::Malformed)
        );
    }
}

#[test]
fn a_slot_does_not_open_under_another_channel_or_number() {
    let (old, new) = (channel(1), channel(2));
    let alice = Member::new(7);
    let id = old.access.channel_id();
    let notice = rotate(&old, &new, &[(&alice, AccessKind::Full)], 1, 5);
    let good = RotationStatement::decode(notice.statement.clone()).unwrap();
    let moved = [
        RotationStatement {
            number: 2,
            ..good.clone()
        },
        RotationStatement {
            channel_id: vec![9; 32].into(),
            ..good.clone()
        },
    ];
    for statement in moved {
        // Signed by another admin, so that only the slot's own binding is left.
        let resigned = sign(&statement, &author(3));
        let rotation = Rotation::parse(&resigned).unwrap();
        assert_eq!(
            rotation.admin,
            author(3).public(),
            "the caller sees that this is not the channel's admin"
        );
        assert_eq!(
            rotation.open(&alice.hint(&id), &alice.dh).err(),
            Some(RotationError::Malformed)
        );
    }
}

fn sign(statement: &RotationStatement, admin: &SigningKey) -> RotationNotice {
    let statement = statement.encode_to_vec();
    let hash = ailurus::crypto::tagged_hash("ailurus/rotation", &[&statement]);
    let signature = admin.sign(&hash, &mut SeededEntropy::from_u64(1));
    RotationNotice {
        statement: statement.into(),
        admin_key: admin.public().as_bytes().to_vec().into(),
        signature: signature.as_bytes().to_vec().into(),
    }
}

#[test]
fn a_higher_number_holds_and_of_two_equal_ones_the_lower_hash() {
    let old = channel(1);
    let alice = Member::new(7);
    let parse = |number, seed| {
        Rotation::parse(&rotate(
            &old,
            &channel(seed),
            &[(&alice, AccessKind::Full)],
            number,
            seed,
        ))
        .unwrap()
    };
    let (one, two) = (parse(1, 10), parse(1, 11));
    assert_ne!(one.hash, two.hash);
    let (lower, higher) = if one.hash < two.hash {
        (one, two)
    } else {
        (two, one)
    };
    assert!(lower.precedes(higher.number, &higher.hash));
    assert!(!higher.precedes(lower.number, &lower.hash));
    assert!(
        !lower.precedes(lower.number, &lower.hash),
        "a notice does not precede itself"
    );
    let next = parse(2, 12);
    assert!(next.precedes(lower.number, &lower.hash) && !lower.precedes(next.number, &next.hash));
}

#[test]
fn a_member_whose_key_cannot_be_sealed_to_holds_up_nobody() {
    let (old, new) = (channel(1), channel(2));
    let id = old.access.channel_id();
    let link = link(&new.access, Some(new.read.duplicate()));
    let bad = Remaining {
        hint: Member::new(7).hint(&id),
        dh: DhPublic::from_bytes([0; 32]),
        link: &link,
    };
    let good = Remaining {
        hint: Member::new(8).hint(&id),
        dh: Member::new(8).dh.public(),
        link: &link,
    };
    let notice = Rotation::sign(
        &id,
        1,
        time_in(EPOCH),
        &[bad, good],
        &old.admin,
        &mut SeededEntropy::from_u64(1),
    )
    .unwrap();
    let rotation = Rotation::parse(&notice).unwrap();
    assert!(!rotation.includes(&Member::new(7).hint(&id)));
    assert!(rotation.includes(&Member::new(8).hint(&id)));
}

#[test]
fn more_members_than_fit_are_refused_when_signing() {
    let (old, new) = (channel(1), channel(2));
    let id = old.access.channel_id();
    let link = link(&new.access, Some(new.read.duplicate()));
    let member = Member::new(7);
    let slots = |count: usize| -> Vec<_> {
        (0..count)
            .map(|_| Remaining {
                hint: member.hint(&id),
                dh: member.dh.public(),
                link: &link,
            })
            .collect()
    };
    let sign = |count| {
        Rotation::sign(
            &id,
            1,
            time_in(EPOCH),
            &slots(count),
            &old.admin,
            &mut SeededEntropy::from_u64(1),
        )
    };
    // The largest that signs also fits an envelope, with everything else that its author may say at once.
    let (mut fits, mut refused) = (100, 400);
    assert_eq!(sign(refused).err(), Some(RotationError::TooManyMembers));
    while refused - fits > 1 {
        let middle = (fits + refused) / 2;
        match sign(middle) {
            Ok(_) => fits = middle,
            Err(_) => refused = middle,
        }
    }
    let notice = sign(fits).unwrap();
    assert!(notice.statement.len() <= MAX_ROTATION);
    assert!(
        notice.statement.len() > MAX_ROTATION - 512,
        "not one member less than fit"
    );
    let content = Content {
        rotation: Some(notice),
        introduction: Some(Introduction {
            name: "a name of thirty-two bytes, full".to_owned(),
            dh_key: member.dh.public().as_bytes().to_vec().into(),
        }),
        ..Content::default()
    };
    let encoded = encode_content(content, &member.key.public(), u64::MAX, true);
    seal(
        &old.access,
        &old.read,
        &member.key,
        EPOCH,
        u64::MAX,
        &encoded,
    );
}

#[test]
fn an_appointment_names_who_and_by_whom_for_one_channel() {
    let old = channel(1);
    let id = old.access.channel_id();
    let bob = author(8).public();
    let appointment = appoint(&id, &bob, &old.admin, &mut SeededEntropy::from_u64(1));
    assert_eq!(
        parse_appointment(&id, &appointment),
        Ok((bob, old.admin.public()))
    );
    let elsewhere = channel(2).access.channel_id();
    assert_eq!(
        parse_appointment(&elsewhere, &appointment),
        Err(RotationError::Malformed)
    );
    for at in 0..appointment.statement.len() {
        let mut tampered = appointment.clone();
        let mut statement = tampered.statement.to_vec();
        statement[at] ^= 1;
        tampered.statement = statement.into();
        assert_eq!(
            parse_appointment(&id, &tampered),
            Err(RotationError::BadSignature)
        );
    }
    // A rotation's signature does not pass for an appointment's: their tags differ.
    let notice = rotate(
        &old,
        &channel(2),
        &[(&Member::new(7), AccessKind::Full)],
        1,
        5,
    );
    let mixed = ailurus::wire::content::Appointment {
        statement: notice.statement,
        admin_key: notice.admin_key,
        signature: notice.signature,
    };
    assert_eq!(
        parse_appointment(&id, &mixed),
        Err(RotationError::BadSignature)
    );
}
