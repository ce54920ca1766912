//! Reaching the nodes for a moment, for commands that work without them too.

use std::time::Duration;

use ailurus::client::Client;
use tokio::time::timeout;

use crate::output;

/// Polls once, for at most a few seconds; if no node answers, `later` says what that means.
pub async fn briefly(client: &Client, later: &str) {
    match timeout(PATIENCE, client.poll()).await {
        Ok(Ok(report)) => {
            output::notices(&report.notices);
            if report.nodes_reached == 0 {
                output::note(&format!("no super node answered; {later}"));
            }
        }
        Ok(Err(error)) => output::note(&format!("{error} ({later})")),
        Err(_) => output::note(&format!("no super node answered; {later}")),
    }
}

const PATIENCE: Duration = Duration::from_secs(4);
