//! When all super nodes are lost: others are looked for in the DHT, which a phone reads then and never else.

use std::sync::Arc;

use crate::discovery::lookup::Search;

use super::inner::Inner;
use super::{Client, Error};

impl Client {
    /// Looks for super nodes of this profile's channels in the DHT now. Polls do so by themselves when no node has been
    /// reached for 5 minutes or none is known, every 15 minutes at first and every hour later; this is for a person who does
    /// not want to wait. Gives how many were found that are new, or have another address; the next poll asks them.
    /// It takes some seconds, at most 20 per channel.
    ///
    /// # Errors
    /// [`Error::Dht`] if nobody in the DHT answers, and whatever stops the store; with the DHT
    /// [off](super::Options::dht), nothing is found.
    pub async fn find_nodes(&self) -> Result<usize, Error> {
        let inner = self.inner();
        if !inner.dht.is_on() {
            return Ok(0);
        }
        inner
            .unless_stopped(async {
                let search = inner.blocking(|engine, now| engine.search(now)).await?;
                let found = run(inner, search).await;
                inner.replan();
                found
            })
            .await
    }
}

/// All nodes were tried, and none was reached: looks for others if it is time. Gives how many new ones were found, so
/// that a poll that gets more than none may try once more.
pub(super) async fn rescue(inner: &Arc<Inner>) -> Result<usize, Error> {
    if !inner.dht.is_on() {
        return Ok(0);
    }
    let due = inner.blocking(|engine, now| engine.unreached(now)).await?;
    match due {
        Some(search) => run(inner, search).await,
        None => Ok(0),
    }
}

/// A node was reached, so no search is near.
pub(super) async fn reached(inner: &Arc<Inner>) -> Result<(), Error> {
    if !inner.dht.is_on() {
        return Ok(());
    }
    inner.blocking(|engine, _| engine.reached()).await
}

#[cfg(feature = "dht")]
async fn run(inner: &Arc<Inner>, mut search: Search) -> Result<usize, Error> {
    let _spent = inner.spending.search();
    use tokio::task::JoinSet;

    use crate::channel::record::salt;
    use crate::net::{Dht, DhtError};
    use crate::wire::limits::RECORD_SLOTS;

    let Some(dht) = Dht::client(&inner.dht).await? else {
        return Ok(0);
    };
    let dht = Arc::new(dht);
    let mut answered = false;
    while let Some(round) = search.next_round() {
        let mut slots = JoinSet::new();
        for slot in 0..RECORD_SLOTS {
            let (dht, key) = (Arc::clone(&dht), round.key);
            slots.spawn(async move { (slot, dht.read_all(key.as_bytes(), &salt(slot)).await) });
        }
        while let Some(read) = slots.join_next().await {
            let Ok((slot, Ok(items))) = read else {
                continue;
            };
            answered = true;
            for item in items {
                match search.heard(&round, slot, item.seq, &item.value, &item.signature) {
                    // Those that follow are older.
                    Ok(()) => break,
                    Err(error) => tracing::debug!(%error, slot, "a record in the DHT"),
                }
            }
            if search.is_enough() {
                break;
            }
        }
        if !answered {
            inner.blocking(|engine, now| engine.searched(now)).await?;
            return Err(DhtError::NoNodes.into());
        }
    }
    // Its thread ends here.
    drop(dht);
    let found = search.into_found();
    tracing::info!(found = found.len(), "searched the DHT for super nodes");
    let new = inner
        .blocking(move |engine, now| {
            engine.searched(now)?;
            engine.found(&found, now)
        })
        .await?;
    if new > 0 {
        inner.nodes_changed();
    }
    Ok(new)
}

#[cfg(not(feature = "dht"))]
async fn run(_: &Arc<Inner>, _: Search) -> Result<usize, Error> {
    Err(crate::net::DhtError::NotBuilt.into())
}
