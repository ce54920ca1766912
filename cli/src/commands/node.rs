//! `ailurus nodes` and `ailurus node`: the super nodes of a profile.

use ailurus::{
    channel::{Invitation, NodeLink},
    client::{Client, NodeLoad, NodeState, NodeStatus},
    crypto::NodeKey,
    wire::limits::MAX_LINK,
};
use serde::Serialize;

use crate::{
    args::{Node, Nodes},
    exit::{CliError, Outcome},
    output::{self, Style, printable, short_hex},
};

use super::{input, reach};

/// Runs one of the node commands.
pub async fn run(client: &Client, command: &Node) -> Result<Outcome, CliError> {
    match command {
        Node::Add { link } => add(client, link)?,
        Node::Remove { id } => client.remove_node(&find(&client.nodes()?, id)?)?,
        Node::List => {
            for node in client.nodes()? {
                output::line(&node.link.to_string())?;
            }
        }
        Node::Introduce { channel } => {
            client.introduce(&client.find_channel(channel)?)?;
            reach::briefly(client, "members are told at the next `ailurus sync`").await;
        }
    }
    Ok(Outcome::Done)
}

/// Lists the nodes, the one that is polled first.
pub fn list(client: &Client, nodes: &Nodes) -> Result<Outcome, CliError> {
    let found = client.nodes()?;
    if nodes.json {
        for node in &found {
            output::json(&NodeRecord::from(node))?;
        }
        return Ok(Outcome::Done);
    }
    if found.is_empty() {
        output::note("there are no super nodes; add one with `ailurus node add`");
    }
    for line in table(&found, nodes.why, Style::of_stdout()) {
        output::line(&line)?;
    }
    Ok(Outcome::Done)
}

fn add(client: &Client, link: &str) -> Result<(), CliError> {
    let text = input::or_stdin(link, 2 * MAX_LINK)?;
    if text.trim_start().starts_with("ai") {
        client.add_invitation(&text.trim().parse::<Invitation>()?)?;
    } else {
        client.add_node(&text.trim().parse::<NodeLink>()?)?;
    }
    Ok(())
}

/// The one node whose id begins so.
pub(super) fn find(nodes: &[NodeStatus], id: &str) -> Result<NodeKey, CliError> {
    let digits = id.to_ascii_lowercase();
    let mut fits = nodes
        .iter()
        .map(|node| node.id)
        .filter(|key| !digits.is_empty() && hex::encode(key.as_bytes()).starts_with(&digits));
    let unknown = || CliError::NodeUnknown(id.to_owned());
    let first = fits.next().ok_or_else(unknown)?;
    match fits.count() {
        0 => Ok(first),
        more => Err(CliError::NodeAmbiguous(id.to_owned(), more + 1)),
    }
}

#[derive(Serialize)]
struct NodeRecord {
    link: String,
    id: String,
    state: &'static str,
    /// Null: a stranger.
    hop_count: Option<u32>,
    /// Null before the node was heard.
    load: Option<LoadRecord>,
    rtt_ms: Option<u64>,
    reason: String,
}

#[derive(Serialize)]
struct LoadRecord {
    clients: u32,
    clients_permille: u16,
    storage_permille: u16,
    cpu_permille: u16,
    latency_ms: u64,
}

impl From<&NodeStatus> for NodeRecord {
    fn from(node: &NodeStatus) -> Self {
        Self {
            link: node.link.to_string(),
            id: hex::encode(node.id.as_bytes()),
            state: state_name(node.state),
            hop_count: node.hop_count.to_wire(),
            load: node.load.as_ref().map(LoadRecord::from),
            rtt_ms: node.rtt.map(millis),
            reason: node.reason.clone(),
        }
    }
}

impl From<&NodeLoad> for LoadRecord {
    fn from(load: &NodeLoad) -> Self {
        Self {
            clients: load.clients,
            clients_permille: load.clients_permille,
            storage_permille: load.storage_permille,
            cpu_permille: load.cpu_permille,
            latency_ms: millis(load.latency),
        }
    }
}

/// A line a node in columns of equal width, each followed by the reason if that is wanted.
fn table(nodes: &[NodeStatus], why: bool, style: Style) -> Vec<String> {
    let rows: Vec<[String; 6]> = nodes.iter().map(cells).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut lines = Vec::new();
    for (node, row) in nodes.iter().zip(&rows) {
        let mut line = mark(node.state, style);
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!(" {cell:<width$} "));
        }
        lines.push(line.trim_end().to_owned());
        if why {
            lines.push(style.dim(&format!("    {}", printable(&node.reason))));
        }
    }
    lines
}

fn cells(node: &NodeStatus) -> [String; 6] {
    let load = node.load.as_ref().map(NodeLoad::permille);
    let host = match node.link.host() {
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    [
        state_name(node.state).to_owned(),
        short_hex(node.id.as_bytes()),
        printable(&format!("{host}:{}", node.link.port())),
        match node.hop_count.to_wire() {
            Some(1) => "1 hop".to_owned(),
            Some(hops) => format!("{hops} hops"),
            None => "stranger".to_owned(),
        },
        load.map_or_else(String::new, |permille| format!("{} % busy", permille / 10)),
        node.rtt
            .map_or_else(String::new, |rtt| format!("{} ms", millis(rtt))),
    ]
}

fn mark(state: NodeState, style: Style) -> String {
    match state {
        NodeState::Active => style.green("●"),
        NodeState::Standby => style.green("○"),
        NodeState::Down => style.bold("✗"),
        NodeState::Refused => style.bold("⊘"),
    }
}

fn state_name(state: NodeState) -> &'static str {
    match state {
        NodeState::Active => "active",
        NodeState::Standby => "standby",
        NodeState::Down => "down",
        NodeState::Refused => "refused",
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
