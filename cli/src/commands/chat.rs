//! `ailurus chat`: a conversation in the terminal, or over a pipe.

mod screen;

use std::{
    io::{self, BufRead as _, Read as _},
    thread,
    time::Duration,
};

use ailurus::{
    channel::MessageId,
    client::{Client, Error, Message, Page},
    store::MessageState,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    exit::{CliError, Outcome},
    line_editor::Edit,
    output, terminal,
};

use super::{
    channel::member_line,
    follow::{Update, Watch},
    message::PATIENCE,
};

use screen::Screen;

/// Chats until `/quit`, the end of input or an interrupt.
pub async fn run(client: &Client, channel: &str) -> Result<Outcome, CliError> {
    let channel = client.find_channel(channel)?;
    let mut chat = Chat {
        client,
        watch: Watch::start(client, channel),
        screen: Screen::open(),
        name: client.name()?,
        waiting: Vec::new(),
    };
    chat.show_history()?;
    let mut input = read_input(chat.screen.is_interactive());
    let interrupted = terminal::interrupted();
    tokio::pin!(interrupted);
    loop {
        let overdue = chat.next_overdue();
        tokio::select! {
            () = &mut interrupted => return Ok(Outcome::Done),
            typed = input.recv() => match typed {
                Some(typed) => if chat.take(typed)? == Next::Quit { break },
                None => break,
            },
            update = chat.watch.next() => chat.show(update?)?,
            () = sleep_until(overdue) => chat.show_overdue()?,
        }
    }
    chat.finish(interrupted).await
}

struct Chat<'a> {
    client: &'a Client,
    watch: Watch<'a>,
    screen: Screen,
    name: String,
    waiting: Vec<Waiting>,
}

/// An own message that no node has yet.
struct Waiting {
    id: MessageId,
    text: String,
    /// When it is shown as queued, unless it was shown already.
    overdue: Option<Instant>,
}

/// What a typed line led to.
#[derive(PartialEq, Eq)]
enum Next {
    Continue,
    Quit,
}

enum Input {
    Keys(Vec<u8>),
    Line(String),
    NotText,
}

impl Chat<'_> {
    fn show_history(&mut self) -> Result<(), CliError> {
        let messages = self
            .client
            .messages(self.watch.channel(), Page::Latest, HISTORY)?;
        self.watch
            .mark_seen(messages.iter().map(|message| message.id));
        for message in &messages {
            self.screen
                .say(&output::message_line(message, self.screen.style()))?;
            if message.own && message.state == MessageState::Queued {
                self.waiting.push(Waiting {
                    id: message.id,
                    text: message.text.clone(),
                    overdue: None,
                });
            }
        }
        self.client.mark_read(self.watch.channel())?;
        if self.screen.is_interactive() {
            self.screen
                .remark("/members, /quit, /help; a line starting with // is sent with one slash")?;
        }
        Ok(())
    }

    fn take(&mut self, typed: Input) -> Result<Next, CliError> {
        match typed {
            Input::Line(line) => self.line(&line),
            Input::NotText => Err(CliError::StdinNotText),
            Input::Keys(keys) => {
                for key in keys {
                    match self.screen.press(key)? {
                        Edit::Line(line) => {
                            if self.line(&line)? == Next::Quit {
                                return Ok(Next::Quit);
                            }
                        }
                        Edit::End => return Ok(Next::Quit),
                        Edit::None | Edit::Changed => {}
                    }
                }
                Ok(Next::Continue)
            }
        }
    }

    fn line(&mut self, line: &str) -> Result<Next, CliError> {
        let line = line.trim_end_matches('\r');
        match line.trim() {
            "" => {}
            "/quit" => return Ok(Next::Quit),
            "/members" => self.show_members()?,
            "/help" => self
                .screen
                .remark("/members lists who is there, /quit or Ctrl-D ends")?,
            command if command.starts_with('/') && !command.starts_with("//") => {
                self.screen
                    .remark("there is no such command; /help lists them, and // sends a slash")?;
            }
            _ => self.send(line.strip_prefix('/').unwrap_or(line))?,
        }
        Ok(Next::Continue)
    }

    fn send(&mut self, text: &str) -> Result<(), CliError> {
        match self.client.send(self.watch.channel(), text) {
            Ok(id) => {
                self.watch.mark_seen([id]);
                let overdue = Some(Instant::now() + SHOW_QUEUED);
                self.waiting.push(Waiting {
                    id,
                    text: text.to_owned(),
                    overdue,
                });
                Ok(())
            }
            // Over a pipe nobody can correct what was refused.
            Err(error) if !self.screen.is_interactive() => Err(error.into()),
            Err(error @ Error::Store(_)) => Err(error.into()),
            Err(error) => Ok(self.screen.remark(&error.to_string())?),
        }
    }

    fn show_members(&mut self) -> Result<(), CliError> {
        for member in self.client.members(self.watch.channel())? {
            self.screen
                .say(&member_line(&member, self.screen.style()))?;
        }
        Ok(())
    }

    fn show(&mut self, update: Update) -> Result<(), CliError> {
        match update {
            Update::Message(message) if message.own => self.show_own(&message)?,
            Update::Message(message) => {
                self.screen.say(&self.screen.speech(
                    &output::author(&message),
                    &message.text,
                    "",
                ))?;
                self.client.mark_read(self.watch.channel())?;
            }
            Update::State { id, was, state } => {
                let known = self
                    .waiting
                    .iter()
                    .position(|waiting| waiting.id == id || Some(waiting.id) == was);
                if let Some(index) = known {
                    self.advance(index, id, state)?;
                }
            }
            Update::Notice(notice) => self.screen.remark(&notice.to_string())?,
        }
        Ok(())
    }

    /// An own message under an id that is new here: another process sent it, or delivered one of ours.
    fn show_own(&mut self, message: &Message) -> Result<(), CliError> {
        match self
            .waiting
            .iter()
            .position(|waiting| waiting.text == message.text)
        {
            Some(index) => self.advance(index, message.id, message.state),
            None => Ok(self
                .screen
                .say(&output::message_line(message, self.screen.style()))?),
        }
    }

    fn advance(
        &mut self,
        index: usize,
        id: MessageId,
        state: MessageState,
    ) -> Result<(), CliError> {
        if state == MessageState::Queued {
            if let Some(waiting) = self.waiting.get_mut(index) {
                waiting.id = id;
            }
            return Ok(());
        }
        let Waiting { text, .. } = self.waiting.remove(index);
        Ok(self.screen.say(
            &self
                .screen
                .speech(&self.name, &text, output::state_mark(state)),
        )?)
    }

    fn next_overdue(&self) -> Instant {
        let far = Instant::now() + PATIENCE;
        self.waiting
            .iter()
            .filter_map(|waiting| waiting.overdue)
            .min()
            .unwrap_or(far)
    }

    fn show_overdue(&mut self) -> Result<(), CliError> {
        let now = Instant::now();
        let mark = output::state_mark(MessageState::Queued);
        for waiting in &mut self.waiting {
            if waiting.overdue.take_if(|overdue| *overdue <= now).is_some() {
                self.screen
                    .say(&self.screen.speech(&self.name, &waiting.text, mark))?;
            }
        }
        Ok(())
    }

    /// Gives what was typed last the time to leave.
    async fn finish(mut self, interrupted: impl Future<Output = ()>) -> Result<Outcome, CliError> {
        self.screen.close()?;
        let patience = if self.screen.is_interactive() {
            PARTING
        } else {
            PATIENCE
        };
        let until = sleep_until(Instant::now() + patience);
        tokio::pin!(until, interrupted);
        while !self.waiting.is_empty() {
            tokio::select! {
                () = &mut interrupted => break,
                () = &mut until => break,
                update = self.watch.next() => self.show(update?)?,
            }
        }
        if self.waiting.is_empty() {
            return Ok(Outcome::Done);
        }
        output::note(&format!(
            "{} messages stay queued: run `ailurus sync` to try again",
            self.waiting.len()
        ));
        Ok(Outcome::Queued)
    }
}

/// Messages of the past that are shown at the start.
const HISTORY: usize = 50;

/// A message that a node has before this is shown once, with its mark.
const SHOW_QUEUED: Duration = Duration::from_secs(1);

/// How long `/quit` waits for what was typed last.
const PARTING: Duration = Duration::from_secs(3);

/// Reads standard input in a thread of its own, which a read that never returns does not hold up at the end.
fn read_input(keys: bool) -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(16);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let input = if keys {
                next_keys(&mut stdin)
            } else {
                next_line(&mut stdin)
            };
            let Some(input) = input else { return };
            if sender.blocking_send(input).is_err() {
                return;
            }
        }
    });
    receiver
}

fn next_keys(stdin: &mut io::StdinLock<'_>) -> Option<Input> {
    let mut keys = vec![0; 256];
    let count = stdin.read(&mut keys).ok().filter(|&count| count > 0)?;
    keys.truncate(count);
    Some(Input::Keys(keys))
}

fn next_line(stdin: &mut io::StdinLock<'_>) -> Option<Input> {
    let mut line = Vec::new();
    stdin
        .read_until(b'\n', &mut line)
        .ok()
        .filter(|&count| count > 0)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Some(String::from_utf8(line).map_or(Input::NotText, Input::Line))
}
