//! The super nodes of a profile, its pseudonym at each, and how far each was read.

use bytes::Bytes;
use rusqlite::params;

use crate::channel::{Address, Epoch, NodeLink};
use crate::crypto::{NodeKey, PseudonymSecret};
use crate::wire::time::UnixMillis;

pub use super::proto::NodeState;

use super::{AccessRow, StoreError, Tx, from_sql, proto, to_sql};

/// The row of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeRow(pub(super) i64);

/// A super node that this profile uses.
pub struct StoredNode {
    /// Its row.
    pub row: NodeRow,
    /// Where it is.
    pub link: NodeLink,
    /// Who we are there.
    pub pseudonym: PseudonymSecret,
    /// How far it was read; empty before the first sync.
    pub cursor: Bytes,
    /// Node clock minus own clock in milliseconds, and when that was seen by the own clock.
    pub clock: Option<(i64, UnixMillis)>,
    /// Who named it; a smaller number counts more.
    pub origin: u8,
    /// What it is used for: [`StoredNode::POLLED`], [`StoredNode::STANDBY`] or [`StoredNode::SPARE`].
    pub role: u8,
    /// What was seen of it.
    pub state: Option<NodeState>,
}

impl StoredNode {
    /// The node that is polled.
    pub const POLLED: u8 = 0;
    /// Has leases and copies.
    pub const STANDBY: u8 = 1;
    /// Only remembered.
    pub const SPARE: u8 = 2;

    /// Whether leases are held there.
    pub fn is_kept(&self) -> bool {
        self.role != Self::SPARE
    }
}

impl Tx<'_> {
    /// Adds a node under a new pseudonym; one that is known already gets the new address and origin, and one that was
    /// removed is there again, as a stranger.
    pub fn put_node(
        &self,
        link: &NodeLink,
        pseudonym: &PseudonymSecret,
        origin: u8,
    ) -> Result<NodeRow, StoreError> {
        let tag = self.node_tag(link.key());
        let known = self
            .nodes()?
            .into_iter()
            .find(|node| node.link.key() == link.key());
        if let Some(node) = known {
            self.transaction.execute(
                "UPDATE nodes SET sealed = ?2, origin = ?3 WHERE id = ?1",
                params![node.row.0, self.node_record(link, &node.pseudonym), origin],
            )?;
            return Ok(node.row);
        }
        self.transaction
            .execute("DELETE FROM nodes WHERE tag = ?1", [tag])?;
        self.transaction.execute(
            "INSERT INTO nodes (tag, sealed, origin) VALUES (?1, ?2, ?3)",
            params![tag, self.node_record(link, pseudonym), origin],
        )?;
        Ok(NodeRow(self.transaction.last_insert_rowid()))
    }

    /// Writes what was seen of a node, and what it is used for.
    pub fn put_node_state(
        &self,
        node: NodeRow,
        role: u8,
        state: &NodeState,
    ) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("UPDATE nodes SET role = ?2, state = ?3 WHERE id = ?1")?
            .execute(params![node.0, role, self.encode("nodes.state", state)])?;
        Ok(())
    }

    /// Forgets a node, with its leases. One that the user removes stays known as removed; of too many of those the oldest
    /// go.
    pub fn remove_node(
        &self,
        node: NodeRow,
        removed: Option<UnixMillis>,
    ) -> Result<(), StoreError> {
        let Some(removed) = removed else {
            self.transaction
                .execute("DELETE FROM nodes WHERE id = ?1", [node.0])?;
            return Ok(());
        };
        for table in ["leases", "releases", "tickets", "pushes"] {
            self.transaction
                .execute(&format!("DELETE FROM {table} WHERE node = ?1"), [node.0])?;
        }
        self.transaction.execute(
            "UPDATE nodes SET removed_ms = ?2, cursor = NULL, state = NULL, sealed = x'' WHERE id = ?1",
            params![node.0, to_sql(removed.as_millis())],
        )?;
        self.transaction.execute(
            "DELETE FROM nodes WHERE removed_ms IS NOT NULL AND id NOT IN
                 (SELECT id FROM nodes WHERE removed_ms IS NOT NULL ORDER BY removed_ms DESC LIMIT ?1)",
            [MAX_REMOVED],
        )?;
        Ok(())
    }

    /// Whether the user removed a node.
    pub fn is_removed(&self, node: &NodeKey) -> Result<bool, StoreError> {
        Ok(self
            .transaction
            .prepare_cached("SELECT 1 FROM nodes WHERE tag = ?1 AND removed_ms IS NOT NULL")?
            .exists([self.node_tag(node)])?)
    }

    /// A number that is the same for this profile always, and of which nobody else knows.
    pub fn node_seed(&self) -> u64 {
        let tag = self.cipher.tag("nodes.seed", &[]);
        tag.iter()
            .take(8)
            .fold(0, |seed, byte| (seed << 8) | u64::from(*byte))
    }

    /// Messages that are missing between the first and the last of each author, in all channels.
    pub fn missing(&self) -> Result<u64, StoreError> {
        Ok(from_sql(self.transaction.query_row(
            "SELECT coalesce(sum(max(last_sequence - first_sequence + 1 - received, 0)), 0) FROM chains",
            [],
            |row| row.get(0),
        )?))
    }

    /// All nodes that were not removed, in the order they were added.
    pub fn nodes(&self) -> Result<Vec<StoredNode>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT id, sealed, cursor, offset_ms, seen_ms, origin, role, state FROM nodes
             WHERE removed_ms IS NULL ORDER BY id",
        )?;
        let mut rows = statement.query([])?;
        let mut nodes = Vec::new();
        while let Some(row) = rows.next()? {
            let record: proto::Node = self.decode("nodes", &row.get::<_, Vec<u8>>(1)?)?;
            let link = record
                .link
                .as_ref()
                .and_then(|link| NodeLink::from_hint(link).ok())
                .ok_or(StoreError::Corrupt("nodes"))?;
            let cursor = row
                .get::<_, Option<Vec<u8>>>(2)?
                .map(|sealed| self.cipher.open("nodes.cursor", &sealed))
                .transpose()?
                .map(|cursor| Bytes::copy_from_slice(&cursor))
                .unwrap_or_default();
            let clock = match (row.get::<_, Option<i64>>(3)?, row.get::<_, Option<i64>>(4)?) {
                (Some(offset), Some(seen)) => {
                    Some((offset, UnixMillis::from_millis(from_sql(seen))))
                }
                _ => None,
            };
            nodes.push(StoredNode {
                row: NodeRow(row.get(0)?),
                link,
                pseudonym: PseudonymSecret::try_from(record.pseudonym.as_ref())
                    .map_err(|_| StoreError::Corrupt("nodes"))?,
                cursor,
                clock,
                origin: row.get(5)?,
                role: row.get(6)?,
                state: row
                    .get::<_, Option<Vec<u8>>>(7)?
                    .map(|sealed| self.decode("nodes.state", &sealed))
                    .transpose()?,
            });
        }
        Ok(nodes)
    }

    /// Remembers how far a node was read. Tickets are of the place before.
    pub fn set_cursor(&self, node: NodeRow, cursor: &[u8]) -> Result<(), StoreError> {
        self.drop_tickets(node)?;
        self.transaction
            .prepare_cached("UPDATE nodes SET cursor = ?2 WHERE id = ?1")?
            .execute(params![node.0, self.cipher.seal("nodes.cursor", cursor)])?;
        Ok(())
    }

    /// Remembers what a node's clock showed.
    pub fn set_node_clock(
        &self,
        node: NodeRow,
        offset_ms: i64,
        seen: UnixMillis,
    ) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("UPDATE nodes SET offset_ms = ?2, seen_ms = ?3 WHERE id = ?1")?
            .execute(params![node.0, offset_ms, to_sql(seen.as_millis())])?;
        Ok(())
    }

    /// When the lease at `node` for an address ends; `None` if there is none.
    pub fn lease(
        &self,
        node: NodeRow,
        access: AccessRow,
        epoch: Epoch,
    ) -> Result<Option<UnixMillis>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT lease_end FROM leases WHERE node = ?1 AND access = ?2 AND epoch = ?3",
        )?;
        let mut rows = statement.query(params![node.0, access.0, to_sql(epoch.number())])?;
        Ok(rows
            .next()?
            .map(|row| row.get(0))
            .transpose()?
            .map(|end| UnixMillis::from_secs(from_sql(end))))
    }

    /// Remembers a lease, unless the channel was left meanwhile.
    pub fn put_lease(
        &self,
        node: NodeRow,
        access: AccessRow,
        epoch: Epoch,
        end: UnixMillis,
    ) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO leases (node, access, epoch, lease_end)
                 SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM accesses WHERE id = ?2)
                 ON CONFLICT (node, access, epoch) DO UPDATE SET lease_end = excluded.lease_end",
            )?
            .execute(params![
                node.0,
                access.0,
                to_sql(epoch.number()),
                to_sql(end.as_secs())
            ])?;
        Ok(())
    }

    /// Forgets all leases at a node, which says that it has fewer than we think.
    pub fn forget_leases(&self, node: NodeRow) -> Result<(), StoreError> {
        self.transaction
            .execute("DELETE FROM leases WHERE node = ?1", [node.0])?;
        Ok(())
    }

    /// How many leases at a node should be running at `now`.
    pub fn leases_running(&self, node: NodeRow, now: UnixMillis) -> Result<u32, StoreError> {
        Ok(self.transaction.query_row(
            "SELECT count(*) FROM leases WHERE node = ?1 AND lease_end > ?2",
            params![node.0, to_sql(now.as_secs())],
            |row| row.get(0),
        )?)
    }

    /// Drops leases that have ended.
    pub fn drop_ended_leases(&self, now: UnixMillis) -> Result<(), StoreError> {
        self.transaction.execute(
            "DELETE FROM leases WHERE lease_end < ?1",
            [to_sql(now.as_secs())],
        )?;
        Ok(())
    }

    /// Notes that every lease of an access is to be released at the nodes that hold them.
    pub fn queue_releases(
        &self,
        access: AccessRow,
        address: impl Fn(Epoch) -> Option<Address>,
    ) -> Result<(), StoreError> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT node, epoch FROM leases WHERE access = ?1")?;
        let leases: Vec<(i64, i64)> = statement
            .query_map([access.0], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (node, epoch) in leases {
            let Some(address) = address(Epoch::new(from_sql(epoch))) else {
                continue;
            };
            self.transaction.execute(
                "INSERT INTO releases (node, sealed) VALUES (?1, ?2)",
                params![node, self.cipher.seal("releases", address.as_bytes())],
            )?;
        }
        self.transaction
            .execute("DELETE FROM leases WHERE access = ?1", [access.0])?;
        Ok(())
    }

    /// Addresses to release at a node, at most 512 at once.
    pub fn releases(&self, node: NodeRow) -> Result<Vec<Address>, StoreError> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT sealed FROM releases WHERE node = ?1 ORDER BY id LIMIT 512")?;
        let mut rows = statement.query([node.0])?;
        let mut addresses = Vec::new();
        while let Some(row) = rows.next()? {
            let address = self.cipher.open("releases", &row.get::<_, Vec<u8>>(0)?)?;
            addresses.push(
                Address::try_from(address.as_slice())
                    .map_err(|_| StoreError::Corrupt("releases"))?,
            );
        }
        Ok(addresses)
    }

    /// The node has released all that [`Tx::releases`] named.
    pub fn released(&self, node: NodeRow) -> Result<(), StoreError> {
        self.transaction.execute(
            "DELETE FROM releases WHERE id IN
                 (SELECT id FROM releases WHERE node = ?1 ORDER BY id LIMIT 512)",
            [node.0],
        )?;
        Ok(())
    }

    fn node_tag(&self, key: &NodeKey) -> [u8; 16] {
        self.cipher.tag("nodes", key.as_bytes())
    }

    fn node_record(&self, link: &NodeLink, pseudonym: &PseudonymSecret) -> Vec<u8> {
        let record = proto::Node {
            link: Some(link.to_hint()),
            pseudonym: Bytes::copy_from_slice(pseudonym.expose()),
        };
        self.encode("nodes", &record)
    }
}

/// Removed nodes that are remembered as such.
const MAX_REMOVED: u32 = 64;
