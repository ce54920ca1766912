//! What the node knows of other super nodes: delegations for its addresses, who serves them too, records for the DHT.

mod writer;

use ailurus::{
    channel::{Address, Envelope, EnvelopeId, Kind, NodeLink, RecordKey},
    crypto::{AccessKey, NodeKey, Pseudonym, PublicKey},
    wire::{limits::LIFETIME, node::Record, time::UnixMillis},
};
use bytes::Bytes;
use rusqlite::{OptionalExtension, Row as SqlRow};

use super::{Keys, Reader, StoreError, from_sql, to_sql};

/// The access key's word that this node may register an address at others.
#[derive(Clone, Debug)]
pub(crate) struct Delegation {
    pub(crate) keys: DelegatedKeys,
    /// Unix seconds.
    pub(crate) until_s: u64,
    pub(crate) signature: [u8; 64],
}

/// The two keys of an address as they are sent: nothing is verified with them, and lifting a point for each would cost
/// more than all the rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DelegatedKeys {
    pub(crate) address: Address,
    pub(crate) blinded: [u8; 32],
    pub(crate) access: [u8; 32],
}

/// The keys of an address that a client has leased.
pub(crate) struct LeasedKeys {
    pub(crate) keys: DelegatedKeys,
    /// The delegation that is kept, if there is one: its end in Unix seconds and its signature.
    pub(crate) delegated: Option<(u64, [u8; 64])>,
}

impl From<&Keys> for DelegatedKeys {
    fn from(keys: &Keys) -> Self {
        Self {
            address: keys.address,
            blinded: *keys.blinded.as_bytes(),
            access: *keys.access.as_bytes(),
        }
    }
}

/// Where an address's records are in the DHT, and whether this node has some of its own.
pub(crate) struct RecordRow {
    pub(crate) address: Address,
    /// The epoch's public key, and what opens its records.
    pub(crate) key: [u8; 32],
    pub(crate) secret: [u8; 32],
    /// When the newest of this node's own records was signed, in Unix seconds.
    pub(crate) signed_s: Option<u64>,
    /// The slot in which this node's record is to stand.
    pub(crate) slot: Option<u8>,
}

/// Another super node, and the addresses that it is said to serve.
#[derive(Clone, Debug)]
pub(crate) struct PeerRow {
    pub(crate) node: NodeLink,
    pub(crate) addresses: Vec<Address>,
    pub(crate) trust: Trust,
}

/// Clients of this node that have one of the addresses that another is said to serve: of those with an introduction and
/// of all, up to a few dozen. One client may name any number of nodes, but is only one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Trust {
    pub(crate) introduced: u64,
    pub(crate) clients: u64,
}

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// It is news.
    New,
    /// It was known, or there is no room for it.
    Nothing,
}

impl Reader {
    /// Delegations that have not ended, of addresses that a client has leased here.
    pub(crate) fn delegations(&self, now: UnixMillis) -> Result<Vec<Delegation>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT d.address, d.blinded_key, d.access_key, d.until_s, d.signature FROM delegations d
             WHERE d.until_s > ?1 AND EXISTS (
               SELECT 1 FROM addresses a JOIN leases l ON l.address_row = a.row
               WHERE a.address = d.address AND l.end_s > ?1 AND l.peer = 0)
             ORDER BY d.address",
        )?;
        let mut rows = statement.query([to_sql(now.as_secs())])?;
        let mut delegations = Vec::new();
        while let Some(row) = rows.next()? {
            delegations.push(Delegation {
                keys: DelegatedKeys {
                    address: Address::from_bytes(row.get(0)?),
                    blinded: row.get(1)?,
                    access: row.get(2)?,
                },
                until_s: from_sql(row.get(3)?),
                signature: row.get(4)?,
            });
        }
        Ok(delegations)
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
            let row = PeerRow {
                node,
                addresses,
                trust: self.trust(number)?,
            };
            peers.push((number, row));
        }
        Ok(peers.into_iter().map(|(_, peer)| peer).collect())
    }

    fn trust(&self, peer: i64) -> Result<Trust, StoreError> {
        let trust = self
            .connection
            .prepare_cached(
                "SELECT count(hop_count), count(*) FROM (
                   SELECT DISTINCT r.row, r.hop_count FROM peer_addresses s
                   JOIN addresses a ON a.address = s.address
                   JOIN leases l ON l.address_row = a.row AND l.peer = 0
                   JOIN registrations r ON r.row = l.registration_row
                   WHERE s.peer_row = ?1 LIMIT ?2)",
            )?
            .query_row((peer, TRUST), |row| {
                Ok(Trust {
                    introduced: from_sql(row.get(0)?),
                    clients: from_sql(row.get(1)?),
                })
            })?;
        Ok(trust)
    }

    /// What the DHT is to say and may tell, for addresses that a client has leased here.
    pub(crate) fn records(&self, now: UnixMillis) -> Result<Vec<RecordRow>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT d.address, d.record_key, d.record_secret, d.slot,
               (SELECT max(seq) FROM records r WHERE r.address = d.address)
             FROM delegations d WHERE d.until_s > ?1 AND d.record_key IS NOT NULL",
        )?;
        let mut rows = statement.query([to_sql(now.as_secs())])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(record_row(row)?);
        }
        Ok(records)
    }

    /// The slot in which this node's record of an address is to stand, under this key.
    pub(crate) fn taken_slot(
        &self,
        address: &Address,
        key: &RecordKey,
    ) -> Result<Option<u8>, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT slot FROM delegations WHERE address = ?1 AND record_key = ?2")?
            .query_row((address.as_bytes(), key.as_bytes()), |row| row.get(0))
            .optional()?;
        Ok(found.flatten())
    }

    /// This node's own records of an address, at most one for each slot.
    pub(crate) fn own_records(&self, address: &Address) -> Result<Vec<Record>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT slot, seq, value, signature FROM records WHERE address = ?1")?;
        let mut rows = statement.query([address.as_bytes().as_slice()])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(Record {
                slot: row.get(0)?,
                seq: from_sql(row.get(1)?),
                value: Bytes::from(row.get::<_, Vec<u8>>(2)?),
                signature: Bytes::from(row.get::<_, Vec<u8>>(3)?),
            });
        }
        Ok(records)
    }

    /// The keys of an address that a client, not a peer, has leased.
    pub(crate) fn leased_keys(
        &self,
        pseudonym: &Pseudonym,
        address: &Address,
        now: UnixMillis,
    ) -> Result<Option<LeasedKeys>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT a.blinded_key, a.access_key, d.until_s, d.signature FROM registrations r
             JOIN leases l ON l.registration_row = r.row JOIN addresses a ON a.row = l.address_row
             LEFT JOIN delegations d ON d.address = a.address
             WHERE r.pseudonym = ?1 AND a.address = ?2 AND l.end_s > ?3 AND r.peer = 0",
        )?;
        let mut rows = statement.query((
            pseudonym.as_bytes().as_slice(),
            address.as_bytes().as_slice(),
            to_sql(now.as_secs()),
        ))?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let until_s: Option<i64> = row.get(2)?;
        let signature: Option<[u8; 64]> = row.get(3)?;
        Ok(Some(LeasedKeys {
            keys: DelegatedKeys {
                address: *address,
                blinded: row.get(0)?,
                access: row.get(1)?,
            },
            delegated: until_s.map(from_sql).zip(signature),
        }))
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
    let signed: Option<i64> = row.get(4)?;
    Ok(RecordRow {
        address: Address::from_bytes(row.get(0)?),
        key: row.get(1)?,
        secret: row.get(2)?,
        slot: row.get(3)?,
        signed_s: signed.map(from_sql),
    })
}

/// Clients that are counted for one other node.
const TRUST: i64 = 64;
