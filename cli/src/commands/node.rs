//! `ailurus node`: the super nodes of a profile.

use ailurus::{channel::NodeLink, client::Client};

use crate::{
    args::Node,
    exit::{CliError, Outcome},
    output,
};

/// Runs one of the node commands.
pub fn run(client: &Client, command: &Node) -> Result<Outcome, CliError> {
    match command {
        Node::Add { link } => client.add_node(&link.parse::<NodeLink>()?)?,
        Node::List => {
            for node in client.nodes()? {
                output::line(&node.link.to_string())?;
            }
        }
    }
    Ok(Outcome::Done)
}
