//! Private chat channels without a central server, for phones.

pub mod channel;
pub mod client;
pub mod crypto;
pub mod net;
pub mod store;
pub mod sync;
pub mod wire;
