//! Who is registered: hop counts, the tree of introductions, and whose turn it is to go.

use std::collections::HashSet;

use ailurus::{
    channel::ChainId,
    crypto::{HolderKey, Pseudonym},
    wire::{node::Reason, time::UnixMillis},
};
use rusqlite::{OptionalExtension, Row};

use super::{NetworkId, StoreError, Totals, Writer, from_sql, networks::Counted, to_sql};

/// A hop count as the database has it; `None` is a stranger, farther than anybody with an introduction.
pub(crate) type Hops = Option<u8>;

/// A hop count as a number that grows with the distance.
pub(crate) fn distance(hops: Hops) -> u8 {
    hops.unwrap_or(STRANGER)
}

/// A registration as admission sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registered {
    pub(crate) row: i64,
    pub(crate) hops: Hops,
    /// When the introduction behind the hop count ends, Unix seconds.
    pub(crate) introduction_end_s: u64,
    /// Another super node.
    pub(crate) peer: bool,
    /// Leases, ended ones included until they are taken away.
    pub(crate) leases: u64,
    /// When it was here last, Unix seconds; exact to the hour.
    pub(crate) seen_s: u64,
}

/// An introduction that was verified: what of it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Introduced {
    pub(crate) hops: u8,
    /// The last key of the chain.
    pub(crate) holder: HolderKey,
    /// Unix seconds.
    pub(crate) end_s: u64,
    /// The subtrees it lies in, the operator's invitation first.
    pub(crate) chain: Vec<ChainId>,
}

/// A new registration.
pub(crate) enum Newcomer<'a> {
    /// Another super node.
    Peer,
    Stranger,
    Introduced(&'a Introduced),
}

impl Writer {
    /// The registration of a pseudonym.
    pub(crate) fn registered(
        &self,
        pseudonym: &Pseudonym,
    ) -> Result<Option<Registered>, StoreError> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT row, hop_count, coalesce(introduction_end_s, 0), peer, leases, seen_s FROM registrations
                 WHERE pseudonym = ?1",
            )?
            .query_row([pseudonym.as_bytes().as_slice()], registered)
            .optional()?;
        Ok(found)
    }

    /// Makes a registration, of which there must be none; what the client was to be told is forgotten.
    pub(crate) fn add_registration(
        &mut self,
        pseudonym: &Pseudonym,
        newcomer: &Newcomer<'_>,
        network: Option<&NetworkId>,
        now: UnixMillis,
    ) -> Result<i64, StoreError> {
        let peer = matches!(newcomer, Newcomer::Peer);
        self.connection
            .prepare_cached(
                "INSERT INTO registrations (pseudonym, id, version, seen_s, peer, network)
                 VALUES (?1, randomblob(16), 0, ?2, ?3, ?4)",
            )?
            .execute((
                pseudonym.as_bytes().as_slice(),
                to_sql(now.as_secs()),
                peer,
                network.map(|network| network.as_bytes().as_slice()),
            ))?;
        let row = self.connection.last_insert_rowid();
        self.count_in(network, counted(peer))?;
        add(&mut self.totals, peer, None);
        if let Newcomer::Introduced(introduced) = newcomer {
            self.introduce(row, None, introduced)?;
        }
        self.forget_ending(pseudonym)?;
        Ok(row)
    }

    /// Gives a client the hop count of an introduction; `before` is the one it had.
    pub(crate) fn introduce(
        &mut self,
        row: i64,
        before: Hops,
        introduced: &Introduced,
    ) -> Result<(), StoreError> {
        self.drop_chains(row)?;
        self.connection
            .prepare_cached(
                "UPDATE registrations SET hop_count = ?2, holder = ?3, introduction_end_s = ?4 WHERE row = ?1",
            )?
            .execute((
                row,
                introduced.hops,
                introduced.holder.as_bytes().as_slice(),
                to_sql(introduced.end_s),
            ))?;
        for (depth, chain) in (1_i64..).zip(&introduced.chain) {
            self.connection
                .prepare_cached(
                    "INSERT INTO chains (registration_row, depth, chain) VALUES (?1, ?2, ?3)",
                )?
                .execute((row, depth, chain.as_bytes().as_slice()))?;
            if let Some(clients) = self.subtrees.get_mut(chain) {
                *clients = clients.saturating_add(1);
            }
        }
        if before.is_none() {
            self.totals.strangers = self.totals.strangers.saturating_sub(1);
        }
        Ok(())
    }

    /// Whether a chain or one that it extends was revoked.
    pub(crate) fn is_revoked(
        &self,
        chain: &[ChainId],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM revocations WHERE chain = ?1 AND until_s > ?2")?;
        for chain in chain {
            if statement.exists((chain.as_bytes().as_slice(), to_sql(now.as_secs())))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether another registration than `own` was made with this holder's key.
    pub(crate) fn holder_is_taken(
        &self,
        holder: &HolderKey,
        own: Option<i64>,
    ) -> Result<bool, StoreError> {
        let found: Option<i64> = self
            .connection
            .prepare_cached("SELECT row FROM registrations WHERE holder = ?1")?
            .query_row([holder.as_bytes().as_slice()], |row| row.get(0))
            .optional()?;
        Ok(found.is_some() && found != own)
    }

    /// Whether one more client than those that are in it besides `own` fits into a subtree. An invitation has a quota of
    /// its own, any other subtree `otherwise`.
    pub(crate) fn subtree_has_room(
        &mut self,
        chain: &ChainId,
        own: Option<i64>,
        otherwise: u64,
    ) -> Result<bool, StoreError> {
        let quota = self.quota(chain, otherwise)?;
        let counted = self
            .connection
            .prepare_cached("SELECT 1 FROM chains WHERE registration_row = ?1 AND chain = ?2")?
            .exists((own, chain.as_bytes().as_slice()))?;
        let clients = self.subtree(chain)?.saturating_sub(u64::from(counted));
        Ok(clients < quota)
    }

    /// How many clients a subtree may have: what its invitation says, any other `otherwise`.
    pub(crate) fn quota(&self, chain: &ChainId, otherwise: u64) -> Result<u64, StoreError> {
        let quota: Option<i64> = self
            .connection
            .prepare_cached("SELECT quota FROM invitations WHERE chain = ?1")?
            .query_row([chain.as_bytes().as_slice()], |row| row.get(0))
            .optional()?;
        Ok(quota.map_or(otherwise, from_sql))
    }

    /// Clients in a subtree: counted once, as a large one is asked for with each that joins it.
    fn subtree(&mut self, chain: &ChainId) -> Result<u64, StoreError> {
        if let Some(clients) = self.subtrees.get(chain) {
            return Ok(*clients);
        }
        let clients = self
            .connection
            .prepare_cached("SELECT count(*) FROM chains WHERE chain = ?1")?
            .query_row([chain.as_bytes().as_slice()], |row| row.get(0))
            .map(from_sql)?;
        if self.subtrees.len() >= SUBTREES {
            self.subtrees.clear();
        }
        self.subtrees.insert(*chain, clients);
        Ok(clients)
    }

    /// The client that is to go first: the farthest, and of those the one that was unseen longest.
    pub(crate) fn farthest(&self) -> Result<Option<Registered>, StoreError> {
        let found = self
            .connection
            .prepare_cached(FARTHEST)?
            .query_row([], registered)
            .optional()?;
        Ok(found)
    }

    /// The super node that was unseen longest.
    pub(crate) fn stalest_peer(&self) -> Result<Option<Registered>, StoreError> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT row, hop_count, coalesce(introduction_end_s, 0), peer, leases, seen_s FROM registrations
                 WHERE peer = 1 ORDER BY seen_s LIMIT 1",
            )?
            .query_row([], registered)
            .optional()?;
        Ok(found)
    }

    /// Ends a registration with all its leases, and remembers why.
    pub(crate) fn evict(
        &mut self,
        row: i64,
        reason: Reason,
        now: UnixMillis,
    ) -> Result<Option<Pseudonym>, StoreError> {
        let mut addresses = HashSet::new();
        let mut peer = false;
        {
            let mut statement = self.connection.prepare_cached(
                "DELETE FROM leases WHERE registration_row = ?1 RETURNING address_row, peer",
            )?;
            let mut ended = statement.query([row])?;
            while let Some(lease) = ended.next()? {
                addresses.insert(lease.get::<_, i64>(0)?);
                peer = lease.get(1)?;
            }
        }
        self.count_ended(row, addresses.len() as u64, peer)?;
        self.drop_empty_addresses(&addresses)?;
        let pseudonym = self.drop_registration(row)?;
        if let Some(pseudonym) = &pseudonym {
            self.remember_ending(pseudonym, reason, now)?;
        }
        Ok(pseudonym)
    }

    /// Ends a registration that has no leases any more; `None` if it has some.
    pub(super) fn drop_empty_registration(
        &mut self,
        row: i64,
    ) -> Result<Option<Pseudonym>, StoreError> {
        let has_leases = self
            .connection
            .prepare_cached("SELECT 1 FROM leases WHERE registration_row = ?1")?
            .exists([row])?;
        if has_leases {
            return Ok(None);
        }
        self.drop_registration(row)
    }

    /// Notes that a client was here.
    pub(crate) fn see(&mut self, pseudonym: &Pseudonym, now_s: u64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE registrations SET seen_s = ?2 WHERE pseudonym = ?1 AND seen_s < ?2",
            )?
            .execute((pseudonym.as_bytes().as_slice(), to_sql(now_s)))?;
        Ok(())
    }

    /// Makes a client a stranger.
    pub(super) fn forget_introduction(&mut self, row: i64) -> Result<(), StoreError> {
        self.drop_chains(row)?;
        self.connection
            .prepare_cached(
                "UPDATE registrations SET hop_count = NULL, holder = NULL, introduction_end_s = NULL WHERE row = ?1",
            )?
            .execute([row])?;
        self.totals.strangers = self.totals.strangers.saturating_add(1);
        Ok(())
    }

    fn drop_registration(&mut self, row: i64) -> Result<Option<Pseudonym>, StoreError> {
        self.drop_chains(row)?;
        self.drop_push(row)?;
        let dropped = self
            .connection
            .prepare_cached(
                "DELETE FROM registrations WHERE row = ?1 RETURNING pseudonym, hop_count, peer, network",
            )?
            .query_row([row], |row| {
                Ok(Dropped {
                    pseudonym: Pseudonym::from_bytes(row.get(0)?),
                    hops: row.get(1)?,
                    peer: row.get(2)?,
                    network: row.get::<_, Option<_>>(3)?.map(NetworkId::from_bytes),
                })
            })
            .optional()?;
        let Some(dropped) = dropped else {
            return Ok(None);
        };
        self.count_out(dropped.network.as_ref(), counted(dropped.peer))?;
        remove(&mut self.totals, dropped.peer, dropped.hops);
        Ok(Some(dropped.pseudonym))
    }

    fn drop_chains(&mut self, row: i64) -> Result<(), StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("DELETE FROM chains WHERE registration_row = ?1 RETURNING chain")?;
        let mut dropped = statement.query([row])?;
        while let Some(chain) = dropped.next()? {
            let chain = ChainId::from_bytes(chain.get(0)?);
            if let Some(clients) = self.subtrees.get_mut(&chain) {
                *clients = clients.saturating_sub(1);
            }
        }
        Ok(())
    }
}

struct Dropped {
    pseudonym: Pseudonym,
    hops: Hops,
    peer: bool,
    network: Option<NetworkId>,
}

fn counted(peer: bool) -> Counted {
    if peer { Counted::Peer } else { Counted::Client }
}

fn registered(row: &Row<'_>) -> rusqlite::Result<Registered> {
    Ok(Registered {
        row: row.get(0)?,
        hops: row.get(1)?,
        introduction_end_s: from_sql(row.get(2)?),
        peer: row.get(3)?,
        leases: from_sql(row.get(4)?),
        seen_s: from_sql(row.get(5)?),
    })
}

fn add(totals: &mut Totals, peer: bool, hops: Hops) {
    if peer {
        totals.peers = totals.peers.saturating_add(1);
        return;
    }
    totals.clients = totals.clients.saturating_add(1);
    if hops.is_none() {
        totals.strangers = totals.strangers.saturating_add(1);
    }
}

fn remove(totals: &mut Totals, peer: bool, hops: Hops) {
    if peer {
        totals.peers = totals.peers.saturating_sub(1);
        return;
    }
    totals.clients = totals.clients.saturating_sub(1);
    if hops.is_none() {
        totals.strangers = totals.strangers.saturating_sub(1);
    }
}

/// Subtrees whose clients are remembered, about 60 bytes each.
const SUBTREES: usize = 16_384;
/// What the index of version 2 has for a stranger.
const STRANGER: u8 = 7;
const FARTHEST: &str =
    "SELECT row, hop_count, coalesce(introduction_end_s, 0), peer, leases, seen_s FROM registrations
    WHERE peer = 0 ORDER BY coalesce(hop_count, 7) DESC, seen_s ASC LIMIT 1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn the_farthest_is_found_by_its_index_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("node.db")).expect("a database");
        let plan: Vec<String> = store
            .write(|writer| {
                let mut statement = writer
                    .connection
                    .prepare(&format!("EXPLAIN QUERY PLAN {FARTHEST}"))?;
                let plan = statement
                    .query_map([], |row| row.get(3))?
                    .collect::<Result<_, _>>()?;
                Ok(plan)
            })
            .expect("planned");
        assert_eq!(plan.len(), 1, "{plan:?}");
        assert!(plan[0].contains("registrations_by_distance"), "{plan:?}");
    }
}
