//! A backup while the daemon runs.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use ailurus::wire::time::UnixMillis;

use super::{OnProgress, Operator, OperatorError, file};
use crate::store::backup::{self, Contents};

impl Operator {
    /// Writes node key, kept port and database as they are at one moment into the new file `to`, readable for its owner
    /// only; its length in bytes. The daemon may go on working meanwhile. Under another name until it is whole.
    ///
    /// # Errors
    /// If `to` is there already or cannot be written, or the directory has no node key.
    pub fn backup(
        &self,
        to: &Path,
        now: UnixMillis,
        progress: OnProgress<'_>,
    ) -> Result<u64, OperatorError> {
        if to.symlink_metadata().is_ok() {
            return Err(OperatorError::FileExists(to.to_owned()));
        }
        let files = self.files();
        let contents = Contents {
            key: files
                .key()?
                .ok_or_else(|| OperatorError::NoKey(self.dir.clone()))?,
            port: files.port()?,
            made: now,
        };
        let unfinished = unfinished(to);
        let mut target = open(&unfinished)?;
        let written = backup::write(
            &files.database(),
            &mut target,
            &unfinished,
            &contents,
            progress,
        )
        .map_err(OperatorError::backup(to))
        .and_then(|length| {
            if to.symlink_metadata().is_ok() {
                return Err(OperatorError::FileExists(to.to_owned()));
            }
            fs::rename(&unfinished, to).map_err(|source| file(to, source))?;
            sync_directory(to).map_err(|source| file(to, source))?;
            Ok(length)
        });
        if written.is_err() {
            // What is left over is in nobody's way: the next backup takes it.
            let _ = fs::remove_file(&unfinished);
        }
        written
    }
}

fn unfinished(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".unfinished");
    PathBuf::from(name)
}

/// An empty file for this process alone, from a backup that was broken off if there is one.
fn open(path: &Path) -> Result<File, OperatorError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let failed = |source| file(path, source);
    let target = options.open(path).map_err(failed)?;
    match target.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(OperatorError::BackupUnderWay(path.to_owned()));
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    target.set_len(0).map_err(failed)?;
    Ok(target)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
