//! Models that answer later.

mod config;

pub use config::*;
