//! Puts checked requests into the database, many in one transaction, and says what to answer.

use ailurus::{
    channel::{Address, Envelope},
    crypto::Pseudonym,
    wire::{
        node::{
            Published, Reason, Refusal, Refused, Registered, Released, Response, response::Kind,
        },
        time::UnixMillis,
    },
};

use super::check::{Checked, CheckedKind, CheckedLease};
use crate::{
    config::Limits,
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
}

#[derive(Default)]
struct Changes {
    responses: Vec<Response>,
    stored: Vec<Stored>,
    changed: Vec<Pseudonym>,
    known: u64,
}

pub(super) fn commit(
    store: &Store,
    limits: &Limits,
    metrics: &Metrics,
    now: UnixMillis,
    checked: &[Checked],
) -> Committed {
    let result = store.write(|writer| {
        let mut changes = Changes::default();
        for request in checked {
            let response = apply(writer, limits, now, request, &mut changes)?;
            changes.responses.push(response);
        }
        Ok(changes)
    });
    let committed = match result {
        Ok(changes) => {
            metrics.commits.inc();
            metrics.accepted.inc_by(changes.stored.len() as u64);
            metrics.repeated.inc_by(changes.known);
            metrics.set_kept(store);
            Committed {
                responses: changes.responses,
                stored: changes.stored,
                changed: changes.changed,
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
    limits: &Limits,
    now: UnixMillis,
    request: &Checked,
    changes: &mut Changes,
) -> Result<Response, StoreError> {
    match &request.kind {
        CheckedKind::Refused(reason) => Ok(refused(*reason, now)),
        CheckedKind::Publish(keys, items) => {
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
                        Append::Stored(_) => {
                            changes.stored.push(Stored {
                                address: keys.address,
                                envelope: envelope.clone(),
                                origin: request.pseudonym,
                                peer: request.peer,
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
        CheckedKind::Register(leases) => {
            let refusals = register(writer, limits, &request.pseudonym, leases)?;
            changes.changed.push(request.pseudonym);
            Ok(answer(Kind::Registered(Registered {
                refusals,
                ..Registered::default()
            })))
        }
        CheckedKind::Release(addresses) => {
            writer.release(&request.pseudonym, addresses)?;
            changes.changed.push(request.pseudonym);
            Ok(answer(Kind::Released(Released {})))
        }
    }
}

fn register(
    writer: &mut Writer,
    limits: &Limits,
    pseudonym: &Pseudonym,
    leases: &[Result<CheckedLease, Reason>],
) -> Result<Vec<Refusal>, StoreError> {
    let mut refusals = Vec::new();
    let mut registration = None;
    for (index, lease) in leases.iter().enumerate() {
        let reason = match lease {
            Err(reason) => Some(*reason),
            Ok(lease) => {
                let place = match registration {
                    Some(place) => place,
                    None => place(writer, limits, pseudonym)?,
                };
                let (place, reason) = add(writer, limits, place, lease)?;
                registration = Some(place);
                reason
            }
        };
        refusals.extend(reason.map(|reason| refusal(index, reason)));
    }
    Ok(refusals)
}

/// A registration to which leases are being added, all under one new version.
#[derive(Clone, Copy)]
struct Place {
    row: i64,
    leases: u64,
    version: Option<u64>,
}

fn place(
    writer: &mut Writer,
    limits: &Limits,
    pseudonym: &Pseudonym,
) -> Result<Option<Place>, StoreError> {
    let Some(row) = writer.registration(pseudonym, limits.registrations)? else {
        return Ok(None);
    };
    Ok(Some(Place {
        row,
        leases: writer.leases(row)?,
        version: None,
    }))
}

fn add(
    writer: &mut Writer,
    limits: &Limits,
    place: Option<Place>,
    lease: &CheckedLease,
) -> Result<(Option<Place>, Option<Reason>), StoreError> {
    let Some(mut place) = place else {
        return Ok((None, Some(Reason::NodeFull)));
    };
    if writer.extend_lease(place.row, &lease.keys.address, lease.end_s)? {
        return Ok((Some(place), None));
    }
    if place.leases >= limits.addresses_per_client {
        return Ok((Some(place), Some(Reason::ClientFull)));
    }
    let version = match place.version {
        Some(version) => version,
        None => writer.next_version(place.row)?,
    };
    place.version = Some(version);
    place.leases = place.leases.saturating_add(1);
    writer.add_lease(place.row, &lease.keys, version, lease.end_s)?;
    Ok((Some(place), None))
}

pub(super) fn refusal(index: usize, reason: Reason) -> Refusal {
    Refusal {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        reason: reason.into(),
    }
}
