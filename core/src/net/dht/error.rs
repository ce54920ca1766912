//! What can go wrong with the DHT.

use std::io;

/// Why the DHT could not be asked or written, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DhtError {
    /// The item that is stored has another sequence number than was expected, or another item is on its way.
    #[error("somebody else wrote this item meanwhile; read it again before you write")]
    Conflict,
    /// Nobody answered, or no node to enter by could be resolved.
    #[error(
        "no node of the DHT answers; check the network and that UDP gets through, or enter it by other nodes"
    )]
    NoNodes,
    /// A cargo feature is missing.
    #[error(
        "this build has no DHT (cargo feature \"dht\"); switch it off, or use a build that has it"
    )]
    NotBuilt,
    /// The UDP socket could not be opened.
    #[error("no UDP socket for the DHT could be opened ({0}); choose another port")]
    Socket(#[source] io::Error),
    /// A newer item is stored.
    #[error("the DHT holds a newer item; read it before you write")]
    Stale,
    /// The DHT's thread is gone.
    #[error("the DHT has stopped; open it again")]
    Stopped,
    /// Some nodes were asked, but it took too long, or they refused without a reason that fits.
    #[error("the DHT did not answer in time; try again later")]
    TimedOut,
    /// BEP 44: at most 1,000 bytes of value, encoded, and 64 bytes of salt.
    #[error(
        "a DHT item has at most {MAX_VALUE} bytes of value and {MAX_SALT} of salt; this has {value} and {salt}"
    )]
    TooLarge {
        /// Bytes of the value.
        value: usize,
        /// Bytes of the salt.
        salt: usize,
    },
}

/// BEP 44 counts the encoded form, which is four bytes longer.
pub(super) const MAX_VALUE: usize = 1_000 - 4;
/// Bytes of salt (BEP 44).
pub(super) const MAX_SALT: usize = 64;
