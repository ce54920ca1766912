//! Introductions to super nodes: those held, those asked for, and those given to others.

use bytes::Bytes;
use prost::Message as _;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::channel::{ChainId, HopCount, Introduction};
use crate::crypto::{HolderKey, HolderSecret, NodeKey};
use crate::wire::{node, time::UnixMillis};

use super::{AuthorRow, ChannelRow, StoreError, Tx, from_sql, proto, to_sql};

/// An introduction of ours, with what uses and extends it.
pub struct HeldIntroduction {
    /// The chain.
    pub introduction: Introduction,
    /// The secret of its last key.
    pub secret: HolderSecret,
    /// As what the node counted us when it was shown; `None` if it was not, or the node forgot.
    pub counted: Option<HopCount>,
    /// When it was last shown without being counted.
    pub tried: Option<UnixMillis>,
}

/// An introduction that we asked a channel's member for.
pub struct AskedIntroduction {
    /// In which channel.
    pub channel: ChannelRow,
    /// To which node.
    pub node: NodeKey,
    /// The secret of the key that was made for it.
    pub secret: HolderSecret,
    /// When we last asked.
    pub asked: UnixMillis,
    /// How often we asked.
    pub tries: u32,
}

impl Tx<'_> {
    /// Keeps an introduction; it takes the place of an earlier one to the same node.
    pub fn put_introduction(
        &self,
        introduction: &Introduction,
        secret: &HolderSecret,
    ) -> Result<(), StoreError> {
        let record = proto::Introduction {
            introduction: introduction.to_wire().encode_to_vec().into(),
            secret: Bytes::copy_from_slice(secret.expose()),
        };
        self.transaction.execute(
            "INSERT INTO introductions (tag, sealed) VALUES (?1, ?2)
             ON CONFLICT (tag) DO UPDATE SET
                 sealed = excluded.sealed, counted = NULL, tried_ms = NULL",
            params![
                self.introduction_tag(introduction.node()),
                self.encode("introductions", &record)
            ],
        )?;
        Ok(())
    }

    /// The introduction to a node.
    pub fn introduction(&self, node: &NodeKey) -> Result<Option<HeldIntroduction>, StoreError> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT sealed, counted, tried_ms FROM introductions WHERE tag = ?1")?;
        let mut rows = statement.query([self.introduction_tag(node)])?;
        rows.next()?
            .map(|row| self.introduction_from(row))
            .transpose()
    }

    /// All introductions.
    pub fn introductions(&self) -> Result<Vec<HeldIntroduction>, StoreError> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT sealed, counted, tried_ms FROM introductions ORDER BY tag")?;
        let mut rows = statement.query([])?;
        let mut held = Vec::new();
        while let Some(row) = rows.next()? {
            held.push(self.introduction_from(row)?);
        }
        Ok(held)
    }

    /// Remembers as what a node counts us; `None` if it is to be shown again.
    pub fn set_counted(&self, node: &NodeKey, counted: Option<HopCount>) -> Result<(), StoreError> {
        self.transaction.execute(
            "UPDATE introductions SET counted = ?2, tried_ms = NULL WHERE tag = ?1",
            params![
                self.introduction_tag(node),
                counted.and_then(HopCount::to_wire)
            ],
        )?;
        Ok(())
    }

    /// Remembers that a node was shown an introduction and did not count it.
    pub fn set_tried(&self, node: &NodeKey, now: UnixMillis) -> Result<(), StoreError> {
        self.transaction.execute(
            "UPDATE introductions SET counted = NULL, tried_ms = ?2 WHERE tag = ?1",
            params![self.introduction_tag(node), to_sql(now.as_millis())],
        )?;
        Ok(())
    }

    /// Wipes an introduction that is of no more use.
    pub fn remove_introduction(&self, node: &NodeKey) -> Result<(), StoreError> {
        self.transaction.execute(
            "DELETE FROM introductions WHERE tag = ?1",
            [self.introduction_tag(node)],
        )?;
        Ok(())
    }

    /// Remembers what was asked for. Of too many the oldest go.
    pub fn put_asked(&self, asked: &AskedIntroduction) -> Result<(), StoreError> {
        let record = proto::Asked {
            node: Bytes::copy_from_slice(asked.node.as_bytes()),
            secret: Bytes::copy_from_slice(asked.secret.expose()),
        };
        self.transaction.execute(
            "INSERT INTO asked (channel, tag, sealed, asked_ms, tries) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (channel, tag) DO UPDATE SET
                 sealed = excluded.sealed, asked_ms = excluded.asked_ms, tries = excluded.tries",
            params![
                asked.channel.0,
                self.asked_tag(&asked.node),
                self.encode("asked", &record),
                to_sql(asked.asked.as_millis()),
                asked.tries
            ],
        )?;
        self.transaction.execute(
            "DELETE FROM asked WHERE (channel, tag) IN
                 (SELECT channel, tag FROM asked ORDER BY asked_ms DESC LIMIT -1 OFFSET ?1)",
            [MAX_ASKED],
        )?;
        Ok(())
    }

    /// What was asked for in a channel about a node.
    pub fn asked(
        &self,
        channel: ChannelRow,
        node: &NodeKey,
    ) -> Result<Option<AskedIntroduction>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT channel, sealed, asked_ms, tries FROM asked WHERE channel = ?1 AND tag = ?2",
        )?;
        let mut rows = statement.query(params![channel.0, self.asked_tag(node)])?;
        rows.next()?.map(|row| self.asked_from(row)).transpose()
    }

    /// When any member of any channel was last asked about a node.
    pub fn last_asked(&self, node: &NodeKey) -> Result<Option<UnixMillis>, StoreError> {
        let latest: Option<i64> = self.transaction.query_row(
            "SELECT max(asked_ms) FROM asked WHERE tag = ?1",
            [self.asked_tag(node)],
            |row| row.get(0),
        )?;
        Ok(latest.map(|time| UnixMillis::from_millis(from_sql(time))))
    }

    /// How many requests were made after `time`.
    pub fn asked_since(&self, time: UnixMillis) -> Result<u32, StoreError> {
        Ok(self.transaction.query_row(
            "SELECT count(*) FROM asked WHERE asked_ms > ?1",
            [to_sql(time.as_millis())],
            |row| row.get(0),
        )?)
    }

    /// Whether a chain of ours was extended for an author, and then for this key and when; `None` if not.
    pub fn granted(
        &self,
        author: AuthorRow,
        chain: &ChainId,
        key: &HolderKey,
    ) -> Result<Option<(bool, UnixMillis)>, StoreError> {
        let found: Option<(Vec<u8>, i64)> = self
            .transaction
            .query_row(
                "SELECT key, given_ms FROM grants WHERE tag = ?1",
                [self.grant_tag(author, chain)],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        Ok(found.map(|(tag, given)| {
            let same = tag == self.cipher.tag("grants.key", key.as_bytes());
            (same, UnixMillis::from_millis(from_sql(given)))
        }))
    }

    /// How often a chain of ours was extended.
    pub fn grants_of(&self, chain: &ChainId) -> Result<u32, StoreError> {
        Ok(self.transaction.query_row(
            "SELECT count(*) FROM grants WHERE chain = ?1",
            [self.cipher.tag("grants.chain", chain.as_bytes())],
            |row| row.get(0),
        )?)
    }

    /// Remembers that a chain of ours was extended for an author.
    pub fn put_grant(
        &self,
        author: AuthorRow,
        chain: &ChainId,
        key: &HolderKey,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        self.transaction.execute(
            "INSERT INTO grants (tag, chain, key, given_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (tag) DO UPDATE SET given_ms = excluded.given_ms",
            params![
                self.grant_tag(author, chain),
                self.cipher.tag("grants.chain", chain.as_bytes()),
                self.cipher.tag("grants.key", key.as_bytes()),
                to_sql(now.as_millis())
            ],
        )?;
        Ok(())
    }

    /// Drops grants that are older than any chain lasts, and keys that nobody answered in as long.
    pub fn drop_old_introductions(&self, before: UnixMillis) -> Result<(), StoreError> {
        for table in ["grants WHERE given_ms", "asked WHERE asked_ms"] {
            self.transaction.execute(
                &format!("DELETE FROM {table} < ?1"),
                [to_sql(before.as_millis())],
            )?;
        }
        Ok(())
    }

    fn introduction_tag(&self, node: &NodeKey) -> [u8; 16] {
        self.cipher.tag("introductions", node.as_bytes())
    }

    fn asked_tag(&self, node: &NodeKey) -> [u8; 16] {
        self.cipher.tag("asked", node.as_bytes())
    }

    fn grant_tag(&self, author: AuthorRow, chain: &ChainId) -> [u8; 16] {
        let author = author.0.to_be_bytes();
        self.cipher
            .tag("grants", &[author.as_slice(), chain.as_bytes()].concat())
    }

    fn introduction_from(&self, row: &Row<'_>) -> Result<HeldIntroduction, StoreError> {
        let corrupt = || StoreError::Corrupt("introductions");
        let record: proto::Introduction =
            self.decode("introductions", &row.get::<_, Vec<u8>>(0)?)?;
        let chain =
            node::Introduction::decode(record.introduction.as_ref()).map_err(|_| corrupt())?;
        let counted: Option<u32> = row.get(1)?;
        let tried: Option<i64> = row.get(2)?;
        Ok(HeldIntroduction {
            introduction: Introduction::parse(&chain).map_err(|_| corrupt())?,
            secret: HolderSecret::try_from(record.secret.as_ref()).map_err(|_| corrupt())?,
            counted: counted.map(|hops| HopCount::from_wire(Some(hops))),
            tried: tried.map(|time| UnixMillis::from_millis(from_sql(time))),
        })
    }

    fn asked_from(&self, row: &Row<'_>) -> Result<AskedIntroduction, StoreError> {
        let corrupt = || StoreError::Corrupt("asked");
        let record: proto::Asked = self.decode("asked", &row.get::<_, Vec<u8>>(1)?)?;
        Ok(AskedIntroduction {
            channel: ChannelRow(row.get(0)?),
            node: NodeKey::try_from(record.node.as_ref()).map_err(|_| corrupt())?,
            secret: HolderSecret::try_from(record.secret.as_ref()).map_err(|_| corrupt())?,
            asked: UnixMillis::from_millis(from_sql(row.get(2)?)),
            tries: row.get(3)?,
        })
    }
}

/// Keys that wait for an introduction.
const MAX_ASKED: u32 = 64;
