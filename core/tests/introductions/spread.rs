//! How many nodes must have a message until it leaves the outbox.

use ailurus::{
    crypto::NodeKey,
    wire::node::{Published, Registered},
};

use crate::world::{EXPORTER, NOW, Phone, node, node_link, other_link};

fn register(phone: &mut Phone, node: &NodeKey) {
    for registration in phone.engine.register(node, &EXPORTER, NOW).unwrap() {
        let answer = Registered::default();
        let taken = phone.engine.registered(node, &registration, &answer, NOW);
        taken.unwrap();
    }
}

/// What waits everywhere after this node has taken all that waits for it.
fn waits_after(phone: &mut Phone, node: &NodeKey) -> u32 {
    for publication in phone.engine.publish(node, NOW).unwrap().0 {
        let answer = Published::default();
        let taken = phone.engine.published(node, &publication, &answer, NOW);
        taken.unwrap();
    }
    phone.engine.store().read(|tx| tx.outbox_len()).unwrap()
}

/// A phone with something to send, which the node and the second of the others serve, and these others.
fn served_by_two_of_three() -> (Phone, [NodeKey; 2]) {
    let nodes = [node_link(), other_link(1), other_link(2)];
    let [_, full, other] = nodes.each_ref().map(|link| *link.key());
    let mut alice = Phone::with("Alice", &nodes);
    let family = alice.engine.create_channel("family", NOW).unwrap();
    register(&mut alice, &node());
    register(&mut alice, &other);
    alice.engine.send(&family, "Hi!", NOW).unwrap();
    (alice, [full, other])
}

#[test]
fn a_copy_at_a_node_that_does_not_serve_us_does_not_count() {
    let (mut alice, [full, other]) = served_by_two_of_three();
    let waiting = alice.engine.store().read(|tx| tx.outbox_len()).unwrap();
    assert!(waiting > 0);
    assert_eq!(waits_after(&mut alice, &node()), waiting);
    assert_eq!(waits_after(&mut alice, &full), waiting, "it is no second");
    assert_eq!(waits_after(&mut alice, &other), 0);
}

#[test]
fn where_one_node_serves_us_any_other_is_the_second() {
    let nodes = [node_link(), other_link(1)];
    let mut alice = Phone::with("Alice", &nodes);
    let family = alice.engine.create_channel("family", NOW).unwrap();
    register(&mut alice, &node());
    alice.engine.send(&family, "Hi!", NOW).unwrap();
    assert!(waits_after(&mut alice, nodes[1].key()) > 0);
    assert_eq!(waits_after(&mut alice, &node()), 0);
}

#[test]
fn a_message_leaves_once_the_node_that_it_waits_for_is_removed() {
    let (mut alice, [full, gone]) = served_by_two_of_three();
    waits_after(&mut alice, &node());
    assert!(waits_after(&mut alice, &full) > 0);
    alice.engine.remove_node(&gone, NOW).unwrap();
    alice.engine.expire(&[], NOW).unwrap();
    let waiting = alice.engine.store().read(|tx| tx.outbox_len()).unwrap();
    assert_eq!(waiting, 0);
}
