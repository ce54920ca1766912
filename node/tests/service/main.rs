//! The service without a network: every reason to refuse, cursors, limits, expiry.

#[path = "../common/mod.rs"]
mod common;
mod database;
mod keeping;
mod leases;
mod limits;
mod publish;
mod random;
mod sync;

use ailurus::{
    channel::Epoch,
    crypto::Pseudonym,
    wire::{
        limits::{
            ADDRESS_EARLY, LIFETIME, MAX_AHEAD, MAX_INLINE, MAX_ITEMS, MAX_LEASES, MAX_SEALED,
        },
        node::{Reason, Request, request, response},
    },
};
use ailurus_node::{Limits, Session};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use common::*;

fn bench(limits: Limits) -> (tempfile::TempDir, Bench) {
    let dir = tempfile::tempdir().expect("a directory");
    let bench = Bench::open(dir.path(), limits);
    (dir, bench)
}

fn epoch() -> Epoch {
    Epoch::of(NOW)
}
