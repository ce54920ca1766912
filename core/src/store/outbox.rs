//! The outbox: what waits to be sent, sealed once and never again, across restarts.

use bytes::Bytes;
use rusqlite::{OptionalExtension, Row, params};

use crate::channel::{Envelope, Epoch};
use crate::wire::{content::Content, time::UnixMillis};

use super::{
    AccessRow, ChannelRow, NodeRow, StoreError, Tx, authors::envelope, from_sql, proto, to_sql,
};

/// A message that waits.
pub struct OutboxItem {
    /// The row of its message.
    pub message: i64,
    /// The channel.
    pub channel: ChannelRow,
    /// When it was queued, by the own clock.
    pub created: UnixMillis,
    /// What is said.
    pub content: Content,
    /// Once it has been sealed.
    pub sealed: Option<SealedEnvelope>,
}

/// A message as it goes to nodes.
pub struct SealedEnvelope {
    /// Under which keys.
    pub access: AccessRow,
    /// In which epoch.
    pub epoch: Epoch,
    /// The envelope.
    pub envelope: Envelope,
}

impl Tx<'_> {
    /// Puts a message into the outbox.
    pub fn queue(
        &self,
        message: i64,
        content: &Content,
        created: UnixMillis,
    ) -> Result<(), StoreError> {
        let record = proto::Outgoing {
            content: Some(content.clone()),
            ..proto::Outgoing::default()
        };
        self.transaction.execute(
            "INSERT INTO outbox (message, created_ms, sealed) VALUES (?1, ?2, ?3)",
            params![
                message,
                to_sql(created.as_millis()),
                self.encode("outbox", &record)
            ],
        )?;
        Ok(())
    }

    /// How many messages wait in all channels.
    pub fn outbox_len(&self) -> Result<u32, StoreError> {
        Ok(self
            .transaction
            .query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))?)
    }

    /// When each message that waits was queued, and whether any node has it.
    pub fn outbox_times(&self) -> Result<Vec<(UnixMillis, bool)>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT o.created_ms, EXISTS (SELECT 1 FROM deliveries d WHERE d.message = o.message)
             FROM outbox o ORDER BY o.message",
        )?;
        let mut rows = statement.query([])?;
        let mut times = Vec::new();
        while let Some(row) = rows.next()? {
            times.push((UnixMillis::from_millis(from_sql(row.get(0)?)), row.get(1)?));
        }
        Ok(times)
    }

    /// All that waits, in the order it was queued.
    pub fn outbox(&self) -> Result<Vec<OutboxItem>, StoreError> {
        self.select_outbox(
            "SELECT o.message, m.channel, o.created_ms, o.access, o.sealed
             FROM outbox o JOIN messages m ON m.id = o.message WHERE ?1 = ?1 ORDER BY o.message",
            0,
        )
    }

    /// What waits and has not been acknowledged by `node`, in the order it was queued.
    pub fn outbox_for(&self, node: NodeRow) -> Result<Vec<OutboxItem>, StoreError> {
        self.select_outbox(
            "SELECT o.message, m.channel, o.created_ms, o.access, o.sealed
             FROM outbox o JOIN messages m ON m.id = o.message
             WHERE NOT EXISTS
                 (SELECT 1 FROM deliveries d WHERE d.message = o.message AND d.node = ?1)
             ORDER BY o.message",
            node.0,
        )
    }

    /// Keeps a message as sealed; from now on it is sent like this or not at all.
    pub fn seal_outgoing(&self, message: i64, sealed: &SealedEnvelope) -> Result<(), StoreError> {
        let header = sealed.envelope.header();
        let record = proto::Outgoing {
            content: None,
            sealed: sealed.envelope.sealed().clone(),
            address: Bytes::copy_from_slice(header.address.as_bytes()),
            time_ms: header.time.as_millis(),
            kind: header.kind as u32,
            epoch: sealed.epoch.number(),
        };
        self.transaction.execute(
            "UPDATE outbox SET access = ?2, time_ms = ?3, sealed = ?4 WHERE message = ?1",
            params![
                message,
                sealed.access.0,
                to_sql(header.time.as_millis()),
                self.encode("outbox", &record)
            ],
        )?;
        Ok(())
    }

    /// Notes that a node has a message.
    pub fn delivered(&self, message: i64, node: NodeRow) -> Result<(), StoreError> {
        self.transaction.execute(
            "INSERT INTO deliveries (message, node) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![message, node.0],
        )?;
        Ok(())
    }

    /// How many nodes have a message.
    pub fn copies(&self, message: i64) -> Result<u32, StoreError> {
        Ok(self
            .transaction
            .prepare_cached("SELECT count(*) FROM deliveries WHERE message = ?1")?
            .query_row([message], |row| row.get(0))?)
    }

    /// Whether it still waits: it may have been deleted, left, or dealt with by another process.
    pub fn is_queued(&self, message: i64) -> Result<bool, StoreError> {
        Ok(self
            .transaction
            .prepare_cached("SELECT 1 FROM outbox WHERE message = ?1")?
            .exists([message])?)
    }

    /// Whether any node has it.
    pub fn is_delivered(&self, message: i64) -> Result<bool, StoreError> {
        Ok(self
            .transaction
            .prepare_cached("SELECT 1 FROM deliveries WHERE message = ?1")?
            .exists([message])?)
    }

    /// Whether a message that waits is where members look for it: at `copies` of these nodes that serve us under its key,
    /// or at all of them if they are fewer.
    pub fn is_spread(
        &self,
        message: i64,
        nodes: &[NodeRow],
        copies: usize,
    ) -> Result<bool, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM deliveries d WHERE d.message = o.message AND d.node = ?2)
             FROM outbox o WHERE o.message = ?1
             AND EXISTS (SELECT 1 FROM leases l WHERE l.node = ?2 AND l.access = o.access)",
        )?;
        let (mut serving, mut having) = (0, 0);
        for node in nodes {
            let has: Option<bool> = statement
                .query_row(params![message, node.0], |row| row.get(0))
                .optional()?;
            serving += usize::from(has.is_some());
            having += usize::from(has == Some(true));
        }
        Ok(having >= copies.min(serving))
    }

    /// Takes a message out of the outbox; which nodes have it stays known.
    pub fn unqueue(&self, message: i64) -> Result<(), StoreError> {
        self.transaction
            .execute("DELETE FROM outbox WHERE message = ?1", [message])?;
        Ok(())
    }

    fn select_outbox(&self, sql: &str, parameter: i64) -> Result<Vec<OutboxItem>, StoreError> {
        let mut statement = self.transaction.prepare_cached(sql)?;
        let mut rows = statement.query([parameter])?;
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            items.push(self.item_from(row)?);
        }
        Ok(items)
    }

    fn item_from(&self, row: &Row<'_>) -> Result<OutboxItem, StoreError> {
        let record: proto::Outgoing = self.decode("outbox", &row.get::<_, Vec<u8>>(4)?)?;
        let sealed = match row.get::<_, Option<i64>>(3)? {
            Some(access) => Some(SealedEnvelope {
                access: AccessRow(access),
                epoch: Epoch::new(record.epoch),
                envelope: envelope(
                    &record.address,
                    record.time_ms,
                    record.kind,
                    record.sealed,
                    "outbox",
                )?,
            }),
            None => None,
        };
        Ok(OutboxItem {
            message: row.get(0)?,
            channel: ChannelRow(row.get(1)?),
            created: UnixMillis::from_millis(from_sql(row.get(2)?)),
            content: record.content.unwrap_or_default(),
            sealed,
        })
    }
}
