//! Datagrams that are not QUIC, at a node and at a client.

use ailurus::channel::{
    SealedTicket, Ticket, TicketSecret,
    probe::{Asked, Question},
};
use ailurus::crypto::SeededEntropy;
use ailurus::wire::probe::Datagram;

use super::{Target, node::TestNode};

/// Any datagram as a question to a node that gave a ticket, and as the answer to a client that asked with one.
pub(super) fn probe() -> Target {
    let (node, _) = TestNode::new();
    let ticket = node.ticket();
    let (question, asked) = ask(&ticket);
    let answer = node.answer(&question).expect("an answer");
    let forged = Ticket {
        sealed: SealedTicket::from_bytes([1; SealedTicket::LEN]),
        secret: TicketSecret::from_bytes([2; TicketSecret::LEN]),
    };
    let seeds = vec![question.to_vec(), answer.to_vec(), ask(&forged).0.to_vec()];
    let body = move |data: &[u8]| {
        if let Some(answer) = node.answer(data) {
            // Nobody makes another question than the one that is there.
            assert_eq!(data, question);
            assert!(asked.open(&answer).is_some());
        }
        assert_eq!(asked.open(data).is_some(), data == answer);
        let read = Question::parse(data).and_then(|read| read.authenticate(&ticket.secret));
        assert_eq!(read.is_some(), data == question);
    };
    Target {
        body: Box::new(body),
        seeds,
    }
}

fn ask(ticket: &Ticket) -> (Datagram, Asked) {
    ticket.ask(&mut SeededEntropy::from_u64(5))
}
