//! Values that cross the border.

use std::time::{Duration, SystemTime};

use ailurus::client as core;
use ailurus::wire::time::UnixMillis;

use crate::{ChannelId, MessageId, Notice, PublicKey};

pub use ailurus::channel::AccessKind;
pub use ailurus::client::MessageState;

/// What a link or a member may do.
#[uniffi::remote(Enum)]
pub enum AccessKind {
    /// Read and write.
    Full,
    /// Read only.
    Read,
    /// Write only.
    Write,
}

/// Where a message stands.
#[uniffi::remote(Enum)]
pub enum MessageState {
    /// Ours, and no super node has it yet.
    Queued,
    /// Ours, and on the disk of a super node.
    AtNode,
    /// Another's.
    Received,
    /// Ours, and no super node took it within 7 days.
    Expired,
}

/// A message as an app shows it.
#[derive(uniffi::Record)]
pub struct Message {
    /// Its id; provisional while it waits in the outbox unsealed.
    pub id: MessageId,
    /// The channel.
    pub channel: ChannelId,
    /// The author's key: who it really is.
    pub author: PublicKey,
    /// The name that the author claims; empty before an introduction.
    pub author_name: String,
    /// Ours.
    pub own: bool,
    /// When it was sealed, by a super node's clock; for what waits, when it was queued.
    pub time: SystemTime,
    /// What was said.
    pub text: String,
    /// Where it stands.
    pub state: MessageState,
}

/// Which messages of a channel to read.
#[derive(uniffi::Enum)]
pub enum Page {
    /// The latest.
    Latest,
    /// Those before this one.
    Before {
        /// The message.
        message: MessageId,
    },
    /// Those that arrived after this one, in the order of arrival.
    ArrivedAfter {
        /// The message.
        message: MessageId,
    },
    /// All that arrived, in the order of arrival.
    Arrived,
}

/// A channel in the list.
#[derive(uniffi::Record)]
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
    pub members: u64,
    /// Envelopes that wait for their author's introduction.
    pub pending: u64,
}

/// An author in a channel.
#[derive(uniffi::Record)]
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

/// What one sync brought.
#[derive(uniffi::Record)]
pub struct PollReport {
    /// New messages, oldest first within a channel.
    pub messages: Vec<Message>,
    /// Own messages that expired.
    pub expired: Vec<Message>,
    /// UDP payload sent, in bytes.
    pub bytes_sent: u64,
    /// UDP payload received, in bytes.
    pub bytes_received: u64,
    /// Datagrams sent that asked whether anything is new, without a connection.
    pub probes_sent: u32,
    /// Answers to them.
    pub probes_received: u32,
    /// Super nodes that answered.
    pub nodes_reached: u64,
    /// What a person should be told.
    pub notices: Vec<Notice>,
    /// Not cut short by the budget.
    pub complete: bool,
}

impl From<core::Message> for Message {
    fn from(message: core::Message) -> Self {
        Self {
            id: message.id,
            channel: message.channel,
            author: message.author,
            author_name: message.author_name,
            own: message.own,
            time: system_time(message.time),
            text: message.text,
            state: message.state,
        }
    }
}

impl From<core::ChannelSummary> for ChannelSummary {
    fn from(channel: core::ChannelSummary) -> Self {
        Self {
            id: channel.id,
            name: channel.name,
            access: channel.access,
            admin: channel.admin,
            redpanda: channel.redpanda,
            moved: channel.moved,
            muted: channel.muted,
            unread: channel.unread,
            members: count(channel.members),
            pending: channel.pending,
        }
    }
}

impl From<core::Member> for Member {
    fn from(member: core::Member) -> Self {
        Self {
            author: member.author,
            name: member.name,
            own: member.own,
            write_only: member.write_only,
            name_taken: member.name_taken,
            removed: member.removed,
            forked: member.forked,
            missing: member.missing,
            safety_number: member.safety_number,
        }
    }
}

impl From<core::PollReport> for PollReport {
    fn from(report: core::PollReport) -> Self {
        Self {
            messages: report.messages.into_iter().map(Message::from).collect(),
            expired: report.expired.into_iter().map(Message::from).collect(),
            bytes_sent: report.bytes_sent,
            bytes_received: report.bytes_received,
            probes_sent: report.probes_sent,
            probes_received: report.probes_received,
            nodes_reached: count(report.nodes_reached),
            notices: report.notices.into_iter().map(Notice::from).collect(),
            complete: report.complete,
        }
    }
}

/// A time of the protocol as the platform's; one so far ahead that the platform has none is its epoch.
pub(crate) fn system_time(time: UnixMillis) -> SystemTime {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_millis(time.as_millis().min(LATEST)))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The end of the year 9999, which every platform can show.
const LATEST: u64 = 253_402_300_799_000;

pub(crate) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
