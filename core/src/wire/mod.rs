//! What goes over the wire: message definitions, framing, limits, time. Nothing here decides anything.

pub mod frame;
pub mod limits;
pub mod probe;
pub mod time;

/// Messages between light client and super node, generated from `proto/node.proto`.
#[allow(
    missing_docs,
    reason = "documented in the .proto file, the source of truth"
)]
pub mod node {
    include!(concat!(env!("OUT_DIR"), "/ailurus.node.v1.rs"));
}

/// Payloads of links and contents of messages, generated from `proto/content.proto`.
#[allow(
    missing_docs,
    reason = "documented in the .proto file, the source of truth"
)]
pub mod content {
    include!(concat!(env!("OUT_DIR"), "/ailurus.content.v1.rs"));
}
