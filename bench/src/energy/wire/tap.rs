//! A path with a delay between clients and a node, which notes each packet.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use ailurus_bench::harness::Failure;

/// Forwards datagrams after a delay; it ends when this is dropped.
pub struct Tap {
    local: SocketAddr,
    noted: Arc<Noted>,
    _tasks: JoinSet<()>,
}

/// When a packet passed the client's end, its bytes, and whether it came from the client.
type Noted = Mutex<Vec<(Instant, u32, bool)>>;

impl Tap {
    /// Between one client and the node at `node`, so far away.
    pub async fn start(node: SocketAddr, delay: Duration) -> Result<Self, Failure> {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        back.connect(node).await?;
        let local = front.local_addr()?;
        let noted = Arc::new(Noted::default());
        // Where the client is now: each of its connections may have another port.
        let client = Arc::new(Mutex::new(None));
        let (up, upwards) = mpsc::unbounded_channel();
        let (down, downwards) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(hear_client(
            Arc::clone(&front),
            up,
            delay,
            Arc::clone(&client),
            Arc::clone(&noted),
        ));
        tasks.spawn(send_up(upwards, Arc::clone(&back)));
        tasks.spawn(hear_node(back, down, delay));
        tasks.spawn(send_down(downwards, front, client, Arc::clone(&noted)));
        Ok(Self {
            local,
            noted,
            _tasks: tasks,
        })
    }

    /// The port that a client dials instead of the node's.
    pub fn port(&self) -> u16 {
        self.local.port()
    }

    /// What passed since the last call: milliseconds since the first packet, bytes of UDP payload, from the client.
    pub fn take(&self) -> Vec<(u64, u32, bool)> {
        let noted = std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner));
        let begun = noted.first().map(|(at, ..)| *at);
        noted
            .into_iter()
            .map(|(at, bytes, up)| {
                let since = begun.map_or(Duration::ZERO, |begun| at.duration_since(begun));
                (
                    u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
                    bytes,
                    up,
                )
            })
            .collect()
    }
}

type Late = (Instant, Vec<u8>);

async fn hear_client(
    front: Arc<UdpSocket>,
    up: mpsc::UnboundedSender<Late>,
    delay: Duration,
    client: Arc<Mutex<Option<SocketAddr>>>,
    noted: Arc<Noted>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, from)) = front.recv_from(&mut buffer).await else {
            continue;
        };
        *client.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
        let now = Instant::now();
        note(&noted, now, length, true);
        if up.send((now + delay, buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

async fn send_up(mut upwards: mpsc::UnboundedReceiver<Late>, back: Arc<UdpSocket>) {
    while let Some((at, datagram)) = upwards.recv().await {
        sleep_until(at).await;
        // What cannot be sent is lost, as on any network.
        let _ = back.send(&datagram).await;
    }
}

async fn hear_node(back: Arc<UdpSocket>, down: mpsc::UnboundedSender<Late>, delay: Duration) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok(length) = back.recv(&mut buffer).await else {
            continue;
        };
        let late = (Instant::now() + delay, buffer[..length].to_vec());
        if down.send(late).is_err() {
            return;
        }
    }
}

async fn send_down(
    mut downwards: mpsc::UnboundedReceiver<Late>,
    front: Arc<UdpSocket>,
    client: Arc<Mutex<Option<SocketAddr>>>,
    noted: Arc<Noted>,
) {
    while let Some((at, datagram)) = downwards.recv().await {
        sleep_until(at).await;
        let client = *client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = client {
            note(&noted, Instant::now(), datagram.len(), false);
            let _ = front.send_to(&datagram, client).await;
        }
    }
}

fn note(noted: &Noted, at: Instant, length: usize, up: bool) {
    noted.lock().unwrap_or_else(PoisonError::into_inner).push((
        at,
        u32::try_from(length).unwrap_or(u32::MAX),
        up,
    ));
}
