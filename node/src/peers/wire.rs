//! A link by function calls: two services without a network, for simulations.

use std::{collections::HashSet, sync::Arc};

use ailurus::{
    channel::Address,
    crypto::{NodeKey, Pseudonym},
    wire::{
        node::{Request, Response, request},
        time::UnixMillis,
    },
};

use super::{Acknowledged, End, Link, Step};
use crate::{
    service::{Service, Session, Stored},
    store::{Delegation, StoreError},
};

/// One node's link to another whose service is at hand. Nothing is pushed on it but by [`crate::Wires`].
pub struct Wire {
    link: Link,
    session: Session,
}

/// Why a [`Wire`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireEnd {
    /// Nothing is shared, or the other node takes none of it.
    Needless,
    /// The other node acknowledged an envelope that it does not have.
    Withheld,
    /// The other node sent what no honest node sends.
    Misbehaved,
}

impl Wire {
    /// A link from `service` to the node with key `node`, for all addresses with a delegation.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn new(service: &Arc<Service>, node: NodeKey, now: UnixMillis) -> Result<Self, StoreError> {
        let leases = service.store().read(|reader| reader.delegations(now))?;
        Ok(Self::dial(
            service,
            node,
            leases,
            Acknowledged::default(),
            now,
        ))
    }

    pub(super) fn dial(
        service: &Arc<Service>,
        node: NodeKey,
        leases: Vec<Delegation>,
        acknowledged: Acknowledged,
        now: UnixMillis,
    ) -> Self {
        let session = Session {
            pseudonym: Pseudonym::from_bytes(*service.node().as_bytes()),
            early: false,
            exporter: Some([0; 32]),
            network: None,
        };
        Self {
            link: Link::new(Arc::clone(service), node, leases, acknowledged, now),
            session,
        }
    }

    pub(super) fn lease(&mut self, leases: Vec<Delegation>) {
        self.link.lease(leases);
    }

    pub(super) fn offer(&mut self, stored: &[Stored], now: UnixMillis) {
        self.link.offer(stored, now);
    }

    /// Takes in what the other node pushed, and that some passed this one by.
    pub(super) fn pushed(&mut self, frames: Vec<Response>, missed: bool, now: UnixMillis) {
        if missed {
            self.link.fell_behind(now);
        }
        for frame in frames {
            self.link.pushed(now, frame);
        }
    }

    pub(super) fn registered(&self) -> HashSet<Address> {
        self.link.registered().copied().collect()
    }

    pub(super) fn reconcile_not_before(&mut self, time: UnixMillis) {
        self.link.reconcile_not_before(time);
    }

    pub(super) fn end(&self) -> Option<&End> {
        self.link.end()
    }

    /// Why it ended, if it has by itself, or that the other node does not answer.
    pub(super) fn into_end(self, answers: bool) -> (End, Acknowledged) {
        let end = match self.link.end() {
            Some(end) => end.clone(),
            None if answers => End::Needless,
            None if self.link.works() => End::Lost,
            None => End::Failed("it does not answer".to_owned()),
        };
        (end, self.link.into_acknowledged())
    }

    /// Exchanges everything that is to be exchanged, and reconciles if it is time. `other` answers a request.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn run(
        &mut self,
        service: &Service,
        now: UnixMillis,
        mut other: impl FnMut(&Session, Request) -> Vec<Response>,
    ) -> Result<Option<WireEnd>, StoreError> {
        self.run_together(service, now, |session, requests| {
            let answers = requests.into_iter();
            answers
                .flat_map(|request| other(session, request))
                .collect()
        })
    }

    /// As [`Wire::run`], where `other` answers many requests, each with one response but for a `Sync`, which comes alone.
    pub(super) fn run_together(
        &mut self,
        service: &Service,
        now: UnixMillis,
        mut other: impl FnMut(&Session, Vec<Request>) -> Vec<Response>,
    ) -> Result<Option<WireEnd>, StoreError> {
        loop {
            let steps = self.link.steps(now)?;
            if steps.is_empty() {
                return Ok(self.link.end().map(WireEnd::of));
            }
            let mut asked = Vec::new();
            for step in steps {
                match step {
                    Step::Ask(request) => asked.push(request),
                    Step::Follow(request) => {
                        for response in other(&self.session, vec![once(request)]) {
                            self.link.pushed(now, response);
                        }
                    }
                    Step::Commit(writes) => {
                        let responses = service.take_from_peer(now, writes);
                        self.link.committed(&responses);
                    }
                }
            }
            if asked.is_empty() {
                continue;
            }
            for response in other(&self.session, asked) {
                self.link.answered(now, response);
            }
        }
    }

    /// When the next reconciliation is due.
    pub fn wake(&self) -> UnixMillis {
        self.link.wake()
    }
}

impl WireEnd {
    fn of(end: &End) -> Self {
        match end {
            End::Needless | End::Lost | End::Failed(_) => Self::Needless,
            End::Withheld(_) => Self::Withheld,
            End::Misbehaved(_) => Self::Misbehaved,
        }
    }
}

/// Function calls cannot be followed.
fn once(mut request: Request) -> Request {
    if let Some(request::Kind::Sync(sync)) = &mut request.kind {
        sync.follow = false;
    }
    request
}
