//! Super nodes: the real service over a real database, and a process that can die.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use ailurus::{
    channel::{Address, NodeLink},
    crypto::{NodeKey, NodeSecret},
    wire::{
        node::{Request, Response, request},
        time::UnixMillis,
    },
};
use ailurus_node::{Limits, Pushes, Service, Session, Store, Verified, Wires};
use prost::Message as _;

use super::{Failure, random::Random};

/// A node, running or not.
pub struct Node {
    pub link: NodeLink,
    pub secret: NodeSecret,
    limits: Limits,
    folder: PathBuf,
    verified: Arc<Verified>,
    service: Option<Arc<Service>>,
    /// Links to others; out of their place while they run.
    pub wires: Option<Wires>,
    pub accused: u64,
    pub traffic: Traffic,
}

/// Bytes of requests and answers.
#[derive(Clone, Copy, Default)]
pub struct Traffic {
    pub clients: u64,
    pub peers: u64,
}

impl Node {
    /// A running node with an empty database.
    pub fn start(
        number: usize,
        limits: Limits,
        folder: &Path,
        verified: &Arc<Verified>,
        now: UnixMillis,
        random: &mut Random,
    ) -> Result<Self, Failure> {
        let secret = NodeSecret::random(random.entropy());
        // Four nodes share a network, as at a hoster.
        let host = format!("45.{}.{}.1", number / 1_024, number / 4 % 256);
        let mut node = Self {
            link: NodeLink::new(secret.public(), &host, 4_433)?,
            secret,
            limits,
            folder: folder.join(number.to_string()),
            verified: Arc::clone(verified),
            service: None,
            wires: None,
            accused: 0,
            traffic: Traffic::default(),
        };
        std::fs::create_dir_all(&node.folder)?;
        node.restart(now)?;
        Ok(node)
    }

    /// Its key.
    pub fn key(&self) -> &NodeKey {
        self.link.key()
    }

    /// Whether it answers.
    pub fn is_up(&self) -> bool {
        self.service.is_some()
    }

    /// What it decides; `None` while it is down.
    pub fn service(&self) -> Option<&Arc<Service>> {
        self.service.as_ref()
    }

    /// What its database takes.
    pub fn disk_bytes(&self) -> u64 {
        let files = std::fs::read_dir(&self.folder).into_iter().flatten();
        let sizes = files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len()));
        sizes.sum()
    }

    /// It dies; what was committed stays on its disk.
    pub fn kill(&mut self) {
        self.service = None;
        self.accused += self.wires.take().map_or(0, |wires| wires.accused());
    }

    /// Its disk is gone too.
    pub fn empty(&mut self) -> Result<(), Failure> {
        self.kill();
        std::fs::remove_dir_all(&self.folder)?;
        std::fs::create_dir_all(&self.folder)?;
        Ok(())
    }

    /// It runs again.
    pub fn restart(&mut self, now: UnixMillis) -> Result<(), Failure> {
        if self.is_up() {
            return Ok(());
        }
        let store = Arc::new(Store::open_alone(&self.folder.join("node.db"))?);
        let verified = Arc::clone(&self.verified);
        let service = Service::beside(store, self.limits.clone(), *self.link.key(), verified);
        self.service = Some(Arc::new(service));
        self.wires = Some(Wires::new(*self.link.key(), now));
        Ok(())
    }

    /// What it pushes to another node with these links; none if it is down.
    pub fn push(&mut self, follower: &Wires) -> Option<Pushes> {
        let pushes = self.wires.as_ref()?.pushes(self.link.key(), follower);
        let bytes: usize = pushes.frames().iter().map(Response::encoded_len).sum();
        self.traffic.peers += bytes as u64;
        Some(pushes)
    }

    /// Dials others; `covered` is what they have leased here. Reconciles from `later` on.
    pub fn plan(
        &mut self,
        now: UnixMillis,
        later: UnixMillis,
        covered: &HashMap<NodeKey, HashSet<Address>>,
    ) -> Result<(), Failure> {
        if let (Some(service), Some(wires)) = (&self.service, &mut self.wires) {
            wires.plan(service, now, later, covered)?;
        }
        Ok(())
    }

    /// Says on its link to another node what there is to say.
    pub fn exchange(&mut self, other: &mut Self, now: UnixMillis) -> Result<(), Failure> {
        if let (Some(service), Some(wires)) = (&self.service, &mut self.wires) {
            let pushes = other.push(wires);
            let key = *other.key();
            wires.exchange(service, now, &key, pushes, |session, requests| {
                other.answer_peer(session, now, requests)
            })?;
        }
        Ok(())
    }

    /// Its answers to a phone; none if it is down.
    pub fn ask(
        &mut self,
        session: &Session,
        now: UnixMillis,
        request: Request,
    ) -> Option<Vec<Response>> {
        let service = self.service.as_ref()?;
        let mut bytes = request.encoded_len();
        let (answers, offered) = service.handle_offering(session, now, request);
        if let Some(wires) = &mut self.wires {
            wires.offer(&offered, now);
        }
        bytes += answers.iter().map(Response::encoded_len).sum::<usize>();
        self.traffic.clients += bytes as u64;
        Some(answers)
    }

    /// Its answers to another node, which asks much at once; none if it is down.
    fn answer_peer(
        &mut self,
        session: &Session,
        now: UnixMillis,
        mut requests: Vec<Request>,
    ) -> Option<Vec<Response>> {
        let service = self.service.as_ref()?;
        let mut bytes: usize = requests.iter().map(Request::encoded_len).sum();
        let follows = matches!(
            requests.as_slice(),
            [Request {
                kind: Some(request::Kind::Sync(_))
            }]
        );
        let answers = match requests.pop() {
            Some(request) if follows => service.handle(session, now, request),
            last => {
                requests.extend(last);
                let requests = requests.into_iter().map(|request| (*session, request));
                service.handle_all(requests.collect(), now)
            }
        };
        bytes += answers.iter().map(Response::encoded_len).sum::<usize>();
        self.traffic.peers += bytes as u64;
        Some(answers)
    }

    /// Takes away what is over.
    pub fn expire(&self, now: UnixMillis) -> Result<(), Failure> {
        if let Some(service) = &self.service {
            while service.expire(now)?.more {}
        }
        Ok(())
    }
}
