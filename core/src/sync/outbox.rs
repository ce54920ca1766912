//! How many nodes get a message, and what a refusal means for it.

use std::time::Duration;

use crate::wire::{
    limits::{LIFETIME, MAX_AHEAD},
    node::Reason,
    time::UnixMillis,
};

/// How many of `nodes` super nodes must have a message on disk before it leaves the outbox.
pub fn copies_wanted(nodes: usize) -> usize {
    nodes.clamp(1, 2)
}

/// What becomes of a message that a node refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays queued for another time or another node.
    Retry,
    /// No node will take it any more.
    Expired,
}

/// What a node's reason means for a message.
pub fn fate(reason: Reason) -> Fate {
    match reason {
        Reason::Expired | Reason::TooLarge | Reason::BadSignature | Reason::Malformed => {
            Fate::Expired
        }
        _ => Fate::Retry,
    }
}

/// Whether a message that was queued or sealed at `since` is past what any node would take.
pub fn is_expired(since: UnixMillis, now: UnixMillis) -> bool {
    now.since(since) >= LIFETIME
}

/// The header time of the next message: the node's time, but after our last one, so that order is kept; unless that
/// one was dated by a clock that ran ahead, which must not silence us until then.
pub fn stamp(node_now: UnixMillis, last: UnixMillis) -> UnixMillis {
    let next = last.after(Duration::from_millis(1));
    if next > node_now.after(MAX_AHEAD) {
        node_now
    } else {
        node_now.max(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_copies_where_there_are_two_nodes() {
        assert_eq!([0, 1, 2, 5].map(copies_wanted), [1, 1, 2, 2]);
    }

    #[test]
    fn stamps_never_repeat() {
        let now = UnixMillis::from_secs(100);
        let first = stamp(now, UnixMillis::from_millis(0));
        let second = stamp(now, first);
        assert_eq!(first, now);
        assert!(second > first);
        assert!(stamp(UnixMillis::from_secs(50), second) > second);
        let year = UnixMillis::from_secs(365 * 86_400);
        assert_eq!(
            stamp(now, year),
            now,
            "a clock a year ahead does not silence us"
        );
    }

    #[test]
    fn expires_after_seven_days() {
        let since = UnixMillis::from_secs(1_000);
        assert!(!is_expired(
            since,
            since.after(LIFETIME).before(Duration::from_millis(1))
        ));
        assert!(is_expired(since, since.after(LIFETIME)));
        assert!(!is_expired(since, UnixMillis::from_secs(0)));
    }
}
