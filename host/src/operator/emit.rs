//! From a checked answer to the rows behind the operator: forwarded columns by their origin row,
//! the plugin's columns as they are in its answer. Where each row comes from the input row of the
//! same index, nothing is copied.

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;
use millstream_batch::AnswerView;

use super::columns::{From, PortColumns};
use super::outcome::RowRejected;
use crate::record::Batch;

/// The rows of port `port`.
pub(super) fn rows(input: &Batch, answer: &AnswerView, port: usize, plan: &PortColumns) -> Result<Batch, ArrowError> {
    let Some(own) = answer.port_batch(port) else {
        return Ok(Batch::empty(plan.schema.clone()));
    };
    let rows = own.num_rows();
    if rows == 0 {
        return Ok(Batch::empty(plan.schema.clone()));
    }
    let origins = answer.origin(port).map(|origins| UInt32Array::new(origins.clone(), None));
    let column = |from: &From| -> Result<ArrayRef, ArrowError> {
        match (*from, &origins) {
            (From::Plugin(at), _) => column_of(own, at),
            (From::Input(at), None) => column_of(&input.columns, at),
            // Origins were compared with the number of input rows when the answer was read.
            (From::Input(at), Some(origins)) => take(&column_of(&input.columns, at)?, origins, None),
        }
    };
    let columns = plan.from.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(Batch {
        columns: RecordBatch::try_new_with_options(plan.schema.clone(), columns, &options)?,
        offsets: match &origins {
            None => input.offsets.clone(),
            Some(origins) => gather(&input.offsets, origins),
        },
        event_times: match &origins {
            None => input.event_times.clone(),
            Some(origins) => gather(&input.event_times, origins),
        },
    })
}

fn column_of(batch: &RecordBatch, at: usize) -> Result<ArrayRef, ArrowError> {
    let missing = || ArrowError::SchemaError(format!("no column {at} in a batch of {}", batch.num_columns()));
    batch.columns().get(at).cloned().ok_or_else(missing)
}

/// Values by origin row; none at all when there are none.
fn gather<T: Copy, B: FromIterator<T>>(values: &[T], origins: &UInt32Array) -> B {
    origins.values().iter().filter_map(|&at| values.get(at as usize).copied()).collect()
}

/// Rows in which one of these columns is null, in their order, each once.
pub(super) fn nulls<'a>(columns: impl Iterator<Item = (&'a str, &'a ArrayRef)>, plugin: &str) -> Vec<RowRejected> {
    let mut found = Vec::new();
    for (name, column) in columns.filter(|(_, column)| column.null_count() > 0) {
        let rows = (0..column.len()).filter(|&row| column.is_null(row));
        found.extend(rows.map(|row| RowRejected {
            row: row as u32,
            reason: format!("{plugin}: column `{name}` is null, and the plugin reads it as never null"),
        }));
    }
    found.sort_by_key(|r| r.row);
    found.dedup_by_key(|r| r.row);
    found
}
