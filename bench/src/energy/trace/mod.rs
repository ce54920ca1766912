//! Messages that a person gets: made from a seed, or read from a file.

mod file;
mod people;

use std::time::Duration;

pub use file::parse;
pub use people::{FAMILY, KINDS, Kind};

/// A message to a phone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Message {
    /// When it reaches the super node, since the start, which is midnight where the person is.
    pub at: Duration,
    /// Of text.
    pub bytes: usize,
}
