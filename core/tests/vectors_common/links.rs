//! Links of every kind, and text that must be refused.

use ailurus::{
    channel::{AccessKind, Link, NodeLink, ReadChain},
    crypto::kdf,
};
use serde_json::{Value, json};

use super::{document, fixed, hex, vector};

pub fn links() -> Value {
    let full = fixed::link();
    let narrowed = |kind: AccessKind| Link {
        access: full.access.narrow(kind).expect("full access"),
        read: kind
            .reads()
            .then(|| ReadChain::new(fixed::EPOCH.previous(), fixed::read_secret())),
        ..fixed::link()
    };
    let mut forwarded = ReadChain::new(fixed::EPOCH.previous(), fixed::read_secret());
    forwarded.forget_before(fixed::EPOCH).expect("one step");
    let no_history = Link {
        access: full.access.duplicate(),
        read: Some(forwarded),
        name: String::new(),
        nodes: Vec::new(),
        admin: None,
    };
    let node = fixed::node_link();
    document(
        "Links (PROTOCOL.md section 2). payload is what stands in Base58 before the 8-byte checksum. read_secret is \
         that of read_epoch.",
        vec![
            channel(
                "full access, history from the epoch before, one node",
                &full,
            ),
            channel(
                "read access to the same channel",
                &narrowed(AccessKind::Read),
            ),
            channel(
                "write access to the same channel",
                &narrowed(AccessKind::Write),
            ),
            channel("full access without history, name and nodes", &no_history),
            vector(
                "a super node",
                json!({ "key": node.key().to_string(), "host": node.host(), "port": node.port() }),
                text(&node.to_string()),
            ),
            vector(
                "a redPanda string: the payload is the scalar; access.json holds what follows from it",
                json!({ "scalar": "7ade0dbfd1817bd34628f54486de63aac25a32dd085ed7624fa482d65d64195d" }),
                text(
                    &fixed::REDPANDA
                        .parse::<Link>()
                        .and_then(|link| link.to_text())
                        .expect("imported"),
                ),
            ),
        ],
    )
}

pub fn rejected() -> Value {
    let good = fixed::link().to_text().expect("short");
    let mut mistyped = good.to_string();
    let last = if mistyped.pop() == Some('2') {
        '3'
    } else {
        '2'
    };
    mistyped.push(last);
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let refuse = |comment: &str, text: String| {
        let error = text.parse::<Link>().err().map(|error| format!("{error:?}"));
        vector(comment, json!({ "text": text }), json!({ "error": error }))
    };
    document(
        "Text that is not a usable channel link. `error` is the name this implementation gives; only that it is refused \
         is prescribed.",
        vec![
            refuse("empty", String::new()),
            refuse("unknown prefix", format!("ax{}", &good[2..])),
            refuse("last character mistyped", mistyped),
            refuse("last character missing", good[..good.len() - 1].to_owned()),
            refuse(
                "a character that is not Base58",
                good.replace('1', "0") + "0",
            ),
            refuse(
                "right payload and checksum of another prefix",
                format!("ar{}", &good[2..]),
            ),
            refuse(
                "a full payload under the prefix of read access",
                encode("ar", &payload(&good)),
            ),
            refuse("no payload", encode("af", &[])),
            refuse("the link of a node", fixed::node_link().to_string()),
            refuse(
                "redPanda's public string",
                "puaoLQSi2XVs49EmyxP8yMGTRjp3ZNQWefziRRQbbyak6psxTbioVkkY6".to_owned(),
            ),
            refuse("redPanda scalar 0", encode("pr", &[0; 32])),
            refuse(
                "redPanda scalar n",
                encode("pr", &hex::decode(order).expect("hex")),
            ),
            refuse("redPanda scalar of 31 bytes", encode("pr", &[1; 31])),
            refuse("471 characters", "af".to_owned() + &"2".repeat(469)),
        ],
    )
}

fn channel(comment: &str, link: &Link) -> Value {
    let mut input = json!({
        "access": link.access.kind().to_string(),
        "root": hex(fixed::ROOT),
        "admin_public": link.access.admin().to_string(),
        "name": link.name,
        "nodes": link.nodes.iter().map(NodeLink::to_string).collect::<Vec<_>>(),
    });
    if let Some(read) = &link.read {
        input["read_epoch"] = json!(read.epoch().number());
        input["read_secret"] = json!(hex(read.secret().expose()));
    }
    vector(comment, input, text(&link.to_text().expect("short")))
}

fn text(text: &str) -> Value {
    json!({ "text": text, "payload": hex(payload(text)) })
}

/// Payload of a good link.
fn payload(text: &str) -> Vec<u8> {
    let mut bytes = bs58::decode(&text[2..]).into_vec().expect("a good link");
    bytes.truncate(bytes.len() - 8);
    bytes
}

/// Prefix, payload and checksum, also where the payload is nonsense.
fn encode(prefix: &str, payload: &[u8]) -> String {
    let sum = kdf::sha256(&[&kdf::sha256(&[prefix.as_bytes(), payload])]);
    let bytes = [payload, &sum[..8]].concat();
    format!("{prefix}{}", bs58::encode(bytes).into_string())
}
