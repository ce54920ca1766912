//! Other super nodes over QUIC: one task that decides whom to dial, and one for each link.

mod link;
mod records;

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ailurus::{
    channel::{Address, NodeLink},
    crypto::{NodeKey, NodeSecret, Pseudonym, PseudonymSecret},
    net::{ClientEndpoint, ClientOptions, DhtMode, NetError},
    wire::time::UnixMillis,
};
use tokio::{
    sync::mpsc,
    task::{Id, JoinHandle, JoinSet},
};

use super::Shared;
use crate::{
    peers::{Acknowledged, End, Peers, Plan},
    service::Stored,
    store::{Delegation, StoreError},
};

/// What the links to other nodes are told.
#[derive(Default)]
pub(super) struct Hub {
    links: Mutex<HashMap<NodeKey, Handle>>,
    /// Addresses that are complete: another node serves them too, and there is a link to it or from it.
    together: Mutex<HashSet<Address>>,
}

struct Handle {
    commands: mpsc::Sender<Command>,
    status: Arc<Status>,
    /// What the other node follows here, so that it is pushed and need not be forwarded.
    pushed: HashSet<Address>,
}

/// What a link's task and the others tell each other.
#[derive(Default)]
struct Status {
    /// It has come as far as following.
    works: AtomicBool,
    /// Envelopes passed it by.
    behind: AtomicBool,
}

enum Command {
    /// Clients published these.
    Offer(Arc<[Stored]>),
    /// Register exactly these.
    Lease(Vec<Delegation>),
}

/// How this node dials others.
pub(crate) struct Dialling {
    /// Its own key, which it shows as a client.
    pub(crate) secret: NodeSecret,
    /// The address it listens on; it dials from the same interface.
    pub(crate) listen: SocketAddr,
    /// Where it announces itself and looks for others.
    pub(crate) dht: DhtMode,
}

/// The tasks; dropping them ends them.
pub(super) struct Tasks {
    endpoint: ClientEndpoint,
    tasks: Vec<JoinHandle<()>>,
}

impl Tasks {
    /// Starts them. Must be called within a tokio runtime.
    pub(super) fn start(shared: &Arc<Shared>, dialling: Dialling) -> Result<Self, NetError> {
        let options = ClientOptions {
            bind: Some(SocketAddr::new(dialling.listen.ip(), 0)),
            idle_timeout: IDLE_TIMEOUT,
            keep_alive: Some(KEEP_ALIVE),
            path_mtu_discovery: true,
            ..ClientOptions::default()
        };
        let endpoint = ClientEndpoint::bind(options)?;
        let secret = Arc::new(PseudonymSecret::from_bytes(*dialling.secret.expose()));
        let supervisor = Supervisor {
            shared: Arc::clone(shared),
            endpoint: endpoint.clone(),
            secret,
            peers: Peers::new(*shared.service.node()),
            links: JoinSet::new(),
            tasks: HashMap::new(),
            following: u64::MAX,
            covered: HashMap::new(),
            working: Vec::new(),
            next_update: UnixMillis::default(),
            may_update: UnixMillis::default(),
        };
        let mut tasks = vec![tokio::spawn(supervisor.run())];
        if dialling.dht.is_on() {
            tasks.push(tokio::spawn(records::run(Arc::clone(shared), dialling.dht)));
        }
        Ok(Self { endpoint, tasks })
    }

    /// Ends them and tells the other nodes.
    pub(super) fn stop(&self) {
        for task in &self.tasks {
            task.abort();
        }
        self.endpoint.close(0, "the node stops");
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Hub {
    /// Hands over what was committed; never waits.
    pub(super) fn offer(&self, stored: &[Stored]) {
        let links = self.links();
        if links.is_empty() || stored.iter().all(|stored| stored.peer) {
            return;
        }
        let everything: Arc<[Stored]> = stored.iter().filter(|one| !one.peer).cloned().collect();
        for handle in links.values() {
            let offer = if handle.pushed.is_empty() {
                Arc::clone(&everything)
            } else {
                let others = everything.iter();
                others
                    .filter(|stored| !handle.pushed.contains(&stored.address))
                    .cloned()
                    .collect()
            };
            if !offer.is_empty() && handle.commands.try_send(Command::Offer(offer)).is_err() {
                handle.status.behind.store(true, Ordering::Release);
            }
        }
    }

    /// Whether another node that serves the address is in touch.
    pub(super) fn is_together(&self, address: &Address) -> bool {
        let together = self.together.lock();
        together
            .unwrap_or_else(PoisonError::into_inner)
            .contains(address)
    }

    /// Nodes whose link does, in ascending order.
    fn working(&self) -> Vec<NodeKey> {
        let links = self.links();
        let working = links
            .iter()
            .filter(|(_, handle)| handle.status.works.load(Ordering::Acquire));
        let mut nodes: Vec<NodeKey> = working.map(|(node, _)| *node).collect();
        nodes.sort_unstable();
        nodes
    }

    fn links(&self) -> MutexGuard<'_, HashMap<NodeKey, Handle>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Supervisor {
    shared: Arc<Shared>,
    endpoint: ClientEndpoint,
    secret: Arc<PseudonymSecret>,
    peers: Peers,
    links: JoinSet<(NodeKey, End, Acknowledged)>,
    /// Whose link each task is: one that panics does not say.
    tasks: HashMap<Id, NodeKey>,
    /// As of which change `covered` is.
    following: u64,
    /// What other nodes follow here by themselves.
    covered: HashMap<NodeKey, HashSet<Address>>,
    /// Nodes whose link has come as far as following.
    working: Vec<NodeKey>,
    next_update: UnixMillis,
    may_update: UnixMillis,
}

impl Supervisor {
    async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            let ended = tokio::select! {
                Some(ended) = self.links.join_next_with_id(), if !self.links.is_empty() => Some(ended),
                _ = tick.tick() => None,
            };
            let now = self.shared.clock.now();
            let mut changed = ended.is_some();
            match ended {
                Some(Ok((task, (node, end, acknowledged)))) => {
                    self.tasks.remove(&task);
                    self.ended(now, &node, &end, acknowledged);
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "a link to another node broke");
                    if let Some(node) = self.tasks.remove(&error.id()) {
                        let end = End::Failed(error.to_string());
                        self.ended(now, &node, &end, Acknowledged::default());
                    }
                }
                None => {}
            }
            // Clients come and go all the time; what they change may wait for a moment.
            if now >= self.next_update
                || (now >= self.may_update && self.shared.service.take_neighbours_changed())
            {
                self.next_update = now.after(UPDATE_EVERY);
                self.may_update = now.after(UPDATE_AT_MOST);
                changed = true;
                if let Err(error) = self.update(now).await {
                    tracing::warn!(%error, "what is known of other nodes cannot be read");
                }
            }
            let following = self.shared.live.peers_following();
            if following != self.following {
                self.following = following;
                changed = true;
            }
            let working = self.shared.hub.working();
            if working != self.working {
                self.working = working;
                changed = true;
            }
            if changed || self.peers.is_due(now) {
                self.covered = self
                    .peers
                    .nodes()
                    .map(|node| (*node, self.shared.live.following(&pseudonym(node))))
                    .filter(|(_, addresses)| !addresses.is_empty())
                    .collect();
                for (node, handle) in self.shared.hub.links().iter_mut() {
                    handle.pushed = self.covered.get(node).cloned().unwrap_or_default();
                }
                for plan in self.peers.plan(now, &self.covered) {
                    self.carry_out(now, plan);
                }
                self.note_state();
            }
        }
    }

    async fn update(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        let working = self.working.clone();
        let shared = Arc::clone(&self.shared);
        let read = tokio::task::spawn_blocking(move || {
            let store = shared.service.store();
            if !working.is_empty() {
                store.write(|writer| {
                    working
                        .iter()
                        .try_for_each(|node| writer.reached(node, now))
                })?;
            }
            store.read(|reader| Ok((reader.delegations(now)?, reader.peers()?)))
        });
        // The closure does not panic.
        if let Ok(read) = read.await {
            let (delegations, peers) = read?;
            self.peers.update(now, delegations, peers);
        }
        Ok(())
    }

    fn carry_out(&mut self, now: UnixMillis, plan: Plan) {
        match plan {
            Plan::Dial(link, leases, acknowledged) => self.dial(now, link, leases, acknowledged),
            Plan::Lease(node, leases) => {
                let links = self.shared.hub.links();
                let Some(handle) = links.get(&node) else {
                    return;
                };
                if handle.commands.try_send(Command::Lease(leases)).is_err() {
                    drop(links);
                    self.peers.lease_again(&node);
                }
            }
        }
    }

    fn dial(
        &mut self,
        now: UnixMillis,
        link: NodeLink,
        leases: Vec<Delegation>,
        acknowledged: Acknowledged,
    ) {
        let node = *link.key();
        let dialer = match self.endpoint.dialer(&self.secret, node) {
            Ok(dialer) => dialer,
            Err(error) => {
                let end = End::Failed(error.to_string());
                self.peers.ended(now, &node, &end, acknowledged);
                return;
            }
        };
        let (commands, received) = mpsc::channel(COMMANDS);
        let status = Arc::new(Status::default());
        let handle = Handle {
            commands,
            status: Arc::clone(&status),
            pushed: self.covered.get(&node).cloned().unwrap_or_default(),
        };
        self.shared.hub.links().insert(node, handle);
        tracing::debug!(node = ?link, addresses = leases.len(), "dialling another node");
        let shared = Arc::clone(&self.shared);
        let task = self.links.spawn(async move {
            let driven = link::drive(
                &shared,
                &dialer,
                &link,
                leases,
                acknowledged,
                received,
                &status,
            );
            let (end, acknowledged) = driven.await;
            (node, end, acknowledged)
        });
        self.tasks.insert(task.id(), node);
    }

    fn ended(&mut self, now: UnixMillis, node: &NodeKey, end: &End, acknowledged: Acknowledged) {
        self.shared.hub.links().remove(node);
        let metrics = self.shared.service.metrics();
        match end {
            End::Withheld(id) => {
                metrics.peers_withheld.inc();
                tracing::warn!(
                    ?node,
                    ?id,
                    "another node acknowledged an envelope and does not have it; it is left for a day"
                );
            }
            End::Misbehaved(how) => {
                metrics.peers_withheld.inc();
                tracing::warn!(
                    ?node,
                    how,
                    "another node sent what no honest node sends; it is left for a day"
                );
            }
            End::Needless | End::Lost | End::Failed(_) => {
                tracing::debug!(?node, ?end, "a link to another node ended");
            }
        }
        self.peers.ended(now, node, end, acknowledged);
    }

    /// Tells the others what stands: the DHT's task, and whoever reads the metrics.
    fn note_state(&self) {
        let works = |node: &NodeKey| self.working.contains(node);
        let mut together: HashSet<Address> = self.covered.values().flatten().copied().collect();
        together.extend(self.peers.leased(works));
        let metrics = self.shared.service.metrics();
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.peer_links.set(gauge(self.working.len()));
        metrics.peers_distrusted.set(gauge(self.peers.distrusted()));
        let hub = &self.shared.hub;
        *hub.together.lock().unwrap_or_else(PoisonError::into_inner) = together;
    }
}

/// Under which a node is known where it is the client.
fn pseudonym(node: &NodeKey) -> Pseudonym {
    Pseudonym::from_bytes(*node.as_bytes())
}

/// How often it is looked whether there is something to do.
const TICK: Duration = Duration::from_millis(250);
/// How often the store is read again without any news.
const UPDATE_EVERY: Duration = Duration::from_secs(600);
/// How often at most it is read.
const UPDATE_AT_MOST: Duration = Duration::from_secs(10);
/// Commands that may wait for one link.
const COMMANDS: usize = 256;
/// Silence after which another node is taken for gone, and how often it is made to answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
