//! Polls by datagram.

use ailurus::{
    channel::{SealedTicket, Standing, Ticket, TicketSecret, probe::Question},
    crypto::{SeededEntropy, kdf},
    wire::limits::TICKET_LEN,
};
use serde_json::{Value, json};

use super::{document, hex, vector};

const ANSWER_NONCE: [u8; 12] = [0xd3; 12];

pub fn probe() -> Value {
    let ticket = ticket(0xd1);
    let next = self::ticket(0xd2);
    let keys = kdf::derive::<64>(ticket.secret.expose(), "ailurus/probe", &[]);
    let standings = [Standing::Nothing, Standing::News, Standing::Unknown];
    let vectors = (0_u8..).zip(standings).map(|(said, standing)| {
        let (question, asked) = ticket.ask(&mut SeededEntropy::from_u64(41 + u64::from(said)));
        let authentic = Question::parse(&question)
            .and_then(|question| question.authenticate(&ticket.secret))
            .expect("its own secret");
        let answer = authentic.answer(&ANSWER_NONCE, standing, &next);
        let opened = asked.open(&answer).expect("to this question");
        assert_eq!(opened.0, standing);
        vector(
            "a question and its answer",
            json!({
                "ticket": ticket.sealed.to_string(),
                "secret": hex(ticket.secret.expose()),
                "question_nonce": hex(&question[1 + TICKET_LEN..][..12]),
                "answer_nonce": hex(ANSWER_NONCE),
                "said": said,
                "next_ticket": next.sealed.to_string(),
                "next_secret": hex(next.secret.expose()),
            }),
            json!({
                "question_key": hex(&keys[..32]),
                "answer_key": hex(&keys[32..]),
                "question": hex(question),
                "answer": hex(answer),
            }),
        )
    });
    document(
        "Polls by datagram (PROTOCOL.md section 5.15). A ticket is opaque: these are no node's.",
        vectors.collect(),
    )
}

fn ticket(byte: u8) -> Ticket {
    Ticket {
        sealed: SealedTicket::from_bytes([byte; TICKET_LEN]),
        secret: TicketSecret::from_bytes([byte ^ 0xff; 32]),
    }
}
