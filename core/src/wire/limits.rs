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
/// Hops of an introduction, at most.
pub const MAX_HOPS: usize = 6;
/// How long an introduction lasts.
pub const INTRODUCTION_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
/// Slots of a channel in the DHT.
pub const RECORD_SLOTS: u8 = 8;
/// Of these, how many one node may take.
pub const SLOTS_PER_NODE: usize = 3;
/// How long a record in the DHT is good for, counted from its seq.
pub const RECORD_LIFETIME: Duration = Duration::from_secs(48 * 3600);
/// Length of the value of a record, in bytes; BEP 44 allows 1,000, bencoded.
pub const RECORD_LEN: usize = 256;
/// Super nodes that serve one address, as far as one announcement, channel or node remembers them.
pub const MAX_PEERS: usize = 8;
/// Super nodes that a client keeps, at least and at most.
pub const NODES_KEPT: std::ops::RangeInclusive<usize> = 3..=5;
/// What digests cover is at least this old: younger envelopes may still be on their way.
pub const DIGEST_MIN_AGE: Duration = Duration::from_secs(3600);
/// What digests cover is at most this old: older envelopes may be gone already.
pub const DIGEST_MAX_AGE: Duration = Duration::from_secs((6 * 24 + 23) * 3600);
/// Steps of one digest.
pub const MAX_DIGEST_STEPS: u32 = 168;
/// Announcements in one `Announce`.
pub const MAX_ANNOUNCEMENTS: usize = 128;
/// Ids in one `Listed`.
pub const MAX_LISTED: usize = 4_096;
/// Question and answer of a poll by datagram, in bytes of UDP payload each.
pub const PROBE_LEN: usize = 122;
/// A sealed ticket for a poll by datagram, in bytes.
pub const TICKET_LEN: usize = 60;
/// How long a ticket is good for at least, from when it was given.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Tickets that a client is given and keeps at once.
pub const MAX_TICKETS: usize = 2;
