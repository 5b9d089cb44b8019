//! Sinks: where rows go. A sink gets encoded bytes in the order of the source, from one thread.

mod config;

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
}
