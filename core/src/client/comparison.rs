//! Comparing two super nodes over QUIC, step by step as [`crate::discovery::audit`] says.

use std::sync::Arc;

use bytes::Bytes;

use crate::channel::{Address, Envelope, EnvelopeId};
use crate::crypto::NodeKey;
use crate::discovery::audit::{Audit, Outcome, Step};
use crate::store::StoredNode;
use crate::wire::node::{Batch, Fetch, Request, request, response};
use crate::wire::time::UnixMillis;

use super::Error;
use super::conversation::{Conversation, Heard, connect_briefly, note, protocol};
use super::engine::Comparison;
use super::inner::Inner;

/// What a comparison showed, or which node broke it off.
#[derive(Default)]
pub(super) struct Compared {
    pub(super) outcome: Outcome,
    pub(super) failure: Option<(NodeKey, Error)>,
    pub(super) bytes: (u64, u64),
}

/// Compares the polled node with a standby, completes both, and takes in what was new to us too.
pub(super) async fn compare(
    inner: &Arc<Inner>,
    comparison: &Comparison,
    heard: &Arc<Heard>,
) -> Compared {
    let nodes = [&comparison.polled, &comparison.standby];
    let keys = nodes.map(|node| *node.link.key());
    let [polled, standby] = keys;
    let mut compared = Compared::default();
    let audit = inner
        .blocking(move |engine, now| engine.audit([&polled, &standby], now))
        .await;
    let mut audit = match audit {
        Ok(Some(audit)) => audit,
        Ok(None) => return compared,
        Err(error) => {
            compared.failure = Some((standby, error));
            return compared;
        }
    };
    let mut talks = Vec::new();
    for node in nodes {
        match begin(inner, node, heard).await {
            Ok(talk) => talks.push(talk),
            Err(error) => {
                compared.failure = Some((*node.link.key(), error));
                return compared;
            }
        }
    }
    if let [one, other] = &mut talks[..] {
        let walked = walk(inner, &mut audit, [one, other], keys, heard).await;
        compared.failure = walked.err();
    }
    for talk in talks {
        let (sent, received) = talk.connection.bytes();
        compared.bytes.0 += sent;
        compared.bytes.1 += received;
        talk.connection.close(0, "done");
    }
    compared.outcome = audit.outcome().clone();
    let unleased: Vec<NodeKey> = compared.outcome.unleased.iter().copied().collect();
    if !unleased.is_empty() {
        let forgetting = inner.blocking(move |engine, _| engine.forget_leases(&unleased));
        if let Err(error) = forgetting.await {
            compared.failure.get_or_insert((standby, error));
        }
    }
    compared
}

async fn begin(
    inner: &Arc<Inner>,
    node: &StoredNode,
    heard: &Arc<Heard>,
) -> Result<Conversation, Error> {
    let connection = connect_briefly(inner, node).await?;
    connection.established().await?;
    Ok(Conversation::new(
        inner,
        *node.link.key(),
        connection,
        Arc::clone(heard),
    ))
}

async fn walk(
    inner: &Arc<Inner>,
    audit: &mut Audit,
    mut talks: [&mut Conversation; 2],
    keys: [NodeKey; 2],
    heard: &Arc<Heard>,
) -> Result<(), (NodeKey, Error)> {
    loop {
        let step = audit.next(inner.clock.now());
        let node = match &step {
            Step::Digest { node, .. }
            | Step::List { node, .. }
            | Step::Fetch { node, .. }
            | Step::Publish { node, .. } => *node,
            Step::Done => return Ok(()),
        };
        let [one, other] = &mut talks;
        let talk = if Some(&node) == keys.first() {
            one
        } else {
            other
        };
        take(inner, audit, talk, node, step, heard)
            .await
            .map_err(|error| (node, error))?;
    }
}

/// Takes one step with one of the two.
async fn take(
    inner: &Arc<Inner>,
    audit: &mut Audit,
    talk: &mut Conversation,
    node: NodeKey,
    step: Step,
    heard: &Arc<Heard>,
) -> Result<(), Error> {
    match step {
        Step::Digest { request, .. } => {
            match talk.ask(&wrap(request::Kind::Digest(request))).await? {
                response::Kind::Digests(answer) => audit.digested(Some(&answer)),
                response::Kind::Refused(_) => audit.digested(None),
                _ => return Err(protocol(node)),
            }
        }
        Step::List { request, .. } => match talk.ask(&wrap(request::Kind::List(request))).await? {
            response::Kind::Listed(answer) => audit.listed(Some(&answer)),
            response::Kind::Refused(_) => audit.listed(None),
            _ => return Err(protocol(node)),
        },
        Step::Fetch { address, id, .. } => {
            let fetched = fetch(talk, node, address, id).await?;
            let envelope = fetched.as_ref().and_then(|batch| envelope(address, batch));
            if let Some(batch) = fetched {
                let (teller, told) = (Arc::clone(inner), Arc::clone(heard));
                let working = heard.begin().await.ok_or(Error::ShutDown)?;
                inner
                    .blocking(move |engine, now| {
                        let _working = working;
                        let done = engine.ingest(&node, &[batch], None, now)?;
                        note(&teller, &told, done.changes);
                        Ok(())
                    })
                    .await?;
            }
            audit.fetched(envelope);
        }
        Step::Publish {
            address, envelopes, ..
        } => {
            let request = inner
                .blocking(move |engine, now| engine.pass_on(&address, &envelopes, now))
                .await?;
            match request {
                None => audit.published(None),
                Some(request) => match talk.ask(&request).await? {
                    response::Kind::Published(answer) => audit.published(Some(&answer)),
                    response::Kind::Refused(_) => audit.published(None),
                    _ => return Err(protocol(node)),
                },
            }
        }
        Step::Done => {}
    }
    Ok(())
}

async fn fetch(
    talk: &mut Conversation,
    node: NodeKey,
    address: Address,
    id: EnvelopeId,
) -> Result<Option<Batch>, Error> {
    let request = wrap(request::Kind::Fetch(Fetch {
        address: Bytes::copy_from_slice(address.as_bytes()),
        id: Bytes::copy_from_slice(id.as_bytes()),
    }));
    match talk.ask(&request).await? {
        response::Kind::Batch(batch) => Ok(Some(batch)),
        response::Kind::Refused(_) => Ok(None),
        _ => Err(protocol(node)),
    }
}

fn envelope(address: Address, batch: &Batch) -> Option<Envelope> {
    let item = batch.items.first()?;
    let base = UnixMillis::from_millis(batch.base_time_ms);
    Envelope::from_item(address, base, item).ok()
}

fn wrap(kind: request::Kind) -> Request {
    Request { kind: Some(kind) }
}
