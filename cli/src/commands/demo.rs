//! `ailurus demo`: the main job, for real, on this machine: a super node, four phones, QR code, chat and catch-up.
//!
//! Every step is checked; the first that does not hold ends the demo with exit code 1.

mod stage;

use std::{fs, net::Ipv4Addr, sync::Arc, time::Duration};

use ailurus::{
    channel::{AccessKind, ChannelId, NodeLink, qr::QrCode},
    client::{Error, Page, SystemClock},
};
use ailurus_node::{Config, Node};

use crate::{
    clock_offset::ClockOffset,
    exit::{CliError, Outcome},
    output::{self, Style},
    terminal,
};

use super::channel::link_in_png;

use stage::{Narrator, Phone, demand};

/// Plays the demo in a folder of its own, which is gone afterwards.
pub async fn run(offset: ClockOffset) -> Result<Outcome, CliError> {
    let folder = tempfile::Builder::new()
        .prefix("ailurus-demo-")
        .tempdir()
        .map_err(CliError::file(std::env::temp_dir()))?;
    let demo = Demo {
        folder,
        offset,
        narrator: Narrator::start(),
    };
    tokio::select! {
        () = terminal::interrupted() => Err(CliError::Demo("it was interrupted".to_owned())),
        done = demo.play() => done.map(|()| Outcome::Done),
    }
}

struct Demo {
    folder: tempfile::TempDir,
    offset: ClockOffset,
    narrator: Narrator,
}

impl Demo {
    async fn play(&self) -> Result<(), CliError> {
        let say = &self.narrator;
        say.title("Ailurus: private chat without a central server, on this machine only")?;

        say.step("A super node starts. It keeps sealed envelopes for phones that are away, and cannot open any.")?;
        let config = Config::new(
            self.folder.path().join("node"),
            (Ipv4Addr::LOCALHOST, 0).into(),
        );
        let clock = Arc::new(SystemClock::with_offset(self.offset.as_millis()));
        let node = Node::start(config, clock).map_err(|error| CliError::Demo(error.to_string()))?;
        say.detail(&format!("its link: {}", node.link()))?;
        say.done()?;

        let played = self.play_phones(node.link()).await;
        node.stop().await;
        played?;
        say.end()?;
        Ok(())
    }

    async fn play_phones(&self, node: &NodeLink) -> Result<(), CliError> {
        let (alice, bob, channel) = self.meet(node).await?;
        self.chat(&alice, &bob, &channel).await?;
        let bob = self.go_away_and_return(&alice, bob, &channel).await?;
        let carol = self.join_read_only(&alice, &channel).await?;
        let letter_box = self.join_write_only(&alice, &channel).await?;
        for phone in [alice, bob, carol, letter_box] {
            phone.client.shutdown().await;
        }
        Ok(())
    }

    /// A first phone makes a channel, a second reads its QR code.
    async fn meet(&self, node: &NodeLink) -> Result<(Phone, Phone, ChannelId), CliError> {
        let say = &self.narrator;
        say.step(
            "Alice's phone makes a channel. Its keys are made here and known to nobody else.",
        )?;
        let alice = self.phone("Alice", std::slice::from_ref(node))?;
        let channel = alice.client.create_channel(CHANNEL)?;
        alice.poll().await?;
        say.detail(&format!(
            "channel {CHANNEL:?}, id {}",
            output::short_hex(channel.as_bytes())
        ))?;
        say.done()?;

        say.step("She shows its QR code, here also written to a PNG file.")?;
        let link = alice.client.link(&channel, AccessKind::Full, true)?;
        let code = QrCode::encode(&link)?;
        let png = self.folder.path().join("channel.png");
        fs::write(&png, code.to_png(8)?).map_err(CliError::file(&png))?;
        output::line(&output::qr_text(&code.to_terminal(), Style::of_stdout()))?;
        say.done()?;

        say.step("Bob's phone reads the PNG with the library's own reader, and joins.")?;
        let bob = self.phone("Bob", &[])?;
        let joined = bob.client.join(&link_in_png(&png)?, None)?;
        bob.poll().await?;
        demand(joined == channel, "Bob is in another channel than Alice")?;
        demand(
            bob.client
                .nodes()?
                .iter()
                .map(|known| &known.link)
                .eq([node]),
            "Bob did not learn the super node from the QR code",
        )?;
        say.done()?;
        Ok((alice, bob, channel))
    }

    /// Both are live and chat.
    async fn chat(&self, alice: &Phone, bob: &Phone, channel: &ChannelId) -> Result<(), CliError> {
        let say = &self.narrator;
        say.step("Both are connected and chat. ✓ means that the node has it on disk.")?;
        let live = (alice.client.live(), bob.client.live());
        for (from, to, text) in [
            (alice, bob, "Hello Bob, can you read this?"),
            (bob, alice, "Yes! Bamboo at noon?"),
            (alice, bob, "Bring some for the others."),
        ] {
            let mut events = to.client.events();
            let acknowledged = from.send(channel, text).await?;
            let message = to.receive(&mut events, channel, text).await?;
            demand(
                message.author_name == from.name,
                "a message came under another name",
            )?;
            say.message(
                &from.name,
                text,
                &format!("✓ acknowledged after {} ms", acknowledged.as_millis()),
            )?;
        }
        drop(live);
        say.done()
    }

    /// What was sent while somebody was away waits at the node.
    async fn go_away_and_return(
        &self,
        alice: &Phone,
        bob: Phone,
        channel: &ChannelId,
    ) -> Result<Phone, CliError> {
        let say = &self.narrator;
        say.step(
            "Bob's phone goes away: the app is closed. Alice sends three messages meanwhile.",
        )?;
        let asleep = bob.close().await;
        for text in WHILE_AWAY {
            alice.send(channel, text).await?;
            say.message(&alice.name, text, "✓")?;
        }
        say.done()?;

        say.step("Bob returns: one poll brings them all, in order.")?;
        let bob = asleep.open()?;
        let report = bob.poll().await?;
        let texts: Vec<_> = report
            .messages
            .iter()
            .map(|message| message.text.as_str())
            .collect();
        demand(
            texts == WHILE_AWAY,
            "the three messages did not come once each and in order",
        )?;
        for text in texts {
            say.detail(&format!("Bob has: {text}"))?;
        }
        say.detail(&format!(
            "UDP payload: {} bytes sent, {} received",
            report.bytes_sent, report.bytes_received
        ))?;
        say.done()?;
        Ok(bob)
    }

    /// Who has a read-only link reads, and cannot write.
    async fn join_read_only(&self, alice: &Phone, channel: &ChannelId) -> Result<Phone, CliError> {
        let say = &self.narrator;
        say.step("Carol gets a read-only link: she reads along, and cannot write.")?;
        let link = alice.client.link(channel, AccessKind::Read, true)?;
        let carol = self.phone("Carol", &[])?;
        carol.client.join(&link.parse()?, None)?;
        carol.poll().await?;
        let messages = carol.client.messages(channel, Page::Latest, 50)?;
        demand(messages.len() == 6, "Carol does not have all six messages")?;
        say.detail("Carol has all six messages")?;
        match carol.client.send(channel, "Hello?") {
            Err(refusal @ Error::NotAllowed(AccessKind::Read)) => {
                say.detail(&format!("her attempt to write is refused: {refusal}"))?;
            }
            Err(other) => {
                return Err(CliError::Demo(format!(
                    "Carol was refused for another reason: {other}"
                )));
            }
            Ok(_) => {
                return Err(CliError::Demo(
                    "Carol could write with a read-only link".to_owned(),
                ));
            }
        }
        say.done()?;
        Ok(carol)
    }

    /// Who has a write-only link writes, and cannot read.
    async fn join_write_only(&self, alice: &Phone, channel: &ChannelId) -> Result<Phone, CliError> {
        let say = &self.narrator;
        say.step("A fourth phone gets a write-only link, as a letter box: it can write, and cannot read.")?;
        let link = alice.client.link(channel, AccessKind::Write, true)?;
        let letter_box = self.phone("Letter box", &[])?;
        letter_box.client.join(&link.parse()?, None)?;
        let text = "A letter for the channel.";
        letter_box.send(channel, text).await?;
        letter_box.poll().await?;
        alice.poll().await?;
        let messages = alice.client.messages(channel, Page::Latest, 1)?;
        demand(
            messages
                .iter()
                .any(|message| message.text == text && !message.own),
            "Alice did not get the letter",
        )?;
        say.message(&letter_box.name, text, "✓ and Alice has it")?;
        let seen = letter_box.client.messages(channel, Page::Latest, 50)?;
        demand(
            seen.iter().all(|message| message.own),
            "the letter box could read what others wrote",
        )?;
        demand(
            matches!(
                letter_box.client.link(channel, AccessKind::Read, true),
                Err(Error::Narrow(_))
            ),
            "the letter box could make a link that reads",
        )?;
        say.detail("it has nothing of what the others wrote, and cannot make a link that reads")?;
        say.done()?;
        Ok(letter_box)
    }

    fn phone(&self, name: &str, nodes: &[NodeLink]) -> Result<Phone, CliError> {
        let folder = self
            .folder
            .path()
            .join(name.to_lowercase().replace(' ', "-"));
        Phone::create(folder, name, nodes, self.offset)
    }
}

const CHANNEL: &str = "Bamboo";

const WHILE_AWAY: [&str; 3] = [
    "First: the grove by the river.",
    "Second: bring a basket.",
    "Third: noon, not later.",
];

/// How long a step waits for a message or an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(15);
