//! The client's end of a poll by datagram: a UDP socket of its own for each.
//!
//! Not the socket of its QUIC connections: another port each time says nothing of who asks again, a poll that brings
//! nothing needs no QUIC endpoint, and a socket that is connected hears at once that nobody listens there.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::{UdpSocket, lookup_host};

use crate::{
    net::NetError,
    wire::{limits::PROBE_LEN, probe::Datagram},
};

/// Asks one node.
#[derive(Debug)]
pub struct ProbeSocket {
    socket: UdpSocket,
}

impl ProbeSocket {
    /// Opens a socket towards `host`, a name or an address, at UDP `port`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`NetError::Resolve`], or [`NetError::Unreachable`] if there is no way to any of its addresses.
    pub async fn open(host: &str, port: u16) -> Result<Self, NetError> {
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
        for address in addresses {
            if let Ok(socket) = connect(address).await {
                return Ok(Self { socket });
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
        match self.socket.send(question).await {
            Ok(_) => Ok(()),
            Err(_) => Err(NetError::Lost),
        }
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
            if let Some(Ok(datagram)) = buffer.get(..length).map(Datagram::try_from) {
                return Ok(datagram);
            }
        }
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
