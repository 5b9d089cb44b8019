//! Sinks: where rows go. A sink gets encoded bytes in the order of the source, from one thread.

mod config;
mod file;
mod stdout;
#[cfg(test)]
mod tests;

use std::io;

pub use config::{Config, Connector};

/// A sink that is ready to take bytes.
pub trait Sink: Send {
    /// Whether it looks at the bytes at all; when not, rows are not encoded for it.
    fn wants_bytes(&self) -> bool {
        true
    }

    /// Takes encoded records. They may be buffered.
    ///
    /// # Errors
    /// When they cannot be written.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// Hands everything taken so far to the operating system. Called when no more is waiting, so
    /// that at low rates a row is out as soon as it is written.
    ///
    /// # Errors
    /// When it cannot be written.
    fn flush(&mut self) -> Result<(), Error>;

    /// Writes what is left and closes, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// A failure of a sink: the pipeline stops.
#[derive(Debug, thiserror::Error)]
#[error("sink `{sink_name}`: {message}")]
pub struct Error {
    /// Name of the sink in the pipeline.
    pub sink_name: String,
    /// What happened, where, and what to do.
    pub message: String,
    /// Whether the reader of a pipe is gone: it has what it wanted (`| head`), so the pipeline
    /// stops as if it had been told to, and that is no failure.
    pub closed: bool,
}

impl Error {
    fn new(sink_name: &str, doing: &str, error: &io::Error) -> Self {
        Self {
            sink_name: sink_name.to_owned(),
            message: format!("{doing}: {error}"),
            closed: error.kind() == io::ErrorKind::BrokenPipe,
        }
    }
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
