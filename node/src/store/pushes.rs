//! Where clients are woken by push.

use ailurus::{
    channel::Address,
    crypto::Pseudonym,
    wire::{
        node::{PushState, PushTrouble},
        time::UnixMillis,
    },
};
use rusqlite::{OptionalExtension, Row as SqlRow};

use super::{Reader, StoreError, Writer, from_sql, to_sql};
use crate::push::{Challenge, Target};

/// Where a client is to be woken, and whether that is known to be its own.
#[derive(Clone, Debug)]
pub(crate) struct PushRow {
    pub(crate) stage: PushStage,
    /// When it was challenged last, or dropped.
    pub(crate) since: UnixMillis,
    pub(crate) challenge: Challenge,
    pub(crate) target: Target,
}

/// Whether a place to push to is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushStage {
    /// The client has still to show that a challenge reaches it there.
    Challenged,
    Confirmed,
    /// Not any more, and why.
    Dropped(PushTrouble),
}

impl Writer {
    /// Sets where a client is woken, to be challenged first, and draws the challenge; false if it has no registration.
    pub(crate) fn set_push(
        &mut self,
        pseudonym: &Pseudonym,
        target: &Target,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let Some(registered) = self.registered(pseudonym)?.filter(|found| !found.peer) else {
            return Ok(false);
        };
        let columns = target.to_columns();
        self.connection
            .prepare_cached(
                "INSERT INTO pushes (registration_row, state, since_s, challenge, platform, target, p256dh, auth)
                 VALUES (?1, 0, ?2, randomblob(16), ?3, ?4, ?5, ?6)
                 ON CONFLICT (registration_row) DO UPDATE SET state = 0, trouble = 0, since_s = excluded.since_s,
                     challenge = excluded.challenge, platform = excluded.platform, target = excluded.target,
                     p256dh = excluded.p256dh, auth = excluded.auth",
            )?
            .execute((
                registered.row,
                to_sql(now.as_secs()),
                columns.platform,
                columns.target,
                columns.keys.map(|(p256dh, _)| p256dh.as_slice()),
                columns.keys.map(|(_, auth)| auth.as_slice()),
            ))?;
        Ok(true)
    }

    /// A client has shown that the challenge reached it; false if it was another one, or it need not show it.
    pub(crate) fn confirm_push(
        &mut self,
        pseudonym: &Pseudonym,
        challenge: &Challenge,
    ) -> Result<bool, StoreError> {
        let confirmed = self
            .connection
            .prepare_cached(
                "UPDATE pushes SET state = 1 WHERE state = 0 AND challenge = ?2
                 AND registration_row = (SELECT row FROM registrations WHERE pseudonym = ?1)",
            )?
            .execute((
                pseudonym.as_bytes().as_slice(),
                challenge.as_bytes().as_slice(),
            ))?;
        Ok(confirmed > 0)
    }

    /// A client is not to be woken any more.
    pub(crate) fn withdraw_push(&mut self, pseudonym: &Pseudonym) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "DELETE FROM pushes WHERE registration_row = (SELECT row FROM registrations WHERE pseudonym = ?1)",
            )?
            .execute([pseudonym.as_bytes().as_slice()])?;
        Ok(())
    }

    /// A place to push to is of no use any more; nothing happens if it was replaced meanwhile.
    pub(crate) fn drop_push_at(
        &mut self,
        pseudonym: &Pseudonym,
        challenge: &Challenge,
        trouble: PushTrouble,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE pushes SET state = 2, trouble = ?3, since_s = ?4 WHERE challenge = ?2
                 AND registration_row = (SELECT row FROM registrations WHERE pseudonym = ?1)",
            )?
            .execute((
                pseudonym.as_bytes().as_slice(),
                challenge.as_bytes().as_slice(),
                i32::from(trouble),
                to_sql(now.as_secs()),
            ))?;
        Ok(())
    }

    /// The registration ends.
    pub(super) fn drop_push(&mut self, row: i64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("DELETE FROM pushes WHERE registration_row = ?1")?
            .execute([row])?;
        Ok(())
    }
}

impl Reader {
    /// Where a client is woken.
    pub(crate) fn push(&self, pseudonym: &Pseudonym) -> Result<Option<PushRow>, StoreError> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT state, trouble, since_s, challenge, platform, target, p256dh, auth FROM pushes
                 WHERE registration_row = (SELECT row FROM registrations WHERE pseudonym = ?1)",
            )?
            .query_row([pseudonym.as_bytes().as_slice()], |row| Ok(parse(row)))
            .optional()?;
        found.transpose()
    }

    /// How far a registration has come with push.
    pub(crate) fn push_state(&self, registration: i64) -> Result<PushState, StoreError> {
        let found: Option<i64> = self
            .connection
            .prepare_cached("SELECT state FROM pushes WHERE registration_row = ?1")?
            .query_row([registration], |row| row.get(0))
            .optional()?;
        Ok(match found {
            None => PushState::None,
            Some(0) => PushState::Challenged,
            Some(1) => PushState::Confirmed,
            Some(_) => PushState::Dropped,
        })
    }

    /// Clients with a lease on an address that are woken by push, and at which host.
    pub(crate) fn pushed_at(
        &self,
        address: &Address,
        now: UnixMillis,
        mut found: impl FnMut(Pseudonym, &PushRow),
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT p.state, p.trouble, p.since_s, p.challenge, p.platform, p.target, p.p256dh, p.auth, r.pseudonym
             FROM leases l JOIN pushes p ON p.registration_row = l.registration_row AND p.state = 1
             JOIN registrations r ON r.row = l.registration_row
             WHERE l.address_row = (SELECT row FROM addresses WHERE address = ?1) AND l.peer = 0 AND l.end_s > ?2",
        )?;
        let mut rows = statement.query((address.as_bytes().as_slice(), to_sql(now.as_secs())))?;
        while let Some(row) = rows.next()? {
            found(Pseudonym::from_bytes(row.get(8)?), &parse(row)?);
        }
        Ok(())
    }

    /// Clients that were challenged since then, the latest first, at most `limit`.
    pub(crate) fn challenged_since(
        &self,
        since: UnixMillis,
        limit: usize,
    ) -> Result<Vec<(Pseudonym, PushRow)>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT p.state, p.trouble, p.since_s, p.challenge, p.platform, p.target, p.p256dh, p.auth, r.pseudonym
             FROM pushes p JOIN registrations r ON r.row = p.registration_row
             WHERE p.state = 0 AND p.since_s >= ?1 ORDER BY p.since_s DESC LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query((to_sql(since.as_secs()), limit))?;
        let mut challenged = Vec::new();
        while let Some(row) = rows.next()? {
            challenged.push((Pseudonym::from_bytes(row.get(8)?), parse(row)?));
        }
        Ok(challenged)
    }

    /// Clients that are woken by push.
    pub(crate) fn count_pushes(&self) -> Result<u64, StoreError> {
        let count: i64 = self
            .connection
            .prepare_cached("SELECT count(*) FROM pushes WHERE state = 1")?
            .query_row([], |row| row.get(0))?;
        Ok(from_sql(count))
    }
}

fn parse(row: &SqlRow<'_>) -> Result<PushRow, StoreError> {
    let stage = match row.get::<_, i64>(0)? {
        0 => PushStage::Challenged,
        1 => PushStage::Confirmed,
        _ => PushStage::Dropped(
            PushTrouble::try_from(row.get::<_, i32>(1)?).unwrap_or(PushTrouble::None),
        ),
    };
    let keys = match (row.get(6)?, row.get(7)?) {
        (Some(p256dh), Some(auth)) => Some((p256dh, auth)),
        _ => None,
    };
    Ok(PushRow {
        stage,
        since: UnixMillis::from_secs(from_sql(row.get(2)?)),
        challenge: Challenge::from_bytes(row.get(3)?),
        target: Target::from_columns(row.get(4)?, row.get(5)?, keys)
            .ok_or(StoreError::Corrupt("place to push to"))?,
    })
}
