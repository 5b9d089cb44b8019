//! The place of an asynchronous operator: a thread of its own, on which rows wait for their answers
//! while the stream goes on.
//!
//! Rows come in as to a keyed stage, in the order of their sources, and leave in a sequence of the
//! hub's own. What has been taken and not handed on is in its [`table`]; at a barrier it becomes part
//! of the epoch, so the barrier need not wait for answers. The watermark stays behind the oldest row
//! that has not left.

mod completions;
mod group;
mod outgoing;
mod pace;
mod stage;
mod table;
#[cfg(test)]
mod tests;

pub use completions::Completions;
pub use table::Order;

pub(crate) use stage::Hub;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::node::Emitted;
use crate::record::{Batch, InFlight};

/// Rows for an asynchronous operator.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The rows.
    pub rows: Batch,
    /// Number of the first; the others follow without gaps.
    pub first: u64,
    /// Name of their source.
    pub source: Arc<str>,
    /// Name of their partition.
    pub partition: Arc<str>,
}

/// An operator that answers its rows later. It lives on its hub's thread, where a tokio runtime runs:
/// it may spawn local tasks there.
pub trait AsyncOperator {
    /// Rows that it takes now. When that grows other than by a completion, it
    /// [nudges](Completions::nudge).
    fn room(&self) -> usize;

    /// Takes rows, without waiting. Each is [completed](Completions::complete) once, whatever becomes
    /// of it.
    fn submit(&mut self, submission: Submission);

    /// What became of completed rows: `rows` are as they were submitted, `ids` their numbers. Called
    /// once for each row, in the order in which rows leave.
    ///
    /// # Errors
    /// When the operator cannot go on at all.
    fn emit(&mut self, ids: &[u64], rows: &Batch, emitted: &mut Emitted) -> Result<(), String>;
}

/// Makes an asynchronous operator on its thread.
pub type AsyncFactory = Box<dyn FnOnce(Completions) -> Result<Box<dyn AsyncOperator>, String> + Send>;

/// An asynchronous operator and where it begins.
pub struct AsyncPart {
    /// Makes it.
    pub make: AsyncFactory,
    /// Order in which rows leave.
    pub order: Order,
    /// Column of the key, for [`Order::Key`].
    pub key: Option<usize>,
    /// Rows that are completed and wait for their turn at most.
    pub waiting: usize,
    /// Rows that the committed epoch left in flight.
    pub start: Vec<InFlight>,
    /// What is counted.
    pub stats: Arc<HubStats>,
}

/// What a hub counts.
#[derive(Debug, Default)]
pub struct HubStats {
    /// Rows that wait to be taken.
    pub queued: AtomicU64,
    /// Rows with the operator.
    pub in_flight: AtomicU64,
    /// Rows that are completed and wait for their turn.
    pub waiting: AtomicU64,
    /// Nanoseconds for which rows waited because the operator was full: backpressure.
    pub full_ns: AtomicU64,
    /// Rows that were asked for again after a restart.
    pub restored: AtomicU64,
}

impl HubStats {
    /// Rows that have come and not left.
    pub fn rows(&self) -> u64 {
        let of = |count: &AtomicU64| count.load(Relaxed);
        of(&self.queued) + of(&self.in_flight) + of(&self.waiting)
    }
}
