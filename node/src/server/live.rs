//! Pushes: every new envelope is encoded once and handed to whoever follows its address.
//!
//! A subscriber has a short queue. If it overflows, the subscriber reads what it missed from the store: nothing is lost,
//! and the thread that commits never waits for anyone.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ailurus::{channel::Address, crypto::Pseudonym, wire::node::Reason};
use bytes::Bytes;
use tokio::sync::Notify;

use super::frames::frame;
use crate::{
    metrics::Metrics,
    service::{Group, Stored},
    store::Row,
};

/// All subscribers of a node.
#[derive(Default)]
pub(crate) struct Live {
    listeners: Mutex<Listeners>,
    /// The end of the last commit whose frames are in all queues.
    announced: AtomicU64,
    /// Counts what changes in what super nodes follow.
    peers_following: AtomicU64,
}

#[derive(Default)]
struct Listeners {
    by_address: HashMap<Address, Vec<Arc<Subscriber>>>,
    by_pseudonym: HashMap<Pseudonym, Vec<Arc<Subscriber>>>,
}

struct Subscriber {
    pseudonym: Pseudonym,
    /// It is another super node.
    peer: bool,
    queue: Mutex<Queue>,
    wake: Notify,
}

/// Who is told of a group of envelopes: everybody but these.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Except {
    /// They came from a super node, which tells the others by itself.
    peers: bool,
    /// Who published them.
    origin: Option<Pseudonym>,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Push>,
    /// Frames were dropped.
    overflowed: bool,
    /// The client's leases changed.
    reload: bool,
    /// What is followed; noted for super nodes only.
    addresses: Vec<Address>,
    /// The client lost all its leases.
    ended: Option<Reason>,
}

struct Push {
    frame: Bytes,
    /// The end of the commit that it is from.
    end: u64,
}

/// One stream's share of what is pushed; dropping it ends it.
pub(super) struct Subscription {
    live: Arc<Live>,
    pseudonym: Pseudonym,
    subscriber: Arc<Subscriber>,
    /// In ascending order.
    addresses: Vec<Address>,
}

/// What a subscriber is to do next.
pub(super) enum Next {
    /// Send these, which lead up to this position of the log.
    Frames(Vec<Bytes>, u64),
    /// Read what was missed from the store.
    Behind,
    /// Read the leases again, and what they bring.
    Reload,
    /// Tell the client why there is nothing to follow any more.
    Ended(Reason),
}

impl Live {
    /// Starts to follow for a client; nothing comes before [`Subscription::listen`].
    pub(super) fn subscribe(self: &Arc<Self>, pseudonym: Pseudonym, peer: bool) -> Subscription {
        let subscriber = Arc::new(Subscriber {
            pseudonym,
            peer,
            queue: Mutex::default(),
            wake: Notify::new(),
        });
        let mut listeners = self.listeners();
        let of_client = listeners.by_pseudonym.entry(pseudonym).or_default();
        of_client.push(Arc::clone(&subscriber));
        Subscription {
            live: Arc::clone(self),
            pseudonym,
            subscriber,
            addresses: Vec::new(),
        }
    }

    /// Hands out the envelopes of a commit that ended at `end`.
    pub(crate) fn push(&self, stored: Vec<Stored>, end: u64, metrics: &Metrics) {
        let mut woken = Vec::new();
        {
            let listeners = self.listeners();
            for (except, group) in groups(&listeners, stored) {
                let Some(subscribers) = listeners.by_address.get(&group.address()) else {
                    continue;
                };
                let frame = frame(&group.into_response());
                for subscriber in subscribers {
                    if except.excludes(subscriber) {
                        continue;
                    }
                    metrics.pushed.inc();
                    let push = Push {
                        frame: frame.clone(),
                        end,
                    };
                    if subscriber.push(push) {
                        metrics.fallbacks.inc();
                    }
                    woken.push(Arc::clone(subscriber));
                }
            }
        }
        // Only now may a subscriber say that it has everything up to `end`.
        self.announced.store(end, Ordering::Release);
        for subscriber in woken {
            subscriber.wake.notify_one();
        }
    }

    /// Tells clients' subscribers that their leases changed.
    pub(crate) fn reload(&self, pseudonyms: &[Pseudonym]) {
        if pseudonyms.is_empty() {
            return;
        }
        let listeners = self.listeners();
        let known = pseudonyms
            .iter()
            .filter_map(|client| listeners.by_pseudonym.get(client));
        for subscriber in known.flatten() {
            subscriber.queue().reload = true;
            subscriber.wake.notify_one();
        }
    }

    /// Another number whenever super nodes follow something else than before.
    pub(super) fn peers_following(&self) -> u64 {
        self.peers_following.load(Ordering::Acquire)
    }

    /// What a super node follows now.
    pub(super) fn following(&self, pseudonym: &Pseudonym) -> HashSet<Address> {
        let listeners = self.listeners();
        let subscribers = listeners.by_pseudonym.get(pseudonym);
        let mut addresses = HashSet::new();
        for subscriber in subscribers.into_iter().flatten() {
            addresses.extend(&subscriber.queue().addresses);
        }
        addresses
    }

    /// Tells clients' subscribers that their leases are gone, and why.
    pub(crate) fn end(&self, ended: &[(Pseudonym, Reason)]) {
        if ended.is_empty() {
            return;
        }
        let listeners = self.listeners();
        for (client, reason) in ended {
            for subscriber in listeners.by_pseudonym.get(client).into_iter().flatten() {
                subscriber.queue().ended = Some(*reason);
                subscriber.wake.notify_one();
            }
        }
    }

    /// Whether a client follows now.
    pub(crate) fn follows(&self, pseudonym: &Pseudonym) -> bool {
        self.listeners().by_pseudonym.contains_key(pseudonym)
    }

    /// Clients that follow now.
    pub(crate) fn followers(&self) -> Vec<Pseudonym> {
        self.listeners().by_pseudonym.keys().copied().collect()
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// Follows exactly these addresses from now on.
    pub(super) fn listen(&mut self, addresses: impl Iterator<Item = Address>) {
        let mut wanted: Vec<Address> = addresses.collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted == self.addresses {
            return;
        }
        let before: HashSet<Address> = self.addresses.drain(..).collect();
        let mut listeners = self.live.listeners();
        for address in wanted.iter().filter(|address| !before.contains(*address)) {
            let subscribers = listeners.by_address.entry(*address).or_default();
            subscribers.push(Arc::clone(&self.subscriber));
        }
        for address in before
            .iter()
            .filter(|address| wanted.binary_search(address).is_err())
        {
            remove(&mut listeners.by_address, *address, &self.subscriber);
        }
        drop(listeners);
        if self.subscriber.peer {
            self.subscriber.queue().addresses.clone_from(&wanted);
            self.live.peers_following.fetch_add(1, Ordering::AcqRel);
        }
        self.addresses = wanted;
    }

    /// Waits for something to do. What the store has served up to `served` is passed over.
    pub(super) async fn next(&self, served: u64) -> Next {
        loop {
            if let Some(next) = self.take(served) {
                return next;
            }
            self.subscriber.wake.notified().await;
        }
    }

    fn take(&self, served: u64) -> Option<Next> {
        let announced = self.live.announced.load(Ordering::Acquire);
        let mut queue = self.subscriber.queue();
        if let Some(reason) = queue.ended {
            return Some(Next::Ended(reason));
        }
        if std::mem::take(&mut queue.reload) {
            return Some(Next::Reload);
        }
        if std::mem::take(&mut queue.overflowed) {
            queue.frames = VecDeque::new();
            return Some(Next::Behind);
        }
        let mut frames = Vec::new();
        let mut reached = served;
        while let Some(push) = queue.frames.pop_front() {
            if push.end > announced {
                queue.frames.push_front(push);
                break;
            }
            if push.end > served {
                reached = push.end;
                frames.push(push.frame);
            }
        }
        if queue.frames.is_empty() {
            // An idle subscriber holds no memory for its queue.
            queue.frames = VecDeque::new();
        }
        (!frames.is_empty()).then_some(Next::Frames(frames, reached))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut listeners = self.live.listeners();
        for address in &self.addresses {
            remove(&mut listeners.by_address, *address, &self.subscriber);
        }
        remove(
            &mut listeners.by_pseudonym,
            self.pseudonym,
            &self.subscriber,
        );
        if self.subscriber.peer {
            self.live.peers_following.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Subscriber {
    /// True if this was one too many.
    fn push(&self, push: Push) -> bool {
        let mut queue = self.queue();
        if queue.overflowed {
            return false;
        }
        if queue.frames.len() >= QUEUE {
            queue.overflowed = true;
            queue.frames = VecDeque::new();
            return true;
        }
        queue.frames.push_back(push);
        false
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Except {
    fn excludes(&self, subscriber: &Subscriber) -> bool {
        (self.peers && subscriber.peer) || self.origin == Some(subscriber.pseudonym)
    }
}

/// The envelopes that somebody follows, by address and audience, each in log order.
///
/// Whoever published is spared the echo, if nobody else published to the address in the same commit: then one frame for
/// all is worth more.
fn groups(listeners: &Listeners, stored: Vec<Stored>) -> Vec<(Except, Group)> {
    let mut origins: HashMap<Address, Option<Pseudonym>> = HashMap::new();
    for envelope in &stored {
        let origin = origins
            .entry(envelope.address)
            .or_insert(Some(envelope.origin));
        *origin = origin.filter(|origin| *origin == envelope.origin);
    }
    let mut groups: Vec<(Except, Group)> = Vec::new();
    let mut open: HashMap<(Address, Except), usize> = HashMap::new();
    for stored in stored {
        let address = stored.address;
        if !listeners.by_address.contains_key(&address) {
            continue;
        }
        let except = Except {
            peers: stored.peer,
            origin: origins.get(&address).copied().flatten(),
        };
        let row = Row::of(&stored.envelope);
        let group = open
            .get(&(address, except))
            .and_then(|index| groups.get_mut(*index));
        if let Some((_, group)) = group.filter(|(_, group)| group.has_room(&row)) {
            group.push(row);
            continue;
        }
        open.insert((address, except), groups.len());
        let mut group = Group::new(address, row.time);
        group.push(row);
        groups.push((except, group));
    }
    groups
}

fn remove<K: std::hash::Hash + Eq>(
    map: &mut HashMap<K, Vec<Arc<Subscriber>>>,
    key: K,
    subscriber: &Arc<Subscriber>,
) {
    let Entry::Occupied(mut entry) = map.entry(key) else {
        return;
    };
    let subscribers = entry.get_mut();
    if let Some(index) = subscribers
        .iter()
        .position(|other| Arc::ptr_eq(other, subscriber))
    {
        subscribers.swap_remove(index);
    }
    if subscribers.is_empty() {
        entry.remove();
    }
}

/// Frames that wait for one subscriber; they are shared with all others.
const QUEUE: usize = 64;
