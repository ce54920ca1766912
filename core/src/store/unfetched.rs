//! Large bodies that nodes announced and that wait for a better network.

use bytes::Bytes;
use rusqlite::{OptionalExtension as _, params};

use crate::wire::time::UnixMillis;

use super::{NodeRow, StoreError, Tx, from_sql, proto, to_sql};

/// A body that waits; plain, as the node announced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfetched {
    /// Under which address it lies.
    pub address: Bytes,
    /// Its envelope's id.
    pub id: Bytes,
    /// Its envelope's kind.
    pub kind: u32,
    /// Its header's time.
    pub time: UnixMillis,
    /// Length of the body, in bytes.
    pub size: u32,
}

impl Tx<'_> {
    /// Notes a body that `node` announced at `seen`. What is noted already stays as it is. False if there is no room,
    /// and then it is not noted.
    pub fn put_off(
        &self,
        node: NodeRow,
        body: &Unfetched,
        seen: UnixMillis,
    ) -> Result<bool, StoreError> {
        let tag = self.cipher.tag("unfetched", &body.id);
        let known = self
            .transaction
            .prepare_cached("SELECT 1 FROM unfetched WHERE tag = ?1")?
            .exists([tag])?;
        if known {
            return Ok(true);
        }
        if self.unfetched_len()? >= MAX_UNFETCHED {
            return Ok(false);
        }
        let record = proto::Unfetched {
            address: body.address.clone(),
            id: body.id.clone(),
        };
        self.transaction.execute(
            "INSERT INTO unfetched (node, tag, kind, time_ms, size, seen_ms, sealed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                node.0,
                tag,
                body.kind,
                to_sql(body.time.as_millis()),
                body.size,
                to_sql(seen.as_millis()),
                self.encode("unfetched", &record)
            ],
        )?;
        Ok(true)
    }

    /// The bodies that wait and who announced them, oldest first.
    pub fn unfetched(&self) -> Result<Vec<(NodeRow, Unfetched)>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT node, kind, time_ms, size, sealed FROM unfetched ORDER BY id",
        )?;
        let mut rows = statement.query([])?;
        let mut bodies = Vec::new();
        while let Some(row) = rows.next()? {
            let record: proto::Unfetched = self.decode("unfetched", &row.get::<_, Vec<u8>>(4)?)?;
            let body = Unfetched {
                address: record.address,
                id: record.id,
                kind: row.get(1)?,
                time: UnixMillis::from_millis(from_sql(row.get(2)?)),
                size: row.get(3)?,
            };
            bodies.push((NodeRow(row.get(0)?), body));
        }
        Ok(bodies)
    }

    /// Whether bodies that `node` announced wait.
    pub fn has_unfetched(&self, node: NodeRow) -> Result<bool, StoreError> {
        Ok(self
            .transaction
            .prepare_cached("SELECT 1 FROM unfetched WHERE node = ?1 LIMIT 1")?
            .exists([node.0])?)
    }

    /// How many bodies wait.
    pub fn unfetched_len(&self) -> Result<u32, StoreError> {
        Ok(self
            .transaction
            .prepare_cached("SELECT count(*) FROM unfetched")?
            .query_row([], |row| row.get(0))?)
    }

    /// When the body that waits longest was announced, and the time of the oldest header.
    pub fn oldest_unfetched(&self) -> Result<Option<(UnixMillis, UnixMillis)>, StoreError> {
        let oldest: Option<(Option<i64>, Option<i64>)> = self
            .transaction
            .prepare_cached("SELECT min(seen_ms), min(time_ms) FROM unfetched")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(match oldest {
            Some((Some(seen), Some(time))) => Some((
                UnixMillis::from_millis(from_sql(seen)),
                UnixMillis::from_millis(from_sql(time)),
            )),
            _ => None,
        })
    }

    /// A body was fetched, or is gone at the node.
    pub fn fetched(&self, id: &[u8]) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("DELETE FROM unfetched WHERE tag = ?1")?
            .execute([self.cipher.tag("unfetched", id)])?;
        Ok(())
    }

    /// Forgets bodies whose headers are older than `time`: no node has them any more.
    pub fn drop_unfetched(&self, time: UnixMillis) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("DELETE FROM unfetched WHERE time_ms < ?1")?
            .execute([to_sql(time.as_millis())])?;
        Ok(())
    }
}

/// Bodies that may wait; of more, each is fetched when it is announced.
pub const MAX_UNFETCHED: u32 = 500;
