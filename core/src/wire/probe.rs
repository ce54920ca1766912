//! Polls by datagram as they stand on the wire: a question and an answer of one size (docs/PROTOCOL.md, section 5.15).

use super::limits::{PROBE_LEN, TICKET_LEN};

/// First byte of a question. QUIC's fixed bit (RFC 9000 section 17) is clear in it, and RFC 9443 gives it to nobody.
pub const QUESTION: u8 = 0x08;
/// First byte of an answer.
pub const ANSWER: u8 = 0x09;
/// Bytes of a nonce of AES-256-GCM.
pub const NONCE_LEN: usize = 12;
/// Bytes of a tag of AES-256-GCM.
pub const TAG_LEN: usize = 16;
/// Bytes of the secret that belongs to a ticket.
pub const SECRET_LEN: usize = 32;
/// What an answer says, sealed: one byte, the next ticket, its secret.
pub const SAID_LEN: usize = 1 + TICKET_LEN + SECRET_LEN;
/// Zeros that a question seals, so that it is as long as its answer.
pub const RESERVED_LEN: usize = PROBE_LEN - 1 - TICKET_LEN - NONCE_LEN - TAG_LEN;

const _: () = assert!(
    1 + NONCE_LEN + SAID_LEN + TAG_LEN == PROBE_LEN,
    "question and answer have one length"
);

/// A datagram of this size.
pub type Datagram = [u8; PROBE_LEN];

/// The parts of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// Sealed by the node for itself.
    pub ticket: &'a [u8; TICKET_LEN],
    /// Drawn anew for each question.
    pub nonce: &'a [u8; NONCE_LEN],
    /// [`RESERVED_LEN`] zeros, and the tag.
    pub sealed: &'a [u8],
}

impl<'a> Question<'a> {
    /// What stands before the nonce, and is authenticated with the rest.
    pub const HEAD_LEN: usize = 1 + TICKET_LEN;

    /// Takes a datagram apart; `None` if it is no question.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        if !is_question(datagram) {
            return None;
        }
        let (ticket, rest) = datagram.get(1..)?.split_first_chunk()?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        Some(Self {
            ticket,
            nonce,
            sealed,
        })
    }
}

/// The parts of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Drawn anew for each answer.
    pub nonce: &'a [u8; NONCE_LEN],
    /// What is said, and the tag.
    pub sealed: &'a [u8],
}

impl<'a> Answer<'a> {
    /// Takes a datagram apart; `None` if it is no answer.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        if datagram.len() != PROBE_LEN || datagram.first() != Some(&ANSWER) {
            return None;
        }
        let (nonce, sealed) = datagram.get(1..)?.split_first_chunk()?;
        Some(Self { nonce, sealed })
    }
}

/// Whether a datagram looks like a question: by its first byte and length.
pub fn is_question(datagram: &[u8]) -> bool {
    datagram.len() == PROBE_LEN && datagram.first() == Some(&QUESTION)
}

/// One packet each way, and together no more than 300 bytes.
const _: () = assert!(2 * PROBE_LEN <= 300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quic_never_begins_like_this() {
        const FIXED_BIT: u8 = 0x40;
        const LONG_HEADER: u8 = 0x80;
        for first in [QUESTION, ANSWER] {
            assert_eq!(first & (FIXED_BIT | LONG_HEADER), 0);
        }
    }

    #[test]
    fn only_one_length_and_first_byte_is_a_question() {
        let mut datagram = [0; PROBE_LEN + 1];
        datagram[0] = QUESTION;
        assert!(Question::parse(&datagram[..PROBE_LEN]).is_some());
        assert!(Question::parse(&datagram).is_none());
        assert!(Question::parse(&datagram[..PROBE_LEN - 1]).is_none());
        assert!(Question::parse(&[]).is_none());
        datagram[0] = ANSWER;
        assert!(Question::parse(&datagram[..PROBE_LEN]).is_none());
        assert!(Answer::parse(&datagram[..PROBE_LEN]).is_some());
        assert!(Answer::parse(&datagram).is_none());
    }
}
