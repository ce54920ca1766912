//! Items of the DHT between this library and libtorrent, another implementation, in a DHT of libtorrent's nodes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ailurus::crypto::NodeSecret;
use ailurus::net::{Dht, DhtError, DhtMode};

/// The system's, for which distributions package libtorrent.
const PYTHON: &str = "/usr/bin/python3";

#[tokio::test(flavor = "multi_thread")]
async fn libtorrent_reads_what_we_put_and_keeps_the_rules() {
    let Some(mut libtorrent) = Libtorrent::start() else {
        return;
    };
    let secret = NodeSecret::from_bytes([7; 32]);
    let key = *secret.public().as_bytes();
    let dht = libtorrent.join().await;
    let put = async |seq: i64, value: &[u8], cas: Option<i64>| {
        let signature = secret.sign(&signed_bytes(&[3], seq, value));
        dht.put(&key, &[3], seq, value, &signature, cas)
            .await
            .map(|()| signature)
    };

    assert_eq!(libtorrent.get(&key, &[3]), None);
    let signature = put(1_700_000_000, b"first", None).await.expect("stored");
    let found = libtorrent.get(&key, &[3]).expect("found");
    assert_eq!(
        found,
        (b"first".to_vec(), 1_700_000_000, signature.to_vec())
    );
    assert_eq!(libtorrent.get(&key, &[4]), None);
    let stale = put(1_699_999_999, b"older", None).await;
    assert!(matches!(stale, Err(DhtError::Stale)), "{stale:?}");
    let conflict = put(1_700_000_001, b"second", Some(5)).await;
    assert!(matches!(conflict, Err(DhtError::Conflict)), "{conflict:?}");
    let followed = put(1_700_000_001, b"second", Some(1_700_000_000)).await;
    assert!(followed.is_ok(), "{followed:?}");
    let found = libtorrent.get(&key, &[3]).expect("found");
    assert_eq!(
        (found.0.as_slice(), found.1),
        (&b"second"[..], 1_700_000_001)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn we_read_what_libtorrent_puts() {
    let Some(mut libtorrent) = Libtorrent::start() else {
        return;
    };
    let secret = NodeSecret::from_bytes([8; 32]);
    let key = *secret.public().as_bytes();
    for (seq, value) in [(1, "one"), (2, "two")] {
        let stored = libtorrent.ask(&serde_json::json!({
            "put": hex::encode(secret.expose()),
            "key": hex::encode(key),
            "salt": "05",
            "value": hex::encode(value),
        }));
        assert!(stored["stored"].as_i64() > Some(0), "{stored}");
        assert_eq!(stored["seq"], seq);
        // Anew each time, or it might know the answer.
        let item = libtorrent.join().await.read(&key, &[5]).await;
        let item = item.expect("nodes answer").expect("found");
        assert_eq!((item.seq, item.value.as_slice()), (seq, value.as_bytes()));
        let signed = signed_bytes(&[5], seq, value.as_bytes());
        assert_eq!(secret.public().verify(&signed, &item.signature), Ok(()));
    }
}

/// What BEP 44 signs.
fn signed_bytes(salt: &[u8], seq: i64, value: &[u8]) -> Vec<u8> {
    let salt = [format!("4:salt{}:", salt.len()).as_bytes(), salt].concat();
    let start = format!("3:seqi{seq}e1:v{}:", value.len());
    [&salt, start.as_bytes(), value].concat()
}

/// Nodes of libtorrent, and one that is told what to do; they end with this.
struct Libtorrent {
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    nodes: Vec<String>,
}

impl Libtorrent {
    /// `None` where it is not installed.
    fn start() -> Option<Self> {
        let installed = Command::new(PYTHON)
            .args(["-c", "import libtorrent"])
            .stderr(Stdio::null())
            .status();
        if !installed.is_ok_and(|status| status.success()) {
            needs("libtorrent for /usr/bin/python3 (Debian's python3-libtorrent)");
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dht/nodes.py");
        let mut process = Command::new(PYTHON)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut libtorrent = Self {
            requests: process.stdin.take(),
            answers: BufReader::new(process.stdout.take().expect("piped")),
            process,
            nodes: Vec::new(),
        };
        let hello = libtorrent.answer();
        let nodes = hello["nodes"].as_array().expect("addresses").iter();
        libtorrent.nodes = nodes
            .map(|node| node.as_str().expect("text").to_owned())
            .collect();
        Some(libtorrent)
    }

    async fn join(&self) -> Dht {
        let mode = DhtMode::Bootstrap(self.nodes[..3].to_vec());
        Dht::client(&mode).await.expect("a socket").expect("on")
    }

    fn answer(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).expect("JSON, or it has told on stderr what is wrong")
    }

    fn ask(&mut self, request: &serde_json::Value) -> serde_json::Value {
        let requests = self.requests.as_mut().expect("open until the end");
        writeln!(requests, "{request}").expect("it listens");
        self.answer()
    }

    /// Value, sequence number and signature.
    fn get(&mut self, key: &[u8; 32], salt: &[u8]) -> Option<(Vec<u8>, i64, Vec<u8>)> {
        let request = serde_json::json!({"get": hex::encode(key), "salt": hex::encode(salt)});
        let found = self.ask(&request);
        let bytes = |name: &str| hex::decode(found[name].as_str()?).ok();
        Some((bytes("value")?, found["seq"].as_i64()?, bytes("signature")?))
    }
}

impl Drop for Libtorrent {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.process.wait();
    }
}

/// Says what is needed for a check that cannot run here; fails where everything must run.
fn needs(what: &str) {
    println!("not checked: this needs {what}");
    assert_ne!(
        std::env::var("AILURUS_CI").as_deref(),
        Ok("1"),
        "AILURUS_CI=1 and no {what}"
    );
}
