//! What a background poll costs: UDP payload both ways, counted on the wire between the two ends.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ailurus::{
    crypto::{NodeSecret, PseudonymSecret},
    net::{ClientEndpoint, ClientOptions, Dialer, NodeEndpoint, NodeOptions},
};
use tokio::{net::UdpSocket, time::sleep};

/// The budget of the design, in bytes from connecting to closed.
const BUDGET: u64 = 4_500;
const PATIENCE: Duration = Duration::from_secs(5);

/// Forwards datagrams between one client and the node, and counts their payload.
async fn counting_relay(node: SocketAddr) -> (SocketAddr, Arc<AtomicU64>, Arc<AtomicU64>) {
    let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    back.connect(node).await.unwrap();
    let addr = front.local_addr().unwrap();
    let (up, down) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counters = (Arc::clone(&up), Arc::clone(&down));
    tokio::spawn(async move {
        let (mut from_client, mut from_node) = ([0; 65_536], [0; 65_536]);
        let mut client = None;
        loop {
            tokio::select! {
                Ok((len, from)) = front.recv_from(&mut from_client) => {
                    client = Some(from);
                    counters.0.fetch_add(len as u64, Ordering::Relaxed);
                    back.send(&from_client[..len]).await.unwrap();
                }
                Ok(len) = back.recv(&mut from_node) => {
                    counters.1.fetch_add(len as u64, Ordering::Relaxed);
                    front.send_to(&from_node[..len], client.unwrap()).await.unwrap();
                }
            }
        }
    });
    (addr, up, down)
}

/// Connects, asks, is answered, waits for the next ticket, closes. Whether it used early data.
async fn poll(dialer: &Dialer, port: u16) -> bool {
    let connection = dialer.connect("127.0.0.1", port).await.unwrap();
    let early = connection.is_early();
    let (mut sender, mut receiver) = connection.open().await.unwrap();
    sender.send(&[1; 40]).await.unwrap();
    sender.finish().unwrap();
    let answer = receiver.next(1_024).await.unwrap().unwrap();
    assert_eq!(answer.len(), 60);
    let early = early && connection.early_accepted().await;
    assert!(connection.resumable(PATIENCE).await);
    connection.close(0, "");
    early
}

#[tokio::test]
async fn a_resumed_poll_stays_within_its_budget() {
    let secret = NodeSecret::from_bytes([1; 32]);
    let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let node = NodeEndpoint::bind(loopback, &secret, NodeOptions::default()).unwrap();
    let addr = node.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = node.accept().await {
            tokio::spawn(async move {
                let connection = incoming.handshake().await.unwrap();
                while let Ok((mut sender, mut receiver)) = connection.accept().await {
                    receiver.next(1_024).await.unwrap().unwrap();
                    sender.send(&[2; 60]).await.unwrap();
                    sender.finish().unwrap();
                }
            });
        }
    });
    let (relay, up, down) = counting_relay(addr).await;
    let endpoint = ClientEndpoint::bind(ClientOptions::default()).unwrap();
    let pseudonym = PseudonymSecret::from_bytes([2; 32]);
    let dialer = endpoint.dialer(&pseudonym, secret.public()).unwrap();
    for round in 0..6 {
        up.store(0, Ordering::Relaxed);
        down.store(0, Ordering::Relaxed);
        let early = poll(&dialer, relay.port()).await;
        assert!(endpoint.flush(PATIENCE).await);
        // Whatever is still under way, as a repeated closing packet, counts too.
        sleep(Duration::from_millis(100)).await;
        let (up, down) = (up.load(Ordering::Relaxed), down.load(Ordering::Relaxed));
        println!(
            "poll {round}: early {early}, {up} bytes up, {down} bytes down, {} in all",
            up + down
        );
        assert_eq!(early, round > 0);
        if round > 0 {
            assert!(up + down <= BUDGET, "{up} up and {down} down");
        }
    }
}
