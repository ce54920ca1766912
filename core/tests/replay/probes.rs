//! Polls by datagram.

use ailurus::{
    channel::{SealedTicket, Standing, Ticket, TicketSecret, probe::Question},
    crypto::Entropy,
};
use hkdf::Hkdf;
use sha2::Sha256;

use super::{aes_open, array, bytes, cases, number};

/// Draws the nonce of a vector.
struct Given(Vec<u8>);

impl Entropy for Given {
    fn fill(&mut self, out: &mut [u8]) {
        out.copy_from_slice(&self.0);
    }
}

#[test]
fn probes() {
    for case in cases("probe.json") {
        let (input, output) = (&case["input"], &case["output"]);
        let (ticket, secret) = (bytes(&input["ticket"]), bytes(&input["secret"]));
        let nonce = bytes(&input["question_nonce"]);
        let mut keys = [0; 64];
        Hkdf::<Sha256>::new(Some(&[]), &secret)
            .expand(b"ailurus/probe\0", &mut keys)
            .unwrap();
        let (question_key, answer_key): ([u8; 32], [u8; 32]) = (
            keys[..32].try_into().unwrap(),
            keys[32..].try_into().unwrap(),
        );
        assert_eq!(question_key[..], bytes(&output["question_key"]));
        assert_eq!(answer_key[..], bytes(&output["answer_key"]));

        let question = bytes(&output["question"]);
        assert_eq!(question.len(), 122);
        let head = [&[0x08][..], &ticket].concat();
        assert_eq!(question[..61], head);
        assert_eq!(question[61..73], nonce);
        let reserved = aes_open(&question_key, &nonce, &head, &question[73..]);
        assert_eq!(reserved, Some(vec![0; 33]));

        let answer = bytes(&output["answer"]);
        assert_eq!(answer.len(), question.len());
        assert_eq!(answer[0], 0x09);
        assert_eq!(answer[1..13], bytes(&input["answer_nonce"]));
        let aad = [&[0x09][..], &nonce].concat();
        let said = aes_open(&answer_key, &answer[1..13], &aad, &answer[13..]).unwrap();
        let next = [bytes(&input["next_ticket"]), bytes(&input["next_secret"])].concat();
        assert_eq!(u64::from(said[0]), number(&input["said"]));
        assert_eq!(said[1..], next);

        // This library reads them too.
        let own = Ticket {
            sealed: SealedTicket::from_bytes(array(&input["ticket"])),
            secret: TicketSecret::from_bytes(array(&input["secret"])),
        };
        let (asked, waiting) = own.ask(&mut Given(nonce));
        assert_eq!(asked[..], question);
        let parsed = Question::parse(&question).unwrap();
        assert!(parsed.authenticate(&own.secret).is_some());
        let standing = [Standing::Nothing, Standing::News, Standing::Unknown];
        let opened = waiting.open(&answer).unwrap();
        assert_eq!(opened.0, standing[usize::from(said[0])]);
        assert_eq!(opened.1.sealed.as_bytes()[..], next[..60]);
    }
}
