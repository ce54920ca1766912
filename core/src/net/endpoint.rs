//! The node's end: accepting connections.

use std::{
    future::{Future, poll_fn},
    io,
    net::{SocketAddr, UdpSocket},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use quinn::{EndpointConfig, Runtime as _, TokioRuntime, VarInt, udp::UdpSocketState};
use tokio::time::timeout;

use crate::{
    crypto::{NodeSecret, Pseudonym},
    net::{Connection, NetError, ProbeHandler, ProbeSender, socket::SharedSocket, tls, transport},
};

/// Handshakes that may wait to be accepted; above, datagrams that would start one are dropped.
const WAITING_HANDSHAKES: usize = 4_096;

/// Early data that may wait with one unaccepted handshake, in bytes.
const WAITING_BYTES: u64 = 64 << 10;

/// Early data that may wait with all unaccepted handshakes, in bytes.
const WAITING_BYTES_TOTAL: u64 = 32 << 20;

/// What the kernel may hold of the node's datagrams, each way, in bytes, if the system allows it.
const SOCKET_BUFFER: usize = 4 << 20;

/// How a node's endpoint behaves.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Silence after which a connection is dropped; default 10 minutes.
    pub idle_timeout: Duration,
    /// Time a client has to complete its handshake; default 10 seconds.
    pub handshake_timeout: Duration,
    /// Sessions remembered for resumption, about 350 bytes each, the oldest forgotten first; default
    /// 32,768. A client whose session was forgotten pays one round trip more.
    pub sessions: usize,
    /// Whether to probe for packets above 1,200 bytes; default false. It costs a poll about 5 KB.
    pub path_mtu_discovery: bool,
    /// Whether the system may cut bursts into datagrams; default false. It makes bulk about twice
    /// as fast and costs 12 KiB for each connection that has ever had a burst.
    pub segmentation_offload: bool,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(600),
            handshake_timeout: Duration::from_secs(10),
            sessions: 32_768,
            path_mtu_discovery: false,
            segmentation_offload: false,
        }
    }
}

/// A UDP socket on which a node accepts connections.
#[derive(Debug)]
pub struct NodeEndpoint {
    quic: quinn::Endpoint,
    probes: ProbeSender,
    handshake_timeout: Duration,
    foreign: Arc<AtomicU64>,
}

impl NodeEndpoint {
    /// Binds `addr` and proves `secret` to whoever connects. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`NetError::Bind`] if the address is taken or not ours, [`NetError::Tls`] if the key is unusable.
    pub fn bind(
        addr: SocketAddr,
        secret: &NodeSecret,
        options: NodeOptions,
    ) -> Result<Self, NetError> {
        Self::bind_with(addr, secret, options, None)
    }

    /// As [`NodeEndpoint::bind`], with somebody who answers polls by datagram on the same port. He is kept as long as the
    /// socket is open.
    ///
    /// # Errors
    /// As [`NodeEndpoint::bind`].
    pub fn bind_answering(
        addr: SocketAddr,
        secret: &NodeSecret,
        options: NodeOptions,
        probes: Arc<dyn ProbeHandler>,
    ) -> Result<Self, NetError> {
        Self::bind_with(addr, secret, options, Some(probes))
    }

    fn bind_with(
        addr: SocketAddr,
        secret: &NodeSecret,
        options: NodeOptions,
        probes: Option<Arc<dyn ProbeHandler>>,
    ) -> Result<Self, NetError> {
        let tls = tls::server_config(secret, options.sessions).map_err(NetError::Tls)?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
        config
            .transport_config(transport::node(
                options.idle_timeout,
                options.path_mtu_discovery,
                options.segmentation_offload,
            ))
            .max_incoming(WAITING_HANDSHAKES)
            .incoming_buffer_size(WAITING_BYTES)
            .incoming_buffer_size_total(WAITING_BYTES_TOTAL);
        let foreign = Arc::new(AtomicU64::new(0));
        let (quic, probes) = UdpSocket::bind(addr)
            .and_then(enlarge_buffers)
            .and_then(|socket| {
                // One sendmsg a datagram: sendmmsg by fifties saves 0.14 ms of a 10 ms fan-out to
                // 1,000 connections, which is not worth unsafe code.
                let socket = TokioRuntime.wrap_udp_socket(socket)?;
                // Clients that grease the fixed bit (RFC 9287) could not be told from noise.
                let mut endpoint = EndpointConfig::default();
                endpoint.grease_quic_bit(false);
                let sender = ProbeSender::new(Arc::clone(&socket));
                let quic = quinn::Endpoint::new_with_abstract_socket(
                    endpoint,
                    Some(config),
                    Arc::new(SharedSocket::new(socket, probes, Arc::clone(&foreign))),
                    Arc::new(TokioRuntime),
                )?;
                Ok((quic, sender))
            })
            .map_err(|source| NetError::Bind { addr, source })?;
        Ok(Self {
            quic,
            probes,
            handshake_timeout: options.handshake_timeout,
            foreign,
        })
    }

    /// Datagrams received so far that cannot have been QUIC; they are dropped.
    pub fn foreign_datagrams(&self) -> u64 {
        self.foreign.load(Ordering::Relaxed)
    }

    /// Sends answers to polls by datagram that took longer. While it is kept the socket stays open.
    pub fn probe_sender(&self) -> ProbeSender {
        self.probes.clone()
    }

    /// The bound address, with the port the system chose if 0 was asked for.
    ///
    /// # Errors
    /// What the system said.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.quic.local_addr()
    }

    /// Waits for the next client; `None` once the endpoint is closed.
    pub async fn accept(&self) -> Option<Incoming> {
        let quic = self.quic.accept().await?;
        Some(Incoming {
            quic: Box::new(quic),
            handshake_timeout: self.handshake_timeout,
        })
    }

    /// Connections open now, handshakes included.
    pub fn open_connections(&self) -> usize {
        self.quic.open_connections()
    }

    /// Closes every connection with `code` and `reason`, and accepts no more.
    pub fn close(&self, code: u32, reason: &str) {
        self.quic.close(VarInt::from_u32(code), reason.as_bytes());
    }

    /// Waits until every connection has ended and its peer has been told.
    pub async fn wait_idle(&self) {
        self.quic.wait_idle().await;
    }
}

/// A client that wants to connect. Dropping it refuses.
#[derive(Debug)]
pub struct Incoming {
    /// Boxed, as the handshake is: the task that serves the connection afterwards stays small.
    quic: Box<quinn::Incoming>,
    handshake_timeout: Duration,
}

impl Incoming {
    /// The address the first packet came from; it may be forged unless [`Incoming::is_validated`].
    pub fn remote_addr(&self) -> SocketAddr {
        let addr = self.quic.remote_address();
        SocketAddr::new(addr.ip().to_canonical(), addr.port())
    }

    /// Whether the client has shown that it receives at its address, as after a retry.
    pub fn is_validated(&self) -> bool {
        self.quic.remote_address_validated()
    }

    /// Tells the client that it is refused; it sees [`NetError::Refused`].
    pub fn refuse(self) {
        self.quic.refuse();
    }

    /// Makes the client show that it receives at its address, at the cost of a round trip (RFC 9000
    /// section 8.1.2). A client that has done so already is refused.
    pub fn retry(self) {
        if let Err(error) = self.quic.retry() {
            error.into_incoming().refuse();
        }
    }

    /// Performs the handshake.
    ///
    /// A client that resumes a session is known by its session, so its connection is returned at once
    /// and its early data can be answered. Any other client is known when the handshake is complete.
    ///
    /// # Errors
    /// [`NetError::Timeout`] after the handshake timeout, or why the handshake failed.
    pub async fn handshake(self) -> Result<Connection, NetError> {
        let limit = self.handshake_timeout;
        timeout(limit, Box::pin(handshake(self.quic, limit)))
            .await
            .unwrap_or(Err(NetError::Timeout))
    }
}

async fn handshake(
    incoming: Box<quinn::Incoming>,
    limit: Duration,
) -> Result<Connection, NetError> {
    let mut connecting = incoming.accept()?;
    // Resolves when the ClientHello has been read, and with it the session if there is one.
    connecting.handshake_data().await?;
    let (quic, mut done) = match connecting.into_0rtt() {
        Ok(early) => early,
        Err(connecting) => return established(connecting.await?),
    };
    if tls::peer_key(&quic).is_none() {
        done.await;
        return established(quic);
    }
    let mut pinned = pin!(&mut done);
    let complete = poll_fn(|cx| Poll::Ready(pinned.as_mut().poll(cx).is_ready())).await;
    if complete {
        return established(quic);
    }
    let pseudonym = pseudonym(&quic)?;
    Ok(Connection::to_client(quic, pseudonym, Some((done, limit))))
}

fn established(quic: quinn::Connection) -> Result<Connection, NetError> {
    if let Some(error) = quic.close_reason() {
        return Err(error.into());
    }
    let pseudonym = pseudonym(&quic)?;
    Ok(Connection::to_client(quic, pseudonym, None))
}

fn pseudonym(quic: &quinn::Connection) -> Result<Pseudonym, NetError> {
    tls::peer_key(quic)
        .map(Pseudonym::from_bytes)
        .ok_or(NetError::HandshakeIncomplete)
}

/// A thousand clients may speak at once; the system's default holds about two hundred datagrams.
fn enlarge_buffers(socket: UdpSocket) -> io::Result<UdpSocket> {
    let state = UdpSocketState::new((&socket).into())?;
    // The system cuts what it does not allow, and a node works with less.
    let _ = state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER);
    let _ = state.set_send_buffer_size((&socket).into(), SOCKET_BUFFER);
    Ok(socket)
}
