//! What a node answers to what clients say of push, without any network.

mod common;

use std::time::Duration;

use ailurus::{
    channel::{Epoch, VapidKey},
    crypto::Pseudonym,
    wire::{
        node::{
            GatewayPush, Push, PushState, PushTrouble, PushWithdrawal, Pushing, Reason, Request,
            WebPush, push, request, response,
        },
        time::UnixMillis,
    },
};
use ailurus_node::{Limits, PushOffer, Session};
use bytes::Bytes;
use tempfile::TempDir;

use common::{ALICE, BOB, Bench, Channel, NOW, release, request, session};

/// The public key of RFC 8291, appendix A.
const P256DH: &str = "042571b2becdfde360551aaf1ed0f4cd366c11cebe555f89bcb7b186a53339173168ece2ebe018597bd30479b86e3c8f8eced577ca59187e9246990db682008b0e";

/// A node that pushes, with a gateway; Alice has a lease there.
fn pushing() -> (Bench, Channel, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let bench = Bench::open(dir.path(), Limits::default());
    let offer = PushOffer {
        vapid_key: VapidKey::from_bytes([4; 65]),
        gateway: true,
        loopback: false,
        requests_per_second_per_host: 10,
    };
    bench.service.offer_push(offer, NOW).expect("readable");
    let channel = Channel::new(1);
    assert_eq!(bench.register(ALICE, NOW, &channel, Epoch::of(NOW)), []);
    (bench, channel, dir)
}

fn said(kind: Option<push::Kind>) -> Request {
    request(request::Kind::Push(Push { kind }))
}

fn web_push(endpoint: &str) -> WebPush {
    WebPush {
        endpoint: endpoint.to_owned(),
        p256dh: Bytes::from(hex::decode(P256DH).expect("hex")),
        auth: Bytes::from_static(&[1; 16]),
    }
}

fn endpoint(endpoint: &str) -> Request {
    said(Some(push::Kind::WebPush(web_push(endpoint))))
}

fn gateway(platform: &str, token: &str) -> Request {
    said(Some(push::Kind::Gateway(GatewayPush {
        platform: platform.to_owned(),
        token: token.to_owned(),
    })))
}

fn challenge(bytes: &'static [u8]) -> Request {
    said(Some(push::Kind::Challenge(Bytes::from_static(bytes))))
}

fn withdrawal() -> Request {
    said(Some(push::Kind::Withdrawal(PushWithdrawal {})))
}

fn ask(
    bench: &Bench,
    who: Pseudonym,
    now: UnixMillis,
    request: Request,
) -> Result<Pushing, Reason> {
    let answers = bench.ask(who, now, request);
    let [answer] = answers.as_slice() else {
        panic!("one answer, not {answers:?}");
    };
    match answer.kind.clone().expect("a kind") {
        response::Kind::Pushing(pushing) => Ok(pushing),
        response::Kind::Refused(refused) => Err(refused.reason()),
        other => panic!("unexpected answer {other:?}"),
    }
}

fn state(answer: Result<Pushing, Reason>) -> Result<(PushState, PushTrouble), Reason> {
    answer.map(|pushing| (pushing.state(), pushing.trouble()))
}

#[test]
fn anybody_may_ask_and_whoever_has_a_lease_may_set() {
    let (bench, _, _dir) = pushing();
    for who in [ALICE, BOB] {
        let pushing = ask(&bench, who, NOW, said(None)).expect("answered");
        assert_eq!(pushing.state(), PushState::None);
        assert_eq!(pushing.vapid_key.as_ref(), [4; 65]);
        assert!(pushing.gateway);
    }
    let url = "https://push.example.net/x";
    assert_eq!(
        state(ask(&bench, BOB, NOW, endpoint(url))),
        Err(Reason::NotRegistered)
    );
    let challenged = Ok((PushState::Challenged, PushTrouble::None));
    assert_eq!(state(ask(&bench, ALICE, NOW, endpoint(url))), challenged);
    assert_eq!(state(ask(&bench, ALICE, NOW, said(None))), challenged);
    // The same again is no new challenge; another one is, and that at most once a minute.
    assert_eq!(state(ask(&bench, ALICE, NOW, endpoint(url))), challenged);
    let other = endpoint("https://push.example.net/y");
    assert_eq!(
        state(ask(&bench, ALICE, NOW, other.clone())),
        Err(Reason::RateLimited)
    );
    let later = NOW.after(Duration::from_secs(60));
    assert_eq!(state(ask(&bench, ALICE, later, other)), challenged);
    let nothing = Ok((PushState::None, PushTrouble::None));
    assert_eq!(state(ask(&bench, ALICE, later, withdrawal())), nothing);
    assert_eq!(state(ask(&bench, ALICE, later, said(None))), nothing);
    assert_eq!(state(ask(&bench, BOB, later, withdrawal())), nothing);
}

#[test]
fn what_cannot_be_used_is_refused() {
    let (bench, _, _dir) = pushing();
    let malformed = Err(Reason::Malformed);
    let mut short = web_push("https://push.example.net/x");
    short.auth = Bytes::from_static(&[1; 15]);
    let mut off_curve = web_push("https://push.example.net/x");
    off_curve.p256dh = Bytes::from_static(&[4; 65]);
    for wrong in [
        endpoint("nowhere"),
        endpoint(&format!("https://push.example.net/{}", "a".repeat(2_000))),
        said(Some(push::Kind::WebPush(short))),
        said(Some(push::Kind::WebPush(off_curve))),
        gateway("FCM", "token"),
        gateway("fcm", ""),
        challenge(&[1; 15]),
        challenge(&[]),
    ] {
        assert_eq!(state(ask(&bench, ALICE, NOW, wrong)), malformed);
    }
    let not_public = Ok((PushState::Dropped, PushTrouble::NotPublic));
    for private in [
        "http://push.example.net/x",
        "https://127.0.0.1/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://localhost:8443/x",
    ] {
        assert_eq!(
            state(ask(&bench, ALICE, NOW, endpoint(private))),
            not_public,
            "{private}"
        );
    }
    // Nothing of it is kept.
    let nothing = Ok((PushState::None, PushTrouble::None));
    assert_eq!(state(ask(&bench, ALICE, NOW, said(None))), nothing);
    assert_eq!(state(ask(&bench, ALICE, NOW, challenge(&[1; 16]))), nothing);
}

#[test]
fn a_guessed_challenge_confirms_nothing() {
    let (bench, _, _dir) = pushing();
    let challenged = Ok((PushState::Challenged, PushTrouble::None));
    assert_eq!(
        state(ask(&bench, ALICE, NOW, gateway("fcm", "token"))),
        challenged
    );
    for guess in [&[0; 16], &[1; 16], &[0xff; 16]] {
        assert_eq!(state(ask(&bench, ALICE, NOW, challenge(guess))), challenged);
    }
}

#[test]
fn early_data_sets_nothing() {
    let (bench, _, _dir) = pushing();
    let early = Session {
        early: true,
        exporter: None,
        ..session(ALICE)
    };
    for request in [
        said(None),
        endpoint("https://push.example.net/x"),
        challenge(&[1; 16]),
        withdrawal(),
    ] {
        let answers = bench.service.handle(&early, NOW, request);
        assert_eq!(common::refusals(&answers), [(0, Reason::EarlyData)]);
    }
}

#[test]
fn it_ends_with_the_registration() {
    let (bench, channel, _dir) = pushing();
    let url = "https://push.example.net/x";
    assert!(ask(&bench, ALICE, NOW, endpoint(url)).is_ok());
    bench.ask(ALICE, NOW, release(&[channel.address(NOW)]));
    let nothing = Ok((PushState::None, PushTrouble::None));
    assert_eq!(state(ask(&bench, ALICE, NOW, said(None))), nothing);
    // Nor does it come back with the next one.
    assert_eq!(bench.register(ALICE, NOW, &channel, Epoch::of(NOW)), []);
    assert_eq!(state(ask(&bench, ALICE, NOW, said(None))), nothing);
    let hello = bench.sync(ALICE, NOW, &Bytes::new()).hello;
    assert_eq!(hello.push(), PushState::None);
}

#[test]
fn hello_says_how_far_it_has_come() {
    let (bench, _, _dir) = pushing();
    let hello = |now| bench.sync(ALICE, now, &Bytes::new()).hello.push();
    assert_eq!(hello(NOW), PushState::None);
    assert!(ask(&bench, ALICE, NOW, gateway("apns", "abc")).is_ok());
    assert_eq!(hello(NOW), PushState::Challenged);
}

#[test]
fn setting_costs_a_hundred_requests() {
    let dir = tempfile::tempdir().expect("a directory");
    let limits = Limits {
        items_per_second: 1,
        items_burst: 150,
        ..Limits::default()
    };
    let bench = Bench::open(dir.path(), limits);
    let url = "https://push.example.net/x";
    // It costs whether the node pushes or not.
    assert!(ask(&bench, ALICE, NOW, endpoint(url)).is_ok());
    assert_eq!(
        state(ask(&bench, ALICE, NOW, endpoint(url))),
        Err(Reason::RateLimited)
    );
    assert!(ask(&bench, ALICE, NOW, said(None)).is_ok());
}

#[test]
fn a_node_without_push_has_no_key_and_takes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let bench = Bench::open(dir.path(), Limits::default());
    let pushing = ask(&bench, ALICE, NOW, said(None)).expect("answered");
    assert!(pushing.vapid_key.is_empty() && !pushing.gateway);
    let dropped = Ok((PushState::Dropped, PushTrouble::Refused));
    let url = "https://push.example.net/x";
    assert_eq!(state(ask(&bench, ALICE, NOW, endpoint(url))), dropped);
    assert_eq!(
        state(ask(&bench, ALICE, NOW, gateway("fcm", "abc"))),
        dropped
    );
}
