//! A push that is to be sent, and how it went.

use std::time::Duration;

use ailurus::crypto::Pseudonym;

use super::Host;

/// What a push carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// That there is something new.
    Wakeup,
    /// What the client is to bring back, to show that the endpoint is its own.
    Challenge,
}

/// A push to be sent now. [`Pushes::done`] is to be told how that went.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) client: Pseudonym,
    pub(crate) body: Body,
    pub(super) host: Host,
    pub(super) serial: u64,
}

/// How a push went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The push service has it.
    Delivered,
    /// It may work later, after this time at the earliest.
    Later(Duration),
    /// Nothing was sent, as enough was lately. After this time it may be.
    Wait(Duration),
    /// There is no such subscription any more.
    Gone,
    /// The push service refuses, or sends elsewhere.
    Refused,
    /// The endpoint leads to no public address.
    NotPublic,
    /// The client has no endpoint any more.
    Withdrawn,
}

impl Outcome {
    /// All that are counted.
    pub(crate) const LABELS: [&'static str; 5] =
        ["delivered", "later", "gone", "refused", "not_public"];

    /// As what it is counted; `None` where nothing was sent.
    pub(crate) fn label(self) -> Option<&'static str> {
        match self {
            Self::Delivered => Some("delivered"),
            Self::Later(_) => Some("later"),
            Self::Gone => Some("gone"),
            Self::Refused => Some("refused"),
            Self::NotPublic => Some("not_public"),
            Self::Wait(_) | Self::Withdrawn => None,
        }
    }
}
