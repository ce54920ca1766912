//! Tickets for polls by datagram. Each belongs to the place up to which its node was read.

use rusqlite::{OptionalExtension as _, params};

use crate::channel::{SealedTicket, Ticket, TicketSecret};
use crate::wire::{
    limits::{MAX_TICKETS, TICKET_LEN, TICKET_LIFETIME},
    time::UnixMillis,
};

use super::{NodeRow, StoreError, Tx, to_sql};

/// The row of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TicketRow(i64);

/// A ticket that may be sent.
pub struct StoredTicket {
    /// Its row.
    pub row: TicketRow,
    /// What it is.
    pub ticket: Ticket,
}

impl Tx<'_> {
    /// The latest ticket of a node that may still be sent at `now`, by the own clock.
    pub fn ticket(
        &self,
        node: NodeRow,
        now: UnixMillis,
    ) -> Result<Option<StoredTicket>, StoreError> {
        // One that ends later than any may was given before the clock was set back.
        let latest = now.after(TICKET_LIFETIME);
        let found = self
            .transaction
            .prepare_cached(
                "SELECT id, sealed FROM tickets
                 WHERE node = ?1 AND used < ?2 AND expires_ms > ?3 AND expires_ms <= ?4 ORDER BY id DESC LIMIT 1",
            )?
            .query_row(
                params![
                    node.0,
                    MOST_USES,
                    to_sql(now.as_millis()),
                    to_sql(latest.as_millis())
                ],
                |row| Ok((TicketRow(row.get(0)?), row.get::<_, Vec<u8>>(1)?)),
            )
            .optional()?;
        let Some((row, sealed)) = found else {
            return Ok(None);
        };
        let opened = self.cipher.open("tickets", &sealed)?;
        let corrupt = || StoreError::Corrupt("tickets");
        let (sealed, secret) = opened
            .split_first_chunk::<TICKET_LEN>()
            .ok_or_else(corrupt)?;
        let ticket = Ticket {
            sealed: SealedTicket::from_bytes(*sealed),
            secret: TicketSecret::try_from(secret).map_err(|_| corrupt())?,
        };
        Ok(Some(StoredTicket { row, ticket }))
    }

    /// Adds a ticket that was given at `now`; of too many the oldest go.
    pub fn put_ticket(
        &self,
        node: NodeRow,
        ticket: &Ticket,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let mut text = zeroize::Zeroizing::new(Vec::with_capacity(TICKET_LEN + TicketSecret::LEN));
        text.extend_from_slice(ticket.sealed.as_bytes());
        text.extend_from_slice(ticket.secret.expose());
        let expires = now.after(TICKET_LIFETIME);
        self.transaction
            .prepare_cached("INSERT INTO tickets (node, expires_ms, sealed) VALUES (?1, ?2, ?3)")?
            .execute(params![
                node.0,
                to_sql(expires.as_millis()),
                self.cipher.seal("tickets", &text)
            ])?;
        self.transaction
            .prepare_cached(
                "DELETE FROM tickets WHERE node = ?1 AND id NOT IN
                     (SELECT id FROM tickets WHERE node = ?1 ORDER BY id DESC LIMIT ?2)",
            )?
            .execute(params![
                node.0,
                i64::try_from(MAX_TICKETS).unwrap_or(i64::MAX)
            ])?;
        Ok(())
    }

    /// Notes, before it is sent, that a ticket is sent once more; false if it was sent as often as it may be.
    pub fn use_ticket(&self, ticket: TicketRow) -> Result<bool, StoreError> {
        let used = self
            .transaction
            .prepare_cached("UPDATE tickets SET used = used + 1 WHERE id = ?1 AND used < ?2")?
            .execute(params![ticket.0, MOST_USES])?;
        Ok(used > 0)
    }

    /// Forgets a ticket that was answered.
    pub fn drop_ticket(&self, ticket: TicketRow) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("DELETE FROM tickets WHERE id = ?1")?
            .execute([ticket.0])?;
        Ok(())
    }

    /// Forgets all tickets of a node: they are of a place that was left.
    pub fn drop_tickets(&self, node: NodeRow) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("DELETE FROM tickets WHERE node = ?1")?
            .execute([node.0])?;
        Ok(())
    }
}

/// The second time because no answer came.
const MOST_USES: u32 = 2;
