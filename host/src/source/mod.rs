//! Sources: where rows come from. Each runs on a thread of its own, may block, and hands over
//! what it has as soon as it has it; it never waits to fill a batch.

mod config;

use std::time::Instant;

pub use config::{Config, Connector, Generator, GeneratorKind};

use crate::record::{Batch, RawBlock};

/// What a source hands over: records still to be decoded, or rows.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes cut at the ends of records; workers decode them.
    Raw(RawBlock),
    /// Rows that need no decoding.
    Rows(Batch),
}

/// The pipeline wants no more rows.
#[derive(Debug)]
pub struct Stopped;

/// The way from a source into the pipeline.
pub trait Output {
    /// Hands over a chunk of the source's partition number `partition`. `since` is the moment at which its first row was
    /// there (or was scheduled to be): latency is measured from it. Blocks while the pipeline is full.
    ///
    /// # Errors
    /// [`Stopped`] when the pipeline wants no more rows; the chunk was not taken.
    fn send(&mut self, partition: u32, chunk: Chunk, since: Instant) -> Result<(), Stopped>;

    /// Whether the pipeline wants no more rows, for sources that wait for input.
    fn stopped(&self) -> bool;
}

/// A source that is ready to run.
pub trait Source: Send {
    /// Names of its partitions (a file's path, `stdin`), for dead letters and reports.
    fn partitions(&self) -> Vec<String>;

    /// Bytes of input, when they are known beforehand, for progress bars.
    fn total_bytes(&self) -> Option<u64> {
        None
    }

    /// Runs to the end of the input, or until the pipeline is stopped.
    ///
    /// # Errors
    /// When the input cannot be read; the message names it and the place.
    fn run(self: Box<Self>, output: &mut dyn Output) -> Result<(), Error>;
}

/// A failure of a source: the pipeline stops.
#[derive(Debug, thiserror::Error)]
#[error("source `{source_name}`: {message}")]
pub struct Error {
    /// Name of the source in the pipeline.
    pub source_name: String,
    /// What happened, where, and what to do.
    pub message: String,
}
