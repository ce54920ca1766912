//! What is published: kept once, and refused item by item.

use super::*;

#[test]
fn resending_is_acknowledged_and_stored_once() {
    let (dir, first) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 3);
    first.register(BOB, NOW, &channel, epoch());
    let twice = [envelopes.clone(), envelopes.clone()].concat();
    assert_eq!(first.publish(&channel, NOW, &twice), []);
    assert_eq!(first.publish(&channel, NOW, &envelopes), []);
    drop(first);
    let again = Bench::open(dir.path(), Limits::default());
    assert_eq!(again.publish(&channel, NOW, &envelopes), []);
    assert_eq!(again.service.store().envelopes(), 3);
    assert_eq!(again.sync(BOB, NOW, &Bytes::new()).envelopes.len(), 3);
}

#[test]
fn many_requests_are_answered_in_their_order_and_committed_together() {
    let (_dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 2);
    let early = Session {
        early: true,
        ..session(BOB)
    };
    let answers = bench.service.handle_all(
        vec![
            (session(BOB), channel.publish(&envelopes[..1])),
            (session(BOB), sync(Bytes::new())),
            (early, release(&[channel.address(NOW)])),
            (session(BOB), channel.publish(&envelopes)),
        ],
        NOW,
    );
    let kinds: Vec<_> = answers.into_iter().map(|answer| answer.kind).collect();
    let [
        Some(response::Kind::Published(first)),
        Some(response::Kind::Refused(synced)),
        Some(response::Kind::Refused(released)),
        Some(response::Kind::Published(last)),
    ] = kinds.as_slice()
    else {
        panic!("{kinds:?}");
    };
    assert!(first.refusals.is_empty() && last.refusals.is_empty());
    assert_eq!(synced.reason(), Reason::Malformed);
    assert_eq!(released.reason(), Reason::EarlyData);
    assert_eq!(bench.service.store().envelopes(), 2);
    assert_eq!(bench.service.metrics().commits.get(), 1);
}

#[test]
fn bad_items_are_refused_one_by_one() {
    let (_dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let late = NOW.after(MAX_AHEAD).offset(1);
    let old = NOW.before(LIFETIME);
    let one = |bench: &Bench, change: &dyn Fn(&mut ailurus::wire::node::Item)| {
        let mut channel = Channel::new(1);
        let envelopes = channel.envelopes(NOW, 200, 3);
        let mut request = channel.publish(&envelopes);
        let Some(request::Kind::Publish(publish)) = &mut request.kind else {
            unreachable!()
        };
        change(&mut publish.items[1]);
        refusals(&bench.ask(ALICE, NOW, request))
    };
    let body = |length: usize| Bytes::from(vec![1; length]);
    assert_eq!(one(&bench, &|_| {}), []);
    assert_eq!(
        one(&bench, &|item| item.sealed = body(200)),
        [(1, Reason::BadSignature)]
    );
    assert_eq!(
        one(&bench, &|item| item.sealed = body(63)),
        [(1, Reason::Malformed)]
    );
    assert_eq!(
        one(&bench, &|item| item.sealed = body(MAX_SEALED + 1)),
        [(1, Reason::TooLarge)]
    );
    assert_eq!(
        one(&bench, &|item| item.kind = 99),
        [(1, Reason::Malformed)]
    );
    assert_eq!(
        one(&bench, &|item| item.kind = 1),
        [(1, Reason::BadSignature)]
    );
    let ahead = channel.envelope(late, 200);
    assert_eq!(
        bench.publish(&channel, NOW, &[ahead]),
        [(0, Reason::ClockAhead)]
    );
    let ok_ahead = channel.envelope(NOW.after(MAX_AHEAD), 200);
    assert_eq!(bench.publish(&channel, NOW, &[ok_ahead]), []);
    let expired = channel.envelope(old, 200);
    assert_eq!(
        bench.publish(&channel, NOW, &[expired]),
        [(0, Reason::Expired)]
    );
    let ok_old = channel.envelope(old.offset(1), 200);
    assert_eq!(bench.publish(&channel, NOW, &[ok_old]), []);
}

#[test]
fn an_envelope_fits_only_its_own_address() {
    let (_dir, bench) = bench(Limits::default());
    let (mut one, mut two) = (Channel::new(1), Channel::new(2));
    let envelope = one.envelope(NOW, 200);
    let of_two = two.envelope(NOW, 200);
    let mut request = two.publish(&[of_two]);
    let Some(request::Kind::Publish(publish)) = &mut request.kind else {
        unreachable!()
    };
    publish.items = vec![envelope.to_item(NOW)];
    assert_eq!(
        refusals(&bench.ask(ALICE, NOW, request.clone())),
        [(0, Reason::BadSignature)]
    );
    let Some(request::Kind::Publish(publish)) = &mut request.kind else {
        unreachable!()
    };
    publish.blinded_key = Bytes::from_static(&[0xff; 32]);
    assert_eq!(
        refusals(&bench.ask(ALICE, NOW, request.clone())),
        [(0, Reason::Malformed)]
    );
    let Some(request::Kind::Publish(publish)) = &mut request.kind else {
        unreachable!()
    };
    publish.blinded_key = Bytes::from_static(&[1; 31]);
    assert_eq!(
        refusals(&bench.ask(ALICE, NOW, request)),
        [(0, Reason::Malformed)]
    );
}

#[test]
fn too_many_at_once_are_malformed() {
    let (_dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelope = channel.envelope(NOW, 200);
    let most = vec![envelope; MAX_ITEMS];
    assert_eq!(bench.publish(&channel, NOW, &most), []);
    let more = [most.clone(), most[..1].to_vec()].concat();
    assert_eq!(
        bench.publish(&channel, NOW, &more),
        [(0, Reason::Malformed)]
    );
    let lease = channel.lease(epoch(), bench.node, BOB, EXPORTER);
    let most = register(vec![lease.clone(); MAX_LEASES]);
    assert_eq!(refusals(&bench.ask(BOB, NOW, most)), []);
    let more = register(vec![lease; MAX_LEASES + 1]);
    assert_eq!(
        refusals(&bench.ask(BOB, NOW, more)),
        [(0, Reason::Malformed)]
    );
    let addresses = vec![channel.address(NOW); MAX_LEASES + 1];
    assert_eq!(
        refusals(&bench.ask(BOB, NOW, release(&addresses))),
        [(0, Reason::Malformed)]
    );
    assert_eq!(
        refusals(&bench.ask(BOB, NOW, Request { kind: None })),
        [(0, Reason::Malformed)]
    );
}
