//! What the node knows of other super nodes: delegations for its addresses, who serves them too, records for the DHT.

use ailurus::{
    channel::{Address, Envelope, EnvelopeId, Kind, NodeLink},
    crypto::{AccessKey, NodeKey, Pseudonym, PublicKey},
    wire::{
        limits::{LIFETIME, MAX_PEERS},
        node::{Reason, Record},
        time::UnixMillis,
    },
};
use bytes::Bytes;
use rusqlite::{OptionalExtension, Row as SqlRow};

use super::{Keys, NetworkId, Reader, StoreError, Writer, from_sql, networks::Counted, to_sql};

/// The access key's word that this node may register an address at others.
#[derive(Clone, Debug)]
pub(crate) struct Delegation {
    pub(crate) keys: Keys,
    /// Unix seconds.
    pub(crate) until_s: u64,
    pub(crate) signature: [u8; 64],
}

/// Where an address's records are in the DHT, and this node's own.
pub(crate) struct RecordRow {
    pub(crate) address: Address,
    /// The epoch's public key, and what opens its records.
    pub(crate) key: [u8; 32],
    pub(crate) secret: [u8; 32],
    pub(crate) own: Option<Record>,
}

/// Another super node, and the addresses that it is said to serve.
#[derive(Clone, Debug)]
pub(crate) struct PeerRow {
    pub(crate) node: NodeLink,
    pub(crate) addresses: Vec<Address>,
}

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// It is news.
    New,
    /// It was known, or there is no room for it.
    Nothing,
}

impl Writer {
    /// Keeps a delegation instead of an earlier one of the same address, and where its records are.
    ///
    /// Why not: no client has leased the address, or the node has `limit` others, or a quarter of that from one network.
    pub(crate) fn delegate(
        &mut self,
        delegation: &Delegation,
        record: Option<(&[u8; 32], &[u8; 32])>,
        network: Option<&NetworkId>,
        limit: u64,
    ) -> Result<Option<Reason>, StoreError> {
        let address = delegation.keys.address.as_bytes().as_slice();
        // The lease may have ended since it was looked up.
        if !self.is_leased(&delegation.keys.address)? {
            return Ok(Some(Reason::NotRegistered));
        }
        let known = self
            .connection
            .prepare_cached("SELECT 1 FROM delegations WHERE address = ?1")?
            .exists([address])?;
        if !known {
            if self.totals.delegations >= limit {
                return Ok(Some(Reason::NodeFull));
            }
            if let Some(network) = network
                && self.from_network(network)?.delegations >= limit / NETWORKS
            {
                return Ok(Some(Reason::NetworkLimited));
            }
        }
        self.connection
            .prepare_cached(
                "INSERT INTO delegations
                   (address, blinded_key, access_key, until_s, signature, record_key, record_secret, network)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (address) DO UPDATE SET
                   until_s = excluded.until_s, signature = excluded.signature
                   WHERE excluded.until_s > until_s",
            )?
            .execute((
                address,
                delegation.keys.blinded.as_bytes().as_slice(),
                delegation.keys.access.as_bytes().as_slice(),
                to_sql(delegation.until_s),
                delegation.signature.as_slice(),
                record.map(|(key, _)| key.as_slice()),
                record.map(|(_, secret)| secret.as_slice()),
                network.map(|network| network.as_bytes().as_slice()),
            ))?;
        if !known {
            self.totals.delegations = self.totals.delegations.saturating_add(1);
            self.count_in(network, Counted::Delegation)?;
        }
        if let Some((key, secret)) = record {
            // A record of another key is of no use.
            self.connection
                .prepare_cached(
                    "UPDATE delegations SET record_key = ?2, record_secret = ?3,
                       record_slot = NULL, record_seq = NULL, record_value = NULL, record_signature = NULL
                     WHERE address = ?1 AND (record_key IS NOT ?2 OR record_secret IS NOT ?3)",
                )?
                .execute((address, key.as_slice(), secret.as_slice()))?;
        }
        Ok(None)
    }

    /// Takes away the delegation of an address, and who else is said to serve it.
    pub(super) fn end_delegation(&mut self, address_row: i64) -> Result<(), StoreError> {
        let ended: Option<([u8; 32], Option<[u8; 8]>)> = self
            .connection
            .prepare_cached(
                "DELETE FROM delegations WHERE address = (SELECT address FROM addresses WHERE row = ?1)
                 RETURNING address, network",
            )?
            .query_row([address_row], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((address, network)) = ended else {
            return Ok(());
        };
        self.totals.delegations = self.totals.delegations.saturating_sub(1);
        self.count_out(
            network.map(NetworkId::from_bytes).as_ref(),
            Counted::Delegation,
        )?;
        let peers = {
            let mut statement = self.connection.prepare_cached(
                "DELETE FROM peer_addresses WHERE address = ?1 RETURNING peer_row",
            )?;
            statement
                .query_map([address.as_slice()], |row| row.get(0))?
                .collect::<Result<Vec<i64>, _>>()?
        };
        for peer in peers {
            self.connection
                .prepare_cached(
                    "DELETE FROM peers WHERE row = ?1
                     AND NOT EXISTS (SELECT 1 FROM peer_addresses WHERE peer_row = ?1)",
                )?
                .execute([peer])?;
        }
        Ok(())
    }

    /// Keeps this node's own record of an address, unless it has a newer one.
    pub(crate) fn keep_record(
        &mut self,
        address: &Address,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE delegations SET record_slot = ?2, record_seq = ?3, record_value = ?4, record_signature = ?5
                 WHERE address = ?1 AND coalesce(record_seq, 0) < ?3",
            )?
            .execute((
                address.as_bytes().as_slice(),
                record.slot,
                to_sql(record.seq),
                record.value.as_ref(),
                record.signature.as_ref(),
            ))?;
        Ok(())
    }

    /// Notes that another node serves an address, as somebody says.
    ///
    /// A node that answered lately keeps its place and its host, whatever is said of it or instead of it.
    pub(crate) fn name_peer(
        &mut self,
        address: &Address,
        node: &NodeLink,
        now: UnixMillis,
    ) -> Result<Named, StoreError> {
        let now_s = now.as_secs();
        let stale_s = to_sql(now_s.saturating_sub(STALE_S));
        let key = node.key().as_bytes().as_slice();
        let found: Option<i64> = self
            .connection
            .prepare_cached("SELECT row FROM peers WHERE node = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        let row = match found {
            Some(row) => {
                self.connection
                    .prepare_cached(
                        "UPDATE peers SET named_s = ?2,
                           host = CASE WHEN reached_s < ?3 THEN ?4 ELSE host END,
                           port = CASE WHEN reached_s < ?3 THEN ?5 ELSE port END
                         WHERE row = ?1",
                    )?
                    .execute((row, to_sql(now_s), stale_s, node.host(), node.port()))?;
                row
            }
            None => {
                let Some(row) = self.insert_peer(node, now_s)? else {
                    return Ok(Named::Nothing);
                };
                row
            }
        };
        let address = address.as_bytes().as_slice();
        let (known, serving): (bool, i64) = self
            .connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM peer_addresses WHERE address = ?1 AND peer_row = ?2),
                   (SELECT count(*) FROM peer_addresses WHERE address = ?1)",
            )?
            .query_row((address, row), |row| Ok((row.get(0)?, row.get(1)?)))?;
        if known {
            return Ok(Named::Nothing);
        }
        if from_sql(serving) >= MAX_PEERS as u64 {
            let gone = self
                .connection
                .prepare_cached(
                    "DELETE FROM peer_addresses WHERE address = ?1 AND peer_row =
                       (SELECT p.row FROM peer_addresses s JOIN peers p ON p.row = s.peer_row
                        WHERE s.address = ?1 AND p.reached_s < ?2 AND p.named_s < ?3
                        ORDER BY p.reached_s, p.named_s LIMIT 1)",
                )?
                .execute((address, stale_s, to_sql(now_s.saturating_sub(TRIED_S))))?;
            if gone == 0 {
                return Ok(Named::Nothing);
            }
        }
        self.connection
            .prepare_cached("INSERT INTO peer_addresses (address, peer_row) VALUES (?1, ?2)")?
            .execute((address, row))?;
        Ok(Named::New)
    }

    /// Notes that a node answered.
    pub(crate) fn reached(&mut self, node: &NodeKey, now: UnixMillis) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("UPDATE peers SET reached_s = ?2 WHERE node = ?1")?
            .execute((node.as_bytes().as_slice(), to_sql(now.as_secs())))?;
        Ok(())
    }

    /// Takes away delegations that ended, and nodes that serve nothing any more.
    pub(super) fn expire_peers(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        let ended = {
            let mut statement = self
                .connection
                .prepare_cached("DELETE FROM delegations WHERE until_s <= ?1 RETURNING network")?;
            statement
                .query_map([to_sql(now.as_secs())], |row| row.get(0))?
                .collect::<Result<Vec<Option<[u8; 8]>>, _>>()?
        };
        let count = ended.len() as u64;
        self.totals.delegations = self.totals.delegations.saturating_sub(count);
        for network in &ended {
            self.count_out(
                network.map(NetworkId::from_bytes).as_ref(),
                Counted::Delegation,
            )?;
        }
        if count > 0 {
            self.connection.execute(
                "DELETE FROM peer_addresses WHERE address NOT IN (SELECT address FROM delegations)",
                [],
            )?;
            self.connection.execute(
                "DELETE FROM peers WHERE row NOT IN (SELECT peer_row FROM peer_addresses)",
                [],
            )?;
        }
        Ok(())
    }

    fn insert_peer(&mut self, node: &NodeLink, now_s: u64) -> Result<Option<i64>, StoreError> {
        let count: i64 = self
            .connection
            .prepare_cached("SELECT count(*) FROM peers")?
            .query_row([], |row| row.get(0))?;
        if from_sql(count) >= PEERS {
            let stalest: Option<i64> = self
                .connection
                .prepare_cached(
                    "SELECT row FROM peers WHERE reached_s < ?1 AND named_s < ?2 ORDER BY reached_s, named_s LIMIT 1",
                )?
                .query_row(
                    (
                        to_sql(now_s.saturating_sub(STALE_S)),
                        to_sql(now_s.saturating_sub(TRIED_S)),
                    ),
                    |row| row.get(0),
                )
                .optional()?;
            let Some(stalest) = stalest else {
                return Ok(None);
            };
            self.connection
                .execute("DELETE FROM peer_addresses WHERE peer_row = ?1", [stalest])?;
            self.connection
                .execute("DELETE FROM peers WHERE row = ?1", [stalest])?;
        }
        self.connection
            .prepare_cached(
                "INSERT INTO peers (node, host, port, reached_s, named_s) VALUES (?1, ?2, ?3, 0, ?4)",
            )?
            .execute((
                node.key().as_bytes().as_slice(),
                node.host(),
                node.port(),
                to_sql(now_s),
            ))?;
        Ok(Some(self.connection.last_insert_rowid()))
    }
}

impl Reader {
    /// Delegations that have not ended, of addresses that a client has leased here.
    pub(crate) fn delegations(&self, now: UnixMillis) -> Result<Vec<Delegation>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT d.address, d.blinded_key, d.access_key, d.until_s, d.signature FROM delegations d
             WHERE d.until_s > ?1 AND EXISTS (
               SELECT 1 FROM addresses a JOIN leases l ON l.address_row = a.row
               JOIN registrations r ON r.row = l.registration_row
               WHERE a.address = d.address AND l.end_s > ?1 AND r.peer = 0)
             ORDER BY d.address",
        )?;
        let mut rows = statement.query([to_sql(now.as_secs())])?;
        let mut delegations = Vec::new();
        while let Some(row) = rows.next()? {
            delegations.push(Delegation {
                keys: keys(row)?,
                until_s: from_sql(row.get(3)?),
                signature: row.get(4)?,
            });
        }
        Ok(delegations)
    }

    /// Every address with a delegation, whether a client has leased it here or not.
    pub(crate) fn delegated_addresses(&self) -> Result<Vec<Address>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT address FROM delegations")?;
        let found = statement
            .query_map([], |row| Ok(Address::from_bytes(row.get(0)?)))?
            .collect::<Result<_, _>>()?;
        Ok(found)
    }

    /// All other nodes, with what they serve.
    pub(crate) fn peers(&self) -> Result<Vec<PeerRow>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT p.row, p.node, p.host, p.port, s.address FROM peers p
             JOIN peer_addresses s ON s.peer_row = p.row ORDER BY p.row, s.address",
        )?;
        let mut rows = statement.query([])?;
        let mut peers: Vec<(i64, PeerRow)> = Vec::new();
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            let address = Address::from_bytes(row.get(4)?);
            if let Some((last, peer)) = peers.last_mut()
                && *last == number
            {
                peer.addresses.push(address);
                continue;
            }
            let key = NodeKey::from_bytes(row.get(1)?);
            let host: String = row.get(2)?;
            let node = NodeLink::new(key, &host, row.get(3)?)
                .map_err(|_| StoreError::Corrupt("host of a super node"))?;
            let addresses = vec![address];
            peers.push((number, PeerRow { node, addresses }));
        }
        Ok(peers.into_iter().map(|(_, peer)| peer).collect())
    }

    /// What the DHT is to say and may tell, for addresses that a client has leased here.
    pub(crate) fn records(&self, now: UnixMillis) -> Result<Vec<RecordRow>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT d.address, d.record_key, d.record_secret, d.record_slot, d.record_seq, d.record_value,
               d.record_signature FROM delegations d WHERE d.until_s > ?1 AND d.record_key IS NOT NULL",
        )?;
        let mut rows = statement.query([to_sql(now.as_secs())])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(record_row(row)?);
        }
        Ok(records)
    }

    /// The time of the node's own record of an address, in Unix seconds.
    pub(crate) fn record_seq(&self, address: &Address) -> Result<Option<u64>, StoreError> {
        let seq: Option<Option<i64>> = self
            .connection
            .prepare_cached("SELECT record_seq FROM delegations WHERE address = ?1")?
            .query_row([address.as_bytes().as_slice()], |row| row.get(0))
            .optional()?;
        Ok(seq.flatten().map(from_sql))
    }

    /// The keys of an address that a client, not a peer, has leased.
    pub(crate) fn leased_keys(
        &self,
        pseudonym: &Pseudonym,
        address: &Address,
        now: UnixMillis,
    ) -> Result<Option<Keys>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT a.address, a.blinded_key, a.access_key FROM registrations r
             JOIN leases l ON l.registration_row = r.row JOIN addresses a ON a.row = l.address_row
             WHERE r.pseudonym = ?1 AND a.address = ?2 AND l.end_s > ?3 AND r.peer = 0",
        )?;
        let mut rows = statement.query((
            pseudonym.as_bytes().as_slice(),
            address.as_bytes().as_slice(),
            to_sql(now.as_secs()),
        ))?;
        rows.next()?.map(keys).transpose()
    }

    /// Whether a pseudonym is that of another super node.
    pub(crate) fn is_peer(&self, pseudonym: &Pseudonym) -> Result<bool, StoreError> {
        let peer = self
            .connection
            .prepare_cached("SELECT 1 FROM registrations WHERE pseudonym = ?1 AND peer = 1")?
            .exists([pseudonym.as_bytes().as_slice()])?;
        Ok(peer)
    }

    /// The super nodes that have leases here.
    pub(crate) fn peer_pseudonyms(&self) -> Result<Vec<Pseudonym>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT pseudonym FROM registrations WHERE peer = 1")?;
        let found = statement
            .query_map([], |row| Ok(Pseudonym::from_bytes(row.get(0)?)))?
            .collect::<Result<_, _>>()?;
        Ok(found)
    }

    /// Times and ids of an address's envelopes, from the one time and before the other, in any order.
    pub(crate) fn times_and_ids(
        &self,
        address: &Address,
        from_ms: u64,
        to_ms: u64,
        mut found: impl FnMut(u64, &[u8]),
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT time_ms, id FROM envelopes WHERE address_row = (SELECT row FROM addresses WHERE address = ?1)
             AND time_ms >= ?2 AND time_ms < ?3",
        )?;
        let mut rows = statement.query((
            address.as_bytes().as_slice(),
            to_sql(from_ms),
            to_sql(to_ms),
        ))?;
        while let Some(row) = rows.next()? {
            let id = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            found(from_sql(row.get(0)?), id);
        }
        Ok(())
    }

    /// Whether an envelope is kept.
    pub(crate) fn is_stored(&self, id: &EnvelopeId) -> Result<bool, StoreError> {
        let stored = self
            .connection
            .prepare_cached("SELECT 1 FROM envelopes WHERE id = ?1")?
            .exists([id.as_bytes().as_slice()])?;
        Ok(stored)
    }

    /// An envelope by its id alone, with the keys of its address, unless its time is over.
    pub(crate) fn envelope_by_id(
        &self,
        id: &EnvelopeId,
        now: UnixMillis,
    ) -> Result<Option<(Keys, Envelope)>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT a.address, a.blinded_key, a.access_key, e.time_ms, e.kind, e.sealed FROM envelopes e
             JOIN addresses a ON a.row = e.address_row WHERE e.id = ?1",
        )?;
        let mut rows = statement.query([id.as_bytes().as_slice()])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let keys = keys(row)?;
        let time = UnixMillis::from_millis(from_sql(row.get(3)?));
        if time.after(LIFETIME) <= now {
            return Ok(None);
        }
        let kind = Kind::try_from(row.get::<_, u32>(4)?)
            .map_err(|_| StoreError::Corrupt("kind of envelope"))?;
        let sealed = Bytes::from(row.get::<_, Vec<u8>>(5)?);
        let envelope = Envelope::parse(keys.address, time, kind, sealed)
            .map_err(|_| StoreError::Corrupt("envelope"))?;
        Ok(Some((keys, envelope)))
    }

    /// The address that an envelope is of.
    pub(crate) fn address_of(&self, id: &EnvelopeId) -> Result<Option<Address>, StoreError> {
        let address = self
            .connection
            .prepare_cached(
                "SELECT a.address FROM envelopes e JOIN addresses a ON a.row = e.address_row WHERE e.id = ?1",
            )?
            .query_row([id.as_bytes().as_slice()], |row| row.get(0))
            .optional()?;
        Ok(address.map(Address::from_bytes))
    }
}

fn keys(row: &SqlRow<'_>) -> Result<Keys, StoreError> {
    let blinded = PublicKey::from_bytes(&row.get(1)?)
        .map_err(|_| StoreError::Corrupt("blinded key of an address"))?;
    Ok(Keys {
        address: Address::from_bytes(row.get(0)?),
        blinded,
        access: AccessKey::from_bytes(row.get(2)?),
    })
}

fn record_row(row: &SqlRow<'_>) -> Result<RecordRow, StoreError> {
    let seq: Option<i64> = row.get(4)?;
    let own = match seq {
        Some(seq) => Some(Record {
            slot: row.get(3)?,
            seq: from_sql(seq),
            value: Bytes::from(row.get::<_, Vec<u8>>(5)?),
            signature: Bytes::from(row.get::<_, Vec<u8>>(6)?),
        }),
        None => None,
    };
    Ok(RecordRow {
        address: Address::from_bytes(row.get(0)?),
        key: row.get(1)?,
        secret: row.get(2)?,
        own,
    })
}

/// One network may fill one of so many parts of what there is room for.
const NETWORKS: u64 = 4;
/// Other super nodes remembered.
const PEERS: u64 = 1_024;
/// A node that answered within this time cannot be pushed out by names, in seconds: a day.
const STALE_S: u64 = 24 * 3_600;
/// How long a name that was never reached keeps its place, in seconds: an hour, enough for a few tries.
const TRIED_S: u64 = 3_600;
