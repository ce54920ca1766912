//! The database as a command of the operator uses it, beside the daemon: looks, invitations and revocations.

use std::path::Path;

use ailurus::{
    channel::{ChainId, HopCount, NodeLink},
    crypto::NodeKey,
    wire::{
        node::{Load, Reason},
        time::UnixMillis,
    },
};
use prost::Message as _;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::{BUSY, StoreError, from_sql, migrations, to_sql, writer::LOAD};

/// A connection of its own to a database that is there.
pub(crate) struct Beside {
    connection: Connection,
}

/// An invitation as it was minted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationRow {
    /// The subtree of everybody that it brings.
    pub chain: ChainId,
    /// What the operator called it.
    pub label: String,
    /// Clients that it may bring.
    pub quota: u64,
    /// When it ends.
    pub expiry: UnixMillis,
    /// When it was minted.
    pub created: UnixMillis,
}

/// A subtree of the tree of introductions, and how many clients are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// Its name.
    pub chain: ChainId,
    /// The hop count of whoever it begins with.
    pub hop_count: HopCount,
    /// Clients registered now.
    pub clients: u64,
}

/// A subtree that is turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Its name.
    pub chain: ChainId,
    /// Until when.
    pub until: UnixMillis,
    /// The label that it was revoked by, or nothing.
    pub reason: String,
}

/// Another super node that this one has heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerNode {
    /// Where it is; `None` if that does not fit a link.
    pub link: Option<NodeLink>,
    /// When it last answered; `None` if it never did.
    pub reached: Option<UnixMillis>,
    /// Addresses that both serve.
    pub addresses: u64,
}

/// How much the node keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Envelopes.
    pub envelopes: u64,
    /// Bytes of their signatures and bodies.
    pub bytes: u64,
    /// Addresses.
    pub addresses: u64,
    /// Leases on them.
    pub leases: u64,
    /// Registrations of other super nodes.
    pub peers: u64,
}

impl Beside {
    /// Opens it for reading only.
    pub(crate) fn read(path: &Path) -> Result<Self, StoreError> {
        Self::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens it for writing too.
    pub(crate) fn write(path: &Path) -> Result<Self, StoreError> {
        Self::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    fn open(path: &Path, flags: OpenFlags) -> Result<Self, StoreError> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let connection = Connection::open_with_flags(path, flags).map_err(open)?;
        connection.busy_timeout(BUSY).map_err(open)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        migrations::require_current(&connection)?;
        Ok(Self { connection })
    }

    /// Clients by hop count, nearest first; hop counts that nobody has are left out.
    pub(crate) fn clients(&self) -> Result<Vec<(HopCount, u64)>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT hop_count, count(*) FROM registrations WHERE peer = 0 GROUP BY hop_count",
        )?;
        let mut clients = statement
            .query_map([], |row| {
                Ok((HopCount::from_wire(row.get(0)?), from_sql(row.get(1)?)))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        clients.sort_unstable();
        Ok(clients)
    }

    pub(crate) fn kept(&self) -> Result<Kept, StoreError> {
        let one = |sql: &str| -> Result<u64, StoreError> {
            Ok(from_sql(
                self.connection.query_row(sql, [], |row| row.get(0))?,
            ))
        };
        Ok(Kept {
            envelopes: one("SELECT coalesce(sum(envelopes), 0) FROM addresses")?,
            bytes: one("SELECT coalesce(sum(bytes), 0) FROM addresses")?,
            addresses: one("SELECT count(*) FROM addresses")?,
            leases: one("SELECT count(*) FROM leases")?,
            peers: one("SELECT count(*) FROM registrations WHERE peer = 1")?,
        })
    }

    /// Other super nodes, those that answered last first; a hundred at most.
    pub(crate) fn peers(&self) -> Result<Vec<PeerNode>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT node, host, port, reached_s, (SELECT count(*) FROM peer_addresses WHERE peer_row = row)
             FROM peers ORDER BY reached_s DESC, node LIMIT 100",
        )?;
        let rows = statement.query_map([], |row| {
            let key = NodeKey::from_bytes(row.get(0)?);
            let (host, reached): (String, _) = (row.get(1)?, from_sql(row.get(3)?));
            Ok(PeerNode {
                link: NodeLink::new(key, &host, row.get(2)?).ok(),
                reached: (reached > 0).then(|| UnixMillis::from_secs(reached)),
                addresses: from_sql(row.get(4)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What was minted and has not ended, the newest first.
    pub(crate) fn invitations(&self, now: UnixMillis) -> Result<Vec<InvitationRow>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT chain, label, quota, expiry_s, created_s FROM invitations WHERE expiry_s > ?1
             ORDER BY created_s DESC, label",
        )?;
        let rows = statement.query_map([to_sql(now.as_secs())], |row| {
            Ok(InvitationRow {
                chain: chain(row.get(0)?),
                label: row.get(1)?,
                quota: from_sql(row.get(2)?),
                expiry: UnixMillis::from_secs(from_sql(row.get(3)?)),
                created: UnixMillis::from_secs(from_sql(row.get(4)?)),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps an invitation, and forgets those that ended.
    pub(crate) fn add_invitation(
        &mut self,
        invitation: &InvitationRow,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let transaction = self.transaction()?;
        transaction.execute(
            "DELETE FROM invitations WHERE expiry_s <= ?1",
            [to_sql(now.as_secs())],
        )?;
        transaction.execute(
            "INSERT INTO invitations (chain, label, quota, expiry_s, created_s) VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                invitation.chain.as_bytes().as_slice(),
                &invitation.label,
                to_sql(invitation.quota),
                to_sql(invitation.expiry.as_secs()),
                to_sql(invitation.created.as_secs()),
            ),
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// Clients that are registered in a subtree.
    pub(crate) fn clients_in(&self, chain: &ChainId) -> Result<u64, StoreError> {
        let count = self.connection.query_row(
            "SELECT count(DISTINCT registration_row) FROM chains WHERE chain = ?1",
            [chain.as_bytes().as_slice()],
            |row| row.get(0),
        )?;
        Ok(from_sql(count))
    }

    /// The subtrees with the most clients, without the invitations themselves.
    pub(crate) fn largest_subtrees(&self, most: usize) -> Result<Vec<Subtree>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT chain, min(depth), count(*) FROM chains WHERE depth > 1 GROUP BY chain HAVING count(*) > 1
             ORDER BY 3 DESC, 1 LIMIT ?1",
        )?;
        let rows = statement.query_map([to_sql(most as u64)], |row| {
            Ok(Subtree {
                chain: chain(row.get(0)?),
                hop_count: HopCount::from_wire(row.get(1)?),
                clients: from_sql(row.get(2)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The subtrees that are known and whose names begin with `prefix`, whole bytes of it; a few.
    pub(crate) fn subtrees_from(&self, prefix: &[u8]) -> Result<Vec<ChainId>, StoreError> {
        let mut from = [0; 32];
        let mut to = [0xff; 32];
        for ((from, to), byte) in from.iter_mut().zip(&mut to).zip(prefix) {
            (*from, *to) = (*byte, *byte);
        }
        let mut statement = self.connection.prepare(
            "SELECT chain FROM invitations WHERE chain BETWEEN ?1 AND ?2
             UNION SELECT chain FROM chains WHERE chain BETWEEN ?1 AND ?2 LIMIT 300",
        )?;
        let rows = statement.query_map((from.as_slice(), to.as_slice()), |row| {
            Ok(chain(row.get(0)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Turns a subtree away; the daemon finds it within a minute.
    pub(crate) fn revoke(&mut self, revocation: &Revocation) -> Result<(), StoreError> {
        let transaction = self.transaction()?;
        transaction.execute(
            "INSERT INTO revocations (chain, until_s, reason) VALUES (?1, ?2, ?3)
             ON CONFLICT (chain) DO UPDATE SET until_s = excluded.until_s, reason = excluded.reason",
            (
                revocation.chain.as_bytes().as_slice(),
                to_sql(revocation.until.as_secs()),
                &revocation.reason,
            ),
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// What is turned away now.
    pub(crate) fn revocations(&self, now: UnixMillis) -> Result<Vec<Revocation>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT chain, until_s, reason FROM revocations WHERE until_s > ?1 ORDER BY until_s",
        )?;
        let rows = statement.query_map([to_sql(now.as_secs())], |row| {
            Ok(Revocation {
                chain: chain(row.get(0)?),
                until: UnixMillis::from_secs(from_sql(row.get(1)?)),
                reason: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Clients that lost their leases and have not come back, by the reason that they will be told.
    pub(crate) fn endings(&self, now: UnixMillis) -> Result<Vec<(Reason, u64)>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT reason, count(*) FROM endings WHERE until_s > ?1 GROUP BY reason ORDER BY reason",
        )?;
        let rows = statement.query_map([to_sql(now.as_secs())], |row| {
            let reason = Reason::try_from(row.get::<_, i32>(0)?).unwrap_or_default();
            Ok((reason, from_sql(row.get(1)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How busy the daemon was within the last minute, if one ever ran.
    pub(crate) fn load(&self) -> Result<Option<Load>, StoreError> {
        let stored: Option<Vec<u8>> = self
            .connection
            .query_row("SELECT value FROM meta WHERE name = ?1", [LOAD], |row| {
                row.get(0)
            })
            .optional()?;
        stored
            .map(|stored| Load::decode(stored.as_slice()))
            .transpose()
            .map_err(|_| StoreError::Corrupt(LOAD))
    }

    fn transaction(&mut self) -> Result<rusqlite::Transaction<'_>, StoreError> {
        Ok(self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?)
    }
}

fn chain(bytes: [u8; 32]) -> ChainId {
    ChainId::from_bytes(bytes)
}
