//! What members who lie can bring about: nothing.

use ailurus::{
    channel::{AccessKind, ChannelId, Introduction},
    crypto::{DhPublic, HolderKey, HolderSecret, NodeSecret, SeededEntropy, hpke},
    wire::{
        content::{Content, IntroductionGrant, IntroductionRequest, ListedNode, NodeList},
        time::UnixMillis,
    },
};
use bytes::Bytes;
use prost::Message as _;

use crate::world::{
    NOW, Phone, Writer, days, exchange, hint_of_other, hops, invitation, meet, node, node_link,
    operator, own_hint, queued,
};

/// Bob has asked Alice, who has not answered yet; Mallory is in the channel too.
struct Scene {
    alice: Phone,
    bob: Phone,
    mallory: Writer,
    channel: ChannelId,
    /// What Bob asks for.
    key: HolderKey,
    bob_dh: DhPublic,
    /// Bob's request on its way.
    request: Vec<ailurus::wire::node::Batch>,
}

fn scene() -> Scene {
    let mut alice = Phone::new("Alice");
    let mut bob = Phone::new("Bob");
    let channel = meet(&mut alice, &mut bob, "family");
    let mallory = Writer::new(alice.link(&channel, AccessKind::Full), 6);
    alice.engine.add_invitation(&invitation(1), NOW).unwrap();
    alice.engine.introduce(&channel, NOW).unwrap();
    bob.take(&alice.publish(NOW), NOW);
    let asked = queued(&mut bob, |content| content.introduction_request.clone());
    let key = HolderKey::try_from(asked[0].key.as_ref()).unwrap();
    let bob_dh = bob
        .engine
        .store()
        .read(|tx| {
            let row = tx.find_channel(&channel)?.unwrap();
            Ok::<_, ailurus::store::StoreError>(tx.channel(row)?.dh.public())
        })
        .unwrap();
    let request = bob.publish(NOW);
    Scene {
        alice,
        bob,
        mallory,
        channel,
        key,
        bob_dh,
        request,
    }
}

impl Scene {
    /// A grant of `chain` for `key`, sealed to Bob under the channel `under`.
    fn grant(&self, chain: &Introduction, key: &HolderKey, under: &ChannelId) -> Content {
        let context = [
            under.as_bytes().as_slice(),
            node().as_bytes(),
            key.as_bytes(),
        ]
        .concat();
        let sealed = hpke::seal_to(
            &self.bob_dh,
            b"ailurus/introduction-grant",
            &context,
            &chain.to_wire().encode_to_vec(),
            &mut SeededEntropy::from_u64(3),
        )
        .unwrap();
        Content {
            introduction_grant: Some(IntroductionGrant {
                node: Bytes::copy_from_slice(node().as_bytes()),
                key: Bytes::copy_from_slice(key.as_bytes()),
                sealed: sealed.into(),
            }),
            ..Content::default()
        }
    }

    fn bob_hears(&mut self, content: Content) {
        let batch = self.mallory.says(content, NOW);
        self.bob.take(&[batch], NOW);
    }
}

fn mint(secret: &NodeSecret, key: &HolderKey) -> Introduction {
    Introduction::mint(secret, key, days(80).as_secs())
}

#[test]
fn forged_grants_are_ignored_and_the_real_one_is_taken() {
    let mut scene = scene();
    let (key, channel) = (scene.key, scene.channel);
    let mallory = HolderSecret::from_bytes([0x66; 32]);
    // Not signed by the node.
    let forged = mint(&NodeSecret::from_bytes([8; 32]), &key);
    let mut message = forged.to_wire();
    message.node = Bytes::copy_from_slice(node().as_bytes());
    let pretended = Introduction::parse(&message).unwrap();
    // Of another node, for another key, over already, and sealed for another channel.
    let elsewhere = forged.clone();
    let others = mint(&operator(), &mallory.public());
    let over = Introduction::mint(&operator(), &key, NOW.as_secs() - 1);
    let good = mint(&operator(), &key);
    let other_channel = ChannelId::from_bytes([7; 32]);
    for content in [
        scene.grant(&pretended, &key, &channel),
        scene.grant(&elsewhere, &key, &channel),
        scene.grant(&others, &key, &channel),
        scene.grant(&others, &mallory.public(), &channel),
        scene.grant(&over, &key, &channel),
        scene.grant(&good, &key, &other_channel),
    ] {
        scene.bob_hears(content);
        assert!(scene.bob.introduction().is_none());
    }
    scene.alice.take(&scene.request, NOW);
    exchange(&mut scene.alice, &mut scene.bob, NOW);
    assert_eq!(scene.bob.hop_count(NOW), hops(2));
}

#[test]
fn a_worse_introduction_does_not_take_the_place_of_a_better_one() {
    let mut scene = scene();
    let key = scene.key;
    // Mallory was introduced as well, far away, and answers first.
    let mut far = mint(&operator(), &HolderSecret::from_bytes([1; 32]).public());
    for hop in 1..5 {
        let next = HolderSecret::from_bytes([hop + 1; 32]).public();
        far = far
            .extend(
                &HolderSecret::from_bytes([hop; 32]),
                &next,
                days(80).as_secs(),
            )
            .unwrap();
    }
    let far = far
        .extend(&HolderSecret::from_bytes([5; 32]), &key, days(80).as_secs())
        .unwrap();
    let grant = scene.grant(&far, &key, &scene.channel);
    scene.bob_hears(grant.clone());
    assert_eq!(scene.bob.hop_count(NOW), hops(6));
    scene.alice.take(&scene.request, NOW);
    let answer = scene.alice.publish(NOW);
    scene.bob.take(&answer, NOW);
    assert_eq!(scene.bob.hop_count(NOW), hops(2));
    // Said again, both change nothing.
    let held = scene.bob.introduction();
    scene.bob_hears(grant);
    scene.bob.take(&answer, NOW);
    assert_eq!(scene.bob.introduction(), held);
}

#[test]
fn a_grant_that_nobody_asked_for_is_ignored() {
    let mut scene = scene();
    let mut carol = Phone::new("Carol");
    let link = scene.alice.link(&scene.channel, AccessKind::Full);
    carol.engine.join(&link, None, NOW).unwrap();
    // Alice's answer to Bob, which Carol hears too but cannot open.
    scene.alice.take(&scene.request, NOW);
    let answer = scene.alice.publish(NOW);
    carol.take(&scene.request, NOW);
    carol.take(&answer, NOW);
    assert!(carol.introduction().is_none());
}

fn request_to(phone: &mut Phone, channel: &ChannelId, key: &HolderKey) -> Content {
    Content {
        introduction_request: Some(IntroductionRequest {
            author: Bytes::copy_from_slice(own_hint(phone, channel).as_bytes()),
            node: Bytes::copy_from_slice(node().as_bytes()),
            key: Bytes::copy_from_slice(key.as_bytes()),
        }),
        ..Content::default()
    }
}

#[test]
fn who_does_not_introduce_does_not_answer() {
    let mut alice = Phone::new("Alice");
    let mut bob = Phone::new("Bob");
    let family = meet(&mut alice, &mut bob, "family");
    let work = meet(&mut alice, &mut bob, "work");
    alice.engine.add_invitation(&invitation(1), NOW).unwrap();
    // She does so in another channel only.
    alice.engine.introduce(&work, NOW).unwrap();
    exchange(&mut alice, &mut bob, NOW);
    let mut mallory = Writer::new(alice.link(&family, AccessKind::Full), 6);
    let key = HolderSecret::from_bytes([1; 32]).public();
    let content = request_to(&mut alice, &family, &key);
    alice.take(&[mallory.says(content.clone(), NOW)], NOW);
    assert_eq!(alice.waiting(), 0);
    // Nor when somebody else is asked, or for a node that she has no introduction to.
    alice.engine.introduce(&family, NOW).unwrap();
    alice.publish(NOW);
    let mut wrong = content.clone();
    let request = wrong.introduction_request.as_mut().unwrap();
    let other = hint_of_other(&mut alice, &family);
    request.author = Bytes::copy_from_slice(other.as_bytes());
    alice.take(&[mallory.says(wrong, NOW)], NOW);
    let mut wrong = content.clone();
    let request = wrong.introduction_request.as_mut().unwrap();
    request.node = Bytes::from_static(&[1; 32]);
    alice.take(&[mallory.says(wrong, NOW)], NOW);
    assert_eq!(alice.waiting(), 0);
    // What differs is all that mattered.
    alice.take(&[mallory.says(content, NOW)], NOW);
    assert_eq!(alice.waiting(), 1);
}

#[test]
fn offers_that_bring_nobody_nearer_are_not_asked_for() {
    let mut alice = Phone::new("Alice");
    let family = alice.engine.create_channel("family", NOW).unwrap();
    alice.publish(NOW);
    let mut mallory = Writer::new(alice.link(&family, AccessKind::Full), 6);
    let mut offer = |alice: &mut Phone, hop_count, introduces, now: UnixMillis| {
        let content = Content {
            nodes: Some(NodeList {
                nodes: vec![ListedNode {
                    node: Some(node_link().to_hint()),
                    hop_count,
                    introduces,
                }],
            }),
            ..Content::default()
        };
        alice.take(&[mallory.says(content, now)], now);
        alice.waiting()
    };
    assert_eq!(offer(&mut alice, Some(1), false, NOW), 0);
    for none in [None, Some(0), Some(6), Some(7)] {
        assert_eq!(offer(&mut alice, none, true, NOW), 0, "{none:?}");
    }
    assert_eq!(offer(&mut alice, Some(5), true, NOW), 1);
    // One at a time, even if there is a better one.
    assert_eq!(offer(&mut alice, Some(1), true, NOW), 1);
    alice.publish(NOW);
    alice.engine.add_invitation(&invitation(1), NOW).unwrap();
    assert_eq!(
        offer(&mut alice, Some(1), true, days(4)),
        0,
        "we are nearer"
    );
}

#[test]
fn lists_are_capped() {
    let mut alice = Phone::new("Alice");
    let family = alice.engine.create_channel("family", NOW).unwrap();
    let text = alice
        .engine
        .link(&family, AccessKind::Full, true, NOW)
        .unwrap();
    let list = |from: u8, count: u8, introduces| Content {
        nodes: Some(NodeList {
            nodes: (0..count)
                .map(|number| ListedNode {
                    node: Some(content_hint(from, number)),
                    hop_count: Some(1),
                    introduces,
                })
                .collect(),
        }),
        ..Content::default()
    };
    for seed in 1..=30 {
        let mut mallory = Writer::new(text.parse().unwrap(), seed);
        alice.take(&[mallory.says(list(seed, 50, true), NOW)], NOW);
    }
    let named = alice
        .engine
        .store()
        .read(|tx| {
            let row = tx.find_channel(&family)?.unwrap();
            tx.named_nodes(row)
        })
        .unwrap();
    // Theirs, five each, and that of the link, which they cannot push out.
    assert_eq!(named.len(), 64 + 1);
    assert_eq!(
        named.iter().filter(|named| named.author.is_none()).count(),
        1
    );
    assert_eq!(alice.engine.candidates(NOW).unwrap().len(), 64);
    // And nobody makes us ask around for ever.
    let asked = queued(&mut alice, |content| content.introduction_request.clone());
    assert_eq!(asked.len(), 16);
    let mut mallory = Writer::new(text.parse().unwrap(), 31);
    alice.take(&[mallory.says(list(200, 3, false), NOW)], NOW);
    let mine = |alice: &mut Phone| {
        alice
            .engine
            .candidates(NOW)
            .unwrap()
            .iter()
            .filter(|candidate| candidate.link.host() == "200.example")
            .count()
    };
    assert_eq!(mine(&mut alice), 3);
    // A new list takes the place of the former one.
    alice.take(&[mallory.says(list(200, 1, false), NOW)], NOW);
    assert_eq!(mine(&mut alice), 1);
}

fn content_hint(from: u8, number: u8) -> ailurus::wire::content::NodeHint {
    ailurus::wire::content::NodeHint {
        key: [[from; 16], [number; 16]].concat().into(),
        host: format!("{from}.example"),
        port: u32::from(number) + 1,
    }
}
