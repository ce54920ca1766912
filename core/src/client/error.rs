//! What can go wrong in the client, in a sentence that tells what to do.

use crate::channel::{
    AccessKind, EnvelopeError, EpochError, IntroductionError, InvitationError, LinkError,
    NarrowError, NodeLinkError, qr::QrError, rotation::RotationError,
};
use crate::crypto::{BlindError, BlindKeyError};
use crate::net::{DhtError, NetError};
use crate::store::StoreError;
use crate::wire::limits::{MAX_NAME, MAX_TEXT};

use super::vault::VaultError;

/// Why the client could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An id prefix fits several.
    #[error("\"{0}\" fits several; give more of the id")]
    Ambiguous(String),
    /// A link to a channel that is here already, and gives nothing more.
    #[error("you are in this channel already, as \"{0}\"; read it with that name")]
    AlreadyIn(String),
    /// The channel's keys lead to an excluded value, which no honest channel has.
    #[error("the channel's keys are not usable: {0}")]
    Blind(#[from] BlindError),
    /// There is a channel of this name or with these keys.
    #[error("there is a channel \"{0}\" already; rename it or choose another name")]
    ChannelExists(String),
    /// The DHT cannot be searched.
    #[error(transparent)]
    Dht(#[from] DhtError),
    /// The channel's DHT key is none, which no honest link carries.
    #[error("the channel's DHT key is not usable: {0}")]
    DhtKey(#[from] BlindKeyError),
    /// Nothing to send.
    #[error("the text is empty; write something")]
    EmptyText,
    /// The envelope would be too large.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// No read secret can be derived for the present.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The link is none.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A link whose read secret is for a later week.
    #[error("the link is for a later week; check this device's clock, or ask for a new link")]
    LinkAhead,
    /// The channel was rotated without us.
    #[error("this channel moved without you; ask a member for a new link")]
    Moved,
    /// A name is empty or over 32 bytes.
    #[error("a name has 1 to {MAX_NAME} bytes and no control characters; choose another one")]
    Name,
    /// Access cannot be shared like this.
    #[error(transparent)]
    Narrow(#[from] NarrowError),
    /// The network or a node failed.
    #[error(transparent)]
    Net(#[from] NetError),
    /// An introduction does not hold, or cannot be made.
    #[error(transparent)]
    Introduction(#[from] IntroductionError),
    /// An invitation is none.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// There is no node to which we could introduce anybody.
    #[error(
        "you were introduced to no super node near enough to introduce others; ask its operator, or a friend, for an introduction"
    )]
    NoIntroduction,
    /// No super node is known.
    #[error("no super node is known; add one with its node link")]
    NoNode,
    /// Our access does not allow it.
    #[error(
        "you have {0} access to this channel, which does not allow that; ask for a link with full access"
    )]
    NotAllowed(AccessKind),
    /// Only admins rotate.
    #[error("only an admin of the channel can do that; ask its creator")]
    NotAdmin,
    /// A node link is none.
    #[error(transparent)]
    NodeLink(#[from] NodeLinkError),
    /// Too much waits already.
    #[error("{0} messages wait to be sent already; connect to a super node first")]
    OutboxFull(u32),
    /// A node broke the protocol.
    #[error(
        "the super node {0} answered with something that does not parse; report it to its operator"
    )]
    Protocol(String),
    /// No node would take it.
    #[error(
        "the push subscription cannot be used: {0}; subscribe anew and pass on what that gives"
    )]
    PushTarget(&'static str),
    /// The QR code could not be drawn or read.
    #[error(transparent)]
    Qr(#[from] QrError),
    /// A node refused.
    #[error("the super node refused: {0}")]
    Refused(&'static str),
    /// A rotation cannot be made.
    #[error(transparent)]
    Rotation(#[from] RotationError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The client's work was cut short.
    #[error("the client was shut down while this ran; open it again")]
    ShutDown,
    /// More than 16 KiB.
    #[error("the text has {0} bytes and at most {MAX_TEXT} are possible; split it")]
    TextTooLong(usize),
    /// No such channel.
    #[error("there is no channel \"{0}\"; look it up in the list of your channels")]
    UnknownChannel(String),
    /// Rotation leaves others out.
    #[error("you cannot leave yourself out; leave the channel instead")]
    Yourself,
    /// No such member.
    #[error("there is no such member in this channel; look them up in its list of members")]
    UnknownMember,
    /// The app's key vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// No such super node.
    #[error("there is no super node \"{0}\" in this profile; look it up in its list of nodes")]
    UnknownNode(String),
    /// No such message.
    #[error("there is no message \"{0}\" on this phone")]
    UnknownMessage(String),
}
