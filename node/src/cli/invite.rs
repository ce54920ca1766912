//! `ailurus-node invite`: a text or QR code for one person.

use ailurus::{channel::qr::QrCode, wire::time::Clock as _};
use ailurus_node::{Operator, SystemClock, Terms};
use serde::Serialize;

use super::{
    exit::Failure,
    settings::Settings,
    text::{self, Style},
};

#[derive(clap::Args)]
pub struct Invite {
    /// What to call it in `status`; the first digits of its chain id unless given
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    /// Clients that may be registered through it at once, with those whom its holder introduces
    #[arg(long, value_name = "N", default_value_t = 100)]
    clients: u64,
    /// How long it lasts, at most 90 days
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=90))]
    days: u32,
    /// Draw it as a QR code instead
    #[arg(long, conflicts_with = "json")]
    qr: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Record<'a> {
    invitation: &'a str,
    label: &'a str,
    chain: String,
    clients: u64,
    expires: u64,
    link: String,
}

/// Mints an invitation and prints it.
pub fn run(settings: &Settings, invite: Invite) -> Result<(), Failure> {
    let operator = Operator::open(settings.data()?)?;
    let now = SystemClock::with_offset_ms(settings.offset_ms()).now();
    let terms = Terms {
        label: invite.label,
        clients: invite.clients,
        days: invite.days,
    };
    let (invitation, row) = operator.invite(&terms, now)?;
    let words = invitation.to_text();
    if invite.json {
        text::json(&Record {
            invitation: &words,
            label: &row.label,
            chain: row.chain.to_string(),
            clients: row.quota,
            expires: row.expiry.as_secs(),
            link: invitation.link().to_string(),
        })?;
        return Ok(());
    }
    if invite.qr {
        let drawn = QrCode::encode(&words).map_err(|error| Failure::failed(error.to_string()))?;
        text::print(&Style::of_stdout().drawing(&drawn.to_terminal()))?;
    } else {
        text::print(&format!("{}\n", &*words))?;
    }
    text::note(&format!(
        "{:?} lasts {} and brings up to {}; give it to one person, privately: it is not kept here",
        row.label,
        text::span(row.expiry.since(now)),
        text::count(row.quota, "client", "clients"),
    ));
    Ok(())
}
