//! Messages: received, queued, sent, expired. What a phone has received stays until its user deletes it.

use bytes::Bytes;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::channel::MessageId;
use crate::wire::time::UnixMillis;

use super::{AuthorRow, ChannelRow, StoreError, Tx, from_sql, proto, to_sql};

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// From somebody else, or from another device of ours.
    Received,
    /// Ours, in the outbox.
    Queued,
    /// Ours, and on the disk of a super node at least.
    AtNode,
    /// Ours, and no node took it within 7 days.
    Expired,
}

/// A message to be stored.
pub struct NewMessage<'a> {
    /// The channel.
    pub channel: ChannelRow,
    /// The author.
    pub author: AuthorRow,
    /// The header time.
    pub time: UnixMillis,
    /// The author's count.
    pub sequence: u64,
    /// The hash of what the author signed; provisional for what is queued.
    pub id: MessageId,
    /// The text; `None` for control messages, of which only the id is kept.
    pub text: Option<&'a str>,
    /// Where it stands.
    pub state: MessageState,
}

/// A message that is kept.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    /// Its row: the order of arrival on this phone.
    pub row: i64,
    /// The author.
    pub author: AuthorRow,
    /// The header time.
    pub time: UnixMillis,
    /// The author's count.
    pub sequence: u64,
    /// The hash of what the author signed; provisional for what is queued.
    pub id: MessageId,
    /// The text.
    pub text: String,
    /// Where it stands.
    pub state: MessageState,
}

/// Which messages to read: `limit` of them, before or after a place in the order of time.
#[derive(Clone, Copy, Debug)]
pub enum Page {
    /// The latest.
    Latest,
    /// Those before a message (its time and row), nearest last.
    Before(UnixMillis, i64),
    /// Those that arrived after a row, in the order of arrival.
    ArrivedAfter(i64),
}

impl Tx<'_> {
    /// Stores a message; `None` if its id is known already, also if it was deleted here.
    pub fn add_message(&self, message: &NewMessage<'_>) -> Result<Option<i64>, StoreError> {
        let record = proto::Message {
            id: Bytes::copy_from_slice(message.id.as_bytes()),
            text: message.text.unwrap_or_default().to_owned(),
            provisional: if message.state == MessageState::Queued {
                Bytes::copy_from_slice(message.id.as_bytes())
            } else {
                Bytes::new()
            },
        };
        let state = match message.text {
            Some(_) => state_number(message.state),
            None => CONTROL,
        };
        let added = self
            .transaction
            .prepare_cached(
                "INSERT INTO messages (channel, author, time_ms, sequence, state, tag, sealed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (tag) DO NOTHING",
            )?
            .execute(params![
                message.channel.0,
                message.author.0,
                to_sql(message.time.as_millis()),
                to_sql(message.sequence),
                state,
                self.message_tag(&message.id),
                self.encode("messages", &record),
            ])?;
        Ok((added > 0).then(|| self.transaction.last_insert_rowid()))
    }

    /// The row and channel of a message, by its id.
    pub fn find_message(&self, id: &MessageId) -> Result<Option<(i64, ChannelRow)>, StoreError> {
        Ok(self
            .transaction
            .query_row(
                "SELECT id, channel FROM messages WHERE tag = ?1 AND state < 4",
                [self.message_tag(id)],
                |row| Ok((row.get(0)?, ChannelRow(row.get(1)?))),
            )
            .optional()?)
    }

    /// The same for messages that are not shown.
    pub fn find_control(&self, id: &MessageId) -> Result<Option<(i64, ChannelRow)>, StoreError> {
        Ok(self
            .transaction
            .query_row(
                "SELECT id, channel FROM messages WHERE tag = ?1 AND state = 5",
                [self.message_tag(id)],
                |row| Ok((row.get(0)?, ChannelRow(row.get(1)?))),
            )
            .optional()?)
    }

    /// The channel of a message, shown or not.
    pub fn channel_of(&self, row: i64) -> Result<ChannelRow, StoreError> {
        self.transaction
            .prepare_cached("SELECT channel FROM messages WHERE id = ?1")?
            .query_row([row], |row| Ok(ChannelRow(row.get(0)?)))
            .optional()?
            .ok_or(StoreError::Unknown("message"))
    }

    /// One message.
    pub fn message(&self, row: i64) -> Result<StoredMessage, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT id, author, time_ms, sequence, state, sealed FROM messages WHERE id = ?1",
        )?;
        let mut rows = statement.query([row])?;
        self.message_from(rows.next()?.ok_or(StoreError::Unknown("message"))?)
    }

    /// A page of a channel's messages, oldest first, and at most `limit`.
    pub fn messages(
        &self,
        channel: ChannelRow,
        page: Page,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let (sql, a, b) = match page {
            Page::Latest => (
                "SELECT id, author, time_ms, sequence, state, sealed FROM messages
                 WHERE channel = ?1 AND state < 4 AND ?2 = ?2 AND ?3 = ?3
                 ORDER BY time_ms DESC, id DESC LIMIT ?4",
                0,
                0,
            ),
            Page::Before(time, row) => (
                "SELECT id, author, time_ms, sequence, state, sealed FROM messages
                 WHERE channel = ?1 AND state < 4 AND (time_ms, id) < (?2, ?3)
                 ORDER BY time_ms DESC, id DESC LIMIT ?4",
                to_sql(time.as_millis()),
                row,
            ),
            Page::ArrivedAfter(row) => (
                "SELECT id, author, time_ms, sequence, state, sealed FROM messages
                 WHERE channel = ?1 AND state < 4 AND id > ?2 AND ?3 = ?3 ORDER BY id LIMIT ?4",
                row,
                0,
            ),
        };
        let mut statement = self.transaction.prepare_cached(sql)?;
        let mut rows = statement.query(params![channel.0, a, b, to_sql(limit as u64)])?;
        let mut messages = Vec::new();
        while let Some(row) = rows.next()? {
            messages.push(self.message_from(row)?);
        }
        if !matches!(page, Page::ArrivedAfter(_)) {
            messages.reverse();
        }
        Ok(messages)
    }

    /// The row of the newest arrival in a channel; 0 if there is none.
    pub fn last_row(&self, channel: ChannelRow) -> Result<i64, StoreError> {
        Ok(self.transaction.query_row(
            "SELECT coalesce(max(id), 0) FROM messages WHERE channel = ?1",
            [channel.0],
            |row| row.get(0),
        )?)
    }

    /// Received messages that were not read yet.
    pub fn unread(&self, channel: ChannelRow, read_up_to: i64) -> Result<u64, StoreError> {
        Ok(from_sql(self.transaction.query_row(
            "SELECT count(*) FROM messages WHERE channel = ?1 AND id > ?2 AND state = 0",
            params![channel.0, read_up_to],
            |row| row.get(0),
        )?))
    }

    /// Deletes a message here; its keyed hash stays, so that it does not come back.
    pub fn delete_message(&self, row: i64) -> Result<(), StoreError> {
        self.transaction.execute(
            "UPDATE messages SET state = 4, sealed = x'' WHERE id = ?1",
            [row],
        )?;
        self.transaction
            .execute("DELETE FROM outbox WHERE message = ?1", [row])?;
        Ok(())
    }

    /// Changes where a message stands.
    pub fn set_message_state(&self, row: i64, state: MessageState) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("UPDATE messages SET state = ?2 WHERE id = ?1 AND state < 4")?
            .execute(params![row, state_number(state)])?;
        Ok(())
    }

    /// Gives a queued message the id, time and number it was sealed with; a control message is no longer shown.
    pub fn message_sealed(
        &self,
        row: i64,
        id: &MessageId,
        time: UnixMillis,
        sequence: u64,
    ) -> Result<(), StoreError> {
        let message = self.message_record(row)?;
        let record = proto::Message {
            id: Bytes::copy_from_slice(id.as_bytes()),
            ..message
        };
        self.transaction.execute(
            "UPDATE messages SET time_ms = ?2, sequence = ?3, tag = ?4, sealed = ?5 WHERE id = ?1",
            params![
                row,
                to_sql(time.as_millis()),
                to_sql(sequence),
                self.message_tag(id),
                self.encode("messages", &record),
            ],
        )?;
        Ok(())
    }

    /// The id under which a message was queued, before it was sealed.
    pub fn provisional_id(&self, row: i64) -> Result<Option<MessageId>, StoreError> {
        let record = self.message_record(row)?;
        Ok(MessageId::try_from(record.provisional.as_ref()).ok())
    }

    /// Our own messages that were queued under a provisional id, newest first, at most 1,000.
    pub fn queued_rows(&self) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT id FROM messages WHERE state IN (1, 2, 3) ORDER BY id DESC LIMIT 1000",
        )?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn message_record(&self, row: i64) -> Result<proto::Message, StoreError> {
        let sealed: Vec<u8> = self
            .transaction
            .query_row("SELECT sealed FROM messages WHERE id = ?1", [row], |row| {
                row.get(0)
            })
            .optional()?
            .ok_or(StoreError::Unknown("message"))?;
        self.decode("messages", &sealed)
    }

    fn message_from(&self, row: &Row<'_>) -> Result<StoredMessage, StoreError> {
        let record: proto::Message = self.decode("messages", &row.get::<_, Vec<u8>>(5)?)?;
        Ok(StoredMessage {
            row: row.get(0)?,
            author: AuthorRow(row.get(1)?),
            time: UnixMillis::from_millis(from_sql(row.get(2)?)),
            sequence: from_sql(row.get(3)?),
            id: MessageId::try_from(record.id.as_ref())
                .map_err(|_| StoreError::Corrupt("messages"))?,
            text: record.text,
            state: match row.get::<_, i64>(4)? {
                1 => MessageState::Queued,
                2 => MessageState::AtNode,
                3 => MessageState::Expired,
                _ => MessageState::Received,
            },
        })
    }

    fn message_tag(&self, id: &MessageId) -> [u8; 16] {
        self.cipher.tag("messages", id.as_bytes())
    }
}

/// Not shown; its row only keeps it from being taken in twice.
const CONTROL: i64 = 5;

fn state_number(state: MessageState) -> i64 {
    match state {
        MessageState::Received => 0,
        MessageState::Queued => 1,
        MessageState::AtNode => 2,
        MessageState::Expired => 3,
    }
}
