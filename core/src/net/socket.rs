//! The node's UDP socket: the system's, on which polls by datagram are answered beside QUIC and datagrams that cannot be
//! ours are counted.

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

use crate::wire::probe::{self, Datagram};

/// Answers polls by datagram (docs/PROTOCOL.md, section 5.15), which come on the same port as QUIC.
pub trait ProbeHandler: Send + Sync + 'static {
    /// What to answer to a datagram that looks like a question; `None`: nothing, or something later by a [`ProbeSender`].
    ///
    /// It runs where the endpoint's packets are read: it must wait for nothing.
    fn answer(&self, path: &ProbePath, question: &Datagram) -> Option<Datagram>;
}

/// Where a question came from, and by which of this node's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePath {
    /// Who asked, as far as UDP says.
    pub remote: SocketAddr,
    /// The address that the question was sent to, if the system said.
    pub local: Option<IpAddr>,
}

/// Sends answers that took longer.
#[derive(Clone, Debug)]
pub struct ProbeSender {
    socket: Arc<dyn AsyncUdpSocket>,
}

impl ProbeSender {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>) -> Self {
        Self { socket }
    }

    /// Sends an answer back the way that its question came. False if the system has no room for it: then it is lost, as
    /// any datagram may be.
    pub fn send(&self, path: &ProbePath, answer: &Datagram) -> bool {
        send(&*self.socket, path, answer).is_ok()
    }
}

/// Takes polls by datagram out, passes everything else on, and counts.
pub(super) struct SharedSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    probes: Option<Arc<dyn ProbeHandler>>,
    foreign: Arc<AtomicU64>,
}

impl SharedSocket {
    pub(super) fn new(
        socket: Arc<dyn AsyncUdpSocket>,
        probes: Option<Arc<dyn ProbeHandler>>,
        foreign: Arc<AtomicU64>,
    ) -> Self {
        Self {
            socket,
            probes,
            foreign,
        }
    }

    /// Answers the questions in what was received, of which all datagrams but the last have the length `meta.stride`. If
    /// there was nothing else in it, nothing is left of it for QUIC.
    fn take_probes(&self, bytes: &[u8], meta: &mut RecvMeta) {
        let Some(probes) = &self.probes else {
            return;
        };
        let path = ProbePath {
            remote: meta.addr,
            local: meta.dst_ip,
        };
        let mut others = false;
        for datagram in bytes.chunks(meta.stride.max(1)) {
            let question = <&Datagram>::try_from(datagram)
                .ok()
                .filter(|_| probe::is_question(datagram));
            let Some(question) = question else {
                others = true;
                continue;
            };
            if let Some(answer) = probes.answer(&path, question) {
                // As good as lost on the way, if there is no room for it: the client asks once more.
                let _ = send(&*self.socket, &path, &answer);
            }
        }
        if !others {
            meta.len = 0;
        }
    }
}

impl fmt::Debug for SharedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSocket")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for SharedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (mut foreign, mut datagrams, mut others) = (0, 0, false);
        let polled = loop {
            let received = match self.socket.poll_recv(cx, bufs, meta) {
                Poll::Ready(Ok(received)) => received,
                ended => break ended,
            };
            for (buffer, meta) in bufs.iter().zip(meta.iter_mut()).take(received) {
                let bytes = buffer.get(..meta.len).unwrap_or_default();
                // An empty one has no chunks.
                let chunks = bytes.chunks(meta.stride.max(1));
                for datagram in chunks.chain(bytes.is_empty().then_some(bytes)) {
                    datagrams += 1;
                    foreign += u64::from(is_foreign(datagram));
                }
                self.take_probes(bytes, meta);
                others |= meta.len > 0;
            }
            // QUIC is not woken for questions alone, but must not wait for long either.
            if others || datagrams >= IN_A_ROW {
                break Poll::Ready(Ok(received));
            }
        };
        if foreign > 0 {
            self.foreign.fetch_add(foreign, Ordering::Relaxed);
        }
        polled
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

fn send(socket: &dyn AsyncUdpSocket, path: &ProbePath, answer: &Datagram) -> io::Result<()> {
    socket.try_send(&Transmit {
        destination: path.remote,
        ecn: None,
        contents: answer,
        segment_size: None,
        src_ip: path.local,
    })
}

/// Whether a datagram is neither a question nor a QUIC version 1 packet by its first bytes (RFC 9000 section 17): the fixed
/// bit is clear, or a long header names another version. Random bytes pass as a short header one time in four.
fn is_foreign(datagram: &[u8]) -> bool {
    match datagram {
        _ if probe::is_question(datagram) => false,
        [first, ..] if first & FIXED == 0 => true,
        [first, a, b, c, d, ..] if first & LONG != 0 => [*a, *b, *c, *d] != VERSION_1,
        _ => datagram.len() < SHORTEST,
    }
}

/// Nothing but questions, answered in a row, until so many have come: some milliseconds at most.
const IN_A_ROW: usize = 128;
const FIXED: u8 = 0x40;
const LONG: u8 = 0x80;
const VERSION_1: [u8; 4] = [0, 0, 0, 1];
/// Nothing shorter decrypts (RFC 9000 section 10.3: the smallest stateless reset).
const SHORTEST: usize = 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_quic_from_noise() {
        let mut initial = [0; 1_200];
        initial[0] = 0xc3;
        initial[4] = 1;
        assert!(!is_foreign(&initial));
        initial[4] = 2;
        assert!(is_foreign(&initial), "another version");
        assert!(!is_foreign(&[0x41; 40]), "a short header");
        assert!(is_foreign(&[0x01; 40]), "no fixed bit");
        assert!(is_foreign(&[0x41; 20]), "too short");
        assert!(!is_foreign(&[probe::QUESTION; 122]), "a poll by datagram");
        assert!(is_foreign(&[probe::QUESTION; 121]));
        assert!(is_foreign(&[]));
    }
}
