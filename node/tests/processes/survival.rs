//! Five node processes and a DHT on loopback, killed and started again while people chat.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use crate::world::{Dice, Person, World, bare_link, expect_order, gather, until_all_is_heard};

const FIVE: usize = 5;
/// Of a wake-up in the background.
const BUDGET: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_chat_while_nodes_are_killed_and_started_again() {
    let mut dice = Dice::new();
    let mut world = World::with_dht();
    let links: Vec<_> = (0..FIVE).map(|_| world.add_node(&[])).collect();
    let of = |numbers: [usize; 3]| numbers.map(|number| links[number].clone());
    let people = gather(vec![
        ("Alice", world.person("Alice", &of([0, 1, 2]))),
        ("Bob", world.person("Bob", &of([1, 2, 3]))),
        ("Carol", world.person("Carol", &of([2, 3, 4]))),
        ("Dave", world.person("Dave", &of([3, 4, 0]))),
    ]);
    let [alice, bob, carol, dave] = people.each_ref_of();
    let everybody = [alice, bob, carol, dave];
    // Twice: whoever joined is heard, and whose nodes others cannot know are told.
    for person in everybody.iter().chain(&everybody) {
        let report = person.client.poll().await.expect("polls");
        assert!(report.nodes_reached > 0, "{report:?}");
    }
    // Dave's phone polls; the others are in the foreground.
    let live = [alice, bob, carol].map(|person| person.client.live());

    let stop = Arc::new(AtomicBool::new(false));
    let chats: Vec<_> = everybody
        .iter()
        .map(|&person| tokio::spawn(chat(person.clone(), person.name == "Dave", stop.clone())))
        .collect();
    for _ in 0..16 {
        let place = dice.below(FIVE);
        let up = world.nodes.iter().filter(|node| node.is_up()).count();
        let node = &mut world.nodes[place];
        if !node.is_up() {
            node.start();
        } else if up > 2 {
            node.kill();
        }
        sleep(Duration::from_millis(200 + dice.below(500) as u64)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut said = BTreeMap::new();
    for (person, chat) in everybody.iter().zip(chats) {
        let count = chat.await.expect("no panic");
        assert!(count > 5, "{} said {count}", person.name);
        said.insert(person.name.to_owned(), (0..count).collect::<Vec<_>>());
    }
    world.nodes.iter_mut().for_each(|node| node.start());
    let total: usize = said.values().map(Vec::len).sum();
    let took = until_all_is_heard(&everybody, &[dave], &said).await;
    expect_order(&everybody);
    println!("{total} messages among kills: everybody had all of them after {took:?}");

    // Three at once, for good.
    let first = dice.below(FIVE);
    for place in [first, (first + 1) % FIVE, (first + 3) % FIVE] {
        world.nodes[place].kill();
    }
    let more = say(&everybody, 10_000..10_003);
    let took = until_all_is_heard(&everybody, &[dave], &more).await;
    expect_order(&everybody);
    println!("three of five gone: the next messages took {took:?}");

    drop(live);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_nodes_killed_people_meet_again_by_way_of_the_dht() {
    let mut world = World::with_dht();
    let links: Vec<_> = (0..FIVE).map(|_| world.add_node(&[])).collect();
    let people = gather(vec![
        ("Alice", world.person("Alice", &links)),
        ("Bob", world.person("Bob", &links)),
    ]);
    let (alice, bob) = (&people[0], &people[1]);
    for person in [alice, bob, alice] {
        let report = person.client.poll().await.expect("polls");
        assert!(report.nodes_reached > 0, "{report:?}");
    }
    let before = say(&[alice, bob], 0..3);
    until_all_is_heard(&[alice, bob], &[alice, bob], &before).await;
    // Their nodes tell the DHT of themselves, which outlives them.
    sleep(Duration::from_secs(6)).await;

    // Carol's phone knows others, and nobody else does.
    let link = bare_link(&alice.client, &alice.channel);
    world.nodes.iter_mut().for_each(|node| node.kill());
    let others = [world.add_node(&[]), world.add_node(&[])];
    let carol = Person {
        name: "Carol",
        client: world.person("Carol", &others),
        channel: alice.channel,
    };
    carol.client.join(&link, None).expect("joins");
    let words = say(&[alice, bob, &carol], 10..13);
    let report = carol.client.poll().await.expect("polls");
    assert!(report.nodes_reached > 0, "{report:?}");
    // First they notice that all are gone, Alice in the foreground and Bob's phone by itself; then they have patience for
    // some minutes.
    let live = alice.client.live();
    let report = bob.client.sync_once(BUDGET).await.expect("polls");
    assert_eq!(report.nodes_reached, 0);
    sleep(Duration::from_secs(12)).await;
    world.clock.forward(Duration::from_secs(6 * 60));
    let all = [alice, bob, &carol];
    // On a slow machine the first search may come before Carol's nodes have told of themselves; the next one is due a
    // quarter of an hour later.
    let later = async {
        loop {
            sleep(Duration::from_secs(25)).await;
            world.clock.forward(Duration::from_secs(16 * 60));
        }
    };
    let polling = [bob, &carol];
    let took = tokio::select! {
        took = until_all_is_heard(&all, &polling, &words) => took,
        () = later => unreachable!("it goes on for ever"),
    };
    expect_order(&all);
    println!("all gone: the next messages came by way of the DHT after {took:?}");
    drop(live);
}

trait EachRef {
    fn each_ref_of(&self) -> [&Person; 4];
}

impl EachRef for Vec<Person> {
    fn each_ref_of(&self) -> [&Person; 4] {
        let people: Vec<&Person> = self.iter().collect();
        people.try_into().ok().expect("four people")
    }
}

fn say(people: &[&Person], numbers: Range<usize>) -> BTreeMap<String, Vec<usize>> {
    for number in numbers.clone() {
        people.iter().for_each(|person| person.say(number));
    }
    let each = people.iter();
    each.map(|person| (person.name.to_owned(), numbers.clone().collect()))
        .collect()
}

/// Says something now and then until told to stop; how much.
async fn chat(person: Person, polls: bool, stop: Arc<AtomicBool>) -> usize {
    let saying = async {
        let mut said = 0;
        while !stop.load(Ordering::Relaxed) {
            person.say(said);
            said += 1;
            sleep(Duration::from_millis(150)).await;
        }
        said
    };
    let polling = async {
        while polls && !stop.load(Ordering::Relaxed) {
            let polled = person.client.sync_once(Duration::from_secs(3)).await;
            polled.expect("no error");
            sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::join!(saying, polling).0
}
