//! Who may register: nearness first, then room. Runs within the transaction that adds the leases.

use ailurus::{
    channel::Address,
    crypto::Pseudonym,
    wire::{
        node::{Reason, Refusal, Registered as Answer},
        time::UnixMillis,
    },
};

use super::{
    admission::Admission,
    check::{Checked, CheckedLease},
};
use crate::{
    config::Limits,
    store::{
        Hops, Introduced, NetworkId, Newcomer, Registered, Store, StoreError, Writer, distance,
    },
};

/// A node's rules as they stand at this moment.
pub(super) struct Rules<'a> {
    pub(super) limits: &'a Limits,
    /// The processor is too busy for strangers.
    pub(super) no_strangers: bool,
    /// The time may be wrong, so nobody goes because of it.
    pub(super) clock_held: bool,
    pub(super) admission: &'a Admission,
    /// For the names of networks.
    pub(super) store: &'a Store,
    pub(super) now: UnixMillis,
}

/// What came of a request to register.
pub(super) struct Outcome {
    /// The answer, or why the whole request is refused; then nothing changed.
    pub(super) answer: Result<Answer, Reason>,
    /// A client that had to make room.
    pub(super) evicted: Option<Pseudonym>,
}

impl Rules<'_> {
    /// Registers a client or a peer, with the leases that are good.
    pub(super) fn register(
        &self,
        writer: &mut Writer,
        request: &Checked,
        leases: &[Result<CheckedLease, Reason>],
        introduced: Option<&Introduced>,
    ) -> Result<Outcome, StoreError> {
        let found = writer.registered(&request.pseudonym)?;
        let introduced = match self.vet(writer, found.as_ref(), introduced)? {
            Ok(introduced) => introduced,
            Err(reason) => {
                return Ok(Outcome {
                    answer: Err(reason),
                    evicted: None,
                });
            }
        };
        let mut desk = Desk {
            rules: self,
            request,
            introduced,
            place: None,
            evicted: None,
        };
        if let Some(found) = found {
            desk.come_back(writer, &found)?;
        }
        let mut refusals = Vec::new();
        for (index, lease) in leases.iter().enumerate() {
            let reason = match lease {
                Err(reason) => Some(*reason),
                Ok(lease) => desk.add(writer, lease)?,
            };
            refusals.extend(reason.map(|reason| refusal(index, reason)));
        }
        if let Some(place) = desk.place
            && place.version.is_some()
        {
            writer.keep_leases(place.row, place.leases)?;
        }
        let hops = desk.place.and_then(|place| place.hops);
        Ok(Outcome {
            answer: Ok(Answer {
                refusals,
                hop_count: hops.map(u32::from),
            }),
            evicted: desk.evicted,
        })
    }

    /// Whether an introduction may be used; `None` if there is none that betters what the client has.
    fn vet<'i>(
        &self,
        writer: &mut Writer,
        found: Option<&Registered>,
        introduced: Option<&'i Introduced>,
    ) -> Result<Result<Option<&'i Introduced>, Reason>, StoreError> {
        let Some(introduced) = introduced else {
            return Ok(Ok(None));
        };
        if writer.is_revoked(&introduced.chain, self.now)? {
            return Ok(Err(Reason::Revoked));
        }
        let own = found.map(|found| found.row);
        if writer.holder_is_taken(&introduced.holder, own)? {
            return Ok(Err(Reason::BadIntroduction));
        }
        if found.is_some_and(|found| !betters(introduced, found)) {
            return Ok(Ok(None));
        }
        let otherwise = self.limits.clients_per_introduction;
        for chain in &introduced.chain {
            if !writer.subtree_has_room(chain, own, otherwise)? {
                return Ok(Err(Reason::SubtreeFull));
            }
        }
        Ok(Ok(Some(introduced)))
    }
}

/// Nearer than what the client has, or as near for longer.
fn betters(introduced: &Introduced, found: &Registered) -> bool {
    if found.peer {
        return false;
    }
    match introduced.hops.cmp(&distance(found.hops)) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Equal => introduced.end_s > found.introduction_end_s,
        std::cmp::Ordering::Greater => false,
    }
}

/// One request on its way through.
struct Desk<'a> {
    rules: &'a Rules<'a>,
    request: &'a Checked,
    introduced: Option<&'a Introduced>,
    /// What its leases are added to: decided with the first good lease, unless it was there before.
    place: Option<Place>,
    evicted: Option<Pseudonym>,
}

/// A registration to which leases are being added, all under one new version.
#[derive(Clone, Copy)]
struct Place {
    row: i64,
    hops: Hops,
    peer: bool,
    leases: u64,
    version: Option<u64>,
}

impl Desk<'_> {
    fn come_back(&mut self, writer: &mut Writer, found: &Registered) -> Result<(), StoreError> {
        let mut hops = found.hops;
        if let Some(introduced) = self.introduced {
            writer.introduce(found.row, found.hops, introduced)?;
            hops = Some(introduced.hops);
        }
        writer.see(&self.request.pseudonym, self.rules.now.as_secs())?;
        self.place = Some(Place {
            row: found.row,
            hops,
            peer: found.peer,
            leases: found.leases,
            version: None,
        });
        Ok(())
    }

    /// Adds or extends a lease.
    fn add(
        &mut self,
        writer: &mut Writer,
        lease: &CheckedLease,
    ) -> Result<Option<Reason>, StoreError> {
        // A member's word is good for an address that a client of this node has, and no longer than that.
        if lease.delegated && !writer.is_leased(&lease.keys.address)? {
            return Ok(Some(Reason::NotRegistered));
        }
        let mut place = match self.place {
            Some(place) => place,
            None => match self.let_in(writer, lease.delegated)? {
                Ok(place) => place,
                Err(reason) => return Ok(Some(reason)),
            },
        };
        self.place = Some(place);
        // A client's word does not make it a node, nor the other way round.
        if lease.delegated != place.peer {
            return Ok(Some(Reason::BadProof));
        }
        let address: &Address = &lease.keys.address;
        if writer.extend_lease(place.row, address, lease.end_s)? {
            return Ok(None);
        }
        if let Some(reason) = self.full(writer, place.peer, place.leases) {
            return Ok(Some(reason));
        }
        let version = match place.version {
            Some(version) => version,
            None => writer.next_version(place.row)?,
        };
        place.version = Some(version);
        place.leases = place.leases.saturating_add(1);
        self.place = Some(place);
        writer.add_lease(place.row, &lease.keys, version, lease.end_s, place.peer)?;
        Ok(None)
    }

    /// Why there is no room for one more lease of somebody who has so many.
    fn full(&self, writer: &Writer, peer: bool, leases: u64) -> Option<Reason> {
        let limits = self.rules.limits;
        let most = if peer {
            limits.addresses_per_peer
        } else {
            limits.addresses_per_client
        };
        if leases >= most {
            return Some(Reason::ClientFull);
        }
        let totals = writer.totals();
        let full = totals.leases >= limits.leases
            || (peer && totals.peer_leases >= limits.leases_of_peers);
        full.then_some(Reason::NodeFull)
    }

    /// Makes a registration, for which somebody farther away may have to go.
    fn let_in(
        &mut self,
        writer: &mut Writer,
        peer: bool,
    ) -> Result<Result<Place, Reason>, StoreError> {
        // A registration without a lease would never end.
        if let Some(reason) = self.full(writer, peer, 0) {
            return Ok(Err(reason));
        }
        let newcomer = match self.introduced {
            _ if peer => Newcomer::Peer,
            Some(introduced) => Newcomer::Introduced(introduced),
            None => Newcomer::Stranger,
        };
        let hops = match &newcomer {
            Newcomer::Introduced(introduced) => Some(introduced.hops),
            Newcomer::Peer | Newcomer::Stranger => None,
        };
        let leaves = match self.who_leaves(writer, &newcomer)? {
            Ok(leaves) => leaves,
            Err(reason) => return Ok(Err(reason)),
        };
        let network = self.network();
        if let Some(reason) = self.pay(writer, &newcomer, network.as_ref())? {
            return Ok(Err(reason));
        }
        if let Some(leaves) = leaves {
            self.evicted = writer.evict(leaves.row, Reason::Evicted, self.rules.now)?;
            if let Newcomer::Introduced(introduced) = &newcomer
                && let Some(root) = introduced.chain.first()
            {
                writer.note_eviction(root, self.rules.now)?;
            }
        }
        let pseudonym = &self.request.pseudonym;
        let now = self.rules.now;
        let row = writer.add_registration(pseudonym, &newcomer, network.as_ref(), now)?;
        Ok(Ok(Place {
            row,
            hops,
            peer,
            leases: 0,
            version: None,
        }))
    }

    /// Who has to go for a newcomer; nobody while there is room.
    fn who_leaves(
        &self,
        writer: &Writer,
        newcomer: &Newcomer<'_>,
    ) -> Result<Result<Option<Registered>, Reason>, StoreError> {
        let (limits, totals) = (self.rules.limits, writer.totals());
        let full = totals.clients >= limits.registrations;
        let (leaves, reason) = match newcomer {
            Newcomer::Peer if totals.peers < limits.peers => return Ok(Ok(None)),
            Newcomer::Peer => {
                let stalest = writer.stalest_peer()?;
                let leaves = stalest.filter(|found| self.unseen(found, PEER_UNSEEN_S));
                (leaves, Reason::NodeFull)
            }
            Newcomer::Stranger if self.rules.no_strangers => (None, Reason::NoStrangers),
            Newcomer::Stranger => {
                let full_of_strangers = totals.strangers >= limits.strangers;
                if !full && !full_of_strangers {
                    return Ok(Ok(None));
                }
                let leaves = writer
                    .farthest()?
                    .filter(|found| found.hops.is_none() && self.unseen(found, STRANGER_UNSEEN_S));
                let reason = if full_of_strangers {
                    Reason::NoStrangers
                } else {
                    Reason::NodeFull
                };
                (leaves, reason)
            }
            Newcomer::Introduced(_) if !full => return Ok(Ok(None)),
            Newcomer::Introduced(introduced) => {
                let farthest = writer.farthest()?;
                let leaves = farthest.filter(|found| introduced.hops < distance(found.hops));
                if leaves.is_some() && self.has_pushed_out_enough(writer, introduced)? {
                    (None, Reason::SubtreeFull)
                } else {
                    (leaves, Reason::NodeFull)
                }
            }
        };
        Ok(match leaves {
            Some(leaves) => Ok(Some(leaves)),
            None => Err(reason),
        })
    }

    /// Whether the tree of an invitation has pushed out as many clients in a day as it may bring at all. Without this,
    /// one place in it would do, given up and taken again.
    fn has_pushed_out_enough(
        &self,
        writer: &Writer,
        introduced: &Introduced,
    ) -> Result<bool, StoreError> {
        let Some(root) = introduced.chain.first() else {
            return Ok(false);
        };
        let quota = writer.quota(root, self.rules.limits.clients_per_introduction)?;
        Ok(writer.evictions_by(root, self.rules.now)? >= quota)
    }

    fn unseen(&self, found: &Registered, seconds: u64) -> bool {
        !self.rules.clock_held && found.seen_s.saturating_add(seconds) <= self.rules.now.as_secs()
    }

    /// Takes the price of a registration that any key may ask for from the network it comes from, and looks how many
    /// that has. An introduction has been paid for by its quota.
    fn pay(
        &self,
        writer: &Writer,
        newcomer: &Newcomer<'_>,
        network: Option<&NetworkId>,
    ) -> Result<Option<Reason>, StoreError> {
        if matches!(newcomer, Newcomer::Introduced(_)) {
            return Ok(None);
        }
        let limits = self.rules.limits;
        if let Some(network) = network {
            let here = writer.network(network)?;
            let full = match newcomer {
                Newcomer::Peer => here.peers >= (limits.peers / PEERS_SHARE).max(1),
                _ => here.clients >= limits.registrations_per_network,
            };
            if full {
                return Ok(Some(Reason::NetworkLimited));
            }
        }
        let paid = self.rules.admission.take_from_network(
            self.request.network.as_ref(),
            self.rules.now,
            NEWCOMER_PRICE,
        );
        Ok(paid.err())
    }

    fn network(&self) -> Option<NetworkId> {
        let network = self.request.network?;
        Some(self.rules.store.network_id(&network.to_bytes()))
    }
}

/// Names what is refused of a request.
pub(super) fn refusal(index: usize, reason: Reason) -> Refusal {
    Refusal {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        reason: reason.into(),
    }
}

/// Items that the registration of a stranger or a super node costs its network.
const NEWCOMER_PRICE: usize = 1_000;
/// One network may have one of so many parts of the places for super nodes.
const PEERS_SHARE: u64 = 16;
/// After this time without a sign of it, in seconds, a stranger may lose its place to another: 8 days, when nothing is
/// kept any more that it could have missed.
const STRANGER_UNSEEN_S: u64 = 8 * 24 * 3_600;
/// The same for a super node, which follows all the time when it is there: a day.
const PEER_UNSEEN_S: u64 = 24 * 3_600;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use ailurus::{
        crypto::{AccessKey, NodeKey, SeededEntropy, SigningKey},
        wire::node::{Response, response::Kind},
    };

    use super::*;
    use crate::{
        service::{Checked, Service, check::CheckedKind},
        store::{Keys, Store},
    };

    const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);

    fn register(service: &Service, client: u8) -> Option<Reason> {
        let blinded = SigningKey::random(&mut SeededEntropy::from_u64(1)).public();
        let access = AccessKey::from_bytes([1; 32]);
        let lease = CheckedLease {
            keys: Keys {
                address: Address::of(&blinded, &access),
                blinded,
                access,
            },
            end_s: NOW.as_secs() + 1,
            delegated: false,
        };
        let checked = Checked {
            pseudonym: Pseudonym::from_bytes([client; 32]),
            peer: false,
            network: None,
            kind: CheckedKind::Register {
                leases: vec![Ok(lease)],
                introduced: None,
            },
        };
        let committed = service.commit(NOW, &[checked]);
        let [
            Response {
                kind: Some(Kind::Registered(registered)),
            },
        ] = committed.responses.as_slice()
        else {
            panic!("one answer, not {:?}", committed.responses);
        };
        let refusal = registered.refusals.first();
        refusal.map(Refusal::reason)
    }

    #[test]
    fn a_busy_node_takes_no_new_strangers() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("node.db")).expect("a database");
        let limits = Limits {
            refuse_strangers_above_permille: 500,
            leases: 2,
            ..Limits::default()
        };
        let service = Service::new(Arc::new(store), limits, NodeKey::from_bytes([5; 32]));
        let busy = |second: u64, used_ms: u64| {
            let at = NOW.after(Duration::from_secs(second));
            let used = Duration::from_millis(used_ms);
            service.load_meter().sample_cpu(at, used, 1);
        };
        assert_eq!(register(&service, 1), None);
        // The first time is that of the start. A client that comes is no news of other nodes.
        assert!(service.take_neighbours_changed());
        busy(0, 0);
        busy(10, 9_000);
        assert_eq!(register(&service, 2), Some(Reason::NoStrangers));
        assert_eq!(service.load(NOW).cpu_permille, 900);
        // Whoever is there stays.
        assert_eq!(register(&service, 1), None);
        assert!(!service.take_neighbours_changed());
        busy(40, 9_500);
        assert_eq!(register(&service, 2), None);
        // The last lease was the second; and nobody is registered without one.
        assert_eq!(register(&service, 3), Some(Reason::NodeFull));
        assert_eq!(service.store().registrations(), 2);
    }
}
