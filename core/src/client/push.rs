//! Push: how super nodes wake this phone when something comes, where the platform has a way for that.

use std::fmt;
use std::sync::Arc;

use crate::channel::{PushMessage, VapidKey};
use crate::crypto::NodeKey;
use crate::wire::node::response;

use super::conversation::{Conversation, Heard, connect, protocol};
use super::engine::Engine;
use super::types::reason;
use super::{Client, Error};

/// Where a super node reaches this phone. Whoever has it can wake the phone, so it is given to one node only.
#[derive(Clone, PartialEq, Eq)]
pub enum PushTarget {
    /// A subscription of UnifiedPush or Web Push (RFC 8030), made for this node alone with its [`Client::push_key`].
    WebPush {
        /// An https URL of at most 1,024 bytes, at a public address.
        endpoint: String,
        /// The subscription's public key: P-256, uncompressed, 65 bytes (RFC 8291). The app keeps the private one.
        p256dh: Vec<u8>,
        /// Its authentication secret, 16 bytes (RFC 8291).
        auth: Vec<u8>,
    },
    /// A token of a platform that has one for an app, for the gateway of the node's operator. It is the same at all nodes,
    /// which can tell by it that they have the same client.
    Gateway {
        /// As the operator calls it, such as "fcm" or "apns": 1 to 32 characters of a-z, 0-9, '.', '_' and '-'.
        platform: String,
        /// At most 4,096 bytes.
        token: String,
    },
}

/// Push by one super node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushStatus {
    /// How far it has come.
    pub state: PushState,
    /// The key to subscribe with, if the node was asked and pushes to endpoints.
    pub key: Option<VapidKey>,
    /// The node takes [`PushTarget::Gateway`], as far as it was asked.
    pub gateway: bool,
}

/// How far a phone and a node have come with push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushState {
    /// Nothing was set.
    Off,
    /// The node is told at the next contact.
    Waiting,
    /// The node sends a challenge through the endpoint, which the app hands to [`Client::on_push`].
    Challenged,
    /// The challenge came back: the node wakes this phone.
    Confirmed,
    /// The node is told at the next contact that it is over.
    Withdrawing,
    /// The node pushes there no more: the app subscribes anew. The old target is tried again now and then.
    Dropped(PushTrouble),
}

/// Why a node pushes to an endpoint no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushTrouble {
    /// The endpoint is not at a public address by https.
    NotPublic,
    /// Nobody answered there, often enough.
    Unreachable,
    /// The push service or the node refuses it.
    Refused,
    /// The push service knows of no such subscription any more.
    Gone,
}

impl fmt::Display for PushTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPublic => {
                "the endpoint is not at a public address by https; choose another push service"
            }
            Self::Unreachable => "the push service does not answer; choose another one",
            Self::Refused => "the push service or the super node refuses it; subscribe anew",
            Self::Gone => "the subscription is gone; subscribe anew",
        })
    }
}

/// An endpoint or token is worth something to whoever reads a log.
impl fmt::Debug for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WebPush { .. } => f.write_str("PushTarget::WebPush(..)"),
            Self::Gateway { platform, .. } => write!(f, "PushTarget::Gateway({platform:?}, ..)"),
        }
    }
}

impl PushTarget {
    /// What a node would refuse in any case is an error at once.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self {
            Self::WebPush {
                endpoint,
                p256dh,
                auth,
            } => {
                if endpoint.len() > MAX_ENDPOINT || !endpoint.contains("://") {
                    return Err(Error::PushTarget("the endpoint is no URL"));
                }
                if p256dh.len() != 65 || p256dh.first() != Some(&4) {
                    return Err(Error::PushTarget(
                        "p256dh is no uncompressed P-256 key of 65 bytes",
                    ));
                }
                if auth.len() != 16 {
                    return Err(Error::PushTarget("auth has not 16 bytes"));
                }
            }
            Self::Gateway { platform, token } => {
                let good =
                    |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
                if !(1..=32).contains(&platform.len()) || !platform.bytes().all(good) {
                    return Err(Error::PushTarget(
                        "the platform has not 1 to 32 characters of a-z, 0-9, '.', '_' and '-'",
                    ));
                }
                if token.is_empty()
                    || token.len() > MAX_TOKEN
                    || !token.bytes().all(|byte| byte.is_ascii_graphic())
                {
                    return Err(Error::PushTarget(
                        "the token has not 1 to 4,096 printable ASCII characters",
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Client {
    /// The key under which a super node speaks to push services (VAPID, RFC 8292), for the app to subscribe with; `None` if
    /// the node does not push to endpoints. The node is asked the first time, which takes some seconds at most; later it is
    /// known.
    ///
    /// # Errors
    /// [`Error::UnknownNode`], and why the node was not reached.
    pub async fn push_key(&self, node: &NodeKey) -> Result<Option<VapidKey>, Error> {
        let known = self.push_status(node)?;
        if known.key.is_some() {
            return Ok(known.key);
        }
        Ok(self.ask_push(node).await?.key)
    }

    /// Sets where a super node reaches this phone, instead of what was set before. Needs no network: the node is told at
    /// the next contact, and sends a challenge there, which the app hands to [`Client::on_push`]. Then the node sends a
    /// wake-up without content when something comes, and no other before this client has polled.
    ///
    /// The app sets a target of its own for each node that [`Client::nodes`] shows as in use: the one that is polled and a
    /// standby at least.
    ///
    /// # Errors
    /// [`Error::UnknownNode`]; [`Error::PushTarget`] if every node would refuse it.
    pub fn set_push(&self, node: &NodeKey, target: &PushTarget) -> Result<(), Error> {
        self.changing_push(node, |engine| engine.set_push(node, target))
    }

    /// Has a super node wake this phone no more. Needs no network: the target is forgotten here, and the node told at the
    /// next contact. Idempotent. A node that is removed is not told any more: there the app ends the subscription itself,
    /// which the node learns from the push service.
    ///
    /// # Errors
    /// [`Error::UnknownNode`].
    pub fn clear_push(&self, node: &NodeKey) -> Result<(), Error> {
        self.changing_push(node, |engine| engine.clear_push(node))
    }

    /// How far this phone has come with push by a super node.
    ///
    /// # Errors
    /// [`Error::UnknownNode`].
    pub fn push_status(&self, node: &NodeKey) -> Result<PushStatus, Error> {
        named(node, self.engine().push_status(node))
    }

    fn changing_push(
        &self,
        node: &NodeKey,
        change: impl FnOnce(&mut Engine) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut engine = self.engine();
        named(node, change(&mut engine))?;
        drop(engine);
        self.inner().replan();
        self.inner().wake();
        Ok(())
    }

    async fn ask_push(&self, node: &NodeKey) -> Result<PushStatus, Error> {
        let (inner, node) = (self.inner(), *node);
        let asking = async {
            let known = inner.blocking(|engine, _| engine.nodes()).await?;
            let stored = known.into_iter().find(|known| *known.link.key() == node);
            let stored = stored.ok_or_else(|| Error::UnknownNode(node.to_string()))?;
            let connection = connect(inner, &stored).await?;
            let heard = Arc::new(Heard::default());
            let mut talk = Conversation::new(inner, node, connection, heard);
            talk.connection.established().await?;
            let answer = talk.ask(&Engine::push_question()).await;
            talk.connection.close(0, "done");
            match answer? {
                response::Kind::Pushing(answer) => {
                    inner
                        .blocking(move |engine, _| engine.push_key(&node, &answer))
                        .await
                }
                response::Kind::Refused(refused) => Err(Error::Refused(reason(refused.reason()))),
                _ => Err(protocol(node)),
            }
        };
        inner.unless_stopped(asking).await
    }

    /// Takes in what a push brought; whether that is to be brought back to a node.
    pub(super) async fn take_push(&self, payload: &[u8]) -> Result<bool, Error> {
        let PushMessage::Challenge { node, challenge } = PushMessage::parse(payload) else {
            return Ok(false);
        };
        let noting = self
            .inner()
            .blocking(move |engine, _| engine.push_challenged(&node, &challenge));
        let waited_for = self.inner().unless_stopped(noting).await?;
        self.inner().wake();
        Ok(waited_for)
    }
}

fn named<T>(node: &NodeKey, result: Result<T, Error>) -> Result<T, Error> {
    result.map_err(|error| match error {
        Error::NoNode => Error::UnknownNode(node.to_string()),
        other => other,
    })
}

const MAX_ENDPOINT: usize = 1_024;
const MAX_TOKEN: usize = 4_096;
