//! An answer over borrowed bytes, without Arrow.

use crate::answer_index::Index;
use crate::column::Column;
use crate::{AnswerSpec, CounterIncrement, LayoutError, RowError, SlotChange, TimerChange};

/// A checked answer over borrowed bytes, for hosts without Arrow and for native tests of plugins.
#[derive(Clone, Debug)]
pub struct AnswerRef<'a> {
    bytes: &'a [u8],
    index: Index,
}

impl<'a> AnswerRef<'a> {
    /// Reads the answer to an input of `rows` rows and `keys` keys, and checks all of it.
    ///
    /// # Errors
    /// When anything is not as format 1 and `spec` have it.
    pub fn parse(bytes: &'a [u8], spec: &AnswerSpec, rows: usize, keys: usize) -> Result<Self, LayoutError> {
        let answer = Self { bytes, index: Index::parse(bytes, spec, rows, keys)? };
        for (port, index) in answer.index.ports.iter().enumerate() {
            for column in 0..index.columns.len() {
                answer.column(port, column)?.check().map_err(|error| error.in_port(port))?;
            }
        }
        Ok(answer)
    }

    /// Number of rows of a port; 0 when there is no such port.
    pub fn rows(&self, port: usize) -> usize {
        self.index.ports.get(port).map_or(0, |port| port.rows)
    }

    /// The input row that `row` of `port` comes from.
    pub fn origin(&self, port: usize, row: usize) -> Option<u32> {
        let port = self.index.ports.get(port)?;
        match port.origins {
            Some(span) => span.records::<4>(self.bytes).get(row).copied().map(u32::from_le_bytes),
            None => u32::try_from(row).ok().filter(|_| row < port.rows),
        }
    }

    /// A column of a port.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn column(&self, port: usize, column: usize) -> Result<Column<'a>, LayoutError> {
        let found = self.index.ports.get(port).and_then(|port| Some((port.rows, port.columns.get(column)?)));
        let Some((rows, entry)) = found else {
            let limit = self.index.ports.get(port).map_or(0, |port| port.columns.len() as u64);
            let error = LayoutError::Value { what: "index of column", at: column, found: column as u64, limit };
            return Err(error.in_port(port));
        };
        Ok(Column::new(entry, self.bytes, column, rows))
    }

    /// Slots that the guest changed, no key twice.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = SlotChange<'a>> + use<'a> {
        self.index.slots(self.bytes)
    }

    /// Rows that the guest could not process.
    pub fn errors(&self) -> impl ExactSizeIterator<Item = RowError<'a>> + use<'a> {
        self.index.errors(self.bytes)
    }

    /// Timers that the guest set or cancelled, in its order.
    pub fn timers(&self) -> impl ExactSizeIterator<Item = TimerChange> + use<'a> {
        self.index.timers(self.bytes)
    }

    /// Increments of counters.
    pub fn counters(&self) -> impl ExactSizeIterator<Item = CounterIncrement> + use<'a> {
        self.index.counters(self.bytes)
    }
}
