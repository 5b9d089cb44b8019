//! dataflow

mod config;

pub use config::*;
