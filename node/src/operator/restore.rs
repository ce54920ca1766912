//! A data directory from a backup.

use std::{
    fs::{self, File},
    path::Path,
};

use ailurus::{crypto::NodeKey, wire::time::UnixMillis};

use super::{OnProgress, OperatorError, file};
use crate::{
    identity::DataDir,
    store::{Store, backup},
};

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Who the node is.
    pub key: NodeKey,
    /// The port that it keeps, if it keeps one.
    pub port: Option<u16>,
    /// When the backup was made.
    pub made: UnixMillis,
    /// Envelopes, some of which may be too old by now.
    pub envelopes: u64,
    /// Clients that held leases.
    pub registrations: u64,
}

/// Makes the data directory `dir` from the backup `from`, with a new generation, so that clients reconcile.
///
/// # Errors
/// If `dir` has files, or `from` is no backup, damaged or of a later version; `dir` is as before then.
pub fn restore(
    from: &Path,
    dir: &Path,
    progress: OnProgress<'_>,
) -> Result<Restored, OperatorError> {
    let mut backup = File::open(from).map_err(|source| file(from, source))?;
    let new = !dir.exists();
    if !new
        && fs::read_dir(dir)
            .map_err(|source| file(dir, source))?
            .next()
            .is_some()
    {
        return Err(OperatorError::NotEmpty(dir.to_owned()));
    }
    let data = DataDir::open(dir)?;
    let restored = fill(&data, from, &mut backup, dir, progress);
    if restored.is_err() {
        drop(data);
        empty(dir, new);
    }
    restored
}

fn fill(
    data: &DataDir,
    from: &Path,
    backup: &mut File,
    dir: &Path,
    progress: OnProgress<'_>,
) -> Result<Restored, OperatorError> {
    data.mark_unfinished(true)?;
    let path = data.database();
    let mut database = new_file(&path)?;
    let contents =
        backup::read(backup, &mut database, progress).map_err(OperatorError::backup(from))?;
    drop(database);
    let mut store = Store::open(&path)?;
    store.begin_generation()?;
    let restored = Restored {
        key: contents.key.public(),
        port: contents.port,
        made: contents.made,
        envelopes: store.envelopes(),
        registrations: store.registrations(),
    };
    drop(store);
    data.keep_key(&contents.key)?;
    if let Some(port) = contents.port {
        data.keep_port(port)?;
    }
    data.mark_unfinished(false)?;
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| file(dir, source))?;
    Ok(restored)
}

fn new_file(path: &Path) -> Result<File, OperatorError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path).map_err(|source| file(path, source))
}

/// Takes back what an attempt made, in a directory that was empty before.
fn empty(dir: &Path, new: bool) {
    if let Ok(entries) = fs::read_dir(dir) {
        for entry in entries.flatten() {
            // What stays behind is marked as unfinished, and the error of the restore is told anyway.
            let _ = fs::remove_file(entry.path());
        }
    }
    if new {
        let _ = fs::remove_dir(dir);
    }
}
