//! Numbered migrations; `PRAGMA user_version` says how many a file has been through.

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Migration n leads from version n to n + 1. Never change one that was released: add another, and a stored file of the
/// version before to the tests.
const MIGRATIONS: [&str; 6] = [
    include_str!("0001.sql"),
    include_str!("0002.sql"),
    include_str!("0003.sql"),
    include_str!("0004.sql"),
    include_str!("0005.sql"),
    include_str!("0006.sql"),
];

/// Brings a database to the current version, in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let done = usize::try_from(found)
        .ok()
        .filter(|done| *done <= MIGRATIONS.len())
        .ok_or(StoreError::Newer(found))?;
    for (version, migration) in (1_i64..).zip(MIGRATIONS).skip(done) {
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Checks that a database is of the current version, for whoever must not change it.
pub(super) fn require_current(connection: &Connection) -> Result<(), StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match usize::try_from(found) {
        Ok(done) if done == MIGRATIONS.len() => Ok(()),
        Ok(done) if done < MIGRATIONS.len() => Err(StoreError::Older(found)),
        _ => Err(StoreError::Newer(found)),
    }
}
