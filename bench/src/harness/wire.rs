//! Clients at the level of frames: many of them in one process, with nothing of a phone behind them.

use std::{sync::Arc, time::Duration};

use ailurus::{
    channel::{AddressKeys, NodeLink, delegation_statement, lease_statement},
    crypto::{AccessKey, Entropy, NodeKey, OsEntropy, Pseudonym, PseudonymSecret},
    net::{ClientEndpoint, ClientOptions, Connection, FrameReceiver, FrameSender},
    wire::{
        content::NodeHint,
        limits::MAX_FRAME,
        node::{
            Announce, Announcement, Lease, Register, Request, Response, Sync, request::Kind as Ask,
            response::Kind as Answer,
        },
    },
};
use bytes::Bytes;
use prost::Message as _;
use tokio::{sync::Semaphore, task::JoinSet};

use super::Failure;

/// Client sockets, over which connections are spread.
pub struct Sockets(Vec<ClientEndpoint>);

impl Sockets {
    /// This many.
    pub fn bind(count: usize) -> Result<Self, Failure> {
        let sockets = (0..count).map(|_| {
            ClientEndpoint::bind(ClientOptions {
                bind: Some(([127, 0, 0, 1], 0).into()),
                idle_timeout: IDLE,
                connect_timeout: CONNECT,
                ..ClientOptions::default()
            })
        });
        Ok(Self(sockets.collect::<Result<_, _>>()?))
    }

    /// Connects a new pseudonym.
    pub async fn connect(&self, index: usize, node: &NodeLink) -> Result<Peer, Failure> {
        let pseudonym = PseudonymSecret::random(&mut OsEntropy);
        self.connect_as(index, node, pseudonym).await
    }

    /// Connects a pseudonym.
    pub async fn connect_as(
        &self,
        index: usize,
        node: &NodeLink,
        pseudonym: PseudonymSecret,
    ) -> Result<Peer, Failure> {
        let socket = self.0.get(index % self.0.len()).ok_or("no socket")?;
        let dialer = socket.dialer(&pseudonym, *node.key())?;
        let connection = dialer.connect(node.host(), node.port()).await?;
        connection.established().await?;
        Ok(Peer {
            connection,
            pseudonym,
        })
    }
}

/// A connected client.
pub struct Peer {
    connection: Connection,
    pseudonym: PseudonymSecret,
}

impl Peer {
    /// Opens a stream.
    pub async fn open(&self) -> Result<(FrameSender, FrameReceiver), Failure> {
        Ok(self.connection.open().await?)
    }

    /// Leases an address.
    pub async fn register(&self, node: &NodeLink, keys: &AddressKeys) -> Result<(), Failure> {
        let exporter = self.connection.exporter()?;
        let pseudonym = self.pseudonym.public();
        let request = Ask::Register(Register {
            leases: vec![lease(
                keys,
                &keys.access.public(),
                &exporter,
                node.key(),
                &pseudonym,
            )],
            ..Register::default()
        });
        let (mut sender, mut receiver) = self.open().await?;
        sender.send(&encode(request)).await?;
        sender.finish()?;
        match next(&mut receiver).await? {
            Answer::Registered(answer) if answer.refusals.is_empty() => Ok(()),
            other => Err(format!("the node did not register: {other:?}").into()),
        }
    }

    /// Syncs, and returns the stream on which new envelopes will come.
    pub async fn follow(&self) -> Result<FrameReceiver, Failure> {
        Ok(self.catch_up(true).await?.0)
    }

    /// Syncs once, from 7 days back; returns how many addresses the node has leased to this client.
    pub async fn sync(&self) -> Result<u32, Failure> {
        Ok(self.catch_up(false).await?.1)
    }

    async fn catch_up(&self, follow: bool) -> Result<(FrameReceiver, u32), Failure> {
        let (mut sender, mut receiver) = self.open().await?;
        let request = Ask::Sync(Sync {
            cursor: Bytes::new(),
            follow,
        });
        sender.send(&encode(request)).await?;
        sender.finish()?;
        let mut leases = 0;
        loop {
            match next(&mut receiver).await? {
                Answer::Hello(hello) => leases = hello.leases,
                Answer::CaughtUp(_) => return Ok((receiver, leases)),
                Answer::Refused(refused) => {
                    return Err(format!("the node did not sync: {refused:?}").into());
                }
                _ => {}
            }
        }
    }

    /// Tells the node of others that serve the same addresses.
    pub async fn announce(&self, announcements: Vec<Announcement>) -> Result<(), Failure> {
        let (mut sender, mut receiver) = self.open().await?;
        let request = Ask::Announce(Announce { announcements });
        sender.send(&encode(request)).await?;
        sender.finish()?;
        match next(&mut receiver).await? {
            Answer::Announced(answer) if answer.refusals.is_empty() => Ok(()),
            other => Err(format!("the node took no announcements: {other:?}").into()),
        }
    }

    /// Bytes of UDP payload so far, both ways.
    pub fn bytes(&self) -> u64 {
        let (sent, received) = self.connection.bytes();
        sent + received
    }

    /// Says goodbye.
    pub fn close(&self) {
        self.connection.close(0, "done");
    }

    /// Publishes and waits for every acknowledgement.
    pub async fn publish(&self, requests: &[Request]) -> Result<(), Failure> {
        let (mut sender, mut receiver) = self.open().await?;
        for request in requests {
            sender.send(&request.encode_to_vec()).await?;
            match next(&mut receiver).await? {
                Answer::Published(answer) if answer.refusals.is_empty() => {}
                other => return Err(format!("the node did not publish: {other:?}").into()),
            }
        }
        sender.finish()?;
        Ok(())
    }
}

/// A lease of an address, for as long as it may be. `access` is the public half of its access key.
pub fn lease(
    keys: &AddressKeys,
    access: &AccessKey,
    exporter: &[u8; 32],
    node: &NodeKey,
    pseudonym: &Pseudonym,
) -> Lease {
    let end = keys.epoch.lease_end().as_secs();
    let statement = lease_statement(
        exporter,
        node.as_bytes(),
        pseudonym.as_bytes(),
        &keys.address,
        end,
    );
    Lease {
        blinded_key: Bytes::copy_from_slice(keys.blinded.as_bytes()),
        access_key: Bytes::copy_from_slice(access.as_bytes()),
        epoch: keys.epoch.number(),
        lease_end: end,
        proof: Bytes::copy_from_slice(&keys.access.sign(&statement)),
        ..Lease::default()
    }
}

/// The word of an address's members that a node may register it at others, of which these serve it.
pub fn announcement(keys: &AddressKeys, node: &NodeKey, others: &[NodeLink]) -> Announcement {
    let until = keys.epoch.lease_end().as_secs();
    let statement = delegation_statement(node, &keys.address, until);
    let peers = others.iter().map(|other| NodeHint {
        key: Bytes::copy_from_slice(other.key().as_bytes()),
        host: other.host().to_owned(),
        port: other.port().into(),
    });
    Announcement {
        address: Bytes::copy_from_slice(keys.address.as_bytes()),
        until,
        delegation: Bytes::copy_from_slice(&keys.access.sign(&statement)),
        peers: peers.collect(),
        ..Announcement::default()
    }
}

/// A client that is registered and follows.
pub struct Follower {
    /// New envelopes come here.
    pub receiver: FrameReceiver,
    _peer: Peer,
}

/// Connects, registers and follows with `count` clients over at most 8 sockets.
pub async fn followers(
    count: usize,
    node: &NodeLink,
    keys: &Arc<AddressKeys>,
) -> Result<Vec<Follower>, Failure> {
    let sockets = Arc::new(Sockets::bind(SOCKETS)?);
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for index in 0..count {
        let (sockets, gate, keys) = (Arc::clone(&sockets), Arc::clone(&gate), Arc::clone(keys));
        let node = node.clone();
        tasks.spawn(async move {
            let _permit = gate.acquire().await?;
            let peer = sockets.connect(index, &node).await?;
            peer.register(&node, &keys).await?;
            let receiver = peer.follow().await?;
            Ok::<_, Failure>(Follower {
                receiver,
                _peer: peer,
            })
        });
    }
    let mut followers = Vec::with_capacity(count);
    while let Some(done) = tasks.join_next().await {
        followers.push(done??);
    }
    Ok(followers)
}

/// The next answer on a stream.
pub async fn next(receiver: &mut FrameReceiver) -> Result<Answer, Failure> {
    let frame = receiver
        .next(MAX_FRAME)
        .await?
        .ok_or("the node ended a stream")?;
    answer(frame)
}

/// An answer, decoded.
pub fn answer(frame: Bytes) -> Result<Answer, Failure> {
    Ok(Response::decode(frame)?
        .kind
        .ok_or("the node sent an unknown answer")?)
}

fn encode(kind: Ask) -> Vec<u8> {
    Request { kind: Some(kind) }.encode_to_vec()
}

/// Random bytes that are text: 64 characters, so 6 bits each.
pub fn random_text(length: usize, entropy: &mut dyn Entropy) -> String {
    const CHARACTERS: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .";
    let mut bytes = vec![0; length];
    entropy.fill(&mut bytes);
    bytes
        .iter()
        .map(|byte| char::from(CHARACTERS[usize::from(byte % 64)]))
        .collect()
}

const SOCKETS: usize = 8;
/// Handshakes under way.
const AT_ONCE: usize = 64;
/// No connection may be dropped while nothing is said on it.
const IDLE: Duration = Duration::from_secs(600);
const CONNECT: Duration = Duration::from_secs(60);
