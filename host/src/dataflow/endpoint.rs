//! The two ends of a pipeline as the dataflow sees them: where rows come from and where they go.
//! Both run on threads of their own and may block.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::failure::Failure;
use crate::record::{Batch, Position, RawBlock, SinkState};

/// What a source hands over: records still to be decoded, or rows.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes cut at the ends of records; workers decode them.
    Raw(RawBlock),
    /// Rows that need no decoding.
    Rows(Batch),
}

/// Where a partition goes on behind a chunk; the fields are those of [`Position`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// Place of the next record.
    pub place: u64,
    /// Where it begins, in bytes.
    pub byte: u64,
    /// Hash of the input's beginning.
    pub identity: u64,
}

/// The pipeline wants no more rows.
#[derive(Debug)]
pub struct Stopped;

/// The way from a source into the pipeline.
pub trait Output {
    /// Announces a partition and where it begins; returns its number. A name that is known keeps
    /// its number, and goes on where this says. Until its first row it holds the watermark back,
    /// unless it is [idle](Self::idle).
    fn open(&mut self, at: Position) -> u32;

    /// The partition no longer belongs to this process: it leaves the positions and the watermark.
    fn close(&mut self, partition: u32);

    /// Until its next chunk the partition does not hold the watermark back.
    fn idle(&mut self, partition: u32);

    /// Hands over a chunk of a partition, and where the partition goes on behind it. `since` is the
    /// moment at which its first row was there (or was scheduled to be): latency is measured from
    /// it. Blocks while the pipeline is full.
    ///
    /// # Errors
    /// [`Stopped`] when the pipeline wants no more rows; the chunk was not taken.
    fn send(&mut self, partition: u32, chunk: Chunk, next: Next, since: Instant) -> Result<(), Stopped>;

    /// Asks for a barrier behind all that was handed over, and waits until its epoch is committed:
    /// before a partition is given up. False when `patience` ran out, or the pipeline stops.
    fn settle(&mut self, patience: Duration) -> bool;

    /// Whether the pipeline wants no more rows, for sources that wait for input.
    fn stopped(&self) -> bool;
}

/// A source that is ready to run. It hands over what it has as soon as it has it, and never waits
/// to fill a batch.
pub trait Source: Send {
    /// Bytes of input, when they are known beforehand, for progress bars.
    fn total_bytes(&self) -> Option<u64> {
        None
    }

    /// Whether it can begin again at a position; standard input cannot.
    fn replayable(&self) -> bool {
        true
    }

    /// Runs from `start`, the positions of the committed epoch (none: from the beginning), to the
    /// end of the input, or until the pipeline is stopped.
    ///
    /// # Errors
    /// When the input cannot be read, or is not the one that the positions are of; the message names
    /// it and the place.
    fn run(self: Box<Self>, start: &[Position], output: &mut dyn Output) -> Result<(), Failure>;
}

/// What a sink wants to know of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Their number; they are not encoded for it.
    Nothing,
    /// Their bytes.
    Bytes,
    /// Their bytes, and of each record its end, its key and its place in the source.
    Records,
}

/// What one worker has for a sink out of one block.
#[derive(Debug, Default)]
pub struct SinkRows {
    /// Encoded records.
    pub bytes: Vec<u8>,
    /// How many.
    pub rows: u64,
    /// For a sink that wants [`Wants::Records`].
    pub records: Option<Box<Records>>,
}

impl SinkRows {
    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

/// What a sink of messages knows of each record of a block.
#[derive(Debug, Default)]
pub struct Records {
    /// End of each record in the bytes, its line end included.
    pub ends: Vec<u32>,
    /// Keys, one behind the other, where the sink has a key column.
    pub keys: Vec<u8>,
    /// End of each key in `keys`; empty without a key column.
    pub key_ends: Vec<u32>,
    /// Which keys are null; empty when none is.
    pub null_keys: Vec<bool>,
    /// Place of each record's row in its partition.
    pub origins: Vec<u64>,
    /// The source.
    pub source: Arc<str>,
    /// Its partition.
    pub partition: Arc<str>,
}

/// What a sink has of an epoch at its barrier.
pub struct Prepared {
    /// What the epoch record keeps.
    pub state: SinkState,
    /// What makes it durable, done before the epoch record is written and off the sink's thread.
    pub sync: Option<Sync>,
}

/// Makes what a sink wrote durable.
pub type Sync = Box<dyn FnOnce() -> Result<(), Failure> + Send>;

impl From<SinkState> for Prepared {
    fn from(state: SinkState) -> Self {
        Self { state, sync: None }
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("state", &self.state).finish_non_exhaustive()
    }
}

/// A sink that is ready to take rows, in the order of the source, from one thread.
pub trait Sink: Send {
    /// Whether nothing was written to it before: it gets the line that comes before all records.
    fn is_new(&self) -> bool {
        true
    }

    /// Takes encoded records. They may be buffered.
    ///
    /// # Errors
    /// When they cannot be written.
    fn write(&mut self, rows: &SinkRows) -> Result<(), Failure>;

    /// Hands everything taken so far to the operating system. Called when no more is waiting, so
    /// that at low rates a row is out as soon as it is written.
    ///
    /// # Errors
    /// When it cannot be written.
    fn flush(&mut self) -> Result<(), Failure>;

    /// The epoch ends here: everything taken so far belongs to it or to those before.
    ///
    /// # Errors
    /// When it cannot be written.
    fn prepare(&mut self, epoch: u64) -> Result<Prepared, Failure>;

    /// Closes. What was taken after the last epoch may be lost.
    ///
    /// # Errors
    /// When it cannot be closed.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}
