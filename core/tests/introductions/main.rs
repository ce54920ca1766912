//! Introductions, node lists and announcements as engines exchange them, without a network.

mod announcing;
mod chains;
mod hostile;
mod lists;
mod world;
