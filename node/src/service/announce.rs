//! Announcements (docs/PROTOCOL.md, section 5.7): what members tell the node about others that serve their addresses.

use std::{collections::HashMap, time::Duration};

use ailurus::{
    channel::{
        Address, Epoch, NodeLink, RecordKey, RecordSecret, SignedRecord, delegation_statement,
        record::own_slots,
    },
    crypto::{AccessKey, NodeKey},
    wire::{
        content::NodeHint,
        limits::{ADDRESS_EARLY, MAX_ANNOUNCEMENTS, MAX_PEERS, RECORD_LIFETIME, SLOTS_PER_NODE},
        node::{
            Announce, Announced, Announcement, Reason, Record, RecordWanted, Response,
            response::Kind,
        },
        time::UnixMillis,
    },
};

use super::{Service, Session, commit::answer, register::refusal};
use crate::store::{Delegation, LeasedKeys, NetworkId, StoreError, Writer};

/// An announcement that was checked.
struct Checked {
    delegation: Delegation,
    peers: Vec<NodeLink>,
    place: Option<(RecordKey, RecordSecret)>,
    records: Vec<Record>,
}

impl Service {
    /// Takes announcements in. Reads and writes the database, so it belongs on a thread that may wait.
    pub(crate) fn announce(
        &self,
        session: &Session,
        now: UnixMillis,
        announce: &Announce,
    ) -> Response {
        if announce.announcements.len() > MAX_ANNOUNCEMENTS {
            return self.refuse(Reason::Malformed, now);
        }
        match self.announced(session, now, announce) {
            Ok(announced) => {
                if announced.refusals.len() < announce.announcements.len() {
                    self.seen.note_visit(&session.pseudonym, now);
                }
                answer(Kind::Announced(announced))
            }
            Err(_) => self.refuse(Reason::Storage, now),
        }
    }

    fn announced(
        &self,
        session: &Session,
        now: UnixMillis,
        announce: &Announce,
    ) -> Result<Announced, StoreError> {
        let mut announced = Announced::default();
        let mut sound = Vec::new();
        for (index, announcement) in announce.announcements.iter().enumerate() {
            let checked = match self.leased(session, now, announcement)? {
                Ok(keys) => self.check_announcement(now, &keys, announcement),
                Err(reason) => Err(reason),
            };
            match checked {
                Ok(checked) => sound.push((index, checked)),
                Err(reason) => {
                    self.metrics.count_refusal(reason);
                    announced.refusals.push(refusal(index, reason));
                }
            }
        }
        if sound.is_empty() {
            return Ok(announced);
        }
        let network = session.network;
        let network = network.map(|network| self.store.network_id(&network.to_bytes()));
        let refused = self.store.write(|writer| {
            let mut refused = HashMap::new();
            for (index, checked) in &sound {
                if let Some(reason) = store(writer, now, checked, network.as_ref())? {
                    refused.insert(*index, reason);
                }
            }
            Ok(refused)
        })?;
        for (index, checked) in &sound {
            if let Some(reason) = refused.get(index) {
                announced.refusals.push(refusal(*index, *reason));
            } else if let Some((key, _)) = &checked.place {
                let address = &checked.delegation.keys.address;
                let slots = self.records_wanted(now, address, key)?.into_iter();
                announced
                    .records_wanted
                    .extend(slots.map(|slot| RecordWanted {
                        index: u32::try_from(*index).unwrap_or(u32::MAX),
                        slot: u32::from(slot),
                    }));
            }
        }
        self.neighbours_changed();
        Ok(announced)
    }

    fn leased(
        &self,
        session: &Session,
        now: UnixMillis,
        announcement: &Announcement,
    ) -> Result<Result<LeasedKeys, Reason>, StoreError> {
        let Ok(address) = Address::try_from(announcement.address.as_ref()) else {
            return Ok(Err(Reason::Malformed));
        };
        let keys = self
            .store
            .read(|reader| reader.leased_keys(&session.pseudonym, &address, now))?;
        Ok(keys.ok_or(Reason::NotRegistered))
    }

    fn check_announcement(
        &self,
        now: UnixMillis,
        leased: &LeasedKeys,
        announcement: &Announcement,
    ) -> Result<Checked, Reason> {
        let until = UnixMillis::from_secs(announcement.until);
        // The epoch is not said; no address is accepted whose lease may end later than this.
        if until <= now || until > Epoch::of(now.after(ADDRESS_EARLY)).lease_end() {
            return Err(Reason::LeaseEnd);
        }
        let signature: [u8; 64] = announcement
            .delegation
            .as_ref()
            .try_into()
            .map_err(|_| Reason::Malformed)?;
        let keys = leased.keys;
        // All members sign the same bytes with the same key: what the first one said was checked.
        if leased.delegated != Some((announcement.until, signature)) {
            let statement = delegation_statement(&self.node, &keys.address, announcement.until);
            AccessKey::from_bytes(keys.access)
                .verify(&statement, &signature)
                .map_err(|_| Reason::BadProof)?;
        }
        if announcement.peers.len() > MAX_PEERS {
            return Err(Reason::Malformed);
        }
        let peers = announcement
            .peers
            .iter()
            .filter_map(node_link)
            .filter(|peer| *peer.key() != self.node && self.may_dial(peer.host()))
            .collect();
        let place = place(announcement)?;
        let records = &announcement.records;
        if records.len() > SLOTS_PER_NODE || (place.is_none() && !records.is_empty()) {
            return Err(Reason::Malformed);
        }
        if let Some((key, secret)) = &place {
            for record in records {
                self.check_record(now, record, key, secret)?;
            }
        }
        Ok(Checked {
            delegation: Delegation {
                keys,
                until_s: announcement.until,
                signature,
            },
            peers,
            place,
            records: records.clone(),
        })
    }

    /// Whether a writer signed a record for a slot of this node and it names this node; another would send members
    /// elsewhere, or take another node's place.
    fn check_record(
        &self,
        now: UnixMillis,
        record: &Record,
        key: &RecordKey,
        secret: &RecordSecret,
    ) -> Result<(), Reason> {
        let signed = SignedRecord::parse(record).map_err(|_| Reason::Malformed)?;
        let node = signed
            .open(key, secret, now)
            .map_err(|_| Reason::BadSignature)?;
        if *node.key() != self.node || !own_slots(&self.node, key).contains(&signed.slot) {
            return Err(Reason::BadProof);
        }
        Ok(())
    }

    /// For which slots records are wanted: for all that this node may take until it has a live one where it stands; that
    /// one is renewed then.
    fn records_wanted(
        &self,
        now: UnixMillis,
        address: &Address,
        key: &RecordKey,
    ) -> Result<Vec<u8>, StoreError> {
        let (taken, kept) = self.store.read(|reader| {
            Ok((
                reader.taken_slot(address, key)?,
                reader.own_records(address)?,
            ))
        })?;
        let slots = own_slots(&self.node, key);
        let [first, ..] = slots;
        let slot = taken.filter(|slot| slots.contains(slot)).unwrap_or(first);
        let is_kept = |slot: u8, since: Duration| {
            kept.iter().any(|record| {
                record.slot == u32::from(slot)
                    && UnixMillis::from_secs(record.seq).after(since) > now
            })
        };
        Ok(if is_kept(slot, RECORD_RENEWED) {
            Vec::new()
        } else if is_kept(slot, RECORD_LIFETIME) {
            vec![slot]
        } else {
            let lacking = |slot: &u8| !is_kept(*slot, RECORD_RENEWED);
            slots.into_iter().filter(lacking).collect()
        })
    }
}

fn store(
    writer: &mut Writer,
    now: UnixMillis,
    checked: &Checked,
    network: Option<&NetworkId>,
) -> Result<Option<Reason>, StoreError> {
    let address = &checked.delegation.keys.address;
    let place = checked
        .place
        .as_ref()
        .map(|(key, secret)| (key.as_bytes(), secret.expose()));
    let refused = writer.delegate(&checked.delegation, place, network, DELEGATIONS)?;
    if refused.is_some() {
        return Ok(refused);
    }
    for peer in &checked.peers {
        writer.name_peer(address, peer, now)?;
    }
    for record in &checked.records {
        writer.keep_record(address, record)?;
    }
    Ok(None)
}

/// A hint that is none is passed over: members pass on what they were told.
fn node_link(hint: &NodeHint) -> Option<NodeLink> {
    let key = NodeKey::try_from(hint.key.as_ref()).ok()?;
    NodeLink::new(key, &hint.host, u16::try_from(hint.port).ok()?).ok()
}

fn place(announcement: &Announcement) -> Result<Option<(RecordKey, RecordSecret)>, Reason> {
    let (key, secret) = (&announcement.record_key, &announcement.record_secret);
    if key.is_empty() && secret.is_empty() {
        return Ok(None);
    }
    let key = RecordKey::try_from(key.as_ref()).map_err(|_| Reason::Malformed)?;
    let secret = RecordSecret::try_from(secret.as_ref()).map_err(|_| Reason::Malformed)?;
    Ok(Some((key, secret)))
}

/// A record is signed anew after this time, which is half of its life.
const RECORD_RENEWED: Duration = Duration::from_secs(24 * 3_600);
/// Addresses with a delegation, about 1,500 bytes each on disk.
const DELEGATIONS: u64 = 131_072;
