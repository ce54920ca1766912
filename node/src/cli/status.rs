//! `ailurus-node status`: the node at a glance.

use std::fmt::Write as _;

use ailurus::wire::time::{Clock as _, UnixMillis};
use ailurus_node::{Operator, Status, SystemClock};
use serde_json::{Value, json};

use super::{
    exit::Failure,
    settings::Settings,
    text::{self, Style},
};

/// Prints it.
pub fn run(settings: &Settings, json: bool) -> Result<(), Failure> {
    let operator = Operator::open(settings.data()?)?;
    let now = SystemClock::with_offset_ms(settings.offset_ms()).now();
    let status = operator.status(now)?;
    if json {
        text::json(&record(&status))?;
    } else {
        text::print(&drawn(&status, now, Style::of_stdout()))?;
    }
    Ok(())
}

fn record(status: &Status) -> Value {
    let clients: Vec<Value> = status
        .clients
        .iter()
        .map(|(hops, count)| json!({ "hop_count": hops.to_wire(), "clients": count }))
        .collect();
    let invitations: Vec<Value> = status
        .invitations
        .iter()
        .map(|row| {
            json!({
                "label": row.invitation.label,
                "chain": row.invitation.chain.to_string(),
                "clients": row.clients,
                "quota": row.invitation.quota,
                "created": row.invitation.created.as_secs(),
                "expires": row.invitation.expiry.as_secs(),
                "revoked": row.revoked,
            })
        })
        .collect();
    let largest: Vec<Value> = status
        .largest
        .iter()
        .map(|subtree| {
            json!({
                "chain": subtree.chain.to_string(),
                "hop_count": subtree.hop_count.to_wire(),
                "clients": subtree.clients,
            })
        })
        .collect();
    let revocations: Vec<Value> = status
        .revocations
        .iter()
        .map(|row| {
            json!({
                "chain": row.chain.to_string(),
                "label": row.reason,
                "until": row.until.as_secs(),
            })
        })
        .collect();
    let peers: Vec<Value> = status
        .peers
        .iter()
        .map(|peer| {
            json!({
                "link": peer.link.as_ref().map(ToString::to_string),
                "reached": peer.reached.map(UnixMillis::as_secs),
                "addresses": peer.addresses,
            })
        })
        .collect();
    let endings: serde_json::Map<String, Value> = status
        .endings
        .iter()
        .map(|(reason, count)| (reason_name(*reason), json!(count)))
        .collect();
    json!({
        "running": status.running,
        "id": status.key.map(|key| key.to_string()),
        "link": status.link.as_ref().map(ToString::to_string),
        "load": status.load.filter(|_| status.running).map(|load| json!({
            "clients_permille": load.clients_permille,
            "storage_permille": load.storage_permille,
            "cpu_permille": load.cpu_permille,
            "latency_ms": load.latency_ms,
        })),
        "clients": status.client_count(),
        "clients_by_hop_count": clients,
        "peers": status.kept.peers,
        "peer_nodes": peers,
        "leases": status.kept.leases,
        "addresses": status.kept.addresses,
        "envelopes": status.kept.envelopes,
        "bytes": status.kept.bytes,
        "database_bytes": status.database_bytes,
        "disk_free_bytes": status.disk_free,
        "invitations": invitations,
        "largest_subtrees": largest,
        "revocations": revocations,
        "ended": endings,
    })
}

fn drawn(status: &Status, now: UnixMillis, style: Style) -> String {
    let mut out = String::new();
    let state = if status.running {
        style.green("● running")
    } else {
        style.dim("○ stopped")
    };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{} {state}", style.bold("Super node"));
    let link = status.link.as_ref();
    let link = link.map_or_else(
        || "none yet; start the node once".to_owned(),
        ToString::to_string,
    );
    out.push_str(&text::columns(&[["link".to_owned(), link]]));
    draw_load(&mut out, status, style);
    draw_clients(&mut out, status, style);
    draw_kept(&mut out, status, style);
    draw_peers(&mut out, status, now, style);
    draw_invitations(&mut out, status, now, style);
    if !status.largest.is_empty() {
        heading(
            &mut out,
            style,
            "Introductions with most clients below them",
        );
        let rows: Vec<_> = status
            .largest
            .iter()
            .map(|subtree| {
                [
                    short(&subtree.chain.to_string()),
                    format!("hop {}", subtree.hop_count),
                    text::count(subtree.clients, "client", "clients"),
                ]
            })
            .collect();
        out.push_str(&text::columns(&rows));
    }
    draw_ended(&mut out, status, now, style);
    out
}

fn draw_load(out: &mut String, status: &Status, style: Style) {
    let Some(load) = status.load.filter(|_| status.running) else {
        return;
    };
    heading(out, style, "Load, as clients are told");
    let share = |name: &str, permille: u32| {
        let bar = text::bar(permille.into(), 1_000, BAR / 2);
        let free = (BAR / 2) as usize - bar.chars().count();
        [
            name.to_owned(),
            format!("{}.{} %", permille / 10, permille % 10),
            format!("{bar}{}", style.dim(&"·".repeat(free))),
        ]
    };
    out.push_str(&text::columns(&[
        share("clients", load.clients_permille),
        share("storage", load.storage_permille),
        share("processor", load.cpu_permille),
        [
            "latency".to_owned(),
            format!("{} ms", load.latency_ms),
            String::new(),
        ],
    ]));
}

fn draw_clients(out: &mut String, status: &Status, style: Style) {
    heading(out, style, "Clients by hop count");
    let most = status.clients.iter().map(|(_, count)| *count).max();
    let mut rows: Vec<_> = status
        .clients
        .iter()
        .map(|(hops, count)| {
            [
                if hops.is_stranger() {
                    "∞".to_owned()
                } else {
                    hops.to_string()
                },
                count.to_string(),
                text::bar(*count, most.unwrap_or(0), BAR),
            ]
        })
        .collect();
    rows.push([
        "all".to_owned(),
        status.client_count().to_string(),
        String::new(),
    ]);
    out.push_str(&text::columns(&rows));
}

fn draw_kept(out: &mut String, status: &Status, style: Style) {
    heading(out, style, "Kept");
    let free = status
        .disk_free
        .map_or_else(|| "unknown".to_owned(), text::size);
    out.push_str(&text::columns(&[
        [
            "envelopes".to_owned(),
            format!(
                "{} ({})",
                status.kept.envelopes,
                text::size(status.kept.bytes)
            ),
        ],
        [
            "leases".to_owned(),
            format!(
                "{} on {}",
                status.kept.leases,
                text::count(status.kept.addresses, "address", "addresses")
            ),
        ],
        [
            "database".to_owned(),
            format!(
                "{}; {free} free on its disk",
                text::size(status.database_bytes)
            ),
        ],
    ]));
}

fn draw_peers(out: &mut String, status: &Status, now: UnixMillis, style: Style) {
    heading(out, style, "Other super nodes");
    let registered = text::count(status.kept.peers, "is", "are");
    let _ = writeln!(out, "  {registered} registered here");
    let rows: Vec<_> = status
        .peers
        .iter()
        .take(PEERS_DRAWN)
        .map(|peer| {
            let link = peer.link.as_ref();
            let place = link.map(|link| format!("{}:{}", link.host(), link.port()));
            [
                place.unwrap_or_default(),
                text::count(peer.addresses, "common address", "common addresses"),
                match peer.reached {
                    Some(reached) => format!("answered {} ago", text::span(now.since(reached))),
                    None => "never answered".to_owned(),
                },
            ]
        })
        .collect();
    out.push_str(&text::columns(&rows));
    if status.peers.len() > PEERS_DRAWN {
        out.push_str("  … more with --json\n");
    }
}

fn draw_invitations(out: &mut String, status: &Status, now: UnixMillis, style: Style) {
    heading(out, style, "Invitations");
    if status.invitations.is_empty() {
        out.push_str("  none; make one with ailurus-node invite\n");
        return;
    }
    let rows: Vec<_> = status
        .invitations
        .iter()
        .map(|row| {
            let quota = row.invitation.quota;
            [
                row.invitation.label.clone(),
                short(&row.invitation.chain.to_string()),
                format!(
                    "{} of {}",
                    row.clients,
                    text::count(quota, "client", "clients")
                ),
                format!("{} left", text::span(row.invitation.expiry.since(now))),
                if row.revoked {
                    "revoked".to_owned()
                } else {
                    text::bar(row.clients, quota, BAR / 2)
                },
            ]
        })
        .collect();
    out.push_str(&text::columns(&rows));
}

fn draw_ended(out: &mut String, status: &Status, now: UnixMillis, style: Style) {
    if !status.revocations.is_empty() {
        heading(out, style, "Revoked");
        let rows: Vec<_> = status
            .revocations
            .iter()
            .map(|row| {
                let left = format!("{} left", text::span(row.until.since(now)));
                [short(&row.chain.to_string()), row.reason.clone(), left]
            })
            .collect();
        out.push_str(&text::columns(&rows));
    }
    if !status.endings.is_empty() {
        heading(out, style, "Clients that were ended and have not come back");
        let rows: Vec<_> = status
            .endings
            .iter()
            .map(|(reason, count)| [reason_name(*reason), count.to_string()])
            .collect();
        out.push_str(&text::columns(&rows));
    }
}

fn heading(out: &mut String, style: Style, text: &str) {
    let _ = writeln!(out, "\n{}", style.bold(text));
}

/// As the metrics call it.
fn reason_name(reason: ailurus::wire::node::Reason) -> String {
    let name = reason.as_str_name();
    name.strip_prefix("REASON_")
        .unwrap_or(name)
        .to_ascii_lowercase()
}

/// Enough of a chain id to revoke it by.
fn short(chain: &str) -> String {
    chain.chars().take(12).collect()
}

/// Other nodes that are drawn.
const PEERS_DRAWN: usize = 10;
/// Cells of the longest bar.
const BAR: u64 = 40;
