//! The world: nodes, phones and people, and the week that passes over them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    num::NonZeroUsize,
    sync::MutexGuard,
    time::{Duration, Instant},
};

use ailurus::{
    channel::{Address, Epoch},
    crypto::NodeKey,
    wire::{limits::LIFETIME, time::UnixMillis},
};

use super::{
    Failure,
    channel::{Channel, Channels},
    node::Node,
    phone::{Around, Phone, Tally},
    random::Random,
    report::{Percentiles, Report, Scale},
    settle::{Settled, lock},
    turns,
};

/// Lets the days pass, and says what came of them: the same on however many threads.
pub fn run(scale: Scale, threads: NonZeroUsize) -> Result<Report, Failure> {
    let began = Instant::now();
    let folder = tempfile::Builder::new()
        .prefix("ailurus-sim-")
        .tempdir_in(scratch())?;
    let mut world = World::new(scale, threads, folder.path())?;
    world.live()?;
    world.report(began)
}

/// Memory, where there is some to be had as a disk: an fsync costs nothing there, and shows nothing here.
fn scratch() -> std::path::PathBuf {
    let memory = std::path::PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    }
}

struct World {
    scale: Scale,
    threads: NonZeroUsize,
    start: UnixMillis,
    end: UnixMillis,
    all: Settled,
    /// When what happens.
    events: BinaryHeap<Reverse<(UnixMillis, u64, Event)>>,
    counted: u64,
    /// For how long each phone sleeps.
    sleeps: Vec<Random>,
    /// Which nodes fail, and for how long.
    chance: Random,
    up: Vec<bool>,
    failures: u64,
    emptied: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake(usize),
    /// A phone looks again that was new at a node.
    LookAgain(usize),
    Fail(usize),
    Return(usize),
    /// All nodes hand on and reconcile.
    Round,
}

/// What is done by one phone or to one node, at a time.
enum Deed {
    Look {
        phone: usize,
        at: UnixMillis,
        writes: bool,
    },
    Kill {
        node: usize,
        emptied: bool,
    },
    Restart {
        node: usize,
        at: UnixMillis,
    },
}

/// A link between two nodes, by the one that dialled.
type Link = (usize, usize);

impl World {
    fn new(scale: Scale, threads: NonZeroUsize, folder: &std::path::Path) -> Result<Self, Failure> {
        let mut random = Random::new(scale.seed, 0);
        // In the middle of an epoch, so that the week has a turn in it.
        let start = Epoch::new(2_970).start().after(DAY * 3);
        let end = start.after(DAY * u32::try_from(scale.days)?);
        let all = Settled::new(&scale, folder, start, end, &mut random)?;
        let sleeps = (0..scale.clients as u64).map(|phone| Random::new(scale.seed, !phone));
        let mut world = Self {
            scale,
            threads,
            start,
            end,
            all,
            events: BinaryHeap::new(),
            counted: 0,
            sleeps: sleeps.collect(),
            chance: Random::new(scale.seed, 1),
            up: vec![true; scale.nodes],
            failures: 0,
            emptied: 0,
        };
        for phone in 0..scale.clients {
            world.sleep(start, phone, 0.25);
        }
        for node in 0..scale.nodes {
            world.expect_failure(start, node);
        }
        world.schedule(start.after(ROUND), Event::Round);
        Ok(world)
    }

    fn schedule(&mut self, at: UnixMillis, event: Event) {
        self.counted += 1;
        self.events.push(Reverse((at, self.counted, event)));
    }

    /// A phone looks again after a while: its rhythm, as a mean, times `share`.
    fn sleep(&mut self, now: UnixMillis, phone: usize, share: f64) {
        let rhythm = lock(&self.all.phones[phone]).client.rhythm;
        let wait = self.sleeps[phone].wait(rhythm * share);
        // Nobody is away longer than nodes remember.
        let wait = wait.clamp(1.0, (DAY * 6).as_millis() as f64);
        self.schedule(now.offset(wait as i64), Event::Wake(phone));
    }

    fn expect_failure(&mut self, now: UnixMillis, node: usize) {
        if self.scale.fail_rate > 0.0 {
            let mean = DAY.as_millis() as f64 / self.scale.fail_rate;
            let wait = self.chance.wait(mean).max(1.0);
            self.schedule(now.offset(wait as i64), Event::Fail(node));
        }
    }

    fn live(&mut self) -> Result<(), Failure> {
        let mut shown = Instant::now();
        // Nobody writes in the last day, in which everybody looks once more.
        let last = self.end.after(DAY);
        let mut deeds = Vec::new();
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > last {
                break;
            }
            match event {
                Event::Wake(phone) => {
                    let writes = at < self.end;
                    deeds.push(Deed::Look { phone, at, writes });
                    self.sleep(at, phone, 1.0);
                }
                Event::LookAgain(phone) => deeds.push(Deed::Look {
                    phone,
                    at,
                    writes: false,
                }),
                Event::Fail(node) => deeds.extend(self.fail(at, node)),
                Event::Return(node) => {
                    self.up[node] = true;
                    deeds.push(Deed::Restart { node, at });
                }
                Event::Round => {
                    self.act(&deeds)?;
                    self.round(at)?;
                    self.expect_newcomers(at, &deeds);
                    deeds.clear();
                    self.schedule(at.after(ROUND), Event::Round);
                    if shown.elapsed() > SHOWN {
                        shown = Instant::now();
                        let hours = at.since(self.start).as_secs() / 3_600;
                        let all = last.since(self.start).as_secs() / 3_600;
                        eprintln!("hour {hours} of {all}");
                    }
                }
            }
        }
        self.act(&deeds)?;
        self.look_once_more(last)
    }

    /// Phones that are on look every quarter of an hour, as after a visit to a node that is new to them. Here they do so
    /// once nodes have exchanged what real ones have by then.
    fn expect_newcomers(&mut self, now: UnixMillis, deeds: &[Deed]) {
        for deed in deeds {
            let Deed::Look { phone, .. } = deed else {
                continue;
            };
            if std::mem::take(&mut lock(&self.all.phones[*phone]).is_new) {
                self.schedule(now.after(HANDING_ON * 2), Event::LookAgain(*phone));
            }
        }
    }

    /// At the end everybody looks again, whatever their rhythm.
    fn look_once_more(&self, last: UnixMillis) -> Result<(), Failure> {
        let nodes = 0..self.scale.nodes;
        let restarts = nodes.map(|node| Deed::Restart { node, at: last });
        self.act(&restarts.collect::<Vec<_>>())?;
        let mut now = last;
        // Twice, as phones look every quarter of an hour: a node that is new to a phone first has to hear of its channels
        // from the others.
        for _ in 0..2 {
            for _ in 0..2 {
                now = now.after(ROUND);
                self.round(now)?;
            }
            let looks = (0..self.scale.clients).map(|phone| Deed::Look {
                phone,
                at: now.offset(phone as i64),
                writes: false,
            });
            self.act(&looks.collect::<Vec<_>>())?;
            now = now.offset(self.scale.clients as i64);
        }
        Ok(())
    }

    fn fail(&mut self, now: UnixMillis, node: usize) -> Option<Deed> {
        self.expect_failure(now, node);
        if !std::mem::replace(&mut self.up[node], false) {
            return None;
        }
        let emptied = self.chance.chance(EMPTIED);
        self.failures += 1;
        self.emptied += u64::from(emptied);
        let away = self.chance.wait(AWAY.as_millis() as f64).max(1.0);
        self.schedule(now.offset(away as i64), Event::Return(node));
        Some(Deed::Kill { node, emptied })
    }

    fn act(&self, deeds: &[Deed]) -> Result<(), Failure> {
        let touches = |deed: &Deed, touched: &mut Vec<usize>| match deed {
            Deed::Look { phone, .. } => {
                let known = &self.all.knows[*phone];
                touched.extend(&known.nodes);
                let channels = known.channels.iter();
                touched.extend(channels.map(|channel| self.scale.nodes + channel));
                touched.push(self.scale.nodes + self.scale.channels + phone);
            }
            Deed::Kill { node, .. } | Deed::Restart { node, .. } => touched.push(*node),
        };
        turns::take(self.threads, deeds, touches, |deed| match deed {
            Deed::Look { phone, at, writes } => self.look(*phone, *at, *writes),
            Deed::Kill { node, emptied } => {
                let mut node = self.node(*node);
                node.kill();
                if *emptied { node.empty() } else { Ok(()) }
            }
            Deed::Restart { node, at } => self.node(*node).restart(*at),
        })
    }

    fn look(&self, phone: usize, now: UnixMillis, writes: bool) -> Result<(), Failure> {
        let numbers = self.all.knows[phone].channels.iter();
        let mut around = Around {
            nodes: &self.all.nodes,
            links: &self.all.links,
            by_address: &self.all.by_address,
            channels: Channels::of(&self.all.channels, numbers.copied()),
        };
        let mut phone = lock(&self.all.phones[phone]);
        // Not at the first look: what real nodes need seconds for after a registration, until they know each other, takes
        // until the next round here.
        if writes && !phone.client.seats.is_empty() {
            phone.write(&mut around, now)?;
        }
        phone.exchange(&mut around, now)
    }

    /// What real nodes do all the time, they do here every three hours: hand on what was published, and reconcile.
    fn round(&self, now: UnixMillis) -> Result<(), Failure> {
        let nodes: Vec<usize> = (0..self.scale.nodes).collect();
        let itself = |node: &usize, touched: &mut Vec<usize>| touched.push(*node);
        turns::take(self.threads, &nodes, itself, |node| {
            self.node(*node).expire(now)
        })?;
        let later = now.after(HANDING_ON);
        let covered = self.covered();
        turns::take(self.threads, &nodes, itself, |node| {
            self.node(*node).plan(now, later, &covered[*node])
        })?;
        self.exchange(now)?;
        self.exchange(later)
    }

    /// What others have leased by themselves at each node.
    fn covered(&self) -> Vec<HashMap<NodeKey, HashSet<Address>>> {
        let mut covered = vec![HashMap::new(); self.scale.nodes];
        for node in &self.all.nodes {
            let node = lock(node);
            for (other, addresses) in node.wires.iter().flat_map(|wires| wires.leased()) {
                if let Some(other) = self.all.by_key.get(other) {
                    covered[*other].insert(*node.key(), addresses);
                }
            }
        }
        covered
    }

    /// Goes through all links.
    fn exchange(&self, now: UnixMillis) -> Result<(), Failure> {
        let mut links: Vec<Link> = Vec::new();
        for (number, node) in self.all.nodes.iter().enumerate() {
            let node = lock(node);
            let others = node.wires.iter().flat_map(|wires| wires.nodes());
            let others = others.filter_map(|other| self.all.by_key.get(other));
            links.extend(others.map(|other| (number, *other)));
        }
        // By distance: links that follow each other are between other nodes each, and go on at once.
        let nodes = self.scale.nodes;
        links.sort_by_key(|(from, to)| ((to + nodes - from) % nodes, *from));
        let both = |link: &Link, touched: &mut Vec<usize>| touched.extend([link.0, link.1]);
        turns::take(self.threads, &links, both, |(from, to)| {
            let (mut here, mut there) = if from < to {
                let here = self.node(*from);
                (here, self.node(*to))
            } else {
                let there = self.node(*to);
                (self.node(*from), there)
            };
            here.exchange(&mut there, now)
        })
    }

    fn node(&self, number: usize) -> MutexGuard<'_, Node> {
        lock(&self.all.nodes[number])
    }

    fn report(&self, began: Instant) -> Result<Report, Failure> {
        let (mut owed, mut delivered) = (0, 0);
        let (mut acknowledged, mut waiting) = (0, 0);
        let (mut delays, mut late) = (Vec::new(), Vec::new());
        let phones: Vec<MutexGuard<'_, Phone>> = self.all.phones.iter().map(lock).collect();
        let nodes: Vec<MutexGuard<'_, Node>> = self.all.nodes.iter().map(lock).collect();
        let channels: Vec<MutexGuard<'_, Channel>> = self.all.channels.iter().map(lock).collect();
        for channel in &channels {
            for (message, said) in channel.messages.iter().enumerate() {
                let Some(since) = said.acknowledged else {
                    waiting += 1;
                    continue;
                };
                acknowledged += 1;
                for (member, client) in channel.members.iter().enumerate() {
                    if member == said.author {
                        continue;
                    }
                    let polls = &phones[*client].polled;
                    let begin = polls.partition_point(|poll| *poll < since.after(SPREAD));
                    let first = polls.get(begin).copied();
                    let in_time = first.filter(|poll| poll.since(said.written) < LIFETIME);
                    let Some(first) = in_time else {
                        continue;
                    };
                    owed += 1;
                    let arrived = channel.arrivals[member].get(message).copied().flatten();
                    if let Some(arrived) = arrived {
                        delivered += 1;
                        delays.push(arrived.since(said.written).as_secs_f64() / 60.0);
                        late.push(arrived.since(first).as_secs_f64() / 60.0);
                    }
                }
            }
        }
        let sum = |of: fn(&Tally) -> u64| phones.iter().map(|phone| of(&phone.tally)).sum();
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        Ok(Report {
            scale: self.scale,
            owed,
            delivered,
            acknowledged,
            waiting,
            delay_minutes: Percentiles::of(delays),
            late_minutes: Percentiles::of(late),
            polls: sum(|tally| tally.polls),
            polls_failed_over: sum(|tally| tally.failed_over),
            polls_without_node: sum(|tally| tally.without_node),
            registrations: Percentiles::of(
                nodes
                    .iter()
                    .filter_map(|node| node.service())
                    .map(|service| service.store().registrations() as f64)
                    .collect(),
            ),
            node_megabytes: Percentiles::of(
                nodes
                    .iter()
                    .map(|node| megabytes(node.traffic.clients))
                    .collect(),
            ),
            peer_megabytes: Percentiles::of(
                nodes
                    .iter()
                    .map(|node| megabytes(node.traffic.peers))
                    .collect(),
            ),
            evictions: sum(|tally| tally.evictions),
            refusals: sum(|tally| tally.refusals),
            failures: self.failures,
            nodes_emptied: self.emptied,
            accused: nodes
                .iter()
                .map(|node| node.accused + node.wires.as_ref().map_or(0, |wires| wires.accused()))
                .sum(),
            seconds: began.elapsed().as_secs_f64(),
            peak_megabytes: peak_megabytes()?,
            disk_megabytes: megabytes(nodes.iter().map(|node| node.disk_bytes()).sum()),
        })
    }
}

fn peak_megabytes() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("{error}: sizes are read from /proc, on Linux"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.split_whitespace().next())
        .ok_or("/proc has no VmHWM")?;
    Ok(kib.parse::<f64>()? / 1_000.0)
}

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How often nodes look after themselves, and exchange what real ones push at once.
const ROUND: Duration = Duration::from_secs(3 * 3_600);
/// For so long they only hand on, before they reconcile.
const HANDING_ON: Duration = Duration::from_secs(60);
/// How long a failed node is away, on average.
const AWAY: Duration = Duration::from_secs(8 * 3_600);
/// Share of the failures after which the disk is gone too.
const EMPTIED: f64 = 0.1;
/// How long nodes may take to hand a message to each other.
const SPREAD: Duration = Duration::from_secs(60);
/// Between two lines of progress.
const SHOWN: Duration = Duration::from_secs(5);
