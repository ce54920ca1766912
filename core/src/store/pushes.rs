//! Where nodes reach this phone by push, and what they said of it.

use rusqlite::{OptionalExtension as _, params};

use crate::wire::time::UnixMillis;

pub use super::proto::Push;

use super::{NodeRow, StoreError, Tx, from_sql, to_sql};

/// How far a node and this phone have come with push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PushStage {
    /// Nothing was set.
    #[default]
    Nothing,
    /// The node is to be told.
    ToTell,
    /// It was told, and its challenge did not come yet or was not brought back.
    Told,
    /// The node wakes this phone.
    Confirmed,
    /// The node is to be told that it is over.
    ToWithdraw,
    /// The node pushes there no more.
    Dropped,
}

/// Push by one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredPush {
    /// How far it has come.
    pub stage: PushStage,
    /// When the node was told last, by the own clock.
    pub told: Option<UnixMillis>,
    /// Where to, and what the node said.
    pub push: Push,
}

impl Tx<'_> {
    /// Push by a node.
    pub fn push(&self, node: NodeRow) -> Result<StoredPush, StoreError> {
        let found = self
            .transaction
            .prepare_cached("SELECT state, told_ms, sealed FROM pushes WHERE node = ?1")?
            .query_row([node.0], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, Option<i64>>(1)?,
                    row.get::<_, Vec<u8>>(2)?,
                ))
            })
            .optional()?;
        let Some((stage, told, sealed)) = found else {
            return Ok(StoredPush::default());
        };
        let stage = STAGES
            .iter()
            .find(|(number, _)| *number == stage)
            .ok_or(StoreError::Corrupt("pushes"))?;
        Ok(StoredPush {
            stage: stage.1,
            told: told.map(|told| UnixMillis::from_millis(from_sql(told))),
            push: self.decode("pushes", &sealed)?,
        })
    }

    /// Remembers push by a node.
    pub fn put_push(&self, node: NodeRow, stored: &StoredPush) -> Result<(), StoreError> {
        let stage = STAGES.iter().find(|(_, stage)| *stage == stored.stage);
        self.transaction
            .prepare_cached(
                "INSERT INTO pushes (node, state, told_ms, sealed) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (node) DO UPDATE SET
                     state = excluded.state, told_ms = excluded.told_ms, sealed = excluded.sealed",
            )?
            .execute(params![
                node.0,
                stage.map_or(0, |(number, _)| *number),
                stored.told.map(|told| to_sql(told.as_millis())),
                self.encode("pushes", &stored.push)
            ])?;
        Ok(())
    }

    /// Forgets push by all nodes.
    pub fn forget_pushes(&self) -> Result<(), StoreError> {
        self.transaction.execute("DELETE FROM pushes", [])?;
        Ok(())
    }

    /// The node has lost what it was told: it is told again.
    pub fn forget_told_push(&self, node: NodeRow) -> Result<(), StoreError> {
        self.transaction.execute(
            "UPDATE pushes SET state = CASE state WHEN 4 THEN 0 ELSE 1 END WHERE node = ?1 AND state IN (2, 3, 4)",
            [node.0],
        )?;
        Ok(())
    }
}

/// As they stand in the database.
const STAGES: [(i64, PushStage); 6] = [
    (0, PushStage::Nothing),
    (1, PushStage::ToTell),
    (2, PushStage::Told),
    (3, PushStage::Confirmed),
    (4, PushStage::ToWithdraw),
    (5, PushStage::Dropped),
];
