//! Sources: where rows come from. Each runs on a thread of its own, may block, and hands over
//! what it has as soon as it has it; it never waits to fill a batch.

mod config;
mod file;
mod generator;
mod input;
mod pace;
mod stdin;
#[cfg(test)]
mod tests;
mod text;
pub mod transactions;
mod vectors;

use std::time::Instant;

pub use config::{Config, Connector, Generator, GeneratorKind};

use crate::codec::{Framer, Limits};
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

/// Opens a source whose chunks hold at most `batch_rows` rows and `batch_bytes` bytes.
///
/// # Errors
/// When its input cannot be opened, or its settings contradict each other.
pub fn open(config: &Config, batch_rows: usize, batch_bytes: usize) -> Result<Box<dyn Source>, Error> {
    let limits = Limits { rows: batch_rows, bytes: batch_bytes, record: config.max_record_bytes };
    let framer = Framer::new(config.format, limits);
    let opened: Result<Box<dyn Source>, String> = match &config.connector {
        Connector::File { path, compression, follow } => {
            file::open(&config.name, path, *compression, *follow, framer).map(|source| Box::new(source) as _)
        }
        Connector::Stdin { compression } => Ok(Box::new(stdin::open(&config.name, *compression, framer))),
        Connector::Generator(settings) => generator::open(config, settings, limits),
    };
    opened.map_err(|message| Error { source_name: config.name.clone(), message })
}
