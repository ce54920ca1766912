//! Room `crypto`.
