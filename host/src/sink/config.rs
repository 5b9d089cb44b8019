//! `[sink.NAME]` once validated.

use std::path::PathBuf;

use super::Wants;
use crate::codec::{Compression, Format};

/// One sink of a pipeline.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name in the pipeline.
    pub name: String,
    /// Where rows go.
    pub connector: Connector,
    /// Layout of the records.
    pub format: Format,
    /// Columns to keep, in order; all when absent.
    pub fields: Option<Vec<String>>,
}

/// Kinds of sink.
#[derive(Clone, Debug)]
pub enum Connector {
    /// A file, replaced at start.
    File {
        /// Where it is.
        path: PathBuf,
        /// How it is compressed.
        compression: Compression,
    },
    /// Standard output.
    Stdout,
    /// Counted and dropped.
    Blackhole,
}

impl Connector {
    /// What the sink wants to know of rows.
    pub fn wants(&self) -> Wants {
        match self {
            Self::File { .. } | Self::Stdout => Wants::Bytes,
            Self::Blackhole => Wants::Nothing,
        }
    }
}
