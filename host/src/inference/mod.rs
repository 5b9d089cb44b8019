//! Models.

mod config;

pub use config::{ModelConfig, OperatorConfig};
