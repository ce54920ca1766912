//! Which super nodes members keep: told to them when they could not know otherwise, and taken in for choosing nodes
//! (docs/PROTOCOL.md, section 5.6).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use prost::Message as _;

use crate::channel::{AccessKind, HopCount, NodeLink};
use crate::crypto::{Entropy, NodeKey};
use crate::store::{AuthorRow, ChannelRow, ChannelState, Told, Tx};
use crate::wire::{
    content::{Content, ListedNode, NodeList},
    limits::NODES_KEPT,
    time::UnixMillis,
};

use super::{
    Engine, Error, adjusted,
    introductions::{ask, hop_count},
    nodes::kept_nodes,
    outgoing::queue,
};

/// A super node that somebody named, for whoever chooses nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub link: NodeLink,
    /// Who named it.
    pub origin: Origin,
    /// How far we are from its operator, by the introduction that we hold.
    pub hop_count: HopCount,
}

/// Who named a super node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The operator, by an invitation.
    Invitation,
    /// The link of a channel that we joined.
    Link,
    /// A member of a channel.
    Member,
}

impl Engine {
    /// The nodes that invitations, links and members named, at most 64, those to which we were introduced first.
    pub fn candidates(&mut self, now: UnixMillis) -> Result<Vec<Candidate>, Error> {
        self.store.read(|tx| {
            let now = adjusted(tx, now)?;
            let mut found: BTreeMap<NodeKey, (Candidate, usize)> = BTreeMap::new();
            for channel in tx.channels()? {
                let mut places: HashMap<Option<AuthorRow>, usize> = HashMap::new();
                for named in tx.named_nodes(channel.row)?.into_iter().rev() {
                    let place = places.entry(named.author).or_default();
                    *place = place.saturating_add(1);
                    let origin = match named.author {
                        None => Origin::Link,
                        Some(_) => Origin::Member,
                    };
                    let node = *named.link.key();
                    let candidate = Candidate {
                        link: named.link,
                        origin,
                        hop_count: HopCount::STRANGER,
                    };
                    let (candidate, first) = found.entry(node).or_insert((candidate, *place));
                    candidate.origin = candidate.origin.min(origin);
                    *first = (*place).min(*first);
                }
            }
            for held in tx.introductions()? {
                let (node, first) = (held.introduction.node(), HopCount::new(1));
                if let Some((candidate, _)) = found.get_mut(node) {
                    candidate.hop_count = hop_count(tx, node, now)?;
                    if Some(candidate.hop_count) == first {
                        candidate.origin = Origin::Invitation;
                    }
                }
            }
            let mut found: Vec<_> = found.into_values().collect();
            // What each names first comes before what anybody names last.
            found.sort_by_key(|(candidate, place)| (candidate.hop_count, candidate.origin, *place));
            found.truncate(MAX_CANDIDATES);
            Ok(found.into_iter().map(|(candidate, _)| candidate).collect())
        })
    }
}

/// A member's list, taken for all that the member listed before.
pub(super) fn take_list(
    tx: &Tx<'_>,
    channel: ChannelRow,
    author: AuthorRow,
    list: &NodeList,
    now: UnixMillis,
    entropy: &mut dyn Entropy,
) -> Result<(), Error> {
    let nodes: Vec<_> = list
        .nodes
        .iter()
        .take(*NODES_KEPT.end())
        .filter_map(|listed| {
            let link = NodeLink::from_hint(listed.node.as_ref()?).ok()?;
            let hop_count = HopCount::from_wire(listed.hop_count);
            Some((link, hop_count, listed.introduces))
        })
        .collect();
    tx.put_named_nodes(channel, Some(author), &nodes, now)?;
    ask(tx, channel, now, entropy)
}

/// The nodes in a link are known to whoever joins by it; those of earlier links stay known.
pub(super) fn hint(
    tx: &Tx<'_>,
    channel: ChannelRow,
    links: &[NodeLink],
    now: UnixMillis,
) -> Result<(), Error> {
    let before: Vec<_> = tx
        .named_nodes(channel)?
        .into_iter()
        .filter(|named| named.author.is_none())
        .map(|named| named.link)
        .collect();
    if links.iter().all(|link| before.contains(link)) {
        return Ok(());
    }
    let mut nodes: Vec<_> = links.to_vec();
    for link in before {
        if !nodes.iter().any(|node| node.key() == link.key()) {
            nodes.push(link);
        }
    }
    let nodes: Vec<_> = nodes
        .into_iter()
        .map(|link| (link, HopCount::STRANGER, false))
        .collect();
    Ok(tx.put_named_nodes(channel, None, &nodes, now)?)
}

/// Before anybody else is in a channel, all who come know the nodes of the links that we share.
pub(super) fn hint_own(
    tx: &Tx<'_>,
    channel: ChannelRow,
    links: &[NodeLink],
    now: UnixMillis,
) -> Result<(), Error> {
    if tx.newest_reader(channel)?.is_some() {
        return Ok(());
    }
    hint(tx, channel, links, now)
}

/// Tells the members of every channel what they should know, and asks for introductions that were offered.
pub(super) fn tell_all(
    tx: &Tx<'_>,
    now: UnixMillis,
    entropy: &mut dyn Entropy,
) -> Result<(), Error> {
    let own = own_nodes(tx, now)?;
    for channel in tx.channels()? {
        if channel.state == ChannelState::Moved {
            continue;
        }
        match tell(tx, channel.row, &own, now, entropy) {
            Ok(()) => {}
            Err(Error::OutboxFull(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    for channel in tx.channels_offering()? {
        ask(tx, channel, now, entropy)?;
    }
    Ok(())
}

/// Tells the members of one channel, if there is something to tell and somebody to hear it.
pub(super) fn tell(
    tx: &Tx<'_>,
    channel: ChannelRow,
    own: &[ListedNode],
    now: UnixMillis,
    entropy: &mut dyn Entropy,
) -> Result<(), Error> {
    let told = tx.told(channel)?;
    let nodes = own.iter().map(|listed| ListedNode {
        introduces: listed.introduces && told.introduces,
        ..listed.clone()
    });
    let list = NodeList {
        nodes: nodes.collect(),
    };
    let tag = tx.told_tag(&list.encode_to_vec());
    let reader = tx.newest_reader(channel)?;
    if told.tag == Some(tag) {
        let joined = reader.is_some_and(|seen| seen > told.at);
        if !joined || now.since(told.at) < TOLD_AGAIN {
            return Ok(());
        }
    } else if told.tag.is_some() && now.since(told.at) < CHANGED_AGAIN {
        return Ok(());
    }
    let kind = tx.access_of(channel)?.access.kind();
    // Who cannot read does not see whether there is somebody.
    if !kind.writes() || (reader.is_none() && kind != AccessKind::Write) {
        return Ok(());
    }
    let named = tx.named_nodes(channel)?;
    let known = |listed: &ListedNode| {
        let key = listed.node.as_ref().map(|node| node.key.as_ref());
        named
            .iter()
            .any(|named| key == Some(named.link.key().as_bytes()))
    };
    let offers = list.nodes.iter().any(|listed| listed.introduces);
    if offers || !list.nodes.iter().all(known) {
        let content = Content {
            nodes: Some(list),
            ..Content::default()
        };
        queue(tx, channel, &content, now, entropy)?;
    }
    Ok(tx.put_told(
        channel,
        &Told {
            tag: Some(tag),
            at: now,
            ..told
        },
    )?)
}

/// Our own nodes as members are told of them where we introduce.
pub(super) fn own_nodes(tx: &Tx<'_>, now: UnixMillis) -> Result<Vec<ListedNode>, Error> {
    let mut nodes = Vec::new();
    for node in kept_nodes(tx)?.into_iter().take(*NODES_KEPT.end()) {
        let hop_count = hop_count(tx, node.link.key(), now)?;
        nodes.push(ListedNode {
            node: Some(node.link.to_hint()),
            hop_count: hop_count.to_wire(),
            introduces: hop_count.next().is_some(),
        });
    }
    // In whatever order they are kept, the list is the same.
    nodes.sort_by(|one, two| {
        let key = |listed: &ListedNode| listed.node.as_ref().map(|node| node.key.clone());
        key(one).cmp(&key(two))
    });
    Ok(nodes)
}

const MAX_CANDIDATES: usize = 64;
/// Who joined since hears of our nodes too.
const TOLD_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// Nodes that come and go quickly are not told of one by one.
const CHANGED_AGAIN: Duration = Duration::from_secs(3600);
