//! A batch: rows as Arrow columns, and for every row the place in the source where it was read.
//!
//! `offsets` is ascending within a batch. It is what an exchange merges by, so that the order in
//! which rows of one source are processed never depends on the number of workers.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

/// Rows in flight between two operators.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The columns, all of one length.
    pub columns: RecordBatch,
    /// Place of each row in its source partition (file: line number from 1), ascending.
    pub offsets: ScalarBuffer<u64>,
    /// Event time of each row in milliseconds since the Unix epoch; empty when the source has none.
    pub event_times: ScalarBuffer<i64>,
}

impl Batch {
    /// A batch without rows.
    pub fn empty(schema: SchemaRef) -> Self {
        Self {
            columns: RecordBatch::new_empty(schema),
            offsets: ScalarBuffer::default(),
            event_times: ScalarBuffer::default(),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.num_rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.columns.column_by_name(name)
    }

    /// The rows at `indices`, in that order.
    ///
    /// # Errors
    /// When an index lies outside the batch.
    pub fn take(&self, indices: &UInt32Array) -> Result<Self, ArrowError> {
        Ok(Self {
            columns: take_record_batch(&self.columns, indices)?,
            offsets: gather(&self.offsets, indices),
            event_times: if self.event_times.is_empty() {
                ScalarBuffer::default()
            } else {
                gather(&self.event_times, indices)
            },
        })
    }

    /// A view of `len` rows from `offset`, without a copy.
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        Self {
            columns: self.columns.slice(offset, len),
            offsets: self.offsets.slice(offset, len),
            event_times: if self.event_times.is_empty() {
                ScalarBuffer::default()
            } else {
                self.event_times.slice(offset, len)
            },
        }
    }
}

fn gather<T: arrow::datatypes::ArrowNativeType>(values: &ScalarBuffer<T>, indices: &UInt32Array) -> ScalarBuffer<T> {
    indices.values().iter().map(|&i| values[i as usize]).collect()
}

/// Bytes as a source read them, cut at the ends of records but not yet decoded.
#[derive(Debug, Default)]
pub struct RawBlock {
    /// The bytes of all records, separators included.
    pub bytes: Vec<u8>,
    /// End of each record in `bytes`, separator included; record `i` starts where `i - 1` ended.
    pub ends: Vec<u32>,
    /// Place of the first record in its partition (file: line number from 1).
    pub first_offset: u64,
    /// Place of each record, where places have gaps (Kafka); empty when they follow each other.
    pub offsets: Vec<u64>,
    /// Records that were not kept because they were longer than the limit: index among `ends`
    /// (their bytes there are the kept beginning) and their full length.
    pub oversized: Vec<(u32, u64)>,
    /// The header line of the input, for formats that have one.
    pub header: Option<Arc<[u8]>>,
}
