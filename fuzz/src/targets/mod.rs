//! The targets: each a name, a body that must not panic on any bytes, and seeds, which are valid examples.

mod files;
mod images;
mod links;
mod messages;
mod node;
mod nodes;
mod probes;

use ailurus::channel::{Address, NodeLink};
use ailurus::crypto::NodeKey;
use ailurus::wire::time::UnixMillis;

/// Takes any bytes.
pub type Body = Box<dyn Fn(&[u8])>;

/// A way in for bytes from outside.
pub struct Target {
    /// Parses, and asserts what must hold of whatever was accepted.
    pub body: Body,
    /// Valid examples, from which a fuzzer gets further than from nothing.
    pub seeds: Vec<Vec<u8>>,
}

/// The names of all targets; `fuzz_targets/` has a file for each.
pub const NAMES: [&str; 20] = [
    "backup",
    "backup_database",
    "config",
    "content",
    "cursor",
    "envelope_open",
    "frame",
    "introduction",
    "invitation",
    "link",
    "link_payload",
    "node_link",
    "node_request",
    "node_response",
    "probe",
    "push",
    "qr_luma",
    "qr_png",
    "record",
    "rotation",
];

/// Makes the target of this name.
///
/// # Panics
/// If there is none.
pub fn target(name: &str) -> Target {
    match name {
        "backup" => files::backup(),
        "backup_database" => files::backup_database(),
        "config" => files::config(),
        "content" => messages::content(),
        "cursor" => node::cursor(),
        "envelope_open" => messages::envelope_open(),
        "frame" => node::frame(),
        "introduction" => nodes::introduction(),
        "invitation" => nodes::invitation(),
        "link" => links::link(),
        "link_payload" => links::link_payload(),
        "node_link" => links::node_link(),
        "node_request" => node::request(),
        "node_response" => node::response(),
        "probe" => probes::probe(),
        "push" => messages::push(),
        "qr_luma" => images::qr_luma(),
        "qr_png" => images::qr_png(),
        "record" => nodes::record(),
        "rotation" => messages::rotation(),
        _ => panic!("there is no target {name}; choose one of {NAMES:?}"),
    }
}

/// A node link as operators hand it out.
fn example_node() -> NodeLink {
    NodeLink::new(NodeKey::from_bytes([7; 32]), "node.example.org", 4_433)
        .expect("a valid host and port")
}

/// The middle of epoch 2,950.
const NOW: UnixMillis = UnixMillis::from_secs(2_950 * 7 * 24 * 3_600 + 300_000);

const ADDRESS: Address = Address::from_bytes([3; 32]);
