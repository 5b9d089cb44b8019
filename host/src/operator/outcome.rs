//! What came of a batch.

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::record::Batch;

/// What an operator made of one batch. Reused from batch to batch.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Rows of every output port, in the order of their origin.
    pub ports: Vec<Batch>,
    /// Rows that were not processed, in their order, each once.
    pub rejected: Vec<RowRejected>,
    /// Increments of the plugin's counters, by index in its description.
    pub counters: Vec<Increment>,
    /// What it took.
    pub stats: Stats,
    /// Parts of `ports`, from the ranges of rows that went well; one unless a row was isolated.
    pub(super) parts: Vec<Vec<Batch>>,
}

/// A row that was not processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowRejected {
    /// Index in the input batch.
    pub row: u32,
    /// What happened, in one line that names the plugin.
    pub reason: String,
}

/// How much a counter grew.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Increment {
    /// Whole steps.
    pub whole: u64,
    /// Fractions.
    pub fraction: f64,
}

/// What one batch took, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls of the plugin.
    pub calls: u64,
    /// Rows given to it in calls that went well.
    pub rows: u64,
    /// Calls that trapped, ran out of memory or gave an answer that was refused.
    pub traps: u64,
    /// Calls that ran past their deadline.
    pub timeouts: u64,
    /// Fresh instances after a failure.
    pub restarts: u64,
    /// Instances given up because they had grown to the high-water mark.
    pub recycles: u64,
}

impl Outcome {
    pub(super) fn start(&mut self, ports: usize, counters: usize) {
        self.ports.clear();
        self.rejected.clear();
        self.counters.clear();
        self.counters.resize(counters, Increment::default());
        self.stats = Stats::default();
        self.parts.iter_mut().for_each(Vec::clear);
        self.parts.resize_with(ports, Vec::new);
    }

    /// Joins the parts and puts the rejected rows in order.
    pub(super) fn finish<'a>(&mut self, schemas: impl Iterator<Item = &'a SchemaRef>) -> Result<(), ArrowError> {
        for (parts, schema) in self.parts.iter_mut().zip(schemas) {
            let joined = match parts.len() {
                0 => Batch::empty(schema.clone()),
                1 => parts.pop().unwrap_or_else(|| Batch::empty(schema.clone())),
                _ => Batch {
                    columns: concat_batches(schema, parts.iter().map(|b| &b.columns))?,
                    offsets: parts.iter().flat_map(|b| b.offsets.iter().copied()).collect(),
                    event_times: parts.iter().flat_map(|b| b.event_times.iter().copied()).collect(),
                },
            };
            parts.clear();
            self.ports.push(joined);
        }
        // A row may have more than one error; the first counts.
        self.rejected.sort_by_key(|r| r.row);
        self.rejected.dedup_by_key(|r| r.row);
        Ok(())
    }
}
