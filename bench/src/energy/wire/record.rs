//! Records conversations of a real client with a real node over a path as long as a mobile network's.

use std::{sync::Arc, time::Duration};

use ailurus::{
    channel::{AccessKind, NodeLink},
    client::{Client, Options},
    store::StorageKey,
};
use ailurus_bench::harness::Failure;
use ailurus_node::{Config, Node, SystemClock};
use tempfile::TempDir;

use super::{Conversation, EMPTY_POLL, HEADERS, POLLS, ROUND_TRIP, Recorded, SENDING, tap::Tap};

/// Every conversation once, over sockets and in real time: some seconds.
pub async fn record() -> Result<Recorded, Failure> {
    let folder = tempfile::tempdir()?;
    let listen = "127.0.0.1:0".parse()?;
    let config = Config::new(folder.path().join("node"), listen);
    let node = Node::start(config, Arc::new(SystemClock::default()))?;
    let direct = node.link().clone();
    let addr = format!("{}:{}", direct.host(), direct.port()).parse()?;
    let tap = Tap::start(addr, ROUND_TRIP / 2).await?;
    let far = NodeLink::new(*direct.key(), "127.0.0.1", tap.port())?;

    let sender = person(&folder, "Bob", direct)?;
    let phone = person(&folder, "Alice", far)?;
    let channel = sender.create_channel("family")?;
    sender.poll().await?;
    phone.join(
        &sender.link(&channel, AccessKind::Full, true)?.parse()?,
        None,
    )?;
    // Registers, introduces itself, hears of the other's introduction: then nothing is left to do.
    for _ in 0..2 {
        phone.poll().await?;
        sender.poll().await?;
    }
    settle(&phone, &tap).await?;

    let mut conversations = vec![said(EMPTY_POLL, &phone, &tap, 0).await?];
    for count in POLLS {
        for number in 0..count {
            sender.send(&channel, &text(number))?;
        }
        sender.poll().await?;
        conversations.push(said(&poll_of(count), &phone, &tap, count).await?);
        settle(&phone, &tap).await?;
    }
    phone.send(&channel, &text(0))?;
    conversations.push(said(SENDING, &phone, &tap, 0).await?);
    phone.shutdown().await;
    sender.shutdown().await;
    node.stop().await;
    Ok(Recorded {
        round_trip_ms: u64::try_from(ROUND_TRIP.as_millis())?,
        conversations,
    })
}

/// What a poll with so many messages is called.
pub fn poll_of(count: usize) -> String {
    format!("poll that brings {count} messages of 200 bytes")
}

async fn said(
    name: &str,
    phone: &Client,
    tap: &Tap,
    expected: usize,
) -> Result<Conversation, Failure> {
    tap.take();
    let report = phone.poll().await?;
    if report.nodes_reached != 1 || report.messages.len() != expected {
        return Err(format!("{name} was something else: {report:?}").into());
    }
    tokio::time::sleep(QUIET).await;
    let packets = tap.take().into_iter();
    Ok(Conversation {
        name: name.to_owned(),
        packets: packets
            .map(|(at, bytes, up)| (at, bytes + HEADERS, up))
            .collect(),
    })
}

/// Polls until there is nothing more to do than to ask.
async fn settle(phone: &Client, tap: &Tap) -> Result<(), Failure> {
    let mut before = usize::MAX;
    for _ in 0..8 {
        tap.take();
        phone.poll().await?;
        tokio::time::sleep(QUIET).await;
        let packets = tap.take().len();
        if packets >= before {
            return Ok(());
        }
        before = packets;
    }
    Ok(())
}

fn person(folder: &TempDir, name: &str, node: NodeLink) -> Result<Client, Failure> {
    let key = StorageKey::from_bytes([1; 32]);
    let path = folder.path().join(name);
    Ok(Client::create(
        &path,
        &key,
        name,
        &[node],
        Options::default(),
    )?)
}

fn text(number: usize) -> String {
    format!("{number:0>200}")
}

/// After this nothing more comes from a connection that was closed.
const QUIET: Duration = Duration::from_millis(400);
