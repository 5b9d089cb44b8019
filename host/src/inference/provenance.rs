//! Columns that say which model made a prediction. They hold one value each, so they are built once
//! per worker, as long as the longest batch so far, and a batch gets slices of them: no copy, no
//! formatting.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};

use super::Model;

/// The columns of one model.
pub(super) struct Provenance {
    values: [String; 3],
    columns: [ArrayRef; 3],
}

impl Provenance {
    pub(super) fn new(model: &Model) -> Self {
        let values = [model.name().to_owned(), model.version().to_owned(), model.sha256().to_owned()];
        Self { columns: values.each_ref().map(|value| repeat(value, 0)), values }
    }

    /// The columns for `rows` rows.
    pub(super) fn columns(&mut self, rows: usize) -> [ArrayRef; 3] {
        if self.columns[0].len() < rows {
            let len = rows.next_power_of_two();
            self.columns = self.values.each_ref().map(|value| repeat(value, len));
        }
        self.columns.each_ref().map(|column| column.slice(0, rows))
    }
}

fn repeat(value: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, rows)))
}
