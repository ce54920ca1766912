//! `ailurus init`, `export` and `import`.

use std::path::Path;

use ailurus::channel::NodeLink;

use crate::{
    args::Init,
    exit::{CliError, Outcome},
    profile::Profile,
};

/// Makes a profile.
pub async fn init(profile: &Profile, init: &Init) -> Result<Outcome, CliError> {
    let nodes = init
        .nodes
        .iter()
        .map(|link| link.parse())
        .collect::<Result<Vec<NodeLink>, _>>()?;
    profile.init(&init.name, &nodes)?.shutdown().await;
    Ok(Outcome::Done)
}

/// Makes a profile from a backup.
pub async fn import(profile: &Profile, backup: &Path) -> Result<Outcome, CliError> {
    profile.import(backup)?.shutdown().await;
    Ok(Outcome::Done)
}

/// Writes a backup.
pub fn export(profile: &Profile, to: &Path) -> Result<Outcome, CliError> {
    profile.export(to)?;
    Ok(Outcome::Done)
}
