//! Items of the DHT between this library and libtorrent, another implementation, in a DHT of libtorrent's nodes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ailurus::channel::record::salt;
use ailurus::channel::{Epoch, NewChannel, NodeLink, SignedRecord};
use ailurus::client::SystemClock;
use ailurus::crypto::{NodeKey, NodeSecret, OsEntropy};
use ailurus::net::{Dht, DhtError, DhtMode};
use ailurus::wire::time::Clock as _;

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

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_channel_pass_through_libtorrent() {
    let Some(mut libtorrent) = Libtorrent::start() else {
        return;
    };
    let now = SystemClock::default().now();
    let epoch = Epoch::of(now);
    let access = NewChannel::create(epoch, &mut OsEntropy).access;
    let signer = access
        .record_signer(epoch)
        .expect("keys")
        .expect("a writer");
    let secret = access.record_secret(epoch);
    let (key, node) = (*signer.key(), NodeKey::from_bytes([7; 32]));
    let node = NodeLink::new(node, "node.example", 4_433).expect("a link");
    let record = signer.sign(&secret, &node, 3, now, &mut OsEntropy);
    let seq = i64::try_from(record.seq).expect("not that far");

    let dht = libtorrent.join().await;
    let place = (key.as_bytes(), salt(record.slot));
    dht.put(
        place.0,
        &place.1,
        seq,
        &record.value,
        &record.signature,
        None,
    )
    .await
    .expect("its nodes take it, so the blinded key's signature is right");
    let found = libtorrent.get(place.0, &place.1).expect("found");
    assert_eq!(
        found,
        (record.value.to_vec(), seq, record.signature.to_vec())
    );

    // And what libtorrent gave is what a member opens.
    let found = SignedRecord {
        slot: record.slot,
        seq: u64::try_from(found.1).expect("not negative"),
        value: found.0.try_into().expect("of one length"),
        signature: found.2.try_into().expect("64 bytes"),
    };
    assert_eq!(found.open(&key, &secret, now), Ok(node.clone()));
    let again = libtorrent.join().await.read(place.0, &place.1).await;
    let again = again.expect("nodes answer").expect("found");
    assert_eq!((again.seq, again.value), (seq, record.value.to_vec()));
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
