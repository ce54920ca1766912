//! `ailurus key inspect`: what a link or redPanda string holds.

use std::collections::BTreeMap;

use ailurus::{
    channel::{
        Invitation, Link, LinkError, NodeLink,
        link::{redpanda_keys, reveal},
    },
    wire::{limits::MAX_LINK, time::UnixMillis},
};
use serde::Serialize;

use crate::{
    args::Inspect,
    exit::{CliError, Outcome},
    output::{self, printable},
};

use super::input;

/// Shows what the link holds.
pub fn run(inspect: &Inspect) -> Result<Outcome, CliError> {
    let text = input::or_stdin(&inspect.link, 2 * MAX_LINK)?;
    let record = match text.parse::<Link>() {
        Ok(link) => LinkRecord::of_channel(&link, inspect.reveal),
        Err(LinkError::NodeLink) => LinkRecord::of_node(&text.parse()?),
        Err(LinkError::Invitation) => LinkRecord::of_invitation(&text.parse()?, inspect.reveal),
        Err(error) => return Err(error.into()),
    };
    if inspect.json {
        output::json(&record)?;
    } else {
        for (name, value) in record.rows() {
            output::line(&format!("{name:<13} {}", printable(&value)))?;
        }
    }
    Ok(Outcome::Done)
}

#[derive(Default, Serialize)]
struct LinkRecord {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<String>,
    public_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    nodes: Vec<NodeRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_epoch: Option<u64>,
    /// When an invitation ends, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    /// The secrets, by their names in `content.proto`; a redPanda string has its one as `private_key`.
    #[serde(flatten)]
    secrets: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct NodeRecord {
    key: String,
    host: String,
    port: u16,
}

impl LinkRecord {
    fn of_channel(link: &Link, reveal: bool) -> Self {
        let redpanda = redpanda_keys(link);
        let (kind, public_key) = match &redpanda {
            Some((_, compressed)) => ("redpanda", hex::encode(compressed)),
            None => (
                "channel",
                hex::encode(link.access.write_public().as_bytes()),
            ),
        };
        let read = link.read.as_ref();
        Self {
            kind,
            access: Some(link.access.kind().to_string()),
            public_key,
            channel_id: Some(link.access.channel_id().to_string()),
            admin_key: Some(hex::encode(link.access.admin().as_bytes())),
            name: Some(link.name.clone()).filter(|name| !name.is_empty()),
            nodes: link.nodes.iter().map(NodeRecord::from).collect(),
            read_epoch: read.map(|read| read.epoch().number()),
            secrets: if reveal {
                secrets(link)
            } else {
                BTreeMap::new()
            },
            ..Self::default()
        }
    }

    fn of_invitation(invitation: &Invitation, revealed: bool) -> Self {
        let secret = ("secret", hex::encode(invitation.secret().expose()));
        Self {
            kind: "invitation",
            expires: Some(invitation.introduction().expiry().as_secs()),
            secrets: revealed.then_some(secret).into_iter().collect(),
            ..Self::of_node(invitation.link())
        }
    }

    fn of_node(link: &NodeLink) -> Self {
        Self {
            kind: "node",
            public_key: hex::encode(link.key().as_bytes()),
            nodes: vec![NodeRecord::from(link)],
            ..Self::default()
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let optional = |name, value: &Option<String>| value.clone().map(|value| (name, value));
        let mut rows = vec![("kind", self.kind.to_owned())];
        rows.extend(optional("access", &self.access));
        rows.push(("public key", self.public_key.clone()));
        rows.extend(optional("channel id", &self.channel_id));
        rows.extend(optional("admin key", &self.admin_key));
        rows.extend(optional("name", &self.name));
        rows.extend(
            self.nodes
                .iter()
                .map(|node| ("node", format!("{} {}:{}", node.key, node.host, node.port))),
        );
        rows.extend(
            self.read_epoch
                .map(|epoch| ("read epoch", epoch.to_string())),
        );
        let expires = self.expires.map(UnixMillis::from_secs);
        rows.extend(expires.map(|time| ("expires", output::utc(time))));
        rows.extend(
            self.secrets
                .iter()
                .map(|(name, value)| (*name, value.clone())),
        );
        rows
    }
}

fn secrets(link: &Link) -> BTreeMap<&'static str, String> {
    let name = |name| {
        if name == "redpanda" {
            "private_key"
        } else {
            name
        }
    };
    reveal(link)
        .into_iter()
        .map(|(field, value)| (name(field), value.to_string()))
        .collect()
}

impl From<&NodeLink> for NodeRecord {
    fn from(link: &NodeLink) -> Self {
        Self {
            key: hex::encode(link.key().as_bytes()),
            host: link.host().to_owned(),
            port: link.port(),
        }
    }
}
