//! The DHT wrapper against a DHT of `mainline` nodes on this machine.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use ailurus::net::{Dht, DhtError, DhtMode};
use mainline::{MutableItem, SigningKey, Testnet};

const KEY: [u8; 32] = [0x42; 32];
const SALT: &[u8] = &[3];
/// On loopback every answer is there at once.
const SOON: Duration = Duration::from_secs(10);

fn network() -> (Testnet, DhtMode) {
    let network = Testnet::builder(12).build().expect("sockets on loopback");
    let mode = DhtMode::Bootstrap(network.bootstrap.iter().take(3).cloned().collect());
    (network, mode)
}

async fn client(mode: &DhtMode) -> Dht {
    Dht::client(mode)
        .await
        .expect("a socket")
        .expect("it is on")
}

fn public() -> [u8; 32] {
    SigningKey::from_bytes(&KEY).verifying_key().to_bytes()
}

async fn put(dht: &Dht, seq: i64, value: &[u8], cas: Option<i64>) -> Result<(), DhtError> {
    let item = MutableItem::new(SigningKey::from_bytes(&KEY), value, seq, Some(SALT));
    dht.put(&public(), SALT, seq, value, item.signature(), cas)
        .await
}

async fn read(dht: &Dht) -> Option<(i64, Vec<u8>)> {
    let item = dht.read(&public(), SALT).await.expect("nodes answer");
    item.map(|item| (item.seq, item.value))
}

#[tokio::test]
async fn what_one_puts_another_reads_and_newer_values_win() {
    let (_network, mode) = network();
    let (alice, bob) = (client(&mode).await, client(&mode).await);
    let started = Instant::now();

    assert_eq!(read(&bob).await, None);
    put(&alice, 10, b"first", None).await.expect("stored");
    assert_eq!(read(&bob).await, Some((10, b"first".to_vec())));
    put(&alice, 11, b"second", Some(10)).await.expect("stored");
    assert_eq!(read(&bob).await, Some((11, b"second".to_vec())));

    let item = bob.read(&public(), SALT).await.unwrap().unwrap();
    let signed = MutableItem::new(SigningKey::from_bytes(&KEY), b"second", 11, Some(SALT));
    assert_eq!(&item.signature, signed.signature());
    // Another salt is another place.
    assert_eq!(bob.read(&public(), &[4]).await.unwrap(), None);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[tokio::test]
async fn old_values_and_those_that_follow_another_are_refused_as_what_they_are() {
    let (_network, mode) = network();
    let (alice, bob) = (client(&mode).await, client(&mode).await);
    put(&alice, 100, b"now", None).await.expect("stored");

    let stale = put(&bob, 99, b"before", None).await;
    assert!(matches!(stale, Err(DhtError::Stale)), "{stale:?}");
    let conflict = put(&bob, 101, b"after", Some(50)).await;
    assert!(matches!(conflict, Err(DhtError::Conflict)), "{conflict:?}");
    assert_eq!(read(&alice).await, Some((100, b"now".to_vec())));
}

#[tokio::test]
async fn a_value_has_a_limit_and_a_signature_counts() {
    let (_network, mode) = network();
    let alice = client(&mode).await;

    put(&alice, 1, &[7; 996], None)
        .await
        .expect("as much as fits");
    let large = put(&alice, 2, &[7; 997], None).await;
    assert!(matches!(
        large,
        Err(DhtError::TooLarge {
            value: 997,
            salt: 1
        })
    ));
    let salted = alice
        .put(&public(), &[0; 65], 1, b"v", &[0; 64], None)
        .await;
    assert!(matches!(
        salted,
        Err(DhtError::TooLarge { value: 1, salt: 65 })
    ));
    let forged = alice
        .put(&public(), SALT, 3, b"forged", &[1; 64], None)
        .await;
    assert!(matches!(forged, Err(DhtError::TimedOut)), "{forged:?}");
    assert_eq!(read(&alice).await.map(|(seq, _)| seq), Some(1));
}

#[tokio::test]
async fn without_a_network_it_says_so_soon() {
    let (_nobody, silent) = silence();
    let alice = client(&silent).await;
    let started = Instant::now();

    let read = alice.read(&public(), SALT).await;
    assert!(matches!(read, Err(DhtError::NoNodes)), "{read:?}");
    let put = put(&alice, 1, b"value", None).await;
    assert!(matches!(put, Err(DhtError::NoNodes)), "{put:?}");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());

    let unknown = DhtMode::Bootstrap(vec!["no.such.name.invalid:6881".into()]);
    assert!(matches!(
        Dht::client(&unknown).await,
        Err(DhtError::NoNodes)
    ));
    assert!(Dht::client(&DhtMode::Off).await.expect("nothing").is_none());
}

/// A node to enter by that hears and never answers.
fn silence() -> (UdpSocket, DhtMode) {
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    nobody.set_read_timeout(Some(SOON)).expect("a time limit");
    let address = nobody.local_addr().expect("bound").to_string();
    (nobody, DhtMode::Bootstrap(vec![address]))
}

#[tokio::test]
async fn a_client_says_that_it_only_reads() {
    let (nobody, silent) = silence();
    let alice = client(&silent).await;
    assert!(alice.read(&public(), SALT).await.is_err());
    let mut heard = [0; 2_048];
    for _ in 0..4 {
        let (length, _) = nobody.recv_from(&mut heard).expect("queries");
        let query = String::from_utf8_lossy(&heard[..length]);
        // BEP 43.
        assert!(query.contains("2:roi1e"), "{query}");
    }
}

#[tokio::test]
async fn a_taken_port_is_an_error_and_no_panic() {
    let (_network, mode) = network();
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = taken.local_addr().unwrap().port();
    for _ in 0..20 {
        let server = Dht::server(&mode, port).await;
        assert!(matches!(server, Err(DhtError::Socket(_))));
    }
}

#[tokio::test]
async fn a_server_answers_and_a_client_does_not() {
    let (_network, mode) = network();
    let server = Dht::server(&mode, 0).await.unwrap().expect("on");
    let quiet = client(&mode).await;
    // Both have asked before, so nodes of the DHT have heard of both.
    assert_eq!(read(&server).await, None);
    assert_eq!(read(&quiet).await, None);

    let only = |address: std::net::SocketAddrV4| DhtMode::Bootstrap(vec![address.to_string()]);
    let alice = client(&only(quiet.local_addr().await.unwrap())).await;
    let silence = put(&alice, 1, b"value", None).await;
    assert!(matches!(silence, Err(DhtError::NoNodes)), "{silence:?}");

    let alice = client(&only(server.local_addr().await.unwrap())).await;
    put(&alice, 1, b"value", None).await.expect("stored");
    assert_eq!(read(&server).await, Some((1, b"value".to_vec())));
}
