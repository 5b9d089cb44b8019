//! Writing columns and their directory entries: what guest and host have in common.

use alloc::vec::Vec;

use crate::builder::ColumnBuilder;
use crate::entry::HAS_VALIDITY;
use crate::layout::{COLUMN, begin, count, patch, put_u32, reserve};
use crate::native::Native;
use crate::{ColumnType, LayoutError};

/// Where the sections of a column were written: offset and length of each.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    pub(crate) column_type: ColumnType,
    pub(crate) validity: Option<(u32, u32)>,
    pub(crate) offsets: (u32, u32),
    pub(crate) values: (u32, u32),
}

impl Written {
    /// The entry of the column directory.
    pub(crate) fn entry(&self) -> [u8; COLUMN] {
        let mut entry = [0; COLUMN];
        entry[0] = self.column_type.tag();
        entry[1] = if self.validity.is_some() { HAS_VALIDITY } else { 0 };
        put_u32(&mut entry, 4, self.column_type.list_size());
        for (at, (offset, len)) in [(8, self.validity.unwrap_or_default()), (16, self.offsets), (24, self.values)] {
            put_u32(&mut entry, at, offset);
            put_u32(&mut entry, at + 4, len);
        }
        entry
    }
}

/// A column of which nothing is written yet.
pub(crate) fn begin_column(column_type: ColumnType) -> Written {
    Written { column_type, validity: None, offsets: (0, 0), values: (0, 0) }
}

/// Appends bytes as a section.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(u32, u32), LayoutError> {
    let offset = begin(out);
    out.extend_from_slice(bytes);
    Ok((offset, count("length of a section", bytes.len())?))
}

/// Appends numbers as a section.
pub(crate) fn put_values<T: Native>(out: &mut Vec<u8>, values: &[T]) -> Result<(u32, u32), LayoutError> {
    let offset = begin(out);
    append_values(out, values);
    Ok((offset, count("length of a section", size_of_val(values))?))
}

/// Appends numbers where the buffer ends.
pub(crate) fn append_values<T: Native>(out: &mut Vec<u8>, values: &[T]) {
    let (start, len) = (out.len(), size_of_val(values));
    out.resize(start + len, 0);
    if let Some(tail) = out.get_mut(start..) {
        for (place, &value) in T::chunks_mut(tail).iter_mut().zip(values) {
            *place = value.to_bytes();
        }
    }
}

/// Shows columns one by one.
type Each<'a> = &'a mut dyn FnMut(&mut dyn FnMut(&dyn ColumnBuilder));

/// Writes a column directory where the buffer ends, and the columns behind it.
pub(crate) fn write_columns(out: &mut Vec<u8>, rows: usize, columns: usize, each: Each<'_>) -> Result<(), LayoutError> {
    let directory = reserve(out, columns * COLUMN);
    let mut result = Ok(());
    let mut index = 0;
    each(&mut |column| {
        if result.is_ok() {
            result = write_column(out, column, index, rows).map(|written| {
                patch(out, directory + index * COLUMN, &written.entry());
            });
        }
        index += 1;
    });
    result
}

fn write_column(out: &mut Vec<u8>, column: &dyn ColumnBuilder, at: usize, rows: usize) -> Result<Written, LayoutError> {
    if column.len() != rows {
        let (expected, found) = (rows as u64, column.len() as u64);
        return Err(LayoutError::Length { what: "rows of column", at, expected, found });
    }
    column.encode(at, out)
}
