//! Large bodies that were announced and wait for a better network.

use bytes::Bytes;

use crate::crypto::NodeKey;
use crate::store::Unfetched;
use crate::wire::{node::Batch, time::UnixMillis};

use super::{Change, Engine, Error, node_by_key};

/// A body that waits, and who announced it.
pub struct Waiting {
    /// What was announced.
    pub body: Unfetched,
    /// By the node that is asked; else by another one.
    pub announced: bool,
}

impl Engine {
    /// Notes a body that a node announced, to be fetched later. False if too many wait: then it is fetched now.
    pub fn put_off(
        &mut self,
        node: &NodeKey,
        body: &Unfetched,
        now: UnixMillis,
    ) -> Result<bool, Error> {
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            Ok(tx.put_off(stored.row, body, now)?)
        })
    }

    /// The bodies that wait, whichever node announced them: others may have them too.
    pub fn waiting(&mut self, node: &NodeKey) -> Result<Vec<Waiting>, Error> {
        self.store.read(|tx| {
            let stored = node_by_key(tx, node)?;
            let all = tx.unfetched()?;
            Ok(all
                .into_iter()
                .map(|(by, body)| Waiting {
                    body,
                    announced: by == stored.row,
                })
                .collect())
        })
    }

    /// Whether bodies wait that this node announced.
    pub(super) fn has_waiting(&mut self, node: &NodeKey) -> Result<bool, Error> {
        self.store.read(|tx| {
            let stored = node_by_key(tx, node)?;
            Ok(tx.has_unfetched(stored.row)?)
        })
    }

    /// Takes in a body that waited; `None` if it is gone.
    pub fn fetched(
        &mut self,
        node: &NodeKey,
        id: &Bytes,
        batch: Option<Batch>,
        now: UnixMillis,
    ) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        if let Some(batch) = batch {
            changes = self.ingest(node, &[batch], None, now)?.changes;
        }
        self.store.write(|tx| Ok::<_, Error>(tx.fetched(id)?))?;
        Ok(changes)
    }
}
