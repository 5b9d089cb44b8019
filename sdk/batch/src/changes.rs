//! What an answer may hold, and the items that it is read as.

use alloc::vec::Vec;

use crate::ColumnType;

/// What an answer may hold.
#[derive(Clone, Debug)]
pub struct AnswerSpec {
    /// Column types of every output port.
    pub ports: Vec<Vec<ColumnType>>,
    /// Number of counters that the plugin described.
    pub counters: u32,
    /// How much it may hold of each.
    pub limits: Limits,
}

/// Limits of an answer. Its length as a whole is limited by the guest's memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows per port. One row in may become many, but a batch must stay a batch for the
    /// operators behind.
    pub rows: u32,
    /// Bytes of one slot: a slot travels with every batch that has its key.
    pub slot: u32,
}

impl Default for Limits {
    /// 1,048,576 rows per port (1,024 per row of a full batch) and 1 MiB per slot.
    fn default() -> Self {
        Self { rows: 1 << 20, slot: 1 << 20 }
    }
}

/// A slot that the guest changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotChange<'a> {
    /// Index of the key in the input.
    pub key: u32,
    /// The new state; `None` deletes it.
    pub bytes: Option<&'a [u8]>,
}

/// A row that the guest could not process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowError<'a> {
    /// Index of the row in the input.
    pub row: u32,
    /// Code as in the error of the plugin's interface.
    pub code: u32,
    /// Message for a human.
    pub message: &'a str,
}

/// A timer that the guest set or cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerChange {
    /// Index of the key in the input.
    pub key: u32,
    /// Event time, milliseconds since the Unix epoch.
    pub at: i64,
    /// Whether it is cancelled rather than set.
    pub cancel: bool,
}

/// An increment of a counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CounterIncrement {
    /// Index of the counter in the plugin's description.
    pub index: u32,
    /// By how much.
    pub by: Increment,
}

/// The size of an increment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Increment {
    /// A whole number.
    Whole(u64),
    /// A finite number that is not negative.
    Fraction(f64),
}
