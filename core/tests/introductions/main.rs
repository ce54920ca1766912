//! Introductions, node lists and announcements as engines exchange them, without a network.

mod announcing;
mod chains;
mod disk;
mod hostile;
mod lists;
mod spread;
mod world;
