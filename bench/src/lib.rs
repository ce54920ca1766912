//! What the programs of this crate share: processes, clients of the wire, rows and reports, and chance from a seed.

#![expect(
    missing_docs,
    reason = "programs of this crate are its only users; what needs words has them"
)]

pub mod harness;
pub mod random;
