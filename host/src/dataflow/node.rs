//! What the dataflow asks of an operator. The dataflow does not know what is behind it: a sandboxed
//! plugin, a model, or a test's closure.

use crate::record::Batch;
use crate::state::DirtySlots;

/// Times that go with a batch.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Watermark of the operator's input in milliseconds since the Unix epoch; `i64::MIN` before
    /// the first event.
    pub watermark: i64,
    /// Processing time in milliseconds since the Unix epoch.
    pub processing: i64,
}

/// What came of a batch. Cleared and used again for the next.
#[derive(Debug, Default)]
pub struct Emitted {
    /// Rows by port.
    pub outputs: Vec<(usize, Batch)>,
    /// Rows of the input (by index) that could not be processed, and why.
    pub rejected: Vec<(u32, String)>,
}

/// An operator on one worker.
pub trait Operator: Send {
    /// Processes a batch. Rows that it cannot process are rejected; the others must be unharmed.
    ///
    /// # Errors
    /// When the operator cannot go on at all; the pipeline stops with the message.
    fn process(&mut self, batch: &Batch, times: Times, emitted: &mut Emitted) -> Result<(), String>;

    /// The epoch ends: the state that changed in it.
    fn hand_over(&mut self, _epoch: u64) -> Option<DirtySlots> {
        None
    }

    /// The state of an epoch is in the store.
    fn applied(&mut self, _epoch: u64) {}

    /// An epoch begins: the moment at which a new generation takes over.
    fn begin_epoch(&mut self, _epoch: u64) {}

    /// Whether more state changed than should wait for the next regular barrier.
    fn needs_barrier(&self) -> bool {
        false
    }
}

/// Makes the operator of a worker.
pub type OperatorFactory<'a> = Box<dyn FnMut(usize) -> Result<Box<dyn Operator>, String> + 'a>;
