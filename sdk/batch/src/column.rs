//! Columns of a buffer as a guest reads them: a view per type, and one compare and one load per
//! row.
//!
//! The bytes need not be aligned: numbers are loaded from arrays of bytes, which compiles to plain
//! loads on every target that matters.

use alloc::vec::Vec;

use crate::layout::{COLUMN, Span, check_offsets, u32_at};
use crate::native::Native;
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

    /// The column over the buffer that the entry was checked against.
    pub(crate) fn column<'a>(&self, bytes: &'a [u8], at: usize, rows: usize) -> Column<'a> {
        Column {
            at,
            rows,
            column_type: self.column_type,
            validity: Validity { bits: self.validity.map(|span| span.of(bytes)) },
            offsets: self.offsets.records(bytes),
            values: self.values.of(bytes),
        }
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

/// A column of a checked buffer. Ask it for the view of its type; that is where its contents
/// (offsets, UTF-8) are checked, once.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    at: usize,
    rows: usize,
    column_type: ColumnType,
    validity: Validity<'a>,
    offsets: &'a [[u8; 4]],
    values: &'a [u8],
}

impl<'a> Column<'a> {
    /// Type of the column.
    pub fn column_type(&self) -> ColumnType {
        self.column_type
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Which rows hold a value.
    pub fn validity(&self) -> Validity<'a> {
        self.validity
    }

    /// The column as `V`.
    ///
    /// # Errors
    /// When the column has another type, or its contents are broken.
    pub fn view<V: ColumnView<'a>>(&self) -> Result<V, LayoutError> {
        V::view(*self)
    }

    /// Checks what the view of its type would check.
    pub(crate) fn check(&self) -> Result<(), LayoutError> {
        match self.column_type {
            ColumnType::Utf8 => self.view::<Utf8Column<'a>>().map(drop),
            ColumnType::Binary => self.view::<BinaryColumn<'a>>().map(drop),
            ColumnType::ListF32 => self.view::<ListF32Column<'a>>().map(drop),
            _ => Ok(()),
        }
    }

    fn expect(&self, expected: ColumnType) -> Result<(), LayoutError> {
        if self.column_type == expected {
            return Ok(());
        }
        Err(LayoutError::Type { at: self.at, expected, found: self.column_type })
    }
}

/// A typed view of a column: [`PrimitiveColumn`], [`BoolColumn`], [`Utf8Column`], [`BinaryColumn`],
/// [`ListF32Column`], [`FixedF32Column`].
pub trait ColumnView<'a>: Sized + 'a {
    /// The view of `column`.
    ///
    /// # Errors
    /// When the column has another type, or its contents are broken.
    fn view(column: Column<'a>) -> Result<Self, LayoutError>;
}

/// Which rows of a column hold a value.
#[derive(Clone, Copy, Debug)]
pub struct Validity<'a> {
    bits: Option<&'a [u8]>,
}

impl Validity<'_> {
    /// Whether a row may be null at all.
    pub fn has_nulls(&self) -> bool {
        self.bits.is_some()
    }

    /// Whether `row` holds a value.
    #[inline]
    pub fn is_valid(&self, row: usize) -> bool {
        self.bits.is_none_or(|bits| bit(bits, row))
    }
}

#[inline]
fn bit(bits: &[u8], row: usize) -> bool {
    bits.get(row / 8).is_some_and(|byte| byte & (1 << (row % 8)) != 0)
}

/// A column of numbers: `i32` (also `date`), `i64` (also `timestamp`), `u32`, `u64`, `f32`, `f64`.
#[derive(Clone, Copy, Debug)]
pub struct PrimitiveColumn<'a, T: Native> {
    values: &'a [T::Bytes],
    validity: Validity<'a>,
}

impl<T: Native> PrimitiveColumn<'_, T> {
    /// The value of `row`; `None` when it is null or there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<T> {
        let value = *self.values.get(row)?;
        self.validity.is_valid(row).then(|| T::from_bytes(value))
    }
}

impl<'a, T: Native> ColumnView<'a> for PrimitiveColumn<'a, T> {
    fn view(column: Column<'a>) -> Result<Self, LayoutError> {
        if column.column_type != T::TYPE && Some(column.column_type) != T::ALIAS {
            return Err(LayoutError::Type { at: column.at, expected: T::TYPE, found: column.column_type });
        }
        Ok(Self { values: T::chunks(column.values), validity: column.validity })
    }
}

/// A column of `bool`.
#[derive(Clone, Copy, Debug)]
pub struct BoolColumn<'a> {
    rows: usize,
    values: &'a [u8],
    validity: Validity<'a>,
}

impl BoolColumn<'_> {
    /// The value of `row`; `None` when it is null or there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<bool> {
        (row < self.rows && self.validity.is_valid(row)).then(|| bit(self.values, row))
    }
}

impl<'a> ColumnView<'a> for BoolColumn<'a> {
    fn view(column: Column<'a>) -> Result<Self, LayoutError> {
        column.expect(ColumnType::Bool)?;
        Ok(Self { rows: column.rows, values: column.values, validity: column.validity })
    }
}

/// Start and end of `row` by its two offsets.
#[inline]
fn bounds(offsets: &[[u8; 4]], row: usize) -> Option<(usize, usize)> {
    let start = *offsets.get(row)?;
    let end = *offsets.get(row + 1)?;
    Some((u32::from_le_bytes(start) as usize, u32::from_le_bytes(end) as usize))
}

/// A column of `utf8`.
#[derive(Clone, Copy, Debug)]
pub struct Utf8Column<'a> {
    offsets: &'a [[u8; 4]],
    text: &'a str,
    validity: Validity<'a>,
}

impl<'a> Utf8Column<'a> {
    /// The text of `row`; `None` when it is null or there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        let (start, end) = bounds(self.offsets, row)?;
        if !self.validity.is_valid(row) {
            return None;
        }
        self.text.get(start..end)
    }
}

impl<'a> ColumnView<'a> for Utf8Column<'a> {
    fn view(column: Column<'a>) -> Result<Self, LayoutError> {
        column.expect(ColumnType::Utf8)?;
        check_offsets("offsets of column", column.at, column.offsets, column.values.len())?;
        let broken = || LayoutError::Text { what: "text of column", at: column.at };
        let text = core::str::from_utf8(column.values).map_err(|_| broken())?;
        // In ASCII every offset is the start of a character.
        let whole = text.is_ascii()
            || column.offsets.iter().all(|&offset| text.is_char_boundary(u32::from_le_bytes(offset) as usize));
        if !whole {
            return Err(broken());
        }
        Ok(Self { offsets: column.offsets, text, validity: column.validity })
    }
}

/// A column of `binary`.
#[derive(Clone, Copy, Debug)]
pub struct BinaryColumn<'a> {
    offsets: &'a [[u8; 4]],
    bytes: &'a [u8],
    validity: Validity<'a>,
}

impl<'a> BinaryColumn<'a> {
    /// The bytes of `row`; `None` when it is null or there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a [u8]> {
        let (start, end) = bounds(self.offsets, row)?;
        if !self.validity.is_valid(row) {
            return None;
        }
        self.bytes.get(start..end)
    }
}

impl<'a> ColumnView<'a> for BinaryColumn<'a> {
    fn view(column: Column<'a>) -> Result<Self, LayoutError> {
        column.expect(ColumnType::Binary)?;
        check_offsets("offsets of column", column.at, column.offsets, column.values.len())?;
        Ok(Self { offsets: column.offsets, bytes: column.values, validity: column.validity })
    }
}

/// A column of `list<f32>`.
#[derive(Clone, Copy, Debug)]
pub struct ListF32Column<'a> {
    offsets: &'a [[u8; 4]],
    values: &'a [[u8; 4]],
    validity: Validity<'a>,
}

impl<'a> ListF32Column<'a> {
    /// The floats of `row`; `None` when it is null or there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<Floats<'a>> {
        let (start, end) = bounds(self.offsets, row)?;
        if !self.validity.is_valid(row) {
            return None;
        }
        self.values.get(start..end).map(|values| Floats { values })
    }
}

impl<'a> ColumnView<'a> for ListF32Column<'a> {
    fn view(column: Column<'a>) -> Result<Self, LayoutError> {
        column.expect(ColumnType::ListF32)?;
        let values = f32::chunks(column.values);
        check_offsets("offsets of column", column.at, column.offsets, values.len())?;
        Ok(Self { offsets: column.offsets, values, validity: column.validity })
    }
}

/// A column of `f32[N]`.
#[derive(Clone, Copy, Debug)]
pub struct FixedF32Column<'a> {
    size: usize,
    values: &'a [[u8; 4]],
    validity: Validity<'a>,
}

impl<'a> FixedF32Column<'a> {
    /// Floats in every row.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The floats of `row`; `None` when it is null or there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<Floats<'a>> {
        let start = row.checked_mul(self.size)?;
        let values = self.values.get(start..start.checked_add(self.size)?)?;
        self.validity.is_valid(row).then_some(Floats { values })
    }
}

impl<'a> ColumnView<'a> for FixedF32Column<'a> {
    fn view(column: Column<'a>) -> Result<Self, LayoutError> {
        let ColumnType::FixedF32(size) = column.column_type else {
            let expected = ColumnType::FixedF32(1);
            return Err(LayoutError::Type { at: column.at, expected, found: column.column_type });
        };
        Ok(Self { size: size as usize, values: f32::chunks(column.values), validity: column.validity })
    }
}

/// The floats of one row, little-endian and not necessarily aligned.
#[derive(Clone, Copy, Debug)]
pub struct Floats<'a> {
    values: &'a [[u8; 4]],
}

impl<'a> Floats<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The float at `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<f32> {
        self.values.get(index).copied().map(f32::from_le_bytes)
    }

    /// The floats in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = f32> + DoubleEndedIterator + Clone + use<'a> {
        self.values.iter().copied().map(f32::from_le_bytes)
    }

    /// Copies as many floats as both sides hold, and returns how many that were.
    pub fn copy_to(&self, target: &mut [f32]) -> usize {
        for (place, value) in target.iter_mut().zip(self.iter()) {
            *place = value;
        }
        target.len().min(self.len())
    }

    /// The floats as an array, when there are exactly `N`.
    pub fn to_array<const N: usize>(&self) -> Option<[f32; N]> {
        let values: &[[u8; 4]; N] = self.values.try_into().ok()?;
        Some(values.map(f32::from_le_bytes))
    }

    /// The floats in a vector of their own.
    pub fn to_vec(&self) -> Vec<f32> {
        self.iter().collect()
    }
}
