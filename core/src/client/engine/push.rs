//! Push: what nodes are told so that they can wake this phone, and what they say of it (docs/PROTOCOL.md, section 5.16).

use std::time::Duration;

use bytes::Bytes;

use crate::channel::{PushChallenge, VapidKey};
use crate::client::push::{PushState, PushStatus, PushTarget, PushTrouble};
use crate::crypto::NodeKey;
use crate::store::{Push as Record, PushStage, StoredNode, StoredPush, Tx};
use crate::wire::{
    node::{
        GatewayPush, Push, PushState as WireState, PushTrouble as WireTrouble, PushWithdrawal,
        Pushing, Reason, Request, WebPush, push, request::Kind,
    },
    time::UnixMillis,
};

use super::{Engine, Error, leases::request, node_by_key};

/// What a node is told, to be matched with its answer.
pub struct Telling {
    /// What to send.
    pub request: Request,
    /// Push by this node as it was then.
    about: StoredPush,
}

impl Engine {
    /// Sets where a node reaches this phone, instead of what was set before.
    pub fn set_push(&mut self, node: &NodeKey, target: &PushTarget) -> Result<(), Error> {
        target.check()?;
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            let before = tx.push(stored.row)?;
            let said = Record {
                vapid_key: before.push.vapid_key,
                gateway: before.push.gateway,
                ..Record::default()
            };
            let push = match target {
                PushTarget::WebPush {
                    endpoint,
                    p256dh,
                    auth,
                } => Record {
                    endpoint: endpoint.clone(),
                    p256dh: Bytes::copy_from_slice(p256dh),
                    auth: Bytes::copy_from_slice(auth),
                    ..said
                },
                PushTarget::Gateway { platform, token } => Record {
                    platform: platform.clone(),
                    token: token.clone(),
                    ..said
                },
            };
            let stored_push = StoredPush {
                stage: PushStage::ToTell,
                told: None,
                push,
            };
            Ok(tx.put_push(stored.row, &stored_push)?)
        })
    }

    /// Has a node wake this phone no more.
    pub fn clear_push(&mut self, node: &NodeKey) -> Result<(), Error> {
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            let before = tx.push(stored.row)?;
            let stage = match before.stage {
                PushStage::Nothing => return Ok(()),
                // It may have been told all the same, if its answer was lost.
                _ => PushStage::ToWithdraw,
            };
            let cleared = StoredPush {
                stage,
                told: None,
                push: Record {
                    vapid_key: before.push.vapid_key,
                    gateway: before.push.gateway,
                    ..Record::default()
                },
            };
            Ok(tx.put_push(stored.row, &cleared)?)
        })
    }

    /// Push by a node.
    pub fn push_status(&mut self, node: &NodeKey) -> Result<PushStatus, Error> {
        self.store.read(|tx| {
            let stored = tx.push(node_by_key(tx, node)?.row)?;
            Ok(PushStatus {
                state: match stored.stage {
                    PushStage::Nothing => PushState::Off,
                    PushStage::ToTell => PushState::Waiting,
                    PushStage::Told => PushState::Challenged,
                    PushStage::Confirmed => PushState::Confirmed,
                    PushStage::ToWithdraw => PushState::Withdrawing,
                    PushStage::Dropped => PushState::Dropped(trouble(stored.push.trouble)),
                },
                key: VapidKey::try_from(stored.push.vapid_key.as_ref()).ok(),
                gateway: stored.push.gateway,
            })
        })
    }

    /// Whether a push wakes this phone when something comes: from the node that is polled and, where there are others,
    /// from one of them too, as a node that is down wakes nobody.
    pub fn push_available(&mut self) -> Result<bool, Error> {
        self.store.read(|tx| {
            let (mut polled, mut standbys, mut standby) = (false, false, false);
            for node in tx.nodes()? {
                let confirmed = tx.push(node.row)?.stage == PushStage::Confirmed;
                match node.role {
                    StoredNode::POLLED => polled |= confirmed,
                    StoredNode::STANDBY => {
                        standbys = true;
                        standby |= confirmed;
                    }
                    _ => {}
                }
            }
            Ok(polled && (standby || !standbys))
        })
    }

    /// A challenge came by push; whether it is to be brought back at once. Nothing happens if nothing was set for its node, or if that
    /// knows already.
    pub fn push_challenged(
        &mut self,
        node: &NodeKey,
        challenge: &PushChallenge,
    ) -> Result<bool, Error> {
        self.store.write(|tx| {
            let stored = match node_by_key(tx, node) {
                Err(Error::NoNode) => return Ok(false),
                stored => stored?,
            };
            let mut push = tx.push(stored.row)?;
            if !matches!(push.stage, PushStage::ToTell | PushStage::Told) {
                return Ok(false);
            }
            // Many are no reason to go at once each time.
            let first = push.push.challenge.is_empty();
            push.push.challenge = Bytes::copy_from_slice(challenge.as_bytes());
            tx.put_push(stored.row, &push)?;
            Ok(first)
        })
    }

    /// What to tell a node, if anything is due.
    pub fn push(&mut self, node: &NodeKey, now: UnixMillis) -> Result<Option<Telling>, Error> {
        self.store.read(|tx| {
            let stored = node_by_key(tx, node)?;
            if !push_is_due(tx, &stored, now)? {
                return Ok(None);
            }
            let about = tx.push(stored.row)?;
            let record = &about.push;
            let kind = if about.stage == PushStage::ToWithdraw {
                push::Kind::Withdrawal(PushWithdrawal {})
            } else if !record.challenge.is_empty() {
                push::Kind::Challenge(record.challenge.clone())
            } else if record.platform.is_empty() {
                push::Kind::WebPush(WebPush {
                    endpoint: record.endpoint.clone(),
                    p256dh: record.p256dh.clone(),
                    auth: record.auth.clone(),
                })
            } else {
                push::Kind::Gateway(GatewayPush {
                    platform: record.platform.clone(),
                    token: record.token.clone(),
                })
            };
            Ok(Some(Telling {
                request: request(Kind::Push(Push { kind: Some(kind) })),
                about,
            }))
        })
    }

    /// Asks a node for its key, and says nothing.
    pub fn push_question() -> Request {
        request(Kind::Push(Push { kind: None }))
    }

    /// Takes in what a node said to [`Engine::push_question`].
    pub fn push_key(&mut self, node: &NodeKey, answer: &Pushing) -> Result<PushStatus, Error> {
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            let mut push = tx.push(stored.row)?;
            note_key(&mut push, answer);
            tx.put_push(stored.row, &push).map_err(Error::from)
        })?;
        self.push_status(node)
    }

    /// Takes in a node's answer.
    pub fn pushing(
        &mut self,
        node: &NodeKey,
        telling: &Telling,
        answer: &Pushing,
        now: UnixMillis,
    ) -> Result<(), Error> {
        self.settle(node, telling, |push| {
            note_key(push, answer);
            push.told = Some(now);
            let challenge = std::mem::take(&mut push.push.challenge);
            let told = push.stage != PushStage::ToTell || challenge.is_empty();
            push.stage = match (push.stage, answer.state()) {
                (PushStage::ToWithdraw, _) => PushStage::Nothing,
                (_, WireState::Confirmed) => PushStage::Confirmed,
                (_, WireState::Challenged) if told => PushStage::Told,
                (_, WireState::Dropped) if told => PushStage::Dropped,
                // It knows of nothing, or of something else.
                _ => PushStage::ToTell,
            };
            push.push.trouble = trouble_number(answer.trouble());
        })
    }

    /// Takes in that a node refused.
    pub fn push_refused(
        &mut self,
        node: &NodeKey,
        telling: &Telling,
        reason: Reason,
        now: UnixMillis,
    ) -> Result<(), Error> {
        tracing::debug!(%node, ?reason, "a node does not push as it was told");
        if matches!(
            reason,
            Reason::NotRegistered
                | Reason::RateLimited
                | Reason::NetworkLimited
                | Reason::Storage
                | Reason::Busy
                | Reason::EarlyData
        ) {
            // It is told again at the next contact.
            return Ok(());
        }
        self.settle(node, telling, |push| {
            push.told = Some(now);
            push.push.challenge = Bytes::new();
            push.push.trouble = trouble_number(WireTrouble::Refused);
            push.stage = match push.stage {
                PushStage::ToWithdraw => PushStage::Nothing,
                _ => PushStage::Dropped,
            };
        })
    }

    /// Changes what is stored of push by a node, unless it was set anew since the node was told.
    fn settle(
        &mut self,
        node: &NodeKey,
        telling: &Telling,
        change: impl FnOnce(&mut StoredPush),
    ) -> Result<(), Error> {
        self.store.write(|tx| {
            let stored = node_by_key(tx, node)?;
            let mut push = tx.push(stored.row)?;
            if push != telling.about {
                return Ok(());
            }
            change(&mut push);
            Ok(tx.put_push(stored.row, &push)?)
        })
    }
}

/// Whether a node is to be told something.
pub(super) fn push_is_due(tx: &Tx<'_>, node: &StoredNode, now: UnixMillis) -> Result<bool, Error> {
    let stored = tx.push(node.row)?;
    // By a clock that was set back, it was told in the future.
    let old = stored
        .told
        .is_none_or(|told| now.distance(told) >= TOLD_AGAIN);
    Ok(match stored.stage {
        PushStage::Nothing => false,
        PushStage::ToTell | PushStage::ToWithdraw => true,
        PushStage::Told | PushStage::Confirmed | PushStage::Dropped => {
            old || !stored.push.challenge.is_empty()
        }
    })
}

/// A node's `Hello` says how far it has come; where that is not what we think, it is told again.
pub(super) fn heard_push(tx: &Tx<'_>, node: &StoredNode, state: WireState) -> Result<(), Error> {
    let mut stored = tx.push(node.row)?;
    match (stored.stage, state) {
        (PushStage::Told, WireState::Confirmed) => stored.stage = PushStage::Confirmed,
        (PushStage::Told | PushStage::Confirmed, WireState::None)
        | (PushStage::Confirmed, WireState::Challenged) => stored.stage = PushStage::ToTell,
        // It says why when it is told the same once more.
        (PushStage::Told | PushStage::Confirmed, WireState::Dropped) if stored.told.is_some() => {
            stored.told = None;
        }
        _ => return Ok(()),
    }
    Ok(tx.put_push(node.row, &stored)?)
}

fn note_key(push: &mut StoredPush, answer: &Pushing) {
    push.push.vapid_key = answer.vapid_key.clone();
    push.push.gateway = answer.gateway;
}

fn trouble(number: u32) -> PushTrouble {
    let known = i32::try_from(number)
        .ok()
        .and_then(|number| WireTrouble::try_from(number).ok());
    match known {
        Some(WireTrouble::NotPublic) => PushTrouble::NotPublic,
        Some(WireTrouble::Unreachable) => PushTrouble::Unreachable,
        Some(WireTrouble::Gone) => PushTrouble::Gone,
        _ => PushTrouble::Refused,
    }
}

fn trouble_number(trouble: WireTrouble) -> u32 {
    u32::try_from(i32::from(trouble)).unwrap_or(0)
}

/// A node that was restored may have forgotten, and one that dropped an endpoint may try it again.
const TOLD_AGAIN: Duration = Duration::from_secs(20 * 3600);
