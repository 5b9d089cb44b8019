//! Rows that came to a hub together.

use std::sync::Arc;
use std::time::Instant;

use crate::dataflow::message::Header;
use crate::record::{Batch, InFlight, KeyHash};

/// Rows of one block.
#[derive(Debug)]
pub(super) struct Group {
    /// Index of their source, and number of the partition.
    pub source: u16,
    pub partition: u32,
    /// Watermark under which they came.
    pub watermark: i64,
    /// When the first of them was there.
    pub since: Instant,
    pub rows: Batch,
    /// Hash of each row's key, where rows of a key keep their order.
    pub keys: Vec<KeyHash>,
}

impl Group {
    pub(super) fn key(&self, row: u32) -> KeyHash {
        self.keys.get(row as usize).copied().unwrap_or_default()
    }

    pub(super) fn in_flight(&self, source: Arc<str>, partition: Arc<str>) -> InFlight {
        InFlight { source, partition, watermark: self.watermark, rows: self.rows.clone() }
    }
}

/// Rows of which some have not been submitted.
#[derive(Debug)]
pub(super) struct Queued {
    pub group: std::rc::Rc<Group>,
    /// The next row to submit.
    pub next: usize,
    /// Holds the block's share of the budget until its last row is submitted.
    #[expect(dead_code, reason = "held for its drop")]
    pub header: Option<Header>,
}
