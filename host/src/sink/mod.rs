//! Sinks: where rows go. A sink gets encoded bytes in the order of the source, from one thread.

mod config;
mod file;
mod stdout;
#[cfg(test)]
mod tests;

use std::io;

pub use config::{Config, Connector, Delivery, Kafka};

pub use crate::dataflow::{Failure as Error, Sink};

/// A failure of a sink.
fn failure(sink: &str, doing: &str, error: &io::Error) -> Error {
    let failure = Error::new(format!("sink `{sink}`"), format!("{doing}: {error}"));
    if error.kind() == io::ErrorKind::BrokenPipe { failure.closed() } else { failure }
}

/// Opens a sink. A file is created, with its folders, or emptied.
///
/// # Errors
/// When a file cannot be created.
pub fn open(config: &Config) -> Result<Box<dyn Sink>, Error> {
    match &config.connector {
        Connector::File { path, compression } => Ok(Box::new(file::open(&config.name, path, *compression)?)),
        Connector::Stdout => Ok(Box::new(stdout::open(&config.name))),
        Connector::Blackhole => Ok(Box::new(Blackhole)),
        Connector::Kafka(_) => Err(Error::new("sink", "not yet")),
    }
}

/// Drops everything.
struct Blackhole;

impl Sink for Blackhole {
    fn wants_bytes(&self) -> bool {
        false
    }

    fn write(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
