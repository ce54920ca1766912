//! The client's UDP socket: the system's, with a count of what goes over it as a mobile plan counts.

use std::{
    fmt::Debug,
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use quinn::{
    AsyncUdpSocket, Runtime as _, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use socket2::{Domain, Protocol, Socket, Type};

/// Is told of all that a client's endpoint sends and receives, when it does. It is called within the network's tasks,
/// so it may not block.
pub trait Meter: Debug + Send + Sync {
    /// Datagrams of so many bytes in all went out, the headers of IP and UDP included.
    fn sent(&self, bytes: u64);
    /// The same for what came in.
    fn received(&self, bytes: u64);
}

/// A UDP socket of the system, for both IP versions if `addr` is of the later one.
pub(super) fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        // Some systems have no such sockets, and then serve one version only.
        let _ = socket.set_only_v6(false);
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Hands a socket to the runtime, counted by `meter` if there is one.
pub(super) fn wrap(
    socket: UdpSocket,
    meter: Option<&Arc<dyn Meter>>,
) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    let socket = TokioRuntime.wrap_udp_socket(socket)?;
    Ok(match meter {
        Some(meter) => Arc::new(MeteredSocket {
            socket,
            meter: Arc::clone(meter),
        }),
        None => socket,
    })
}

/// What IP and UDP add to a datagram to or from `addr`, in bytes.
pub fn header_bytes(addr: &SocketAddr) -> u64 {
    let ip = if addr.ip().to_canonical().is_ipv4() {
        20
    } else {
        40
    };
    ip + 8
}

/// Passes everything on, and counts.
#[derive(Debug)]
struct MeteredSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    meter: Arc<dyn Meter>,
}

impl AsyncUdpSocket for MeteredSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)?;
        let length = transmit.contents.len();
        let datagrams = length.div_ceil(transmit.segment_size.unwrap_or(length).max(1));
        self.meter
            .sent(all_bytes(length, datagrams, &transmit.destination));
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.socket.poll_recv(cx, bufs, meta))?;
        let bytes = meta.iter().take(received).map(|meta| {
            let datagrams = meta.len.div_ceil(meta.stride.max(1));
            all_bytes(meta.len, datagrams, &meta.addr)
        });
        let bytes = bytes.fold(0, u64::saturating_add);
        if bytes > 0 {
            self.meter.received(bytes);
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

fn all_bytes(payload: usize, datagrams: usize, addr: &SocketAddr) -> u64 {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let headers = number(datagrams).saturating_mul(header_bytes(addr));
    number(payload).saturating_add(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_the_ip_version_on_the_wire() {
        let bytes = |addr: &str| all_bytes(2_400, 2, &addr.parse().unwrap());
        assert_eq!(bytes("192.0.2.1:7400"), 2_456);
        assert_eq!(bytes("[2001:db8::1]:7400"), 2_496);
        assert_eq!(
            bytes("[::ffff:192.0.2.1]:7400"),
            2_456,
            "IPv4 on a socket for both"
        );
    }
}
