//! Envelopes that come and go.

use ailurus::{
    channel::{Address, Envelope, EnvelopeId},
    crypto::Pseudonym,
    wire::{
        node::{Batch, Fetch, Publish, request},
        time::UnixMillis,
    },
};
use bytes::Bytes;

use super::{Asked, FETCHES, Link, Step};
use crate::{
    service::{Session, Write, WriteKind},
    store::{DelegatedKeys, StoreError},
};

impl Link {
    /// Takes envelopes in, and the ids of those that are too large to ride along.
    pub(super) fn take(&mut self, batch: &Batch) {
        let Ok(address) = Address::try_from(batch.address.as_ref()) else {
            self.misbehaved("a batch of no address");
            return;
        };
        if !self.registered.contains_key(&address) {
            // It was given up meanwhile.
            return;
        }
        let mut time = UnixMillis::from_millis(batch.base_time_ms);
        for item in &batch.items {
            if item.sealed.is_empty() {
                let Ok(id) = EnvelopeId::try_from(item.id.as_ref()) else {
                    self.misbehaved("an envelope without id");
                    return;
                };
                if self.fetches.len() < FETCHES {
                    self.fetches.push_back((Some(address), id));
                }
            } else {
                let Ok(envelope) = Envelope::from_item(address, time, item) else {
                    self.misbehaved("an envelope that does not parse");
                    return;
                };
                self.arrived.push((address, envelope));
            }
            time = time.offset(item.time_delta_ms);
        }
    }

    pub(super) fn take_arrived(&mut self) -> Vec<Write> {
        let mut arrived = std::mem::take(&mut self.arrived);
        // Stable, so that each address keeps its order.
        arrived.sort_by_key(|(address, _)| *address);
        let session = Session {
            pseudonym: Pseudonym::from_bytes(*self.node.as_bytes()),
            early: false,
            exporter: None,
            network: None,
        };
        let mut writes = Vec::new();
        let mut rest = arrived.as_slice();
        while let Some((address, _)) = rest.first() {
            let count = rest
                .iter()
                .take(ITEMS)
                .take_while(|(other, _)| other == address)
                .count();
            let (part, others) = rest.split_at(count.max(1));
            rest = others;
            let Some(delegation) = self.registered.get(address) else {
                continue;
            };
            let envelopes: Vec<&Envelope> = part.iter().map(|(_, envelope)| envelope).collect();
            writes.push(Write {
                session,
                peer: true,
                kind: WriteKind::Publish(publish(&delegation.keys, &envelopes)),
            });
        }
        writes
    }

    pub(super) fn fetch(&mut self, steps: &mut Vec<Step>) -> Result<(), StoreError> {
        while self.asked.len() < ASKED {
            let Some((address, id)) = self.fetches.pop_front() else {
                return Ok(());
            };
            // It may have come from somewhere else meanwhile.
            if self.service.store().read(|reader| reader.is_stored(&id))? {
                continue;
            }
            let fetch = Fetch {
                address: address.map_or_else(Bytes::new, |address| {
                    Bytes::copy_from_slice(address.as_bytes())
                }),
                id: Bytes::copy_from_slice(id.as_bytes()),
            };
            steps.push(Step::ask(request::Kind::Fetch(fetch)));
            self.asked.push_back(Asked::Fetch(address, id));
        }
        Ok(())
    }

    pub(super) fn publish(
        &mut self,
        now: UnixMillis,
        steps: &mut Vec<Step>,
    ) -> Result<(), StoreError> {
        if self.offers.is_empty() {
            self.read_lacking(now)?;
        }
        while self.asked.len() < ASKED {
            let Some((keys, first)) = self.offers.pop_front() else {
                return Ok(());
            };
            let mut bytes = first.sealed().len();
            let mut envelopes = vec![first];
            while let Some((other, next)) = self.offers.front() {
                bytes = bytes.saturating_add(next.sealed().len());
                if other.address != keys.address
                    || envelopes.len() >= ITEMS
                    || bytes > PUBLISH_BYTES
                {
                    break;
                }
                envelopes.extend(self.offers.pop_front().map(|(_, envelope)| envelope));
            }
            let together: Vec<&Envelope> = envelopes.iter().collect();
            let kind = request::Kind::Publish(publish(&keys, &together));
            steps.push(Step::ask(kind));
            self.asked.push_back(Asked::Publish(keys, envelopes));
        }
        Ok(())
    }

    /// Reads some of what the other node lacks, those of one address together.
    fn read_lacking(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        if self.lacking.is_empty() {
            return Ok(());
        }
        let count = self.lacking.len().min(READ_AT_ONCE);
        let ids: Vec<EnvelopeId> = self.lacking.drain(..count).collect();
        let mut found = self.service.store().read(|reader| {
            let mut found = Vec::with_capacity(ids.len());
            for id in &ids {
                found.extend(reader.envelope_by_id(id, now)?);
            }
            Ok(found)
        })?;
        found.sort_by_key(|(keys, envelope)| (keys.address, envelope.header().time));
        self.offers.extend(
            found
                .iter()
                .map(|(keys, envelope)| (keys.into(), envelope.clone())),
        );
        Ok(())
    }
}

fn publish(keys: &DelegatedKeys, envelopes: &[&Envelope]) -> Publish {
    let base = envelopes
        .first()
        .map_or_else(UnixMillis::default, |envelope| envelope.header().time);
    let mut before = base;
    let mut items = Vec::with_capacity(envelopes.len());
    for envelope in envelopes {
        items.push(envelope.to_item(before));
        before = envelope.header().time;
    }
    Publish {
        blinded_key: Bytes::copy_from_slice(&keys.blinded),
        access_key: Bytes::copy_from_slice(&keys.access),
        base_time_ms: base.as_millis(),
        items,
    }
}

/// Requests under way on one link.
const ASKED: usize = 64;
/// Envelopes of one `Publish`, and their bytes.
const ITEMS: usize = 512;
const PUBLISH_BYTES: usize = 128 << 10;
/// Envelopes read at once to be published.
const READ_AT_ONCE: usize = 1_024;
