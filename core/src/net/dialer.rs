//! The client's end: dialling nodes.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quinn::{EndpointConfig, TokioRuntime, VarInt};
use tokio::{
    net::lookup_host,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    crypto::{NodeKey, PseudonymSecret},
    net::{
        Connection, Meter, NetError, meter,
        tls::{self, TicketStore},
        transport,
    },
};

/// Only a key in quinn's and rustls's tables: it is never sent, and no certificate is checked against it.
const SERVER_NAME: &str = "node.invalid";

/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// How a client's endpoint behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The local address, or `None` for any address and both IP versions; default `None`.
    pub bind: Option<SocketAddr>,
    /// Silence after which a connection is dropped; default 30 seconds. The smaller of the two sides'
    /// limits holds, so a client that stays connected in the foreground asks for more.
    pub idle_timeout: Duration,
    /// Time in which a handshake must be complete; default 10 seconds.
    pub connect_timeout: Duration,
    /// Interval of keep-alive packets on connections made by [`Dialer::connect`], or `None` for none; default `None`.
    /// Each one wakes the radio.
    pub keep_alive: Option<Duration>,
    /// Whether to probe for packets above 1,200 bytes; default false.
    pub path_mtu_discovery: bool,
    /// Who counts what is sent and received; default nobody.
    pub meter: Option<Arc<dyn Meter>>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            bind: None,
            idle_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            keep_alive: None,
            path_mtu_discovery: false,
            meter: None,
        }
    }
}

/// A UDP socket from which a client dials any number of nodes.
#[derive(Clone, Debug)]
pub struct ClientEndpoint {
    quic: quinn::Endpoint,
    options: ClientOptions,
}

impl ClientEndpoint {
    /// Opens the socket. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`NetError::Bind`] if the address is taken or not ours.
    pub fn bind(options: ClientOptions) -> Result<Self, NetError> {
        let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
        let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let meter = options.meter.as_ref();
        let open = |addr| {
            quinn::Endpoint::new_with_abstract_socket(
                EndpointConfig::default(),
                None,
                meter::wrap(meter::bind(addr)?, meter)?,
                Arc::new(TokioRuntime),
            )
        };
        let (addr, bound) = match options.bind {
            Some(addr) => (addr, open(addr)),
            None => (v4, open(v6).or_else(|_| open(v4))),
        };
        let quic = bound.map_err(|source| NetError::Bind { addr, source })?;
        Ok(Self { quic, options })
    }

    /// The bound address.
    ///
    /// # Errors
    /// What the system said.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.quic.local_addr()
    }

    /// A dialer for `node`, known there as `pseudonym`. Keep it: it holds the tickets for early data.
    ///
    /// # Errors
    /// [`NetError::Tls`] if the key is unusable.
    pub fn dialer(&self, pseudonym: &PseudonymSecret, node: NodeKey) -> Result<Dialer, NetError> {
        let tickets = Arc::new(TicketStore::new());
        let tls =
            tls::client_config(pseudonym, node, Arc::clone(&tickets)).map_err(NetError::Tls)?;
        let tls: Arc<dyn quinn::crypto::ClientConfig> = Arc::new(tls);
        let config = |keep_alive| {
            let mut config = quinn::ClientConfig::new(Arc::clone(&tls));
            config.transport_config(transport::client(
                self.options.idle_timeout,
                keep_alive,
                self.options.path_mtu_discovery,
            ));
            config
        };
        Ok(Dialer {
            quic: self.quic.clone(),
            kept: config(self.options.keep_alive),
            brief: config(None),
            node,
            tickets,
            connect_timeout: self.options.connect_timeout,
            last: Mutex::new(None),
        })
    }

    /// Closes every connection with `code` and `reason`, and dials no more.
    pub fn close(&self, code: u32, reason: &str) {
        self.quic.close(VarInt::from_u32(code), reason.as_bytes());
    }

    /// Moves all connections to a new socket, as after a change of networks.
    ///
    /// # Errors
    /// [`NetError::Bind`] if no socket can be opened; the old one stays in use.
    pub fn rebind(&self) -> Result<(), NetError> {
        let addr = self.quic.local_addr().map_or_else(
            |_| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            |addr| match addr {
                SocketAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
                SocketAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
            },
        );
        meter::bind(addr)
            .and_then(|socket| meter::wrap(socket, self.options.meter.as_ref()))
            .and_then(|socket| self.quic.rebind_abstract(socket))
            .map_err(|source| NetError::Bind { addr, source })
    }

    /// Waits until all connections have ended and their peers have been told, at most `limit`; then
    /// the process may exit. False if some were still open.
    ///
    /// A closed connection stays for three times its probe timeout, to repeat the closing packet to a
    /// peer that missed it (RFC 9000 section 10.2): a short `limit` is enough to have it sent once.
    pub async fn flush(&self, limit: Duration) -> bool {
        timeout(limit, self.quic.wait_idle()).await.is_ok()
    }

    /// Waits until all connections have ended, however long that takes.
    pub async fn wait_idle(&self) {
        self.quic.wait_idle().await;
    }
}

/// Connects to one node under one pseudonym.
#[derive(Debug)]
pub struct Dialer {
    quic: quinn::Endpoint,
    /// For connections that are kept open, and for those that are not.
    kept: quinn::ClientConfig,
    brief: quinn::ClientConfig,
    node: NodeKey,
    tickets: Arc<TicketStore>,
    connect_timeout: Duration,
    /// The address that answered last: early data goes to one address only.
    last: Mutex<Option<SocketAddr>>,
}

impl Dialer {
    /// The node this dials.
    pub fn node(&self) -> NodeKey {
        self.node
    }

    /// Whether the next connection can send early data.
    pub fn has_ticket(&self) -> bool {
        !self.tickets.is_empty()
    }

    /// Connects to `host`, a name or an address, at UDP `port`.
    ///
    /// With a ticket in hand the connection is returned at once and [`Connection::is_early`]; what is
    /// sent on it before [`Connection::early_accepted`] may be replayed by the network, and a dead node
    /// shows there. Without one, each address is tried until a handshake is complete.
    ///
    /// # Errors
    /// [`NetError::Resolve`], [`NetError::Unreachable`], [`NetError::Timeout`],
    /// [`NetError::NodeKeyMismatch`], [`NetError::Refused`] or another reason the handshake failed; of
    /// several addresses, the last one's.
    pub async fn connect(&self, host: &str, port: u16) -> Result<Connection, NetError> {
        self.connect_with(&self.kept, host, port).await
    }

    /// As [`Dialer::connect`], without keep-alive packets: for an exchange that ends.
    ///
    /// # Errors
    /// The same.
    pub async fn connect_briefly(&self, host: &str, port: u16) -> Result<Connection, NetError> {
        self.connect_with(&self.brief, host, port).await
    }

    async fn connect_with(
        &self,
        config: &quinn::ClientConfig,
        host: &str,
        port: u16,
    ) -> Result<Connection, NetError> {
        let deadline = Instant::now() + self.connect_timeout;
        let addresses = self.resolve(host, port, deadline).await?;
        let mut failure = NetError::Unreachable {
            host: host.to_owned(),
            port,
        };
        for (tried, addr) in addresses.iter().enumerate() {
            let connecting = match self.quic.connect_with(config.clone(), *addr, SERVER_NAME) {
                Ok(connecting) => connecting,
                Err(quinn::ConnectError::EndpointStopping) => return Err(NetError::ClosedHere),
                // An IP version that this socket does not have.
                Err(_) => continue,
            };
            let connecting = match connecting.into_0rtt() {
                Ok((quic, done)) => {
                    let handshake = Some((done, self.connect_timeout));
                    return Ok(self.connection(quic, handshake));
                }
                Err(connecting) => connecting,
            };
            // What is left is shared among the addresses, so that a dead one does not use it all.
            let now = Instant::now();
            let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let share = deadline.saturating_duration_since(now) / left;
            match timeout_at(now + share, connecting).await {
                Ok(Ok(quic)) => {
                    *self.last() = Some(*addr);
                    return Ok(self.connection(quic, None));
                }
                Ok(Err(error)) => failure = error.into(),
                Err(_) => failure = NetError::Timeout,
            }
        }
        Err(failure)
    }

    fn connection(
        &self,
        quic: quinn::Connection,
        handshake: Option<(quinn::ZeroRttAccepted, Duration)>,
    ) -> Connection {
        Connection::to_node(quic, self.node, Arc::clone(&self.tickets), handshake)
    }

    /// The addresses to try, the one that answered last first.
    async fn resolve(
        &self,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, NetError> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let found = timeout_at(deadline, lookup_host((host, port)))
            .await
            .map_err(|_| NetError::Timeout)?
            .map_err(|source| NetError::Resolve {
                host: host.to_owned(),
                source,
            })?;
        let mut addresses: Vec<SocketAddr> = found.take(ADDRESSES).collect();
        let last = *self.last();
        addresses.sort_by_key(|addr| Some(*addr) != last);
        Ok(addresses)
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<SocketAddr>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
