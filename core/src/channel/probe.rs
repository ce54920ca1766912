//! A poll by datagram: "anything new for me?", one packet each way (docs/PROTOCOL.md, section 5.15).
//!
//! A node hands out [`Ticket`]s on a connection. A client asks with one by [`Ticket::ask`] and opens the answer, in which
//! the next ticket lies, by [`Asked::open`]. The node reads a question by [`Question::parse`], finds the ticket's secret by
//! a key of its own, and answers by [`Authentic::answer`]. All of it is symmetric cryptography.

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::crypto::{
    Aead, AeadKey, Entropy, entropy, kdf,
    newtype::{id_newtype, secret_newtype},
};
use crate::wire::{
    limits::{PROBE_LEN, TICKET_LEN},
    node,
    probe::{self, ANSWER, Datagram, NONCE_LEN, QUESTION, RESERVED_LEN, SAID_LEN, SECRET_LEN},
};

id_newtype! {
    /// A ticket as its node sealed it for itself; to anybody else it says nothing.
    pub struct SealedTicket[TICKET_LEN];
}

secret_newtype! {
    /// What the holder of a ticket knows, and the node by the ticket. Good for one ticket.
    pub struct TicketSecret[SECRET_LEN];
}

/// Good for one question. It is sent at most twice, the second time because no answer came.
pub struct Ticket {
    /// What is shown to the node.
    pub sealed: SealedTicket,
    /// What proves that it is ours, and opens the answer.
    pub secret: TicketSecret,
}

/// What a node says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// There is nothing that this client has not been sent or has published itself.
    Nothing,
    /// There is something: connect.
    News,
    /// The node cannot tell: connect, and register again if need be.
    Unknown,
}

impl Standing {
    fn to_byte(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::News => 1,
            Self::Unknown => 2,
        }
    }

    /// What a later version may say besides leads to a connection too.
    fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Nothing,
            1 => Self::News,
            _ => Self::Unknown,
        }
    }
}

impl Ticket {
    /// Reads one that came on a connection; `None` if a length is wrong.
    pub fn from_wire(ticket: &node::Ticket) -> Option<Self> {
        Some(Self {
            sealed: SealedTicket::try_from(ticket.sealed.as_ref()).ok()?,
            secret: TicketSecret::try_from(ticket.secret.as_ref()).ok()?,
        })
    }

    /// As it goes over a connection.
    pub fn to_wire(&self) -> node::Ticket {
        node::Ticket {
            sealed: Bytes::copy_from_slice(self.sealed.as_bytes()),
            secret: Bytes::copy_from_slice(self.secret.expose()),
        }
    }

    /// A question under a new nonce, and what opens its answer.
    pub fn ask(&self, entropy: &mut dyn Entropy) -> (Datagram, Asked) {
        let nonce: [u8; NONCE_LEN] = entropy::array(entropy);
        let keys = Keys::of(&self.secret);
        let mut datagram = [0; PROBE_LEN];
        let (head, rest) = datagram.split_at_mut(probe::Question::HEAD_LEN);
        let (first, ticket) = head.split_at_mut(1);
        first.copy_from_slice(&[QUESTION]);
        ticket.copy_from_slice(self.sealed.as_bytes());
        let (place, sealed) = rest.split_at_mut(NONCE_LEN);
        place.copy_from_slice(&nonce);
        sealed.copy_from_slice(&keys.question.seal(&nonce, head, &[0; RESERVED_LEN]));
        let asked = Asked {
            answer: keys.answer,
            nonce,
        };
        (datagram, asked)
    }
}

/// A question that waits for its answer.
pub struct Asked {
    answer: Aead,
    nonce: [u8; NONCE_LEN],
}

impl Asked {
    /// Opens the answer to this question: what the node says, and the next ticket. `None` if it is anything else.
    pub fn open(&self, datagram: &[u8]) -> Option<(Standing, Ticket)> {
        let answer = probe::Answer::parse(datagram)?;
        let aad = answer_aad(&self.nonce);
        let said = self.answer.open(answer.nonce, &aad, answer.sealed).ok()?;
        let said = Zeroizing::new(said);
        let (standing, ticket) = said.split_first()?;
        let (sealed, secret) = ticket.split_first_chunk::<TICKET_LEN>()?;
        let ticket = Ticket {
            sealed: SealedTicket::from_bytes(*sealed),
            secret: TicketSecret::try_from(secret).ok()?,
        };
        Some((Standing::from_byte(*standing), ticket))
    }
}

/// A question as it came, from nobody knows whom.
pub struct Question<'a> {
    head: &'a [u8],
    parts: probe::Question<'a>,
}

impl<'a> Question<'a> {
    /// Reads a datagram; `None` if it is no question.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let parts = probe::Question::parse(datagram)?;
        let head = datagram.get(..probe::Question::HEAD_LEN)?;
        Some(Self { head, parts })
    }

    /// The ticket that it shows.
    pub fn ticket(&self) -> &'a [u8; TICKET_LEN] {
        self.parts.ticket
    }

    /// Whether whoever asks knows the ticket's secret; `None` if not.
    pub fn authenticate(&self, secret: &TicketSecret) -> Option<Authentic> {
        let keys = Keys::of(secret);
        let Question { head, parts } = self;
        // What later versions may put here is not for this one.
        keys.question.open(parts.nonce, head, parts.sealed).ok()?;
        Some(Authentic {
            answer: keys.answer,
            nonce: *parts.nonce,
        })
    }
}

/// A question of a ticket's holder, or its replay: the answer can be read by that holder alone.
pub struct Authentic {
    answer: Aead,
    nonce: [u8; NONCE_LEN],
}

impl Authentic {
    /// The answer, with the next ticket. `nonce` must never come twice: a replay is answered under the same key.
    pub fn answer(&self, nonce: &[u8; NONCE_LEN], standing: Standing, next: &Ticket) -> Datagram {
        let mut said = Zeroizing::new([0; SAID_LEN]);
        let (first, ticket) = said.split_at_mut(1);
        first.copy_from_slice(&[standing.to_byte()]);
        let (sealed, secret) = ticket.split_at_mut(TICKET_LEN);
        sealed.copy_from_slice(next.sealed.as_bytes());
        secret.copy_from_slice(next.secret.expose());
        let mut datagram = [0; PROBE_LEN];
        let (first, rest) = datagram.split_at_mut(1);
        first.copy_from_slice(&[ANSWER]);
        let (place, sealed) = rest.split_at_mut(NONCE_LEN);
        place.copy_from_slice(nonce);
        let aad = answer_aad(&self.nonce);
        sealed.copy_from_slice(&self.answer.seal(nonce, &aad, said.as_slice()));
        datagram
    }
}

/// The keys of a ticket, one for each direction.
struct Keys {
    question: Aead,
    answer: Aead,
}

impl Keys {
    fn of(secret: &TicketSecret) -> Self {
        let keys = kdf::derive::<64>(secret.expose(), "ailurus/probe", &[]);
        let (halves, _) = keys.as_chunks::<32>();
        let key = |half: usize| {
            let half = halves.get(half).copied().unwrap_or_default();
            Aead::new(&AeadKey::from_bytes(half))
        };
        Self {
            question: key(0),
            answer: key(1),
        }
    }
}

fn answer_aad(question: &[u8; NONCE_LEN]) -> [u8; 1 + NONCE_LEN] {
    let mut aad = [ANSWER; 1 + NONCE_LEN];
    let (_, nonce) = aad.split_at_mut(1);
    nonce.copy_from_slice(question);
    aad
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::SeededEntropy;

    fn ticket(seed: u64) -> Ticket {
        let mut entropy = SeededEntropy::from_u64(seed);
        Ticket {
            sealed: SealedTicket::from_bytes(entropy::array(&mut entropy)),
            secret: TicketSecret::random(&mut entropy),
        }
    }

    #[test]
    fn an_answer_is_for_one_question_and_one_holder() {
        let mut entropy = SeededEntropy::from_u64(1);
        let (used, next) = (ticket(2), ticket(3));
        for standing in [Standing::Nothing, Standing::News, Standing::Unknown] {
            let (datagram, asked) = used.ask(&mut entropy);
            let (again, asked_again) = used.ask(&mut entropy);
            assert_ne!(datagram, again, "a new nonce each time");
            let question = Question::parse(&datagram).unwrap();
            assert_eq!(question.ticket(), used.sealed.as_bytes());
            assert!(question.authenticate(&next.secret).is_none());
            let authentic = question.authenticate(&used.secret).unwrap();
            let answer = authentic.answer(&entropy::array(&mut entropy), standing, &next);
            assert_eq!(answer.len(), datagram.len());
            let (said, given) = asked.open(&answer).unwrap();
            assert_eq!((said, given.sealed), (standing, next.sealed));
            assert!(given.secret.ct_eq(&next.secret));
            assert!(asked_again.open(&answer).is_none(), "of another question");
            let (_, stranger) = next.ask(&mut entropy);
            assert!(stranger.open(&answer).is_none());
            // A question is no answer, nor the other way round.
            assert!(asked.open(&datagram).is_none());
            assert!(Question::parse(&answer).is_none());
        }
    }

    #[test]
    fn a_ticket_crosses_a_connection() {
        let ticket = ticket(4);
        let mut wire = ticket.to_wire();
        let read = Ticket::from_wire(&wire).unwrap();
        assert_eq!(read.sealed, ticket.sealed);
        assert!(read.secret.ct_eq(&ticket.secret));
        wire.secret.truncate(31);
        assert!(Ticket::from_wire(&wire).is_none());
    }

    #[test]
    fn what_is_not_known_leads_to_a_connection() {
        assert_eq!(Standing::from_byte(3), Standing::Unknown);
        assert_eq!(Standing::from_byte(255), Standing::Unknown);
    }

    proptest! {
        #[test]
        fn an_altered_datagram_is_nothing(at in 0..PROBE_LEN, bit in 0..8_u32, seed: u64) {
            let mut entropy = SeededEntropy::from_u64(seed);
            let (used, next) = (ticket(5), ticket(6));
            let (datagram, asked) = used.ask(&mut entropy);
            let authentic = Question::parse(&datagram).unwrap().authenticate(&used.secret).unwrap();
            let mut altered = datagram;
            altered[at] ^= 1 << bit;
            let question = Question::parse(&altered);
            prop_assert!(question.is_none_or(|question| question.authenticate(&used.secret).is_none()));
            let mut answer = authentic.answer(&entropy::array(&mut entropy), Standing::Nothing, &next);
            answer[at] ^= 1 << bit;
            prop_assert!(asked.open(&answer).is_none());
        }
    }
}
