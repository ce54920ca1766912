//! Counts datagrams between clients and a node, outside of both.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    net::UdpSocket,
    task::{JoinHandle, JoinSet},
};

use super::Failure;

/// Forwards datagrams and counts their payload; it ends when this is dropped.
pub struct CountingRelay {
    local: SocketAddr,
    bytes: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl CountingRelay {
    /// Between clients and the node at `node`.
    pub async fn start(node: SocketAddr) -> Result<Self, Failure> {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let local = front.local_addr()?;
        let bytes = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&bytes);
        let task = tokio::spawn(async move { forward(&front, node, &count).await });
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
async fn forward(front: &Arc<UdpSocket>, node: SocketAddr, count: &Arc<AtomicU64>) {
    let mut buffer = [0; 65_536];
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut answers = JoinSet::new();
    loop {
        let Ok((length, client)) = front.recv_from(&mut buffer).await else {
            continue;
        };
        count.fetch_add(length as u64, Ordering::Relaxed);
        let back = match clients.get(&client) {
            Some(back) => Arc::clone(back),
            None => {
                let Ok(back) = connected(node).await else {
                    continue;
                };
                let back = Arc::new(back);
                let (front, count) = (Arc::clone(front), Arc::clone(count));
                answers.spawn(answer(Arc::clone(&back), front, client, count));
                clients.insert(client, Arc::clone(&back));
                back
            }
        };
        let _ = back.send(&buffer[..length]).await;
    }
}

async fn connected(node: SocketAddr) -> std::io::Result<UdpSocket> {
    let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    back.connect(node).await?;
    Ok(back)
}

async fn answer(
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    client: SocketAddr,
    count: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok(length) = back.recv(&mut buffer).await else {
            continue;
        };
        count.fetch_add(length as u64, Ordering::Relaxed);
        let _ = front.send_to(&buffer[..length], client).await;
    }
}
