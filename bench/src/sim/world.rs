//! The world: nodes, phones and people, and the week that passes over them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::{Duration, Instant},
};

use ailurus::{
    channel::{Epoch, Introduction, NodeLink},
    crypto::{HolderSecret, NodeKey},
    wire::{limits::LIFETIME, time::UnixMillis},
};
use ailurus_node::Limits;

use super::{
    Failure,
    channel::Channel,
    choice::Choice,
    client::{Client, Membership, Network, Waiting},
    node::{Asker, Node},
    random::Random,
    report::{Percentiles, Report, Scale},
};

/// Lets the days pass, and says what came of them.
pub fn run(scale: Scale) -> Result<Report, Failure> {
    let began = Instant::now();
    let folder = tempfile::Builder::new()
        .prefix("ailurus-sim-")
        .tempdir_in(scratch())?;
    let mut world = World::new(scale, folder.path())?;
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
    now: UnixMillis,
    start: UnixMillis,
    end: UnixMillis,
    random: Random,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    choices: Vec<Choice>,
    channels: Vec<Channel>,
    by_address: HashMap<[u8; 32], usize>,
    by_key: HashMap<NodeKey, usize>,
    links: Vec<NodeLink>,
    /// For each channel and member, when each message arrived, by number.
    arrivals: Vec<Vec<Vec<Option<UnixMillis>>>>,
    /// For each client, when its polls were complete.
    polled: Vec<Vec<UnixMillis>>,
    events: BinaryHeap<Reverse<(UnixMillis, u64, Event)>>,
    counted: u64,
    tally: Tally,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake(usize),
    Fail(usize),
    Return(usize),
    Tick(usize),
}

#[derive(Default)]
struct Tally {
    polls: u64,
    failed_over: u64,
    without_node: u64,
    failures: u64,
    emptied: u64,
    refusals: u64,
    evictions: u64,
}

impl World {
    fn new(scale: Scale, folder: &std::path::Path) -> Result<Self, Failure> {
        let mut random = Random::new(scale.seed, 0);
        // In the middle of an epoch, so that the week has a turn in it.
        let start = Epoch::new(2_970).start().after(DAY * 3);
        let mut world = Self {
            scale,
            now: start,
            start,
            end: start.after(DAY * u32::try_from(scale.days)?),
            nodes: Vec::with_capacity(scale.nodes),
            clients: Vec::with_capacity(scale.clients),
            choices: Vec::with_capacity(scale.clients),
            channels: Vec::with_capacity(scale.channels),
            by_address: HashMap::new(),
            by_key: HashMap::new(),
            links: Vec::with_capacity(scale.nodes),
            arrivals: Vec::with_capacity(scale.channels),
            polled: vec![Vec::new(); scale.clients],
            events: BinaryHeap::new(),
            counted: 0,
            tally: Tally::default(),
            random: Random::new(scale.seed, 1),
        };
        let seats = 3 * scale.clients / scale.nodes.max(1);
        for number in 0..scale.nodes {
            // Some are small, so that they fill up and send people away.
            let room = seats as f64 * (0.8 + 1.7 * random.unit());
            let limits = Limits {
                registrations: room as u64 + 8,
                ..Limits::default()
            };
            let node = Node::start(number, limits, folder, &mut random)?;
            world.by_key.insert(*node.key(), number);
            world.links.push(node.link.clone());
            world.nodes.push(node);
        }
        world.settle(&mut random)?;
        world.schedule_all(&mut random);
        Ok(world)
    }

    /// People live in communities: most of their channels, and the nodes in these channels' links, are of one.
    fn settle(&mut self, random: &mut Random) -> Result<(), Failure> {
        let communities = (self.scale.clients / COMMUNITY).max(1);
        let pools: Vec<Vec<usize>> = (0..communities)
            .map(|_| {
                let mut pool: Vec<usize> = (0..self.scale.nodes).collect();
                for place in 0..POOL.min(pool.len()) {
                    let other = place + random.below(pool.len() - place);
                    pool.swap(place, other);
                }
                pool.truncate(POOL);
                pool
            })
            .collect();
        let mut memberships: Vec<Vec<Membership>> = Vec::new();
        memberships.resize_with(self.scale.clients, Vec::new);
        let epoch = Epoch::of(self.start);
        for number in 0..self.scale.channels {
            let community = number % communities;
            let size = 2 + (random.wait(MEMBERS - 2.0) as usize).min(40);
            let mut members = Vec::new();
            for _ in 0..size {
                let stranger = random.chance(0.05);
                let client = if stranger {
                    random.below(self.scale.clients)
                } else {
                    community + communities * random.below(self.scale.clients / communities)
                };
                if client < self.scale.clients && !members.contains(&client) {
                    members.push(client);
                }
            }
            let pool = &pools[community];
            let mut hints: Vec<usize> = pool.clone();
            let first = random.below(hints.len());
            hints.rotate_left(first);
            hints.truncate(2);
            for (member, client) in members.iter().enumerate() {
                memberships[*client].push(Membership {
                    channel: number,
                    member,
                });
            }
            self.arrivals.push(vec![Vec::new(); members.len()]);
            let mut channel = Channel::new(members, hints, epoch, random);
            let mut at = epoch.previous();
            while at.start() < self.end.after(DAY * 3) {
                let address = channel.keys(at)?.address;
                self.by_address.insert(*address.as_bytes(), number);
                at = at.next();
            }
            self.channels.push(channel);
        }
        for (number, memberships) in memberships.into_iter().enumerate() {
            let mut random = Random::new(self.scale.seed, 1_000 + number as u64);
            let mut choice = Choice::new(random.number());
            // Whoever made a channel knows more of the community's nodes than its link holds.
            let pool = &pools[number % communities];
            for membership in &memberships {
                let channel = &self.channels[membership.channel];
                for hint in &channel.hints {
                    choice.hint(*hint, &self.nodes[*hint].link);
                }
            }
            for _ in 0..2 {
                if let Some(known) = random.pick(pool) {
                    choice.hint(known, &self.nodes[known].link);
                }
            }
            // From those who look every three hours to those who look once in two days.
            let rhythm = HOUR.as_millis() as f64
                * random
                    .pick(&[3.0, 6.0, 12.0, 24.0, 24.0, 48.0])
                    .unwrap_or(6.0);
            let mut introductions = HashMap::new();
            let friend = number.checked_sub(communities * (1 + random.below(4)));
            for known in pool {
                let holder = HolderSecret::random(random.entropy());
                let node = &self.nodes[*known];
                let expiry = self.end.after(DAY * 30).as_secs();
                let chain = match friend {
                    // Operators hand introductions to the first of each community.
                    None if number < communities * 4 => {
                        Introduction::mint(&node.secret, &holder.public(), expiry)
                    }
                    None => continue,
                    Some(friend) => {
                        let Some((chain, secret)) = self.clients[friend].introductions.get(known)
                        else {
                            continue;
                        };
                        // Not everybody passes theirs on, and six hops are the most.
                        if random.chance(0.2) {
                            continue;
                        }
                        match chain.extend(secret, &holder.public(), expiry) {
                            Ok(chain) => chain,
                            Err(_) => continue,
                        }
                    }
                };
                introductions.insert(*known, (chain, holder));
            }
            self.clients.push(Client {
                memberships,
                introductions,
                seats: HashMap::new(),
                outbox: Vec::new(),
                rhythm,
                random,
            });
            self.choices.push(choice);
        }
        Ok(())
    }

    fn schedule_all(&mut self, random: &mut Random) {
        for client in 0..self.clients.len() {
            let first = random.wait(self.clients[client].rhythm / 4.0);
            self.schedule(first, Event::Wake(client));
        }
        for node in 0..self.nodes.len() {
            let tick = random.unit() * TICK.as_millis() as f64;
            self.schedule(tick, Event::Tick(node));
            self.schedule_failure(node);
        }
    }

    fn schedule_failure(&mut self, node: usize) {
        if self.scale.fail_rate > 0.0 {
            let wait = self
                .random
                .wait(DAY.as_millis() as f64 / self.scale.fail_rate);
            self.schedule(wait, Event::Fail(node));
        }
    }

    fn schedule(&mut self, wait_ms: f64, event: Event) {
        let at = self.now.offset(wait_ms.max(1.0) as i64);
        self.counted += 1;
        self.events.push(Reverse((at, self.counted, event)));
    }

    fn live(&mut self) -> Result<(), Failure> {
        let mut shown = Instant::now();
        // Nobody writes in the last day, in which everybody looks once more.
        let last = self.end.after(DAY);
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > last {
                break;
            }
            self.now = at;
            match event {
                Event::Wake(client) => self.wake(client)?,
                Event::Fail(node) => self.fail(node)?,
                Event::Return(node) => self.restart(node)?,
                Event::Tick(node) => self.tick(node)?,
            }
            if shown.elapsed() > SHOWN {
                shown = Instant::now();
                let hours = self.now.since(self.start).as_secs() / 3_600;
                let all = last.since(self.start).as_secs() / 3_600;
                eprintln!("hour {hours} of {all}, {} polls", self.tally.polls);
            }
        }
        self.now = last;
        self.look_once_more()
    }

    /// At the end everybody looks again, whatever their rhythm.
    fn look_once_more(&mut self) -> Result<(), Failure> {
        for node in 0..self.nodes.len() {
            if !self.nodes[node].is_up() {
                self.restart(node)?;
            }
        }
        // Twice, as phones look every quarter of an hour: a node that is new to a phone first has to hear of its channels
        // from the others.
        for _ in 0..2 {
            for _ in 0..2 {
                self.now = self.now.after(TICK);
                for node in 0..self.nodes.len() {
                    self.tick(node)?;
                }
            }
            for client in 0..self.clients.len() {
                self.now = self.now.offset(1);
                self.exchange(client)?;
            }
        }
        Ok(())
    }

    fn wake(&mut self, client: usize) -> Result<(), Failure> {
        if self.now < self.end {
            self.write(client)?;
        }
        self.exchange(client)?;
        let rhythm = self.clients[client].rhythm;
        let mut wait = self.clients[client].random.wait(rhythm);
        // Nobody is away longer than nodes remember.
        wait = wait.min((DAY * 6).as_millis() as f64);
        self.schedule(wait, Event::Wake(client));
        Ok(())
    }

    /// People write when they look.
    fn write(&mut self, client: usize) -> Result<(), Failure> {
        let phone = &mut self.clients[client];
        let looks = DAY.as_millis() as f64 / phone.rhythm;
        for membership in 0..phone.memberships.len() {
            let (number, member) = {
                let membership = &phone.memberships[membership];
                (membership.channel, membership.member)
            };
            let channel = &mut self.channels[number];
            let share = MESSAGES / channel.members.len() as f64 / looks;
            let mut count = share.floor() as usize;
            count += usize::from(phone.random.chance(share.fract()));
            for _ in 0..count.min(40) {
                let (message, envelope) = channel.write(member, self.now, &mut phone.random)?;
                phone.outbox.push(Waiting {
                    channel: number,
                    number: message,
                    envelope,
                    at: Vec::new(),
                });
            }
        }
        Ok(())
    }

    /// What a phone does when it wakes: asks the best node, or the next one, and says what others are to know.
    fn exchange(&mut self, client: usize) -> Result<(), Failure> {
        self.tally.polls += 1;
        let plan = self.choices[client].plan(self.now);
        let mut asked = None;
        for (rank, node) in plan.order.iter().enumerate() {
            if self.talk(client, *node)? {
                asked = Some(*node);
                self.tally.failed_over += u64::from(rank > 0);
                break;
            }
        }
        if asked.is_none() {
            self.tally.without_node += 1;
            return Ok(());
        }
        self.polled[client].push(self.now);
        let kept = self.choices[client].plan(self.now).kept;
        for &node in &kept {
            if asked == Some(node) {
                continue;
            }
            if self.clients[client].has_work(node, &self.channels, &kept, self.now) {
                self.talk(client, node)?;
            }
        }
        Ok(())
    }

    fn talk(&mut self, client: usize, node: usize) -> Result<bool, Failure> {
        let kept = self.choices[client].plan(self.now).kept;
        for membership in &self.clients[client].memberships {
            self.channels[membership.channel].name(&kept);
        }
        let network = Network {
            kept,
            links: &self.links,
        };
        let brought = self.clients[client].talk(
            node,
            &mut self.nodes[node],
            &mut self.channels,
            &network,
            self.now,
        )?;
        let random = self.clients[client].random.number();
        let key = *self.nodes[node].key();
        let choice = &mut self.choices[client];
        let Some(brought) = brought else {
            choice.failed(&key, self.now, random);
            return Ok(false);
        };
        self.tally.evictions += u64::from(brought.evicted);
        let mut serves = true;
        if let Some(reason) = brought.refused {
            self.tally.refusals += 1;
            serves = !choice.refused(&key, reason, self.now, random);
        } else {
            choice.answered(&key, &brought, self.now, random);
        }
        for (channel, number) in brought.acknowledged {
            let message = &mut self.channels[channel].messages[number];
            message.acknowledged.get_or_insert(self.now);
        }
        for (address, numbers) in brought.received {
            let channel = self.by_address.get(address.as_ref());
            let place = channel.and_then(|channel| {
                let memberships = &self.clients[client].memberships;
                let membership = memberships.iter().find(|place| place.channel == *channel)?;
                Some((membership.channel, membership.member))
            });
            let Some((channel, member)) = place else {
                return Err("a phone got what it is no member of".into());
            };
            let arrived = &mut self.arrivals[channel][member];
            for number in numbers {
                if arrived.len() <= number {
                    arrived.resize(number + 1, None);
                }
                arrived[number].get_or_insert(self.now);
            }
        }
        Ok(serves)
    }

    fn fail(&mut self, node: usize) -> Result<(), Failure> {
        if self.nodes[node].is_up() {
            self.tally.failures += 1;
            if self.random.chance(EMPTIED) {
                self.tally.emptied += 1;
                self.nodes[node].empty()?;
            } else {
                self.nodes[node].kill();
            }
            let away = self.random.wait(AWAY.as_millis() as f64);
            self.schedule(away, Event::Return(node));
        }
        self.schedule_failure(node);
        Ok(())
    }

    fn restart(&mut self, node: usize) -> Result<(), Failure> {
        if !self.nodes[node].is_up() {
            self.nodes[node].restart()?;
        }
        Ok(())
    }

    fn tick(&mut self, node: usize) -> Result<(), Failure> {
        self.schedule(TICK.as_millis() as f64, Event::Tick(node));
        self.nodes[node].expire(self.now)?;
        let (Some(service), Some(mut wires)) = (
            self.nodes[node].service().cloned(),
            self.nodes[node].wires.take(),
        ) else {
            return Ok(());
        };
        let own = *self.nodes[node].key();
        // What others have leased here by themselves.
        let covered = self
            .nodes
            .iter()
            .filter_map(|other| {
                Some((*other.key(), other.wires.as_ref()?.leased_at(&own)?.clone()))
            })
            .collect();
        let (nodes, by_key, now) = (&mut self.nodes, &self.by_key, self.now);
        wires.run(&service, now, &covered, |other, session, request| {
            let other = nodes.get_mut(*by_key.get(other)?)?;
            other.ask(Asker::Peer, session, now, request)
        })?;
        self.nodes[node].wires = Some(wires);
        Ok(())
    }

    fn report(&self, began: Instant) -> Result<Report, Failure> {
        let (mut owed, mut delivered) = (0, 0);
        let (mut acknowledged, mut waiting) = (0, 0);
        let (mut delays, mut late) = (Vec::new(), Vec::new());
        for (number, channel) in self.channels.iter().enumerate() {
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
                    let polls = &self.polled[*client];
                    let begin = polls.partition_point(|poll| *poll < since.after(SPREAD));
                    let first = polls.get(begin).copied();
                    let in_time = first.filter(|poll| poll.since(said.written) < LIFETIME);
                    let Some(first) = in_time else {
                        continue;
                    };
                    owed += 1;
                    let arrived = self.arrivals[number][member]
                        .get(message)
                        .copied()
                        .flatten();
                    if let Some(arrived) = arrived {
                        delivered += 1;
                        delays.push(arrived.since(said.written).as_secs_f64() / 60.0);
                        late.push(arrived.since(first).as_secs_f64() / 60.0);
                    }
                }
            }
        }
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        Ok(Report {
            scale: self.scale,
            owed,
            delivered,
            acknowledged,
            waiting,
            delay_minutes: Percentiles::of(delays),
            late_minutes: Percentiles::of(late),
            polls: self.tally.polls,
            polls_failed_over: self.tally.failed_over,
            polls_without_node: self.tally.without_node,
            registrations: Percentiles::of(
                self.nodes
                    .iter()
                    .filter_map(Node::service)
                    .map(|service| service.store().registrations() as f64)
                    .collect(),
            ),
            node_megabytes: Percentiles::of(
                self.nodes
                    .iter()
                    .map(|node| megabytes(node.traffic.clients))
                    .collect(),
            ),
            peer_megabytes: Percentiles::of(
                self.nodes
                    .iter()
                    .map(|node| megabytes(node.traffic.peers))
                    .collect(),
            ),
            evictions: self.tally.evictions,
            refusals: self.tally.refusals,
            failures: self.tally.failures,
            nodes_emptied: self.tally.emptied,
            accused: self
                .nodes
                .iter()
                .map(|node| node.accused + node.wires.as_ref().map_or(0, |wires| wires.accused()))
                .sum(),
            lost_with_nodes: 0,
            seconds: began.elapsed().as_secs_f64(),
            peak_megabytes: peak_megabytes()?,
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

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How often a node looks after itself, and exchanges with others what real nodes push at once.
const TICK: Duration = Duration::from_secs(2 * 3_600);
/// How long a failed node is away, on average.
const AWAY: Duration = Duration::from_secs(8 * 3_600);
/// Share of the failures after which the disk is gone too.
const EMPTIED: f64 = 0.1;
/// How long nodes may take to hand a message to each other.
const SPREAD: Duration = Duration::from_secs(60);
/// People of one community, and nodes that they know.
const COMMUNITY: usize = 200;
const POOL: usize = 6;
/// Members of a channel, on average, and messages that are written in it on a day.
const MEMBERS: f64 = 8.0;
const MESSAGES: f64 = 4.0;
/// Between two lines of progress.
const SHOWN: Duration = Duration::from_secs(5);
