//! Delegations: a member's word that one super node may register an address at others.

use crate::crypto::{NodeKey, kdf};

use super::address::Address;

/// What the access key signs to let `node` register `address` at other nodes until `until_secs` (Unix seconds).
///
/// The node that registers puts the signature into `Lease.delegation`, with `until_secs` as the lease's end. The other
/// one checks it for the pseudonym of the connection, as nodes dial with their node key.
pub fn delegation_statement(node: &NodeKey, address: &Address, until_secs: u64) -> [u8; 32] {
    kdf::tagged_hash(
        "ailurus/delegation",
        &[
            node.as_bytes(),
            address.as_bytes(),
            &until_secs.to_be_bytes(),
        ],
    )
}
