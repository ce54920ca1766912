//! When the DHT was searched for super nodes.

use rusqlite::{OptionalExtension as _, params};

use crate::wire::time::UnixMillis;

use super::{StoreError, Tx};

/// Times of searches in the DHT, which outlive the process: phones end it after each poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredSearches {
    /// Since when no node was reached.
    pub lost: Option<UnixMillis>,
    /// The last search.
    pub last: Option<UnixMillis>,
    /// How many there were since a node was reached.
    pub count: u32,
}

impl Tx<'_> {
    /// The times of searches.
    pub fn searches(&self) -> Result<StoredSearches, StoreError> {
        let stored = self
            .transaction
            .prepare_cached("SELECT value FROM meta WHERE key = 'searches'")?
            .query_row([], |row| row.get::<_, Vec<u8>>(0))
            .optional()?;
        let Some(stored) = stored else {
            return Ok(StoredSearches::default());
        };
        let ([lost, last, count], []) = stored.as_chunks::<8>() else {
            return Err(StoreError::Corrupt("meta"));
        };
        let time = |bytes: &[u8; 8]| {
            let millis = u64::from_be_bytes(*bytes);
            (millis != 0).then_some(UnixMillis::from_millis(millis))
        };
        Ok(StoredSearches {
            lost: time(lost),
            last: time(last),
            count: u32::try_from(u64::from_be_bytes(*count)).unwrap_or(u32::MAX),
        })
    }

    /// Remembers the times of searches.
    pub fn set_searches(&self, searches: &StoredSearches) -> Result<(), StoreError> {
        let millis = |time: Option<UnixMillis>| time.map_or(0, UnixMillis::as_millis);
        let stored = [
            millis(searches.lost),
            millis(searches.last),
            u64::from(searches.count),
        ]
        .map(u64::to_be_bytes)
        .concat();
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('searches', ?1)")?
            .execute(params![stored])?;
        Ok(())
    }
}
