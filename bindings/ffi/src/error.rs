//! Errors as apps see them: a kind to act on, and a sentence to show.

use ailurus::channel::LinkError;
use ailurus::client::Error;
use ailurus::net::DhtError;
use ailurus::store::StoreError;

/// Why a call failed. The case is the machine-readable kind and stays the same across releases; its message is a
/// sentence for people that says what to do next, and holds no secret.
#[derive(Debug, thiserror::Error, uniffi::Error)]
#[uniffi(flat_error)]
#[non_exhaustive]
pub enum AilurusError {
    /// The profile is in this channel already, and the link gives nothing more.
    #[error("{0}")]
    AlreadyIn(String),
    /// The beginning of an id fits several.
    #[error("{0}")]
    Ambiguous(String),
    /// A file is no backup, or damaged.
    #[error("{0}")]
    BadBackup(String),
    /// A name, text, key, id or option that cannot be used.
    #[error("{0}")]
    BadInput(String),
    /// A link that does not parse, or is of another type than is needed here.
    #[error("{0}")]
    BadLink(String),
    /// Another process holds the profile and does not let go.
    #[error("{0}")]
    Busy(String),
    /// The call was cancelled.
    #[error("{0}")]
    Cancelled(String),
    /// There is a channel of this name already.
    #[error("{0}")]
    ChannelExists(String),
    /// The client was shut down.
    #[error("{0}")]
    Closed(String),
    /// The profile is damaged.
    #[error("{0}")]
    Corrupt(String),
    /// The disk is full.
    #[error("{0}")]
    DiskFull(String),
    /// A limit of this phone: the outbox, channels, nodes.
    #[error("{0}")]
    Full(String),
    /// The file system failed in another way.
    #[error("{0}")]
    Io(String),
    /// The channel was rotated without this profile.
    #[error("{0}")]
    Moved(String),
    /// The network failed, or a node cannot be reached.
    #[error("{0}")]
    Network(String),
    /// The profile was written by a later version.
    #[error("{0}")]
    NewerVersion(String),
    /// No QR code could be read or drawn.
    #[error("{0}")]
    NoCode(String),
    /// No super node is known.
    #[error("{0}")]
    NoNode(String),
    /// There is no profile in this folder.
    #[error("{0}")]
    NoProfile(String),
    /// Only an admin may do this.
    #[error("{0}")]
    NotAdmin(String),
    /// The access to this channel does not allow it.
    #[error("{0}")]
    NotAllowed(String),
    /// No such channel, member or message.
    #[error("{0}")]
    NotFound(String),
    /// There is a profile in this folder already.
    #[error("{0}")]
    ProfileExists(String),
    /// A super node broke the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The folder or file cannot be written.
    #[error("{0}")]
    ReadOnly(String),
    /// A super node refused.
    #[error("{0}")]
    Refused(String),
    /// The client is suspended.
    #[error("{0}")]
    Suspended(String),
    /// The key vault failed, did not answer, or holds no key.
    #[error("{0}")]
    Vault(String),
    /// The storage key or passphrase is wrong.
    #[error("{0}")]
    WrongKey(String),
}

impl AilurusError {
    pub(crate) fn cancelled() -> Self {
        Self::Cancelled("the call was cancelled; call again when it is needed".to_owned())
    }
}

impl From<Error> for AilurusError {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::AlreadyIn(_) => Self::AlreadyIn,
            Error::Ambiguous(_) => Self::Ambiguous,
            Error::ChannelExists(_) => Self::ChannelExists,
            Error::EmptyText
            | Error::Dht(DhtError::NotBuilt)
            | Error::Envelope(_)
            | Error::Name
            | Error::PushTarget(_)
            | Error::TextTooLong(_)
            | Error::Yourself => Self::BadInput,
            Error::Blind(_)
            | Error::DhtKey(_)
            | Error::Epoch(_)
            | Error::Introduction(_)
            | Error::Invitation(_)
            | Error::Link(_)
            | Error::LinkAhead
            | Error::NodeLink(_) => Self::BadLink,
            Error::Moved => Self::Moved,
            Error::Narrow(_) | Error::NotAllowed(_) => Self::NotAllowed,
            Error::Dht(_) | Error::Net(_) => Self::Network,
            Error::NoIntroduction => Self::NotAllowed,
            Error::NoNode => Self::NoNode,
            Error::NotAdmin => Self::NotAdmin,
            Error::OutboxFull(_) => Self::Full,
            Error::Protocol(_) | Error::Rotation(_) => Self::Protocol,
            Error::Qr(_) => Self::NoCode,
            Error::Refused(_) => Self::Refused,
            Error::ShutDown => Self::Closed,
            Error::Store(error) => store(error),
            Error::UnknownChannel(_)
            | Error::UnknownMember
            | Error::UnknownMessage(_)
            | Error::UnknownNode(_) => Self::NotFound,
            Error::Vault(_) => Self::Vault,
        };
        kind(error.to_string())
    }
}

impl From<LinkError> for AilurusError {
    fn from(error: LinkError) -> Self {
        Self::from(Error::from(error))
    }
}

fn store(error: &StoreError) -> fn(String) -> AilurusError {
    match error {
        StoreError::BadBackup => AilurusError::BadBackup,
        StoreError::Busy => AilurusError::Busy,
        StoreError::Closed => AilurusError::Closed,
        StoreError::Corrupt(_) => AilurusError::Corrupt,
        StoreError::DiskFull => AilurusError::DiskFull,
        StoreError::Exists => AilurusError::ProfileExists,
        StoreError::Io(_) | StoreError::Sqlite(_) => AilurusError::Io,
        StoreError::Limit { .. } => AilurusError::Full,
        StoreError::Missing => AilurusError::NoProfile,
        StoreError::Newer { .. } => AilurusError::NewerVersion,
        StoreError::ReadOnly => AilurusError::ReadOnly,
        StoreError::Suspended => AilurusError::Suspended,
        StoreError::Unknown(_) => AilurusError::NotFound,
        StoreError::WrongKey => AilurusError::WrongKey,
    }
}
