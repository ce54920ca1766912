//! Which nodes live mode follows, by how their connections stand.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::watch;

use crate::crypto::NodeKey;
use crate::store::StoredNode;

use super::engine::Plan;
use super::lock;

/// How the followed nodes stand, for those that decide whom to follow.
#[derive(Default)]
pub(super) struct Lines {
    nodes: Mutex<BTreeMap<NodeKey, Line>>,
    /// Counts the changes.
    pub(super) changed: watch::Sender<u64>,
}

enum Line {
    Stands,
    /// It takes long to answer: another one is tried too.
    Slow,
    /// It failed, and why; whether that is the node's fault shows when another one stands.
    Failed(String),
}

impl Lines {
    pub(super) fn stands(&self, node: NodeKey) {
        lock(&self.nodes).insert(node, Line::Stands);
        self.count();
    }

    pub(super) fn falls(&self, node: &NodeKey) {
        lock(&self.nodes).remove(node);
        self.count();
    }

    pub(super) fn forget(&self, node: &NodeKey) {
        lock(&self.nodes).remove(node);
    }

    pub(super) fn slow(&self, node: NodeKey) {
        lock(&self.nodes).entry(node).or_insert(Line::Slow);
        self.count();
    }

    pub(super) fn failed(&self, node: NodeKey, why: &str) {
        lock(&self.nodes).insert(node, Line::Failed(why.to_owned()));
        self.count();
    }

    /// Any node that stands.
    pub(super) fn standing(&self) -> Option<NodeKey> {
        let nodes = lock(&self.nodes);
        nodes
            .iter()
            .find(|(_, line)| matches!(line, Line::Stands))
            .map(|(node, _)| *node)
    }

    /// All that stand.
    pub(super) fn all(&self) -> Vec<NodeKey> {
        let nodes = lock(&self.nodes);
        nodes
            .iter()
            .filter(|(_, line)| matches!(line, Line::Stands))
            .map(|(node, _)| *node)
            .collect()
    }

    /// The nodes that fail while another stands, each once.
    pub(super) fn to_blame(&self) -> Vec<(NodeKey, String)> {
        match self.standing() {
            Some(_) => self.take_failed(),
            None => Vec::new(),
        }
    }

    /// Whether no node is left that may still answer.
    pub(super) fn have_failed(&self) -> bool {
        let nodes = lock(&self.nodes);
        nodes.values().all(|line| matches!(line, Line::Failed(_)))
    }

    /// The nodes that failed, each once.
    pub(super) fn take_failed(&self) -> Vec<(NodeKey, String)> {
        let mut nodes = lock(&self.nodes);
        let mut failed = Vec::new();
        nodes.retain(|node, line| match line {
            Line::Stands | Line::Slow => true,
            Line::Failed(why) => {
                failed.push((*node, std::mem::take(why)));
                false
            }
        });
        failed
    }

    /// The best two that are not in trouble, and those better than them that are: it may be the network's fault.
    pub(super) fn to_follow(&self, plan: Plan) -> Vec<StoredNode> {
        let nodes = lock(&self.nodes);
        let healthy = plan.healthy;
        let mut order: Vec<(usize, StoredNode)> = plan.order.into_iter().enumerate().collect();
        // Behind the best one, whoever stands already stays.
        order.sort_by_key(|(place, node)| {
            let stands = matches!(nodes.get(node.link.key()), Some(Line::Stands));
            (
                *place > 0 && !(stands && *place < healthy),
                *place >= healthy,
                *place,
            )
        });
        let mut sound = 0;
        let mut wanted = Vec::new();
        for (place, node) in order {
            let troubled = matches!(
                nodes.get(node.link.key()),
                Some(Line::Slow | Line::Failed(_))
            );
            let hopeless = place >= healthy && sound > 0;
            if sound >= FOLLOWED || wanted.len() >= MAX_FOLLOWED || hopeless {
                break;
            }
            sound += usize::from(!troubled);
            wanted.push(node);
        }
        wanted
    }

    fn count(&self) {
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Nodes that are followed.
const FOLLOWED: usize = 2;
/// Connections at once, while nothing answers.
const MAX_FOLLOWED: usize = 5;
