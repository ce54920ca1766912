//! Authors of a channel, how far each has come, and envelopes whose author is not known yet.

use std::collections::HashMap;

use bytes::Bytes;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::channel::{Address, AuthorHint, Envelope, EnvelopeId, Epoch, Kind, MessageId};
use crate::crypto::{DhPublic, PublicKey};
use crate::wire::time::UnixMillis;

use super::{AccessRow, ChannelRow, StoreError, Tx, channels::public_key, from_sql, proto, to_sql};

/// The row of an author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorRow(pub(super) i64);

/// Somebody who writes in a channel: a key, and the name it claims.
#[derive(Clone, Debug)]
pub struct StoredAuthor {
    /// Its row.
    pub row: AuthorRow,
    /// The key, pinned at first sight.
    pub key: PublicKey,
    /// The claimed name; empty before an introduction.
    pub name: String,
    /// Where rotation seals to; `None` before an introduction.
    pub dh: Option<DhPublic>,
    /// This is us.
    pub own: bool,
    /// Seals to the channel, so cannot read it.
    pub write_only: bool,
    /// Another key had used this name before.
    pub name_taken: bool,
    /// Left out by a rotation.
    pub removed: bool,
    /// Two different messages claim the same place.
    pub forked: bool,
    /// When it was first seen.
    pub first_seen: UnixMillis,
}

/// An author to be added.
pub struct NewAuthor {
    /// The key.
    pub key: PublicKey,
    /// This is us.
    pub own: bool,
    /// When it was seen.
    pub seen: UnixMillis,
}

/// How far an author has come under one set of keys.
#[derive(Clone, Debug)]
pub struct ChainState {
    /// The lowest sequence number received.
    pub first_sequence: u64,
    /// The highest.
    pub last_sequence: u64,
    /// How many messages were received.
    pub received: u64,
    /// The latest epoch in which an outer signature of this author was verified.
    pub verified_epoch: Epoch,
    /// The message with the highest sequence number.
    pub last: MessageId,
}

impl ChainState {
    /// Messages between the first and the last that did not arrive.
    pub fn missing(&self) -> u64 {
        (self.last_sequence.saturating_sub(self.first_sequence))
            .saturating_add(1)
            .saturating_sub(self.received)
    }
}

/// An envelope that waits for its author's introduction.
pub struct PendingEnvelope {
    /// The envelope; its outer signature was verified.
    pub envelope: Envelope,
    /// Whom it claims to be by.
    pub hint: AuthorHint,
}

impl Tx<'_> {
    /// Adds an author, or finds the one with this key.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when a channel has too many.
    pub fn put_author(
        &self,
        channel: ChannelRow,
        author: &NewAuthor,
    ) -> Result<AuthorRow, StoreError> {
        let tag = self.cipher.tag("authors", author.key.as_bytes());
        let known: Option<i64> = self
            .transaction
            .query_row(
                "SELECT id FROM authors WHERE channel = ?1 AND tag = ?2",
                params![channel.0, tag],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(row) = known {
            return Ok(AuthorRow(row));
        }
        let count: u32 = self.transaction.query_row(
            "SELECT count(*) FROM authors WHERE channel = ?1",
            [channel.0],
            |row| row.get(0),
        )?;
        if count >= MAX_AUTHORS {
            return Err(StoreError::Limit {
                what: "authors in a channel",
                limit: MAX_AUTHORS,
            });
        }
        let record = proto::Author {
            key: Bytes::copy_from_slice(author.key.as_bytes()),
            ..proto::Author::default()
        };
        self.transaction.execute(
            "INSERT INTO authors (channel, tag, sealed, own, first_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                channel.0,
                tag,
                self.encode("authors", &record),
                author.own,
                to_sql(author.seen.as_millis())
            ],
        )?;
        Ok(AuthorRow(self.transaction.last_insert_rowid()))
    }

    /// Writes back a changed author.
    pub fn update_author(&self, author: &StoredAuthor) -> Result<(), StoreError> {
        let record = proto::Author {
            key: Bytes::copy_from_slice(author.key.as_bytes()),
            name: author.name.clone(),
            dh_key: author
                .dh
                .map_or_else(Bytes::new, |key| Bytes::copy_from_slice(key.as_bytes())),
        };
        self.transaction.execute(
            "UPDATE authors SET sealed = ?2, write_only = ?3, name_taken = ?4, removed = ?5, forked = ?6
             WHERE id = ?1",
            params![
                author.row.0,
                self.encode("authors", &record),
                author.write_only,
                author.name_taken,
                author.removed,
                author.forked
            ],
        )?;
        Ok(())
    }

    /// The authors of a channel, in the order they were first seen.
    pub fn authors(&self, channel: ChannelRow) -> Result<Vec<StoredAuthor>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT id, sealed, own, write_only, name_taken, removed, forked, first_ms FROM authors
             WHERE channel = ?1 ORDER BY id",
        )?;
        let mut rows = statement.query([channel.0])?;
        let mut authors = Vec::new();
        while let Some(row) = rows.next()? {
            authors.push(self.author_from(row)?);
        }
        Ok(authors)
    }

    /// How far each author has come under one set of keys.
    pub fn chains(&self, access: AccessRow) -> Result<HashMap<AuthorRow, ChainState>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT author, first_sequence, last_sequence, received, verified_epoch, last
             FROM chains WHERE access = ?1",
        )?;
        let mut rows = statement.query([access.0])?;
        let mut chains = HashMap::new();
        while let Some(row) = rows.next()? {
            let last = self.cipher.open("chains", &row.get::<_, Vec<u8>>(5)?)?;
            let state = ChainState {
                first_sequence: from_sql(row.get(1)?),
                last_sequence: from_sql(row.get(2)?),
                received: from_sql(row.get(3)?),
                verified_epoch: Epoch::new(from_sql(row.get(4)?)),
                last: MessageId::try_from(last.as_slice())
                    .map_err(|_| StoreError::Corrupt("chains"))?,
            };
            chains.insert(AuthorRow(row.get(0)?), state);
        }
        Ok(chains)
    }

    /// Writes how far an author has come.
    pub fn put_chain(
        &self,
        access: AccessRow,
        author: AuthorRow,
        state: &ChainState,
    ) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO chains
                     (access, author, first_sequence, last_sequence, received, verified_epoch, last)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (access, author) DO UPDATE SET
                     first_sequence = excluded.first_sequence, last_sequence = excluded.last_sequence,
                     received = excluded.received, verified_epoch = excluded.verified_epoch,
                     last = excluded.last",
            )?
            .execute(params![
                access.0,
                author.0,
                to_sql(state.first_sequence),
                to_sql(state.last_sequence),
                to_sql(state.received),
                to_sql(state.verified_epoch.number()),
                self.cipher.seal("chains", state.last.as_bytes()),
            ])?;
        Ok(())
    }

    /// Keeps an envelope until its author is known; the oldest go when there are too many.
    pub fn put_pending(
        &self,
        access: AccessRow,
        pending: &PendingEnvelope,
        id: &EnvelopeId,
    ) -> Result<(), StoreError> {
        let header = pending.envelope.header();
        let record = proto::Pending {
            sealed: pending.envelope.sealed().clone(),
            address: Bytes::copy_from_slice(header.address.as_bytes()),
            time_ms: header.time.as_millis(),
            kind: header.kind as u32,
        };
        self.transaction.execute(
            "INSERT INTO pending (access, hint, tag, time_ms, sealed) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (tag) DO NOTHING",
            params![
                access.0,
                self.hint_tag(&pending.hint),
                self.cipher.tag("pending", id.as_bytes()),
                to_sql(header.time.as_millis()),
                self.encode("pending", &record),
            ],
        )?;
        self.transaction.execute(
            "DELETE FROM pending WHERE access = ?1 AND id <=
                 (SELECT id FROM pending WHERE access = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            params![access.0, MAX_PENDING],
        )?;
        Ok(())
    }

    /// Takes out the envelopes that waited for an author.
    pub fn take_pending(
        &self,
        access: AccessRow,
        hint: &AuthorHint,
    ) -> Result<Vec<PendingEnvelope>, StoreError> {
        let tag = self.hint_tag(hint);
        let mut statement = self.transaction.prepare_cached(
            "SELECT sealed FROM pending WHERE access = ?1 AND hint = ?2 ORDER BY id",
        )?;
        let mut rows = statement.query(params![access.0, tag])?;
        let mut taken = Vec::new();
        while let Some(row) = rows.next()? {
            let record: proto::Pending = self.decode("pending", &row.get::<_, Vec<u8>>(0)?)?;
            taken.push(PendingEnvelope {
                envelope: envelope(
                    &record.address,
                    record.time_ms,
                    record.kind,
                    record.sealed,
                    "pending",
                )?,
                hint: *hint,
            });
        }
        if !taken.is_empty() {
            self.transaction.execute(
                "DELETE FROM pending WHERE access = ?1 AND hint = ?2",
                params![access.0, tag],
            )?;
        }
        Ok(taken)
    }

    /// How many envelopes wait for their author.
    pub fn pending_count(&self, access: AccessRow) -> Result<u64, StoreError> {
        Ok(from_sql(self.transaction.query_row(
            "SELECT count(*) FROM pending WHERE access = ?1",
            [access.0],
            |row| row.get(0),
        )?))
    }

    /// Drops waiting envelopes older than `before`.
    pub fn drop_pending(&self, before: UnixMillis) -> Result<(), StoreError> {
        self.transaction.execute(
            "DELETE FROM pending WHERE time_ms < ?1",
            [to_sql(before.as_millis())],
        )?;
        Ok(())
    }

    fn hint_tag(&self, hint: &AuthorHint) -> [u8; 16] {
        self.cipher.tag("pending.hint", hint.as_bytes())
    }

    fn author_from(&self, row: &Row<'_>) -> Result<StoredAuthor, StoreError> {
        let record: proto::Author = self.decode("authors", &row.get::<_, Vec<u8>>(1)?)?;
        Ok(StoredAuthor {
            row: AuthorRow(row.get(0)?),
            key: public_key(&record.key).ok_or(StoreError::Corrupt("authors"))?,
            name: record.name,
            dh: DhPublic::try_from(record.dh_key.as_ref()).ok(),
            own: row.get(2)?,
            write_only: row.get(3)?,
            name_taken: row.get(4)?,
            removed: row.get(5)?,
            forked: row.get(6)?,
            first_seen: UnixMillis::from_millis(from_sql(row.get(7)?)),
        })
    }
}

/// Puts an envelope together from a record.
pub(super) fn envelope(
    address: &[u8],
    time_ms: u64,
    kind: u32,
    sealed: Bytes,
    column: &'static str,
) -> Result<Envelope, StoreError> {
    let corrupt = || StoreError::Corrupt(column);
    Envelope::parse(
        Address::try_from(address).map_err(|_| corrupt())?,
        UnixMillis::from_millis(time_ms),
        Kind::try_from(kind).map_err(|_| corrupt())?,
        sealed,
    )
    .map_err(|_| corrupt())
}

const MAX_AUTHORS: u32 = 4_096;
const MAX_PENDING: u32 = 1_000;
