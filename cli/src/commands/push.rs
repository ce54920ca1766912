//! `ailurus push`: super nodes that wake this profile.

use ailurus::{
    client::{Client, PushState, PushStatus, PushTarget},
    crypto::NodeKey,
};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Serialize;

use crate::{
    args::{Push, PushSet},
    exit::{CliError, Outcome},
    output,
};

use super::{node::find, reach};

/// Runs one of the push commands.
pub async fn run(client: &Client, command: &Push) -> Result<Outcome, CliError> {
    match command {
        Push::Key { id } => {
            let node = find(&client.nodes()?, id)?;
            match client.push_key(&node).await? {
                Some(key) => output::line(&Base64UrlUnpadded::encode_string(key.as_bytes()))?,
                None => output::note("this super node does not push to endpoints"),
            }
        }
        Push::Set(set) => {
            let node = find(&client.nodes()?, &set.id)?;
            client.set_push(&node, &target(set)?)?;
            reach::briefly(client, "the node is told at the next `ailurus sync`").await;
        }
        Push::Clear { id } => {
            client.clear_push(&find(&client.nodes()?, id)?)?;
            reach::briefly(client, "the node is told at the next `ailurus sync`").await;
        }
        Push::Status { json } => status(client, *json)?,
        Push::Receive { payload } => {
            let report = client.on_push(&decode(payload, "the payload")?).await?;
            output::notices(&report.notices);
            output::note(&format!("{} new message(s)", report.messages.len()));
        }
    }
    Ok(Outcome::Done)
}

fn target(set: &PushSet) -> Result<PushTarget, CliError> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Ok(match &set.endpoint {
        Some(endpoint) => PushTarget::WebPush {
            endpoint: endpoint.clone(),
            p256dh: decode(&text(&set.p256dh), "--p256dh")?,
            auth: decode(&text(&set.auth), "--auth")?,
        },
        None => PushTarget::Gateway {
            platform: text(&set.platform),
            token: text(&set.token),
        },
    })
}

fn decode(text: &str, what: &'static str) -> Result<Vec<u8>, CliError> {
    let bare = text.trim().trim_end_matches('=');
    Base64UrlUnpadded::decode_vec(bare).map_err(|_| CliError::Base64(what))
}

fn status(client: &Client, json: bool) -> Result<(), CliError> {
    for node in client.nodes()? {
        let status = client.push_status(&node.id)?;
        if json {
            output::json(&Record::new(&node.id, &status))?;
        } else {
            let id = output::short_hex(node.id.as_bytes());
            output::line(&format!("{id}  {}", sentence(status.state)))?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Record {
    node: String,
    state: &'static str,
    /// Null unless the state is "dropped".
    trouble: Option<String>,
    /// Null before the node was asked, and if it does not push to endpoints.
    key: Option<String>,
    gateway: bool,
}

impl Record {
    fn new(node: &NodeKey, status: &PushStatus) -> Self {
        let key = status.key.as_ref();
        Self {
            node: hex::encode(node.as_bytes()),
            state: match status.state {
                PushState::Off => "off",
                PushState::Waiting => "waiting",
                PushState::Challenged => "challenged",
                PushState::Confirmed => "confirmed",
                PushState::Withdrawing => "withdrawing",
                PushState::Dropped(_) => "dropped",
            },
            trouble: match status.state {
                PushState::Dropped(trouble) => Some(trouble.to_string()),
                _ => None,
            },
            key: key.map(|key| Base64UrlUnpadded::encode_string(key.as_bytes())),
            gateway: status.gateway,
        }
    }
}

fn sentence(state: PushState) -> String {
    match state {
        PushState::Off => "does not wake this profile".to_owned(),
        PushState::Waiting => "is told at the next contact".to_owned(),
        PushState::Challenged => "waits for its challenge to come back".to_owned(),
        PushState::Confirmed => "wakes this profile".to_owned(),
        PushState::Withdrawing => "is told at the next contact that it is over".to_owned(),
        PushState::Dropped(trouble) => format!("wakes it no more: {trouble}"),
    }
}
