//! Write Millstream operators in Rust.
extern crate self as millstream_sdk;

pub mod config;
pub mod context;
pub mod error;
pub mod state;
pub mod tiles;

pub use config::Config;
pub use error::{Error, ErrorKind, Result};
pub use millstream_sdk_macros::{State, operator};
