//! What changes what the node knows of other super nodes.

use ailurus::{
    channel::{Address, NodeLink},
    crypto::NodeKey,
    wire::{
        limits::MAX_PEERS,
        node::{Reason, Record},
        time::UnixMillis,
    },
};
use rusqlite::OptionalExtension;

use super::{Delegation, Named};
use crate::store::{NetworkId, StoreError, Writer, from_sql, networks::Counted, to_sql};

impl Writer {
    /// Keeps a delegation instead of an earlier one of the same address, and where its records are.
    ///
    /// Why not: no client has leased the address, or the node has `limit` others, or a quarter of that from one network.
    pub(crate) fn delegate(
        &mut self,
        delegation: &Delegation,
        record: Option<(&[u8; 32], &[u8; 32])>,
        network: Option<&NetworkId>,
        limit: u64,
    ) -> Result<Option<Reason>, StoreError> {
        let address = delegation.keys.address.as_bytes().as_slice();
        // The lease may have ended since it was looked up.
        if !self.is_leased(&delegation.keys.address)? {
            return Ok(Some(Reason::NotRegistered));
        }
        let until_s: Option<i64> = self
            .connection
            .prepare_cached("SELECT until_s FROM delegations WHERE address = ?1")?
            .query_row([address], |row| row.get(0))
            .optional()?;
        let known = until_s.is_some();
        if record.is_none()
            && until_s.is_some_and(|until_s| from_sql(until_s) >= delegation.until_s)
        {
            return Ok(None);
        }
        if !known {
            if self.totals.delegations >= limit {
                return Ok(Some(Reason::NodeFull));
            }
            if let Some(network) = network
                && self.network(network)?.delegations >= limit / NETWORKS
            {
                return Ok(Some(Reason::NetworkLimited));
            }
        }
        self.connection
            .prepare_cached(
                "INSERT INTO delegations
                   (address, blinded_key, access_key, until_s, signature, record_key, record_secret, network)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (address) DO UPDATE SET
                   until_s = excluded.until_s, signature = excluded.signature
                   WHERE excluded.until_s > until_s",
            )?
            .execute((
                address,
                delegation.keys.blinded.as_slice(),
                delegation.keys.access.as_slice(),
                to_sql(delegation.until_s),
                delegation.signature.as_slice(),
                record.map(|(key, _)| key.as_slice()),
                record.map(|(_, secret)| secret.as_slice()),
                network.map(|network| network.as_bytes().as_slice()),
            ))?;
        if !known {
            self.totals.delegations = self.totals.delegations.saturating_add(1);
            self.count_in(network, Counted::Delegation)?;
        }
        if let Some((key, secret)) = record {
            let other = self
                .connection
                .prepare_cached(
                    "UPDATE delegations SET record_key = ?2, record_secret = ?3, slot = NULL
                     WHERE address = ?1 AND (record_key IS NOT ?2 OR record_secret IS NOT ?3)",
                )?
                .execute((address, key.as_slice(), secret.as_slice()))?;
            if other > 0 {
                // Records of another key are of no use.
                self.forget_records(&delegation.keys.address)?;
            }
        }
        Ok(None)
    }

    /// Takes away the delegation of an address, and who else is said to serve it.
    pub(in crate::store) fn end_delegation(&mut self, address_row: i64) -> Result<(), StoreError> {
        let ended: Option<([u8; 32], Option<[u8; 8]>)> = self
            .connection
            .prepare_cached(
                "DELETE FROM delegations WHERE address = (SELECT address FROM addresses WHERE row = ?1)
                 RETURNING address, network",
            )?
            .query_row([address_row], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((address, network)) = ended else {
            return Ok(());
        };
        self.forget_records(&Address::from_bytes(address))?;
        self.totals.delegations = self.totals.delegations.saturating_sub(1);
        self.count_out(
            network.map(NetworkId::from_bytes).as_ref(),
            Counted::Delegation,
        )?;
        let peers = {
            let mut statement = self.connection.prepare_cached(
                "DELETE FROM peer_addresses WHERE address = ?1 RETURNING peer_row",
            )?;
            statement
                .query_map([address.as_slice()], |row| row.get(0))?
                .collect::<Result<Vec<i64>, _>>()?
        };
        for peer in peers {
            self.connection
                .prepare_cached(
                    "DELETE FROM peers WHERE row = ?1
                     AND NOT EXISTS (SELECT 1 FROM peer_addresses WHERE peer_row = ?1)",
                )?
                .execute([peer])?;
        }
        Ok(())
    }

    fn forget_records(&mut self, address: &Address) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("DELETE FROM records WHERE address = ?1")?
            .execute([address.as_bytes().as_slice()])?;
        Ok(())
    }

    /// Keeps this node's own record of an address, unless it has a newer one of the same slot.
    pub(crate) fn keep_record(
        &mut self,
        address: &Address,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO records (address, slot, seq, value, signature) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (address, slot) DO UPDATE SET
                   seq = excluded.seq, value = excluded.value, signature = excluded.signature
                 WHERE excluded.seq > seq",
            )?
            .execute((
                address.as_bytes().as_slice(),
                record.slot,
                to_sql(record.seq),
                record.value.as_ref(),
                record.signature.as_ref(),
            ))?;
        Ok(())
    }

    /// Notes the slot in which this node's record of an address is to stand.
    pub(crate) fn take_slot(&mut self, address: &Address, slot: u8) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("UPDATE delegations SET slot = ?2 WHERE address = ?1")?
            .execute((address.as_bytes().as_slice(), slot))?;
        Ok(())
    }

    /// Notes that another node serves an address, as somebody says.
    ///
    /// A node that answered lately keeps its place and its host, whatever is said of it or instead of it.
    pub(crate) fn name_peer(
        &mut self,
        address: &Address,
        node: &NodeLink,
        now: UnixMillis,
    ) -> Result<Named, StoreError> {
        let now_s = now.as_secs();
        let stale_s = to_sql(now_s.saturating_sub(STALE_S));
        let key = node.key().as_bytes().as_slice();
        let found: Option<(i64, bool)> = self
            .connection
            .prepare_cached(
                "SELECT row, named_s BETWEEN ?3 AND ?4 AND host = ?5 AND port = ?6 AND EXISTS (
                   SELECT 1 FROM peer_addresses WHERE address = ?2 AND peer_row = row)
                 FROM peers WHERE node = ?1",
            )?
            .query_row(
                (
                    key,
                    address.as_bytes().as_slice(),
                    to_sql(now_s.saturating_sub(NAMED_S)),
                    to_sql(now_s),
                    node.host(),
                    node.port(),
                ),
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        // All members of a channel say the same.
        if let Some((_, true)) = found {
            return Ok(Named::Nothing);
        }
        let row = match found {
            Some((row, _)) => {
                self.connection
                    .prepare_cached(
                        "UPDATE peers SET named_s = ?2,
                           host = CASE WHEN reached_s < ?3 THEN ?4 ELSE host END,
                           port = CASE WHEN reached_s < ?3 THEN ?5 ELSE port END
                         WHERE row = ?1",
                    )?
                    .execute((row, to_sql(now_s), stale_s, node.host(), node.port()))?;
                row
            }
            None => {
                let Some(row) = self.insert_peer(node, now_s)? else {
                    return Ok(Named::Nothing);
                };
                row
            }
        };
        let address = address.as_bytes().as_slice();
        let (known, serving): (bool, i64) = self
            .connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM peer_addresses WHERE address = ?1 AND peer_row = ?2),
                   (SELECT count(*) FROM peer_addresses WHERE address = ?1)",
            )?
            .query_row((address, row), |row| Ok((row.get(0)?, row.get(1)?)))?;
        if known {
            return Ok(Named::Nothing);
        }
        if from_sql(serving) >= MAX_PEERS as u64 {
            let gone = self
                .connection
                .prepare_cached(
                    "DELETE FROM peer_addresses WHERE address = ?1 AND peer_row =
                       (SELECT p.row FROM peer_addresses s JOIN peers p ON p.row = s.peer_row
                        WHERE s.address = ?1 AND p.reached_s < ?2 AND p.named_s < ?3
                        ORDER BY p.reached_s, p.named_s LIMIT 1)",
                )?
                .execute((address, stale_s, to_sql(now_s.saturating_sub(TRIED_S))))?;
            if gone == 0 {
                return Ok(Named::Nothing);
            }
        }
        self.connection
            .prepare_cached("INSERT INTO peer_addresses (address, peer_row) VALUES (?1, ?2)")?
            .execute((address, row))?;
        Ok(Named::New)
    }

    /// Notes that a node answered.
    pub(crate) fn reached(&mut self, node: &NodeKey, now: UnixMillis) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("UPDATE peers SET reached_s = ?2 WHERE node = ?1")?
            .execute((node.as_bytes().as_slice(), to_sql(now.as_secs())))?;
        Ok(())
    }

    /// Takes away delegations that ended, and nodes that serve nothing any more.
    pub(in crate::store) fn expire_peers(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        let ended = {
            let mut statement = self
                .connection
                .prepare_cached("DELETE FROM delegations WHERE until_s <= ?1 RETURNING network")?;
            statement
                .query_map([to_sql(now.as_secs())], |row| row.get(0))?
                .collect::<Result<Vec<Option<[u8; 8]>>, _>>()?
        };
        let count = ended.len() as u64;
        self.totals.delegations = self.totals.delegations.saturating_sub(count);
        for network in &ended {
            self.count_out(
                network.map(NetworkId::from_bytes).as_ref(),
                Counted::Delegation,
            )?;
        }
        if count > 0 {
            self.connection.execute(
                "DELETE FROM records WHERE address NOT IN (SELECT address FROM delegations)",
                [],
            )?;
            self.connection.execute(
                "DELETE FROM peer_addresses WHERE address NOT IN (SELECT address FROM delegations)",
                [],
            )?;
            self.connection.execute(
                "DELETE FROM peers WHERE row NOT IN (SELECT peer_row FROM peer_addresses)",
                [],
            )?;
        }
        Ok(())
    }

    fn insert_peer(&mut self, node: &NodeLink, now_s: u64) -> Result<Option<i64>, StoreError> {
        let count: i64 = self
            .connection
            .prepare_cached("SELECT count(*) FROM peers")?
            .query_row([], |row| row.get(0))?;
        if from_sql(count) >= PEERS {
            let stalest: Option<i64> = self
                .connection
                .prepare_cached(
                    "SELECT row FROM peers WHERE reached_s < ?1 AND named_s < ?2 ORDER BY reached_s, named_s LIMIT 1",
                )?
                .query_row(
                    (
                        to_sql(now_s.saturating_sub(STALE_S)),
                        to_sql(now_s.saturating_sub(TRIED_S)),
                    ),
                    |row| row.get(0),
                )
                .optional()?;
            let Some(stalest) = stalest else {
                return Ok(None);
            };
            self.connection
                .execute("DELETE FROM peer_addresses WHERE peer_row = ?1", [stalest])?;
            self.connection
                .execute("DELETE FROM peers WHERE row = ?1", [stalest])?;
        }
        self.connection
            .prepare_cached(
                "INSERT INTO peers (node, host, port, reached_s, named_s) VALUES (?1, ?2, ?3, 0, ?4)",
            )?
            .execute((
                node.key().as_bytes().as_slice(),
                node.host(),
                node.port(),
                to_sql(now_s),
            ))?;
        Ok(Some(self.connection.last_insert_rowid()))
    }
}

/// One network may fill one of so many parts of what there is room for.
const NETWORKS: u64 = 4;
/// Other super nodes remembered.
const PEERS: u64 = 1_024;
/// A node that answered within this time cannot be pushed out by names, in seconds: a day.
const STALE_S: u64 = 24 * 3_600;
/// How long a name that was never reached keeps its place, in seconds: an hour, enough for a few tries.
const TRIED_S: u64 = 3_600;
/// How exact it is when a node was named last, in seconds: ten minutes.
const NAMED_S: u64 = 600;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::Store;

    const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);
    const ADDRESS: Address = Address::from_bytes([7; 32]);

    fn link(n: u8, port: u16) -> NodeLink {
        NodeLink::new(NodeKey::from_bytes([n; 32]), "192.0.2.1", port).expect("a link")
    }

    fn ports(store: &Store) -> Vec<(u8, u16)> {
        let peers = store.read(|reader| reader.peers()).expect("readable");
        let mut ports: Vec<_> = peers
            .iter()
            .map(|peer| (peer.node.key().as_bytes()[0], peer.node.port()))
            .collect();
        ports.sort_unstable();
        ports
    }

    #[test]
    fn names_push_out_only_what_was_not_reached() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(&dir.path().join("node.db")).expect("a database");
        let name = |node: NodeLink, now: UnixMillis| {
            store
                .write(|writer| writer.name_peer(&ADDRESS, &node, now))
                .expect("written")
        };
        for n in 0..8 {
            assert_eq!(name(link(n, 1), NOW), Named::New);
        }
        let reached = NodeKey::from_bytes([0; 32]);
        store
            .write(|writer| writer.reached(&reached, NOW))
            .expect("written");
        // Full, and each has its hour.
        assert_eq!(name(link(8, 1), NOW), Named::Nothing);
        let later = NOW.after(Duration::from_secs(2 * TRIED_S));
        for n in 9..30 {
            name(link(n, 1), later);
        }
        let kept = ports(&store);
        assert_eq!(kept.len(), 8);
        assert!(kept.contains(&(0, 1)), "who answered stays");
        // Nor is it moved, while another may be.
        name(link(0, 2), later);
        name(link(9, 2), later);
        let kept = ports(&store);
        assert!(kept.contains(&(0, 1)) && kept.contains(&(9, 2)), "{kept:?}");
        let next_day = NOW.after(Duration::from_secs(2 * STALE_S));
        name(link(0, 2), next_day);
        assert!(ports(&store).contains(&(0, 2)));
    }
}
