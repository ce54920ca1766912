//! The command line as people and scripts use it: real processes, and a real node in this one.

mod access;
mod backup;
mod chat;
mod crash;
mod daemon;
mod delivery;
mod epochs;
mod inspect;
mod nodes;
mod profile;
mod push;
mod spending;
#[cfg(unix)]
mod terminal;
mod usage;
mod world;
