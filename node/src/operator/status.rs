//! What an operator wants to know of a node.

use std::fs;

use ailurus::{
    channel::{HopCount, NodeLink},
    crypto::NodeKey,
    wire::{
        node::{Load, Reason},
        time::UnixMillis,
    },
};

use super::{Operator, OperatorError};
use crate::{
    check::disk_free,
    store::beside::{Beside, InvitationRow, Kept, PeerNode, Revocation, Subtree},
};

/// A node at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// Whether a daemon uses the directory now.
    pub running: bool,
    /// Who the node is, if it was ever started.
    pub key: Option<NodeKey>,
    /// Its link at its last start.
    pub link: Option<NodeLink>,
    /// How busy the daemon was within the last minute that it ran.
    pub load: Option<Load>,
    /// Clients by hop count, nearest first; hop counts that nobody has are left out.
    pub clients: Vec<(HopCount, u64)>,
    /// How much is kept.
    pub kept: Kept,
    /// Bytes of the database's files.
    pub database_bytes: u64,
    /// Bytes that the node's user may still write on the disk, if the system says.
    pub disk_free: Option<u64>,
    /// Other super nodes that serve the same addresses, those that answered last first.
    pub peers: Vec<PeerNode>,
    /// What was handed out and has not ended, the newest first.
    pub invitations: Vec<InvitationStatus>,
    /// Introductions below invitations through which most clients came.
    pub largest: Vec<Subtree>,
    /// What is turned away.
    pub revocations: Vec<Revocation>,
    /// Clients that lost their leases in the last four weeks and have not come back, by reason.
    pub endings: Vec<(Reason, u64)>,
}

/// An invitation and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationStatus {
    /// As it was minted.
    pub invitation: InvitationRow,
    /// Clients that are registered through it now.
    pub clients: u64,
    /// Whether it was revoked.
    pub revoked: bool,
}

impl Status {
    /// All clients.
    pub fn client_count(&self) -> u64 {
        self.clients.iter().map(|(_, count)| count).sum()
    }
}

impl Operator {
    /// Looks into the database without writing to it.
    ///
    /// # Errors
    /// If it cannot be read, or is of another version.
    pub fn status(&self, now: UnixMillis) -> Result<Status, OperatorError> {
        let files = self.files();
        let path = files.database();
        let database = Beside::read(&path)?;
        let revocations = database.revocations(now)?;
        let mut invitations = Vec::new();
        for invitation in database.invitations(now)? {
            invitations.push(InvitationStatus {
                clients: database.clients_in(&invitation.chain)?,
                revoked: revocations
                    .iter()
                    .any(|revoked| revoked.chain == invitation.chain),
                invitation,
            });
        }
        let mut wal = path.clone().into_os_string();
        wal.push("-wal");
        let length = |path: &std::path::Path| fs::metadata(path).map_or(0, |found| found.len());
        let link = files.link()?;
        Ok(Status {
            running: files.in_use(),
            key: link.as_ref().map(|link| *link.key()),
            link,
            load: database.load()?,
            clients: database.clients()?,
            kept: database.kept()?,
            database_bytes: length(&path).saturating_add(length(wal.as_ref())),
            disk_free: disk_free(&self.dir),
            peers: database.peers()?,
            invitations,
            largest: database.largest_subtrees(LARGEST)?,
            revocations,
            endings: database.endings(now)?,
        })
    }
}

/// Subtrees that are shown.
const LARGEST: usize = 5;
