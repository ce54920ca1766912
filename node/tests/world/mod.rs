//! A real node, and clients on it.

use std::sync::Arc;
use std::time::Duration;

use ailurus::channel::{AccessKind, ChannelId, Link};
use ailurus::client::{Client, Event, Events, Options, Page};
use ailurus::store::StorageKey;
use ailurus_node::{Config, Limits, Node, SystemClock};
use tempfile::TempDir;

pub struct World {
    pub folder: TempDir,
    pub node: Node,
}

impl World {
    pub fn new() -> Self {
        Self::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::new(
            folder.path().join("node"),
            "127.0.0.1:0".parse().expect("an address"),
        );
        config.limits = limits;
        let node = Node::start(config, Arc::new(SystemClock::default())).expect("a node");
        Self { folder, node }
    }

    pub fn person(&self, name: &str) -> Client {
        let key = StorageKey::from_bytes([1; 32]);
        let link = self.node.link().clone();
        Client::create(
            &self.folder.path().join(name),
            &key,
            name,
            &[link],
            Options::default(),
        )
        .expect("a profile")
    }
}

pub fn invite(from: &Client, channel: &ChannelId, kind: AccessKind) -> Link {
    from.link(channel, kind, true)
        .expect("a link")
        .parse()
        .expect("it parses")
}

pub fn texts(client: &Client, channel: &ChannelId) -> Vec<String> {
    client
        .messages(channel, Page::Latest, 1_000)
        .expect("messages")
        .into_iter()
        .map(|message| message.text)
        .collect()
}

pub async fn next(events: &mut Events) -> Option<Event> {
    tokio::time::timeout(Duration::from_secs(20), events.recv())
        .await
        .expect("an event within 20 s")
}
