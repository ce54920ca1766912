//! What happens in a client, told to a listener on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use ailurus::client as core;
use tokio::sync::watch;

use crate::runtime::runtime;
use crate::{ChannelId, Message, MessageId, MessageState, NodeKey, platform};

/// Hears what happens in a client. It is called on one thread of its own, one event after the other, so it may take
/// its time and may call the client; an event that it fails on is passed over.
#[uniffi::export(foreign)]
pub trait Listener: Send + Sync {
    /// Something happened.
    fn on_event(&self, event: Event) -> Result<(), ListenerError>;
}

/// A listener failed.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum ListenerError {
    /// It threw.
    #[error("the listener failed: {reason}")]
    Failed {
        /// What it said.
        reason: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for ListenerError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed {
            reason: error.reason,
        }
    }
}

/// Something that happened.
#[derive(uniffi::Enum)]
#[non_exhaustive]
pub enum Event {
    /// A message arrived.
    Received {
        /// The message.
        message: Message,
    },
    /// What a channel shows was changed here, or by an admin: a message queued or deleted, messages read, the channel
    /// made, joined, renamed, muted, rotated or left, an admin appointed.
    Changed {
        /// The channel; the id may be a former one.
        channel: ChannelId,
    },
    /// An own message moved on.
    State {
        /// The channel.
        channel: ChannelId,
        /// Its id now.
        id: MessageId,
        /// The id it had before it was sealed, if that has changed.
        was: Option<MessageId>,
        /// Where it stands.
        state: MessageState,
    },
    /// Something to tell a person.
    Noticed {
        /// What.
        notice: Notice,
    },
    /// A live connection stands, or was lost.
    Connected {
        /// Which super node.
        node: NodeKey,
        /// It stands.
        connected: bool,
    },
    /// Events were missed because the listener was too slow: read the channels again.
    Lagged {
        /// How many.
        missed: u64,
    },
    /// The client was shut down, and nothing more is told.
    Ended,
}

/// Something that a person should be told.
#[derive(uniffi::Record)]
pub struct Notice {
    /// What it is.
    pub kind: NoticeKind,
    /// The same as an English sentence.
    pub sentence: String,
}

/// What a notice is about.
#[derive(uniffi::Enum)]
#[non_exhaustive]
pub enum NoticeKind {
    /// The phone's clock and a super node's differ by more than 15 minutes.
    Clock {
        /// By how much.
        by: Duration,
        /// The phone's is ahead.
        ahead: bool,
        /// By more than a day, so nothing that depends on time is deleted.
        deletion_held: bool,
    },
    /// Messages that no super node took within 7 days.
    Expired {
        /// The channel.
        channel: ChannelId,
        /// How many.
        count: u64,
    },
    /// A super node was not reached for more than 7 days: what was sent before that is gone there.
    Missed {
        /// For how long.
        away: Duration,
    },
    /// Someone writes in a channel for the first time.
    Joined {
        /// The channel.
        channel: ChannelId,
        /// The name that they claim.
        name: String,
    },
    /// A channel moved, and we with it.
    Rotated {
        /// Its former id.
        from: ChannelId,
        /// Its new id.
        to: ChannelId,
        /// Two admins rotated at once, and this one held.
        tie: bool,
    },
    /// A channel moved without us.
    Moved {
        /// The channel.
        channel: ChannelId,
    },
    /// A second key uses a name: verify who it is.
    NameTaken {
        /// The channel.
        channel: ChannelId,
        /// The name.
        name: String,
    },
    /// Two different messages of an author claim the same place.
    Forked {
        /// The channel.
        channel: ChannelId,
        /// The author's name.
        name: String,
    },
    /// Envelopes that were dropped, because they do not open, verify or belong.
    Dropped {
        /// How many.
        count: u64,
    },
    /// A super node refused something.
    Refused {
        /// Which one.
        node: NodeKey,
        /// Why.
        reason: String,
    },
    /// The profile cannot be read or written, so nothing is taken in.
    Storage {
        /// Why.
        reason: String,
    },
    /// A super node could not be reached.
    Unreachable {
        /// Which one.
        node: NodeKey,
        /// Why.
        reason: String,
    },
    /// A super node acknowledged messages and does not have them; it is left.
    Withheld {
        /// Which one.
        node: NodeKey,
    },
}

/// Keeps a listener; dropping it is as good as stopping it.
#[derive(uniffi::Object)]
pub struct Subscription {
    stopped: watch::Sender<bool>,
}

#[uniffi::export]
impl Subscription {
    /// Tells the listener nothing more. A call that runs just now ends by itself.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }
}

impl Subscription {
    pub(crate) fn start(mut events: core::Events, listener: Arc<dyn Listener>) -> Arc<Self> {
        let stopped = watch::Sender::new(false);
        let mut stop = stopped.subscribe();
        let thread = std::thread::Builder::new()
            .name("ailurus-events".to_owned())
            .spawn(move || {
                platform::thread_started();
                let mut next = || {
                    runtime().block_on(async {
                        tokio::select! {
                            biased;
                            _ = stop.wait_for(|stopped| *stopped) => None,
                            event = events.recv() => Some(event.map_or(Event::Ended, Event::from)),
                        }
                    })
                };
                while let Some(event) = next() {
                    let last = matches!(event, Event::Ended);
                    if let Err(error) = listener.on_event(event) {
                        tracing::warn!(%error, "passed over");
                    }
                    if last {
                        return;
                    }
                }
            });
        if let Err(error) = thread {
            tracing::error!(%error, "the system has no thread for a listener, which hears nothing");
        }
        Arc::new(Self { stopped })
    }
}

impl From<core::Event> for Event {
    fn from(event: core::Event) -> Self {
        match event {
            core::Event::Received(message) => Self::Received {
                message: message.into(),
            },
            core::Event::Changed { channel } => Self::Changed { channel },
            core::Event::State {
                channel,
                id,
                was,
                state,
            } => Self::State {
                channel,
                id,
                was,
                state,
            },
            core::Event::Noticed(notice) => Self::Noticed {
                notice: notice.into(),
            },
            core::Event::Connected { node, connected } => Self::Connected { node, connected },
            core::Event::Lagged { missed } => Self::Lagged { missed },
        }
    }
}

impl From<core::Notice> for Notice {
    fn from(notice: core::Notice) -> Self {
        Self {
            sentence: notice.to_string(),
            kind: notice.into(),
        }
    }
}

impl From<core::Notice> for NoticeKind {
    fn from(notice: core::Notice) -> Self {
        match notice {
            core::Notice::Clock {
                by,
                ahead,
                deletion_held,
            } => Self::Clock {
                by,
                ahead,
                deletion_held,
            },
            core::Notice::Expired { channel, count } => Self::Expired { channel, count },
            core::Notice::Missed { away } => Self::Missed { away },
            core::Notice::Joined { channel, name } => Self::Joined { channel, name },
            core::Notice::Rotated { from, to, tie } => Self::Rotated { from, to, tie },
            core::Notice::Moved { channel } => Self::Moved { channel },
            core::Notice::NameTaken { channel, name } => Self::NameTaken { channel, name },
            core::Notice::Forked { channel, name } => Self::Forked { channel, name },
            core::Notice::Dropped { count } => Self::Dropped { count },
            core::Notice::Refused { node, reason } => Self::Refused {
                node,
                reason: reason.to_owned(),
            },
            core::Notice::Storage { reason } => Self::Storage { reason },
            core::Notice::Withheld { node } => Self::Withheld { node },
            core::Notice::Unreachable { node, reason } => Self::Unreachable { node, reason },
        }
    }
}
