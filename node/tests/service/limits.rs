//! Limits of a node, an address and a client.

use super::*;

#[test]
fn an_address_and_the_node_hold_a_limited_number_of_envelopes() {
    let (_dir, count) = bench(Limits {
        envelopes_per_address: 2,
        ..Limits::default()
    });
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 3);
    assert_eq!(
        count.publish(&channel, NOW, &envelopes),
        [(2, Reason::AddressFull)]
    );
    // What is there stays acknowledged.
    assert_eq!(count.publish(&channel, NOW, &envelopes[..2]), []);
    let (_dir, bytes) = bench(Limits {
        bytes_per_address: 2 * 264,
        ..Limits::default()
    });
    assert_eq!(
        bytes.publish(&channel, NOW, &envelopes),
        [(2, Reason::AddressFull)]
    );
    let (_dir, node) = bench(Limits {
        bytes: 264,
        ..Limits::default()
    });
    assert_eq!(node.publish(&channel, NOW, &envelopes[..1]), []);
    let mut other = Channel::new(2);
    let more = other.envelopes(NOW, 200, 1);
    assert_eq!(node.publish(&other, NOW, &more), [(0, Reason::NodeFull)]);
}

#[test]
fn a_client_that_sends_too_fast_is_told() {
    let (_dir, bench) = bench(Limits {
        items_burst: 5,
        items_per_second: 1,
        ..Limits::default()
    });
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 6);
    assert_eq!(
        bench.publish(&channel, NOW, &envelopes),
        [(0, Reason::RateLimited)]
    );
    assert_eq!(bench.publish(&channel, NOW, &envelopes[..5]), []);
    assert_eq!(
        refusals(&bench.ask(ALICE, NOW, sync(Bytes::new()))),
        [(0, Reason::RateLimited)]
    );
    let later = NOW.after(std::time::Duration::from_secs(2));
    assert_eq!(bench.publish(&channel, later, &envelopes[..2]), []);
}

#[test]
fn forgeries_cost_their_sender_more() {
    let (_dir, bench) = bench(Limits {
        items_burst: 100,
        items_per_second: 1,
        ..Limits::default()
    });
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 5);
    let mut request = channel.publish(&envelopes);
    let Some(request::Kind::Publish(publish)) = &mut request.kind else {
        unreachable!()
    };
    for item in &mut publish.items {
        item.sealed = Bytes::from(vec![1; 264]);
    }
    assert_eq!(refusals(&bench.ask(ALICE, NOW, request)).len(), 5);
    assert_eq!(
        bench.publish(&channel, NOW, &envelopes),
        [(0, Reason::RateLimited)]
    );
}
