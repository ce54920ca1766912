//! What the client shows to apps.

use std::fmt;
use std::time::Duration;

use crate::channel::{AccessKind, ChannelId, MessageId};
use crate::crypto::{NodeKey, PublicKey};
use crate::store::MessageState;
use crate::wire::time::UnixMillis;

/// A message as an app shows it.
#[derive(Clone, Debug)]
pub struct Message {
    /// The hash of what its author signed; provisional while it waits in the outbox unsealed.
    pub id: MessageId,
    /// The channel.
    pub channel: ChannelId,
    /// The author's key: who it really is.
    pub author: PublicKey,
    /// The name that the author claims; empty before an introduction.
    pub author_name: String,
    /// Ours.
    pub own: bool,
    /// When it was sealed, by a node's clock; for what waits, when it was queued.
    pub time: UnixMillis,
    /// What was said.
    pub text: String,
    /// Where it stands.
    pub state: MessageState,
    pub(crate) row: i64,
}

/// A channel in the list.
#[derive(Clone, Debug)]
pub struct ChannelSummary {
    /// Its id; rotation changes it, and former ids still find it.
    pub id: ChannelId,
    /// What we call it.
    pub name: String,
    /// What we may do.
    pub access: AccessKind,
    /// We may rotate it.
    pub admin: bool,
    /// Imported from a redPanda string: no forward secrecy.
    pub redpanda: bool,
    /// Rotated without us: a new link is needed.
    pub moved: bool,
    /// No notifications.
    pub muted: bool,
    /// Received messages that were not read.
    pub unread: u64,
    /// Authors that we know of, ourselves included.
    pub members: usize,
    /// Envelopes that wait for their author's introduction.
    pub pending: u64,
}

/// An author in a channel.
#[derive(Clone, Debug)]
pub struct Member {
    /// The key, pinned at first sight.
    pub author: PublicKey,
    /// The claimed name; empty before an introduction.
    pub name: String,
    /// Ourselves.
    pub own: bool,
    /// May write but not read.
    pub write_only: bool,
    /// Another key had used this name before: verify who it is.
    pub name_taken: bool,
    /// Left out by a rotation.
    pub removed: bool,
    /// Two different messages claim the same place: the key is used on two devices, or stolen.
    pub forked: bool,
    /// Messages between the first and the last that did not arrive.
    pub missing: u64,
    /// 60 digits to compare with those on the other phone; the same on both.
    pub safety_number: String,
}

/// Something that a person should be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Own clock and a node's differ by more than 15 minutes.
    Clock {
        /// By how much.
        by: Duration,
        /// The own clock is ahead.
        ahead: bool,
        /// By more than a day, so nothing that depends on time is deleted.
        deletion_held: bool,
    },
    /// Messages that no node took within 7 days.
    Expired {
        /// The channel.
        channel: ChannelId,
        /// How many.
        count: u64,
    },
    /// A node was not reached for more than 7 days: what was sent before that is gone there.
    Missed {
        /// For how long.
        away: Duration,
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
    /// Somebody introduced themselves for the first time.
    Joined {
        /// The channel.
        channel: ChannelId,
        /// The name that they claim.
        name: String,
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
    /// A node acknowledged messages and does not have them; it is left.
    Withheld {
        /// Which node.
        node: NodeKey,
    },
    /// A node refused something.
    Refused {
        /// Which node.
        node: NodeKey,
        /// Why.
        reason: &'static str,
    },
    /// The profile cannot be read or written, so nothing is taken in.
    Storage {
        /// Why.
        reason: String,
    },
    /// A node could not be reached.
    Unreachable {
        /// Which node.
        node: NodeKey,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clock {
                by,
                ahead,
                deletion_held,
            } => {
                let side = if *ahead { "ahead of" } else { "behind" };
                write!(
                    f,
                    "this device's clock is {} {side} the super node's: set the clock",
                    duration(*by)
                )?;
                if *deletion_held {
                    f.write_str("; no secret is deleted until they agree")?;
                }
                Ok(())
            }
            Self::Expired { channel, count } => write!(
                f,
                "{count} message(s) in channel {} expired: no super node took them within 7 days; send them again",
                short(channel)
            ),
            Self::Missed { away } => write!(
                f,
                "this super node was not reached for {}; what others sent more than 7 days ago is gone there",
                duration(*away)
            ),
            Self::Rotated { from, to, tie } => {
                write!(
                    f,
                    "channel {} moved to new keys: {}",
                    short(from),
                    short(to)
                )?;
                if *tie {
                    f.write_str(" (two admins rotated at once; all members follow the same one)")?;
                }
                Ok(())
            }
            Self::Moved { channel } => write!(
                f,
                "channel {} moved without you; ask a member for a new link",
                short(channel)
            ),
            Self::Joined { channel, name } => {
                write!(f, "{name} joined channel {}", short(channel))
            }
            Self::NameTaken { channel, name } => write!(
                f,
                "a second key uses the name \"{name}\" in channel {}; compare safety numbers",
                short(channel)
            ),
            Self::Forked { channel, name } => write!(
                f,
                "\"{name}\" in channel {} sent two different messages in one place; compare safety numbers",
                short(channel)
            ),
            Self::Dropped { count } => write!(
                f,
                "{count} envelope(s) were dropped: they do not open, verify or belong here"
            ),
            Self::Withheld { node } => write!(
                f,
                "super node {} acknowledged messages and does not have them: it is left; tell its operator, or add another node",
                short(node)
            ),
            Self::Refused { node, reason } => {
                write!(f, "super node {} refused: {reason}", short(node))
            }
            Self::Storage { reason } => write!(f, "nothing can be stored: {reason}"),
            Self::Unreachable { node, reason } => {
                write!(f, "super node {}: {reason}", short(node))
            }
        }
    }
}

/// A reason of the protocol, as a sentence for people.
pub(crate) fn reason(reason: crate::wire::node::Reason) -> &'static str {
    use crate::wire::node::Reason;
    match reason {
        Reason::Unspecified => "it did not say why; try again later",
        Reason::Malformed => "the request does not parse; update the app",
        Reason::BadSignature => "a signature does not verify; rejoin the channel with a fresh link",
        Reason::BadProof => {
            "the proof of access does not verify; rejoin the channel with a fresh link"
        }
        Reason::ClockAhead => "the message is dated ahead of its clock: set this device's clock",
        Reason::Expired => "the message is older than 7 days; send it again",
        Reason::TooEarly => "the address is for a later week: set this device's clock",
        Reason::LeaseEnd => "the lease ends at the wrong time: set this device's clock",
        Reason::TooLarge => "the message is too large; split it",
        Reason::RateLimited => "too much at once; it will be tried again",
        Reason::ClientFull => {
            "it holds as many addresses for you as it allows; leave a channel or add a node"
        }
        Reason::AddressFull => "it holds as many messages of this channel as it allows; add a node",
        Reason::NodeFull => "it is full; add another node",
        Reason::EarlyData => "the request came too early; it will be tried again",
        Reason::NotRegistered => "it has no lease for this; it will be registered again",
        Reason::Storage => "it cannot write to its disk; tell its operator, or add a node",
        Reason::NotFound => "the message is no longer there",
        Reason::Evicted => {
            "it is full and keeps those who are nearer to its operator; ask a friend for an introduction, or add another node"
        }
        Reason::LeaseOver => "the registration has ended; it will be made again",
        Reason::SubtreeFull => {
            "as many came by this introduction as its operator allows; ask for another one"
        }
        Reason::Revoked => "its operator revoked this introduction; ask somebody else for one",
        Reason::BadIntroduction => {
            "the introduction does not verify, or somebody else uses it; ask for a new one"
        }
        Reason::IntroductionExpired => "the introduction's 90 days are over; ask for a new one",
        Reason::NoStrangers => {
            "it takes no strangers now; ask a friend for an introduction, or add another node"
        }
        Reason::NetworkLimited => {
            "too many from this network use it at once; it will be tried again"
        }
        Reason::AddressesDiffer => "its leases differ; they will be registered again",
        Reason::Busy => "it is busy; it will be tried again",
    }
}

/// What one poll brought.
#[derive(Clone, Debug, Default)]
pub struct PollReport {
    /// New messages, oldest first within a channel.
    pub messages: Vec<Message>,
    /// Own messages that expired.
    pub expired: Vec<Message>,
    /// UDP payload sent, in bytes.
    pub bytes_sent: u64,
    /// UDP payload received, in bytes.
    pub bytes_received: u64,
    /// Of these, datagrams that asked whether there is anything new.
    pub probes_sent: u32,
    /// Of these, answers to such.
    pub probes_received: u32,
    /// Nodes that answered.
    pub nodes_reached: usize,
    /// Every conversation with a node ended by itself, well or not; false if the time was over before, or the store
    /// failed on the way.
    pub complete: bool,
    /// What a person should be told.
    pub notices: Vec<Notice>,
}

/// Something that happened, for apps that watch.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message arrived.
    Received(Message),
    /// What a channel shows was changed here, or by an admin: a message queued or deleted, messages read, the channel
    /// made, joined, renamed, muted, rotated or left, an admin appointed. The id may be a former one.
    Changed {
        /// The channel.
        channel: ChannelId,
    },
    /// An own message moved on; `was` is the id it had before it was sealed.
    State {
        /// The channel.
        channel: ChannelId,
        /// Its id now.
        id: MessageId,
        /// Its id before, if it changed.
        was: Option<MessageId>,
        /// Where it stands.
        state: MessageState,
    },
    /// Something to tell a person.
    Noticed(Notice),
    /// A live connection stands, or was lost.
    Connected {
        /// Which node.
        node: NodeKey,
        /// Stands or was lost.
        connected: bool,
    },
    /// Events were missed because they were not taken in time: read the store.
    Lagged {
        /// How many.
        missed: u64,
    },
}

fn short(id: &impl fmt::Display) -> String {
    id.to_string().chars().take(8).collect()
}

fn duration(by: Duration) -> String {
    let minutes = by.as_secs() / 60;
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
}
