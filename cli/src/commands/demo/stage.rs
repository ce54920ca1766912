//! The phones of the demo, and who tells what happens.

use std::{cell::Cell, fs, path::PathBuf, sync::Arc, time::Duration};

use ailurus::{
    channel::{ChannelId, NodeLink},
    client::{Client, Events, Message, Options, Page, PollReport, SystemClock},
    crypto::OsEntropy,
    store::StorageKey,
};
use tokio::time::{Instant, timeout};

use crate::{
    clock_offset::ClockOffset,
    exit::CliError,
    output::{self, Style},
};

use super::PATIENCE;

/// A phone with its app open.
pub struct Phone {
    /// Whose.
    pub name: String,
    /// The app.
    pub client: Client,
    asleep: Asleep,
}

/// What is left of a phone while its app is closed: its folder, and the key in its vault.
pub struct Asleep {
    name: String,
    folder: PathBuf,
    key: StorageKey,
    offset: ClockOffset,
}

impl Phone {
    /// A new phone.
    pub fn create(
        folder: PathBuf,
        name: &str,
        nodes: &[NodeLink],
        offset: ClockOffset,
    ) -> Result<Self, CliError> {
        fs::create_dir(&folder).map_err(CliError::file(&folder))?;
        let asleep = Asleep {
            name: name.to_owned(),
            folder,
            key: StorageKey::random(&mut OsEntropy),
            offset,
        };
        let client = Client::create(&asleep.folder, &asleep.key, name, nodes, asleep.options())?;
        Ok(Self {
            name: name.to_owned(),
            client,
            asleep,
        })
    }

    /// Closes the app.
    pub async fn close(self) -> Asleep {
        self.client.shutdown().await;
        self.asleep
    }

    /// Polls once, and insists that a node answers.
    pub async fn poll(&self) -> Result<PollReport, CliError> {
        let report = self.client.poll().await?;
        demand(report.nodes_reached > 0, "the super node was not reached")?;
        Ok(report)
    }

    /// Sends, and says how long the acknowledgement took.
    pub async fn send(&self, channel: &ChannelId, text: &str) -> Result<Duration, CliError> {
        let started = Instant::now();
        let queued = self.client.send(channel, text)?;
        let delivered = self.client.wait_delivered(&queued, PATIENCE).await?;
        demand(
            delivered.is_some(),
            "the super node did not acknowledge a message",
        )?;
        Ok(started.elapsed())
    }

    /// Waits for a message that somebody else sent.
    pub async fn receive(
        &self,
        events: &mut Events,
        channel: &ChannelId,
        text: &str,
    ) -> Result<Message, CliError> {
        let arrival = async {
            loop {
                let latest = self.client.messages(channel, Page::Latest, 10)?;
                if let Some(message) = latest
                    .into_iter()
                    .find(|message| !message.own && message.text == text)
                {
                    return Ok(message);
                }
                events.recv().await;
            }
        };
        timeout(PATIENCE, arrival).await.unwrap_or_else(|_| {
            Err(CliError::Demo(format!(
                "{} did not get a message in time",
                self.name
            )))
        })
    }
}

impl Asleep {
    /// Opens the app again.
    pub fn open(self) -> Result<Phone, CliError> {
        let client = Client::open(&self.folder, &self.key, self.options())?;
        Ok(Phone {
            name: self.name.clone(),
            client,
            asleep: self,
        })
    }

    fn options(&self) -> Options {
        Options {
            clock: Arc::new(SystemClock::with_offset(self.offset.as_millis())),
            ..Options::default()
        }
    }
}

/// Ends the demo if something that it promises does not hold.
pub fn demand(holds: bool, otherwise: &str) -> Result<(), CliError> {
    if holds {
        Ok(())
    } else {
        Err(CliError::Demo(otherwise.to_owned()))
    }
}

/// Tells the steps with how long each took.
pub struct Narrator {
    style: Style,
    began: Instant,
    step_began: Cell<Instant>,
    steps: Cell<u32>,
}

impl Narrator {
    /// Begins.
    pub fn start() -> Self {
        let now = Instant::now();
        Self {
            style: Style::of_stdout(),
            began: now,
            step_began: Cell::new(now),
            steps: Cell::new(0),
        }
    }

    /// Says what this is about.
    pub fn title(&self, text: &str) -> Result<(), CliError> {
        Ok(output::line(&self.style.bold(text))?)
    }

    /// Begins a step.
    pub fn step(&self, text: &str) -> Result<(), CliError> {
        self.steps.set(self.steps.get() + 1);
        self.step_began.set(Instant::now());
        Ok(output::line(&format!(
            "\n{} {text}",
            self.style.bold(&format!("{}.", self.steps.get()))
        ))?)
    }

    /// Says something about a step.
    pub fn detail(&self, text: &str) -> Result<(), CliError> {
        Ok(output::line(&format!("   {}", output::printable(text)))?)
    }

    /// Shows what somebody says.
    pub fn message(&self, author: &str, text: &str, mark: &str) -> Result<(), CliError> {
        Ok(output::line(&format!(
            "   {} {text} {}",
            self.style.bold(&format!("{author}:")),
            self.style.green(mark)
        ))?)
    }

    /// Ends a step that held.
    pub fn done(&self) -> Result<(), CliError> {
        let took = self.step_began.get().elapsed().as_millis();
        Ok(output::line(&format!(
            "   {} {}",
            self.style.green("done"),
            self.style.dim(&format!("({took} ms)"))
        ))?)
    }

    /// Ends the demo.
    pub fn end(&self) -> Result<(), CliError> {
        let took = self.began.elapsed().as_secs_f64();
        output::line(&format!(
            "\n{}",
            self.style.bold(&format!(
                "All {} steps held, in {took:.1} s.",
                self.steps.get()
            ))
        ))?;
        Ok(output::line(WHAT_NEXT)?)
    }
}

const WHAT_NEXT: &str = "
What to do next:
  ailurus-node --data ./node --listen 127.0.0.1:4433          run a node; it prints its link
  ailurus --data ./me init --name NAME --node NODE_LINK       make a profile
  ailurus --data ./me channel new Bamboo                      make a channel
  ailurus --data ./me channel qr Bamboo                       let a friend scan it
  ailurus --data ./me chat Bamboo                             chat";
