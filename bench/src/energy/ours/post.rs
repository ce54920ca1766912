//! What a phone has of its node: whether there is news, and what it is.

use ailurus::{
    power::{Due, WakeupReason},
    wire::time::UnixMillis,
};
use ailurus_bench::harness::Failure;

use crate::wire::Carried;

/// A phone's side of its node: the real one, or a small one that counts alike.
pub trait Post {
    /// Asks by datagram whether there is news.
    fn ask(&mut self, now: UnixMillis) -> Result<Asked, Failure>;

    /// Connects and does all there is to do.
    fn talk(&mut self, now: UnixMillis) -> Result<Brought, Failure>;

    /// Queues a message of its own.
    fn write(&mut self, now: UnixMillis) -> Result<(), Failure>;

    /// What is due when, seen from `now`.
    fn dues(&mut self, now: UnixMillis) -> Result<Dues, Failure>;
}

/// When something is due, by reason.
pub type Dues = Vec<(WakeupReason, Option<Due>)>;

/// What came of a question by datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It was not asked: it takes a connection.
    Skipped,
    Nothing,
    News,
}

/// What a conversation brought.
#[derive(Debug, Default)]
pub struct Brought {
    /// When its messages were sent.
    pub sent: Vec<UnixMillis>,
    pub carried: Carried,
}

/// Somebody who writes to all phones.
pub trait Sender {
    /// Writes a text of this length, which reaches the node at once.
    fn send(&mut self, bytes: usize, now: UnixMillis) -> Result<(), Failure>;

    /// An hour has passed.
    fn expire(&mut self, now: UnixMillis) -> Result<(), Failure>;
}
