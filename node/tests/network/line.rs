//! A line to a node that can be cut, as when it dies without a word.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ailurus::channel::NodeLink;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// Forwards datagrams between any number of clients and one node, until it is cut.
pub struct Line {
    link: NodeLink,
    cut: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Line {
    pub async fn to(node: &NodeLink) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"));
        let port = front.local_addr().expect("bound").port();
        let link = NodeLink::new(*node.key(), "127.0.0.1", port).expect("a link");
        let back = SocketAddr::new("127.0.0.1".parse().expect("an address"), node.port());
        let cut = Arc::new(AtomicBool::new(false));
        let mut task = JoinSet::new();
        task.spawn(forward(front, back, Arc::clone(&cut)));
        Self {
            link,
            cut,
            _task: task,
        }
    }

    /// The node as clients know it.
    pub fn link(&self) -> &NodeLink {
        &self.link
    }

    /// From now on nothing passes.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// From now on everything passes again.
    pub fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

async fn forward(front: Arc<UdpSocket>, node: SocketAddr, cut: Arc<AtomicBool>) {
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut datagram = vec![0; 65_536];
    loop {
        let Ok((length, from)) = front.recv_from(&mut datagram).await else {
            continue;
        };
        if cut.load(Ordering::SeqCst) {
            continue;
        }
        let back = match clients.get(&from) {
            Some(back) => Arc::clone(back),
            None => {
                let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"));
                back.connect(node).await.expect("connected");
                clients.insert(from, Arc::clone(&back));
                answers.spawn(answer(
                    Arc::clone(&front),
                    Arc::clone(&back),
                    from,
                    Arc::clone(&cut),
                ));
                back
            }
        };
        let _ = back.send(&datagram[..length]).await;
    }
}

async fn answer(
    front: Arc<UdpSocket>,
    back: Arc<UdpSocket>,
    client: SocketAddr,
    cut: Arc<AtomicBool>,
) {
    let mut datagram = vec![0; 65_536];
    loop {
        // A node that is gone refuses.
        let Ok(length) = back.recv(&mut datagram).await else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        if !cut.load(Ordering::SeqCst) {
            let _ = front.send_to(&datagram[..length], client).await;
        }
    }
}
