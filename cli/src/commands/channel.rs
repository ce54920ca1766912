//! `ailurus channel`: make, join, share, list, leave and rotate channels.

use std::{fs, io::Write as _, path::Path};

use ailurus::{
    channel::{AccessKind, ChannelId, Link, qr, qr::QrCode},
    client::{ChannelSummary, Client, Member},
    crypto::PublicKey,
    wire::limits::MAX_LINK,
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    args::{Channel, Join, Share},
    exit::{CliError, Outcome},
    output::{self, Style, printable},
    profile::private,
};

use super::{
    input,
    message::{self, Delivery},
    reach,
};

/// Runs one of the channel commands.
pub async fn run(client: &Client, command: Channel) -> Result<Outcome, CliError> {
    match command {
        Channel::New { name } => new(client, &name).await,
        Channel::List { json } => list(client, json),
        Channel::Link(share) => {
            output::line(&share_link(client, &share)?)?;
            Ok(Outcome::Done)
        }
        Channel::Qr { share, out } => qr_code(client, &share, out.as_deref()),
        Channel::Join(wanted) => join(client, &wanted).await,
        Channel::Members { channel, json } => members(client, &channel, json),
        Channel::Rename { channel, name } => {
            client.rename(&client.find_channel(&channel)?, &name)?;
            Ok(Outcome::Done)
        }
        Channel::Mute { channel, off } => {
            client.mute(&client.find_channel(&channel)?, !off)?;
            Ok(Outcome::Done)
        }
        Channel::Leave { channel } => leave(client, &channel).await,
        Channel::Rotate { channel, without } => rotate(client, &channel, &without).await,
    }
}

async fn new(client: &Client, name: &str) -> Result<Outcome, CliError> {
    let id = client.create_channel(name)?;
    output::line(&id.to_string())?;
    reach::briefly(
        client,
        "the channel is registered at the next `ailurus sync`",
    )
    .await;
    Ok(Outcome::Done)
}

async fn join(client: &Client, join: &Join) -> Result<Outcome, CliError> {
    let link = match (&join.qr, &join.link) {
        (Some(png), _) => link_in_png(png)?,
        (None, link) => {
            input::or_stdin(link.as_deref().unwrap_or_default(), 2 * MAX_LINK)?.parse()?
        }
    };
    let id = client.join(&link, join.name.as_deref())?;
    output::line(&id.to_string())?;
    reach::briefly(client, "messages come at the next `ailurus sync`").await;
    Ok(Outcome::Done)
}

async fn leave(client: &Client, channel: &str) -> Result<Outcome, CliError> {
    let id = client.find_channel(channel)?;
    client.leave(&id)?;
    reach::briefly(
        client,
        "the channel is wiped here, and its lease at the nodes ends by itself",
    )
    .await;
    Ok(Outcome::Done)
}

async fn rotate(client: &Client, channel: &str, without: &[String]) -> Result<Outcome, CliError> {
    let id = client.find_channel(channel)?;
    let members = client.members(&id)?;
    let without = without
        .iter()
        .map(|wanted| find_member(&members, wanted))
        .collect::<Result<Vec<_>, _>>()?;
    let (rotated, notice) = client.rotate(&id, &without)?;
    output::line(&rotated.to_string())?;
    match message::delivered(client, &notice).await? {
        Delivery::AtNode(_) => Ok(Outcome::Done),
        Delivery::Queued(reason) => {
            output::note(&format!(
                "{reason}; the members learn of the rotation after the next `ailurus sync`"
            ));
            Ok(Outcome::Queued)
        }
    }
}

fn list(client: &Client, json: bool) -> Result<Outcome, CliError> {
    let style = Style::of_stdout();
    for channel in client.channels()? {
        if json {
            output::json(&ChannelRecord::from(&channel))?;
        } else {
            output::line(&channel_line(&channel, style))?;
        }
    }
    Ok(Outcome::Done)
}

fn members(client: &Client, channel: &str, json: bool) -> Result<Outcome, CliError> {
    let style = Style::of_stdout();
    for member in client.members(&client.find_channel(channel)?)? {
        if json {
            output::json(&MemberRecord::from(&member))?;
        } else {
            output::line(&member_line(&member, style))?;
        }
    }
    Ok(Outcome::Done)
}

fn qr_code(client: &Client, share: &Share, out: Option<&Path>) -> Result<Outcome, CliError> {
    let code = QrCode::encode(&share_link(client, share)?)?;
    match out {
        Some(path) => write_private(path, &code.to_png(MODULE_PIXELS)?)?,
        None => output::line(
            output::qr_text(&code.to_terminal(), Style::of_stdout()).trim_end_matches('\n'),
        )?,
    }
    Ok(Outcome::Done)
}

fn share_link(client: &Client, share: &Share) -> Result<Zeroizing<String>, CliError> {
    let id = client.find_channel(&share.channel)?;
    let access = match share.access {
        Some(access) => access.into(),
        None => own_access(client, &id)?,
    };
    Ok(client.link(&id, access, !share.no_history)?)
}

fn own_access(client: &Client, id: &ChannelId) -> Result<AccessKind, CliError> {
    let channels = client.channels()?;
    Ok(channels
        .iter()
        .find(|channel| channel.id == *id)
        .map_or(AccessKind::Full, |channel| channel.access))
}

/// The one channel link that a picture shows; other codes in it do not disturb.
pub fn link_in_png(path: &Path) -> Result<Link, CliError> {
    let png = fs::read(path).map_err(CliError::file(path))?;
    let texts: Vec<_> = qr::read_png(&png)?
        .into_iter()
        .map(Zeroizing::new)
        .collect();
    let mut parsed: Vec<_> = texts.iter().map(|text| text.parse::<Link>()).collect();
    let links = parsed.iter().filter(|link| link.is_ok()).count();
    if links > 1 {
        return Err(CliError::QrAmbiguous(path.to_owned()));
    }
    let wanted = parsed.iter().position(Result::is_ok).unwrap_or(0);
    if parsed.is_empty() {
        return Err(qr::QrError::NothingFound.into());
    }
    Ok(parsed.swap_remove(wanted)?)
}

/// Pixels of a module in a PNG file: a link of full length gives about 750 pixels a side.
const MODULE_PIXELS: u32 = 8;

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    private(&mut options);
    let mut file = options.open(path).map_err(CliError::file(path))?;
    file.write_all(bytes).map_err(CliError::file(path))
}

/// A member by name, or by the first digits of the key.
fn find_member(members: &[Member], wanted: &str) -> Result<PublicKey, CliError> {
    let digits = wanted.to_ascii_lowercase();
    let fitting: Vec<_> = members
        .iter()
        .filter(|member| {
            let key = hex::encode(member.author.as_bytes());
            member.name == wanted || (digits.len() >= MIN_DIGITS && key.starts_with(&digits))
        })
        .collect();
    match fitting.as_slice() {
        [] => Err(CliError::MemberUnknown(wanted.to_owned())),
        [member] => Ok(member.author),
        several => Err(CliError::MemberAmbiguous(wanted.to_owned(), several.len())),
    }
}

/// Fewer digits of a key would rather be a mistyped name.
const MIN_DIGITS: usize = 4;

#[derive(Serialize)]
struct ChannelRecord<'a> {
    id: String,
    name: &'a str,
    access: String,
    admin: bool,
    redpanda: bool,
    moved: bool,
    muted: bool,
    unread: u64,
    members: usize,
}

impl<'a> From<&'a ChannelSummary> for ChannelRecord<'a> {
    fn from(channel: &'a ChannelSummary) -> Self {
        Self {
            id: channel.id.to_string(),
            name: &channel.name,
            access: channel.access.to_string(),
            admin: channel.admin,
            redpanda: channel.redpanda,
            moved: channel.moved,
            muted: channel.muted,
            unread: channel.unread,
            members: channel.members,
        }
    }
}

#[derive(Serialize)]
struct MemberRecord<'a> {
    author: String,
    name: &'a str,
    own: bool,
    write_only: bool,
    name_taken: bool,
    removed: bool,
    forked: bool,
    missing: u64,
    safety_number: &'a str,
}

impl<'a> From<&'a Member> for MemberRecord<'a> {
    fn from(member: &'a Member) -> Self {
        Self {
            author: hex::encode(member.author.as_bytes()),
            name: &member.name,
            own: member.own,
            write_only: member.write_only,
            name_taken: member.name_taken,
            removed: member.removed,
            forked: member.forked,
            missing: member.missing,
            safety_number: &member.safety_number,
        }
    }
}

fn channel_line(channel: &ChannelSummary, style: Style) -> String {
    let mut remarks = vec![format!("{} access", channel.access)];
    if channel.admin {
        remarks.push("admin".to_owned());
    }
    if channel.unread > 0 {
        remarks.push(format!("{} unread", channel.unread));
    }
    remarks.push(format!("{} members", channel.members));
    for (holds, remark) in [
        (channel.muted, "muted"),
        (channel.moved, "moved without you: ask for a new link"),
        (channel.redpanda, "redPanda, no forward secrecy"),
    ] {
        if holds {
            remarks.push(remark.to_owned());
        }
    }
    let id = output::short_hex(channel.id.as_bytes());
    format!(
        "{} {} ({})",
        style.dim(&id),
        style.bold(&printable(&channel.name)),
        remarks.join(", ")
    )
}

/// A member on one line, which `chat` shows too.
pub fn member_line(member: &Member, style: Style) -> String {
    let mut remarks = Vec::new();
    for (holds, remark) in [
        (member.own, "you"),
        (member.write_only, "write-only"),
        (member.removed, "removed"),
        (
            member.name_taken,
            "another key used this name before: compare safety numbers",
        ),
        (
            member.forked,
            "sent two messages in one place: compare safety numbers",
        ),
    ] {
        if holds {
            remarks.push(remark.to_owned());
        }
    }
    if member.missing > 0 {
        remarks.push(format!("{} messages missing", member.missing));
    }
    let remarks = if remarks.is_empty() {
        String::new()
    } else {
        format!(" ({})", remarks.join(", "))
    };
    let name = if member.name.is_empty() {
        "(not introduced)".to_owned()
    } else {
        printable(&member.name)
    };
    let safety = if member.own {
        String::new()
    } else {
        format!("  safety number {}", member.safety_number)
    };
    format!(
        "{} {}{remarks}{safety}",
        style.dim(&output::short_hex(member.author.as_bytes())),
        style.bold(&name)
    )
}
