//! Everything that is read while others write, within [`super::Store::read`].

use ailurus::{
    channel::{Address, Envelope, EnvelopeId, Kind},
    crypto::Pseudonym,
    wire::{
        limits::{LIFETIME, MAX_INLINE},
        time::UnixMillis,
    },
};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, types::ValueRef};

use super::{StoreError, from_sql, to_sql, writer::TIME};

/// A reading connection.
pub(crate) struct Reader {
    pub(super) connection: Connection,
}

/// A client that holds leases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration {
    pub(crate) row: i64,
    pub(crate) id: [u8; 16],
    pub(crate) version: u64,
    /// When the client was here last as far as it was noted, Unix seconds.
    pub(crate) seen_s: u64,
    /// It is that of another super node.
    pub(crate) peer: bool,
}

/// A lease that has not ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseRow {
    pub(crate) address_row: i64,
    pub(crate) address: Address,
    /// The registration's version from which it stands.
    pub(crate) version: u64,
}

/// An envelope, read.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) time: UnixMillis,
    pub(crate) kind: Kind,
    pub(crate) sealed: Sealed,
}

/// Signature and body, or what stands for them where they are too large to ride along.
#[derive(Clone, Debug)]
pub(crate) enum Sealed {
    Inline(Bytes),
    Apart { id: EnvelopeId, body_len: u32 },
}

impl Row {
    /// An envelope as it rides in a batch.
    pub(crate) fn of(envelope: &Envelope) -> Self {
        let header = envelope.header();
        let sealed = if envelope.sealed().len() > MAX_INLINE {
            Sealed::Apart {
                id: envelope.id(),
                body_len: header.size,
            }
        } else {
            Sealed::Inline(envelope.sealed().clone())
        };
        Self {
            time: header.time,
            kind: header.kind,
            sealed,
        }
    }

    /// About how many bytes it takes in a batch.
    pub(crate) fn wire_len(&self) -> usize {
        let body = match &self.sealed {
            Sealed::Inline(sealed) => sealed.len(),
            Sealed::Apart { .. } => 40,
        };
        body.saturating_add(16)
    }
}

impl Reader {
    pub(super) fn new(connection: Connection) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Self { connection }
    }

    /// Runs `read` between BEGIN and COMMIT, so that the database is locked and its pages are looked up once for all of it. A
    /// reader that failed is of no further use.
    pub(super) fn transaction<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        let result = read(self)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(result)
    }

    /// The time that [`super::Writer::keep_time`] kept.
    pub(super) fn kept_time(&self) -> Result<Option<UnixMillis>, StoreError> {
        let kept: Option<[u8; 8]> = self
            .connection
            .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
            .query_row([TIME], |row| row.get(0))
            .optional()?;
        Ok(kept.map(|kept| UnixMillis::from_millis(u64::from_be_bytes(kept))))
    }

    /// The registration of a pseudonym.
    pub(crate) fn registration(
        &self,
        pseudonym: &Pseudonym,
    ) -> Result<Option<Registration>, StoreError> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT row, id, version, seen_s, peer FROM registrations WHERE pseudonym = ?1",
            )?
            .query_row([pseudonym.as_bytes().as_slice()], |row| {
                Ok(Registration {
                    row: row.get(0)?,
                    id: row.get(1)?,
                    version: from_sql(row.get(2)?),
                    seen_s: from_sql(row.get(3)?),
                    peer: row.get(4)?,
                })
            })
            .optional()?;
        Ok(found)
    }

    /// The registration in a row, and whose it is.
    pub(crate) fn registration_in(
        &self,
        row: i64,
    ) -> Result<Option<(Pseudonym, Registration)>, StoreError> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT row, id, version, seen_s, peer, pseudonym FROM registrations WHERE row = ?1",
            )?
            .query_row([row], |row| {
                let registration = Registration {
                    row: row.get(0)?,
                    id: row.get(1)?,
                    version: from_sql(row.get(2)?),
                    seen_s: from_sql(row.get(3)?),
                    peer: row.get(4)?,
                };
                Ok((Pseudonym::from_bytes(row.get(5)?), registration))
            })
            .optional()?;
        Ok(found)
    }

    /// The rows of the addresses of its leases that have not ended.
    pub(crate) fn leased_rows(
        &self,
        registration: i64,
        now: UnixMillis,
    ) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT address_row FROM leases WHERE registration_row = ?1 AND end_s > ?2",
        )?;
        let rows = statement
            .query_map((registration, to_sql(now.as_secs())), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// The last position on an address; zero if there is none.
    pub(crate) fn latest(&self, address_row: i64) -> Result<u64, StoreError> {
        let latest: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(position) FROM envelopes WHERE address_row = ?1")?
            .query_row([address_row], |row| row.get(0))?;
        Ok(latest.map_or(0, from_sql))
    }

    /// Its leases that have not ended. Read after the registration, so that none of its version is missing.
    pub(crate) fn leases(
        &self,
        registration: &Registration,
        now: UnixMillis,
    ) -> Result<Vec<LeaseRow>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT l.address_row, a.address, l.version FROM leases l JOIN addresses a ON a.row = l.address_row
             WHERE l.registration_row = ?1 AND l.end_s > ?2",
        )?;
        let leases = statement
            .query_map((registration.row, to_sql(now.as_secs())), |row| {
                Ok(LeaseRow {
                    address_row: row.get(0)?,
                    address: Address::from_bytes(row.get(1)?),
                    version: from_sql(row.get(2)?),
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(leases)
    }

    /// Positions above `after` and up to `to` on an address, at most `limit`, in order.
    pub(crate) fn positions(
        &self,
        address_row: i64,
        after: u64,
        to: u64,
        limit: usize,
        mut found: impl FnMut(u64),
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(POSITIONS)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query((address_row, to_sql(after), to_sql(to), limit))?;
        while let Some(row) = rows.next()? {
            found(from_sql(row.get(0)?));
        }
        Ok(())
    }

    /// The envelope at a position, unless its time is over, or it came from a super node while only what came from clients
    /// is asked for.
    pub(crate) fn envelope(
        &self,
        position: u64,
        clients_only: bool,
        now: UnixMillis,
    ) -> Result<Option<Row>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT time_ms, kind, length(sealed), CASE WHEN length(sealed) > ?2 THEN id ELSE sealed END
             FROM envelopes WHERE position = ?1 AND (peer = 0 OR NOT ?3)",
        )?;
        let mut rows = statement.query((to_sql(position), MAX_INLINE as i64, clients_only))?;
        match rows.next()? {
            Some(row) => parse(row, now, MAX_INLINE as u64),
            None => Ok(None),
        }
    }

    /// The envelope with an id on an address on which the pseudonym has a lease; whole, whatever its size.
    pub(crate) fn fetch(
        &self,
        address: &Address,
        id: &EnvelopeId,
        now: UnixMillis,
    ) -> Result<Option<Row>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT time_ms, kind, length(sealed), sealed FROM envelopes
             WHERE id = ?1 AND address_row = (SELECT row FROM addresses WHERE address = ?2)",
        )?;
        let mut rows =
            statement.query((id.as_bytes().as_slice(), address.as_bytes().as_slice()))?;
        match rows.next()? {
            Some(row) => parse(row, now, u64::MAX),
            None => Ok(None),
        }
    }

    /// Whether the pseudonym has a lease on the address that has not ended.
    pub(crate) fn has_lease(
        &self,
        pseudonym: &Pseudonym,
        address: &Address,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM leases WHERE end_s > ?3
                 AND registration_row = (SELECT row FROM registrations WHERE pseudonym = ?1)
                 AND address_row = (SELECT row FROM addresses WHERE address = ?2)",
            )?
            .exists((
                pseudonym.as_bytes().as_slice(),
                address.as_bytes().as_slice(),
                to_sql(now.as_secs()),
            ))?;
        Ok(found)
    }
}

fn parse(row: &SqlRow<'_>, now: UnixMillis, inline: u64) -> Result<Option<Row>, StoreError> {
    let time = UnixMillis::from_millis(from_sql(row.get(0)?));
    if time.after(LIFETIME) <= now {
        return Ok(None);
    }
    let kind = Kind::try_from(row.get::<_, u32>(1)?)
        .map_err(|_| StoreError::Corrupt("kind of envelope"))?;
    let sealed_len = from_sql(row.get(2)?);
    let ValueRef::Blob(bytes) = row.get_ref(3)? else {
        return Err(StoreError::Corrupt("body of an envelope"));
    };
    let sealed = if sealed_len <= inline {
        Sealed::Inline(Bytes::copy_from_slice(bytes))
    } else {
        let id =
            EnvelopeId::try_from(bytes).map_err(|_| StoreError::Corrupt("id of an envelope"))?;
        let body_len = u32::try_from(sealed_len.saturating_sub(SIGNATURE)).unwrap_or(u32::MAX);
        Sealed::Apart { id, body_len }
    };
    Ok(Some(Row { time, kind, sealed }))
}

const POSITIONS: &str =
    "SELECT position FROM envelopes WHERE address_row = ?1 AND position > ?2 AND position <= ?3
    ORDER BY position LIMIT ?4";
/// Bytes of a signature, which stands before the body.
const SIGNATURE: u64 = 64;
/// Statements kept prepared: all there are.
const STATEMENTS: usize = 40;

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::store::Store;

    #[test]
    fn a_statement_with_a_limit_is_prepared_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("node.db")).expect("a database");
        let prepared_again = store.read(|reader| {
            for limit in 1..4 {
                reader.positions(1, 0, 9, limit, |_| ())?;
            }
            let statement = reader.connection.prepare_cached(POSITIONS)?;
            Ok(statement.get_status(StatementStatus::RePrepare))
        });
        assert_eq!(prepared_again.expect("readable"), 0);
    }
}
