//! What the rows share: processes, clocks, ready-made channels, wire-level clients, statistics.

pub mod channel;
pub mod clock;
pub mod disk;
pub mod fill;
pub mod node;
pub mod probes;
pub mod process;
pub mod relay;
pub mod report;
pub mod restart;
pub mod row;
pub mod stats;
pub mod wire;

use std::path::PathBuf;

/// Why something could not be measured, as a sentence.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A directory on the disk of the build, since `/tmp` may be memory, on which an fsync costs nothing.
pub fn folder() -> Result<tempfile::TempDir, Failure> {
    Ok(tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(beside()?)?)
}

/// Where this program and the node's daemon lie.
fn beside() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?;
    let folder = program
        .parent()
        .ok_or("this program has no directory; run it through `make bench`")?;
    Ok(folder.to_owned())
}
