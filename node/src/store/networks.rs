//! How much comes from one network, so that whoever has one cannot fill the node. No network is kept in clear.

use rusqlite::OptionalExtension;

use super::{StoreError, Writer, from_sql};

/// A network, hashed with a key of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NetworkId([u8; 8]);

/// What came from one network and is here now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FromNetwork {
    pub(crate) clients: u64,
    pub(crate) peers: u64,
    pub(crate) delegations: u64,
}

/// What of it changes.
#[derive(Clone, Copy)]
pub(super) enum Counted {
    Client,
    Peer,
    Delegation,
}

impl NetworkId {
    pub(crate) fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl Writer {
    /// What came from a network.
    pub(crate) fn network(&self, network: &NetworkId) -> Result<FromNetwork, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT clients, peers, delegations FROM networks WHERE network = ?1")?
            .query_row([network.0.as_slice()], |row| {
                Ok(FromNetwork {
                    clients: from_sql(row.get(0)?),
                    peers: from_sql(row.get(1)?),
                    delegations: from_sql(row.get(2)?),
                })
            })
            .optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Counts something in; nothing is kept of a network that is not known.
    pub(super) fn count_in(
        &mut self,
        network: Option<&NetworkId>,
        what: Counted,
    ) -> Result<(), StoreError> {
        let Some(network) = network else {
            return Ok(());
        };
        let (clients, peers, delegations) = one(what);
        self.connection
            .prepare_cached(
                "INSERT INTO networks (network, clients, peers, delegations) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (network) DO UPDATE SET clients = clients + ?2, peers = peers + ?3,
                   delegations = delegations + ?4",
            )?
            .execute((network.0.as_slice(), clients, peers, delegations))?;
        Ok(())
    }

    /// Counts it out again.
    pub(super) fn count_out(
        &mut self,
        network: Option<&NetworkId>,
        what: Counted,
    ) -> Result<(), StoreError> {
        let Some(network) = network else {
            return Ok(());
        };
        let (clients, peers, delegations) = one(what);
        self.connection
            .prepare_cached(
                "UPDATE networks SET clients = clients - ?2, peers = peers - ?3, delegations = delegations - ?4
                 WHERE network = ?1",
            )?
            .execute((network.0.as_slice(), clients, peers, delegations))?;
        self.connection
            .prepare_cached(
                "DELETE FROM networks WHERE network = ?1 AND clients <= 0 AND peers <= 0 AND delegations <= 0",
            )?
            .execute([network.0.as_slice()])?;
        Ok(())
    }
}

fn one(what: Counted) -> (i64, i64, i64) {
    match what {
        Counted::Client => (1, 0, 0),
        Counted::Peer => (0, 1, 0),
        Counted::Delegation => (0, 0, 1),
    }
}
