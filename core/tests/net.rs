//! Real QUIC over loopback: what `ailurus::net` promises to the rooms above it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use ailurus::{
    crypto::{NodeSecret, Pseudonym, PseudonymSecret},
    net::{ClientEndpoint, ClientOptions, Connection, Dialer, NetError, NodeEndpoint, NodeOptions},
    wire::frame::{FrameError, encode, encode_header},
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    time::{sleep, timeout},
};

const LIMIT: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(5);

fn localhost(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}

fn node_secret() -> NodeSecret {
    NodeSecret::from_bytes([1; 32])
}

fn alice() -> PseudonymSecret {
    PseudonymSecret::from_bytes([2; 32])
}

/// What a node saw of one connection.
struct Seen {
    connection: Connection,
    pseudonym: Pseudonym,
    early: bool,
}

/// A node that answers each frame with the same frame, and reports its connections.
struct EchoNode {
    port: u16,
    seen: mpsc::UnboundedReceiver<Seen>,
    task: tokio::task::JoinHandle<()>,
}

impl EchoNode {
    async fn start(port: u16) -> Self {
        let endpoint = NodeEndpoint::bind(localhost(port), &node_secret(), NodeOptions::default());
        let endpoint = endpoint.unwrap();
        let port = endpoint.local_addr().unwrap().port();
        let (sender, seen) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                tokio::spawn(serve(incoming, sender.clone()));
            }
        });
        Self { port, seen, task }
    }

    async fn next(&mut self) -> Seen {
        timeout(PATIENCE, self.seen.recv()).await.unwrap().unwrap()
    }

    /// Ends the node as a crash would: nobody is told.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn serve(incoming: ailurus::net::Incoming, seen: mpsc::UnboundedSender<Seen>) {
    let Ok(connection) = incoming.handshake().await else {
        return;
    };
    let _ = seen.send(Seen {
        connection: connection.clone(),
        pseudonym: connection.peer_pseudonym().unwrap(),
        early: connection.is_early(),
    });
    while let Ok((mut sender, mut receiver)) = connection.accept().await {
        let early = receiver.is_early();
        loop {
            match receiver.next(LIMIT).await {
                Ok(Some(frame)) if frame.as_ref() == b"early?" => {
                    sender.send(&[u8::from(early)]).await.unwrap();
                }
                Ok(Some(frame)) => {
                    if sender.send(&frame).await.is_err() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(NetError::Frame(_)) => {
                    connection.close(77, "no frame");
                    break;
                }
                Err(_) => break,
            }
        }
    }
}

fn client() -> ClientEndpoint {
    ClientEndpoint::bind(ClientOptions::default()).unwrap()
}

async fn ask(connection: &Connection, body: &[u8]) -> Result<Vec<u8>, NetError> {
    let (mut sender, mut receiver) = connection.open().await?;
    sender.send(body).await?;
    sender.finish()?;
    let answer = receiver.next(LIMIT).await?.expect("an answer");
    assert_eq!(receiver.next(LIMIT).await?, None);
    Ok(answer.to_vec())
}

/// One full connection that leaves a ticket.
async fn visit(dialer: &Dialer, port: u16) {
    let connection = dialer.connect("127.0.0.1", port).await.unwrap();
    assert!(!connection.is_early());
    assert_eq!(ask(&connection, b"hello").await.unwrap(), b"hello");
    assert!(connection.resumable(PATIENCE).await);
    connection.close(0, "");
}

#[tokio::test]
async fn frames_come_back_as_they_were_sent() {
    let node = EchoNode::start(0).await;
    let dialer = client().dialer(&alice(), node_secret().public()).unwrap();
    let connection = dialer.connect("localhost", node.port).await.unwrap();
    let (mut sender, mut receiver) = connection.open().await.unwrap();
    let bodies: Vec<Vec<u8>> = [0, 1, 63, 64, 1_199, 16_384, 65_536]
        .map(|len| (0..len).map(|i| (i % 251) as u8).collect())
        .to_vec();
    let mut frames: Vec<_> = bodies.iter().map(|body| encode(body)).collect();
    sender.send_all(&mut frames).await.unwrap();
    sender.finish().unwrap();
    let mut answers = Vec::new();
    while let Some(frame) = receiver.next(LIMIT).await.unwrap() {
        answers.push(frame);
        while let Some(frame) = receiver.try_buffered(LIMIT).unwrap() {
            answers.push(frame);
        }
    }
    assert_eq!(answers, bodies);
    let (sent, received) = connection.bytes();
    assert!(sent > 83_000 && received > 83_000, "{sent} {received}");
    assert!(connection.rtt() < Duration::from_secs(1));
    assert_eq!(connection.remote_addr(), localhost(node.port));
    assert_eq!(connection.peer_node(), Some(node_secret().public()));
}

#[tokio::test]
async fn a_node_with_another_key_is_refused() {
    let mut node = EchoNode::start(0).await;
    let other = NodeSecret::from_bytes([9; 32]).public();
    let dialer = client().dialer(&alice(), other).unwrap();
    let error = dialer.connect("127.0.0.1", node.port).await.unwrap_err();
    assert!(matches!(error, NetError::NodeKeyMismatch), "{error}");
    assert!(node.seen.try_recv().is_err());
}

#[tokio::test]
async fn the_pseudonym_is_the_same_on_full_and_resumed_connections() {
    let mut node = EchoNode::start(0).await;
    let endpoint = client();
    let dialer = endpoint.dialer(&alice(), node_secret().public()).unwrap();
    visit(&dialer, node.port).await;
    let full = node.next().await;
    assert_eq!(full.pseudonym, alice().public());
    assert!(!full.early);

    let connection = dialer.connect("127.0.0.1", node.port).await.unwrap();
    assert!(connection.is_early());
    assert_eq!(ask(&connection, b"again").await.unwrap(), b"again");
    assert!(connection.early_accepted().await);
    let resumed = node.next().await;
    assert_eq!(resumed.pseudonym, alice().public());
    assert!(resumed.early);
    resumed.connection.established().await.unwrap();

    let bob = PseudonymSecret::from_bytes([3; 32]);
    let dialer = endpoint.dialer(&bob, node_secret().public()).unwrap();
    visit(&dialer, node.port).await;
    assert_eq!(node.next().await.pseudonym, bob.public());
}

#[tokio::test]
async fn early_data_is_marked_as_such_and_later_data_is_not() {
    let node = EchoNode::start(0).await;
    let endpoint = client();
    let dialer = endpoint.dialer(&alice(), node_secret().public()).unwrap();
    visit(&dialer, node.port).await;
    for _ in 0..3 {
        let connection = dialer.connect("127.0.0.1", node.port).await.unwrap();
        assert!(matches!(
            connection.exporter(),
            Err(NetError::HandshakeIncomplete)
        ));
        assert_eq!(ask(&connection, b"early?").await.unwrap(), [1]);
        assert!(connection.early_accepted().await);
        assert!(connection.exporter().is_ok());
        assert!(connection.resumable(PATIENCE).await);
        assert_eq!(ask(&connection, b"early?").await.unwrap(), [0]);
        connection.close(0, "");
    }
}

#[tokio::test]
async fn a_restarted_node_rejects_early_data_and_serves_the_repeated_request() {
    let node = EchoNode::start(0).await;
    let port = node.port;
    let endpoint = client();
    let dialer = endpoint.dialer(&alice(), node_secret().public()).unwrap();
    visit(&dialer, port).await;
    assert!(endpoint.flush(PATIENCE).await);
    node.kill().await;
    let mut node = restart(port).await;

    let connection = dialer.connect("127.0.0.1", port).await.unwrap();
    assert!(connection.is_early());
    let (mut late, _receiver) = connection.open().await.unwrap();
    late.send(b"early?").await.unwrap();
    let error = ask(&connection, b"early?").await.unwrap_err();
    assert!(matches!(error, NetError::EarlyDataRejected), "{error}");
    assert!(!connection.early_accepted().await);
    connection.established().await.unwrap();
    let error = late.finish().unwrap_err();
    assert!(matches!(error, NetError::EarlyDataRejected), "{error}");
    assert_eq!(ask(&connection, b"early?").await.unwrap(), [0]);
    assert_eq!(node.next().await.pseudonym, alice().public());
    assert!(connection.resumable(PATIENCE).await);
}

/// The killed node's socket is closed by its tasks, a little after the kill.
async fn restart(port: u16) -> EchoNode {
    for _ in 0..100 {
        if std::net::UdpSocket::bind(localhost(port)).is_ok() {
            return EchoNode::start(port).await;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("port {port} stays taken");
}

#[tokio::test]
async fn the_exporter_is_equal_on_both_ends_and_new_each_time() {
    let mut node = EchoNode::start(0).await;
    let endpoint = client();
    let dialer = endpoint.dialer(&alice(), node_secret().public()).unwrap();
    let mut earlier = Vec::new();
    for round in 0..3 {
        let connection = dialer.connect("127.0.0.1", node.port).await.unwrap();
        assert_eq!(connection.is_early(), round > 0);
        connection.established().await.unwrap();
        assert!(connection.resumable(PATIENCE).await);
        let here = connection.exporter().unwrap();
        let seen = node.next().await;
        seen.connection.established().await.unwrap();
        assert_eq!(seen.connection.exporter().unwrap(), here);
        assert!(!earlier.contains(&here));
        earlier.push(here);
        connection.close(0, "");
    }
}

#[tokio::test]
async fn garbage_does_not_disturb_a_connection() {
    let node = EchoNode::start(0).await;
    let dialer = client().dialer(&alice(), node_secret().public()).unwrap();
    let connection = dialer.connect("127.0.0.1", node.port).await.unwrap();
    let socket = UdpSocket::bind(localhost(0)).await.unwrap();
    let mut noise = 1_u32;
    for round in 0..2_000_usize {
        let datagram: Vec<u8> = (0..1 + round % 1_400)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            })
            .collect();
        socket
            .send_to(&datagram, localhost(node.port))
            .await
            .unwrap();
        if round % 200 == 0 {
            assert_eq!(ask(&connection, &datagram).await.unwrap(), datagram);
        }
    }
    assert_eq!(ask(&connection, b"still").await.unwrap(), b"still");
}

#[tokio::test]
async fn an_oversized_frame_is_refused_from_its_header() {
    let node = EchoNode::start(0).await;
    let dialer = client().dialer(&alice(), node_secret().public()).unwrap();
    let connection = dialer.connect("127.0.0.1", node.port).await.unwrap();
    let (mut sender, mut receiver) = connection.open().await.unwrap();
    let header = encode_header(LIMIT + 1).as_ref().to_vec();
    sender.send_all(&mut [header.into()]).await.unwrap();
    let error = receiver.next(LIMIT).await.unwrap_err();
    let NetError::Closed { code: 77, reason } = error else {
        panic!("{error}");
    };
    assert_eq!(reason, "no frame");
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_frame_is_an_error() {
    let endpoint = NodeEndpoint::bind(localhost(0), &node_secret(), NodeOptions::default());
    let endpoint = endpoint.unwrap();
    let port = endpoint.local_addr().unwrap().port();
    let dialer = client().dialer(&alice(), node_secret().public()).unwrap();
    let node = async {
        let connection = endpoint.accept().await.unwrap().handshake().await.unwrap();
        let (_sender, mut receiver) = connection.accept().await.unwrap();
        receiver.next(LIMIT).await
    };
    let visitor = async {
        let connection = dialer.connect("127.0.0.1", port).await.unwrap();
        let (mut sender, _receiver) = connection.open().await.unwrap();
        sender
            .send_all(&mut [encode(b"half").slice(..3)])
            .await
            .unwrap();
        sender.finish().unwrap();
        let _ = sender.acknowledged().await;
        connection
    };
    let (outcome, _connection) = tokio::join!(node, visitor);
    let error = outcome.unwrap_err();
    assert!(
        matches!(error, NetError::Frame(FrameError::Truncated)),
        "{error}"
    );
}

#[tokio::test]
async fn close_codes_arrive_on_the_other_side() {
    let mut node = EchoNode::start(0).await;
    let endpoint = client();
    let dialer = endpoint.dialer(&alice(), node_secret().public()).unwrap();
    let connection = dialer.connect("127.0.0.1", node.port).await.unwrap();
    let seen = node.next().await;
    seen.connection.close(4_711, "evicted");
    let error = timeout(PATIENCE, connection.closed()).await.unwrap();
    assert!(
        matches!(&error, NetError::Closed { code: 4_711, reason } if reason == "evicted"),
        "{error}"
    );
    assert!(matches!(
        seen.connection.closed().await,
        NetError::ClosedHere
    ));

    let connection = dialer.connect("127.0.0.1", node.port).await.unwrap();
    let seen = node.next().await;
    assert!(connection.resumable(PATIENCE).await);
    connection.close(7, "bye");
    assert!(endpoint.flush(PATIENCE).await);
    let error = timeout(PATIENCE, seen.connection.closed()).await.unwrap();
    assert!(
        matches!(&error, NetError::Closed { code: 7, reason } if reason == "bye"),
        "{error}"
    );
}

#[tokio::test]
async fn a_refused_client_is_told_and_a_retried_one_gets_in() {
    let endpoint = NodeEndpoint::bind(localhost(0), &node_secret(), NodeOptions::default());
    let endpoint = endpoint.unwrap();
    let port = endpoint.local_addr().unwrap().port();
    let dialer = client().dialer(&alice(), node_secret().public()).unwrap();
    let (_, refused) = tokio::join!(
        async { endpoint.accept().await.unwrap().refuse() },
        dialer.connect("127.0.0.1", port)
    );
    assert!(matches!(refused.unwrap_err(), NetError::Refused { .. }));
    let node = async {
        let first = endpoint.accept().await.unwrap();
        assert!(!first.is_validated());
        first.retry();
        let second = endpoint.accept().await.unwrap();
        assert!(second.is_validated());
        second.handshake().await.unwrap()
    };
    let (connection, dialled) = tokio::join!(node, dialer.connect("127.0.0.1", port));
    dialled.unwrap();
    assert_eq!(connection.peer_pseudonym(), Some(alice().public()));
}

#[tokio::test]
async fn a_dead_node_is_a_timeout_also_for_early_data() {
    let silent = UdpSocket::bind(localhost(0)).await.unwrap();
    let options = ClientOptions {
        connect_timeout: Duration::from_millis(300),
        ..ClientOptions::default()
    };
    let endpoint = ClientEndpoint::bind(options).unwrap();
    let dialer = endpoint.dialer(&alice(), node_secret().public()).unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = dialer.connect("127.0.0.1", port).await.unwrap_err();
    assert!(matches!(error, NetError::Timeout), "{error}");

    let node = EchoNode::start(0).await;
    visit(&dialer, node.port).await;
    let connection = dialer.connect("127.0.0.1", port).await.unwrap();
    assert!(connection.is_early());
    let error = ask(&connection, b"anyone?").await.unwrap_err();
    assert!(!connection.early_accepted().await);
    let established = connection.established().await.unwrap_err();
    assert!(matches!(established, NetError::Timeout), "{established}");
    assert!(matches!(error, NetError::Timeout), "{error}");
}

#[tokio::test]
async fn a_wildcard_node_answers_from_the_address_it_was_asked_at() {
    let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let endpoint = NodeEndpoint::bind(any, &node_secret(), NodeOptions::default()).unwrap();
    let port = endpoint.local_addr().unwrap().port();
    let dialer = client().dialer(&alice(), node_secret().public()).unwrap();
    let node = async { endpoint.accept().await.unwrap().handshake().await };
    let (accepted, dialled) = tokio::join!(node, dialer.connect("127.0.0.2", port));
    accepted.unwrap();
    let connection = dialled.unwrap();
    assert_eq!(
        connection.remote_addr().to_string(),
        format!("127.0.0.2:{port}")
    );
}

#[tokio::test]
async fn a_closed_endpoint_accepts_no_more_and_tells_its_clients() {
    let endpoint = NodeEndpoint::bind(localhost(0), &node_secret(), NodeOptions::default());
    let endpoint = endpoint.unwrap();
    let port = endpoint.local_addr().unwrap().port();
    let dialer = client().dialer(&alice(), node_secret().public()).unwrap();
    let node = async { endpoint.accept().await.unwrap().handshake().await.unwrap() };
    let (_accepted, dialled) = tokio::join!(node, dialer.connect("127.0.0.1", port));
    let connection = dialled.unwrap();
    endpoint.close(5, "restart");
    timeout(PATIENCE, endpoint.wait_idle()).await.unwrap();
    assert!(endpoint.accept().await.is_none());
    let error = connection.closed().await;
    assert!(matches!(error, NetError::Closed { code: 5, .. }), "{error}");
}

#[tokio::test]
async fn a_client_that_goes_silent_in_its_handshake_is_given_up() {
    let options = NodeOptions {
        handshake_timeout: Duration::from_millis(300),
        ..NodeOptions::default()
    };
    let endpoint = NodeEndpoint::bind(localhost(0), &node_secret(), options).unwrap();
    let node = endpoint.local_addr().unwrap();
    let dialer = client().dialer(&alice(), node_secret().public()).unwrap();
    // Lets the client's first datagrams through and nothing back, so its handshake never ends.
    let relay = UdpSocket::bind(localhost(0)).await.unwrap();
    let port = relay.local_addr().unwrap().port();
    let one_way = tokio::spawn(async move {
        let mut datagram = [0; 2_048];
        loop {
            let (len, _) = relay.recv_from(&mut datagram).await.unwrap();
            relay.send_to(&datagram[..len], node).await.unwrap();
        }
    });
    let dialling = tokio::spawn(async move { dialer.connect("127.0.0.1", port).await });
    let incoming = timeout(PATIENCE, endpoint.accept()).await.unwrap().unwrap();
    let error = timeout(PATIENCE, incoming.handshake())
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, NetError::Timeout), "{error}");
    one_way.abort();
    dialling.abort();
}

#[tokio::test]
async fn a_forgotten_session_costs_a_full_handshake_and_nothing_else() {
    let options = NodeOptions {
        sessions: 1,
        ..NodeOptions::default()
    };
    let endpoint = NodeEndpoint::bind(localhost(0), &node_secret(), options).unwrap();
    let port = endpoint.local_addr().unwrap().port();
    let (sender, _seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(serve(incoming, sender.clone()));
        }
    });
    let endpoint = client();
    let first = endpoint.dialer(&alice(), node_secret().public()).unwrap();
    visit(&first, port).await;
    for seed in 10..20 {
        let other = PseudonymSecret::from_bytes([seed; 32]);
        let other = endpoint.dialer(&other, node_secret().public()).unwrap();
        visit(&other, port).await;
    }
    let connection = first.connect("127.0.0.1", port).await.unwrap();
    assert!(connection.is_early());
    assert!(!connection.early_accepted().await);
    assert_eq!(ask(&connection, b"again").await.unwrap(), b"again");
}

#[tokio::test]
async fn replayed_early_data_is_not_delivered() {
    let endpoint = NodeEndpoint::bind(localhost(0), &node_secret(), NodeOptions::default());
    let endpoint = endpoint.unwrap();
    let node = endpoint.local_addr().unwrap();
    let (sender, mut seen) = mpsc::unbounded_channel();
    let clients = client();
    let dialer = clients.dialer(&alice(), node_secret().public()).unwrap();
    let serve_next = async || {
        let incoming = endpoint.accept().await.unwrap();
        tokio::spawn(serve(incoming, sender.clone()));
    };
    tokio::join!(serve_next(), visit(&dialer, node.port()));
    seen.recv().await.unwrap();

    let (port, mut recorded) = recording_relay(node).await;
    let early = async {
        let connection = dialer.connect("127.0.0.1", port).await.unwrap();
        assert_eq!(ask(&connection, b"early?").await.unwrap(), [1]);
        assert!(connection.early_accepted().await);
        connection.close(0, "");
    };
    tokio::join!(serve_next(), early);
    assert!(seen.recv().await.unwrap().early);
    // While the node remembers the connection it takes the copies for repetitions, so wait.
    clients.wait_idle().await;
    timeout(PATIENCE, endpoint.wait_idle()).await.unwrap();

    let replay = UdpSocket::bind(localhost(0)).await.unwrap();
    let mut replayed = 0;
    while let Ok(datagram) = recorded.try_recv() {
        replay.send_to(&datagram, node).await.unwrap();
        replayed += 1;
    }
    assert!(replayed >= 2);
    let incoming = timeout(PATIENCE, endpoint.accept()).await.unwrap().unwrap();
    assert_eq!(incoming.remote_addr(), replay.local_addr().unwrap());
    let accepted = timeout(Duration::from_millis(500), incoming.handshake()).await;
    assert!(
        !matches!(accepted, Ok(Ok(_))),
        "the node took a replay for a client"
    );
}

/// A network between one client and the node that keeps a copy of what the client sends.
async fn recording_relay(node: SocketAddr) -> (u16, mpsc::UnboundedReceiver<Vec<u8>>) {
    let relay = UdpSocket::bind(localhost(0)).await.unwrap();
    let port = relay.local_addr().unwrap().port();
    let (recorder, recorded) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut datagram = [0; 2_048];
        let mut client = None;
        loop {
            let (len, from) = relay.recv_from(&mut datagram).await.unwrap();
            let to = if from == node {
                client.unwrap()
            } else {
                client = Some(from);
                let _ = recorder.send(datagram[..len].to_vec());
                node
            };
            relay.send_to(&datagram[..len], to).await.unwrap();
        }
    });
    (port, recorded)
}
