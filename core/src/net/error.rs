//! What can go wrong on the network.

use std::{io, net::SocketAddr};

use thiserror::Error;

use crate::wire::frame::FrameError;

/// Why a network operation failed, and what to do about it.
#[derive(Debug, Error)]
pub enum NetError {
    /// The host name could not be resolved.
    #[error("the name {host} could not be resolved; check the network, or try another node")]
    Resolve {
        /// The name that was looked up.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// No address of the host could be tried.
    #[error("no address of {host} port {port} can be reached from here; try another node")]
    Unreachable {
        /// The name or address that was dialled.
        host: String,
        /// The UDP port that was dialled.
        port: u16,
    },
    /// The peer did not complete the handshake in time.
    #[error("the peer did not answer in time; try again later or another node")]
    Timeout,
    /// The node proved another key than the pinned one.
    #[error("the node has another key than its link says; do not use it, and ask for a new link")]
    NodeKeyMismatch,
    /// The peer refused the connection before any request.
    #[error("the peer refused the connection ({reason}); try another node or wait")]
    Refused {
        /// The peer's reason, as it gave it.
        reason: String,
    },
    /// The peer closed the connection with an application code.
    #[error("the peer closed the connection with code {code} ({reason}); act on the code")]
    Closed {
        /// The application's error code.
        code: u64,
        /// The peer's reason, as it gave it.
        reason: String,
    },
    /// The peer closed the connection before it knew that the handshake was complete; QUIC then keeps
    /// its code back (RFC 9000 section 10.2.3).
    #[error("the peer gave the connection up during the handshake; open a new one")]
    Abandoned,
    /// This side closed the connection or its endpoint.
    #[error("the connection was closed here; open a new one")]
    ClosedHere,
    /// The connection went silent, or the peer forgot it.
    #[error("the connection was lost; open a new one")]
    Lost,
    /// The peer did not accept early data.
    #[error("the early data was rejected; send the request again on the completed connection")]
    EarlyDataRejected,
    /// The peer gave up one stream.
    #[error("the peer cancelled the stream with code {code}; act on the code")]
    StreamCancelled {
        /// The application's error code.
        code: u64,
    },
    /// The stream was already finished on this side.
    #[error("the stream is finished; open another one")]
    StreamFinished,
    /// The bytes received are not frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The socket could not be opened.
    #[error("the UDP address {addr} could not be bound ({source}); choose another address or port")]
    Bind {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The TLS configuration could not be built from this key.
    #[error("TLS could not be set up; check the key")]
    Tls(#[source] rustls::Error),
    /// The handshake is not complete yet.
    #[error("the handshake is not complete; wait for it and ask again")]
    HandshakeIncomplete,
    /// Either side broke the protocol.
    #[error("the connection broke a protocol rule ({reason}); open a new one and report this")]
    Protocol {
        /// What QUIC or TLS said.
        reason: String,
    },
}

/// QUIC's transport error CONNECTION_REFUSED (RFC 9000 section 20.1).
const CONNECTION_REFUSED: u64 = 0x02;

/// QUIC's transport error APPLICATION_ERROR (RFC 9000 section 20.1).
const APPLICATION_ERROR: u64 = 0x0c;

impl From<quinn::ConnectionError> for NetError {
    fn from(error: quinn::ConnectionError) -> Self {
        use quinn::ConnectionError::*;
        match error {
            ApplicationClosed(close) => Self::Closed {
                code: close.error_code.into_inner(),
                reason: String::from_utf8_lossy(&close.reason).into_owned(),
            },
            ConnectionClosed(close) if u64::from(close.error_code) == CONNECTION_REFUSED => {
                Self::Refused {
                    reason: String::from_utf8_lossy(&close.reason).into_owned(),
                }
            }
            ConnectionClosed(close) if u64::from(close.error_code) == APPLICATION_ERROR => {
                Self::Abandoned
            }
            ConnectionClosed(close) => Self::Protocol {
                reason: close.to_string(),
            },
            // Only the pin check of our own verifier raises this alert on our side.
            TransportError(error) if error.code == super::tls::pin_failure() => {
                Self::NodeKeyMismatch
            }
            TransportError(error) => Self::Protocol {
                reason: error.to_string(),
            },
            LocallyClosed => Self::ClosedHere,
            TimedOut | Reset => Self::Lost,
            VersionMismatch => Self::Protocol {
                reason: "no QUIC version in common".into(),
            },
            CidsExhausted => Self::Protocol {
                reason: "connection ids exhausted".into(),
            },
        }
    }
}

impl From<quinn::WriteError> for NetError {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::Stopped(code) => Self::StreamCancelled {
                code: code.into_inner(),
            },
            quinn::WriteError::ConnectionLost(error) => error.into(),
            quinn::WriteError::ClosedStream => Self::StreamFinished,
            quinn::WriteError::ZeroRttRejected => Self::EarlyDataRejected,
        }
    }
}

impl From<quinn::ReadError> for NetError {
    fn from(error: quinn::ReadError) -> Self {
        match error {
            quinn::ReadError::Reset(code) => Self::StreamCancelled {
                code: code.into_inner(),
            },
            quinn::ReadError::ConnectionLost(error) => error.into(),
            quinn::ReadError::ClosedStream | quinn::ReadError::IllegalOrderedRead => {
                Self::StreamFinished
            }
            quinn::ReadError::ZeroRttRejected => Self::EarlyDataRejected,
        }
    }
}
