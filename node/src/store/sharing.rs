//! What other super nodes have here stands and falls with the clients: an address is shared only while a client of this
//! node has leased it.

use std::collections::{HashMap, HashSet};

use ailurus::crypto::Pseudonym;

use super::{StoreError, Writer};

impl Writer {
    /// Super nodes that lost leases since the last call, because no client had leased their addresses any more.
    pub(crate) fn take_parted(&mut self) -> Vec<Pseudonym> {
        std::mem::take(&mut self.parted)
    }

    /// Ends the leases of super nodes, and the delegations, of those addresses that no client has leased.
    pub(super) fn end_sharing(&mut self, rows: &HashSet<i64>) -> Result<(), StoreError> {
        let mut parted: HashMap<i64, u64> = HashMap::new();
        for row in rows {
            let leased = self
                .connection
                .prepare_cached("SELECT 1 FROM leases WHERE address_row = ?1 AND peer = 0")?
                .exists([row])?;
            if leased {
                continue;
            }
            {
                let mut statement = self.connection.prepare_cached(
                    "DELETE FROM leases WHERE address_row = ?1 AND peer = 1 RETURNING registration_row",
                )?;
                let mut ended = statement.query([row])?;
                while let Some(lease) = ended.next()? {
                    let count = parted.entry(lease.get(0)?).or_default();
                    *count = count.saturating_add(1);
                }
            }
            self.end_delegation(*row)?;
        }
        for (registration, leases) in parted {
            self.count_ended(registration, leases, true)?;
            let pseudonym = self.pseudonym(registration)?;
            self.parted.push(pseudonym);
            self.drop_empty_registration(registration)?;
        }
        Ok(())
    }
}
