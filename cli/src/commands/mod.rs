//! What each command does.

mod channel;
mod chat;
mod completions;
mod demo;
mod follow;
mod input;
mod inspect;
mod message;
mod node;
mod profile;
mod push;
mod reach;
mod usage;

use clap::{CommandFactory as _, error::ErrorKind};

use crate::{
    args::{Cli, Command, Key, Message},
    exit::{CliError, Outcome},
    profile::Profile,
};

/// Runs the command.
pub async fn run(cli: Cli) -> Result<Outcome, CliError> {
    let offset = cli.clock_offset.unwrap_or_default();
    let command = match cli.command {
        Command::Demo => return demo::run(offset).await,
        Command::Completions { shell } => return completions::print(shell),
        Command::Key(Key::Inspect(inspect)) => return inspect::run(&inspect),
        command => command,
    };
    let Some(folder) = cli.data else {
        Cli::command()
            .error(
                ErrorKind::MissingRequiredArgument,
                "this command needs --data DIR, the folder of the profile",
            )
            .exit()
    };
    let profile = Profile::new(folder, offset, cli.dht);
    match command {
        Command::Init(init) => return profile::init(&profile, &init).await,
        Command::Import { file } => return profile::import(&profile, &file).await,
        Command::Export { file } => return profile::export(&profile, &file),
        _ => {}
    }
    let client = profile.open()?;
    let result = match command {
        Command::Channel(command) => channel::run(&client, command).await,
        Command::Nodes(nodes) => node::list(&client, &nodes),
        Command::Node(command) => node::run(&client, &command).await,
        Command::Push(command) => push::run(&client, &command).await,
        Command::Send(send) => message::send(&client, &send).await,
        Command::Sync { json } => message::sync(&client, json).await,
        Command::Read(read) => message::read(&client, &read).await,
        Command::Message(Message::Delete { id }) => message::delete(&client, &id),
        Command::Usage(usage) => usage::run(&client, &usage, profile.now()),
        Command::Chat { channel } => chat::run(&client, &channel).await,
        Command::Demo
        | Command::Completions { .. }
        | Command::Key(_)
        | Command::Init(_)
        | Command::Import { .. }
        | Command::Export { .. } => Ok(Outcome::Done),
    };
    client.shutdown().await;
    result
}
