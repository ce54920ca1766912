//! Known-answer vectors of every layer (docs/PROTOCOL.md, section 9), made from fixed inputs.
//!
//! Shared by `examples/vectors.rs`, which writes them, and `tests/vectors.rs`, which compares and replays them.

use serde_json::{Value, json};

mod keys;
mod links;
mod messages;
mod nodes;
mod probes;
mod transport;

/// Every file: its name in `docs/vectors` and its text.
pub fn files() -> Vec<(&'static str, String)> {
    [
        ("kdf.json", keys::kdf()),
        ("schnorr.json", keys::schnorr()),
        ("blind.json", keys::blind()),
        ("access.json", keys::access()),
        ("ratchet.json", keys::ratchet()),
        ("address.json", keys::address()),
        ("links.json", links::links()),
        ("rejected-links.json", links::rejected()),
        ("padding.json", messages::padding()),
        ("message.json", messages::message()),
        ("sealed.json", messages::sealed()),
        ("rotation.json", messages::rotation()),
        ("lease.json", transport::lease()),
        ("introduction.json", nodes::introduction()),
        ("delegation.json", nodes::delegation()),
        ("record.json", nodes::record()),
        ("probe.json", probes::probe()),
        ("push.json", nodes::push()),
        ("framing.json", transport::framing()),
        ("requests.json", transport::requests()),
        ("batch.json", transport::batch()),
    ]
    .map(|(name, value)| (name, format!("{value:#}\n")))
    .to_vec()
}

/// The inputs that most vectors share. They are published here, so they protect nothing.
mod fixed {
    use ailurus::{
        channel::{Access, Epoch, Link, NodeLink, ReadChain, ReadSecret, access::Root},
        crypto::{DhSecret, NodeSecret, PseudonymSecret, SigningKey},
        wire::time::UnixMillis,
    };

    pub const ROOT: [u8; 32] = [0x11; 32];
    pub const READ_SECRET: [u8; 32] = [0x33; 32];
    pub const EPOCH: Epoch = Epoch::new(2967);
    /// In [`EPOCH`].
    pub const TIME: UnixMillis = UnixMillis::from_millis(1_794_500_000_123);
    /// Seed 003's published example.
    pub const REDPANDA: &str = "pr7768EZp1Y8PwQhozCfacTNjL4iRxgJqcm8NDVuyvhfYJDwkzJFTtCZ6";

    pub fn admin() -> SigningKey {
        key(0x22)
    }

    pub fn author() -> SigningKey {
        key(0x44)
    }

    pub fn author_dh() -> DhSecret {
        DhSecret::from_bytes([0x55; 32])
    }

    pub fn node() -> NodeSecret {
        NodeSecret::from_bytes([0x66; 32])
    }

    pub fn pseudonym() -> PseudonymSecret {
        PseudonymSecret::from_bytes([0x77; 32])
    }

    pub fn access() -> Access {
        Access::from_root(Root::from_bytes(ROOT), admin().public())
    }

    pub fn read_secret() -> ReadSecret {
        ReadSecret::from_bytes(READ_SECRET)
    }

    pub fn node_link() -> NodeLink {
        NodeLink::new(node().public(), "node.example", 4433).expect("a plain host and port")
    }

    /// A full link with history from the epoch before [`EPOCH`].
    pub fn link() -> Link {
        Link {
            access: access(),
            read: Some(ReadChain::new(EPOCH.previous(), read_secret())),
            admin: None,
            name: "Pandas".to_owned(),
            nodes: vec![node_link()],
        }
    }

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_bytes(&[byte; 32]).expect("in range")
    }
}

fn document(comment: &str, vectors: Vec<Value>) -> Value {
    json!({ "comment": comment, "vectors": vectors })
}

fn vector(comment: &str, input: Value, output: Value) -> Value {
    json!({ "comment": comment, "input": input, "output": output })
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(bytes)
}
