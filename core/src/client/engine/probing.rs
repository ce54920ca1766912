//! Polls by datagram: whether one is enough, with which ticket, and what its answer changes.

use std::time::Duration;

use crate::channel::{NodeLink, Standing, Ticket, probe::Asked};
use crate::crypto::{NodeKey, entropy};
use crate::store::{NodeRow, StoredNode, TicketRow, Tx};
use crate::sync::session::Work;
use crate::wire::{limits::MAX_TICKETS, node, probe::Datagram, time::UnixMillis};

use super::{Engine, Error, node_by_key, nodes::choose};

/// A question to the polled node, under way.
pub struct Asking {
    /// Whom to ask.
    pub link: NodeLink,
    /// What to send.
    pub question: Datagram,
    node: NodeRow,
    ticket: TicketRow,
    /// One for each time it was sent: the answer may be to any.
    asked: Vec<Asked>,
}

impl Engine {
    /// A question to the polled node, if a datagram may be enough: nothing is due for which it takes a connection, the
    /// node was synced with lately and may be believed, and there is a ticket. The ticket counts as sent from here on.
    pub fn ask(&mut self, now: UnixMillis) -> Result<Option<Asking>, Error> {
        let plan = self.plan(now)?;
        let Some(node) = plan.order.into_iter().next().filter(|_| plan.healthy > 0) else {
            return Ok(None);
        };
        let key = *node.link.key();
        if !was_synced(&node, now) || self.work(&key, now)? != Work::default() {
            return Ok(None);
        }
        let errands = self.errands(&key, &[], false, now)?;
        if !errands.nodes.is_empty() || errands.audit.is_some() {
            return Ok(None);
        }
        let entropy = &mut *self.entropy;
        self.store.write(|tx| {
            let mut trusted = false;
            choose(tx, now, |chooser| trusted = chooser.may_ask(&key, now))?;
            if !trusted {
                return Ok(None);
            }
            let Some(found) = tx.ticket(node.row, now)? else {
                return Ok(None);
            };
            tx.use_ticket(found.row)?;
            let (question, asked) = found.ticket.ask(entropy);
            Ok(Some(Asking {
                link: node.link,
                question,
                node: node.row,
                ticket: found.row,
                asked: vec![asked],
            }))
        })
    }

    /// No answer came: the same ticket once more, under another nonce. False if it was sent twice already.
    pub fn ask_again(&mut self, asking: &mut Asking, now: UnixMillis) -> Result<bool, Error> {
        let entropy = &mut *self.entropy;
        self.store.write(|tx| {
            let found = tx.ticket(asking.node, now)?;
            let Some(found) = found.filter(|found| found.row == asking.ticket) else {
                return Ok(false);
            };
            tx.use_ticket(found.row)?;
            let (question, asked) = found.ticket.ask(entropy);
            asking.question = question;
            asking.asked.push(asked);
            Ok(true)
        })
    }

    /// Takes in an answer: its ticket takes the place of the one that was sent.
    pub fn answered(
        &mut self,
        asking: &Asking,
        (standing, next): &(Standing, Ticket),
        now: UnixMillis,
    ) -> Result<(), Error> {
        let random = u64::from_be_bytes(entropy::array(&mut *self.entropy));
        let key = asking.link.key();
        self.store.write(|tx| {
            tx.drop_ticket(asking.ticket)?;
            // The user may have removed the node meanwhile.
            let Some(node) = known(tx, key)? else {
                return Ok(());
            };
            tx.put_ticket(node.row, next, now)?;
            choose(tx, now, |chooser| {
                chooser.answered(key, None, now, random);
                chooser.said(key, *standing);
            })
        })
    }

    /// No answer came at all. That says little of the node: it may be the network, that does not let datagrams through.
    pub fn unanswered(&mut self, asking: &Asking, now: UnixMillis) -> Result<(), Error> {
        let key = asking.link.key();
        self.store
            .write(|tx| choose(tx, now, |chooser| chooser.silent(key, now)))
    }

    /// Keeps the tickets that a sync ended with, when all that it brought is stored, instead of earlier ones.
    pub fn keep_tickets(
        &mut self,
        node: &NodeKey,
        tickets: &[node::Ticket],
        now: UnixMillis,
    ) -> Result<(), Error> {
        if tickets.is_empty() {
            return Ok(());
        }
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            tx.drop_tickets(stored.row)?;
            let parsed = tickets.iter().filter_map(Ticket::from_wire);
            for ticket in parsed.take(MAX_TICKETS) {
                tx.put_ticket(stored.row, &ticket, now)?;
            }
            Ok(())
        })
    }
}

impl Asking {
    /// Opens the answer; `None` if it is to another question.
    pub fn open(&self, datagram: &Datagram) -> Option<(Standing, Ticket)> {
        self.asked.iter().find_map(|asked| asked.open(datagram))
    }
}

/// Something new came from a node, so that it said so with reason.
pub(super) fn proved(tx: &Tx<'_>, node: &StoredNode, now: UnixMillis) -> Result<(), Error> {
    if node.state.as_ref().is_none_or(|state| state.unproven == 0) {
        return Ok(());
    }
    choose(tx, now, |chooser| chooser.proved(node.link.key()))
}

fn known(tx: &Tx<'_>, node: &NodeKey) -> Result<Option<StoredNode>, Error> {
    match node_by_key(tx, node) {
        Ok(stored) => Ok(Some(stored)),
        Err(Error::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the last full sync was not too long ago; by a clock that was set back, nobody knows.
fn was_synced(node: &StoredNode, now: UnixMillis) -> bool {
    node.clock
        .is_some_and(|(_, seen)| seen <= now && now.since(seen) < FULL_SYNC)
}

/// After this time a poll is a full one, whatever the node says by datagram.
const FULL_SYNC: Duration = Duration::from_secs(6 * 3_600);
