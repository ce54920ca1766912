//! Links and node links: text that somebody pasted or that stood in a QR code.

use ailurus::channel::{AccessKind, Epoch, Link, NewChannel, NodeLink};
use ailurus::crypto::{SeededEntropy, kdf::sha256};

use super::{Target, example_node};

/// Any text as a link of any kind.
pub(super) fn link() -> Target {
    Target {
        body: Box::new(|data| {
            if let Ok(text) = std::str::from_utf8(data) {
                check_link(text);
            }
        }),
        seeds: examples().into_iter().map(String::into_bytes).collect(),
    }
}

/// Any payload behind a right checksum: the first byte chooses the prefix.
pub(super) fn link_payload() -> Target {
    Target {
        body: Box::new(|data| {
            let Some((choice, payload)) = data.split_first() else {
                return;
            };
            let prefix = PREFIXES[usize::from(*choice) % PREFIXES.len()];
            let text = encode(prefix, payload);
            check_link(&text);
            check_node_link(&text);
        }),
        seeds: examples()
            .iter()
            .filter_map(|text| {
                let (prefix, base58) = text.split_at(2);
                let choice = PREFIXES.iter().position(|known| *known == prefix)?;
                let mut payload = bs58::decode(base58).into_vec().ok()?;
                payload.truncate(payload.len().checked_sub(CHECKSUM)?);
                payload.insert(0, u8::try_from(choice).ok()?);
                Some(payload)
            })
            .collect(),
    }
}

/// Any text as a node link.
pub(super) fn node_link() -> Target {
    Target {
        body: Box::new(|data| {
            if let Ok(text) = std::str::from_utf8(data) {
                check_node_link(text);
            }
        }),
        seeds: vec![example_node().to_string().into_bytes()],
    }
}

/// What is accepted must come back the same from its own text.
fn check_link(text: &str) {
    let Ok(link) = text.parse::<Link>() else {
        return;
    };
    // A link with a long name and two nodes, or a name that no link carries, may not fit a text.
    let Ok(again) = link.to_text() else {
        return;
    };
    let again: Link = again.parse().expect("our own text parses");
    assert_eq!(again.access.channel_id(), link.access.channel_id());
    assert_eq!(again.access.kind(), link.access.kind());
    assert_eq!(again.name, link.name);
    let epoch = Epoch::new(2_950);
    let address = |link: &Link| {
        link.access
            .address_keys(epoch)
            .map(|keys| keys.address)
            .ok()
    };
    assert_eq!(address(&again), address(&link));
    for kind in [AccessKind::Full, AccessKind::Read, AccessKind::Write] {
        if let Ok(narrowed) = link.access.narrow(kind) {
            assert_eq!(narrowed.kind(), kind);
        }
    }
}

fn check_node_link(text: &str) {
    if let Ok(link) = text.parse::<NodeLink>() {
        assert_eq!(link.to_string().parse().as_ref(), Ok(&link));
    }
}

fn examples() -> Vec<String> {
    let mut entropy = SeededEntropy::from_u64(1);
    let channel = NewChannel::create(Epoch::new(2_950), &mut entropy);
    let mut texts = vec![
        example_node().to_string(),
        // From the redPanda document.
        "pr7768EZp1Y8PwQhozCfacTNjL4iRxgJqcm8NDVuyvhfYJDwkzJFTtCZ6".to_owned(),
    ];
    for kind in [AccessKind::Full, AccessKind::Read, AccessKind::Write] {
        let link = Link {
            access: channel.access.narrow(kind).expect("full access narrows"),
            read: kind.reads().then(|| channel.read.duplicate()),
            admin: None,
            name: "family".to_owned(),
            nodes: vec![example_node()],
        };
        texts.push(link.to_text().expect("a valid link").to_string());
    }
    texts
}

fn encode(prefix: &str, payload: &[u8]) -> String {
    let sum = sha256(&[&sha256(&[prefix.as_bytes(), payload])]);
    let bytes = [payload, &sum[..CHECKSUM]].concat();
    format!("{prefix}{}", bs58::encode(bytes).into_string())
}

const PREFIXES: [&str; 7] = ["af", "ar", "aw", "an", "ai", "pr", "pu"];
const CHECKSUM: usize = 8;
