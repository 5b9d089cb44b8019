//! Arrow columns into an input buffer: one copy per section, whatever the slice.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::ops::Range;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Float32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType, UInt32Type, UInt64Type,
};

use super::column_type;
use crate::encode::{Written, append_values, begin_column, put_bytes};
use crate::input_writer::write_with;
use crate::layout::{COLUMN, begin, count, patch, reserve};
use crate::{ColumnType, InputParts, KeyTable, LayoutError};

/// Writes an input from Arrow columns, which are those that the plugin declared, in its order.
/// They may be slices. `out` is written from its start and keeps its capacity from call to call.
///
/// # Errors
/// When a column has a type without a place in the layout, a column, the event times or the key
/// index has not as many rows as `parts` says, a key index is beyond the table, or the buffer
/// passes 4 GiB.
pub fn write_arrow_input<K: KeyTable>(
    out: &mut Vec<u8>,
    parts: &InputParts<'_, K>,
    columns: &[ArrayRef],
) -> Result<(), LayoutError> {
    write_with(out, parts, columns.len(), |out| {
        let directory = reserve(out, columns.len() * COLUMN);
        for (at, array) in columns.iter().enumerate() {
            if array.len() != parts.rows {
                let (expected, found) = (parts.rows as u64, array.len() as u64);
                return Err(LayoutError::Length { what: "rows of column", at, expected, found });
            }
            let written = write_column(out, at, array)?;
            patch(out, directory + at * COLUMN, &written.entry());
        }
        Ok(())
    })
}

fn write_column(out: &mut Vec<u8>, at: usize, array: &dyn Array) -> Result<Written, LayoutError> {
    let unsupported = || LayoutError::Unsupported { at, data_type: array.data_type().to_string() };
    let column_type = column_type(array.data_type()).ok_or_else(unsupported)?;
    let mut written = begin_column(column_type);
    if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
        written.validity = Some(put_bits(out, nulls.inner())?);
    }
    match column_type {
        ColumnType::Bool => {
            let array = array.as_boolean_opt().ok_or_else(unsupported)?;
            written.values = put_bits(out, array.values())?;
        }
        ColumnType::Utf8 => {
            let array = array.as_string_opt::<i32>().ok_or_else(unsupported)?;
            let (first, last) = put_offsets(out, &mut written, array.value_offsets())?;
            written.values = put_bytes(out, array.values().get(first..last).unwrap_or_default())?;
        }
        ColumnType::Binary => {
            let array = array.as_binary_opt::<i32>().ok_or_else(unsupported)?;
            let (first, last) = put_offsets(out, &mut written, array.value_offsets())?;
            written.values = put_bytes(out, array.values().get(first..last).unwrap_or_default())?;
        }
        ColumnType::ListF32 => {
            let array = array.as_list_opt::<i32>().ok_or_else(unsupported)?;
            let items = array.values().as_primitive_opt().ok_or_else(unsupported)?;
            let offsets = array.value_offsets();
            let rows = offsets.windows(2).map(|row| index(row[0])..index(row[1]));
            let (first, last) = put_offsets(out, &mut written, offsets)?;
            let nulls = array.nulls();
            written.values = put_items(out, items, first..last, rows, nulls).ok_or_else(unsupported)??;
        }
        ColumnType::FixedF32(size) => {
            let array = array.as_fixed_size_list_opt().ok_or_else(unsupported)?;
            let items = array.values().as_primitive_opt().ok_or_else(unsupported)?;
            // A slice of a fixed list slices its items too: they begin at 0.
            let size = size as usize;
            let rows = (0..array.len()).map(|row| row * size..(row + 1) * size);
            let nulls = array.nulls();
            written.values = put_items(out, items, 0..array.len() * size, rows, nulls).ok_or_else(unsupported)??;
        }
        ColumnType::I32 => written.values = put_primitive::<Int32Type>(out, array).ok_or_else(unsupported)??,
        ColumnType::I64 => written.values = put_primitive::<Int64Type>(out, array).ok_or_else(unsupported)??,
        ColumnType::U32 => written.values = put_primitive::<UInt32Type>(out, array).ok_or_else(unsupported)??,
        ColumnType::U64 => written.values = put_primitive::<UInt64Type>(out, array).ok_or_else(unsupported)??,
        ColumnType::F32 => written.values = put_primitive::<Float32Type>(out, array).ok_or_else(unsupported)??,
        ColumnType::F64 => written.values = put_primitive::<Float64Type>(out, array).ok_or_else(unsupported)??,
        ColumnType::Date => written.values = put_primitive::<Date32Type>(out, array).ok_or_else(unsupported)??,
        ColumnType::Timestamp => {
            written.values = put_primitive::<TimestampMillisecondType>(out, array).ok_or_else(unsupported)??;
        }
    }
    Ok(written)
}

/// The bytes of a slice of numbers; `None` when the array is of another type after all.
fn put_primitive<T: ArrowPrimitiveType>(
    out: &mut Vec<u8>,
    array: &dyn Array,
) -> Option<Result<(u32, u32), LayoutError>> {
    Some(put_bytes(out, array.as_primitive_opt::<T>()?.values().inner().as_slice()))
}

/// The floats of lists; `None` when one is missing, or null in a list that is not.
fn put_items(
    out: &mut Vec<u8>,
    items: &Float32Array,
    all: Range<usize>,
    rows: impl Iterator<Item = Range<usize>>,
    nulls: Option<&NullBuffer>,
) -> Option<Result<(u32, u32), LayoutError>> {
    if items.null_count() > 0 {
        let held = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
        if rows.enumerate().any(|(row, mut items_of)| held(row) && items_of.any(|item| items.is_null(item))) {
            return None;
        }
    }
    Some(put_bytes(out, items.values().inner().as_slice().get(all.start * 4..all.end * 4)?))
}

/// Writes offsets that begin at 0, and returns where those of the array begin and end.
fn put_offsets(out: &mut Vec<u8>, written: &mut Written, offsets: &[i32]) -> Result<(usize, usize), LayoutError> {
    let offset = begin(out);
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    let start = out.len();
    append_values(out, offsets);
    if first != 0 {
        for place in out.get_mut(start..).unwrap_or_default().as_chunks_mut::<4>().0 {
            *place = i32::from_le_bytes(*place).wrapping_sub(first).to_le_bytes();
        }
    }
    written.offsets = (offset, count("length of column offsets", out.len() - start)?);
    Ok((index(first), index(last)))
}

/// An offset of an Arrow array, which is never negative.
fn index(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or(0)
}

/// Writes a bitmap from its first bit on, wherever that lies in a byte. Bits past the end are zero.
fn put_bits(out: &mut Vec<u8>, bits: &BooleanBuffer) -> Result<(u32, u32), LayoutError> {
    let offset = begin(out);
    let start = out.len();
    let bytes = bits.len().div_ceil(8);
    let (skip, shift) = (bits.offset() / 8, bits.offset() % 8);
    let source = bits.values().get(skip..).unwrap_or_default();
    if shift == 0 {
        out.extend_from_slice(source.get(..bytes).unwrap_or_default());
    } else {
        let next = source.iter().skip(1).copied().chain([0]);
        out.extend(source.iter().zip(next).take(bytes).map(|(&low, high)| (low >> shift) | (high << (8 - shift))));
    }
    if let Some(last) = out.get_mut(start..).and_then(<[u8]>::last_mut)
        && !bits.len().is_multiple_of(8)
    {
        *last &= (1 << (bits.len() % 8)) - 1;
    }
    Ok((offset, count("length of a bitmap", bytes)?))
}
