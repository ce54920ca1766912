//! Counts datagrams between one client and a node, outside of both.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{net::UdpSocket, task::JoinHandle};

use super::Failure;

/// Forwards datagrams and counts their payload; it ends when this is dropped.
pub struct CountingRelay {
    local: SocketAddr,
    bytes: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl CountingRelay {
    /// Between one client and the node at `node`.
    pub async fn start(node: SocketAddr) -> Result<Self, Failure> {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        back.connect(node).await?;
        let local = front.local_addr()?;
        let bytes = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&bytes);
        let task = tokio::spawn(async move { forward(&front, &back, &count).await });
        Ok(Self { local, bytes, task })
    }

    /// The port that a client dials instead of the node's.
    pub fn port(&self) -> u16 {
        self.local.port()
    }

    /// Bytes of UDP payload since the last call, both ways.
    pub fn take(&self) -> u64 {
        self.bytes.swap(0, Ordering::Relaxed)
    }
}

impl Drop for CountingRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A datagram that cannot be forwarded is lost, as on any network.
async fn forward(front: &UdpSocket, back: &UdpSocket, count: &AtomicU64) {
    let (mut from_client, mut from_node) = ([0; 65_536], [0; 65_536]);
    let mut client = None;
    loop {
        tokio::select! {
            received = front.recv_from(&mut from_client) => {
                let Ok((length, from)) = received else { continue };
                client = Some(from);
                count.fetch_add(length as u64, Ordering::Relaxed);
                let _ = back.send(&from_client[..length]).await;
            }
            received = back.recv(&mut from_node) => {
                let (Ok(length), Some(client)) = (received, client) else { continue };
                count.fetch_add(length as u64, Ordering::Relaxed);
                let _ = front.send_to(&from_node[..length], client).await;
            }
        }
    }
}
