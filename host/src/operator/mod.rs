//! operator

mod config;

pub use config::*;
