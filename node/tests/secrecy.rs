//! What others see: the network on the path, and the node's own disk.

use std::collections::{HashMap, hash_map::Entry};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ailurus::channel::{AccessKind, NodeLink};
use ailurus::client::{Client, Options, Page};
use ailurus::store::StorageKey;
use ailurus::wire::content;
use ailurus_node::{Config, Node, SystemClock};
use prost::Message as _;
use tokio::net::UdpSocket;

/// Passes datagrams between clients and a node, and keeps a copy of each.
async fn tap(node: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"));
    let addr = front.local_addr().expect("an address");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let copy = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = front.recv_from(&mut buffer).await {
            let datagram = &buffer[..length];
            copy.lock().expect("no panic").extend_from_slice(datagram);
            let back = match backs.entry(from) {
                Entry::Occupied(found) => Arc::clone(found.get()),
                Entry::Vacant(place) => {
                    let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"));
                    back.connect(node).await.expect("connects");
                    tokio::spawn(answers(
                        Arc::clone(&back),
                        Arc::clone(&front),
                        from,
                        Arc::clone(&copy),
                    ));
                    Arc::clone(place.insert(back))
                }
            };
            let _ = back.send(datagram).await;
        }
    });
    (addr, seen)
}

/// The way back to one client.
async fn answers(
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    client: SocketAddr,
    copy: Arc<Mutex<Vec<u8>>>,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = back.recv(&mut buffer).await {
        let datagram = &buffer[..length];
        copy.lock().expect("no panic").extend_from_slice(datagram);
        let _ = front.send_to(datagram, client).await;
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// The payload of a link, past its prefix and without its checksum.
fn payload(link: &str) -> content::Link {
    let bytes = bs58::decode(&link[2..]).into_vec().expect("Base58");
    content::Link::decode(&bytes[..bytes.len() - 8]).expect("a payload")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_path_nor_node_learns_what_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new(
        folder.path().join("node"),
        "127.0.0.1:0".parse().expect("an address"),
    );
    let node = Node::start(config, Arc::new(SystemClock::default())).expect("a node");
    let (tapped, seen) = tap(node.local_addr()).await;
    let link = NodeLink::new(*node.link().key(), "127.0.0.1", tapped.port()).expect("a link");
    let person = |name: &str| {
        let key = StorageKey::from_bytes([1; 32]);
        Client::create(
            &folder.path().join(name),
            &key,
            name,
            std::slice::from_ref(&link),
            Options::default(),
        )
        .expect("a profile")
    };
    let (alice, bob) = (person("Alice-Distinctive"), person("Bob-Distinctive"));
    let channel = alice
        .create_channel("channel-distinctive")
        .expect("a channel");
    let full = alice
        .link(&channel, AccessKind::Full, true)
        .expect("a link");
    bob.join(&full.parse().expect("a link"), None)
        .expect("joins");
    let text = "a text that nobody else should ever read";
    alice.send(&channel, text).expect("queued");
    alice.poll().await.expect("polls");
    bob.poll().await.expect("polls");
    assert_eq!(
        bob.messages(&channel, Page::Latest, 10).expect("messages")[0].text,
        text
    );

    let write = alice
        .link(&channel, AccessKind::Write, true)
        .expect("a link");
    let (full, write) = (payload(&full), payload(&write));
    let author = alice.members(&channel).expect("members")[0].author;
    let secrets: Vec<(&str, Vec<u8>)> = vec![
        ("text", text.as_bytes().to_vec()),
        ("name", b"Distinctive".to_vec()),
        ("channel name", b"channel-distinctive".to_vec()),
        ("channel id", channel.as_bytes().to_vec()),
        ("channel id in hex", channel.to_string().into_bytes()),
        ("address secret", write.address_secret.to_vec()),
        ("read secret", full.read_secret.to_vec()),
        ("root", full.root.to_vec()),
        ("author key", author.as_bytes().to_vec()),
    ];
    let path = seen.lock().expect("no panic").clone();
    assert!(path.len() > 5_000, "the tap saw {} bytes", path.len());
    node.stop().await;
    let mut disk = Vec::new();
    for entry in std::fs::read_dir(folder.path().join("node")).expect("the node's folder") {
        disk.extend(std::fs::read(entry.expect("an entry").path()).expect("a file"));
    }
    // The search finds what is there.
    assert!(contains(&disk, b"SQLite format 3"));
    for (what, secret) in &secrets {
        assert!(secret.len() >= 10, "{what} is long enough to search for");
        assert!(!contains(&path, secret), "{what} on the path");
        assert!(!contains(&disk, secret), "{what} on the node's disk");
    }
}
