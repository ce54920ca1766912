//! Super nodes that links and members named, and what members and nodes were told of ours.

use rusqlite::{OptionalExtension as _, params};

use crate::channel::{Epoch, HopCount, NodeLink};
use crate::wire::{limits::MAX_PEERS, time::UnixMillis};

use super::{AccessRow, AuthorRow, ChannelRow, NodeRow, StoreError, Tx, from_sql, proto, to_sql};

/// A super node that a channel's link or one of its members named.
#[derive(Clone, Debug)]
pub struct NamedNode {
    /// The channel.
    pub channel: ChannelRow,
    /// Who named it; `None` for a link.
    pub author: Option<AuthorRow>,
    /// The node.
    pub link: NodeLink,
    /// The author's own hop count there, as they say.
    pub hop_count: HopCount,
    /// The author introduces members of the channel there.
    pub introduces: bool,
    /// When it was named last.
    pub named: UnixMillis,
}

/// What a channel's members were told of our nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// We introduce members to nodes to which we were introduced.
    pub introduces: bool,
    /// Stands for the list that they were told; `None` before the first.
    pub tag: Option<[u8; 16]>,
    /// When they were told.
    pub at: UnixMillis,
}

impl Tx<'_> {
    /// Takes the nodes that a link (`author` is `None`) or a member names now for all that it named in a channel. Of
    /// too many that members named in a channel the oldest go.
    pub fn put_named_nodes(
        &self,
        channel: ChannelRow,
        author: Option<AuthorRow>,
        nodes: &[(NodeLink, HopCount, bool)],
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let author = author.map(|author| author.0);
        self.transaction.execute(
            "DELETE FROM named_nodes WHERE channel = ?1 AND author IS ?2",
            params![channel.0, author],
        )?;
        for (link, hop_count, introduces) in nodes.iter().take(MAX_PEERS) {
            let record = proto::NamedNode {
                node: Some(link.to_hint()),
                hop_count: hop_count.to_wire(),
            };
            self.transaction
                .prepare_cached(
                    "INSERT INTO named_nodes (channel, author, sealed, introduces, named_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    channel.0,
                    author,
                    self.encode("named_nodes", &record),
                    introduces,
                    to_sql(now.as_millis())
                ])?;
        }
        self.transaction.execute(
            "DELETE FROM named_nodes WHERE channel = ?1 AND author IS NOT NULL AND id <=
                 (SELECT id FROM named_nodes WHERE channel = ?1 AND author IS NOT NULL
                  ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            params![channel.0, MAX_NAMED_IN_CHANNEL],
        )?;
        Ok(())
    }

    /// The nodes named in a channel, the latest first; those that an author named whom rotation left out do not count.
    pub fn named_nodes(&self, channel: ChannelRow) -> Result<Vec<NamedNode>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT n.author, n.sealed, n.introduces, n.named_ms
             FROM named_nodes n LEFT JOIN authors a ON a.id = n.author
             WHERE n.channel = ?1 AND coalesce(a.removed, 0) = 0 ORDER BY n.id DESC",
        )?;
        let mut rows = statement.query([channel.0])?;
        let mut named = Vec::new();
        while let Some(row) = rows.next()? {
            let record: proto::NamedNode =
                self.decode("named_nodes", &row.get::<_, Vec<u8>>(1)?)?;
            named.push(NamedNode {
                channel,
                author: row.get::<_, Option<i64>>(0)?.map(AuthorRow),
                link: record
                    .node
                    .as_ref()
                    .and_then(|hint| NodeLink::from_hint(hint).ok())
                    .ok_or(StoreError::Corrupt("named_nodes"))?,
                hop_count: HopCount::from_wire(record.hop_count),
                introduces: row.get(2)?,
                named: UnixMillis::from_millis(from_sql(row.get(3)?)),
            });
        }
        Ok(named)
    }

    /// The channels in which somebody introduces members.
    pub fn channels_offering(&self) -> Result<Vec<ChannelRow>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT DISTINCT channel FROM named_nodes WHERE introduces = 1 ORDER BY channel",
        )?;
        let channels = statement
            .query_map([], |row| row.get(0).map(ChannelRow))?
            .collect::<Result<_, _>>()?;
        Ok(channels)
    }

    /// When the latest of those others in a channel who can read it was first seen; `None` if there is nobody.
    pub fn newest_reader(&self, channel: ChannelRow) -> Result<Option<UnixMillis>, StoreError> {
        let newest: Option<i64> = self
            .transaction
            .prepare_cached(
                "SELECT max(first_ms) FROM authors
                 WHERE channel = ?1 AND own = 0 AND removed = 0 AND write_only = 0",
            )?
            .query_row([channel.0], |row| row.get(0))?;
        Ok(newest.map(|time| UnixMillis::from_millis(from_sql(time))))
    }

    /// What a channel's members were told of our nodes.
    pub fn told(&self, channel: ChannelRow) -> Result<Told, StoreError> {
        let found = self
            .transaction
            .prepare_cached("SELECT introduces, tag, told_ms FROM told WHERE channel = ?1")?
            .query_row([channel.0], |row| {
                Ok(Told {
                    introduces: row.get(0)?,
                    tag: row.get(1)?,
                    at: UnixMillis::from_millis(from_sql(row.get(2)?)),
                })
            })
            .optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Remembers what a channel's members were told.
    pub fn put_told(&self, channel: ChannelRow, told: &Told) -> Result<(), StoreError> {
        self.transaction.execute(
            "INSERT INTO told (channel, introduces, tag, told_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (channel) DO UPDATE SET
                 introduces = excluded.introduces, tag = excluded.tag, told_ms = excluded.told_ms",
            params![
                channel.0,
                told.introduces,
                told.tag,
                to_sql(told.at.as_millis())
            ],
        )?;
        Ok(())
    }

    /// A keyed hash that stands for what was told, so that the next time shows whether it changed.
    pub fn told_tag(&self, what: &[u8]) -> [u8; 16] {
        self.cipher.tag("told", what)
    }

    /// What a node was told of an address, and when; `None` if nothing.
    pub fn announced(
        &self,
        node: NodeRow,
        access: AccessRow,
        epoch: Epoch,
    ) -> Result<Option<([u8; 16], UnixMillis)>, StoreError> {
        Ok(self
            .transaction
            .prepare_cached(
                "SELECT tag, told_ms FROM announcements
                 WHERE node = ?1 AND access = ?2 AND epoch = ?3",
            )?
            .query_row(params![node.0, access.0, to_sql(epoch.number())], |row| {
                let told = UnixMillis::from_millis(from_sql(row.get(1)?));
                Ok((row.get(0)?, told))
            })
            .optional()?)
    }

    /// Remembers what a node was told of an address, unless node or channel were left meanwhile.
    pub fn put_announced(
        &self,
        node: NodeRow,
        access: AccessRow,
        epoch: Epoch,
        tag: [u8; 16],
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO announcements (node, access, epoch, tag, told_ms)
                 SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM accesses WHERE id = ?2)
                     AND EXISTS (SELECT 1 FROM nodes WHERE id = ?1)
                 ON CONFLICT (node, access, epoch) DO UPDATE SET
                     tag = excluded.tag, told_ms = excluded.told_ms",
            )?
            .execute(params![
                node.0,
                access.0,
                to_sql(epoch.number()),
                tag,
                to_sql(now.as_millis())
            ])?;
        Ok(())
    }

    /// Forgets what a node was told, which has lost it.
    pub fn forget_announced(&self, node: NodeRow) -> Result<(), StoreError> {
        self.transaction
            .execute("DELETE FROM announcements WHERE node = ?1", [node.0])?;
        Ok(())
    }

    /// Drops what was told of addresses before an epoch.
    pub fn drop_announced(&self, before: Epoch) -> Result<(), StoreError> {
        self.transaction.execute(
            "DELETE FROM announcements WHERE epoch < ?1",
            [to_sql(before.number())],
        )?;
        Ok(())
    }
}

/// Nodes that members named in a channel.
const MAX_NAMED_IN_CHANNEL: u32 = 64;
