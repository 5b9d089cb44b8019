//! Sinks: where rows go. A sink gets encoded bytes in the order of the source, from one thread.

mod config;
mod file;
mod kafka;
mod provenance;
mod stdout;
#[cfg(test)]
mod tests;

use std::io;

pub use config::{Config, Connector, Delivery, Kafka};
pub use kafka::KafkaParts;
pub use provenance::{Produced, Provenance};

pub use crate::dataflow::{Failure as Error, Prepared, Sink, SinkRows, Wants};
use crate::record::SinkState;

/// A failure of a sink.
fn failure(sink: &str, doing: &str, error: &io::Error) -> Error {
    let failure = Error::new(format!("sink `{sink}`"), format!("{doing}: {error}"));
    if error.kind() == io::ErrorKind::BrokenPipe { failure.closed() } else { failure }
}

/// Opens a sink. A file is created, with its folders, or emptied; with the `state` of a committed
/// epoch it is cut to what belongs to that epoch. `parts` is what sinks of Kafka share.
///
/// # Errors
/// When a file cannot be created, or has lost what is committed.
pub fn open(config: &Config, state: Option<&SinkState>, parts: &KafkaParts) -> Result<Box<dyn Sink>, Error> {
    match &config.connector {
        Connector::File { path, compression } => Ok(Box::new(file::open(&config.name, path, *compression, state)?)),
        Connector::Stdout => Ok(Box::new(stdout::open(&config.name))),
        Connector::Blackhole => Ok(Box::new(Blackhole)),
        Connector::Kafka(settings) => Ok(Box::new(kafka::open(config, settings, parts)?)),
    }
}

/// Drops everything.
struct Blackhole;

impl Sink for Blackhole {
    fn write(&mut self, _: &SinkRows) -> Result<(), Error> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn prepare(&mut self, _: u64) -> Result<Prepared, Error> {
        Ok(SinkState::Nothing.into())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
