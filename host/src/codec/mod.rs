//! Bytes to batches and back.
//!
//! A source cuts what it reads into records with a [`Framer`]; a worker turns blocks of records
//! into columns with a [`Decoder`] and columns into records with an [`Encoder`]. All three are
//! pure: they know neither files nor threads.

mod bytes;
mod columns;
mod config;
mod csv;
mod decode;
mod encode;
mod framing;
mod json;
mod number;
mod text;

use arrow::error::ArrowError;
pub use config::{Compression, Format};
pub use decode::{Decoded, Decoder, Rejected};
pub use encode::Encoder;
pub use framing::{Framer, Limits};

/// Why rows cannot be decoded or encoded at all. What is wrong with one row is a [`Rejected`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The schema, the chosen fields or the header do not fit; the message names the field.
    #[error("{0}")]
    Schema(String),
    /// Arrow refused columns that were built.
    #[error("cannot build a batch: {0}")]
    Arrow(#[from] ArrowError),
}
