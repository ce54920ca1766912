//! A node process whose clock is wrong by a day.

use std::{collections::BTreeMap, time::Duration};

use ailurus::client::{Notice, PollReport};

use crate::world::{Person, World, gather, until_all_is_heard};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_a_day_behind_refuses_and_says_so_and_the_others_carry_on() {
    chat_with_a_wrong_clock("-1d").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_a_day_ahead_loses_nothing() {
    chat_with_a_wrong_clock("1d").await;
}

/// Two people chat through three nodes, one of which is wrong; then it is put right, and remains alone.
async fn chat_with_a_wrong_clock(offset: &str) {
    let mut world = World::new();
    let mut links = vec![world.add_node(&["--clock-offset", offset])];
    links.extend([world.add_node(&[]), world.add_node(&[])]);
    let people = gather(vec![
        ("Alice", world.person("Alice", &links)),
        ("Bob", world.person("Bob", &links)),
    ]);
    let (alice, bob) = (&people[0], &people[1]);
    let mut told = Vec::new();
    let mut said: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for round in 0..5 {
        for person in [alice, bob] {
            person.say(round);
            said.entry(person.name.to_owned()).or_default().push(round);
            told.extend(poll(person).await.notices);
        }
    }
    let everybody = [alice, bob];
    let took = until_all_is_heard(&everybody, &everybody, &said).await;
    println!("{offset}: everybody had everything after {took:?}");
    let wrong = *links[0].key();
    let about_time = |notice: &Notice| match notice {
        Notice::Refused { node, reason } => *node == wrong && reason.contains("clock"),
        Notice::Clock { by, ahead, .. } => {
            let day = Duration::from_secs(24 * 3_600);
            by.abs_diff(day) < Duration::from_secs(60) && *ahead == offset.starts_with('-')
        }
        _ => false,
    };
    println!("{offset}: {told:#?}");
    assert!(told.iter().any(about_time), "{told:?}");

    // Right again, it gets what it refused, and is enough.
    world.nodes[0].start_with(&[]);
    for number in 5..7 {
        for person in [alice, bob] {
            person.say(number);
            said.entry(person.name.to_owned()).or_default().push(number);
            poll(person).await;
        }
    }
    until_all_is_heard(&everybody, &everybody, &said).await;
    world.nodes[1].kill();
    world.nodes[2].kill();
    let carol = world.person("Carol", &links[..1]);
    let link = crate::world::bare_link(&alice.client, &alice.channel);
    carol.join(&link, None).expect("joins");
    let carol = Person {
        name: "Carol",
        client: carol,
        channel: alice.channel,
    };
    let took = until_all_is_heard(&[&carol], &[&carol], &said).await;
    println!("{offset}: right again, it had everything after {took:?}");
}

async fn poll(person: &Person) -> PollReport {
    let report = person.client.poll().await.expect("polls");
    assert!(report.nodes_reached > 0, "{report:?}");
    report
}
