//! Watching one channel live: new messages, once each, whichever process brought them in.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use ailurus::{
    channel::{ChannelId, MessageId},
    client::{Client, Error, Event, Events, Live, Message, Notice, Page},
    crypto::NodeKey,
    store::MessageState,
};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::exit::CliError;

/// Keeps live connections while it lives, and hands out what is new in a channel.
pub struct Watch<'a> {
    client: &'a Client,
    channel: ChannelId,
    events: Events,
    _live: Live,
    seen: HashSet<MessageId>,
    found: VecDeque<Message>,
    look: Interval,
    version: Option<i64>,
    unreachable: HashSet<NodeKey>,
}

/// Something new in the channel.
pub enum Update {
    /// A message that was not seen before. Own ones come once they left the outbox.
    Message(Message),
    /// An own message moved on.
    State {
        /// Its id.
        id: MessageId,
        /// Its id before it was sealed.
        was: Option<MessageId>,
        /// Where it stands.
        state: MessageState,
    },
    /// Something to tell a person, about any channel.
    Notice(Notice),
}

impl<'a> Watch<'a> {
    /// Goes live.
    pub fn start(client: &'a Client, channel: ChannelId) -> Self {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            client,
            channel,
            events: client.events(),
            _live: client.live(),
            seen: HashSet::new(),
            found: VecDeque::new(),
            look,
            version: None,
            unreachable: HashSet::new(),
        }
    }

    /// The channel, under its present id: rotation changes it.
    pub fn channel(&self) -> &ChannelId {
        &self.channel
    }

    /// Leaves out messages that were shown already.
    pub fn mark_seen(&mut self, ids: impl IntoIterator<Item = MessageId>) {
        self.seen.extend(ids);
    }

    /// Waits for what is new. Nothing is lost if the wait is given up.
    pub async fn next(&mut self) -> Result<Update, CliError> {
        loop {
            if let Some(message) = self.found.pop_front() {
                return Ok(Update::Message(message));
            }
            tokio::select! {
                event = self.events.recv() => {
                    if let Some(update) = self.take(event.ok_or(Error::ShutDown)?)? {
                        return Ok(update);
                    }
                }
                _ = self.look.tick() => self.look_if_changed()?,
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<Option<Update>, CliError> {
        match event {
            Event::Received(message) => {
                let fresh = message.channel == self.channel && self.seen.insert(message.id);
                Ok(fresh.then_some(Update::Message(message)))
            }
            Event::State { id, was, state, .. } => {
                if was.is_some_and(|was| self.seen.contains(&was)) {
                    self.seen.insert(id);
                }
                self.look_in_store()?;
                Ok(Some(Update::State { id, was, state }))
            }
            Event::Noticed(notice) => Ok(self
                .worth_telling(&notice)
                .then_some(Update::Notice(notice))),
            // Own messages are shown as they are typed.
            Event::Changed { .. } => Ok(None),
            Event::Lagged { .. } => {
                self.look_in_store()?;
                Ok(None)
            }
            Event::Connected { node, connected } => {
                if connected {
                    self.unreachable.remove(&node);
                }
                Ok(None)
            }
        }
    }

    /// Follows a rotation, and drops what every failed attempt to connect repeats.
    fn worth_telling(&mut self, notice: &Notice) -> bool {
        match notice {
            Notice::Rotated { from, to, .. } if *from == self.channel => {
                self.channel = *to;
                true
            }
            Notice::Unreachable { node, .. } => self.unreachable.insert(*node),
            _ => true,
        }
    }

    /// Looks if another process has written since the last time.
    fn look_if_changed(&mut self) -> Result<(), CliError> {
        let version = self.client.data_version()?;
        if self.version.replace(version) == Some(version) {
            return Ok(());
        }
        self.look_in_store()
    }

    /// Finds what another process stored, or events that were missed.
    fn look_in_store(&mut self) -> Result<(), CliError> {
        let mut fresh = VecDeque::new();
        let mut page = self.client.messages(&self.channel, Page::Latest, PAGE)?;
        loop {
            let oldest = page.first().cloned();
            let met = page.iter().any(|message| self.seen.contains(&message.id));
            for message in page.into_iter().rev() {
                if message.state != MessageState::Queued && self.seen.insert(message.id) {
                    fresh.push_front(message);
                }
            }
            let Some(oldest) = oldest.filter(|_| !met) else {
                break;
            };
            page = self
                .client
                .messages(&self.channel, Page::Before(&oldest), PAGE)?;
        }
        self.found.append(&mut fresh);
        Ok(())
    }
}

/// How often the store is looked at for what other processes did.
const LOOK: Duration = Duration::from_secs(2);

/// Messages that are read from the store at once.
const PAGE: usize = 50;
