//! Other super nodes that serve the same addresses: whom to dial, what to say to them, and whom to leave.
//!
//! [`Peers`] decides whom to dial and for which addresses; a [`Link`] is one connection to another node, from the side
//! that dialled. Neither owns a socket, a clock or a task: the server drives them over QUIC, and [`Wire`] by function
//! calls.

mod acknowledged;
mod link;
mod plan;
mod wire;
mod wires;

pub(crate) use self::{
    acknowledged::Acknowledged,
    link::{End, Link, Step},
    plan::{Peers, Plan},
};
pub use self::{
    wire::{Wire, WireEnd},
    wires::{Pushes, Wires},
};
