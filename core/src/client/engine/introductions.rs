//! Introductions by members: offering, asking, answering and taking in, all over control messages of a channel
//! (docs/PROTOCOL.md, section 5.6).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use crate::channel::{AccessKind, AuthorHint, ChannelId, HopCount, Introduction, Invitation};
use crate::crypto::{Entropy, HolderKey, HolderSecret, NodeKey, hpke};
use crate::discovery::Origin;
use crate::store::{AskedIntroduction, AuthorRow, ChannelRow, ChannelState, Told, Tx};
use crate::wire::{
    content::{Content, IntroductionGrant, IntroductionRequest},
    limits::INTRODUCTION_LIFETIME,
    node,
    time::UnixMillis,
};

use super::{
    Engine, Error, adjusted,
    node_lists::{own_nodes, tell},
    nodes::{choose, offer},
    outgoing::queue,
    view::channel_row,
};

impl Engine {
    /// Takes in an operator's invitation: its node is added, and the introduction kept unless a better one is held.
    ///
    /// # Errors
    /// [`Error::Introduction`] if it does not verify or its time is over.
    pub fn add_invitation(
        &mut self,
        invitation: &Invitation,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let entropy = &mut *self.entropy;
        self.store.write(|tx| {
            let own_now = now;
            let now = adjusted(tx, now)?;
            let (link, introduction) = (invitation.link(), invitation.introduction());
            introduction.verify(link.key(), now)?;
            offer(tx, link, Origin::User, entropy)?;
            choose(tx, own_now, |chooser| chooser.forgive(link.key()))?;
            keep(tx, introduction, invitation.secret(), now)
        })
    }

    /// From now on introduces members of a channel, who ask for it, to the nodes to which we were introduced, and
    /// tells them so.
    ///
    /// # Errors
    /// [`Error::NoIntroduction`] if there is no node to which we could; [`Error::NotAllowed`] without full access.
    pub fn introduce(&mut self, channel: &ChannelId, now: UnixMillis) -> Result<(), Error> {
        let entropy = &mut *self.entropy;
        self.store.write(|tx| {
            let now = adjusted(tx, now)?;
            let row = channel_row(tx, channel)?;
            let kind = tx.access_of(row)?.access.kind();
            if kind != AccessKind::Full {
                return Err(Error::NotAllowed(kind));
            }
            if tx.channel(row)?.state == ChannelState::Moved {
                return Err(Error::Moved);
            }
            let own = own_nodes(tx, now)?;
            if !own.iter().any(|node| node.introduces) {
                return Err(Error::NoIntroduction);
            }
            if !tx.told(row)?.introduces {
                tx.put_told(
                    row,
                    &Told {
                        introduces: true,
                        ..Told::default()
                    },
                )?;
            }
            tell(tx, row, &own, now, entropy)
        })
    }

    /// How far we are from a node's operator, by the introduction that we hold.
    pub fn hop_count(&mut self, node: &NodeKey, now: UnixMillis) -> Result<HopCount, Error> {
        self.store
            .read(|tx| hop_count(tx, node, adjusted(tx, now)?))
    }
}

/// A control message about introductions, by a verified author under the keys in use.
pub(super) struct Control {
    pub(super) channel: ChannelRow,
    /// The id of the keys that it came under.
    pub(super) id: ChannelId,
    pub(super) author: AuthorRow,
    pub(super) request: Option<IntroductionRequest>,
    pub(super) grant: Option<IntroductionGrant>,
}

/// Answers a request that is for us, and takes in a grant that we asked for.
pub(super) fn take_in(
    tx: &Tx<'_>,
    control: &Control,
    now: UnixMillis,
    entropy: &mut dyn Entropy,
) -> Result<(), Error> {
    if let Some(request) = &control.request {
        answer(tx, control, request, now, entropy)?;
    }
    if let Some(grant) = &control.grant {
        take_grant(tx, control, grant, now)?;
    }
    Ok(())
}

/// By the introduction held, if its time is not over.
pub(super) fn hop_count(tx: &Tx<'_>, node: &NodeKey, now: UnixMillis) -> Result<HopCount, Error> {
    Ok(tx
        .introduction(node)?
        .filter(|held| held.introduction.expiry() > now)
        .map_or(HopCount::STRANGER, |held| held.introduction.hop_count()))
}

/// Wipes introductions whose time is over.
pub(super) fn drop_ended(tx: &Tx<'_>, now: UnixMillis) -> Result<(), Error> {
    for held in tx.introductions()? {
        if held.introduction.expiry() <= now {
            tx.remove_introduction(held.introduction.node())?;
        }
    }
    Ok(())
}

/// Asks members of a channel for introductions to the nodes where they bring us nearer.
pub(super) fn ask(
    tx: &Tx<'_>,
    channel: ChannelRow,
    now: UnixMillis,
    entropy: &mut dyn Entropy,
) -> Result<(), Error> {
    let access = tx.access_of(channel)?;
    let stored = tx.channel(channel)?;
    if access.access.kind() != AccessKind::Full || stored.state == ChannelState::Moved {
        return Ok(());
    }
    let mut offers: BTreeMap<NodeKey, Vec<(HopCount, AuthorRow)>> = BTreeMap::new();
    for named in tx.named_nodes(channel)? {
        let (Some(author), Some(offered)) = (named.author, named.hop_count.next()) else {
            continue;
        };
        if named.introduces && now.since(named.named) < INTRODUCTION_LIFETIME {
            let node = *named.link.key();
            offers.entry(node).or_default().push((offered, author));
        }
    }
    let authors = tx.authors(channel)?;
    for (node, mut introducers) in offers {
        let held = tx.introduction(&node)?;
        let ours = held
            .as_ref()
            .filter(|held| held.introduction.expiry() > now.after(RENEWED_BEFORE))
            .map_or(HopCount::STRANGER, |held| held.introduction.hop_count());
        introducers.retain(|(offered, _)| *offered < ours);
        introducers.sort_unstable();
        let open = tx.last_asked(&node)?;
        let waits = open.is_some_and(|asked| now.since(asked) < ASKED_AGAIN);
        if introducers.is_empty() || waits || tx.asked_since(now.before(ASKED_AGAIN))? >= MAX_OPEN {
            continue;
        }
        let before = tx.asked(channel, &node)?;
        let tries = before.as_ref().map_or(0, |asked| asked.tries);
        // Whoever does not answer is not the only one.
        let turn = usize::try_from(tries).unwrap_or(0) % introducers.len();
        let Some(introducer) = introducers
            .get(turn)
            .and_then(|(_, row)| authors.iter().find(|author| author.row == *row))
        else {
            continue;
        };
        // The same key again, so that two answers are one introduction; but never one that is in use.
        let used =
            |secret: &HolderSecret| held.as_ref().is_some_and(|held| held.secret.ct_eq(secret));
        let secret = before
            .map(|asked| asked.secret)
            .filter(|secret| !used(secret))
            .unwrap_or_else(|| HolderSecret::random(entropy));
        let hint = AuthorHint::of(&access.access.channel_id(), &introducer.key);
        let content = Content {
            introduction_request: Some(IntroductionRequest {
                author: Bytes::copy_from_slice(hint.as_bytes()),
                node: Bytes::copy_from_slice(node.as_bytes()),
                key: Bytes::copy_from_slice(secret.public().as_bytes()),
            }),
            ..Content::default()
        };
        match queue(tx, channel, &content, now, entropy) {
            Ok(_) => {}
            Err(Error::OutboxFull(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        tx.put_asked(&AskedIntroduction {
            channel,
            node,
            secret,
            asked: now,
            tries: tries.saturating_add(1),
        })?;
    }
    Ok(())
}

/// Extends the chain that we hold for an author who asks: once an author and chain, and again only for the same key,
/// as the answer may have been lost.
fn answer(
    tx: &Tx<'_>,
    control: &Control,
    request: &IntroductionRequest,
    now: UnixMillis,
    entropy: &mut dyn Entropy,
) -> Result<(), Error> {
    let channel = tx.channel(control.channel)?;
    let own = AuthorHint::of(&control.id, &channel.author.public());
    let (Ok(node), Ok(key)) = (
        NodeKey::try_from(request.node.as_ref()),
        HolderKey::try_from(request.key.as_ref()),
    ) else {
        return Ok(());
    };
    let writes = tx.access_of(control.channel)?.access.kind() == AccessKind::Full;
    if request.author.as_ref() != own.as_bytes()
        || !tx.told(control.channel)?.introduces
        || channel.state == ChannelState::Moved
        || !writes
    {
        return Ok(());
    }
    let asker = tx
        .authors(control.channel)?
        .into_iter()
        .find(|author| author.row == control.author && !author.removed && !author.write_only);
    let Some(dh) = asker.and_then(|author| author.dh) else {
        return Ok(());
    };
    let Some(held) = tx.introduction(&node)? else {
        return Ok(());
    };
    let chain = &held.introduction;
    if chain.expiry() <= now {
        return Ok(());
    }
    match tx.granted(control.author, chain.id(), &key)? {
        Some((true, given)) if now.since(given) >= GIVEN_AGAIN => {}
        Some(_) => return Ok(()),
        None if tx.grants_of(chain.id())? >= MAX_GRANTS => return Ok(()),
        None => {}
    }
    let Ok(extended) = chain.extend(&held.secret, &key, chain.expiry().as_secs()) else {
        return Ok(());
    };
    let plain = extended.to_wire().encode_to_vec();
    let context = grant_context(&control.id, &node, &key);
    let Ok(sealed) = hpke::seal_to(&dh, GRANT, &context, &plain, entropy) else {
        return Ok(());
    };
    let content = Content {
        introduction_grant: Some(IntroductionGrant {
            node: request.node.clone(),
            key: request.key.clone(),
            sealed: sealed.into(),
        }),
        ..Content::default()
    };
    match queue(tx, control.channel, &content, now, entropy) {
        Ok(_) => Ok(tx.put_grant(control.author, chain.id(), &key, now)?),
        Err(Error::OutboxFull(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Keeps an introduction for a key that we asked for, if it holds and is better than what we have.
fn take_grant(
    tx: &Tx<'_>,
    control: &Control,
    grant: &IntroductionGrant,
    now: UnixMillis,
) -> Result<(), Error> {
    let Ok(node) = NodeKey::try_from(grant.node.as_ref()) else {
        return Ok(());
    };
    let Some(asked) = tx.asked(control.channel, &node)? else {
        return Ok(());
    };
    let key = asked.secret.public();
    if grant.key.as_ref() != key.as_bytes() {
        return Ok(());
    }
    let channel = tx.channel(control.channel)?;
    let context = grant_context(&control.id, &node, &key);
    let introduction = hpke::open_from(&channel.dh, GRANT, &context, &grant.sealed)
        .ok()
        .and_then(|plain| node::Introduction::decode(plain.as_slice()).ok())
        .and_then(|message| Introduction::parse(&message).ok())
        .filter(|chain| *chain.holder() == key && chain.verify(&node, now).is_ok());
    let Some(introduction) = introduction else {
        tracing::debug!("a grant that does not verify was ignored");
        return Ok(());
    };
    choose(tx, now, |chooser| chooser.forgive(&node))?;
    keep(tx, &introduction, &asked.secret, now)
}

/// Puts a chain in place of the one held, if it is better.
fn keep(
    tx: &Tx<'_>,
    introduction: &Introduction,
    secret: &HolderSecret,
    now: UnixMillis,
) -> Result<(), Error> {
    match tx.introduction(introduction.node())? {
        Some(held) if !betters(introduction, &held.introduction, now) => Ok(()),
        None if tx.introductions()?.len() >= MAX_HELD => Ok(()),
        _ => Ok(tx.put_introduction(introduction, secret)?),
    }
}

/// Nearer, or as near for longer; and where the one held ends soon, whatever lasts longer.
fn betters(new: &Introduction, held: &Introduction, now: UnixMillis) -> bool {
    if held.expiry() <= now.after(RENEWED_BEFORE) && new.expiry() > held.expiry() {
        return true;
    }
    (new.hop_count(), std::cmp::Reverse(new.expiry()))
        < (held.hop_count(), std::cmp::Reverse(held.expiry()))
}

const GRANT: &[u8] = b"ailurus/introduction-grant";

fn grant_context(channel: &ChannelId, node: &NodeKey, key: &HolderKey) -> Vec<u8> {
    [
        channel.as_bytes().as_slice(),
        node.as_bytes(),
        key.as_bytes(),
    ]
    .concat()
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Members may be away; then another one is asked.
const ASKED_AGAIN: Duration = Duration::from_secs(3 * 24 * 3600);
/// Requests within [`ASKED_AGAIN`], over all channels.
const MAX_OPEN: u32 = 16;
/// An answer that was sent so long ago is sent again if it is asked for.
const GIVEN_AGAIN: Duration = Duration::from_secs(2 * 24 * 3600);
/// Whoever asks under many names cannot use up the quota of our subtree.
const MAX_GRANTS: u32 = 32;
/// Introductions held at once; who keeps five nodes needs no more.
const MAX_HELD: usize = 64;
/// How long before its end an introduction is asked for anew.
const RENEWED_BEFORE: Duration = Duration::from_secs(14 * DAY.as_secs());
