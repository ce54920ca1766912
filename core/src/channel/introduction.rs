//! Introductions: chains of signatures from a super node to whoever holds the last key (docs/PROTOCOL.md, section 5.6).
//!
//! The operator signs the first holder's key, and each holder the next one's. The number of hops is the hop count by
//! which nodes admit clients. Every key is made for one chain and used for nothing else, so the node sees a tree
//! without names, and since each signature covers the chain before it, nobody can shorten one.

use std::fmt;

use bytes::Bytes;

use crate::crypto::{
    HolderKey, HolderSecret, NodeKey, NodeSecret, Pseudonym, kdf, newtype::id_newtype,
};
use crate::wire::{
    limits::{INTRODUCTION_LIFETIME, MAX_AHEAD, MAX_HOPS},
    node as wire,
    time::UnixMillis,
};

/// How far somebody is from a node's operator: 1 to 6 hops, or a stranger. The nearest compares least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HopCount(u8);

impl HopCount {
    /// Whoever has no introduction: farther than everybody else.
    pub const STRANGER: Self = Self(u8::MAX);

    /// A number of hops; none outside 1 to 6.
    pub fn new(hops: usize) -> Option<Self> {
        let hops = u8::try_from(hops).ok()?;
        (1..=MAX_HOPS)
            .contains(&usize::from(hops))
            .then_some(Self(hops))
    }

    /// As it stands in messages; absent, and numbers that are none, mean a stranger.
    pub fn from_wire(hops: Option<u32>) -> Self {
        hops.and_then(|hops| usize::try_from(hops).ok())
            .and_then(Self::new)
            .unwrap_or(Self::STRANGER)
    }

    /// For messages: absent for a stranger.
    pub fn to_wire(self) -> Option<u32> {
        (!self.is_stranger()).then_some(u32::from(self.0))
    }

    /// True without an introduction.
    pub fn is_stranger(self) -> bool {
        self == Self::STRANGER
    }

    /// The hop count of somebody whom this one introduces; `None` at the sixth hop and for a stranger.
    pub fn next(self) -> Option<Self> {
        Self::new(usize::from(self.0).saturating_add(1))
    }
}

impl fmt::Display for HopCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_stranger() {
            return f.write_str("stranger");
        }
        self.0.fmt(f)
    }
}

id_newtype! {
    /// Names a holder's place in the tree of a node's introductions: the hash of the chain up to that hop.
    pub struct ChainId[32];
}

/// A chain that begins at `node` and has one to six hops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    node: NodeKey,
    /// The hops before the last.
    before: Vec<Hop>,
    last: Hop,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Hop {
    key: HolderKey,
    expiry_secs: u64,
    signature: [u8; 64],
    /// The hash of the chain with this hop.
    id: ChainId,
}

impl Introduction {
    /// The operator's invitation of whoever holds `holder`: hop count 1.
    ///
    /// The expiry is in Unix seconds; nodes refuse more than 90 days ahead.
    pub fn mint(node: &NodeSecret, holder: &HolderKey, expiry_secs: u64) -> Self {
        let key = node.public();
        let start = start(&key);
        let signature = node.sign(&hop_statement(&start, holder, expiry_secs));
        Self {
            node: key,
            before: Vec::new(),
            last: Hop::new(&start, *holder, expiry_secs, signature),
        }
    }

    /// One hop more, for whoever holds `next`. Its expiry is `expiry_secs` (Unix seconds) or this chain's, whichever is
    /// earlier.
    ///
    /// # Errors
    /// [`IntroductionError::NotHolder`] or [`IntroductionError::TooLong`].
    pub fn extend(
        &self,
        holder: &HolderSecret,
        next: &HolderKey,
        expiry_secs: u64,
    ) -> Result<Self, IntroductionError> {
        self.check_holder(holder)?;
        if self.hop_count().next().is_none() {
            return Err(IntroductionError::TooLong);
        }
        let expiry_secs = expiry_secs.min(self.last.expiry_secs);
        let before = &self.last.id;
        let signature = holder.sign(&hop_statement(before.as_bytes(), next, expiry_secs));
        Ok(Self {
            node: self.node,
            before: self.hops().cloned().collect(),
            last: Hop::new(before.as_bytes(), *next, expiry_secs, signature),
        })
    }

    /// Takes a message apart. No signature is checked: that is [`Introduction::verify`].
    ///
    /// # Errors
    /// [`IntroductionError::Malformed`], [`IntroductionError::TooLong`] or [`IntroductionError::LaterExpiry`].
    pub fn parse(message: &wire::Introduction) -> Result<Self, IntroductionError> {
        let node =
            NodeKey::try_from(message.node.as_ref()).map_err(|_| IntroductionError::Malformed)?;
        if message.hops.len() > MAX_HOPS {
            return Err(IntroductionError::TooLong);
        }
        let mut chain = start(&node);
        let mut before = Vec::with_capacity(message.hops.len());
        for hop in &message.hops {
            let hop = Hop::parse(&chain, hop)?;
            if before
                .last()
                .is_some_and(|last: &Hop| hop.expiry_secs > last.expiry_secs)
            {
                return Err(IntroductionError::LaterExpiry);
            }
            chain = *hop.id.as_bytes();
            before.push(hop);
        }
        let last = before.pop().ok_or(IntroductionError::Malformed)?;
        Ok(Self { node, before, last })
    }

    /// As a message.
    pub fn to_wire(&self) -> wire::Introduction {
        wire::Introduction {
            node: Bytes::copy_from_slice(self.node.as_bytes()),
            hops: self.hops().map(Hop::to_wire).collect(),
        }
    }

    /// Checks that the chain begins at `node`, that every hop is signed by the one before, and that its time is not
    /// over at `now`.
    ///
    /// # Errors
    /// [`IntroductionError::OtherNode`], [`IntroductionError::BadSignature`], [`IntroductionError::Expired`], or
    /// [`IntroductionError::TooFarAhead`] if it is good for more than 90 days (and the 15 minutes by which clocks may
    /// differ).
    pub fn verify(&self, node: &NodeKey, now: UnixMillis) -> Result<(), IntroductionError> {
        if self.node != *node {
            return Err(IntroductionError::OtherNode);
        }
        // Expiries never rise, so the last is the first to pass and the first the farthest ahead.
        if self.expiry() <= now {
            return Err(IntroductionError::Expired);
        }
        let latest = now.after(INTRODUCTION_LIFETIME).after(MAX_AHEAD).as_secs();
        if self.hops().any(|hop| hop.expiry_secs > latest) {
            return Err(IntroductionError::TooFarAhead);
        }
        self.verify_signatures()
    }

    /// Where it leads.
    pub fn node(&self) -> &NodeKey {
        &self.node
    }

    /// The last key: whoever has its secret may use and extend the chain.
    pub fn holder(&self) -> &HolderKey {
        &self.last.key
    }

    /// The number of hops.
    pub fn hop_count(&self) -> HopCount {
        HopCount::new(self.before.len().saturating_add(1)).unwrap_or(HopCount::STRANGER)
    }

    /// When it ends.
    pub fn expiry(&self) -> UnixMillis {
        UnixMillis::from_secs(self.last.expiry_secs)
    }

    /// The subtrees that it lies in, one a hop: the operator's invitation first, its own place last.
    pub fn chain(&self) -> Vec<ChainId> {
        self.hops().map(|hop| hop.id).collect()
    }

    /// Its own place in the tree: the last of [`Introduction::chain`].
    pub fn id(&self) -> &ChainId {
        &self.last.id
    }

    /// What its holder registers with: the chain, and the last key's signature for this connection and pseudonym.
    /// `exporter` is the connection's, as for leases.
    ///
    /// # Errors
    /// [`IntroductionError::NotHolder`].
    pub fn prove(
        &self,
        holder: &HolderSecret,
        exporter: &[u8; 32],
        pseudonym: &Pseudonym,
    ) -> Result<wire::IntroductionProof, IntroductionError> {
        self.check_holder(holder)?;
        let proof = holder.sign(&self.proof_statement(exporter, pseudonym));
        Ok(wire::IntroductionProof {
            introduction: Some(self.to_wire()),
            proof: Bytes::copy_from_slice(&proof),
        })
    }

    /// Checks that whoever opened this connection holds the last key. Says nothing of the chain: see
    /// [`Introduction::verify`].
    ///
    /// # Errors
    /// [`IntroductionError::BadProof`].
    pub fn check_proof(
        &self,
        proof: &[u8; 64],
        exporter: &[u8; 32],
        pseudonym: &Pseudonym,
    ) -> Result<(), IntroductionError> {
        self.last
            .key
            .verify(&self.proof_statement(exporter, pseudonym), proof)
            .map_err(|_| IntroductionError::BadProof)
    }

    /// Every hop by the key before it, the first by the node.
    pub(super) fn verify_signatures(&self) -> Result<(), IntroductionError> {
        let mut chain = start(&self.node);
        let mut signer: Option<&HolderKey> = None;
        for hop in self.hops() {
            let statement = hop_statement(&chain, &hop.key, hop.expiry_secs);
            match signer {
                None => self.node.verify(&statement, &hop.signature),
                Some(signer) => signer.verify(&statement, &hop.signature),
            }
            .map_err(|_| IntroductionError::BadSignature)?;
            chain = *hop.id.as_bytes();
            signer = Some(&hop.key);
        }
        Ok(())
    }

    pub(super) fn last_expiry_secs(&self) -> u64 {
        self.last.expiry_secs
    }

    pub(super) fn last_signature(&self) -> &[u8; 64] {
        &self.last.signature
    }

    fn hops(&self) -> impl Iterator<Item = &Hop> {
        self.before.iter().chain([&self.last])
    }

    fn check_holder(&self, holder: &HolderSecret) -> Result<(), IntroductionError> {
        if holder.public() != self.last.key {
            return Err(IntroductionError::NotHolder);
        }
        Ok(())
    }

    fn proof_statement(&self, exporter: &[u8; 32], pseudonym: &Pseudonym) -> [u8; 32] {
        kdf::tagged_hash(
            "ailurus/introduction-proof",
            &[
                exporter,
                self.node.as_bytes(),
                pseudonym.as_bytes(),
                self.last.id.as_bytes(),
            ],
        )
    }
}

impl Hop {
    fn new(before: &[u8; 32], key: HolderKey, expiry_secs: u64, signature: [u8; 64]) -> Self {
        let id = ChainId::from_bytes(kdf::tagged_hash(
            CHAIN_TAG,
            &[
                before,
                key.as_bytes(),
                &expiry_secs.to_be_bytes(),
                &signature,
            ],
        ));
        Self {
            key,
            expiry_secs,
            signature,
            id,
        }
    }

    fn parse(before: &[u8; 32], hop: &wire::Hop) -> Result<Self, IntroductionError> {
        let key =
            HolderKey::try_from(hop.key.as_ref()).map_err(|_| IntroductionError::Malformed)?;
        let signature = <[u8; 64]>::try_from(hop.signature.as_ref())
            .map_err(|_| IntroductionError::Malformed)?;
        Ok(Self::new(before, key, hop.expiry, signature))
    }

    fn to_wire(&self) -> wire::Hop {
        wire::Hop {
            key: Bytes::copy_from_slice(self.key.as_bytes()),
            expiry: self.expiry_secs,
            signature: Bytes::copy_from_slice(&self.signature),
        }
    }
}

/// Why an introduction is not accepted or cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IntroductionError {
    /// Whoever registers does not hold the last key, or proved it on another connection.
    #[error("the introduction is not held by who registers with it: ask for one made for you")]
    BadProof,
    /// A hop is not signed by the one before.
    #[error("the introduction has a signature that does not verify: ask for a new one")]
    BadSignature,
    /// Its time is over.
    #[error("the introduction's time is over: ask for a new one")]
    Expired,
    /// A hop claims to last longer than the one before.
    #[error(
        "the introduction claims to last longer than the one that it extends: ask for a new one"
    )]
    LaterExpiry,
    /// Not the form of an introduction.
    #[error("the introduction is incomplete or altered: ask for a new one")]
    Malformed,
    /// The secret is not that of the last key.
    #[error("this introduction was made for somebody else's key: ask for one of your own")]
    NotHolder,
    /// It leads elsewhere.
    #[error(
        "the introduction is for another super node: use it there, or ask for one to this node"
    )]
    OtherNode,
    /// More than 90 days ahead.
    #[error(
        "the introduction claims to last longer than 90 days: check the clock, or ask its operator for a new one"
    )]
    TooFarAhead,
    /// Six hops are the most.
    #[error(
        "the introduction has {MAX_HOPS} hops already, and none can be added: ask somebody nearer to the operator"
    )]
    TooLong,
}

const CHAIN_TAG: &str = "ailurus/introduction-chain";

/// The hash of a chain that has no hop yet.
fn start(node: &NodeKey) -> [u8; 32] {
    kdf::tagged_hash(CHAIN_TAG, &[node.as_bytes()])
}

fn hop_statement(chain: &[u8; 32], next: &HolderKey, expiry_secs: u64) -> [u8; 32] {
    kdf::tagged_hash(
        "ailurus/introduction",
        &[chain, next.as_bytes(), &expiry_secs.to_be_bytes()],
    )
}
