//! What a background poll costs when there is nothing new, with one channel and with 200.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ailurus::{
    channel::NodeLink,
    client::{Client, Options},
    store::StorageKey,
};

use crate::harness::{
    Failure,
    clock::BenchClock,
    folder,
    node::NodeProcess,
    relay::CountingRelay,
    row::{Limit, Measured, Spec, Suite},
    stats::Sample,
};

pub const SUITE: Suite = Suite {
    specs: &[
        Spec {
            name: "empty_poll_bytes",
            unit: "bytes of UDP payload",
            limit: Limit::AtMost(4_500.0),
        },
        Spec {
            name: "empty_poll_bytes_200",
            unit: "bytes of UDP payload",
            limit: Limit::AtMost(4_500.0),
        },
    ],
    patience: Duration::from_secs(60),
    run: || Box::pin(run()),
};

async fn run() -> Result<Vec<Measured>, Failure> {
    let clock = BenchClock::in_mid_epoch();
    let node = NodeProcess::start(clock).await?;
    let one = polls(&node, clock, 1).await?;
    let many = polls(&node, clock, MANY).await?;
    let (low, high) = (one.0.median(), many.0.median());
    let differs = (high / low - 1.0).abs() > EQUAL;
    let fault = differs.then(|| format!("1 and {MANY} channels differ by more than 5 %"));
    Ok(vec![
        Measured::new("empty_poll_bytes", &one.0)
            .note(&format!("with {MANY} channels {high}"))
            .note(&one.1)
            .fault(fault.clone()),
        Measured::new("empty_poll_bytes_200", &many.0)
            .note(&format!("with 1 channel {low}"))
            .note(&many.1)
            .fault(fault),
    ])
}

/// Polls of a profile with this many channels: bytes on the wire, and what the client itself counts.
async fn polls(
    node: &NodeProcess,
    clock: BenchClock,
    channels: usize,
) -> Result<(Sample, String), Failure> {
    let addr: SocketAddr = format!("{}:{}", node.link().host(), node.link().port()).parse()?;
    let relay = CountingRelay::start(addr).await?;
    let link = NodeLink::new(*node.link().key(), "127.0.0.1", relay.port())?;
    let folder = folder()?;
    let options = Options {
        clock: Arc::new(clock.system()),
        ..Options::default()
    };
    let key = StorageKey::from_bytes([1; 32]);
    let client = Client::create(folder.path(), &key, "Alice", &[link], options)?;
    for channel in 0..channels {
        client.create_channel(&format!("channel {channel}"))?;
    }
    // Registers and introduces, then leaves nothing to do.
    for _ in 0..2 {
        client.poll().await?;
    }
    tokio::time::sleep(QUIET).await;

    let (mut wire, mut counted) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        relay.take();
        let report = client.poll().await?;
        // A repeated closing packet counts too.
        tokio::time::sleep(QUIET).await;
        if report.nodes_reached != 1 || !report.messages.is_empty() {
            return Err(format!("the poll was not an empty one: {report:?}").into());
        }
        wire.push(relay.take() as f64);
        counted.push((report.bytes_sent + report.bytes_received) as f64);
    }
    client.shutdown().await;
    let sample = |values| Sample::new(values).ok_or("no run");
    let counted = sample(counted)?.median();
    let note = format!("counted between client and node; the client itself counts {counted}");
    Ok((sample(wire)?, note))
}

const RUNS: usize = 7;
const MANY: usize = 200;
/// 1 and 200 channels may differ by this part.
const EQUAL: f64 = 0.05;
/// After this nothing more comes from a connection that was closed.
const QUIET: Duration = Duration::from_millis(200);
