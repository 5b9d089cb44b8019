//! Rows that an asynchronous operator has taken and not handed on: what an epoch keeps of them, so
//! that a restart asks for their answers again.
//!
//! As bytes they are one batch in Arrow's stream format, compressed: the operator's input columns,
//! and behind them where each row came from, its event time and the watermark under which it came.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use super::Batch;

/// Bytes that such rows may unfold to: far beyond what a pipeline's limits let be in flight.
const MAX_BYTES: u64 = 1 << 32;
/// Zstandard's level: as fast as there is.
const LEVEL: i32 = -3;

/// Rows of one partition that came under one watermark.
#[derive(Clone, Debug)]
pub struct InFlight {
    /// Name of the source.
    pub source: Arc<str>,
    /// Name of its partition.
    pub partition: Arc<str>,
    /// Watermark under which they came, in milliseconds since the Unix epoch; `i64::MIN` before the
    /// first event.
    pub watermark: i64,
    /// The rows, as the operator got them.
    pub rows: Batch,
}

/// Why kept rows cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InFlightError {
    /// They are damaged.
    #[error("they cannot be read: {0}")]
    Unreadable(String),
    /// The operator has other input columns now.
    #[error("they have the columns {kept}, and the operator's input has {now}")]
    Columns {
        /// As kept.
        kept: String,
        /// As the pipeline has them.
        now: String,
    },
}

fn unreadable(error: impl ToString) -> InFlightError {
    InFlightError::Unreadable(error.to_string())
}

/// Columns behind those of the input.
fn own_fields() -> [Field; 5] {
    [
        Field::new("source", DataType::Utf8, false),
        Field::new("partition", DataType::Utf8, false),
        Field::new("offset", DataType::UInt64, false),
        Field::new("event_time", DataType::Int64, true),
        Field::new("watermark", DataType::Int64, false),
    ]
}

fn with_own(input: &Schema) -> SchemaRef {
    let own = own_fields().map(Arc::new);
    Arc::new(Schema::new(input.fields().iter().cloned().chain(own).collect::<Vec<_>>()))
}

/// Rows as bytes; none are no bytes.
///
/// # Errors
/// When the rows do not have the same columns.
pub fn encode_in_flight(parts: &[InFlight]) -> Result<Vec<u8>, ArrowError> {
    let Some(first) = parts.first() else { return Ok(Vec::new()) };
    let schema = with_own(first.rows.columns.schema_ref());
    let batches = parts.iter().map(|part| {
        let InFlight { source, partition, watermark, rows } = part;
        let n = rows.rows();
        let times: Int64Array = match rows.event_times.is_empty() {
            true => Int64Array::new_null(n),
            false => rows.event_times.iter().copied().map(Some).collect(),
        };
        let own: [ArrayRef; 5] = [
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(source, n))),
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(partition, n))),
            Arc::new(UInt64Array::from_iter_values(rows.offsets.iter().copied())),
            Arc::new(times),
            Arc::new(Int64Array::from_value(*watermark, n)),
        ];
        let columns = rows.columns.columns().iter().cloned().chain(own).collect();
        RecordBatch::try_new(Arc::clone(&schema), columns)
    });
    let batches = batches.collect::<Result<Vec<_>, _>>()?;
    let whole = concat_batches(&schema, &batches)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&whole)?;
    let bytes = writer.into_inner()?;
    zstd::bulk::compress(&bytes, LEVEL).map_err(|e| ArrowError::IoError(e.to_string(), e))
}

/// Rows from bytes, for an operator with this input.
///
/// # Errors
/// [`InFlightError`] when the bytes are damaged, or of other columns.
pub fn decode_in_flight(bytes: &[u8], input: &Schema) -> Result<Vec<InFlight>, InFlightError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let plain = zstd::stream::Decoder::new(bytes).map_err(unreadable)?;
    let reader = StreamReader::try_new(std::io::Read::take(plain, MAX_BYTES), None).map_err(unreadable)?;
    let expected = with_own(input);
    if reader.schema().fields() != expected.fields() {
        let own = own_fields().len();
        let names = |schema: &Schema| {
            let fields = schema.fields().iter().take(schema.fields().len().saturating_sub(own));
            let one = |f: &Arc<Field>| format!("`{}` {}", f.name(), super::format_type(f.data_type()));
            fields.map(one).collect::<Vec<_>>().join(", ")
        };
        return Err(InFlightError::Columns { kept: names(&reader.schema()), now: names(&expected) });
    }
    let mut parts = Vec::new();
    for batch in reader {
        let batch = batch.map_err(unreadable)?;
        cut(&batch, input, &mut parts).map_err(unreadable)?;
    }
    Ok(parts)
}

/// Cuts a batch where rows came from elsewhere, or under another watermark.
fn cut(batch: &RecordBatch, input: &Schema, parts: &mut Vec<InFlight>) -> Result<(), ArrowError> {
    let width = input.fields().len();
    let own = |index: usize| batch.column(width + index);
    let (sources, partitions) = (own(0).as_string::<i32>(), own(1).as_string::<i32>());
    let offsets = own(2).as_primitive::<UInt64Type>();
    let (times, watermarks) = (own(3).as_primitive::<Int64Type>(), own(4).as_primitive::<Int64Type>());
    let inputs: Vec<usize> = (0..width).collect();
    let columns = batch.project(&inputs)?;
    let same = |a: usize, b: usize| {
        sources.value(a) == sources.value(b)
            && partitions.value(a) == partitions.value(b)
            && watermarks.value(a) == watermarks.value(b)
            && offsets.value(a) <= offsets.value(b)
    };
    let mut start = 0;
    for end in 1..=batch.num_rows() {
        if end < batch.num_rows() && same(end - 1, end) {
            continue;
        }
        let part_times = times.slice(start, end - start);
        let timed = part_times.null_count() == 0;
        parts.push(InFlight {
            source: sources.value(start).into(),
            partition: partitions.value(start).into(),
            watermark: watermarks.value(start),
            rows: Batch {
                columns: columns.slice(start, end - start),
                offsets: offsets.values().slice(start, end - start),
                event_times: if timed { part_times.values().clone() } else { Default::default() },
            },
        });
        start = end;
    }
    Ok(())
}

impl InFlight {
    /// Some of its rows, by index, ascending.
    ///
    /// # Errors
    /// When an index lies outside.
    pub fn take(&self, rows: &[u32]) -> Result<Self, ArrowError> {
        let rows = self.rows.take(&UInt32Array::from(rows.to_vec()))?;
        Ok(Self { rows, source: Arc::clone(&self.source), partition: Arc::clone(&self.partition), ..*self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Float32Array;
    use proptest::prelude::*;

    fn part(source: &str, partition: &str, watermark: i64, offsets: &[u64], timed: bool) -> InFlight {
        let schema = Schema::new(vec![Field::new("x", DataType::Float32, true)]);
        let values: Float32Array = offsets.iter().map(|&o| (o % 3 != 0).then_some(o as f32)).collect();
        let columns = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(values)]).unwrap();
        let event_times = if timed { offsets.iter().map(|&o| o as i64 * 10).collect() } else { Default::default() };
        let rows = Batch { columns, offsets: offsets.iter().copied().collect(), event_times };
        InFlight { source: source.into(), partition: partition.into(), watermark, rows }
    }

    fn flat(parts: &[InFlight]) -> Vec<(String, String, i64, u64, Option<i64>, String)> {
        let mut out = Vec::new();
        for part in parts {
            for row in 0..part.rows.rows() {
                let value = format!("{:?}", part.rows.columns.column(0).slice(row, 1));
                let time = part.rows.event_times.get(row).copied();
                let (source, partition) = (part.source.to_string(), part.partition.to_string());
                out.push((source, partition, part.watermark, part.rows.offsets[row], time, value));
            }
        }
        out
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were(
            shapes in prop::collection::vec(("[ab]", "[xy]", any::<i64>(), prop::collection::btree_set(any::<u64>(), 1..20)), 0..8),
            timed: bool,
        ) {
            let shapes = shapes.iter();
            let parts: Vec<InFlight> =
                shapes.map(|(s, p, w, o)| part(s, p, *w, &o.iter().map(|o| o >> 8).collect::<Vec<_>>(), timed)).collect();
            let bytes = encode_in_flight(&parts).unwrap();
            let input = Schema::new(vec![Field::new("x", DataType::Float32, true)]);
            let back = decode_in_flight(&bytes, &input).unwrap();
            prop_assert_eq!(flat(&back), flat(&parts));
            for part in &back {
                prop_assert!(part.rows.offsets.is_sorted());
            }
        }

        #[test]
        fn damaged_bytes_are_an_error_and_not_a_panic(cut in 0usize..400, flip in 0usize..400, with in 1u8..255) {
            let mut bytes = encode_in_flight(&[part("a", "x", 1, &[1, 2, 3], true)]).unwrap();
            let at = flip % bytes.len();
            bytes[at] ^= with;
            let keep = bytes.len() - cut % bytes.len();
            let input = Schema::new(vec![Field::new("x", DataType::Float32, true)]);
            let _ = decode_in_flight(&bytes[..keep], &input);
        }
    }

    #[test]
    fn rows_with_and_without_event_time_stay_apart() {
        let parts = [part("a", "x", 1, &[1, 2], true), part("b", "x", 1, &[3], false)];
        let input = Schema::new(vec![Field::new("x", DataType::Float32, true)]);
        let back = decode_in_flight(&encode_in_flight(&parts).unwrap(), &input).unwrap();
        assert_eq!(flat(&back), flat(&parts));
    }

    #[test]
    fn other_columns_are_named() {
        let bytes = encode_in_flight(&[part("a", "x", 1, &[1], true)]).unwrap();
        let input = Schema::new(vec![Field::new("y", DataType::Float64, true)]);
        let error = decode_in_flight(&bytes, &input).unwrap_err().to_string();
        assert_eq!(error, "they have the columns `x` f32, and the operator's input has `y` f64");
    }
}
