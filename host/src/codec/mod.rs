//! Bytes to batches and back.

mod config;

pub use config::{Compression, Format};
