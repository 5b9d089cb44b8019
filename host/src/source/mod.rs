//! Sources: where rows come from. Each runs on a thread of its own, may block, and hands over
//! what it has as soon as it has it; it never waits to fill a batch.

mod config;
mod file;
mod generator;
mod input;
mod kafka;
mod pace;
mod resume;
mod stdin;
#[cfg(test)]
mod tests;
mod text;
pub mod transactions;
mod vectors;

pub use config::{AutoOffsetReset, Config, Connector, Generator, GeneratorKind, Kafka, Missing, Tombstones};

use std::sync::Arc;

use crate::codec::{Framer, Limits};
pub use crate::dataflow::{Chunk, Failure as Error, Next, Output, Source, Stopped};
use crate::kafka::Consumers;

/// Opens a source whose chunks hold at most `batch_rows` rows and `batch_bytes` bytes. One that reads
/// Kafka registers its consumer with `consumers`, and joins its group when it runs.
///
/// # Errors
/// When its input cannot be opened, or its settings contradict each other.
pub fn open(
    config: &Config,
    batch_rows: usize,
    batch_bytes: usize,
    consumers: &Arc<Consumers>,
) -> Result<Box<dyn Source>, Error> {
    let limits = Limits { rows: batch_rows, bytes: batch_bytes, record: config.max_record_bytes };
    let framer = Framer::new(config.format, limits);
    let opened: Result<Box<dyn Source>, String> = match &config.connector {
        Connector::File { path, compression, follow } => {
            file::open(&config.name, path, *compression, *follow, framer).map(|source| Box::new(source) as _)
        }
        Connector::Stdin { compression } => Ok(Box::new(stdin::open(&config.name, *compression, framer))),
        Connector::Generator(settings) => generator::open(config, settings, limits),
        Connector::Kafka(settings) => Ok(Box::new(kafka::open(config, settings, limits, consumers))),
    };
    opened.map_err(|message| failure(&config.name, message))
}

/// A failure of a source.
fn failure(source: &str, message: impl ToString) -> Error {
    Error::new(format!("source `{source}`"), message)
}
