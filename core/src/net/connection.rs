//! An authenticated QUIC connection, the same on both sides.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quinn::VarInt;
use tokio::{sync::watch, time::timeout};

use crate::{
    crypto::{NodeKey, Pseudonym},
    net::{FrameReceiver, FrameSender, NetError, tls::TicketStore},
};

/// The label of the exporter that registrations sign (RFC 8446 section 7.5, RFC 5705).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-ailurus-registration";

/// A connection whose peer is known. Clones are handles to the same one; when the last handle and
/// stream is dropped, it is closed with code 0.
#[derive(Clone, Debug)]
pub struct Connection {
    quic: quinn::Connection,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    peer: Peer,
    /// Present if the connection was handed out before its handshake was complete.
    early: Option<watch::Receiver<Handshake>>,
}

#[derive(Debug)]
enum Peer {
    Node(NodeKey, Arc<TicketStore>),
    Client(Pseudonym),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handshake {
    Running,
    Complete { early_accepted: bool },
    TimedOut,
}

impl Connection {
    /// A client's connection to the pinned `node`.
    pub(super) fn to_node(
        quic: quinn::Connection,
        node: NodeKey,
        tickets: Arc<TicketStore>,
        handshake: Option<(quinn::ZeroRttAccepted, Duration)>,
    ) -> Self {
        Self::new(quic, Peer::Node(node, tickets), handshake)
    }

    /// A node's connection from a client.
    pub(super) fn to_client(
        quic: quinn::Connection,
        pseudonym: Pseudonym,
        handshake: Option<(quinn::ZeroRttAccepted, Duration)>,
    ) -> Self {
        Self::new(quic, Peer::Client(pseudonym), handshake)
    }

    fn new(
        quic: quinn::Connection,
        peer: Peer,
        handshake: Option<(quinn::ZeroRttAccepted, Duration)>,
    ) -> Self {
        let early = handshake.map(|(done, limit)| watch_handshake(quic.clone(), done, limit));
        Self {
            quic,
            shared: Arc::new(Shared { peer, early }),
        }
    }

    /// On a node, the client's pseudonym; it is known also in early data.
    pub fn peer_pseudonym(&self) -> Option<Pseudonym> {
        match &self.shared.peer {
            Peer::Client(pseudonym) => Some(*pseudonym),
            Peer::Node(..) => None,
        }
    }

    /// On a client, the pinned key of the node.
    pub fn peer_node(&self) -> Option<NodeKey> {
        match &self.shared.peer {
            Peer::Node(node, _) => Some(*node),
            Peer::Client(_) => None,
        }
    }

    /// The peer's address now; it changes when a phone changes networks.
    pub fn remote_addr(&self) -> SocketAddr {
        let addr = self.quic.remote_address();
        SocketAddr::new(addr.ip().to_canonical(), addr.port())
    }

    /// Whether the connection was handed out before its handshake was complete, for early data.
    pub fn is_early(&self) -> bool {
        self.shared.early.is_some()
    }

    /// Waits for the handshake: whether what was sent before it was accepted.
    ///
    /// True on a connection that was never early and on a node. False also if the connection ended.
    pub async fn early_accepted(&self) -> bool {
        let Some(early) = &self.shared.early else {
            return true;
        };
        let mut early = early.clone();
        let outcome = early.wait_for(|state| *state != Handshake::Running).await;
        matches!(
            outcome.as_deref(),
            Ok(Handshake::Complete {
                early_accepted: true
            })
        )
    }

    /// Waits for the handshake, whether early data was accepted or not.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn established(&self) -> Result<(), NetError> {
        let Some(early) = &self.shared.early else {
            return Ok(());
        };
        let mut early = early.clone();
        // The sender is dropped only after it has sent the outcome.
        let _ = early.wait_for(|state| *state != Handshake::Running).await;
        match (*early.borrow(), self.quic.close_reason()) {
            (Handshake::TimedOut, _) => Err(NetError::Timeout),
            (Handshake::Complete { .. }, _) => Ok(()),
            (Handshake::Running, Some(error)) => Err(self.reason(error)),
            (Handshake::Running, None) => Err(NetError::HandshakeIncomplete),
        }
    }

    /// 32 bytes that only the two ends of this connection know, for registrations to sign.
    ///
    /// # Errors
    /// [`NetError::HandshakeIncomplete`] before the handshake is complete.
    pub fn exporter(&self) -> Result<[u8; 32], NetError> {
        let mut output = [0; 32];
        self.quic
            .export_keying_material(&mut output, EXPORTER_LABEL, &[])
            .map_err(|_| NetError::HandshakeIncomplete)?;
        Ok(output)
    }

    /// Opens a stream. The peer learns of it with the first frame.
    ///
    /// # Errors
    /// The reason the connection ended.
    pub async fn open(&self) -> Result<(FrameSender, FrameReceiver), NetError> {
        let (send, recv) = self.quic.open_bi().await.map_err(|e| self.reason(e))?;
        Ok(self.frames(send, recv))
    }

    /// Waits for a stream that the peer opened.
    ///
    /// # Errors
    /// The reason the connection ended.
    pub async fn accept(&self) -> Result<(FrameSender, FrameReceiver), NetError> {
        let (send, recv) = self.quic.accept_bi().await.map_err(|e| self.reason(e))?;
        Ok(self.frames(send, recv))
    }

    /// UDP payload bytes (sent, received) so far, with everything that QUIC adds.
    pub fn bytes(&self) -> (u64, u64) {
        let stats = self.quic.stats();
        (stats.udp_tx.bytes, stats.udp_rx.bytes)
    }

    /// The current estimate of the round-trip time.
    pub fn rtt(&self) -> Duration {
        self.quic.rtt()
    }

    /// Waits until the connection has ended, and says why.
    pub async fn closed(&self) -> NetError {
        let error = self.quic.closed().await;
        self.reason(error)
    }

    /// Ends the connection at once: data not yet acknowledged may be lost, and the peer is told
    /// `code` and `reason` in one packet.
    pub fn close(&self, code: u32, reason: &str) {
        self.quic.close(VarInt::from_u32(code), reason.as_bytes());
    }

    /// On a client, waits until there is a ticket for early data on the next connection, at most
    /// `limit`; false if none came.
    ///
    /// The node sends it one round trip after its first answer, so a poll that closes on the answer
    /// would pay a full handshake next time.
    pub async fn resumable(&self, limit: Duration) -> bool {
        let Peer::Node(_, tickets) = &self.shared.peer else {
            return false;
        };
        let filled = async {
            tokio::select! {
                () = tickets.filled() => true,
                _ = self.quic.closed() => !tickets.is_empty(),
            }
        };
        timeout(limit, filled).await.unwrap_or(false)
    }

    fn frames(
        &self,
        send: quinn::SendStream,
        recv: quinn::RecvStream,
    ) -> (FrameSender, FrameReceiver) {
        (
            FrameSender::new(self.clone(), send, recv.is_0rtt()),
            FrameReceiver::new(self.clone(), recv),
        )
    }

    /// Whether early data of this side has not been accepted, or not yet.
    pub(super) fn lacks_early_data(&self) -> bool {
        let accepted = Handshake::Complete {
            early_accepted: true,
        };
        let early = self.shared.early.as_ref();
        self.peer_node().is_some() && early.is_some_and(|early| *early.borrow() != accepted)
    }

    /// Sets a stream's error right: to QUIC, early data of a handshake that failed was rejected too,
    /// and a handshake that we gave up was closed by us.
    pub(super) fn explain(&self, error: NetError) -> NetError {
        if !matches!(error, NetError::EarlyDataRejected | NetError::ClosedHere) {
            return error;
        }
        match self.quic.close_reason() {
            Some(reason) => self.reason(reason),
            None => error,
        }
    }

    fn reason(&self, error: quinn::ConnectionError) -> NetError {
        let timed_out = self
            .shared
            .early
            .as_ref()
            .is_some_and(|early| *early.borrow() == Handshake::TimedOut);
        if timed_out {
            return NetError::Timeout;
        }
        error.into()
    }
}

/// Follows a handshake in its own task, so that any clone may ask and none has to drive it.
fn watch_handshake(
    quic: quinn::Connection,
    done: quinn::ZeroRttAccepted,
    limit: Duration,
) -> watch::Receiver<Handshake> {
    let (sender, receiver) = watch::channel(Handshake::Running);
    tokio::spawn(async move {
        let Ok(early_accepted) = timeout(limit, done).await else {
            sender.send_replace(Handshake::TimedOut);
            quic.close(VarInt::from_u32(0), b"");
            return;
        };
        // A handshake that failed has closed the connection; its waiters then ask for the reason.
        if quic.close_reason().is_none() {
            sender.send_replace(Handshake::Complete { early_accepted });
        }
    });
    receiver
}
