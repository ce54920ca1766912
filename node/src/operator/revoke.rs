//! Turning away what came through an introduction.

use ailurus::{
    channel::ChainId,
    wire::{limits::INTRODUCTION_LIFETIME, time::UnixMillis},
};

use super::{Operator, OperatorError};
use crate::store::beside::{Beside, Revocation};

/// What a revocation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The subtree.
    pub chain: ChainId,
    /// The invitation's label, if it is one.
    pub label: Option<String>,
    /// Clients that are registered through it now and are ended within a minute while the daemon runs, else when it
    /// starts.
    pub clients: u64,
    /// Until when nobody may come back with it.
    pub until: UnixMillis,
}

impl Operator {
    /// Revokes a subtree of introductions: everybody who came with the introduction `named`, or one that extends it. It
    /// is named by an invitation's label, or the first digits of its chain id. Without `until` for as long as such an
    /// introduction can last.
    ///
    /// # Errors
    /// If nothing or several things have this name, or the database cannot be written.
    pub fn revoke(
        &self,
        named: &str,
        until: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<Revoked, OperatorError> {
        let mut database = Beside::write(&self.files().database())?;
        let invitations = database.invitations(now)?;
        let labelled = invitations.iter().find(|row| row.label == named);
        let chain = match labelled {
            Some(row) => row.chain,
            None => find(&database, named)?,
        };
        let invitation = invitations.into_iter().find(|row| row.chain == chain);
        // Whatever extends it ends no later.
        let over = invitation
            .as_ref()
            .map_or_else(|| now.after(INTRODUCTION_LIFETIME), |row| row.expiry);
        let label = invitation.map(|row| row.label);
        let until = until.unwrap_or(over);
        database.revoke(&Revocation {
            chain,
            until,
            reason: label.clone().unwrap_or_default(),
        })?;
        Ok(Revoked {
            clients: database.clients_in(&chain)?,
            chain,
            label,
            until,
        })
    }
}

/// A known chain id by its first digits, or an unknown one in full.
fn find(database: &Beside, named: &str) -> Result<ChainId, OperatorError> {
    let unknown = || OperatorError::UnknownChain(named.to_owned());
    let digits = named.to_ascii_lowercase();
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hexadecimal || !(FEWEST_DIGITS..=64).contains(&digits.len()) {
        return Err(unknown());
    }
    let prefix: Vec<u8> = digits
        .as_bytes()
        .chunks_exact(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    if let Ok(whole) = <[u8; 32]>::try_from(prefix.as_slice()) {
        return Ok(ChainId::from_bytes(whole));
    }
    let mut found = database.subtrees_from(&prefix)?;
    // Half a byte is left over if the number of digits is odd.
    found.retain(|chain| chain.to_string().starts_with(&digits));
    match found.as_slice() {
        [chain] => Ok(*chain),
        [] => Err(unknown()),
        several => Err(OperatorError::AmbiguousChain(
            named.to_owned(),
            several.len(),
        )),
    }
}

/// Fewer would hit by chance.
const FEWEST_DIGITS: usize = 6;
