//! Profiles in a folder, and envelopes carried between them without a network.

use std::fs;
use std::path::{Path, PathBuf};

use ailurus::channel::{Address, ChannelId, NodeLink};
use ailurus::client::engine::Engine;
use ailurus::crypto::{AccessKey, NodeKey, PublicKey};
use ailurus::store::{Page, StorageKey};
use ailurus::wire::{
    node::{Batch, request},
    time::UnixMillis,
};

/// When everything here happens: the middle of an epoch.
pub(crate) const NOW: UnixMillis = UnixMillis::from_secs(2_950 * 7 * 24 * 3_600 + 300_000);

/// This many minutes after [`NOW`].
pub(crate) fn later(minutes: u64) -> UnixMillis {
    UnixMillis::from_secs(NOW.as_secs() + minutes * 60)
}

/// The super node of everybody here.
pub(crate) fn node_link() -> NodeLink {
    NodeLink::new(NodeKey::from_bytes([0x5a; 32]), "node.example.org", 4_433).unwrap()
}

/// Where a profile lies.
pub(crate) struct Profile(PathBuf);

impl Profile {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        Self(folder.join("ailurus.db"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The storage key of every profile here, the committed one included.
    pub(crate) fn key() -> StorageKey {
        StorageKey::from_bytes(*b"the storage key of stored tests.")
    }

    pub(crate) fn create(&self, name: &str) -> Engine {
        Engine::create(&self.0, &Self::key(), name, &[node_link()]).unwrap()
    }

    pub(crate) fn open(&self) -> Engine {
        Engine::open(&self.0, &Self::key()).unwrap()
    }
}

/// Publishes what waits at `from` and hands it to `to`, as the node would.
pub(crate) fn carry(from: &mut Engine, to: &mut Engine, cursor: Option<&[u8]>, now: UnixMillis) {
    let node = *node_link().key();
    let mut batches = Vec::new();
    for publication in from.publish(&node, now).unwrap().0 {
        from.published(&node, &publication, &Default::default(), now)
            .unwrap();
        let Some(request::Kind::Publish(publish)) = publication.request.kind else {
            panic!("a publication publishes");
        };
        let blinded = PublicKey::from_bytes(publish.blinded_key[..].try_into().unwrap()).unwrap();
        let access = AccessKey::try_from(&publish.access_key[..]).unwrap();
        batches.push(Batch {
            address: Address::of(&blinded, &access).as_bytes().to_vec().into(),
            base_time_ms: publish.base_time_ms,
            items: publish.items,
        });
    }
    let ingested = to.ingest(&node, &batches, cursor, now).unwrap();
    assert_eq!(ingested.dropped, 0);
}

/// The texts of a channel, oldest first.
pub(crate) fn texts(engine: &mut Engine, channel: &ChannelId) -> Vec<String> {
    engine
        .messages(channel, Page::Latest, 1_000)
        .unwrap()
        .into_iter()
        .map(|message| message.text)
        .collect()
}
