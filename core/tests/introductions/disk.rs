//! What stands on the disk of introductions and nodes, for whoever takes the file: nothing that names any.

use std::fs;

use ailurus::channel::AccessKind;

use crate::world::{NOW, Phone, exchange, invitation, meet, node, node_link, other_link, queued};

#[test]
fn nothing_of_introductions_and_named_nodes_stands_in_clear() {
    let mut alice = Phone::with("Alice", &[node_link(), other_link(1)]);
    let mut bob = Phone::with("Bob", &[node_link(), other_link(2)]);
    let family = meet(&mut alice, &mut bob, "family");
    alice.engine.add_invitation(&invitation(1), NOW).unwrap();
    alice.engine.introduce(&family, NOW).unwrap();
    bob.take(&alice.publish(NOW), NOW);
    let asked = queued(&mut bob, |content| content.introduction_request.clone());
    exchange(&mut alice, &mut bob, NOW);
    for phone in [&mut alice, &mut bob] {
        phone.hear(0, NOW);
        phone.settle(NOW);
        phone.register(NOW);
        for announcing in phone.engine.announce(&node(), NOW).unwrap() {
            phone
                .engine
                .announced(&node(), &announcing, &Default::default(), NOW)
                .unwrap();
        }
    }
    exchange(&mut alice, &mut bob, NOW);
    let secret = *invitation(1).secret().expose();
    let mut needles: Vec<(&str, Vec<u8>)> = vec![
        ("holder secret", secret.to_vec()),
        ("asked key", asked[0].key.to_vec()),
    ];
    for link in [node_link(), other_link(1), other_link(2)] {
        needles.push(("host", link.host().as_bytes().to_vec()));
        needles.push(("node key", link.key().as_bytes().to_vec()));
    }
    for phone in [&mut alice, &mut bob] {
        let chain = phone.introduction().expect("both were introduced");
        for id in chain.chain() {
            needles.push(("chain id", id.as_bytes().to_vec()));
        }
        needles.push(("holder", chain.holder().as_bytes().to_vec()));
    }
    let access = alice.link(&family, AccessKind::Full).access;
    let epoch = ailurus::channel::Epoch::of(NOW);
    needles.push((
        "record key",
        access.record_key(epoch).unwrap().as_bytes().to_vec(),
    ));
    for phone in [alice, bob] {
        let Phone { engine, folder } = phone;
        drop(engine);
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            for (name, needle) in &needles {
                assert!(
                    !bytes
                        .windows(needle.len())
                        .any(|window| window == needle.as_slice()),
                    "{name} stands in {}",
                    path.display()
                );
            }
        }
    }
}
