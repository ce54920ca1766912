//! What a super node sends through a push service (docs/PROTOCOL.md, section 5.16): one of two messages of one size, so
//! that whoever passes them on sees no difference. Neither says anything of a channel.

use crate::crypto::NodeKey;
use crate::crypto::newtype::id_newtype;

id_newtype! {
    /// What a node sends through a push endpoint, to be brought back over a connection: so the endpoint is the client's.
    pub struct PushChallenge[16];
}

id_newtype! {
    /// The public key under which a node speaks to push services (RFC 8292): P-256, uncompressed. An app subscribes with
    /// it.
    pub struct VapidKey[65];
}

/// What a push says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushMessage {
    /// There may be something new.
    Wakeup,
    /// A node asks whether this reaches its client.
    Challenge {
        /// Which node.
        node: NodeKey,
        /// What to bring back.
        challenge: PushChallenge,
    },
}

impl PushMessage {
    /// Length of every message in bytes, before encryption.
    pub const LEN: usize = 64;

    /// The bytes to encrypt.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        match self {
            Self::Wakeup => bytes[0] = WAKEUP,
            Self::Challenge { node, challenge } => {
                bytes[0] = CHALLENGE;
                bytes[1..33].copy_from_slice(node.as_bytes());
                bytes[33..49].copy_from_slice(challenge.as_bytes());
            }
        }
        bytes
    }

    /// Reads what a push brought. What is anything else is a wake-up: a later version may say more, and a platform may
    /// bring less.
    pub fn parse(bytes: &[u8]) -> Self {
        match bytes {
            [CHALLENGE, rest @ ..] if rest.len() == Self::LEN - 1 => {
                let (node, rest) = rest.split_at(NodeKey::LEN);
                let (challenge, zeros) = rest.split_at(PushChallenge::LEN);
                match (NodeKey::try_from(node), PushChallenge::try_from(challenge)) {
                    (Ok(node), Ok(challenge)) if zeros.iter().all(|byte| *byte == 0) => {
                        Self::Challenge { node, challenge }
                    }
                    _ => Self::Wakeup,
                }
            }
            _ => Self::Wakeup,
        }
    }
}

const WAKEUP: u8 = 1;
const CHALLENGE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_messages_have_one_length_and_come_back() {
        let challenge = PushMessage::Challenge {
            node: NodeKey::from_bytes([7; 32]),
            challenge: PushChallenge::from_bytes([9; 16]),
        };
        for message in [PushMessage::Wakeup, challenge] {
            assert_eq!(PushMessage::parse(&message.to_bytes()), message);
        }
        assert_eq!(PushMessage::Wakeup.to_bytes()[1..], [0; 63]);
    }

    #[test]
    fn anything_else_is_a_wakeup() {
        let mut challenge = PushMessage::Challenge {
            node: NodeKey::from_bytes([7; 32]),
            challenge: PushChallenge::from_bytes([9; 16]),
        }
        .to_bytes();
        for cut in [0, 1, 33, 49, 63] {
            assert_eq!(PushMessage::parse(&challenge[..cut]), PushMessage::Wakeup);
        }
        challenge[63] = 1;
        assert_eq!(PushMessage::parse(&challenge), PushMessage::Wakeup);
        assert_eq!(PushMessage::parse(&[3; 64]), PushMessage::Wakeup);
        assert_eq!(PushMessage::parse(&[2; 65]), PushMessage::Wakeup);
    }
}
