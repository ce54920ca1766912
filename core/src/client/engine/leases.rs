//! Leases: which addresses to register and release at a node, and what its `Hello` says.

use bytes::Bytes;

use crate::channel::{Epoch, HopCount, lease_statement};
use crate::crypto::{NodeKey, entropy, kdf};
use crate::discovery::Refusal as Unwanted;
use crate::store::{AccessRow, HeldIntroduction, StoredNode, Tx};
use crate::sync::{clock::Verdict, leases, session::Work};
use crate::wire::{
    limits::MAX_LEASES,
    node::{
        Hello, Lease, Reason, Refusal, Register, Registered, Release, Request, Sync, request::Kind,
    },
    time::UnixMillis,
};

use super::{
    Change, Engine, Error, Notice,
    announcing::{announces, receiving},
    introductions::hop_count,
    node_by_key,
    nodes::choose,
    push::{heard_push, push_is_due},
    receives, time_at,
};
use crate::client::types::reason;

/// Leases that were asked for, to be matched with the answer.
pub struct Registration {
    /// What to send.
    pub request: Request,
    leases: Vec<(AccessRow, Epoch, UnixMillis)>,
    /// When an introduction was shown with it.
    shown: Option<UnixMillis>,
}

impl Engine {
    /// What there is to do with a node at `now`.
    pub fn work(&mut self, node: &NodeKey, now: UnixMillis) -> Result<Work, Error> {
        self.store.read(|tx| {
            let stored = node_by_key(tx, node)?;
            let now = time_at(&stored, now);
            let mut leases = false;
            let accesses = receiving(tx, now)?;
            for access in &accesses {
                for epoch in leases::wanted(now, spread(node, access)) {
                    leases = leases || tx.lease(stored.row, access.row, epoch)?.is_none();
                }
            }
            Ok(Work {
                leases: leases || shows(tx, &stored, now)?.is_some_and(|shown| shown.leased),
                announces: announces(tx, &stored, &accesses, now)?,
                push: push_is_due(tx, &stored, now)?,
                releases: !tx.releases(stored.row)?.is_empty(),
                outbox: !tx.outbox_for(stored.row)?.is_empty(),
            })
        })
    }

    /// Registrations that are due, proved for this connection; several if there are many, none if there are none.
    pub fn register(
        &mut self,
        node: &NodeKey,
        exporter: &[u8; 32],
        now: UnixMillis,
    ) -> Result<Vec<Registration>, Error> {
        let addresses = &mut self.addresses;
        self.store.read(|tx| {
            let stored = node_by_key(tx, node)?;
            let now = time_at(&stored, now);
            let pseudonym = stored.pseudonym.public();
            let shown = shows(tx, &stored, now)?;
            let mut due = Vec::new();
            for access in tx.accesses()?.iter().filter(|access| receives(access, now)) {
                for epoch in leases::wanted(now, spread(node, access)) {
                    if tx.lease(stored.row, access.row, epoch)?.is_some() {
                        continue;
                    }
                    let keys = addresses.keys(access, epoch)?;
                    let end = epoch.lease_end();
                    let statement = lease_statement(
                        exporter,
                        node.as_bytes(),
                        pseudonym.as_bytes(),
                        &keys.address,
                        end.as_secs(),
                    );
                    let lease = Lease {
                        blinded_key: Bytes::copy_from_slice(keys.blinded.as_bytes()),
                        access_key: Bytes::copy_from_slice(keys.access.public().as_bytes()),
                        epoch: epoch.number(),
                        lease_end: end.as_secs(),
                        proof: Bytes::copy_from_slice(&keys.access.sign(&statement)),
                        ..Lease::default()
                    };
                    due.push((lease, (access.row, epoch, end)));
                }
            }
            let mut registrations = Vec::new();
            while !due.is_empty() {
                let rest = due.split_off(due.len().min(MAX_LEASES));
                let (wire, leases) = std::mem::replace(&mut due, rest).into_iter().unzip();
                registrations.push(Registration {
                    request: request(Kind::Register(Register {
                        leases: wire,
                        ..Register::default()
                    })),
                    leases,
                    shown: None,
                });
            }
            let Some(shown) = shown else {
                return Ok(registrations);
            };
            if registrations.is_empty() && shown.leased {
                registrations.push(Registration {
                    request: request(Kind::Register(Register::default())),
                    leases: Vec::new(),
                    shown: None,
                });
            }
            // The first makes the registration, so it says how near we are.
            if let Some(first) = registrations.first_mut()
                && let Some(Kind::Register(register)) = &mut first.request.kind
            {
                let held = &shown.held;
                let proof = held
                    .introduction
                    .prove(&held.secret, exporter, &pseudonym)?;
                register.introduction = Some(proof);
                first.shown = Some(now);
            }
            Ok(registrations)
        })
    }

    /// Takes in the answer to a registration.
    pub fn registered(
        &mut self,
        node: &NodeKey,
        registration: &Registration,
        answer: &Registered,
        now: UnixMillis,
    ) -> Result<Vec<Change>, Error> {
        let random = u64::from_be_bytes(entropy::array(&mut *self.entropy));
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            let mut refused = Vec::new();
            let mut unwanted = None;
            for (index, (access, epoch, end)) in registration.leases.iter().enumerate() {
                let refusal = answer
                    .refusals
                    .iter()
                    .find(|refusal| usize::try_from(refusal.index).is_ok_and(|i| i == index));
                match refusal.map(Refusal::reason) {
                    // A wrong clock shows in `Hello`, which says by how much; then leases are asked for again.
                    Some(Reason::TooEarly | Reason::LeaseEnd) => {
                        tracing::debug!(node = %node, %epoch, "lease refused: clocks differ");
                    }
                    Some(why) => {
                        refused.push(reason(why));
                        unwanted = unwanted.or_else(|| Unwanted::of(why));
                    }
                    None => tx.put_lease(stored.row, *access, *epoch, *end)?,
                }
            }
            let introduced = hop_count(tx, node, time_at(&stored, now))?;
            choose(tx, now, |chooser| match unwanted {
                Some(why) => chooser.refused(node, why, now, random),
                None => {
                    let claimed = HopCount::from_wire(answer.hop_count);
                    chooser.registered(node, claimed, introduced);
                }
            })?;
            counted(
                tx,
                node,
                registration,
                HopCount::from_wire(answer.hop_count),
            )?;
            refused.sort_unstable();
            refused.dedup();
            let notice = |reason| {
                Change::Notice(Notice::Refused {
                    node: *node,
                    reason,
                })
            };
            Ok(refused.into_iter().map(notice).collect())
        })
    }

    /// Takes in that a node refused a whole registration: an introduction that is of no more use is wiped, another is
    /// not shown again for a day, so that the next registration is that of a stranger.
    pub fn registration_refused(
        &mut self,
        node: &NodeKey,
        registration: &Registration,
        reason: Reason,
    ) -> Result<(), Error> {
        let Some(shown) = registration.shown else {
            return Ok(());
        };
        self.store.write(|tx| match reason {
            Reason::Revoked | Reason::IntroductionExpired => Ok(tx.remove_introduction(node)?),
            Reason::BadIntroduction | Reason::SubtreeFull | Reason::Malformed => {
                Ok(tx.set_tried(node, shown)?)
            }
            _ => Ok(()),
        })
    }

    /// Addresses to release at a node.
    pub fn release(&mut self, node: &NodeKey) -> Result<Request, Error> {
        self.store.read(|tx| {
            let stored = node_by_key(tx, node)?;
            let addresses = tx.releases(stored.row)?;
            Ok(request(Kind::Release(Release {
                addresses: addresses
                    .iter()
                    .take(MAX_LEASES)
                    .map(|address| Bytes::copy_from_slice(address.as_bytes()))
                    .collect(),
            })))
        })
    }

    /// The node has released them.
    pub fn released(&mut self, node: &NodeKey) -> Result<(), Error> {
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            Ok(tx.released(stored.row)?)
        })
    }

    /// A node refused a whole request.
    pub fn refused(
        &mut self,
        node: &NodeKey,
        reason: Reason,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let Some(why) = Unwanted::of(reason) else {
            return Ok(());
        };
        let random = u64::from_be_bytes(entropy::array(&mut *self.entropy));
        self.store
            .write(|tx| choose(tx, now, |chooser| chooser.refused(node, why, now, random)))
    }

    /// Asks for everything new.
    pub fn sync(&mut self, node: &NodeKey, follow: bool) -> Result<Request, Error> {
        self.store.read(|tx| {
            let stored = node_by_key(tx, node)?;
            Ok(request(Kind::Sync(Sync {
                cursor: stored.cursor,
                follow,
            })))
        })
    }

    /// Takes in a node's `Hello`: its clock, and how many leases it holds. Returns how many it should hold.
    pub fn hello(
        &mut self,
        node: &NodeKey,
        hello: &Hello,
        now: UnixMillis,
    ) -> Result<(u32, Vec<Change>), Error> {
        let random = u64::from_be_bytes(entropy::array(&mut *self.entropy));
        let node_now = UnixMillis::from_millis(hello.time_ms);
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            let mut changes = Vec::new();
            if let Some(missed) = missed(&stored.clock, node_now) {
                changes.push(Change::Notice(missed));
            }
            tx.set_node_clock(stored.row, node_now.delta(now), now)?;
            match Verdict::of(now, node_now) {
                Verdict::Agrees => {}
                Verdict::Differs { by, ahead } => changes.push(Change::Notice(Notice::Clock {
                    by,
                    ahead,
                    deletion_held: false,
                })),
                Verdict::Disagrees { by, ahead } => changes.push(Change::Notice(Notice::Clock {
                    by,
                    ahead,
                    deletion_held: true,
                })),
            }
            let unwanted = Unwanted::of(hello.ended());
            choose(tx, now, |chooser| {
                if let Some(load) = &hello.load {
                    chooser.loaded(node, load.into());
                }
                if let Some(why) = unwanted {
                    chooser.refused(node, why, now, random);
                }
            })?;
            let expected = tx.leases_running(stored.row, node_now)?;
            if hello.leases < expected {
                tx.forget_leases(stored.row)?;
                tx.forget_announced(stored.row)?;
                tx.forget_told_push(stored.row)?;
                tx.set_counted(node, None)?;
            }
            heard_push(tx, &stored, hello.push())?;
            if hello.ended() == Reason::Revoked {
                tx.remove_introduction(node)?;
            }
            Ok((expected, changes))
        })
    }
}

/// An introduction to be shown to a node.
struct Shown {
    held: HeldIntroduction,
    /// We hold leases there, so that it is worth a request of its own.
    leased: bool,
}

/// The introduction that we hold to a node, unless it has counted us by it or would not a short while ago.
fn shows(tx: &Tx<'_>, stored: &StoredNode, now: UnixMillis) -> Result<Option<Shown>, Error> {
    let Some(held) = tx.introduction(stored.link.key())? else {
        return Ok(None);
    };
    let leased = tx.leases_running(stored.row, now)? > 0;
    let tried = held
        .tried
        .is_some_and(|tried| now.since(tried) < SHOWN_AGAIN);
    // Without leases the node may have forgotten us.
    let counted = held.counted.is_some() && leased;
    if counted || tried || held.introduction.expiry() <= now {
        return Ok(None);
    }
    Ok(Some(Shown { held, leased }))
}

/// Notes as what a node counts us.
fn counted(
    tx: &Tx<'_>,
    node: &NodeKey,
    registration: &Registration,
    hops: HopCount,
) -> Result<(), Error> {
    let Some(held) = tx.introduction(node)? else {
        return Ok(());
    };
    match registration.shown {
        _ if hops <= held.introduction.hop_count() => tx.set_counted(node, Some(hops))?,
        Some(shown) => tx.set_tried(node, shown)?,
        None if held.counted.is_some() => tx.set_counted(node, None)?,
        None => {}
    }
    Ok(())
}

/// An introduction that a node did not count may be counted later, when there is room.
const SHOWN_AGAIN: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// A node that was last heard of more than 7 days ago has forgotten what came between.
fn missed(clock: &Option<(i64, UnixMillis)>, node_now: UnixMillis) -> Option<Notice> {
    let (offset, seen) = clock.as_ref()?;
    let away = node_now.since(seen.offset(*offset));
    (away > crate::wire::limits::LIFETIME).then_some(Notice::Missed { away })
}

pub(super) fn spread(node: &NodeKey, access: &crate::store::StoredAccess) -> u64 {
    let hash = kdf::tagged_hash(
        "ailurus/spread",
        &[node.as_bytes(), access.access.channel_id().as_bytes()],
    );
    hash.iter()
        .take(8)
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

pub(super) fn request(kind: Kind) -> Request {
    Request { kind: Some(kind) }
}
