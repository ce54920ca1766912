//! Puts checked requests into the database, many in one transaction, and says what to answer.

use ailurus::{
    channel::{Address, Envelope},
    crypto::Pseudonym,
    wire::{
        node::{Published, Reason, Refused, Released, Response, response::Kind},
        time::UnixMillis,
    },
};

use super::{
    check::{Checked, CheckedKind},
    probes::Probes,
    register::{Rules, refusal},
};
use crate::{
    metrics::Metrics,
    store::{Append, Keep, Store, StoreError, Writer},
};

/// What came of requests that were committed together.
pub(crate) struct Committed {
    /// Answers, in the order of the requests.
    pub(crate) responses: Vec<Response>,
    /// New envelopes in log order, to be pushed.
    pub(crate) stored: Vec<Stored>,
    /// Clients whose leases changed.
    pub(crate) changed: Vec<Pseudonym>,
    /// Clients that lost all their leases, and why.
    pub(crate) ended: Vec<(Pseudonym, Reason)>,
    /// Why nothing was stored, if so.
    pub(crate) failure: Option<StoreError>,
}

/// A new envelope.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) address: Address,
    pub(crate) envelope: Envelope,
    /// Who published it.
    pub(crate) origin: Pseudonym,
    /// That was another super node, which tells the others by itself.
    pub(crate) peer: bool,
    /// Where in the log.
    pub(crate) position: u64,
    pub(crate) address_row: i64,
}

#[derive(Default)]
struct Changes {
    responses: Vec<Response>,
    stored: Vec<Stored>,
    changed: Vec<Pseudonym>,
    ended: Vec<(Pseudonym, Reason)>,
    known: u64,
}

pub(super) fn commit(
    store: &Store,
    rules: &Rules<'_>,
    metrics: &Metrics,
    seen: &[(Pseudonym, u64)],
    checked: &[Checked],
    probes: &Probes,
) -> Committed {
    let now = rules.now;
    let change = |writer: &mut Writer| {
        let mut changes = Changes::default();
        for (pseudonym, seen_s) in seen {
            writer.see(pseudonym, *seen_s)?;
        }
        for request in checked {
            let response = apply(writer, rules, request, &mut changes)?;
            changes.responses.push(response);
        }
        Ok(changes)
    };
    let result = store.write_then(change, |changes: &Changes, end| {
        probes.committed(&changes.stored, end);
        probes.forget(changes.changed.iter());
        probes.forget(changes.ended.iter().map(|(client, _)| client));
    });
    let committed = match result {
        Ok(changes) => {
            metrics.commits.inc();
            metrics.accepted.inc_by(changes.stored.len() as u64);
            metrics.repeated.inc_by(changes.known);
            metrics.set_kept(store);
            metrics.count_ended(&changes.ended);
            Committed {
                responses: changes.responses,
                stored: changes.stored,
                changed: changes.changed,
                ended: changes.ended,
                failure: None,
            }
        }
        Err(failure) => {
            metrics.commits_failed.inc();
            Committed {
                responses: checked
                    .iter()
                    .map(|_| refused(Reason::Storage, now))
                    .collect(),
                stored: Vec::new(),
                changed: Vec::new(),
                ended: Vec::new(),
                failure: Some(failure),
            }
        }
    };
    metrics.count_refusals(&committed.responses);
    committed
}

/// The answer that refuses a whole request.
pub(super) fn refused(reason: Reason, now: UnixMillis) -> Response {
    answer(Kind::Refused(Refused {
        reason: reason.into(),
        time_ms: now.as_millis(),
    }))
}

/// Wraps an answer of one kind.
pub(super) fn answer(kind: Kind) -> Response {
    Response { kind: Some(kind) }
}

fn apply(
    writer: &mut Writer,
    rules: &Rules<'_>,
    request: &Checked,
    changes: &mut Changes,
) -> Result<Response, StoreError> {
    match &request.kind {
        CheckedKind::Refused(reason) => Ok(refused(*reason, rules.now)),
        CheckedKind::Publish(keys, items) => {
            let limits = rules.limits;
            let keep = Keep {
                envelopes_per_address: limits.envelopes_per_address,
                bytes_per_address: limits.bytes_per_address,
                bytes: limits.bytes,
            };
            let mut refusals = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let reason = match item {
                    Err(reason) => Some(*reason),
                    Ok(envelope) => match writer.append(keys, envelope, request.peer, &keep)? {
                        Append::Stored {
                            position,
                            address_row,
                        } => {
                            changes.stored.push(Stored {
                                address: keys.address,
                                envelope: envelope.clone(),
                                origin: request.pseudonym,
                                peer: request.peer,
                                position,
                                address_row,
                            });
                            None
                        }
                        Append::Known => {
                            changes.known += 1;
                            None
                        }
                        Append::AddressFull => Some(Reason::AddressFull),
                        Append::NodeFull => Some(Reason::NodeFull),
                    },
                };
                refusals.extend(reason.map(|reason| refusal(index, reason)));
            }
            Ok(answer(Kind::Published(Published { refusals })))
        }
        CheckedKind::Register { leases, introduced } => {
            let pseudonym = &request.pseudonym;
            let outcome = rules.register(writer, request, leases, introduced.as_ref())?;
            changes.changed.append(&mut writer.take_parted());
            let evicted = outcome.evicted.map(|client| (client, Reason::Evicted));
            changes.ended.extend(evicted);
            match outcome.answer {
                Ok(registered) => {
                    changes.changed.push(*pseudonym);
                    Ok(answer(Kind::Registered(registered)))
                }
                Err(reason) => Ok(refused(reason, rules.now)),
            }
        }
        CheckedKind::Release(addresses) => {
            writer.release(&request.pseudonym, addresses)?;
            changes.changed.append(&mut writer.take_parted());
            changes.changed.push(request.pseudonym);
            Ok(answer(Kind::Released(Released {})))
        }
    }
}
