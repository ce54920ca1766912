//! Channels as the person sees them, and the keys (accesses) that each has and had.

use bytes::Bytes;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::channel::{Access, AuthorHint, ChannelId, Epoch, Link, Previous, ReadChain, ReadSecret};
use crate::crypto::{DhSecret, PublicKey, SigningKey};
use crate::wire::time::UnixMillis;

use super::{StoreError, Tx, from_sql, proto, to_sql};

/// The row of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelRow(pub(super) i64);

impl ChannelRow {
    /// Of a channel that is not stored yet.
    pub const NONE: Self = Self(0);
}

/// The row of a channel's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessRow(pub(super) i64);

impl AccessRow {
    /// Of keys that are not stored yet.
    pub const NONE: Self = Self(0);
}

/// Whether a channel is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// In use.
    Active,
    /// Rotated without us: a new link is needed.
    Moved,
}

/// A channel, with our secrets in it.
pub struct StoredChannel {
    /// Its row.
    pub row: ChannelRow,
    /// What we call it.
    pub name: String,
    /// Our author key.
    pub author: SigningKey,
    /// Our key to which rotation seals.
    pub dh: DhSecret,
    /// Our admin key, if we are admin.
    pub admin: Option<SigningKey>,
    /// No notifications.
    pub muted: bool,
    /// In use or moved.
    pub state: ChannelState,
    /// Rows of messages up to this one were read.
    pub read_up_to: i64,
}

/// One set of keys of a channel.
pub struct StoredAccess {
    /// Its row.
    pub row: AccessRow,
    /// Whose keys they are.
    pub channel: ChannelRow,
    /// How many rotations came before.
    pub number: u32,
    /// When rotation replaced it; `None` while in use.
    pub retired: Option<UnixMillis>,
    /// The keys.
    pub access: Access,
    /// The oldest read secret still held.
    pub read: Option<ReadChain>,
    /// The sequence number of our last message; 0 before the first.
    pub sequence: u64,
    /// Our last message.
    pub previous: Previous,
    /// When we last sent our key and name.
    pub introduced: UnixMillis,
    /// The header time of our last message.
    pub last_time: UnixMillis,
    /// Authors that rotation left out.
    pub removed: Vec<AuthorHint>,
    /// Authors appointed as further admins under these keys.
    pub admins: Vec<PublicKey>,
}

impl Tx<'_> {
    /// Adds a channel.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if one of that name is there; [`StoreError::Limit`].
    pub fn add_channel(
        &self,
        channel: &StoredChannel,
        created: UnixMillis,
    ) -> Result<ChannelRow, StoreError> {
        let count: u32 =
            self.transaction
                .query_row("SELECT count(*) FROM channels", [], |row| row.get(0))?;
        if count >= MAX_CHANNELS {
            return Err(StoreError::Limit {
                what: "channels",
                limit: MAX_CHANNELS,
            });
        }
        let added = self.transaction.execute(
            "INSERT INTO channels (name_tag, sealed, muted, state, read_up_to, created_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (name_tag) DO NOTHING",
            params![
                self.name_tag(&channel.name),
                self.channel_record(channel),
                channel.muted,
                state_number(channel.state),
                channel.read_up_to,
                to_sql(created.as_millis())
            ],
        )?;
        if added == 0 {
            return Err(StoreError::Exists);
        }
        Ok(ChannelRow(self.transaction.last_insert_rowid()))
    }

    /// Writes back a changed channel.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if another channel has the name.
    pub fn update_channel(&self, channel: &StoredChannel) -> Result<(), StoreError> {
        let tag = self.name_tag(&channel.name);
        let other: Option<i64> = self
            .transaction
            .query_row(
                "SELECT id FROM channels WHERE name_tag = ?1 AND id <> ?2",
                params![tag, channel.row.0],
                |row| row.get(0),
            )
            .optional()?;
        if other.is_some() {
            return Err(StoreError::Exists);
        }
        self.transaction.execute(
            "UPDATE channels SET name_tag = ?2, sealed = ?3, muted = ?4, state = ?5, read_up_to = ?6
             WHERE id = ?1",
            params![
                channel.row.0,
                tag,
                self.channel_record(channel),
                channel.muted,
                state_number(channel.state),
                channel.read_up_to
            ],
        )?;
        Ok(())
    }

    /// Wipes a channel with its keys and messages.
    pub fn remove_channel(&self, channel: ChannelRow) -> Result<(), StoreError> {
        self.transaction
            .execute("DELETE FROM channels WHERE id = ?1", [channel.0])?;
        Ok(())
    }

    /// All channels, oldest first.
    pub fn channels(&self) -> Result<Vec<StoredChannel>, StoreError> {
        self.select_channels(
            "SELECT id, sealed, muted, state, read_up_to FROM channels ORDER BY id",
        )
    }

    /// One channel.
    pub fn channel(&self, channel: ChannelRow) -> Result<StoredChannel, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT id, sealed, muted, state, read_up_to FROM channels WHERE id = ?1",
        )?;
        let mut rows = statement.query([channel.0])?;
        let row = rows.next()?.ok_or(StoreError::Unknown("channel"))?;
        self.channel_from(row)
    }

    /// Marks messages up to a row as read.
    pub fn mark_read(&self, channel: ChannelRow, up_to: i64) -> Result<bool, StoreError> {
        let changed = self.transaction.execute(
            "UPDATE channels SET read_up_to = ?2 WHERE id = ?1 AND read_up_to < ?2",
            params![channel.0, up_to],
        )?;
        Ok(changed > 0)
    }

    /// Adds keys to a channel.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if these keys are there already.
    pub fn add_access(&self, access: &StoredAccess) -> Result<AccessRow, StoreError> {
        let tag = self.access_tag(&access.access.channel_id());
        let added = self.transaction.execute(
            "INSERT INTO accesses (channel, tag, number, retired_ms, read_epoch, sealed, read)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (tag) DO NOTHING",
            params![
                access.channel.0,
                tag,
                access.number,
                access.retired.map(|time| to_sql(time.as_millis())),
                access
                    .read
                    .as_ref()
                    .map(|read| to_sql(read.epoch().number())),
                self.access_record(access),
                self.read_column(access),
            ],
        )?;
        if added == 0 {
            return Err(StoreError::Exists);
        }
        Ok(AccessRow(self.transaction.last_insert_rowid()))
    }

    /// Writes back changed keys.
    pub fn update_access(&self, access: &StoredAccess) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "UPDATE accesses SET retired_ms = ?2, read_epoch = ?3, sealed = ?4, read = ?5
                 WHERE id = ?1",
            )?
            .execute(params![
                access.row.0,
                access.retired.map(|time| to_sql(time.as_millis())),
                access
                    .read
                    .as_ref()
                    .map(|read| to_sql(read.epoch().number())),
                self.access_record(access),
                self.read_column(access),
            ])?;
        Ok(())
    }

    /// Wipes keys that no living envelope needs any more.
    pub fn remove_access(&self, access: AccessRow) -> Result<(), StoreError> {
        self.transaction
            .execute("DELETE FROM accesses WHERE id = ?1", [access.0])?;
        Ok(())
    }

    /// All keys of all channels; within a channel those in use come last.
    pub fn accesses(&self) -> Result<Vec<StoredAccess>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT id, channel, number, retired_ms, read_epoch, sealed, read FROM accesses
             ORDER BY channel, number, id",
        )?;
        let mut rows = statement.query([])?;
        let mut accesses = Vec::new();
        while let Some(row) = rows.next()? {
            accesses.push(self.access_from(row)?);
        }
        Ok(accesses)
    }

    /// The keys of one channel that are in use.
    pub fn access_of(&self, channel: ChannelRow) -> Result<StoredAccess, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT id, channel, number, retired_ms, read_epoch, sealed, read FROM accesses
             WHERE channel = ?1 AND retired_ms IS NULL",
        )?;
        let mut rows = statement.query([channel.0])?;
        let row = rows.next()?.ok_or(StoreError::Unknown("channel"))?;
        self.access_from(row)
    }

    /// Which channel has, or had, these keys.
    pub fn find_channel(&self, id: &ChannelId) -> Result<Option<ChannelRow>, StoreError> {
        Ok(self
            .transaction
            .query_row(
                "SELECT channel FROM accesses WHERE tag = ?1",
                [self.access_tag(id)],
                |row| row.get(0).map(ChannelRow),
            )
            .optional()?)
    }

    fn select_channels(&self, sql: &str) -> Result<Vec<StoredChannel>, StoreError> {
        let mut statement = self.transaction.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut channels = Vec::new();
        while let Some(row) = rows.next()? {
            channels.push(self.channel_from(row)?);
        }
        Ok(channels)
    }

    fn channel_from(&self, row: &Row<'_>) -> Result<StoredChannel, StoreError> {
        let corrupt = || StoreError::Corrupt("channels");
        let record: proto::Channel = self.decode("channels", &row.get::<_, Vec<u8>>(1)?)?;
        Ok(StoredChannel {
            row: ChannelRow(row.get(0)?),
            name: record.name,
            author: signing_key(&record.author).ok_or_else(corrupt)?,
            dh: DhSecret::try_from(record.dh.as_ref()).map_err(|_| corrupt())?,
            admin: if record.admin.is_empty() {
                None
            } else {
                Some(signing_key(&record.admin).ok_or_else(corrupt)?)
            },
            muted: row.get(2)?,
            state: if row.get::<_, i64>(3)? == 0 {
                ChannelState::Active
            } else {
                ChannelState::Moved
            },
            read_up_to: row.get(4)?,
        })
    }

    fn channel_record(&self, channel: &StoredChannel) -> Vec<u8> {
        let record = proto::Channel {
            name: channel.name.clone(),
            author: Bytes::copy_from_slice(channel.author.expose().as_slice()),
            dh: Bytes::copy_from_slice(channel.dh.expose()),
            admin: channel.admin.as_ref().map_or_else(Bytes::new, |admin| {
                Bytes::copy_from_slice(admin.expose().as_slice())
            }),
        };
        self.encode("channels", &record)
    }

    fn access_from(&self, row: &Row<'_>) -> Result<StoredAccess, StoreError> {
        let corrupt = || StoreError::Corrupt("accesses");
        let record: proto::Access = self.decode("accesses", &row.get::<_, Vec<u8>>(5)?)?;
        let mut payload = record.link.ok_or_else(corrupt)?;
        let read = match (
            row.get::<_, Option<i64>>(4)?,
            row.get::<_, Option<Vec<u8>>>(6)?,
        ) {
            (Some(epoch), Some(sealed)) => {
                let secret = self.cipher.open("accesses.read", &sealed)?;
                payload.read_secret = Bytes::copy_from_slice(&secret);
                payload.read_epoch = from_sql(epoch);
                let secret = ReadSecret::try_from(secret.as_slice()).map_err(|_| corrupt())?;
                Some(ReadChain::new(Epoch::new(from_sql(epoch)), secret))
            }
            _ => None,
        };
        let link = Link::from_payload(payload).map_err(|_| corrupt())?;
        Ok(StoredAccess {
            row: AccessRow(row.get(0)?),
            channel: ChannelRow(row.get(1)?),
            number: row.get(2)?,
            retired: row
                .get::<_, Option<i64>>(3)?
                .map(|time| UnixMillis::from_millis(from_sql(time))),
            access: link.access,
            read,
            sequence: record.sequence,
            previous: Previous::try_from(record.previous.as_ref()).unwrap_or(Previous::NONE),
            introduced: UnixMillis::from_millis(record.introduced_ms),
            last_time: UnixMillis::from_millis(record.last_ms),
            removed: record
                .removed
                .iter()
                .filter_map(|hint| AuthorHint::try_from(hint.as_ref()).ok())
                .collect(),
            admins: record
                .admins
                .iter()
                .map(|key| public_key(key).ok_or_else(corrupt))
                .collect::<Result<_, _>>()?,
        })
    }

    fn access_record(&self, access: &StoredAccess) -> Vec<u8> {
        let link = Link {
            access: access.access.duplicate(),
            read: None,
            admin: None,
            name: String::new(),
            nodes: Vec::new(),
        };
        let record = proto::Access {
            link: Some(link.to_payload()),
            sequence: access.sequence,
            previous: Bytes::copy_from_slice(access.previous.as_bytes()),
            introduced_ms: access.introduced.as_millis(),
            last_ms: access.last_time.as_millis(),
            removed: access
                .removed
                .iter()
                .map(|hint| Bytes::copy_from_slice(hint.as_bytes()))
                .collect(),
            admins: access
                .admins
                .iter()
                .map(|key| Bytes::copy_from_slice(key.as_bytes()))
                .collect(),
        };
        self.encode("accesses", &record)
    }

    fn read_column(&self, access: &StoredAccess) -> Option<Vec<u8>> {
        let read = access.read.as_ref()?;
        Some(self.cipher.seal("accesses.read", read.secret().expose()))
    }

    fn name_tag(&self, name: &str) -> [u8; 16] {
        self.cipher.tag("channels.name", name.as_bytes())
    }

    fn access_tag(&self, id: &ChannelId) -> [u8; 16] {
        self.cipher.tag("accesses", id.as_bytes())
    }
}

/// One client registers at most 2,048 addresses at a node, and each channel needs up to three, more after rotation.
const MAX_CHANNELS: u32 = 500;

fn state_number(state: ChannelState) -> i64 {
    match state {
        ChannelState::Active => 0,
        ChannelState::Moved => 1,
    }
}

fn signing_key(bytes: &[u8]) -> Option<SigningKey> {
    SigningKey::from_bytes(bytes.try_into().ok()?).ok()
}

pub(super) fn public_key(bytes: &[u8]) -> Option<PublicKey> {
    PublicKey::from_bytes(bytes.try_into().ok()?).ok()
}
