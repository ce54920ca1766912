//! Who may register at a node, who has to go, and what nodes and clients compare.

mod abuse;
mod clock;
#[path = "../common/mod.rs"]
mod common;
mod delegation;
mod digest;
mod eviction;
mod introduction;
mod people;
mod totals;
