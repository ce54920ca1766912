//! Rotation notices that this phone has seen and repeats.

use bytes::Bytes;
use rusqlite::params;

use crate::wire::{content::RotationNotice, time::UnixMillis};

use super::{AccessRow, StoreError, Tx, from_sql, proto, to_sql};

/// A notice that moved the channel away from a set of keys.
pub struct StoredRotation {
    /// The keys that it retired.
    pub access: AccessRow,
    /// Its number.
    pub number: u32,
    /// The hash that breaks ties.
    pub hash: [u8; 32],
    /// When it was first seen.
    pub first_seen: UnixMillis,
    /// When this phone last repeated it.
    pub repeated: UnixMillis,
    /// As signed.
    pub notice: RotationNotice,
}

impl Tx<'_> {
    /// Keeps a notice; it takes the place of an earlier one for the same keys.
    pub fn put_rotation(&self, rotation: &StoredRotation) -> Result<(), StoreError> {
        let record = proto::Rotation {
            notice: Some(rotation.notice.clone()),
            hash: Bytes::copy_from_slice(&rotation.hash),
        };
        self.transaction.execute(
            "INSERT INTO rotations (access, number, first_ms, repeated_ms, sealed)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (access) DO UPDATE SET
                 number = excluded.number, first_ms = excluded.first_ms,
                 repeated_ms = excluded.repeated_ms, sealed = excluded.sealed",
            params![
                rotation.access.0,
                rotation.number,
                to_sql(rotation.first_seen.as_millis()),
                to_sql(rotation.repeated.as_millis()),
                self.encode("rotations", &record)
            ],
        )?;
        Ok(())
    }

    /// All notices kept.
    pub fn rotations(&self) -> Result<Vec<StoredRotation>, StoreError> {
        let corrupt = || StoreError::Corrupt("rotations");
        let mut statement = self.transaction.prepare_cached(
            "SELECT access, number, first_ms, repeated_ms, sealed FROM rotations ORDER BY access",
        )?;
        let mut rows = statement.query([])?;
        let mut rotations = Vec::new();
        while let Some(row) = rows.next()? {
            let record: proto::Rotation = self.decode("rotations", &row.get::<_, Vec<u8>>(4)?)?;
            rotations.push(StoredRotation {
                access: AccessRow(row.get(0)?),
                number: row.get(1)?,
                hash: record.hash.as_ref().try_into().map_err(|_| corrupt())?,
                first_seen: UnixMillis::from_millis(from_sql(row.get(2)?)),
                repeated: UnixMillis::from_millis(from_sql(row.get(3)?)),
                notice: record.notice.ok_or_else(corrupt)?,
            });
        }
        Ok(rotations)
    }
}
