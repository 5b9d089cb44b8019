//! Sinks: where rows go. One connector a file.

mod config;

pub use config::{Config, Connector};

pub use crate::dataflow::{Failure as Error, Sink};
