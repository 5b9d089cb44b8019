//! Columns of a buffer as a guest reads them: a view per type, and one compare and one load per
//! row.
//!
//! The bytes need not be aligned: numbers are loaded from arrays of bytes, which compiles to plain
//! loads on every target that matters.

use alloc::vec::Vec;

use crate::entry::Entry;
use crate::layout::check_offsets;
use crate::native::Native;
use crate::{ColumnType, LayoutError};

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
    /// The column over the buffer that the entry was checked against.
    pub(crate) fn new(entry: &Entry, bytes: &'a [u8], at: usize, rows: usize) -> Self {
        Self {
            at,
            rows,
            column_type: entry.column_type,
            validity: Validity { bits: entry.validity.map(|span| span.of(bytes)) },
            offsets: entry.offsets.records(bytes),
            values: entry.values.of(bytes),
        }
    }

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
