//! How long a node is away when it was killed: from its start to the first client that has an answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ailurus::channel::NodeLink;
use tokio::{task::JoinSet, time::timeout};

use super::{
    Failure,
    clock::BenchClock,
    fill::pseudonym,
    node::{NodeFolder, NodeProcess},
    wire::Sockets,
};

/// Seconds from spawning the daemon to the end of the first sync of `client`, which must have `leases`.
pub async fn restart_s(
    folder: &NodeFolder,
    clock: BenchClock,
    link: &NodeLink,
    client: usize,
    leases: u32,
) -> Result<(f64, NodeProcess), Failure> {
    let start = Instant::now();
    let node = NodeProcess::again(folder, clock, link)?;
    let found = timeout(PATIENCE, first_sync(link, client))
        .await
        .map_err(|_| "the node did not answer after it was started again")??;
    if found != leases {
        return Err(format!("the node knew {found} leases of {leases} after a restart").into());
    }
    Ok((start.elapsed().as_secs_f64(), node))
}

/// A client that tries again and again, and waits for no try before the next.
async fn first_sync(link: &NodeLink, client: usize) -> Result<u32, Failure> {
    let sockets = Arc::new(Sockets::bind(1)?);
    let mut tries = JoinSet::new();
    let mut again = tokio::time::interval(TRY_AGAIN);
    loop {
        tokio::select! {
            Some(done) = tries.join_next() => if let Ok(leases) = done? {
                return Ok(leases);
            },
            _ = again.tick() => {
                let (sockets, link) = (Arc::clone(&sockets), link.clone());
                tries.spawn(async move {
                    let peer = sockets.connect_as(0, &link, pseudonym(client)).await?;
                    peer.sync().await
                });
            }
        }
    }
}

const TRY_AGAIN: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(60);
