//! Entries of a column directory: where the sections of a column lie, checked before anything is
//! read through them.

use crate::layout::{COLUMN, Span, u32_at};
use crate::{ColumnType, LayoutError};

/// Flag of a column that has a validity bitmap.
pub(crate) const HAS_VALIDITY: u8 = 1;

/// One checked entry of a column directory: types, bounds and lengths hold, contents are unseen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) column_type: ColumnType,
    pub(crate) validity: Option<Span>,
    pub(crate) offsets: Span,
    pub(crate) values: Span,
}

impl Entry {
    pub(crate) fn parse(record: &[u8; COLUMN], at: usize, rows: u32, total: usize) -> Result<Self, LayoutError> {
        let [tag, flags, ..] = *record;
        let Some(column_type) = ColumnType::from_tag(tag, u32_at(record, 4)) else {
            return Err(LayoutError::Value { what: "type tag of column", at, found: tag.into(), limit: 13 });
        };
        if flags & !HAS_VALIDITY != 0 {
            return Err(LayoutError::Value { what: "flags of column", at, found: flags.into(), limit: 1 });
        }
        let rows = u64::from(rows);
        let bitmap = rows.div_ceil(8);
        let has_validity = flags & HAS_VALIDITY != 0;
        let validity = section(record, "validity of column", at, 8, total, if has_validity { bitmap } else { 0 })?;
        let variable = matches!(column_type, ColumnType::Utf8 | ColumnType::Binary | ColumnType::ListF32);
        let offsets = section(record, "offsets of column", at, 16, total, if variable { (rows + 1) * 4 } else { 0 })?;
        let values_len = u64::from(u32_at(record, 28));
        let expected = match column_type {
            ColumnType::Bool => bitmap,
            ColumnType::Utf8 | ColumnType::Binary => values_len,
            ColumnType::ListF32 => values_len - values_len % 4,
            other => rows * other.width().unwrap_or_default(),
        };
        let values = section(record, "values of column", at, 24, total, expected)?;
        Ok(Self { column_type, validity: has_validity.then_some(validity), offsets, values })
    }
}

fn section(
    record: &[u8; COLUMN],
    what: &'static str,
    at: usize,
    field: usize,
    total: usize,
    expected: u64,
) -> Result<Span, LayoutError> {
    let found = u64::from(u32_at(record, field + 4));
    if found != expected {
        return Err(LayoutError::Length { what, at, expected, found });
    }
    Span::new(total, what, at, u32_at(record, field), found)
}
