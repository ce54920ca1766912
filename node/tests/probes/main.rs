//! Polls by datagram (docs/PROTOCOL.md, section 5.15): what a node answers, what it does not, and what a phone makes of it.

mod client;
#[path = "../common/mod.rs"]
mod common;
#[path = "../network/line.rs"]
#[allow(dead_code, reason = "shared with another test program")]
mod line;
mod phone;
mod port;
mod service;
#[path = "../month/world.rs"]
#[allow(dead_code, reason = "shared with another test program")]
mod virtual_world;
#[path = "../world/mod.rs"]
#[allow(dead_code, reason = "shared with another test program")]
mod world;

use ailurus::{
    channel::{Standing, Ticket, probe::Asked},
    crypto::SeededEntropy,
    wire::probe::Datagram,
};

/// A question whose nonce is drawn from a seed.
fn ask(ticket: &Ticket, seed: u64) -> (Datagram, Asked) {
    ticket.ask(&mut SeededEntropy::from_u64(seed))
}

fn open(asked: &Asked, answer: Option<Datagram>) -> (Standing, Ticket) {
    asked
        .open(&answer.expect("an answer"))
        .expect("to this question")
}
