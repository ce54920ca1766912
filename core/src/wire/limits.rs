//! The constants that both ends must agree on (docs/PROTOCOL.md, section 7), each with a test that shows it.

use std::time::Duration;

/// Length of an epoch; epochs are aligned to the Unix epoch for everybody.
pub const EPOCH: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a super node keeps an envelope, counted from its header time.
pub const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// How far a header time may lie ahead of the node's clock.
pub const MAX_AHEAD: Duration = Duration::from_secs(15 * 60);
/// How long before its epoch an address is accepted.
pub const ADDRESS_EARLY: Duration = Duration::from_secs(2 * 24 * 3600);
/// Own clock and nodes' clocks may differ by this much before nothing that depends on time is deleted.
pub const MAX_CLOCK_DISAGREEMENT: Duration = Duration::from_secs(24 * 3600);
/// How long members repeat a rotation notice.
pub const ROTATION_REPEATED: Duration = Duration::from_secs(8 * 7 * 24 * 3600);

/// Largest frame on a stream, in bytes.
pub const MAX_FRAME: usize = 256 * 1024;
/// Largest signature and body of an envelope, in bytes.
pub const MAX_SEALED: usize = 64 * 1024;
/// Signature and body up to this many bytes ride with their header; larger ones are fetched.
pub const MAX_INLINE: usize = 8 * 1024;
/// Longest text of a message, in bytes of UTF-8.
pub const MAX_TEXT: usize = 16 * 1024;
/// Longest name of a channel or a person, in bytes of UTF-8.
pub const MAX_NAME: usize = 32;
/// Longest link, in characters.
pub const MAX_LINK: usize = 470;
/// Super-node hints that a link carries at most.
pub const MAX_HINTS: usize = 2;
/// Longest host of a super node, in bytes.
pub const MAX_HOST: usize = 100;
/// Envelopes in one `Publish` or `Batch`.
pub const MAX_ITEMS: usize = 1_024;
/// Leases in one `Register` and addresses in one `Release`.
pub const MAX_LEASES: usize = 512;
/// Smallest plaintext after padding, in bytes.
pub const MIN_PADDED: usize = 192;
/// Longest statement of a rotation, in bytes: what fits an envelope after padding. About 350 members.
pub const MAX_ROTATION: usize = MAX_SEALED - 2_560;
