//! Announcements: what a node is told so that it can complete itself from others that serve the same addresses, and
//! be found in the DHT (docs/PROTOCOL.md, sections 5.7 and 5.8).

use std::time::Duration;

use bytes::Bytes;

use crate::channel::{Epoch, NodeLink, delegation_statement, own_slots};
use crate::crypto::NodeKey;
use crate::store::{AccessRow, StoredAccess, StoredNode, Tx};
use crate::sync::leases;
use crate::wire::{
    limits::{MAX_AHEAD, MAX_ANNOUNCEMENTS, MAX_PEERS},
    node::{Announce, Announced, Announcement, Reason, Refusal, Request, request::Kind},
    time::UnixMillis,
};

use super::{
    Engine, Error,
    leases::{request, spread},
    node_by_key,
    nodes::kept_nodes,
    receives, time_at,
};

/// Announcements on their way to a node, to be matched with its answer.
pub struct Announcing {
    /// What to send.
    pub request: Request,
    announcements: Vec<Announcement>,
    told: Vec<ToTell>,
}

/// For which address an announcement is, and what stands for its content.
#[derive(Clone, Copy)]
struct ToTell {
    access: AccessRow,
    epoch: Epoch,
    tag: [u8; 16],
}

impl Engine {
    /// Announcements that are due at a node, without records; several if there are many, none if there are none.
    pub fn announce(&mut self, node: &NodeKey, now: UnixMillis) -> Result<Vec<Announcing>, Error> {
        let addresses = &mut self.addresses;
        self.store.read(|tx| {
            let stored = node_by_key(tx, node)?;
            let now = time_at(&stored, now);
            let mut due = Vec::new();
            let own = others(tx, &stored)?;
            for access in receiving(tx, now)? {
                let peers = peers(tx, &stored, &own, &access)?;
                for (to_tell, end) in due_of(tx, &stored, &access, &peers, now)? {
                    let keys = addresses.keys(&access, to_tell.epoch)?;
                    let until = end.as_secs();
                    let statement = delegation_statement(node, &keys.address, until);
                    let mut announcement = Announcement {
                        address: Bytes::copy_from_slice(keys.address.as_bytes()),
                        until,
                        delegation: Bytes::copy_from_slice(&keys.access.sign(&statement)),
                        peers: peers.iter().map(NodeLink::to_hint).collect(),
                        ..Announcement::default()
                    };
                    if is_found(&access, to_tell.epoch, now)
                        && let Ok(key) = access.access.record_key(to_tell.epoch)
                    {
                        let secret = access.access.record_secret(to_tell.epoch);
                        announcement.record_key = Bytes::copy_from_slice(key.as_bytes());
                        announcement.record_secret = Bytes::copy_from_slice(secret.expose());
                    }
                    due.push((announcement, to_tell));
                }
            }
            let mut announcings = Vec::new();
            while !due.is_empty() {
                let rest = due.split_off(due.len().min(MAX_ANNOUNCEMENTS));
                let (announcements, told) = std::mem::replace(&mut due, rest).into_iter().unzip();
                announcings.push(Announcing::new(announcements, told));
            }
            Ok(announcings)
        })
    }

    /// Takes in what a node says of announcements. Where it wants records, and we may write, the same announcements
    /// come back with records freshly signed, to be sent in turn.
    pub fn announced(
        &mut self,
        node: &NodeKey,
        announcing: &Announcing,
        answer: &Announced,
        now: UnixMillis,
    ) -> Result<Option<Announcing>, Error> {
        let entropy = &mut *self.entropy;
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            // A node that claims to be far ahead would get records that nobody can follow.
            let signed_at = time_at(&stored, now).min(now.after(MAX_AHEAD));
            let now = time_at(&stored, now);
            let accesses = tx.accesses()?;
            let mut again = Vec::new();
            for (index, (announcement, told)) in announcing.each().enumerate() {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                let refusal = answer
                    .refusals
                    .iter()
                    .find(|refusal| refusal.index == index)
                    .map(Refusal::reason);
                tell(tx, &stored, told, refusal, now)?;
                // Asked for once only, or a node could make us sign for ever.
                let signs = refusal.is_none()
                    && announcement.records.is_empty()
                    && !announcement.record_key.is_empty();
                if !signs {
                    continue;
                }
                let Some(access) = accesses.iter().find(|access| access.row == told.access) else {
                    continue;
                };
                let Ok(Some(signer)) = access.access.record_signer(told.epoch) else {
                    continue;
                };
                let secret = access.access.record_secret(told.epoch);
                let slots = own_slots(node, signer.key()).into_iter();
                let wanted = slots.filter(|slot| is_wanted(answer, index, *slot));
                let records = wanted.map(|slot| {
                    let record = signer.sign(&secret, &stored.link, slot, signed_at, entropy);
                    record.to_wire()
                });
                let records: Vec<_> = records.collect();
                if records.is_empty() {
                    continue;
                }
                let announcement = Announcement {
                    records,
                    // The node has just been told of them.
                    peers: Vec::new(),
                    ..announcement.clone()
                };
                again.push((announcement, *told));
            }
            if again.is_empty() {
                return Ok(None);
            }
            let (announcements, told) = again.into_iter().unzip();
            Ok(Some(Announcing::new(announcements, told)))
        })
    }

    /// Takes in that a node refused all of it.
    pub fn announcing_refused(
        &mut self,
        node: &NodeKey,
        announcing: &Announcing,
        reason: Reason,
        now: UnixMillis,
    ) -> Result<(), Error> {
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            let now = time_at(&stored, now);
            for told in &announcing.told {
                tell(tx, &stored, told, Some(reason), now)?;
            }
            Ok(())
        })
    }
}

impl Announcing {
    fn new(announcements: Vec<Announcement>, told: Vec<ToTell>) -> Self {
        Self {
            request: request(Kind::Announce(Announce {
                announcements: announcements.clone(),
            })),
            announcements,
            told,
        }
    }

    fn each(&self) -> impl Iterator<Item = (&Announcement, &ToTell)> {
        self.announcements.iter().zip(&self.told)
    }
}

/// Whether a node is to be told something.
pub(super) fn announces(
    tx: &Tx<'_>,
    stored: &StoredNode,
    accesses: &[StoredAccess],
    now: UnixMillis,
) -> Result<bool, Error> {
    let own = others(tx, stored)?;
    for access in accesses {
        let peers = peers(tx, stored, &own, access)?;
        if !due_of(tx, stored, access, &peers, now)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The keys whose addresses are leased.
pub(super) fn receiving(tx: &Tx<'_>, now: UnixMillis) -> Result<Vec<StoredAccess>, Error> {
    let mut accesses = tx.accesses()?;
    accesses.retain(|access| receives(access, now));
    Ok(accesses)
}

/// The addresses of these keys that are leased at a node and of which it should be told, and when the leases end.
fn due_of(
    tx: &Tx<'_>,
    node: &StoredNode,
    access: &StoredAccess,
    peers: &[NodeLink],
    now: UnixMillis,
) -> Result<Vec<(ToTell, UnixMillis)>, Error> {
    let mut due = Vec::new();
    for epoch in leases::wanted(now, spread(node.link.key(), access)) {
        let Some(end) = tx
            .lease(node.row, access.row, epoch)?
            .filter(|end| *end > now)
        else {
            continue;
        };
        let found = is_found(access, epoch, now);
        let to_tell = ToTell {
            access: access.row,
            epoch,
            tag: tag(tx, peers, found),
        };
        let stands = tx
            .announced(node.row, access.row, epoch)?
            .is_some_and(|(tag, told)| tag == to_tell.tag && now.since(told) < TOLD_AGAIN);
        if !stands {
            due.push((to_tell, end));
        }
    }
    Ok(due)
}

/// Whether members look for nodes under these keys: not for a week that is over, nor for keys that rotation retired.
fn is_found(access: &StoredAccess, epoch: Epoch, now: UnixMillis) -> bool {
    access.retired.is_none() && epoch >= Epoch::of(now)
}

/// Our nodes but this one.
fn others(tx: &Tx<'_>, node: &StoredNode) -> Result<Vec<NodeLink>, Error> {
    let links = kept_nodes(tx)?.into_iter().map(|node| node.link);
    Ok(links.filter(|link| link.key() != node.link.key()).collect())
}

/// The other nodes that serve a channel, as far as we know: ours first, then those of its link and members.
fn peers(
    tx: &Tx<'_>,
    node: &StoredNode,
    own: &[NodeLink],
    access: &StoredAccess,
) -> Result<Vec<NodeLink>, Error> {
    let named = tx.named_nodes(access.channel)?.into_iter();
    let mut peers: Vec<NodeLink> = Vec::new();
    for link in own.iter().cloned().chain(named.map(|named| named.link)) {
        let new =
            link.key() != node.link.key() && peers.iter().all(|peer| peer.key() != link.key());
        if new && peers.len() < MAX_PEERS {
            peers.push(link);
        }
    }
    peers.sort_unstable();
    Ok(peers)
}

fn tag(tx: &Tx<'_>, peers: &[NodeLink], found: bool) -> [u8; 16] {
    let mut told = vec![u8::from(found)];
    for peer in peers {
        told.extend_from_slice(peer.key().as_bytes());
        told.extend_from_slice(&peer.port().to_be_bytes());
        told.extend_from_slice(peer.host().as_bytes());
        told.push(0);
    }
    tx.told_tag(&told)
}

/// Whether a node wants a record for a slot, of what was announced at `index`.
fn is_wanted(answer: &Announced, index: u32, slot: u8) -> bool {
    let mut wanted = answer.records_wanted.iter();
    wanted.any(|wanted| wanted.index == index && wanted.slot == u32::from(slot))
}

/// What a node was told stands for 20 hours, also where it refused for good; what it may take soon is told again.
fn tell(
    tx: &Tx<'_>,
    node: &StoredNode,
    told: &ToTell,
    refusal: Option<Reason>,
    now: UnixMillis,
) -> Result<(), Error> {
    match refusal {
        Some(Reason::RateLimited | Reason::Storage | Reason::Busy | Reason::EarlyData) => Ok(()),
        refusal => {
            if let Some(reason) = refusal {
                tracing::debug!(node = %node.link.key(), ?reason, "an announcement was refused");
            }
            Ok(tx.put_announced(node.row, told.access, told.epoch, told.tag, now)?)
        }
    }
}

/// Records last for 48 hours and delegations for the lease, so once a day is enough, with time to spare.
const TOLD_AGAIN: Duration = Duration::from_secs(20 * 3600);
