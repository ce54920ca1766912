//! Behaviour of the channel room through its public API.

mod codecs;
mod fixture;
mod insiders;
mod introductions;
mod links;
mod messages;
mod records;
mod redpanda;
mod refusals;
mod rotation;
