//! The node's UDP socket: the system's, with a count of datagrams that cannot be ours.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

/// Passes everything on, and counts.
#[derive(Debug)]
pub(super) struct CountingSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    foreign: Arc<AtomicU64>,
}

impl CountingSocket {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, foreign: Arc<AtomicU64>) -> Self {
        Self { socket, foreign }
    }
}

impl AsyncUdpSocket for CountingSocket {
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
        let received = ready!(self.socket.poll_recv(cx, bufs, meta))?;
        let foreign: usize = bufs
            .iter()
            .zip(meta.iter())
            .take(received)
            .map(|(buffer, meta)| {
                let bytes = buffer.get(..meta.len).unwrap_or_default();
                let datagrams = bytes.chunks(meta.stride.max(1));
                datagrams.filter(|datagram| is_foreign(datagram)).count()
            })
            .sum();
        if foreign > 0 {
            let foreign = u64::try_from(foreign).unwrap_or(u64::MAX);
            self.foreign.fetch_add(foreign, Ordering::Relaxed);
        }
        Poll::Ready(Ok(received))
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

/// Whether a datagram is no QUIC version 1 packet by its first bytes (RFC 9000 section 17): the fixed bit is clear, or
/// a long header names another version. Random bytes pass as a short header one time in four.
fn is_foreign(datagram: &[u8]) -> bool {
    match datagram {
        [first, ..] if first & FIXED == 0 => true,
        [first, a, b, c, d, ..] if first & LONG != 0 => [*a, *b, *c, *d] != VERSION_1,
        _ => datagram.len() < SHORTEST,
    }
}

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
        assert!(is_foreign(&[]));
    }
}
