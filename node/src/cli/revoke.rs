//! `ailurus-node revoke`: turns away what came through an introduction.

use std::time::Duration;

use ailurus::wire::time::Clock as _;
use ailurus_node::{Operator, SystemClock};
use serde::Serialize;

use super::{exit::Failure, settings::Settings, text};

#[derive(clap::Args)]
pub struct Revoke {
    /// Label of an invitation, or the first digits of a chain id, at least six
    #[arg(value_name = "CHAIN-ID-OR-LABEL")]
    named: String,
    /// For how long; as long as such an introduction can last unless given
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=90))]
    days: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Record {
    chain: String,
    label: Option<String>,
    clients: u64,
    until: u64,
}

/// Revokes, and says how many clients that ends.
pub fn run(settings: &Settings, revoke: &Revoke) -> Result<(), Failure> {
    let operator = Operator::open(settings.data()?)?;
    let now = SystemClock::with_offset_ms(settings.offset_ms()).now();
    let until = revoke
        .days
        .map(|days| now.after(Duration::from_secs(u64::from(days) * 24 * 3_600)));
    let revoked = operator.revoke(&revoke.named, until, now)?;
    if revoke.json {
        text::json(&Record {
            chain: revoked.chain.to_string(),
            label: revoked.label,
            clients: revoked.clients,
            until: revoked.until.as_secs(),
        })?;
        return Ok(());
    }
    let name = match &revoked.label {
        Some(label) => format!("{label:?}"),
        None => revoked.chain.to_string().chars().take(16).collect(),
    };
    text::print(&format!(
        "revoked {name} for {}: {} ended within a minute\n",
        text::span(revoked.until.since(now)),
        match revoked.clients {
            0 => "no client is".to_owned(),
            1 => "1 client is".to_owned(),
            many => format!("{many} clients are"),
        },
    ))?;
    Ok(())
}
