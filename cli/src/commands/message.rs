//! `ailurus send`, `sync`, `read` and `message delete`.

use std::{
    io::{self, BufWriter, Write as _},
    time::Duration,
};

use ailurus::{
    channel::{ChannelId, MessageId},
    client::{Client, Error, Event, Message, Page, PollReport},
    wire::limits::MAX_TEXT,
};
use serde::Serialize;

use crate::{
    args::{Read, Send},
    exit::{CliError, Outcome},
    output::{self, MessageRecord, Style},
    terminal,
};

use super::{
    follow::{Update, Watch},
    input,
};

/// How long a command waits for a node to acknowledge.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Sends a message.
pub async fn send(client: &Client, send: &Send) -> Result<Outcome, CliError> {
    let channel = client.find_channel(&send.channel)?;
    let text = input::or_stdin(&send.text, MAX_TEXT)?;
    let queued = client.send(&channel, &text)?;
    if send.queue {
        output::line(&queued.to_string())?;
        return Ok(Outcome::Done);
    }
    match delivered(client, &queued).await? {
        Delivery::AtNode(id) => {
            output::line(&id.to_string())?;
            Ok(Outcome::Done)
        }
        Delivery::Queued(reason) => {
            output::line(&queued.to_string())?;
            output::note(&format!(
                "{reason}; the message stays queued: run `ailurus sync` to try again"
            ));
            Ok(Outcome::Queued)
        }
    }
}

/// How far something in the outbox got while a command waited.
pub enum Delivery {
    /// A node has it, under its final id.
    AtNode(MessageId),
    /// It waits on, for this reason.
    Queued(String),
}

/// Waits until a node has what is queued, as long as a command may take.
pub async fn delivered(client: &Client, queued: &MessageId) -> Result<Delivery, CliError> {
    let mut events = client.events();
    let delivered = client.wait_delivered(queued, PATIENCE).await;
    let mut notices = Vec::new();
    while let Some(event) = events.try_recv() {
        if let Event::Noticed(notice) = event
            && !notices.contains(&notice)
        {
            notices.push(notice);
        }
    }
    output::notices(&notices);
    match delivered {
        Ok(Some(id)) => Ok(Delivery::AtNode(id)),
        Ok(None) => Ok(Delivery::Queued(format!(
            "no super node acknowledged within {} s",
            PATIENCE.as_secs()
        ))),
        Err(error @ (Error::Net(_) | Error::NoNode | Error::Refused(_) | Error::Protocol(_))) => {
            Ok(Delivery::Queued(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Polls once and prints what came.
pub async fn sync(client: &Client, json: bool) -> Result<Outcome, CliError> {
    let report = client.poll().await?;
    if json {
        output::json(&SyncRecord::from(&report))?;
    } else {
        print_report(client, &report)?;
    }
    if report.nodes_reached == 0 {
        return Err(CliError::Offline);
    }
    Ok(Outcome::Done)
}

/// Prints the messages of a channel, and goes on doing so if asked.
pub async fn read(client: &Client, read: &Read) -> Result<Outcome, CliError> {
    let channel = client.find_channel(&read.channel)?;
    let printer = Printer {
        json: read.json,
        style: Style::of_stdout(),
    };
    if !read.follow {
        printer.print(&history(client, &channel)?)?;
        client.mark_read(&channel)?;
        return Ok(Outcome::Done);
    }
    // Watching begins before the store is read, so that nothing falls between.
    let mut watch = Watch::start(client, channel);
    let messages = history(client, &channel)?;
    watch.mark_seen(messages.iter().map(|message| message.id));
    printer.print(&messages)?;
    client.mark_read(&channel)?;
    let interrupted = terminal::interrupted();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            () = &mut interrupted => return Ok(Outcome::Done),
            update = watch.next() => match update? {
                Update::Message(message) => {
                    printer.print(std::slice::from_ref(&message))?;
                    client.mark_read(watch.channel())?;
                }
                Update::Notice(notice) => output::note(&notice.to_string()),
                Update::State { .. } => {}
            },
        }
    }
}

/// Deletes a message here.
pub fn delete(client: &Client, id: &str) -> Result<Outcome, CliError> {
    client.delete_message(&client.find_message(id)?)?;
    Ok(Outcome::Done)
}

/// Everything that the store has of a channel, oldest first.
fn history(client: &Client, channel: &ChannelId) -> Result<Vec<Message>, CliError> {
    let mut pages = vec![client.messages(channel, Page::Latest, PAGE)?];
    while let Some(oldest) = pages.last().and_then(|page| page.first()) {
        let before = client.messages(channel, Page::Before(oldest), PAGE)?;
        pages.push(before);
    }
    Ok(pages.into_iter().rev().flatten().collect())
}

/// Messages that are read from the store at once.
const PAGE: usize = 500;

struct Printer {
    json: bool,
    style: Style,
}

impl Printer {
    fn print(&self, messages: &[Message]) -> Result<(), CliError> {
        let mut out = BufWriter::new(io::stdout().lock());
        for message in messages {
            if self.json {
                serde_json::to_writer(&mut out, &MessageRecord::from(message))
                    .map_err(io::Error::from)?;
                writeln!(out)?;
            } else {
                writeln!(out, "{}", output::message_line(message, self.style))?;
            }
        }
        Ok(out.flush()?)
    }
}

#[derive(Serialize)]
struct SyncRecord<'a> {
    messages: Vec<MessageRecord<'a>>,
    expired: Vec<MessageRecord<'a>>,
    bytes_sent: u64,
    bytes_received: u64,
    nodes_reached: usize,
    notices: Vec<String>,
}

impl<'a> From<&'a PollReport> for SyncRecord<'a> {
    fn from(report: &'a PollReport) -> Self {
        Self {
            messages: report.messages.iter().map(MessageRecord::from).collect(),
            expired: report.expired.iter().map(MessageRecord::from).collect(),
            bytes_sent: report.bytes_sent,
            bytes_received: report.bytes_received,
            nodes_reached: report.nodes_reached,
            notices: report.notices.iter().map(ToString::to_string).collect(),
        }
    }
}

fn print_report(client: &Client, report: &PollReport) -> Result<(), CliError> {
    let style = Style::of_stdout();
    let channels = client.channels()?;
    for message in report.messages.iter().chain(&report.expired) {
        let channel = channels
            .iter()
            .find(|channel| channel.id == message.channel);
        let name = channel.map_or("?", |channel| channel.name.as_str());
        output::line(&format!(
            "{} {}",
            style.green(&format!("[{}]", output::printable(name))),
            output::message_line(message, style)
        ))?;
    }
    output::notices(&report.notices);
    output::line(&format!(
        "{} new messages, {} expired; {} bytes sent, {} received",
        report.messages.len(),
        report.expired.len(),
        report.bytes_sent,
        report.bytes_received
    ))?;
    Ok(())
}
