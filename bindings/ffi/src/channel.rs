//! One channel of a client.

use std::sync::Arc;

use ailurus::client as core;

use crate::events::{Listener, Subscription};
use crate::runtime::disk;
use crate::{
    AccessKind, AilurusError, ChannelId, ChannelSummary, Member, Message, MessageId, Page,
    PublicKey,
};

/// One channel of a client. It goes on working after a rotation, and fails with `NotFound` after `leave`.
#[derive(uniffi::Object)]
pub struct Channel {
    core: core::Client,
    id: ChannelId,
}

/// What a rotation made.
#[derive(uniffi::Record)]
pub struct Rotation {
    /// The channel's new id.
    pub channel: ChannelId,
    /// The notice to the other members: for `wait_delivered`.
    pub notice: MessageId,
}

#[uniffi::export]
impl Channel {
    /// The id that it had when this object was made.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// How it stands now.
    pub async fn summary(&self) -> Result<ChannelSummary, AilurusError> {
        let summary = self.disk(|client, id| client.channel(id)).await?;
        Ok(summary.into())
    }

    /// Queues a text, which leaves at once in the foreground and with the next sync otherwise. Returns the id under
    /// which it waits.
    pub async fn send(&self, text: String) -> Result<MessageId, AilurusError> {
        self.disk(move |client, id| client.send(id, &text)).await
    }

    /// A page of messages, oldest first, at most `limit`.
    pub async fn messages(&self, page: Page, limit: u32) -> Result<Vec<Message>, AilurusError> {
        let messages = self
            .disk(move |client, id| {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                match page {
                    Page::Latest => client.messages(id, core::Page::Latest, limit),
                    Page::Before { message } => {
                        let message = client.message(&message)?;
                        client.messages(id, core::Page::Before(&message), limit)
                    }
                    Page::ArrivedAfter { message } => {
                        let message = client.message(&message)?;
                        client.messages(id, core::Page::ArrivedAfter(&message), limit)
                    }
                    Page::Arrived => client.messages(id, core::Page::Arrived, limit),
                }
            })
            .await?;
        Ok(messages.into_iter().map(Message::from).collect())
    }

    /// Who writes here.
    pub async fn members(&self) -> Result<Vec<Member>, AilurusError> {
        let members = self.disk(|client, id| client.members(id)).await?;
        Ok(members.into_iter().map(Member::from).collect())
    }

    /// A link that shares the channel; without `history` it opens nothing of earlier weeks. Whoever sees it has what
    /// it gives, so show it only to whom it is for, and do not keep it.
    #[uniffi::method(default(history = true))]
    pub async fn link(&self, access: AccessKind, history: bool) -> Result<String, AilurusError> {
        let link = self
            .disk(move |client, id| client.link(id, access, history))
            .await?;
        Ok(link.as_str().to_owned())
    }

    /// Tells a listener what happens in the client of this channel, as `Client.listen` does.
    pub fn listen(&self, listener: Arc<dyn Listener>) -> Arc<Subscription> {
        Subscription::start(self.core.events(), listener)
    }

    /// Renames it, here only.
    pub async fn rename(&self, name: String) -> Result<(), AilurusError> {
        self.disk(move |client, id| client.rename(id, &name)).await
    }

    /// Switches notifications off or on.
    pub async fn mute(&self, muted: bool) -> Result<(), AilurusError> {
        self.disk(move |client, id| client.mute(id, muted)).await
    }

    /// Marks everything as read.
    pub async fn mark_read(&self) -> Result<(), AilurusError> {
        self.disk(|client, id| client.mark_read(id)).await
    }

    /// Moves the channel to new keys and leaves `without` out. Only an admin can.
    pub async fn rotate(&self, without: Vec<PublicKey>) -> Result<Rotation, AilurusError> {
        let (channel, notice) = self
            .disk(move |client, id| client.rotate(id, &without))
            .await?;
        Ok(Rotation { channel, notice })
    }

    /// Makes another author admin too.
    pub async fn appoint(&self, author: PublicKey) -> Result<(), AilurusError> {
        self.disk(move |client, id| client.appoint(id, &author))
            .await
    }

    /// From now on introduces members of this channel, who ask for it by themselves, to the super nodes to which this
    /// profile was introduced.
    ///
    /// Fails with `NotAllowed` if there is no such node, or without full access.
    pub async fn introduce(&self) -> Result<(), AilurusError> {
        self.disk(|client, id| client.introduce(id)).await
    }

    /// Leaves: keys and messages are wiped here and now, and the super nodes forget us at the next contact.
    pub async fn leave(&self) -> Result<(), AilurusError> {
        self.disk(|client, id| client.leave(id)).await
    }
}

impl Channel {
    pub(crate) fn new(core: core::Client, id: ChannelId) -> Self {
        Self { core, id }
    }

    async fn disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&core::Client, &ChannelId) -> Result<T, core::Error> + Send + 'static,
    ) -> Result<T, AilurusError> {
        let (client, id) = (self.core.clone(), self.id);
        disk(move || work(&client, &id)).await
    }
}
