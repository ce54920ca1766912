//! Invitations: introductions with hop count 1.

use std::time::Duration;

use ailurus::{
    channel::Invitation,
    crypto::OsEntropy,
    wire::{limits::INTRODUCTION_LIFETIME, time::UnixMillis},
};

use super::{MAX_DAYS, MAX_LABEL, Operator, OperatorError};
use crate::store::beside::{Beside, InvitationRow};

/// What an invitation is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What to call it; the first digits of its chain id if `None`.
    pub label: Option<String>,
    /// Clients that may register through it at once, its holder among them.
    pub clients: u64,
    /// How long it lasts, 1 to 90.
    pub days: u32,
}

impl Operator {
    /// Mints an invitation with the node's key and notes label and quota, which the daemon reads when somebody comes
    /// with it. The invitation itself is kept nowhere.
    ///
    /// # Errors
    /// If the terms make no sense, an invitation has this label already, the node was never started, or the database
    /// cannot be written.
    pub fn invite(
        &self,
        terms: &Terms,
        now: UnixMillis,
    ) -> Result<(Invitation, InvitationRow), OperatorError> {
        if !(1..=MAX_DAYS).contains(&terms.days) {
            return Err(OperatorError::BadDays);
        }
        if terms.clients == 0 {
            return Err(OperatorError::NoClients);
        }
        let files = self.files();
        let key = files
            .key()?
            .ok_or_else(|| OperatorError::NoKey(self.dir.clone()))?;
        let link = files
            .link()?
            .filter(|link| *link.key() == key.public())
            .ok_or_else(|| OperatorError::NoLink(self.dir.clone()))?;
        // Clocks of nodes and clients differ a little, and 90 days is the most that anybody accepts.
        let lifetime = Duration::from_secs(u64::from(terms.days) * DAY_S);
        let expiry = now.after(lifetime.min(INTRODUCTION_LIFETIME));
        let invitation = Invitation::mint(&key, &link, expiry.as_secs(), &mut OsEntropy);
        let chain = *invitation.introduction().id();
        let label = match &terms.label {
            Some(label) => label.clone(),
            None => short(&chain.to_string()),
        };
        let mut database = Beside::write(&files.database())?;
        check_label(&label, &database.invitations(now)?)?;
        let row = InvitationRow {
            chain,
            label,
            quota: terms.clients,
            expiry: invitation.introduction().expiry(),
            created: now,
        };
        database.add_invitation(&row, now)?;
        Ok((invitation, row))
    }
}

fn check_label(label: &str, others: &[InvitationRow]) -> Result<(), OperatorError> {
    let length = label.chars().count();
    if !(1..=MAX_LABEL).contains(&length) || label.chars().any(char::is_control) {
        return Err(OperatorError::BadLabel);
    }
    if others.iter().any(|other| other.label == label) {
        return Err(OperatorError::LabelTaken(label.to_owned()));
    }
    Ok(())
}

fn short(chain: &str) -> String {
    chain.chars().take(8).collect()
}

const DAY_S: u64 = 24 * 3_600;
