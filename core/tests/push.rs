//! Push on a phone, without a network: what nodes are told, when, and what their answers change.

use std::time::Duration;

use ailurus::channel::{NodeLink, PushChallenge, PushMessage, VapidKey};
use ailurus::client::engine::{Engine, Telling};
use ailurus::client::{Error, PushState, PushTarget, PushTrouble};
use ailurus::crypto::NodeKey;
use ailurus::store::StorageKey;
use ailurus::wire::{
    node::{Hello, Push, PushState as Said, PushTrouble as Why, Pushing, Reason, push, request},
    time::UnixMillis,
};
use tempfile::TempDir;

const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);
const CHALLENGE: PushChallenge = PushChallenge::from_bytes([9; 16]);

fn link(seed: u8) -> NodeLink {
    let host = format!("node{seed}.example.org");
    NodeLink::new(NodeKey::from_bytes([seed; 32]), &host, 4_433).unwrap()
}

fn node() -> NodeKey {
    *link(1).key()
}

fn phone(nodes: &[NodeLink]) -> (Engine, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.db");
    let key = StorageKey::from_bytes([1; 32]);
    let engine = Engine::create(&path, &key, "Alice", nodes).unwrap();
    (engine, folder)
}

fn endpoint(name: &str) -> PushTarget {
    PushTarget::WebPush {
        endpoint: format!("https://push.example.net/{name}"),
        p256dh: [&[4][..], &[7; 64]].concat(),
        auth: vec![1; 16],
    }
}

fn hours(hours: u64) -> UnixMillis {
    NOW.after(Duration::from_secs(hours * 3_600))
}

/// What is to be told at a node, if anything.
fn due(engine: &mut Engine, node: &NodeKey, now: UnixMillis) -> Option<(Telling, push::Kind)> {
    let telling = engine.push(node, now).unwrap();
    assert_eq!(engine.work(node, now).unwrap().push, telling.is_some());
    let telling = telling?;
    let Some(request::Kind::Push(Push { kind: Some(kind) })) = telling.request.kind.clone() else {
        panic!("it says something of push");
    };
    Some((telling, kind))
}

fn said(state: Said) -> Pushing {
    Pushing {
        state: state.into(),
        vapid_key: bytes::Bytes::from_static(&[4; 65]),
        ..Pushing::default()
    }
}

/// Tells a node what is due, which answers so.
fn tell(engine: &mut Engine, node: &NodeKey, state: Said, now: UnixMillis) -> push::Kind {
    let (telling, kind) = due(engine, node, now).expect("due");
    engine.pushing(node, &telling, &said(state), now).unwrap();
    kind
}

fn state(engine: &mut Engine) -> PushState {
    engine.push_status(&node()).unwrap().state
}

fn hear(engine: &mut Engine, push: Said, now: UnixMillis) {
    let hello = Hello {
        time_ms: now.as_millis(),
        push: push.into(),
        ..Hello::default()
    };
    engine.hello(&node(), &hello, now).unwrap();
}

/// Confirmed at the node.
fn confirmed(engine: &mut Engine, node: &NodeKey) {
    engine.set_push(node, &endpoint("x")).unwrap();
    tell(engine, node, Said::Challenged, NOW);
    engine.push_challenged(node, &CHALLENGE).unwrap();
    let kind = tell(engine, node, Said::Confirmed, NOW);
    assert!(matches!(kind, push::Kind::Challenge(c) if c.as_ref() == CHALLENGE.as_bytes()));
}

#[test]
fn a_node_is_told_challenges_and_is_told_again_after_20_hours() {
    let (mut alice, _folder) = phone(&[link(1)]);
    assert!(due(&mut alice, &node(), NOW).is_none());
    assert_eq!(state(&mut alice), PushState::Off);
    alice.set_push(&node(), &endpoint("x")).unwrap();
    assert_eq!(state(&mut alice), PushState::Waiting);
    let kind = tell(&mut alice, &node(), Said::Challenged, NOW);
    let push::Kind::WebPush(told) = kind else {
        panic!("an endpoint, not {kind:?}");
    };
    assert_eq!(told.endpoint, "https://push.example.net/x");
    assert_eq!(state(&mut alice), PushState::Challenged);
    assert!(due(&mut alice, &node(), hours(19)).is_none());
    alice.push_challenged(&node(), &CHALLENGE).unwrap();
    let kind = tell(&mut alice, &node(), Said::Confirmed, NOW);
    assert!(matches!(kind, push::Kind::Challenge(_)));
    assert_eq!(state(&mut alice), PushState::Confirmed);
    let key = alice.push_status(&node()).unwrap().key;
    assert_eq!(key, Some(VapidKey::from_bytes([4; 65])));
    assert!(due(&mut alice, &node(), hours(19)).is_none());
    let kind = tell(&mut alice, &node(), Said::Confirmed, hours(20));
    assert!(matches!(kind, push::Kind::WebPush(_)));
    assert!(due(&mut alice, &node(), hours(39)).is_none());
    // By a clock that was set back a year it is told once more, and not at each contact.
    let year_ago = NOW.before(Duration::from_secs(365 * 24 * 3_600));
    tell(&mut alice, &node(), Said::Confirmed, year_ago);
    assert!(due(&mut alice, &node(), year_ago).is_none());
}

#[test]
fn what_a_node_forgot_or_dropped_shows_in_its_hello() {
    let (mut alice, _folder) = phone(&[link(1)]);
    confirmed(&mut alice, &node());
    hear(&mut alice, Said::Confirmed, NOW);
    assert!(due(&mut alice, &node(), NOW).is_none());
    // It lost the registration.
    hear(&mut alice, Said::None, NOW);
    assert_eq!(state(&mut alice), PushState::Waiting);
    tell(&mut alice, &node(), Said::Challenged, NOW);
    // The answer to the challenge was lost.
    hear(&mut alice, Said::Confirmed, NOW);
    assert_eq!(state(&mut alice), PushState::Confirmed);
    // The push service says that the subscription is gone: the node says why when it is told again.
    hear(&mut alice, Said::Dropped, NOW);
    let (telling, _) = due(&mut alice, &node(), NOW).expect("due");
    let answer = Pushing {
        trouble: Why::Gone.into(),
        ..said(Said::Dropped)
    };
    alice.pushing(&node(), &telling, &answer, NOW).unwrap();
    assert_eq!(state(&mut alice), PushState::Dropped(PushTrouble::Gone));
    hear(&mut alice, Said::Dropped, NOW);
    assert!(due(&mut alice, &node(), NOW).is_none());
    // It is tried again a day later, and a new one at once.
    assert!(due(&mut alice, &node(), hours(20)).is_some());
    alice.set_push(&node(), &endpoint("y")).unwrap();
    assert!(due(&mut alice, &node(), NOW).is_some());
}

#[test]
fn what_is_set_anew_meanwhile_is_not_confirmed_by_an_old_answer() {
    let (mut alice, _folder) = phone(&[link(1)]);
    alice.set_push(&node(), &endpoint("x")).unwrap();
    tell(&mut alice, &node(), Said::Challenged, NOW);
    alice.push_challenged(&node(), &CHALLENGE).unwrap();
    let (telling, _) = due(&mut alice, &node(), NOW).expect("due");
    alice.set_push(&node(), &endpoint("y")).unwrap();
    let answer = said(Said::Confirmed);
    alice.pushing(&node(), &telling, &answer, NOW).unwrap();
    assert_eq!(state(&mut alice), PushState::Waiting);
    let kind = tell(&mut alice, &node(), Said::Challenged, NOW);
    assert!(matches!(kind, push::Kind::WebPush(told) if told.endpoint.ends_with("/y")));
}

#[test]
fn a_challenge_that_a_node_does_not_know_is_given_up() {
    let (mut alice, _folder) = phone(&[link(1)]);
    // Nothing was set, or it is of somebody else.
    alice.push_challenged(&node(), &CHALLENGE).unwrap();
    alice
        .push_challenged(&NodeKey::from_bytes([8; 32]), &CHALLENGE)
        .unwrap();
    assert!(due(&mut alice, &node(), NOW).is_none());
    alice.set_push(&node(), &endpoint("x")).unwrap();
    tell(&mut alice, &node(), Said::Challenged, NOW);
    alice.push_challenged(&node(), &CHALLENGE).unwrap();
    tell(&mut alice, &node(), Said::Challenged, NOW);
    assert_eq!(state(&mut alice), PushState::Challenged);
    assert!(due(&mut alice, &node(), NOW).is_none());
    assert_eq!(PushMessage::parse(&[2; 10]), PushMessage::Wakeup);
}

#[test]
fn a_withdrawal_is_told_until_the_node_knows() {
    let (mut alice, _folder) = phone(&[link(1)]);
    alice.clear_push(&node()).unwrap();
    assert!(due(&mut alice, &node(), NOW).is_none());
    confirmed(&mut alice, &node());
    alice.clear_push(&node()).unwrap();
    assert_eq!(state(&mut alice), PushState::Withdrawing);
    let (telling, kind) = due(&mut alice, &node(), NOW).expect("due");
    assert!(matches!(kind, push::Kind::Withdrawal(_)));
    alice
        .push_refused(&node(), &telling, Reason::RateLimited, NOW)
        .unwrap();
    assert_eq!(state(&mut alice), PushState::Withdrawing);
    tell(&mut alice, &node(), Said::None, NOW);
    assert_eq!(state(&mut alice), PushState::Off);
    assert!(due(&mut alice, &node(), NOW).is_none());
}

#[test]
fn a_refusal_is_for_later_or_for_good() {
    let (mut alice, _folder) = phone(&[link(1)]);
    alice.set_push(&node(), &endpoint("x")).unwrap();
    for reason in [Reason::NotRegistered, Reason::RateLimited, Reason::Storage] {
        let (telling, _) = due(&mut alice, &node(), NOW).expect("due");
        alice.push_refused(&node(), &telling, reason, NOW).unwrap();
        assert_eq!(state(&mut alice), PushState::Waiting);
    }
    // So does a node of an earlier version.
    let (telling, _) = due(&mut alice, &node(), NOW).expect("due");
    alice
        .push_refused(&node(), &telling, Reason::Malformed, NOW)
        .unwrap();
    assert_eq!(state(&mut alice), PushState::Dropped(PushTrouble::Refused));
    assert!(due(&mut alice, &node(), NOW).is_none());
}

#[test]
fn push_is_there_if_the_polled_node_and_a_standby_wake_us() {
    let (mut alice, _folder) = phone(&[link(1)]);
    assert!(!alice.push_available().unwrap());
    confirmed(&mut alice, &node());
    alice.plan(NOW).unwrap();
    assert!(alice.push_available().unwrap());

    let (mut alice, _folder) = phone(&[link(1), link(2), link(3)]);
    let order = alice.plan(NOW).unwrap().order;
    let [polled, standby, _] = [0, 1, 2].map(|place| *order[place].link.key());
    confirmed(&mut alice, &polled);
    assert!(
        !alice.push_available().unwrap(),
        "if it is down, nobody wakes us"
    );
    confirmed(&mut alice, &standby);
    assert!(alice.push_available().unwrap());
    alice.remove_node(&polled, NOW).unwrap();
    assert!(!alice.push_available().unwrap());
    assert!(matches!(alice.push_status(&polled), Err(Error::NoNode)));
}

#[test]
fn what_every_node_would_refuse_is_an_error_here() {
    let (mut alice, _folder) = phone(&[link(1)]);
    let web_push = |endpoint: &str, p256dh: usize, auth: usize| PushTarget::WebPush {
        endpoint: endpoint.to_owned(),
        p256dh: vec![4; p256dh],
        auth: vec![1; auth],
    };
    let gateway = |platform: &str, token: &str| PushTarget::Gateway {
        platform: platform.to_owned(),
        token: token.to_owned(),
    };
    let url = "https://push.example.net/x";
    for wrong in [
        web_push("push.example.net", 65, 16),
        web_push(&format!("{url}{}", "x".repeat(1_024)), 65, 16),
        web_push(url, 64, 16),
        web_push(url, 65, 15),
        gateway("FCM", "token"),
        gateway("", "token"),
        gateway("fcm", ""),
        gateway("fcm", "a token"),
    ] {
        let refused = alice.set_push(&node(), &wrong);
        assert!(matches!(refused, Err(Error::PushTarget(_))), "{wrong:?}");
    }
    assert!(alice.set_push(&node(), &gateway("fcm", "token")).is_ok());
    let shown = format!("{:?}", gateway("fcm", "secret-token"));
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn another_phone_that_a_backup_was_restored_on_is_not_woken() {
    let (mut alice, folder) = phone(&[link(1)]);
    confirmed(&mut alice, &node());
    let backup = folder.path().join("backup");
    alice.store().export(&backup, "passphrase").unwrap();
    let path = folder.path().join("restored.db");
    let key = StorageKey::from_bytes([2; 32]);
    let mut restored = Engine::import(&backup, "passphrase", &path, &key).unwrap();
    assert_eq!(state(&mut restored), PushState::Off);
    assert!(!restored.push_available().unwrap());
    assert_eq!(state(&mut alice), PushState::Confirmed);
}
