//! The client's end of a poll by datagram: a UDP socket of its own for each.
//!
//! Not the socket of its QUIC connections: another port each time says nothing of who asks again, a poll that brings
//! nothing needs no QUIC endpoint, and a socket that is connected hears at once that nobody listens there.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tokio::net::{UdpSocket, lookup_host};

use crate::{
    net::{Meter, NetError, header_bytes},
    wire::{limits::PROBE_LEN, probe::Datagram},
};

/// Asks one node.
#[derive(Debug)]
pub struct ProbeSocket {
    socket: UdpSocket,
    node: SocketAddr,
    meter: Arc<dyn Meter>,
}

impl ProbeSocket {
    /// Opens a socket towards `host`, a name or an address, at UDP `port`; `meter` counts. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`NetError::Resolve`], or [`NetError::Unreachable`] if there is no way to any of its addresses.
    pub async fn open(host: &str, port: u16, meter: Arc<dyn Meter>) -> Result<Self, NetError> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => lookup_host((host, port))
                .await
                .map_err(|source| NetError::Resolve {
                    host: host.to_owned(),
                    source,
                })?
                .collect(),
        };
        for node in addresses {
            if let Ok(socket) = connect(node).await {
                return Ok(Self {
                    socket,
                    node,
                    meter,
                });
            }
        }
        Err(NetError::Unreachable {
            host: host.to_owned(),
            port,
        })
    }

    /// Sends a question.
    ///
    /// # Errors
    /// [`NetError::Lost`] if the system does not take it: there is no network, or nobody listens there.
    pub async fn send(&self, question: &Datagram) -> Result<(), NetError> {
        let sent = self.socket.send(question).await;
        let length = sent.map_err(|_| NetError::Lost)?;
        self.meter.sent(self.all_bytes(length));
        Ok(())
    }

    /// Waits for the next datagram of the size of an answer; others are passed over.
    ///
    /// # Errors
    /// [`NetError::Lost`] if nobody listens there.
    pub async fn receive(&self) -> Result<Datagram, NetError> {
        // One byte more shows what is too long.
        let mut buffer = [0; PROBE_LEN + 1];
        loop {
            let length = self
                .socket
                .recv(&mut buffer)
                .await
                .map_err(|_| NetError::Lost)?;
            self.meter.received(self.all_bytes(length));
            if let Some(Ok(datagram)) = buffer.get(..length).map(Datagram::try_from) {
                return Ok(datagram);
            }
        }
    }

    fn all_bytes(&self, length: usize) -> u64 {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        length.saturating_add(header_bytes(&self.node))
    }
}

async fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    Ok(socket)
}
