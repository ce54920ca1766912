//! Why a node does not start or does not go on.

use std::{io, net::SocketAddr, path::PathBuf};

use ailurus::{channel::NodeLinkError, net::NetError};

use crate::{config::PushConfigError, store::StoreError};

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A file of the data directory cannot be made or read.
    #[error(
        "{path} cannot be {action}: {source}; make the data directory writable for this user or choose another with --data"
    )]
    DataDir {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the directory's lock.
    #[error("another ailurus-node uses {0}; stop it first or choose another directory with --data")]
    InUse(PathBuf),
    /// A restore into the directory was broken off.
    #[error(
        "{0} was not restored to its end; empty it and run ailurus-node restore again, or choose another directory"
    )]
    Unfinished(PathBuf),
    /// Other users may read the node's private key.
    #[error("{path} can be read by other users (mode {mode:o}); run: chmod 600 {path}")]
    KeyExposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file does not hold a key.
    #[error(
        "{0} does not hold the 32 bytes of a node key; restore it from a backup, or delete it to become a new node"
    )]
    BadKey(PathBuf),
    /// The port file does not hold a port.
    #[error("{0} does not hold a port number; delete it to let a new port be chosen")]
    BadPort(PathBuf),
    /// The kept port is taken by somebody else.
    #[error(
        "port {port}, which this node had before, cannot be bound: {source}; free it, or delete {path} to choose another (old node links then stop working)"
    )]
    KeptPort {
        /// The port.
        port: u16,
        /// The file that keeps it.
        path: PathBuf,
        /// What the network room said.
        source: NetError,
    },
    /// The listen address cannot be bound.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Wildcard address without a public one.
    #[error(
        "--listen {0} is a wildcard, which nobody can dial; say with --advertise HOST:PORT where clients reach this node"
    )]
    WildcardListen(SocketAddr),
    /// The advertised host does not fit a node link.
    #[error("the advertised address does not fit a node link: {0}")]
    Link(#[from] NodeLinkError),
    /// The metrics address cannot be bound.
    #[error("--metrics {addr} cannot be bound: {source}; choose a free address")]
    Metrics {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Push is not configured as it could be.
    #[error(transparent)]
    Push(#[from] PushConfigError),
    /// A thread could not be started.
    #[error("a thread could not be started: {0}; raise the process limits")]
    Thread(io::Error),
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}; raise the process limits")]
    Signal(io::Error),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NodeError {
    /// Whether the command line was wrong, rather than something that happened at run time.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::WildcardListen(_) | Self::Link(_))
    }
}
