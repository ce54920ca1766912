//! Comparing two super nodes: which addresses, and what is passed on from one to the other.

use bytes::Bytes;

use crate::channel::{Address, AddressKeys, Envelope, Epoch};
use crate::crypto::NodeKey;
use crate::discovery::audit::{Audit, Window};
use crate::wire::{
    node::{Publish, Request, request::Kind},
    time::UnixMillis,
};

use super::{Engine, Error, adjusted, leases::request, node_by_key, receives, time_at};

impl Engine {
    /// A comparison of two nodes over all that is leased at both; `None` if nothing is, or their clocks are too far apart.
    pub fn audit(&mut self, nodes: [&NodeKey; 2], now: UnixMillis) -> Result<Option<Audit>, Error> {
        let addresses = &mut self.addresses;
        self.store.read(|tx| {
            let adjusted = adjusted(tx, now)?;
            let [one, other] = [node_by_key(tx, nodes[0])?, node_by_key(tx, nodes[1])?];
            let clocks = [&one, &other].map(|node| match node.clock {
                Some(_) => time_at(node, now),
                None => adjusted,
            });
            let Some(window) = Window::of(clocks) else {
                return Ok(None);
            };
            let mut shared = Vec::new();
            for access in tx
                .accesses()?
                .iter()
                .filter(|access| receives(access, adjusted))
            {
                for epoch in Epoch::alive(adjusted) {
                    let leased = tx.lease(one.row, access.row, epoch)?.is_some()
                        && tx.lease(other.row, access.row, epoch)?.is_some();
                    if leased {
                        shared.push(addresses.address(access, epoch)?);
                    }
                }
            }
            if shared.is_empty() {
                return Ok(None);
            }
            let keys = [*one.link.key(), *other.link.key()];
            Ok(Some(Audit::new(keys, shared, window, now)))
        })
    }

    /// What offers envelopes of others to a node, as they are; `None` if the address is not ours any more.
    pub fn pass_on(
        &mut self,
        address: &Address,
        envelopes: &[Envelope],
        now: UnixMillis,
    ) -> Result<Option<Request>, Error> {
        let addresses = &mut self.addresses;
        self.store.read(|tx| {
            let now = adjusted(tx, now)?;
            let Some(base) = envelopes.first().map(|envelope| envelope.header().time) else {
                return Ok(None);
            };
            for access in tx.accesses()?.iter().filter(|access| receives(access, now)) {
                let keys = addresses.keys(access, Epoch::of(base))?;
                if keys.address == *address {
                    return Ok(Some(offer(keys, base, envelopes)));
                }
            }
            Ok(None)
        })
    }

    /// Forgets all leases at nodes that say they have none of some: they are registered again.
    pub fn forget_leases(&mut self, nodes: &[NodeKey]) -> Result<(), Error> {
        self.store.write(|tx| {
            for node in nodes {
                tx.forget_leases(node_by_key(tx, node)?.row)?;
            }
            Ok(())
        })
    }
}

fn offer(keys: &AddressKeys, base: UnixMillis, envelopes: &[Envelope]) -> Request {
    let mut before = base;
    let mut items = Vec::with_capacity(envelopes.len());
    for envelope in envelopes {
        items.push(envelope.to_item(before));
        before = envelope.header().time;
    }
    request(Kind::Publish(Publish {
        blinded_key: Bytes::copy_from_slice(keys.blinded.as_bytes()),
        access_key: Bytes::copy_from_slice(keys.access.public().as_bytes()),
        base_time_ms: base.as_millis(),
        items,
    }))
}
