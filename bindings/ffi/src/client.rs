//! A profile: [`ailurus::client::Client`], one to one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ailurus::channel::NodeLink;
use ailurus::client::{self as core, Error};
use ailurus::store::StorageKey;
use zeroize::Zeroizing;

use crate::events::{Listener, Subscription};
use crate::link::{channel_link, invitation, node_link};
use crate::records::count;
use crate::runtime::{Cancellation, disk, run, runtime};
use crate::vault::Vault;
use crate::{
    AilurusError, AppState, Channel, ChannelId, ChannelSummary, KeyVault, Message, MessageId,
    NetworkState, NodeKey, NodeStatus, Options, Plan, PollReport, PowerState, Preference,
    PushStatus, PushTarget, UsageReport, Wakeup,
};

/// A profile: its channels, its contacts with super nodes, and the messages on this phone. Two clients may use one
/// folder, in one process or two: each sees what the other stores when it looks again.
#[derive(uniffi::Object)]
pub struct Client {
    core: core::Client,
}

#[uniffi::export]
impl Client {
    /// Makes a profile in `folder`, under a storage key of 32 bytes that the app keeps. `name` is how it introduces
    /// itself; `nodes` are the links of its super nodes. With other options than the usual ones, pass them again whenever
    /// the profile is opened.
    ///
    /// Fails with `ProfileExists` if there is one already; nothing is changed then.
    #[uniffi::constructor(default(options))]
    pub async fn create(
        folder: String,
        key: Vec<u8>,
        name: String,
        nodes: Vec<String>,
        options: Options,
    ) -> Result<Arc<Self>, AilurusError> {
        let (key, nodes) = (storage_key(key)?, node_links(&nodes)?);
        let folder = self::folder(folder)?;
        let made = disk(move || core::Client::create(&folder, &key, &name, &nodes, options.into()));
        Ok(Self::with(made.await?))
    }

    /// The same, with the storage key in a vault; a vault without one is given a new one.
    #[uniffi::constructor(default(options))]
    pub async fn create_with_vault(
        folder: String,
        vault: Arc<dyn KeyVault>,
        name: String,
        nodes: Vec<String>,
        options: Options,
    ) -> Result<Arc<Self>, AilurusError> {
        let (folder, nodes) = (self::folder(folder)?, node_links(&nodes)?);
        let made = run(None, async move {
            let vault = Arc::new(Vault(vault));
            core::Client::create_with_vault(&folder, vault, &name, &nodes, options.into()).await
        });
        Ok(Self::with(made.await?))
    }

    /// Opens the profile in `folder`.
    ///
    /// Fails with `WrongKey` or `NoProfile`; nothing is changed then.
    #[uniffi::constructor(default(options))]
    pub async fn open(
        folder: String,
        key: Vec<u8>,
        options: Options,
    ) -> Result<Arc<Self>, AilurusError> {
        let key = storage_key(key)?;
        let folder = self::folder(folder)?;
        let opened = disk(move || core::Client::open(&folder, &key, options.into()));
        Ok(Self::with(opened.await?))
    }

    /// The same, with the storage key in a vault.
    #[uniffi::constructor(default(options))]
    pub async fn open_with_vault(
        folder: String,
        vault: Arc<dyn KeyVault>,
        options: Options,
    ) -> Result<Arc<Self>, AilurusError> {
        let folder = self::folder(folder)?;
        let opened = run(None, async move {
            let vault = Arc::new(Vault(vault));
            core::Client::open_with_vault(&folder, vault, options.into()).await
        });
        Ok(Self::with(opened.await?))
    }

    /// Makes a profile in `folder` from a backup. The phone that it was made on should not go on sending: both would
    /// speak with one author key, and others would see that.
    #[uniffi::constructor(default(options))]
    pub async fn import_backup(
        backup: String,
        passphrase: String,
        folder: String,
        key: Vec<u8>,
        options: Options,
    ) -> Result<Arc<Self>, AilurusError> {
        let passphrase = Zeroizing::new(passphrase);
        let (folder, key) = (self::folder(folder)?, storage_key(key)?);
        let made = disk(move || {
            let backup = PathBuf::from(backup);
            core::Client::import_backup(&backup, &passphrase, &folder, &key, options.into())
        });
        Ok(Self::with(made.await?))
    }

    /// The same, with the storage key in a vault; a vault without one is given a new one.
    #[uniffi::constructor(default(options))]
    pub async fn import_backup_with_vault(
        backup: String,
        passphrase: String,
        folder: String,
        vault: Arc<dyn KeyVault>,
        options: Options,
    ) -> Result<Arc<Self>, AilurusError> {
        let passphrase = Zeroizing::new(passphrase);
        let folder = self::folder(folder)?;
        let made = run(None, async move {
            let vault = Arc::new(Vault(vault));
            let backup = PathBuf::from(backup);
            core::Client::import_backup_with_vault(
                &backup,
                &passphrase,
                &folder,
                vault,
                options.into(),
            )
            .await
        });
        Ok(Self::with(made.await?))
    }

    /// Writes the whole profile into a new file that opens with `passphrase`.
    pub async fn export_backup(&self, to: String, passphrase: String) -> Result<(), AilurusError> {
        let passphrase = Zeroizing::new(passphrase);
        self.disk(move |client| client.export_backup(&PathBuf::from(to), &passphrase))
            .await
    }

    /// Puts the profile under another storage key of 32 bytes.
    pub async fn change_storage_key(&self, key: Vec<u8>) -> Result<(), AilurusError> {
        let key = storage_key(key)?;
        self.disk(move |client| client.change_storage_key(&key))
            .await
    }

    /// The name under which this profile introduces itself.
    pub async fn name(&self) -> Result<String, AilurusError> {
        self.disk(|client| client.name()).await
    }

    /// Adds a super node by its link, or changes the address of a known one. Needs no network.
    pub async fn add_node(&self, link: String) -> Result<(), AilurusError> {
        let link = node_link(&link)?;
        self.disk(move |client| client.add_node(&link)).await
    }

    /// Takes in an operator's invitation, a text that begins with `ai`: adds its super node, which counts this profile as
    /// introduced from the next sync on. It is for one person, and whoever sees it can take it.
    ///
    /// Fails with `BadLink` if it does not verify or its time is over.
    pub async fn add_invitation(&self, invitation: String) -> Result<(), AilurusError> {
        let invitation = self::invitation(&Zeroizing::new(invitation))?;
        self.disk(move |client| client.add_invitation(&invitation))
            .await
    }

    /// Removes a super node; it comes back only if it is added again. Needs no network: what was registered there ends by
    /// itself.
    ///
    /// Fails with `NotFound` if there is none with this key.
    pub async fn remove_node(&self, node: NodeKey) -> Result<(), AilurusError> {
        self.disk(move |client| client.remove_node(&node)).await
    }

    /// The super nodes of this profile, in the order in which they would be polled.
    pub async fn nodes(&self) -> Result<Vec<NodeStatus>, AilurusError> {
        let nodes = self.disk(|client| client.nodes()).await?;
        Ok(nodes.into_iter().map(NodeStatus::from).collect())
    }

    /// Looks in the DHT now for super nodes of this profile's channels, and gives how many were found that are new or
    /// have another address; the next sync asks them. A sync does so by itself when all nodes are lost: this is for a
    /// person who does not want to wait. It takes some seconds, at most 20 for each channel. With the DHT off, nothing is
    /// found.
    ///
    /// Fails with `Network` if nobody in the DHT answers.
    #[uniffi::method(default(cancellation = None))]
    pub async fn find_nodes(
        &self,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<u64, AilurusError> {
        let client = self.core.clone();
        let found = run(cancellation, async move { client.find_nodes().await }).await?;
        Ok(count(found))
    }

    /// Makes a channel, of which this profile is admin. A name has 1 to 32 bytes.
    pub async fn create_channel(&self, name: String) -> Result<Arc<Channel>, AilurusError> {
        let id = self
            .disk(move |client| client.create_channel(&name))
            .await?;
        Ok(self.with_id(id))
    }

    /// Joins a channel by its link, under the link's name unless another is given. A profile without super nodes takes
    /// the link's.
    #[uniffi::method(default(name = None))]
    pub async fn join(
        &self,
        link: String,
        name: Option<String>,
    ) -> Result<Arc<Channel>, AilurusError> {
        let link = channel_link(&Zeroizing::new(link))?;
        let id = self
            .disk(move |client| client.join(&link, name.as_deref()))
            .await?;
        Ok(self.with_id(id))
    }

    /// All channels, oldest first.
    pub async fn channels(&self) -> Result<Vec<ChannelSummary>, AilurusError> {
        let channels = self.disk(|client| client.channels()).await?;
        Ok(channels.into_iter().map(ChannelSummary::from).collect())
    }

    /// The channel with this id, present or former.
    pub async fn channel(&self, id: ChannelId) -> Result<Arc<Channel>, AilurusError> {
        let id = self.disk(move |client| client.channel(&id)).await?.id;
        Ok(self.with_id(id))
    }

    /// The channel with this name, or whose id begins like this.
    pub async fn find_channel(&self, name_or_prefix: String) -> Result<Arc<Channel>, AilurusError> {
        let id = self
            .disk(move |client| client.find_channel(&name_or_prefix))
            .await?;
        Ok(self.with_id(id))
    }

    /// One message, by its id or the one it was queued under.
    pub async fn message(&self, id: MessageId) -> Result<Message, AilurusError> {
        let message = self.disk(move |client| client.message(&id)).await?;
        Ok(message.into())
    }

    /// Marks this message as read, and all that arrived in its channel before it.
    pub async fn mark_read_up_to(&self, id: MessageId) -> Result<(), AilurusError> {
        self.disk(move |client| client.mark_read_up_to(&id)).await
    }

    /// Deletes a message on this phone only; it does not come back.
    pub async fn delete_message(&self, id: MessageId) -> Result<(), AilurusError> {
        self.disk(move |client| client.delete_message(&id)).await
    }

    /// Changes whenever another process has written to this profile.
    pub async fn data_version(&self) -> Result<i64, AilurusError> {
        self.disk(|client| client.data_version()).await
    }

    /// Tells a listener what happens from now on, until the subscription is stopped or dropped, or the client is shut
    /// down.
    pub fn listen(&self, listener: Arc<dyn Listener>) -> Arc<Subscription> {
        Subscription::start(self.core.events(), listener)
    }

    /// Sends what waits and fetches what is new, within about `budget`: the call for background jobs. What was not
    /// done by then is done the next time.
    #[uniffi::method(default(cancellation = None))]
    pub async fn sync_once(
        &self,
        budget: Duration,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<PollReport, AilurusError> {
        let client = self.core.clone();
        let report = run(cancellation, async move { client.sync_once(budget).await });
        Ok(report.await?.into())
    }

    /// The same, for a wake-up by push: pass what it brought, decrypted, or nothing where the platform hides it. A storm of
    /// pushes costs no more than the first; a challenge is answered.
    #[uniffi::method(default(cancellation = None))]
    pub async fn on_push(
        &self,
        payload: Vec<u8>,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<PollReport, AilurusError> {
        let client = self.core.clone();
        let report = run(cancellation, async move { client.on_push(&payload).await });
        Ok(report.await?.into())
    }

    /// Waits until a super node has the message on disk, and returns its final id; nothing if that takes longer than
    /// `timeout` (it stays queued) or the message expired.
    #[uniffi::method(default(cancellation = None))]
    pub async fn wait_delivered(
        &self,
        id: MessageId,
        timeout: Duration,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<Option<MessageId>, AilurusError> {
        let client = self.core.clone();
        run(cancellation, async move {
            client.wait_delivered(&id, timeout).await
        })
        .await
    }

    /// When to call `sync_once` next; nothing in the foreground, where connections are open, and without a network: ask
    /// again after each `set_network`, `set_power`, `set_app_state`, `sync_once` and `on_push`.
    pub async fn next_wakeup(&self) -> Result<Option<Wakeup>, AilurusError> {
        let wakeup = self.disk(|client| Ok(client.next_wakeup())).await?;
        Ok(wakeup.map(Wakeup::from))
    }

    /// What the library does now and next, to show.
    pub async fn plan(&self) -> Result<Plan, AilurusError> {
        Ok(self.disk(|client| Ok(client.plan())).await?.into())
    }

    /// What was spent today and in the last 7 days. `utc_offset` is how far the user's clock is ahead of UTC, in seconds:
    /// today begins at midnight there.
    pub async fn usage(&self, utc_offset: i32) -> Result<UsageReport, AilurusError> {
        let report = self.disk(move |client| client.usage(utc_offset)).await?;
        Ok(report.into())
    }

    /// What the user prefers in the background.
    pub fn preference(&self) -> Preference {
        self.core.preference()
    }

    /// Sets what the user prefers in the background; it is kept with the profile.
    pub async fn set_preference(&self, preference: Preference) -> Result<(), AilurusError> {
        self.disk(move |client| client.set_preference(preference))
            .await
    }

    /// The key under which a super node speaks to push services (VAPID, RFC 8292; P-256, uncompressed, 65 bytes), for the
    /// app to subscribe with; nothing if the node does not push to endpoints. It is asked the first time, which takes some
    /// seconds at most.
    #[uniffi::method(default(cancellation = None))]
    pub async fn push_key(
        &self,
        node: NodeKey,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<Option<Vec<u8>>, AilurusError> {
        let client = self.core.clone();
        let key = run(cancellation, async move { client.push_key(&node).await });
        Ok(key.await?.map(|key| key.as_bytes().to_vec()))
    }

    /// Sets where a super node reaches this phone, instead of what was set before: a target of its own for each node whose
    /// state is active or standby. Needs no network: the node is told at the next contact and sends a challenge there, which
    /// the app hands to `on_push`.
    ///
    /// Fails with `NotFound` if there is no such node, `BadInput` if every node would refuse the target.
    pub async fn set_push(&self, node: NodeKey, target: PushTarget) -> Result<(), AilurusError> {
        let target = target.into();
        self.disk(move |client| client.set_push(&node, &target))
            .await
    }

    /// Has a super node wake this phone no more. Needs no network: the target is forgotten here, and the node told at the
    /// next contact.
    pub async fn clear_push(&self, node: NodeKey) -> Result<(), AilurusError> {
        self.disk(move |client| client.clear_push(&node)).await
    }

    /// How far this phone has come with push by a super node.
    pub async fn push_status(&self, node: NodeKey) -> Result<PushStatus, AilurusError> {
        let status = self.disk(move |client| client.push_status(&node)).await?;
        Ok(status.into())
    }

    /// Tells how the battery stands and how the system saves it, at the start and when it changes.
    pub fn set_power(&self, state: PowerState) {
        self.core.set_power(state);
    }

    /// Tells the network's state, at the start and when it changes.
    pub fn set_network(&self, state: NetworkState) {
        let _runtime = runtime().enter();
        self.core.set_network(state);
    }

    /// Tells whether a person looks at the app. A new client is in the background.
    pub fn set_app_state(&self, state: AppState) {
        let _runtime = runtime().enter();
        self.core.set_app_state(state);
    }

    /// Closes all connections and files, because the system is about to stop the process; calls fail with `Suspended`
    /// until `resume`. When it returns, no file lock is held.
    pub async fn suspend(&self) -> Result<(), AilurusError> {
        let client = self.core.clone();
        run(None, async move { client.suspend().await }).await
    }

    /// Goes on after `suspend`.
    pub async fn resume(&self) -> Result<(), AilurusError> {
        let client = self.core.clone();
        run(None, async move { client.resume().await }).await
    }

    /// Ends everything, running calls included: they and all later ones fail with `Closed`. A client that is dropped
    /// does this by itself, but does not tell when it is done.
    pub async fn shutdown(&self) -> Result<(), AilurusError> {
        let client = self.core.clone();
        run(None, async move {
            client.shutdown().await;
            Ok(())
        })
        .await
    }
}

impl Client {
    fn with(core: core::Client) -> Arc<Self> {
        Arc::new(Self { core })
    }

    fn with_id(&self, id: ChannelId) -> Arc<Channel> {
        Arc::new(Channel::new(self.core.clone(), id))
    }

    async fn disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&core::Client) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, AilurusError> {
        let client = self.core.clone();
        disk(move || work(&client)).await
    }
}

/// Channels that the app still holds do not keep a client running.
impl Drop for Client {
    fn drop(&mut self) {
        let client = self.core.clone();
        runtime().spawn(async move { client.shutdown().await });
    }
}

fn folder(path: String) -> Result<PathBuf, AilurusError> {
    if path.is_empty() {
        // The current directory is never meant.
        return Err(AilurusError::BadInput(
            "the folder's path is empty; pass the app's private folder".to_owned(),
        ));
    }
    Ok(PathBuf::from(path))
}

fn storage_key(key: Vec<u8>) -> Result<StorageKey, AilurusError> {
    let key = Zeroizing::new(key);
    StorageKey::try_from(key.as_slice()).map_err(|_| {
        AilurusError::BadInput(format!(
            "a storage key has 32 bytes, not {}; pass the bytes that the key vault keeps",
            key.len()
        ))
    })
}

fn node_links(links: &[String]) -> Result<Vec<NodeLink>, AilurusError> {
    links.iter().map(|link| node_link(link)).collect()
}
