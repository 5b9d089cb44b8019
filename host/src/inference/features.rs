//! From columns to the rows of a tensor: borrowed when the column has their layout already, gathered
//! otherwise. A row with a null among its features, or with a list of another length, has no tensor
//! row; it is reported with its reason.

use std::cmp::Reverse;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use hashbrown::HashMap;

/// Where a batch has its features; the numbers are indices of columns.
#[derive(Debug)]
pub(super) enum Features {
    /// One column `f32[N]`.
    Vector(usize),
    /// One column `list<f32>`.
    List(usize),
    /// N columns `f32` or `f64`.
    Columns(Vec<usize>),
}

/// The features of a batch.
pub(super) enum Rows<'a> {
    /// All rows, in the column's own memory.
    Borrowed(&'a [f32]),
    /// All rows, in the buffer of the caller.
    Gathered,
    /// Some rows, in the buffer of the caller.
    Some {
        /// Indices of the rows that are there, ascending.
        kept: Vec<u32>,
        /// The others, with the reason.
        rejected: Vec<(u32, String)>,
    },
}

/// The batch is not of the schema that was checked.
pub(super) struct Changed;

impl Features {
    /// The length that most lists of a batch have, empty ones aside, where lists may differ.
    pub(super) fn usual_length(&self, batch: &RecordBatch) -> Option<usize> {
        let Self::List(index) = self else { return None };
        let list = batch.columns().get(*index)?.as_list_opt::<i32>()?;
        let mut counts: HashMap<i32, (u32, Reverse<usize>)> = HashMap::new();
        for row in (0..list.len()).filter(|&row| !list.is_null(row) && list.value_length(row) > 0) {
            counts.entry(list.value_length(row)).or_insert((0, Reverse(row))).0 += 1;
        }
        let usual = counts.into_iter().max_by_key(|(_, count)| *count);
        usual.and_then(|(length, _)| usize::try_from(length).ok())
    }

    /// The rows of `batch` as a tensor with `width` columns, in `buffer` unless they can be borrowed.
    pub(super) fn read<'a>(
        &self,
        batch: &'a RecordBatch,
        width: usize,
        buffer: &mut Vec<f32>,
    ) -> Result<Rows<'a>, Changed> {
        buffer.clear();
        match self {
            Self::Vector(index) => {
                let column = batch.columns().get(*index).ok_or(Changed)?;
                let list = column.as_fixed_size_list_opt().ok_or(Changed)?;
                let values = list.values().as_primitive_opt::<Float32Type>().ok_or(Changed)?;
                if values.len() != list.len() * width {
                    return Err(Changed);
                }
                if list.null_count() == 0 && values.null_count() == 0 {
                    return Ok(Rows::Borrowed(values.values()));
                }
                Ok(gather(batch, *index, width, buffer, values, |row| (row * width, width)))
            }
            Self::List(index) => {
                let column = batch.columns().get(*index).ok_or(Changed)?;
                let list = column.as_list_opt::<i32>().ok_or(Changed)?;
                let values = list.values().as_primitive_opt::<Float32Type>().ok_or(Changed)?;
                let ends = list.value_offsets();
                let regular = ends.windows(2).all(|pair| pair[1] - pair[0] == width as i32);
                if regular && list.null_count() == 0 && values.null_count() == 0 {
                    let (start, len) = (ends.first().copied().unwrap_or(0) as usize, list.len() * width);
                    return values.values().get(start..start + len).map(Rows::Borrowed).ok_or(Changed);
                }
                let place = |row: usize| (ends[row] as usize, (ends[row + 1] - ends[row]) as usize);
                Ok(gather(batch, *index, width, buffer, values, place))
            }
            Self::Columns(indices) => transpose(batch, indices, buffer),
        }
    }
}

/// Rows of a list column, whose values lie at `place` (start, length).
fn gather<'a>(
    batch: &RecordBatch,
    index: usize,
    width: usize,
    buffer: &mut Vec<f32>,
    values: &Float32Array,
    place: impl Fn(usize) -> (usize, usize),
) -> Rows<'a> {
    let column = batch.column(index);
    let schema = batch.schema_ref();
    let name = schema.field(index).name();
    let (mut kept, mut rejected) = (Vec::with_capacity(column.len()), Vec::new());
    for row in 0..column.len() {
        let (start, len) = place(row);
        let reason = if column.is_null(row) {
            format!("column `{name}` is null")
        } else if len != width {
            format!("column `{name}` holds {len} values, the model takes {width}")
        } else if let Some(i) = (0..len).find(|i| values.is_null(start + i)) {
            format!("value {} of column `{name}` is null", i + 1)
        } else {
            buffer.extend_from_slice(&values.values()[start..start + len]);
            kept.push(row as u32);
            continue;
        };
        rejected.push((row as u32, reason));
    }
    Rows::Some { kept, rejected }
}

/// Columns to rows. Rows with a null are squeezed out afterwards, as they are rare.
fn transpose<'a>(batch: &RecordBatch, indices: &[usize], buffer: &mut Vec<f32>) -> Result<Rows<'a>, Changed> {
    let columns: Vec<&ArrayRef> =
        indices.iter().map(|&index| batch.columns().get(index)).collect::<Option<_>>().ok_or(Changed)?;
    let (rows, width) = (batch.num_rows(), columns.len());
    buffer.resize(rows * width, 0.0);
    for (at, column) in columns.iter().enumerate() {
        let slots = buffer.iter_mut().skip(at).step_by(width);
        match column.data_type() {
            DataType::Float32 => {
                let values = column.as_primitive::<Float32Type>().values();
                slots.zip(values).for_each(|(slot, &value)| *slot = value);
            }
            DataType::Float64 => {
                let values = column.as_primitive::<Float64Type>().values();
                slots.zip(values).for_each(|(slot, &value)| *slot = value as f32);
            }
            _ => return Err(Changed),
        }
    }
    if columns.iter().all(|column| column.null_count() == 0) {
        return Ok(Rows::Gathered);
    }
    let schema = batch.schema_ref();
    let (mut kept, mut rejected) = (Vec::with_capacity(rows), Vec::new());
    for row in 0..rows {
        match indices.iter().find(|&&index| batch.column(index).is_null(row)) {
            None => {
                buffer.copy_within(row * width..(row + 1) * width, kept.len() * width);
                kept.push(row as u32);
            }
            Some(&index) => rejected.push((row as u32, format!("column `{}` is null", schema.field(index).name()))),
        }
    }
    buffer.truncate(kept.len() * width);
    Ok(Rows::Some { kept, rejected })
}
