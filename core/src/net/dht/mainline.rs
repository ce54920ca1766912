//! Reading and writing mutable items, over the `mainline` crate.
//!
//! That crate has a thread of its own, which wakes twenty times a second while a [`Dht`] exists: phones make one for a
//! search and drop it. It speaks IPv4 only.

use std::{
    future::{Future, poll_fn},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    pin::pin,
    time::Duration,
};

use ::mainline::{
    DEFAULT_BOOTSTRAP_NODES, DEFAULT_REQUEST_TIMEOUT, MutableItem, RequestFilter, RequestSpecific,
    ServerSettings,
    async_dht::AsyncDht,
    errors::{ConcurrencyError, PutMutableError, PutQueryError},
};
use futures_core::Stream;
use tokio::{
    net::lookup_host,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{
    DhtError, DhtMode,
    error::{MAX_SALT, MAX_VALUE},
};

/// A value that the holder of a key has put under it, as the DHT keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Sequence number, chosen by who wrote it.
    pub seq: i64,
    /// At most 1,000 bytes.
    pub value: Vec<u8>,
    /// Ed25519, by the key that was asked for, and verified.
    pub signature: [u8; 64],
}

/// A participant in the DHT. It leaves when it is dropped.
pub struct Dht(AsyncDht);

impl Dht {
    /// Joins as one that only asks: it says so (BEP 43), and answers nobody. `None` if the DHT is off.
    ///
    /// # Errors
    /// [`DhtError::NoNodes`] if no node to enter by can be resolved, and [`DhtError::Socket`]. That nobody answers
    /// shows when something is asked.
    pub async fn client(mode: &DhtMode) -> Result<Option<Self>, DhtError> {
        Self::join(mode, Role::Client).await
    }

    /// Joins as one that also answers and stores, on UDP `port` (0: any), for machines that can be reached from
    /// outside. `None` if the DHT is off.
    ///
    /// # Errors
    /// As [`Dht::client`].
    pub async fn server(mode: &DhtMode, port: u16) -> Result<Option<Self>, DhtError> {
        Self::join(mode, Role::Server(port)).await
    }

    /// The latest item under `key` and `salt`, of those that the DHT gave within 20 seconds; `None` if there is none.
    ///
    /// # Errors
    /// [`DhtError::NoNodes`] and [`DhtError::Stopped`].
    pub async fn read(&self, key: &[u8; 32], salt: &[u8]) -> Result<Option<Item>, DhtError> {
        Ok(self.read_all(key, salt).await?.into_iter().next())
    }

    /// All different items under `key` and `salt` that the DHT gave within 20 seconds, at most 16, the latest first:
    /// its nodes need not agree.
    ///
    /// # Errors
    /// [`DhtError::NoNodes`] and [`DhtError::Stopped`].
    pub async fn read_all(&self, key: &[u8; 32], salt: &[u8]) -> Result<Vec<Item>, DhtError> {
        let (dht, key, salt) = (self.0.clone(), *key, salt.to_vec());
        guarded(async move { search(&dht, &key, some(&salt)).await }).await?
    }

    /// Stores an item, which must be signed as BEP 44 says, at the nodes nearest to its key, for about two hours. With
    /// `cas`, only where the stored item has that sequence number, or there is none.
    ///
    /// # Errors
    /// [`DhtError::Conflict`] and [`DhtError::Stale`] if most of these nodes refuse, [`DhtError::TooLarge`],
    /// [`DhtError::NoNodes`], [`DhtError::TimedOut`] (also for a wrong signature) and [`DhtError::Stopped`].
    pub async fn put(
        &self,
        key: &[u8; 32],
        salt: &[u8],
        seq: i64,
        value: &[u8],
        signature: &[u8; 64],
        cas: Option<i64>,
    ) -> Result<(), DhtError> {
        if value.len() > MAX_VALUE || salt.len() > MAX_SALT {
            return Err(DhtError::TooLarge {
                value: value.len(),
                salt: salt.len(),
            });
        }
        let item = MutableItem::new_signed_unchecked(*key, *signature, value, seq, some(salt));
        let dht = self.0.clone();
        let stored = guarded(async move {
            timeout(LIMIT, dht.put_mutable(item, cas))
                .await
                .map_err(|_| DhtError::TimedOut)
        });
        match stored.await?? {
            Ok(_) => Ok(()),
            Err(error) => Err(refused(error)),
        }
    }

    /// The address of its socket.
    ///
    /// # Errors
    /// [`DhtError::Stopped`].
    pub async fn local_addr(&self) -> Result<SocketAddrV4, DhtError> {
        let dht = self.0.clone();
        guarded(async move { dht.info().await.local_addr() }).await
    }

    async fn join(mode: &DhtMode, role: Role) -> Result<Option<Self>, DhtError> {
        let entrances = match mode {
            DhtMode::Off => return Ok(None),
            DhtMode::Public => resolve(&DEFAULT_BOOTSTRAP_NODES.map(str::to_owned)).await,
            DhtMode::Bootstrap(nodes) => resolve(nodes).await,
        };
        // With none the crate would found a DHT of its own.
        if entrances.is_empty() {
            return Err(DhtError::NoNodes);
        }
        let here = entrances.iter().all(|node| node.ip().is_loopback());
        let mut builder = ::mainline::Dht::builder();
        builder
            .bootstrap(&entrances)
            .request_timeout(if here {
                LOOPBACK_TIMEOUT
            } else {
                DEFAULT_REQUEST_TIMEOUT
            })
            .bind_address(if here {
                Ipv4Addr::LOCALHOST
            } else {
                Ipv4Addr::UNSPECIFIED
            });
        match role {
            // Not the crate's usual port, by which firewalls know BitTorrent.
            Role::Client => builder.port(0).server_settings(ServerSettings {
                filter: Box::new(Silent),
                ..ServerSettings::default()
            }),
            Role::Server(port) => builder.port(port).server_mode(),
        };
        let built = tokio::task::spawn_blocking(move || builder.build());
        match built.await {
            Ok(Ok(dht)) => Ok(Some(Self(dht.as_async()))),
            Ok(Err(error)) => Err(DhtError::Socket(error)),
            // Its thread may end before it is asked why, and then the crate panics.
            Err(error) => Err(DhtError::Socket(std::io::Error::other(error))),
        }
    }
}

enum Role {
    Client,
    Server(u16),
}

/// The crate makes every participant a server once it was up for long and can be reached; this one stays silent.
#[derive(Clone, Debug)]
struct Silent;

impl RequestFilter for Silent {
    fn allow_request(&self, _: &RequestSpecific, _: SocketAddrV4) -> bool {
        false
    }
}

/// A search ends when every node that was asked has answered or is given up, so this is about what it takes. In the
/// public DHT many nodes are gone, and the crate's two seconds are needed.
const LOOPBACK_TIMEOUT: Duration = Duration::from_millis(500);
/// Longest search or storing.
const LIMIT: Duration = Duration::from_secs(20);
/// Longest look-up of the nodes to enter by.
const RESOLVE_LIMIT: Duration = Duration::from_secs(10);
/// Different items under one key and salt that are taken.
const MAX_ITEMS: usize = 16;

async fn resolve(nodes: &[String]) -> Vec<SocketAddrV4> {
    let mut lookups = JoinSet::new();
    for node in nodes {
        let node = node.clone();
        lookups.spawn(async move {
            let found = timeout(RESOLVE_LIMIT, lookup_host(&node))
                .await
                .ok()?
                .ok()?;
            let mut found = found.filter_map(|address| match address {
                SocketAddr::V4(address) => Some(address),
                SocketAddr::V6(_) => None,
            });
            found.next()
        });
    }
    lookups.join_all().await.into_iter().flatten().collect()
}

async fn search(
    dht: &AsyncDht,
    key: &[u8; 32],
    salt: Option<&[u8]>,
) -> Result<Vec<Item>, DhtError> {
    let deadline = Instant::now() + LIMIT;
    let asked = dht.get_mutable_detailed(key, salt, None);
    let mut given = pin!(asked.items);
    let mut items: Vec<Item> = Vec::new();
    while let Ok(Some(item)) = timeout_at(
        deadline,
        poll_fn(|context| given.as_mut().poll_next(context)),
    )
    .await
    {
        let item = Item {
            seq: item.seq(),
            value: item.value().to_vec(),
            signature: *item.signature(),
        };
        take(&mut items, item);
    }
    if items.is_empty() {
        match timeout_at(deadline, asked.outcome.recv()).await {
            Ok(outcome) if outcome.responded() == 0 => return Err(DhtError::NoNodes),
            Ok(_) => {}
            Err(_) => return Err(DhtError::TimedOut),
        }
    }
    items.sort_by(|a, b| (b.seq, &b.value).cmp(&(a.seq, &a.value)));
    Ok(items)
}

/// Of too many the oldest goes: anybody can replay old ones, and none of them may crowd out the latest.
fn take(items: &mut Vec<Item>, item: Item) {
    if items.contains(&item) {
        return;
    }
    if items.len() < MAX_ITEMS {
        items.push(item);
        return;
    }
    if let Some(oldest) = items.iter_mut().min_by_key(|item| item.seq)
        && oldest.seq < item.seq
    {
        *oldest = item;
    }
}

/// Runs what panics when the crate's thread is gone.
async fn guarded<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, DhtError> {
    // Of a set, so that it ends with whoever waits for it.
    let mut task = JoinSet::new();
    task.spawn(work);
    match task.join_next().await {
        Some(Ok(done)) => Ok(done),
        _ => Err(DhtError::Stopped),
    }
}

fn some(salt: &[u8]) -> Option<&[u8]> {
    (!salt.is_empty()).then_some(salt)
}

fn refused(error: PutMutableError) -> DhtError {
    match error {
        PutMutableError::Concurrency(ConcurrencyError::NotMostRecent) => DhtError::Stale,
        PutMutableError::Concurrency(
            ConcurrencyError::CasFailed | ConcurrencyError::ConflictRisk,
        ) => DhtError::Conflict,
        PutMutableError::Query(PutQueryError::NoClosestNodes) => DhtError::NoNodes,
        PutMutableError::Query(PutQueryError::Timeout | PutQueryError::ErrorResponse(_)) => {
            DhtError::TimedOut
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replayed_old_items_do_not_crowd_out_the_latest() {
        let item = |seq| Item {
            seq,
            value: vec![1],
            signature: [0; 64],
        };
        let mut items = Vec::new();
        for seq in (0..40).chain([100]).chain(0..40) {
            take(&mut items, item(seq));
        }
        assert_eq!(items.len(), MAX_ITEMS);
        assert!(items.contains(&item(100)));
        assert!(items.iter().all(|item| item.seq >= 25));
    }
}
