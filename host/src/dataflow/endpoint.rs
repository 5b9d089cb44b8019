//! The two ends of a pipeline as the dataflow sees them: where rows come from and where they go.
//! Both run on threads of their own and may block.

use std::time::Instant;

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
    /// Hands over a chunk of the source's partition number `partition`. `since` is the moment at
    /// which its first row was there (or was scheduled to be): latency is measured from it. Blocks
    /// while the pipeline is full.
    ///
    /// # Errors
    /// [`Stopped`] when the pipeline wants no more rows; the chunk was not taken.
    fn send(&mut self, partition: u32, chunk: Chunk, since: Instant) -> Result<(), Stopped>;

    /// Whether the pipeline wants no more rows, for sources that wait for input.
    fn stopped(&self) -> bool;
}

/// A source that is ready to run. It hands over what it has as soon as it has it, and never waits
/// to fill a batch.
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
    fn run(self: Box<Self>, output: &mut dyn Output) -> Result<(), Failure>;
}

/// A sink that is ready to take bytes, in the order of the source, from one thread.
pub trait Sink: Send {
    /// Whether it looks at the bytes at all; when not, rows are not encoded for it.
    fn wants_bytes(&self) -> bool {
        true
    }

    /// Takes encoded records. They may be buffered.
    ///
    /// # Errors
    /// When they cannot be written.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure>;

    /// Hands everything taken so far to the operating system. Called when no more is waiting, so
    /// that at low rates a row is out as soon as it is written.
    ///
    /// # Errors
    /// When it cannot be written.
    fn flush(&mut self) -> Result<(), Failure>;

    /// Writes what is left and closes, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// Why a pipeline stopped: a part of it could not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{node}: {message}")]
pub struct Failure {
    /// The part, as in "source `transactions`".
    pub node: String,
    /// What happened, where, and what to do.
    pub message: String,
    /// Whether the reader of a pipe is gone: it has what it wanted (`| head`), so the pipeline ends
    /// as if it had been told to.
    pub closed: bool,
}

impl Failure {
    /// A failure of a part of the pipeline.
    pub fn new(node: impl Into<String>, message: impl ToString) -> Self {
        Self { node: node.into(), message: message.to_string(), closed: false }
    }

    /// The same, for a pipe whose reader is gone.
    #[must_use]
    pub fn closed(self) -> Self {
        Self { closed: true, ..self }
    }
}
