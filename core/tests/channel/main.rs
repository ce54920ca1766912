//! Behaviour of the channel room through its public API.

mod codecs;
mod fixture;
mod insiders;
mod links;
mod messages;
mod redpanda;
mod refusals;
mod rotation;
