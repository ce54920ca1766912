//! The BitTorrent mainline DHT (BEP 5), for its mutable items (BEP 44).
//!
//! Whether it is used is a [`DhtMode`], which every build parses; the DHT itself comes with the cargo feature `dht`.

mod error;
#[cfg(feature = "dht")]
mod mainline;
mod mode;

pub use self::{
    error::DhtError,
    mode::{DhtMode, ParseDhtModeError},
};

#[cfg(feature = "dht")]
pub use self::mainline::{Dht, Item};
