//! How a command ends: exit codes, and errors that say what to do next.

use std::{io, path::PathBuf, process::ExitCode};

use ailurus::{
    channel::{InvitationError, LinkError, NodeLinkError, qr::QrError},
    client,
    crypto::PasswordError,
};

/// A command that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that was asked.
    Done,
    /// No node acknowledged in time: the message waits in the outbox.
    Queued,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// What the library refused.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// A demo step did not show what it promises.
    #[error("the demo failed: {0}; run it again with AILURUS_LOG=debug and report what it prints")]
    Demo(String),
    /// A file could not be read or written.
    #[error("{path} cannot be used ({error}); check the path and its permissions")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file that would be overwritten.
    #[error("{0} is there already; choose another file name")]
    FileExists(PathBuf),
    /// A channel link that does not parse.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A member who is not there.
    #[error("no member is called {0:?} or has a key that begins so; see `ailurus channel members`")]
    MemberUnknown(String),
    /// Several members fit.
    #[error(
        "{0:?} fits {1} members; give more digits of the key, which `ailurus channel members` shows"
    )]
    MemberAmbiguous(String, usize),
    /// Something that is not base64url.
    #[error("{0} is no base64url without padding; pass on what the subscription gives")]
    Base64(&'static str),
    /// No passphrase, and nobody to ask.
    #[error("no passphrase: set AILURUS_PASSPHRASE, or run this in a terminal to be asked")]
    NoPassphrase,
    /// The profile was made, but its salt is gone.
    #[error(
        "{0} has no profile, or its file `salt` is missing; make one with `ailurus --data DIR init`, or restore a backup with `import`"
    )]
    NoProfile(PathBuf),
    /// The folder is in use.
    #[error("{0} has a profile already; use it, or give another folder with --data")]
    ProfileExists(PathBuf),
    /// A node link that does not parse.
    #[error(transparent)]
    NodeLink(#[from] NodeLinkError),
    /// An invitation that does not parse.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// A super node that is not there.
    #[error("no super node of this profile has an id that begins with {0:?}; see `ailurus nodes`")]
    NodeUnknown(String),
    /// Several super nodes fit.
    #[error("{0:?} fits {1} super nodes; give more digits of the id, which `ailurus nodes` shows")]
    NodeAmbiguous(String, usize),
    /// A poll that reached nobody.
    #[error("no super node answered; check the network, and `ailurus nodes --why` for the nodes")]
    Offline,
    /// Standard input or output failed.
    #[error("standard input or output failed ({0}); try again with another pipe or file")]
    Output(#[from] io::Error),
    /// An empty passphrase.
    #[error("{0} is empty; choose a passphrase")]
    PassphraseEmpty(&'static str),
    /// A passphrase that is no text.
    #[error("{0} is not UTF-8 text; choose another passphrase")]
    PassphraseNotText(&'static str),
    /// Two different entries.
    #[error("the two passphrases differ; run the command again")]
    PassphraseDiffers,
    /// Argon2id refused.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A QR code could not be drawn or read.
    #[error(transparent)]
    Qr(#[from] QrError),
    /// Several links in one picture.
    #[error("{0} shows several channel links; crop it to one QR code")]
    QrAmbiguous(PathBuf),
    /// The salt is damaged.
    #[error("{0} does not have 16 bytes; restore the profile from a backup with `import`")]
    Salt(PathBuf),
    /// Standard input is no text.
    #[error("standard input is not UTF-8 text; send text only")]
    StdinNotText,
    /// Standard input is longer than anything this takes.
    #[error("standard input is longer than {0} bytes; send less, or several messages")]
    StdinTooLong(usize),
}

impl CliError {
    /// A file error with its path.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |error| Self::File { path, error }
    }
}

/// The exit code of a command; errors go to standard error, unless whoever read standard output has left.
pub fn report(result: Result<Outcome, CliError>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Queued) => ExitCode::from(3),
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            crate::output::note(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
