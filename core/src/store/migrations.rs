//! Numbered migrations; `PRAGMA user_version` tells how many have run.

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Brings the schema up to date; `new_key` is the wrapped data key of a new profile.
pub(super) fn run(connection: &mut Connection, new_key: Option<&[u8]>) -> Result<(), StoreError> {
    let latest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version(connection)? == latest && new_key.is_none() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > latest {
        return Err(StoreError::Newer { found });
    }
    if new_key.is_some() && found != 0 {
        return Err(StoreError::Exists);
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", latest)?;
    if let Some(key) = new_key {
        transaction.execute(
            "INSERT INTO meta (key, value) VALUES ('data_key', ?1)",
            [key],
        )?;
    }
    transaction.commit()?;
    Ok(())
}

const MIGRATIONS: [&str; 4] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
];

fn version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}
