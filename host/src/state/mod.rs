//! state

mod config;

pub use config::*;
