//! QUIC and polls by datagram on one port, over real sockets.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use ailurus::{
    channel::{Epoch, Standing, Ticket, probe::Asked},
    wire::{
        limits::PROBE_LEN,
        probe::{Datagram, QUESTION},
        time::{Clock, UnixMillis},
    },
};
use ailurus_node::{Config, Limits, Node};
use bytes::Bytes;
use tokio::{net::UdpSocket, time::timeout};

use crate::{
    ask,
    common::{
        wire::{PATIENCE, Phone, ask as request, sync},
        *,
    },
};

/// A clock that stands.
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> UnixMillis {
        NOW
    }
}

fn start(dir: &Path, limits: Limits) -> Node {
    let config = Config {
        limits,
        ..Config::new(dir, "127.0.0.1:0".parse().expect("an address"))
    };
    Node::start(config, Arc::new(Fixed)).expect("starts")
}

/// What is left of a node that stopped holds its port for a moment.
async fn again(dir: &Path) -> Node {
    for _ in 0..200 {
        let listen = "127.0.0.1:0".parse().expect("an address");
        if let Ok(node) = Node::start(Config::new(dir, listen), Arc::new(Fixed)) {
            return node;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the node does not start again");
}

async fn socket(from: [u8; 4], node: &Node) -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::from((from, 0)))
        .await
        .expect("a socket");
    socket.connect(node.local_addr()).await.expect("connected");
    socket
}

async fn answer(socket: &UdpSocket, patience: Duration) -> Option<Datagram> {
    let mut buffer = [0; 2 * PROBE_LEN];
    let length = timeout(patience, socket.recv(&mut buffer)).await.ok()?;
    let length = length.expect("received");
    Some(buffer[..length].try_into().expect("of one size"))
}

async fn answered(socket: &UdpSocket, ticket: &Ticket) -> (Standing, Ticket) {
    let (question, asked): (_, Asked) = ask(ticket, 7);
    socket.send(&question).await.expect("sent");
    let answer = answer(socket, PATIENCE).await.expect("an answer");
    asked.open(&answer).expect("to this question")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quic_and_datagrams_share_a_port_and_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = start(dir.path(), Limits::default());
    let mut channel = Channel::new(1);
    let phone = Phone::new(node.link());
    let connection = phone.connect().await;
    assert_eq!(
        phone.register(&connection, &channel, Epoch::of(NOW)).await,
        []
    );
    let synced = sync(&connection, Bytes::new()).await;
    let first = &synced.tickets[0];
    let asking = socket([127, 0, 0, 1], &node).await;
    // The first time it is read from the database, the second time answered at once.
    let (standing, next) = answered(&asking, first).await;
    assert_eq!(standing, Standing::Nothing);
    assert_eq!(answered(&asking, first).await.0, Standing::Nothing);
    assert_eq!(node.metrics().probes_loaded.get(), 1);

    let publisher = Phone::new(node.link()).connect().await;
    let envelopes = channel.envelopes(NOW, 200, 1);
    request(&publisher, &channel.publish(&envelopes)).await;
    let (standing, next) = answered(&asking, &next).await;
    assert_eq!(standing, Standing::News);
    // The connection goes on beside.
    let synced = sync(&connection, synced.cursor.unwrap_or_default()).await;
    assert_eq!(synced.envelopes.len(), 1);
    assert_eq!(node.metrics().foreign_datagrams.get(), 0);
    connection.close(0, "done");
    publisher.close(0, "done");
    node.stop().await;

    let node = again(dir.path()).await;
    let asking = socket([127, 0, 0, 1], &node).await;
    assert_eq!(answered(&asking, &next).await.0, Standing::News);
    assert_eq!(
        answered(&asking, &synced.tickets[0]).await.0,
        Standing::Nothing
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_a_flood_on_the_port_leave_others_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = start(
        dir.path(),
        Limits {
            probes_per_second_per_network: 10,
            probes_burst_per_network: 100,
            ..Limits::default()
        },
    );
    let channel = Channel::new(1);
    let phone = Phone::new(node.link());
    let connection = phone.connect().await;
    phone.register(&connection, &channel, Epoch::of(NOW)).await;
    let tickets = sync(&connection, Bytes::new()).await.tickets;

    let flood = socket([127, 0, 1, 1], &node).await;
    let mut garbage = [6; PROBE_LEN];
    garbage[0] = QUESTION;
    for _ in 0..2_000 {
        flood.send(&garbage).await.expect("sent");
        tokio::task::yield_now().await;
    }
    // Neither question nor QUIC.
    flood.send(&garbage[..40]).await.expect("sent");
    let elsewhere = socket([127, 0, 2, 1], &node).await;
    assert_eq!(answered(&elsewhere, &tickets[0]).await.0, Standing::Nothing);
    assert!(answer(&flood, Duration::from_millis(200)).await.is_none());
    // The same network is out of allowance, by whatever address.
    let neighbour = socket([127, 0, 1, 200], &node).await;
    neighbour.send(&ask(&tickets[0], 8).0).await.expect("sent");
    assert!(
        answer(&neighbour, Duration::from_millis(200))
            .await
            .is_none()
    );
    let metrics = node.metrics();
    assert_eq!(metrics.probes_unopened.get(), 100);
    assert!(metrics.probes_limited.get() > 1_000);
    // A connection from there is another matter.
    let synced = sync(&connection, Bytes::new()).await;
    assert_eq!(synced.tickets.len(), 1);
    node.stop().await;
}
