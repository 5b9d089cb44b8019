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

pub use config::{AutoOffsetReset, Config, Connector, Generator, GeneratorKind, Kafka, Missing, Tombstones};

use crate::codec::{Framer, Limits};
pub use crate::dataflow::{Chunk, Failure as Error, Output, Source, Stopped};

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
        Connector::Kafka(_) => Err("not yet".into()),
    };
    opened.map_err(|message| failure(&config.name, message))
}

/// A failure of a source.
fn failure(source: &str, message: impl ToString) -> Error {
    Error::new(format!("source `{source}`"), message)
}
