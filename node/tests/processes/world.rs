//! Node processes, the DHT that they share, and people who use them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use ailurus::{
    channel::{AccessKind, ChannelId, Link, NodeLink},
    client::{Client, DhtMode, MessageState, Options, Page, SystemClock},
    crypto::{OsEntropy, SeededEntropy, entropy},
    store::StorageKey,
    wire::time::{Clock, UnixMillis},
};
use mainline::Testnet;
use tempfile::TempDir;

use crate::common::daemon::{Daemon, temp};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// Chance that can be had again: `AILURUS_SEED` sets it.
pub struct Dice(SeededEntropy);

impl Dice {
    /// With a seed that it prints.
    pub fn new() -> Self {
        let given = std::env::var("AILURUS_SEED").ok();
        let seed = match given {
            Some(seed) => seed.parse().expect("AILURUS_SEED is a number"),
            None => u64::from(u32::from_be_bytes(entropy::array(&mut OsEntropy))),
        };
        println!("AILURUS_SEED={seed}");
        Self(SeededEntropy::from_u64(seed))
    }

    pub fn below(&mut self, limit: usize) -> usize {
        let number = u32::from_be_bytes(entropy::array(&mut self.0));
        usize::try_from(number).expect("it fits") % limit
    }
}

/// The phones' clock, which can be set forward.
#[derive(Default)]
pub struct Shifted(AtomicI64);

impl Shifted {
    pub fn forward(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("not that far");
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for Shifted {
    fn now(&self) -> UnixMillis {
        let ahead = self.0.load(Ordering::Relaxed);
        SystemClock::default().now().offset(ahead)
    }
}

/// A node with its directory; the process comes and goes.
pub struct Place {
    dir: PathBuf,
    settings: Vec<String>,
    daemon: Option<Daemon>,
    pub link: NodeLink,
}

impl Place {
    pub fn new(dir: PathBuf, settings: &[&str]) -> Self {
        let settings: Vec<String> = settings.iter().map(|&one| one.to_owned()).collect();
        let daemon = start(&dir, &settings);
        Self {
            link: daemon.link.clone(),
            daemon: Some(daemon),
            dir,
            settings,
        }
    }

    pub fn is_up(&self) -> bool {
        self.daemon.is_some()
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    pub fn start(&mut self) {
        if self.daemon.is_none() {
            let daemon = start(&self.dir, &self.settings);
            assert_eq!(daemon.link, self.link, "a node keeps key and port");
            self.daemon = Some(daemon);
        }
    }

    /// Starts it with other settings.
    pub fn start_with(&mut self, settings: &[&str]) {
        self.kill();
        self.settings = settings.iter().map(|&one| one.to_owned()).collect();
        self.start();
    }
}

fn start(dir: &std::path::Path, settings: &[String]) -> Daemon {
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Daemon::start(dir, &settings)
}

/// Nodes on loopback and a folder for everything.
pub struct World {
    pub folder: TempDir,
    pub nodes: Vec<Place>,
    pub clock: Arc<Shifted>,
    dht: Option<Testnet>,
}

impl World {
    pub fn new() -> Self {
        Self {
            folder: temp(),
            nodes: Vec::new(),
            clock: Arc::default(),
            dht: None,
        }
    }

    /// All nodes from now on, and people, enter a DHT of their own.
    pub fn with_dht() -> Self {
        Self {
            dht: Some(Testnet::builder(12).build().expect("sockets on loopback")),
            ..Self::new()
        }
    }

    pub fn add_node(&mut self, settings: &[&str]) -> NodeLink {
        let mode = self.dht_mode().to_string();
        let settings = [settings, &["--dht", &mode]].concat();
        let dir = self.folder.path().join(format!("node{}", self.nodes.len()));
        self.nodes.push(Place::new(dir, &settings));
        self.nodes.last().expect("just made").link.clone()
    }

    pub fn person(&self, name: &'static str, nodes: &[NodeLink]) -> Client {
        let clock: Arc<dyn Clock> = Arc::<Shifted>::clone(&self.clock);
        let options = Options {
            clock,
            dht: self.dht_mode(),
            ..Options::default()
        };
        let folder = self.folder.path().join(name);
        let key = StorageKey::from_bytes([1; 32]);
        Client::create(&folder, &key, name, nodes, options).expect("a profile")
    }

    fn dht_mode(&self) -> DhtMode {
        match &self.dht {
            Some(dht) => DhtMode::Bootstrap(dht.bootstrap.iter().take(3).cloned().collect()),
            None => DhtMode::Off,
        }
    }
}

/// A member who counts what they say.
#[derive(Clone)]
pub struct Person {
    pub name: &'static str,
    pub client: Client,
    pub channel: ChannelId,
}

impl Person {
    pub fn say(&self, number: usize) {
        let text = format!("{} {number}", self.name);
        self.client.send(&self.channel, &text).expect("queued");
    }

    /// What each member said, as it is shown here.
    pub fn heard(&self) -> BTreeMap<String, Vec<usize>> {
        let messages = self.client.messages(&self.channel, Page::Latest, 10_000);
        let mut heard: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for message in messages.expect("messages") {
            let (name, number) = message.text.split_once(' ').expect("name and number");
            let number = number.parse().expect("a number");
            heard.entry(name.to_owned()).or_default().push(number);
        }
        heard
    }

    /// What this person said and no node has acknowledged.
    pub fn unsent(&self) -> usize {
        let messages = self.client.messages(&self.channel, Page::Latest, 10_000);
        let waits = |message: &ailurus::client::Message| {
            message.own && message.state != MessageState::AtNode
        };
        let messages = messages.expect("messages");
        messages.iter().filter(|message| waits(message)).count()
    }
}

/// Makes a channel of the first one's, which the others join by a link that names no node.
pub fn gather(clients: Vec<(&'static str, Client)>) -> Vec<Person> {
    let (_, first) = clients.first().expect("somebody");
    let channel = first.create_channel("family").expect("a channel");
    let link = bare_link(first, &channel);
    let mut people = Vec::new();
    for (name, client) in clients {
        if !people.is_empty() {
            client.join(&link, None).expect("joins");
        }
        people.push(Person {
            name,
            client,
            channel,
        });
    }
    people
}

/// A link for members, without any node.
pub fn bare_link(client: &Client, channel: &ChannelId) -> Link {
    let link = client.link(channel, AccessKind::Full, true);
    Link {
        nodes: Vec::new(),
        ..link.expect("a link").parse().expect("it parses")
    }
}

/// Waits until each of `people` has all of `said`, and nobody's words wait.
/// Whoever is not live polls meanwhile.
pub async fn until_all_is_heard(
    people: &[&Person],
    polling: &[&Person],
    said: &BTreeMap<String, Vec<usize>>,
) -> Duration {
    let begun = Instant::now();
    loop {
        for person in polling {
            // With all nodes gone this is an error, and then the next may find one.
            let _ = person.client.sync_once(Duration::from_secs(10)).await;
        }
        let lacks = |person: &&&Person| person.unsent() > 0 || missing(person, said) > 0;
        let late: BTreeSet<&str> = people.iter().filter(lacks).map(|p| p.name).collect();
        if late.is_empty() {
            break;
        }
        if begun.elapsed() > PATIENCE {
            for person in people {
                let nodes = person.client.nodes().expect("nodes");
                println!(
                    "{}: {} unsent, {} missing\n{nodes:#?}",
                    person.name,
                    person.unsent(),
                    missing(person, said)
                );
            }
            panic!("{late:?} do not have everything after {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    begun.elapsed()
}

/// Everybody shows what each author said in its order, and once.
pub fn expect_order(people: &[&Person]) {
    for person in people {
        for (author, numbers) in person.heard() {
            let ordered = numbers.windows(2).all(|pair| pair[0] < pair[1]);
            let name = person.name;
            assert!(ordered, "{name} shows of {author}: {numbers:?}");
        }
    }
}

fn missing(person: &Person, said: &BTreeMap<String, Vec<usize>>) -> usize {
    let heard = person.heard();
    let mut missing = 0;
    for (author, numbers) in said {
        let heard: BTreeSet<usize> = heard.get(author).into_iter().flatten().copied().collect();
        missing += numbers.iter().filter(|one| !heard.contains(one)).count();
    }
    missing
}
