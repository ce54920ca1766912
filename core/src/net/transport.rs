//! QUIC transport settings of both sides.

use std::{sync::Arc, time::Duration};

use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

/// Streams that a client may have open at a node at once; a node opens none to a client unasked.
const STREAMS: u32 = 16;

/// What a peer may send on one stream before it is read, in bytes: a limit, not an allocation.
const STREAM_WINDOW: u32 = 256 << 10;

/// The same over all streams of a connection to a node, in bytes.
const NODE_WINDOW: u32 = 512 << 10;

/// The same over all streams of a client's connection, in bytes: a catch-up comes this way.
const CLIENT_STREAM_WINDOW: u32 = 1 << 20;

/// What a connection holds that was sent and not yet acknowledged, in bytes.
const SEND_WINDOW: u64 = 1 << 20;

/// Out-of-order handshake bytes a connection may hold; with raw keys a flight is below 1 KiB.
const CRYPTO_BUFFER: usize = 4 << 10;

/// For a node: many connections, nearly all of them idle.
///
/// quinn keeps each connection's send buffer at its largest: 1,200 bytes, or 12,000 once a burst went
/// out with segmentation offload. With it an idle connection that has had 300 kB of messages measured
/// 54 KiB, without it 42; one connection's bulk on loopback fell from 630 to 270 MB/s, still far above
/// what a phone's network carries.
pub(super) fn node(
    idle: Duration,
    path_mtu_discovery: bool,
    segmentation_offload: bool,
) -> Arc<TransportConfig> {
    let mut config = common(idle, path_mtu_discovery);
    config
        .enable_segmentation_offload(segmentation_offload)
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(NODE_WINDOW));
    Arc::new(config)
}

/// For a light client: few connections, and catch-ups to be received fast.
pub(super) fn client(
    idle: Duration,
    keep_alive: Option<Duration>,
    path_mtu_discovery: bool,
) -> Arc<TransportConfig> {
    let mut config = common(idle, path_mtu_discovery);
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .stream_receive_window(VarInt::from_u32(CLIENT_STREAM_WINDOW))
        .receive_window(VarInt::from_u32(2 * CLIENT_STREAM_WINDOW))
        .keep_alive_interval(keep_alive);
    Arc::new(config)
}

/// Packets stay at 1,200 bytes unless path MTU discovery is asked for. Its probes raise a resumed poll
/// from 4,221 to 9,717 bytes, and for bulk it saves 0.9 % of the bytes and a sixth of the packets. A
/// larger initial MTU costs no probes, but is lost on every path that does not carry it.
fn common(idle: Duration, path_mtu_discovery: bool) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(IdleTimeout::try_from(idle).ok())
        .send_window(SEND_WINDOW)
        .crypto_buffer_size(CRYPTO_BUFFER)
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        .mtu_discovery_config(path_mtu_discovery.then(MtuDiscoveryConfig::default));
    config
}
