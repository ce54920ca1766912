//! Leases: what proves them, and when they are taken.

use super::*;

#[test]
fn a_lease_needs_a_proof_for_this_connection_node_client_and_time() {
    let (_dir, bench) = bench(Limits::default());
    let channel = Channel::new(1);
    let ask = |lease| refusals(&bench.ask(BOB, NOW, register(vec![lease])));
    let node = bench.node;
    assert_eq!(
        ask(channel.lease(epoch(), node, BOB, [1; 32])),
        [(0, Reason::BadProof)]
    );
    assert_eq!(
        ask(channel.lease(epoch(), node, ALICE, EXPORTER)),
        [(0, Reason::BadProof)]
    );
    let other = ailurus::crypto::NodeKey::from_bytes([1; 32]);
    assert_eq!(
        ask(channel.lease(epoch(), other, BOB, EXPORTER)),
        [(0, Reason::BadProof)]
    );
    let mut later = channel.lease(epoch(), node, BOB, EXPORTER);
    later.lease_end -= 1;
    assert_eq!(ask(later), [(0, Reason::BadProof)]);
    let mut foreign = channel.lease(epoch(), node, BOB, EXPORTER);
    foreign.blinded_key = Channel::new(2)
        .lease(epoch(), node, BOB, EXPORTER)
        .blinded_key;
    assert_eq!(ask(foreign), [(0, Reason::BadProof)]);
    let mut short = channel.lease(epoch(), node, BOB, EXPORTER);
    short.proof.truncate(63);
    assert_eq!(ask(short), [(0, Reason::Malformed)]);
    let until = |end| channel.lease_until(epoch(), node, BOB, EXPORTER, end);
    let end = epoch().lease_end();
    assert_eq!(
        ask(until(end.after(std::time::Duration::from_secs(1)))),
        [(0, Reason::LeaseEnd)]
    );
    assert_eq!(ask(until(NOW)), [(0, Reason::LeaseEnd)]);
    assert_eq!(ask(until(end)), []);
}

#[test]
fn a_lease_is_taken_two_days_early_and_no_earlier() {
    let (_dir, bench) = bench(Limits::default());
    let channel = Channel::new(1);
    let next = epoch().next();
    let first = next.start().before(ADDRESS_EARLY);
    assert_eq!(
        bench.register(BOB, first.offset(-1), &channel, next),
        [(0, Reason::TooEarly)]
    );
    assert_eq!(bench.register(BOB, first, &channel, next), []);
}

#[test]
fn early_data_registers_and_releases_nothing() {
    let (_dir, bench) = bench(Limits::default());
    let channel = Channel::new(1);
    let early = Session {
        early: true,
        ..session(BOB)
    };
    let lease = channel.lease(epoch(), bench.node, BOB, EXPORTER);
    let asked = |request| refusals(&bench.service.handle(&early, NOW, request));
    assert_eq!(asked(register(vec![lease])), [(0, Reason::EarlyData)]);
    assert_eq!(
        asked(release(&[channel.address(NOW)])),
        [(0, Reason::EarlyData)]
    );
    let synced = Synced::of(bench.service.handle(&early, NOW, sync(Bytes::new())));
    assert_eq!(synced.hello.leases, 0);
}

#[test]
fn a_client_has_a_limited_number_of_addresses() {
    let (_dir, bench) = bench(Limits {
        addresses_per_client: 2,
        registrations: 1,
        ..Limits::default()
    });
    let channels: Vec<Channel> = (0..3).map(Channel::new).collect();
    let leases = channels
        .iter()
        .map(|channel| channel.lease(epoch(), bench.node, BOB, EXPORTER));
    assert_eq!(
        refusals(&bench.ask(BOB, NOW, register(leases.collect()))),
        [(2, Reason::ClientFull)]
    );
    // Extending one is no new one.
    assert_eq!(bench.register(BOB, NOW, &channels[0], epoch()), []);
    assert_eq!(
        bench.register(ALICE, NOW, &channels[0], epoch()),
        [(0, Reason::NodeFull)]
    );
    bench.ask(BOB, NOW, release(&[channels[0].address(NOW)]));
    assert_eq!(bench.register(BOB, NOW, &channels[2], epoch()), []);
}
