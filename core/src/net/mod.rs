//! Room `net`: QUIC connections between light clients and super nodes.
//!
//! A [`NodeEndpoint`] accepts, a [`Dialer`] of a [`ClientEndpoint`] connects, and both end up with a
//! [`Connection`] that carries [frames](crate::wire::frame) on bidirectional streams. Both sides
//! authenticate with raw public keys (RFC 7250): the node with its identity, which the client pins,
//! and the client with its pseudonym at that node. A client that was connected before sends its first
//! request in early data, which the network may replay: it must be harmless when received twice.
//!
//! A [`ProbeSocket`] asks a node by one datagram whether there is anything new; a [`ProbeHandler`] answers on the node's own
//! port.
//!
//! With the cargo feature `dht`, a `Dht` reads and writes mutable items of the BitTorrent mainline DHT.
//!
//! Nothing here keeps a connection alive unless its caller asks for that. A node never wakes an idle phone. What a
//! client sends and receives is told to its [`Meter`], datagram by datagram.

mod connection;
mod dht;
mod dialer;
mod endpoint;
mod error;
mod meter;
mod probe;
mod socket;
mod stream;
mod tls;
mod transport;

pub use self::{
    connection::Connection,
    dht::{DhtError, DhtMode, ParseDhtModeError},
    dialer::{ClientEndpoint, ClientOptions, Dialer},
    endpoint::{Incoming, NodeEndpoint, NodeOptions},
    error::NetError,
    meter::{Meter, header_bytes},
    probe::ProbeSocket,
    socket::{ProbeHandler, ProbePath, ProbeSender},
    stream::{FrameReceiver, FrameSender},
};

#[cfg(feature = "dht")]
pub use self::dht::{Dht, Item};
