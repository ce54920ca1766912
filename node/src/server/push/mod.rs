//! Waking clients by push: one task that asks the service whom to wake, and one for each request to a push service.

mod http;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ailurus::{channel::Address, crypto::Pseudonym};
use tokio::{sync::Notify, task::JoinSet, time::timeout};

pub(crate) use self::http::Pushing;
use self::http::Sender;
use super::Shared;
use crate::service::{Delivery, Stored};

/// What was committed and nobody was woken for yet.
#[derive(Default)]
pub(super) struct Pusher {
    /// Addresses, and who brought all that came for each, if one client did.
    came: Mutex<HashMap<Address, Option<Pseudonym>>>,
    changed: Notify,
}

impl Pusher {
    /// Takes in what was committed; never waits.
    pub(super) fn offer(&self, stored: &[Stored]) {
        let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
        for envelope in stored {
            if came.len() >= ADDRESSES {
                break;
            }
            match came.entry(envelope.address) {
                Entry::Vacant(entry) => {
                    entry.insert(Some(envelope.origin));
                }
                Entry::Occupied(mut entry) => {
                    let origin = entry.get().filter(|origin| *origin == envelope.origin);
                    entry.insert(origin);
                }
            }
        }
        drop(came);
        self.changed.notify_one();
    }

    /// There may be something to send.
    pub(super) fn look(&self) {
        self.changed.notify_one();
    }

    fn take(&self) -> HashMap<Address, Option<Pseudonym>> {
        std::mem::take(&mut *self.came.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Pushes until the task is aborted.
pub(super) async fn run(shared: Arc<Shared>, pushing: Pushing) {
    let sender = Arc::new(Sender::new(pushing));
    let mut requests = JoinSet::new();
    loop {
        let came = shared.pusher.take();
        let looking = Arc::clone(&shared);
        let looked = tokio::task::spawn_blocking(move || {
            let (service, now) = (&looking.service, looking.clock.now());
            if !came.is_empty() {
                service.wake(&came, now)?;
            }
            service.deliveries(now, |client| looking.live.follows(client))
        });
        match looked.await {
            Ok(Ok(deliveries)) => {
                for delivery in deliveries {
                    requests.spawn(send(Arc::clone(&shared), Arc::clone(&sender), delivery));
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "clients cannot be woken by push now");
                tokio::time::sleep(AGAIN).await;
            }
            // The node stops.
            Err(_) => return,
        }
        while requests.try_join_next().is_some() {}
        let wait = shared.service.push_wait(shared.clock.now());
        // The clock may be set, so it is looked at now and then.
        let wait = wait.map_or(LOOKED_AT, |wait| wait.min(LOOKED_AT));
        let _ = timeout(wait, shared.pusher.changed.notified()).await;
        // What comes at once is looked up at once.
        tokio::time::sleep(TOGETHER).await;
    }
}

async fn send(shared: Arc<Shared>, sender: Arc<Sender>, delivery: Delivery) {
    let outcome = sender.send(&shared, &delivery).await;
    let noted = tokio::task::spawn_blocking(move || {
        let now = shared.clock.now();
        shared.service.delivered(&delivery, outcome, now);
        shared.pusher.look();
    });
    // The closure does not panic.
    let _ = noted.await;
}

/// Addresses that wait to be looked up; for more nobody is woken, and the next message does it.
const ADDRESSES: usize = 65_536;
const LOOKED_AT: Duration = Duration::from_secs(5);
const TOGETHER: Duration = Duration::from_millis(50);
const AGAIN: Duration = Duration::from_secs(5);
