//! Super nodes that were lost: when the DHT is searched, for which channels, and what becomes of nodes found there.

use crate::channel::{Access, NodeLink};
use crate::crypto::NodeKey;
use crate::discovery::Origin;
use crate::discovery::lookup::{Schedule, Search};
use crate::store::{StoredSearches, Tx};
use crate::wire::time::UnixMillis;

use super::{
    Engine, Error, adjusted,
    nodes::{choose, offer},
};

impl Engine {
    /// A node was reached.
    pub fn reached(&mut self) -> Result<(), Error> {
        let before = self.store.read(schedule)?;
        let mut after = before;
        after.reached();
        if after == before {
            return Ok(());
        }
        self.store.write(|tx| remember(tx, after))
    }

    /// All nodes were tried and none was reached: gives a search if one is due, which counts as made then.
    pub fn unreached(&mut self, now: UnixMillis) -> Result<Option<Search>, Error> {
        let (before, none) = self
            .store
            .read(|tx| Ok::<_, Error>((schedule(tx)?, tx.nodes()?.is_empty())))?;
        let mut after = before;
        after.unreached(now);
        if after != before {
            self.store.write(|tx| remember(tx, after))?;
        }
        if !after.is_due(none, now) {
            return Ok(None);
        }
        self.search(now).map(Some)
    }

    /// A search now, whether due or not; see [`Engine::searched`].
    pub fn search(&mut self, now: UnixMillis) -> Result<Search, Error> {
        self.store.write(|tx| {
            let mut schedule = schedule(tx)?;
            let in_use: Vec<Access> = tx
                .accesses()?
                .into_iter()
                .filter(|access| access.retired.is_none())
                .map(|access| access.access)
                .collect();
            let search = Search::new(&in_use, schedule.searches, adjusted(tx, now)?)?;
            let known = tx.nodes()?.into_iter().map(|node| node.link).collect();
            schedule.began(now);
            remember(tx, schedule)?;
            Ok(search.without(known))
        })
    }

    /// The search is over, whatever it found.
    pub fn searched(&mut self, now: UnixMillis) -> Result<(), Error> {
        self.store.write(|tx| {
            let mut schedule = schedule(tx)?;
            schedule.searched(now);
            remember(tx, schedule)
        })
    }

    /// Takes nodes that were found in the DHT; gives how many of them are new, or have another address now.
    pub fn found(&mut self, nodes: &[NodeLink], now: UnixMillis) -> Result<usize, Error> {
        let entropy = &mut *self.entropy;
        self.store.write(|tx| {
            let lost = schedule(tx)?.lost.is_some();
            let known: Vec<NodeKey> = tx.nodes()?.iter().map(|node| *node.link.key()).collect();
            let mut new = 0;
            choose(tx, now, |chooser| {
                let moved = known.iter().filter(|node| chooser.found(node, nodes, lost));
                new = moved.count();
            })?;
            for link in nodes.iter().filter(|link| !known.contains(link.key())) {
                new += usize::from(offer(tx, link, Origin::Dht, entropy)?);
            }
            Ok(new)
        })
    }
}

pub(super) fn schedule(tx: &Tx<'_>) -> Result<Schedule, Error> {
    let StoredSearches { lost, last, count } = tx.searches()?;
    Ok(Schedule {
        lost,
        last,
        searches: count,
    })
}

fn remember(tx: &Tx<'_>, schedule: Schedule) -> Result<(), Error> {
    Ok(tx.set_searches(&StoredSearches {
        lost: schedule.lost,
        last: schedule.last,
        count: schedule.searches,
    })?)
}
