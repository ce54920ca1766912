//! A client over real QUIC.

use std::time::Duration;

use ailurus::{
    channel::{Epoch, NodeLink},
    crypto::{OsEntropy, Pseudonym, PseudonymSecret},
    net::{ClientEndpoint, ClientOptions, Connection, Dialer, FrameReceiver, FrameSender},
    wire::{
        limits::MAX_FRAME,
        node::{Reason, Request, Response},
    },
};
use bytes::Bytes;
use prost::Message as _;
use tokio::time::timeout;

use super::{Channel, Synced, follow, refusals, register};

/// How long anything on loopback may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Phone {
    pub endpoint: ClientEndpoint,
    pub dialer: Dialer,
    pub pseudonym: Pseudonym,
    link: NodeLink,
}

impl Phone {
    pub fn new(link: &NodeLink) -> Self {
        let options = ClientOptions {
            bind: Some("127.0.0.1:0".parse().expect("an address")),
            ..ClientOptions::default()
        };
        Self::on(ClientEndpoint::bind(options).expect("a socket"), link)
    }

    /// Many phones may share a socket.
    pub fn on(endpoint: ClientEndpoint, link: &NodeLink) -> Self {
        let secret = PseudonymSecret::random(&mut OsEntropy);
        let dialer = endpoint.dialer(&secret, *link.key()).expect("a dialer");
        Self {
            endpoint,
            dialer,
            pseudonym: secret.public(),
            link: link.clone(),
        }
    }

    pub async fn connect(&self) -> Connection {
        let connecting = self.dialer.connect(self.link.host(), self.link.port());
        timeout(PATIENCE, connecting)
            .await
            .expect("in time")
            .expect("connected")
    }

    pub async fn register(
        &self,
        connection: &Connection,
        channel: &Channel,
        epoch: Epoch,
    ) -> Vec<(u32, Reason)> {
        let exporter = connection.exporter().expect("a complete handshake");
        let lease = channel.lease(epoch, *self.link.key(), self.pseudonym, exporter);
        refusals(&[ask(connection, &register(vec![lease])).await])
    }

    pub async fn follow(&self, connection: &Connection, cursor: Bytes) -> (Stream, Synced) {
        let mut stream = Stream::open(connection).await;
        stream.send(&follow(cursor)).await;
        let mut synced = Synced::default();
        while !synced.caught_up {
            synced.add(stream.next().await.expect("an answer"));
        }
        (stream, synced)
    }
}

pub struct Stream {
    pub sender: FrameSender,
    pub receiver: FrameReceiver,
}

impl Stream {
    pub async fn open(connection: &Connection) -> Self {
        let (sender, receiver) = timeout(PATIENCE, connection.open())
            .await
            .expect("in time")
            .expect("a stream");
        Self { sender, receiver }
    }

    pub async fn send(&mut self, request: &Request) {
        self.sender
            .send(&request.encode_to_vec())
            .await
            .expect("sent");
    }

    pub async fn next(&mut self) -> Option<Response> {
        let body = timeout(PATIENCE, self.receiver.next(MAX_FRAME))
            .await
            .expect("in time")
            .expect("a frame")?;
        Some(Response::decode(body).expect("a response"))
    }
}

/// One request on its own stream, with one answer.
pub async fn ask(connection: &Connection, request: &Request) -> Response {
    let mut stream = Stream::open(connection).await;
    stream.send(request).await;
    stream.sender.finish().expect("open");
    stream.next().await.expect("an answer")
}

/// A `Sync` on its own stream.
pub async fn sync(connection: &Connection, cursor: Bytes) -> Synced {
    let mut stream = Stream::open(connection).await;
    stream.send(&super::sync(cursor)).await;
    let mut responses = Vec::new();
    while let Some(response) = stream.next().await {
        responses.push(response);
    }
    Synced::of(responses)
}
