//! What an operator does with a node's data directory, most of it while the daemon runs.
//!
//! The daemon holds the directory's lock; what is here needs none. It reads and writes the database in transactions of
//! its own, and the daemon finds what was written.

mod backup;
mod invite;
mod restore;
mod revoke;
mod status;

use std::{
    io,
    path::{Path, PathBuf},
};

use ailurus::channel::NodeLink;

pub use self::{
    invite::Terms,
    restore::{Restored, restore},
    revoke::Revoked,
    status::{InvitationStatus, Status},
};
pub use crate::store::{
    backup::{OnProgress, Progress},
    beside::{InvitationRow, Kept, PeerNode, Revocation, Subtree},
};
use crate::{
    error::NodeError,
    identity::Files,
    store::{StoreError, backup::BackupError},
};

/// A data directory in which a node was started at least once, beside the daemon that may be using it.
pub struct Operator {
    dir: PathBuf,
}

impl Operator {
    /// The node of a data directory.
    ///
    /// # Errors
    /// [`OperatorError::NoNode`] if there is none.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, OperatorError> {
        let operator = Self { dir: dir.into() };
        // Metadata: a directory that may not be looked into is another error than one that is empty.
        match operator.files().database().metadata() {
            Ok(_) => Ok(operator),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(OperatorError::NoNode(operator.dir))
            }
            Err(source) => Err(file(&operator.dir, source)),
        }
    }

    /// The link that the node had at its last start.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn link(&self) -> Result<Option<NodeLink>, OperatorError> {
        Ok(self.files().link()?)
    }

    fn files(&self) -> Files<'_> {
        Files(&self.dir)
    }
}

/// Why a command of the operator failed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No node was ever started there.
    #[error("{0} holds no node; check --data, or start ailurus-node once")]
    NoNode(PathBuf),
    /// The directory has a database and no key.
    #[error("{0} holds a database and no node key; restore it from a backup")]
    NoKey(PathBuf),
    /// A file that would be overwritten.
    #[error("{0} is there already; choose another file name")]
    FileExists(PathBuf),
    /// A file or directory cannot be used.
    #[error(
        "{path} cannot be used ({source}); check the path, its permissions and the disk's free space"
    )]
    File {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another backup into the same file is under way.
    #[error("another backup is being written to {0}; wait for it, or choose another file name")]
    BackupUnderWay(PathBuf),
    /// The directory to restore into has files.
    #[error("{0} is not empty; restore into an empty or new directory")]
    NotEmpty(PathBuf),
    /// Not a backup, or cut off.
    #[error("{0} is no backup of a node, or was cut off; take another copy of it")]
    NoBackup(PathBuf),
    /// The backup's checksum is wrong.
    #[error("{0} is damaged: its checksum is wrong; take another copy of it")]
    Damaged(PathBuf),
    /// A backup of a later version.
    #[error("{path} was made by a later version (format {format}); update ailurus-node")]
    NewerBackup {
        /// The backup.
        path: PathBuf,
        /// The format's version.
        format: u16,
    },
    /// It was never started, so it is not known where clients reach it.
    #[error(
        "{0} does not say where clients reach the node; start it once with --advertise HOST:PORT"
    )]
    NoLink(PathBuf),
    /// Two invitations with one name could not be told apart.
    #[error("there is an invitation labelled {0:?} already; choose another --label")]
    LabelTaken(String),
    /// A label that would not fit a line.
    #[error("a label has 1 to {MAX_LABEL} characters and no control characters; choose another")]
    BadLabel,
    /// Longer than nodes accept, or over at once.
    #[error("an invitation lasts 1 to {MAX_DAYS} days; choose another --days")]
    BadDays,
    /// Nobody could use it.
    #[error("an invitation that may bring no client is of no use; choose another --clients")]
    NoClients,
    /// Neither label nor chain id.
    #[error(
        "{0:?} is neither the label of an invitation nor the beginning of a chain id; see ailurus-node status"
    )]
    UnknownChain(String),
    /// Several fit.
    #[error("{0:?} fits {1} chain ids; give more digits, which ailurus-node status --json shows")]
    AmbiguousChain(String, usize),
    /// The data directory cannot be used.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OperatorError {
    /// Whether the command line was wrong, rather than something that happened at run time.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoNode(_)
                | Self::FileExists(_)
                | Self::NotEmpty(_)
                | Self::LabelTaken(_)
                | Self::BadLabel
                | Self::BadDays
                | Self::NoClients
                | Self::UnknownChain(_)
                | Self::AmbiguousChain(..)
        )
    }

    fn backup(path: &Path) -> impl FnOnce(BackupError) -> Self {
        let path = path.to_owned();
        |error| match error {
            BackupError::Io(source) => Self::File { path, source },
            BackupError::Store(error) => Self::Store(error),
            BackupError::NoBackup => Self::NoBackup(path),
            BackupError::Newer(format) => Self::NewerBackup { path, format },
            BackupError::Damaged => Self::Damaged(path),
        }
    }
}

fn file(path: &Path, source: io::Error) -> OperatorError {
    OperatorError::File {
        path: path.to_owned(),
        source,
    }
}

/// Longest label of an invitation, in characters.
const MAX_LABEL: usize = 64;
/// Longest life of an invitation, in days.
const MAX_DAYS: u32 = 90;
