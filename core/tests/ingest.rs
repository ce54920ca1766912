//! What a phone makes of hostile input: members and nodes that lie, replay, withhold and contradict themselves.

use ailurus::channel::{
    AccessKind, Address, AuthorHint, ChannelId, Envelope, Epoch, Link, MessageId, NodeLink,
    Previous,
    message::{Draft, EpochCipher, Recipient, encode_content},
};
use ailurus::client::{
    Notice,
    engine::{Change, Engine},
};
use ailurus::crypto::{DhSecret, NodeKey, NodeSecret, SeededEntropy, SigningKey};
use ailurus::store::{Page, StorageKey};
use ailurus::wire::{
    content::{Content, Introduction},
    node::Batch,
    time::UnixMillis,
};
use bytes::Bytes;
use tempfile::TempDir;

const NOW: UnixMillis = UnixMillis::from_secs(2_900 * 604_800 + 100_000);

/// A phone that receives.
struct Phone {
    engine: Engine,
    node: NodeKey,
    channel: ChannelId,
    _folder: TempDir,
}

impl Phone {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let node = NodeSecret::from_bytes([9; 32]).public();
        let nodes = [NodeLink::new(node, "127.0.0.1", 1).expect("a link")];
        let key = StorageKey::from_bytes([1; 32]);
        let mut engine =
            Engine::create(&folder.path().join("p.db"), &key, "Alice", &nodes).expect("a profile");
        let channel = engine.create_channel("family", NOW).expect("a channel");
        Self {
            engine,
            node,
            channel,
            _folder: folder,
        }
    }

    /// What a member holds, hostile ones included.
    fn link(&mut self) -> Link {
        self.engine
            .link(&self.channel, AccessKind::Full, true, NOW)
            .expect("a link")
            .parse()
            .expect("it parses")
    }

    fn take_in(&mut self, envelopes: &[Envelope]) -> (Vec<Change>, u64) {
        let batches: Vec<Batch> = envelopes.iter().map(batch).collect();
        let done = self
            .engine
            .ingest(&self.node, &batches, None, NOW)
            .expect("hostile input is not an error");
        (done.changes, done.dropped)
    }

    fn texts(&mut self) -> Vec<String> {
        self.engine
            .messages(&self.channel, Page::Latest, 10_000)
            .expect("messages")
            .into_iter()
            .map(|message| message.text)
            .collect()
    }

    fn member(&mut self, name: &str) -> Option<ailurus::client::Member> {
        self.engine
            .members(&self.channel)
            .expect("members")
            .into_iter()
            .rfind(|member| member.name == name)
    }
}

/// Somebody who holds the keys of the channel and writes what they like.
struct Writer<'a> {
    link: &'a Link,
    key: SigningKey,
    entropy: SeededEntropy,
    sequence: u64,
    previous: Previous,
}

impl<'a> Writer<'a> {
    fn new(link: &'a Link, seed: u8) -> Self {
        Self {
            link,
            key: SigningKey::from_bytes(&[seed; 32]).expect("a key"),
            entropy: SeededEntropy::from_u64(u64::from(seed)),
            sequence: 0,
            previous: Previous::NONE,
        }
    }

    fn says(&mut self, text: &str) -> Envelope {
        self.says_with(text, None, true, NOW)
    }

    fn introduces(&mut self, name: &str, text: &str) -> Envelope {
        self.says_with(text, Some(name), true, NOW)
    }

    fn says_with(
        &mut self,
        text: &str,
        name: Option<&str>,
        bring_key: bool,
        time: UnixMillis,
    ) -> Envelope {
        let content = Content {
            text: Some(text.to_owned()),
            introduction: name.map(|name| Introduction {
                name: name.to_owned(),
                dh_key: Bytes::copy_from_slice(DhSecret::from_bytes([3; 32]).public().as_bytes()),
            }),
            ..Content::default()
        };
        self.sequence += 1;
        let author = self.key.public();
        let mut encoded =
            encode_content(content.clone(), &author, self.sequence, bring_key).to_vec();
        if !bring_key {
            encoded = prost::Message::encode_to_vec(&content);
        }
        let (envelope, id) = self.seal(&encoded, time);
        self.previous = Previous::of(&id);
        envelope
    }

    fn seal(&mut self, content: &[u8], time: UnixMillis) -> (Envelope, MessageId) {
        let epoch = Epoch::of(time);
        let access = &self.link.access;
        let address = access.address_keys(epoch).expect("keys").address;
        let blinded = access
            .blinded_signing(epoch)
            .expect("keys")
            .expect("writes");
        let secret = self
            .link
            .read
            .as_ref()
            .expect("reads")
            .at(epoch)
            .expect("a secret");
        let draft = Draft {
            channel: access.channel_id(),
            address,
            time,
            author: &self.key,
            sequence: self.sequence,
            previous: self.previous,
            content,
        };
        draft
            .seal(
                &Recipient::Readers(&EpochCipher::new(&secret)),
                &blinded,
                &mut self.entropy,
            )
            .expect("sealed")
    }
}

fn batch(envelope: &Envelope) -> Batch {
    let header = envelope.header();
    Batch {
        address: Bytes::copy_from_slice(header.address.as_bytes()),
        base_time_ms: header.time.as_millis(),
        items: vec![envelope.to_item(header.time)],
    }
}

fn tampered(envelope: &Envelope, at: usize) -> Envelope {
    let mut sealed = envelope.sealed().to_vec();
    sealed[at] ^= 1;
    let header = envelope.header();
    Envelope::parse(header.address, header.time, header.kind, sealed.into()).expect("parses")
}

fn notices(changes: &[Change]) -> Vec<&Notice> {
    changes
        .iter()
        .filter_map(|change| match change {
            Change::Notice(notice) => Some(notice),
            _ => None,
        })
        .collect()
}

#[test]
fn replays_are_stored_once() {
    let mut phone = Phone::new();
    let link = phone.link();
    let mut mallory = Writer::new(&link, 5);
    let envelope = mallory.introduces("Mallory", "once");
    for _ in 0..3 {
        phone.take_in(&[envelope.clone(), envelope.clone()]);
    }
    assert_eq!(phone.texts(), ["once"]);
}

#[test]
fn a_deleted_message_does_not_come_back() {
    let mut phone = Phone::new();
    let link = phone.link();
    let mut bob = Writer::new(&link, 5);
    let envelope = bob.introduces("Bob", "regret");
    phone.take_in(std::slice::from_ref(&envelope));
    let id = phone
        .engine
        .messages(&phone.channel, Page::Latest, 1)
        .expect("messages")[0]
        .id;
    phone.engine.delete_message(&id).expect("deleted");
    phone.take_in(&[envelope]);
    assert!(phone.texts().is_empty());
}

#[test]
fn outer_and_inner_signatures_are_checked() {
    let mut phone = Phone::new();
    let link = phone.link();
    let mut bob = Writer::new(&link, 5);
    let first = bob.introduces("Bob", "first");
    let second = bob.says("second");
    // The first of an author in an epoch must show that its writer holds the write key.
    let (_, dropped) = phone.take_in(&[tampered(&first, 3), second.clone()]);
    assert_eq!(dropped, 1);
    assert_eq!(phone.texts(), ["second"], "the second shows its own");
    phone.take_in(&[first]);
    assert_eq!(phone.texts().len(), 2);

    // A body that was changed does not open.
    let third = bob.says("third");
    let (_, dropped) = phone.take_in(&[tampered(&third, 90)]);
    assert_eq!(dropped, 1);

    // Somebody else cannot speak under Bob's hint: the signature inside is Bob's or none.
    let mut mallory = Writer::new(&link, 6);
    mallory.sequence = 10;
    let forged = mallory.says_with("as Bob?", None, false, NOW);
    let (_, _) = phone.take_in(&[forged]);
    assert!(
        !phone.texts().contains(&"as Bob?".to_owned()),
        "an unknown author waits"
    );
}

#[test]
fn unknown_authors_wait_for_their_introduction() {
    let mut phone = Phone::new();
    let link = phone.link();
    let mut bob = Writer::new(&link, 5);
    let early: Vec<_> = (0..3)
        .map(|n| bob.says_with(&format!("early {n}"), None, false, NOW))
        .collect();
    let (_, dropped) = phone.take_in(&early);
    assert_eq!(dropped, 0);
    assert!(phone.texts().is_empty());
    assert_eq!(phone.engine.channels().expect("channels")[0].pending, 3);
    let introduction = bob.introduces("Bob", "hello");
    phone.take_in(&[introduction]);
    assert_eq!(phone.texts().len(), 4);
    assert_eq!(phone.engine.channels().expect("channels")[0].pending, 0);
    assert_eq!(phone.member("Bob").expect("known").missing, 0);
}

#[test]
fn pending_envelopes_are_capped() {
    let mut phone = Phone::new();
    let link = phone.link();
    let mut flood = Writer::new(&link, 5);
    let envelopes: Vec<_> = (0..1_100)
        .map(|n| flood.says_with(&n.to_string(), None, false, NOW))
        .collect();
    phone.take_in(&envelopes);
    let pending = phone.engine.channels().expect("channels")[0].pending;
    assert!((1_000..=1_001).contains(&pending), "{pending}");
}

#[test]
fn a_second_key_under_a_used_name_is_marked() {
    let mut phone = Phone::new();
    let link = phone.link();
    let (mut bob, mut mallory) = (Writer::new(&link, 5), Writer::new(&link, 6));
    let real = bob.introduces("Bob", "it is me");
    phone.take_in(&[real]);
    let fake = mallory.introduces("bob ", "no, me");
    let (changes, _) = phone.take_in(&[fake]);
    assert!(
        notices(&changes)
            .iter()
            .any(|notice| matches!(notice, Notice::NameTaken { .. })),
        "{changes:?}"
    );
    assert!(!phone.member("Bob").expect("known").name_taken);
    assert!(phone.member("bob ").expect("known").name_taken);
}

#[test]
fn whoever_introduces_themselves_is_told_of_once() {
    let mut phone = Phone::new();
    let link = phone.link();
    let mut bob = Writer::new(&link, 5);
    let first = bob.introduces("Bob", "1");
    let (changes, _) = phone.take_in(std::slice::from_ref(&first));
    let told = notices(&changes);
    assert!(
        matches!(told[..], [Notice::Joined { name, .. }] if name == "Bob"),
        "{changes:?}"
    );
    let (changes, _) = phone.take_in(&[first]);
    assert!(notices(&changes).is_empty(), "a resync: {changes:?}");
    // Nor does taking the name back and claiming it anew make anybody join again.
    for name in ["", "Bob", "Robert", ""] {
        let again = bob.introduces(name, "again");
        let (changes, _) = phone.take_in(&[again]);
        assert!(notices(&changes).is_empty(), "{name:?}: {changes:?}");
    }
}

#[test]
fn gaps_and_forks_show() {
    let mut phone = Phone::new();
    let link = phone.link();
    let mut bob = Writer::new(&link, 5);
    let first = bob.introduces("Bob", "1");
    let withheld = bob.says("2");
    let third = bob.says("3");
    phone.take_in(&[first, third.clone()]);
    assert_eq!(phone.member("Bob").expect("known").missing, 1);
    let (changes, _) = phone.take_in(&[withheld]);
    assert!(notices(&changes).is_empty(), "{changes:?}");
    assert_eq!(phone.member("Bob").expect("known").missing, 0);

    bob.sequence = 2;
    let other = bob.says("another 3");
    let (changes, _) = phone.take_in(&[other]);
    assert!(
        notices(&changes)
            .iter()
            .any(|notice| matches!(notice, Notice::Forked { .. })),
        "{changes:?}"
    );
    assert!(phone.member("Bob").expect("known").forked);
}

#[test]
fn wrong_times_and_addresses_are_dropped() {
    let mut phone = Phone::new();
    let link = phone.link();
    let mut bob = Writer::new(&link, 5);
    let future = bob.says_with(
        "later",
        Some("Bob"),
        true,
        UnixMillis::from_secs(NOW.as_secs() + 25 * 3_600),
    );
    let (_, dropped) = phone.take_in(&[future]);
    assert_eq!(dropped, 1);

    // An envelope of another epoch under this epoch's address.
    let envelope = bob.says("here");
    let header = envelope.header();
    let moved = Envelope::parse(
        header.address,
        UnixMillis::from_secs(NOW.as_secs() - 604_800),
        header.kind,
        envelope.sealed().clone(),
    )
    .expect("parses");
    let (_, dropped) = phone.take_in(&[moved]);
    assert_eq!(dropped, 1);

    let mut foreign = batch(&envelope);
    foreign.address = Bytes::copy_from_slice(Address::from_bytes([8; 32]).as_bytes());
    let done = phone
        .engine
        .ingest(&phone.node, &[foreign], None, NOW)
        .expect("no error");
    assert_eq!(done.dropped, 1);
    assert!(phone.texts().is_empty());
}

#[test]
fn nobody_but_an_admin_rotates() {
    let mut phone = Phone::new();
    let link = phone.link();
    let mut mallory = Writer::new(&link, 6);
    let statement_key = SigningKey::from_bytes(&[6; 32]).expect("a key");
    let notice = ailurus::channel::rotation::Rotation::sign(
        &phone.channel,
        1,
        NOW,
        &[],
        &statement_key,
        &mut SeededEntropy::from_u64(1),
    )
    .expect("signed");
    mallory.sequence = 1;
    let author = mallory.key.public();
    let content = Content {
        rotation: Some(notice),
        ..Content::default()
    };
    let encoded = encode_content(content, &author, 1, true).to_vec();
    let (envelope, _) = mallory.seal(&encoded, NOW);
    let (changes, dropped) = phone.take_in(&[envelope]);
    assert_eq!(dropped, 0);
    assert!(notices(&changes).is_empty(), "{changes:?}");
    assert!(!phone.engine.channels().expect("channels")[0].moved);
}

#[test]
fn hints_differ_by_channel() {
    let key = SigningKey::from_bytes(&[5; 32]).expect("a key").public();
    let a = AuthorHint::of(&ChannelId::from_bytes([1; 32]), &key);
    let b = AuthorHint::of(&ChannelId::from_bytes([2; 32]), &key);
    assert_ne!(a, b);
}
