//! A node process whose clock is wrong by a day.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use ailurus::{client::Notice, crypto::NodeKey};
use tokio::time::sleep;

use crate::common::daemon::free_address;
use crate::reconciliation::kept;
use crate::world::{PATIENCE, Person, World, bare_link, expect_order, gather, until_all_is_heard};

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_a_day_behind_is_told_of_and_left() {
    let mut chat = Chat::new("-1d");
    chat.go_on(0..5).await;
    chat.expect_complaint(true);
    let everybody = [&chat.people[0], &chat.people[1]];
    let took = until_all_is_heard(&everybody, &everybody, &chat.said).await;
    println!("a day behind: everybody had everything after {took:?}");
    for person in everybody {
        chat.expect_left(person);
    }

    // Right again, it gets what it refused, and is enough.
    let wrong = chat.metrics[0].to_string();
    chat.world.nodes[0].start_with(&["--metrics", &wrong]);
    chat.go_on(5..7).await;
    let everybody = [&chat.people[0], &chat.people[1]];
    until_all_is_heard(&everybody, &everybody, &chat.said).await;
    let begun = Instant::now();
    while kept(chat.metrics[0]) < kept(chat.metrics[1]) {
        assert!(begun.elapsed() < PATIENCE, "{}", kept(chat.metrics[0]));
        sleep(Duration::from_millis(100)).await;
    }
    println!("right again, it was complete after {:?}", begun.elapsed());
    chat.world.nodes[1].kill();
    chat.world.nodes[2].kill();
    let carol = chat
        .world
        .person("Carol", &[chat.world.nodes[0].link.clone()]);
    let alice = &chat.people[0];
    let link = bare_link(&alice.client, &alice.channel);
    carol.join(&link, None).expect("joins");
    let carol = Person {
        name: "Carol",
        client: carol,
        channel: alice.channel,
    };
    let took = until_all_is_heard(&[&carol], &[&carol], &chat.said).await;
    expect_order(&[everybody[0], everybody[1], &carol]);
    println!("and alone it gave everything after {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_a_day_ahead_took_is_everywhere_a_day_later() {
    let mut chat = Chat::new("1d");
    chat.go_on(0..5).await;
    chat.expect_complaint(false);
    for person in &chat.people {
        chat.expect_left(person);
    }
    // Only the first words may have gone to it, dated ahead.
    let acknowledged = |person: &Person| {
        let messages = person.heard();
        messages[person.name].len() - person.unsent()
    };
    assert!(chat.people.iter().all(|person| acknowledged(person) == 5));

    // A day later the others take what they refused, from whoever sent it, also with that node gone.
    chat.world.nodes[0].kill();
    chat.world.clock.forward(DAY);
    chat.world.nodes[1].start_with(&["--clock-offset", "1d"]);
    chat.world.nodes[2].start_with(&["--clock-offset", "1d"]);
    chat.go_on(5..7).await;
    let everybody = [&chat.people[0], &chat.people[1]];
    let took = until_all_is_heard(&everybody, &everybody, &chat.said).await;
    // They are shown by the time that they were given; each is there once.
    for person in everybody {
        let once = |numbers: &Vec<usize>| numbers.len() == 7;
        assert!(person.heard().values().all(once), "{:?}", person.heard());
    }
    println!("a day ahead: a day later everybody had everything after {took:?}");
}

/// Two people who chat through three nodes, the first of which has the wrong time.
struct Chat {
    world: World,
    people: Vec<Person>,
    said: BTreeMap<String, Vec<usize>>,
    told: Vec<Notice>,
    wrong: NodeKey,
    /// Of the wrong node and a right one.
    metrics: [SocketAddr; 2],
}

impl Chat {
    fn new(offset: &str) -> Self {
        let mut world = World::new();
        let metrics = [free_address(), free_address()];
        let [of_wrong, of_right] = metrics.map(|address| address.to_string());
        let wrong = world.add_node(&["--clock-offset", offset, "--metrics", &of_wrong]);
        // Both begin there.
        let mut people = gather(vec![
            ("Alice", world.person("Alice", std::slice::from_ref(&wrong))),
            ("Bob", world.person("Bob", std::slice::from_ref(&wrong))),
        ]);
        for settings in [&["--metrics", &of_right][..], &[]] {
            let right = world.add_node(settings);
            for person in &mut people {
                person.client.add_node(&right).expect("added");
            }
        }
        Self {
            world,
            people,
            said: BTreeMap::new(),
            told: Vec::new(),
            wrong: *wrong.key(),
            metrics,
        }
    }

    /// Both say something and poll, in turn.
    async fn go_on(&mut self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            for person in &self.people {
                person.say(number);
                let said = self.said.entry(person.name.to_owned()).or_default();
                said.push(number);
                let report = person.client.poll().await.expect("polls");
                assert!(report.nodes_reached > 0, "{report:?}");
                self.told.extend(report.notices);
            }
        }
    }

    /// Somebody was told that the node's clock is a day from theirs, or that it refused something for its time.
    fn expect_complaint(&self, ahead_of_it: bool) {
        let complains = |notice: &Notice| match notice {
            Notice::Refused { node, reason } => *node == self.wrong && reason.contains("clock"),
            Notice::Clock { by, ahead, .. } => {
                by.abs_diff(DAY) < Duration::from_secs(60) && *ahead == ahead_of_it
            }
            _ => false,
        };
        assert!(self.told.iter().any(complains), "{:?}", self.told);
    }

    /// Another node is polled.
    fn expect_left(&self, person: &Person) {
        let nodes = person.client.nodes().expect("nodes");
        assert_ne!(nodes[0].id, self.wrong, "{nodes:?}");
    }
}
