//! Columns as a guest builds them: one vector per column, kept from batch to batch.
//!
//! Pushing a number is a `Vec` push and nothing else: nulls are remembered by row and become a
//! bitmap only when the column is written. A push never fails; what does not fit the layout (a
//! fixed list of the wrong length, more than 2 GiB of text) is reported when the answer is written.

use alloc::vec::Vec;

use crate::encode::{Written, append_values, begin_column, put_bytes, put_values};
use crate::layout::{begin, count};
use crate::native::Native;
use crate::{ColumnType, LayoutError};

/// A column under construction. [`PrimitiveBuilder`], [`BoolBuilder`], [`Utf8Builder`],
/// [`BinaryBuilder`], [`ListF32Builder`], [`FixedF32Builder`] and [`AnyBuilder`] are the only ones.
pub trait ColumnBuilder: sealed::Encode {
    /// Type of the column.
    fn column_type(&self) -> ColumnType;
    /// Rows pushed so far.
    fn len(&self) -> usize;
    /// Whether no row was pushed.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Adds a null.
    fn push_null(&mut self);
    /// Forgets all rows from `rows` on; capacity stays.
    fn truncate(&mut self, rows: usize);
    /// Forgets all rows; capacity stays.
    fn clear(&mut self) {
        self.truncate(0);
    }
}

pub(crate) mod sealed {
    use super::*;

    /// Only this crate knows how a column is written.
    pub trait Encode {
        #[doc(hidden)]
        fn encode(&self, at: usize, out: &mut Vec<u8>) -> Result<Written, LayoutError>;
    }
}

/// A group of columns with one length, such as the columns of a row type.
pub trait Columns {
    /// Shows every column, in the declared order.
    fn each(&self, visit: &mut dyn FnMut(&dyn ColumnBuilder));
    /// Shows every column to be changed, in the declared order.
    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut dyn ColumnBuilder));
}

impl Columns for () {
    fn each(&self, _: &mut dyn FnMut(&dyn ColumnBuilder)) {}
    fn each_mut(&mut self, _: &mut dyn FnMut(&mut dyn ColumnBuilder)) {}
}

impl Columns for Vec<AnyBuilder> {
    fn each(&self, visit: &mut dyn FnMut(&dyn ColumnBuilder)) {
        self.iter().for_each(|column| visit(column));
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut dyn ColumnBuilder)) {
        self.iter_mut().for_each(|column| visit(column));
    }
}

/// Null rows, ascending.
#[derive(Clone, Debug, Default)]
struct Nulls(Vec<usize>);

impl Nulls {
    fn truncate(&mut self, rows: usize) {
        let keep = self.0.partition_point(|&row| row < rows);
        self.0.truncate(keep);
    }

    /// Starts the column and writes the bitmap when there is a null.
    fn encode(&self, column_type: ColumnType, rows: usize, out: &mut Vec<u8>) -> Result<Written, LayoutError> {
        let mut written = begin_column(column_type);
        if self.0.is_empty() {
            return Ok(written);
        }
        let offset = begin(out);
        let start = out.len();
        out.resize(start + rows / 8, 0xff);
        if !rows.is_multiple_of(8) {
            out.push((1 << (rows % 8)) - 1);
        }
        for &row in &self.0 {
            if let Some(byte) = out.get_mut(start + row / 8) {
                *byte &= !(1 << (row % 8));
            }
        }
        written.validity = Some((offset, count("length of a validity bitmap", out.len() - start)?));
        Ok(written)
    }
}

/// A column of numbers.
#[derive(Clone, Debug)]
pub struct PrimitiveBuilder<T> {
    column_type: ColumnType,
    values: Vec<T>,
    nulls: Nulls,
}

impl<T: Native> PrimitiveBuilder<T> {
    /// An empty column of `T`'s own type.
    pub fn new() -> Self {
        Self { column_type: T::TYPE, values: Vec::new(), nulls: Nulls::default() }
    }

    /// Adds a value.
    #[inline]
    pub fn push(&mut self, value: T) {
        self.values.push(value);
    }

    /// Adds a value or a null.
    #[inline]
    pub fn push_option(&mut self, value: Option<T>) {
        match value {
            Some(value) => self.push(value),
            None => self.push_null(),
        }
    }
}

impl PrimitiveBuilder<i64> {
    /// An empty column of `timestamp`.
    pub fn timestamp() -> Self {
        Self { column_type: ColumnType::Timestamp, ..Self::new() }
    }
}

impl PrimitiveBuilder<i32> {
    /// An empty column of `date`.
    pub fn date() -> Self {
        Self { column_type: ColumnType::Date, ..Self::new() }
    }
}

impl<T: Native> Default for PrimitiveBuilder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Native> ColumnBuilder for PrimitiveBuilder<T> {
    fn column_type(&self) -> ColumnType {
        self.column_type
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn push_null(&mut self) {
        self.nulls.0.push(self.values.len());
        self.values.push(T::default());
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(rows);
    }
}

impl<T: Native> sealed::Encode for PrimitiveBuilder<T> {
    fn encode(&self, _: usize, out: &mut Vec<u8>) -> Result<Written, LayoutError> {
        let mut written = self.nulls.encode(self.column_type, self.len(), out)?;
        written.values = put_values(out, &self.values)?;
        Ok(written)
    }
}

/// A column of `bool`.
#[derive(Clone, Debug, Default)]
pub struct BoolBuilder {
    bits: Vec<u8>,
    len: usize,
    nulls: Nulls,
}

impl BoolBuilder {
    /// An empty column.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value.
    #[inline]
    pub fn push(&mut self, value: bool) {
        let bit = u8::from(value) << (self.len % 8);
        match self.bits.last_mut() {
            Some(last) if !self.len.is_multiple_of(8) => *last |= bit,
            _ => self.bits.push(bit),
        }
        self.len += 1;
    }

    /// Adds a value or a null.
    #[inline]
    pub fn push_option(&mut self, value: Option<bool>) {
        match value {
            Some(value) => self.push(value),
            None => self.push_null(),
        }
    }
}

impl ColumnBuilder for BoolBuilder {
    fn column_type(&self) -> ColumnType {
        ColumnType::Bool
    }

    fn len(&self) -> usize {
        self.len
    }

    fn push_null(&mut self) {
        self.nulls.0.push(self.len);
        self.push(false);
    }

    fn truncate(&mut self, rows: usize) {
        if rows >= self.len {
            return;
        }
        self.len = rows;
        self.bits.truncate(rows.div_ceil(8));
        // Bits past the end are zero, or the next push would find them set.
        if let Some(last) = self.bits.last_mut().filter(|_| !rows.is_multiple_of(8)) {
            *last &= (1 << (rows % 8)) - 1;
        }
        self.nulls.truncate(rows);
    }
}

impl sealed::Encode for BoolBuilder {
    fn encode(&self, _: usize, out: &mut Vec<u8>) -> Result<Written, LayoutError> {
        let mut written = self.nulls.encode(ColumnType::Bool, self.len, out)?;
        written.values = put_bytes(out, &self.bits)?;
        Ok(written)
    }
}

/// Rows of any length one after the other, and the end of each.
#[derive(Clone, Debug)]
struct Varying<T> {
    values: Vec<T>,
    /// Ends past 4 GiB wrap; `encode` refuses far fewer.
    ends: Vec<u32>,
    nulls: Nulls,
}

impl<T> Default for Varying<T> {
    fn default() -> Self {
        Self { values: Vec::new(), ends: Vec::new(), nulls: Nulls::default() }
    }
}

impl<T: Copy> Varying<T> {
    #[inline]
    fn push(&mut self, values: &[T]) {
        self.values.extend_from_slice(values);
        self.ends.push(self.values.len() as u32);
    }

    fn push_null(&mut self) {
        self.nulls.0.push(self.ends.len());
        self.push(&[]);
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.values.truncate(self.ends.last().map_or(0, |&end| end as usize));
        self.nulls.truncate(rows);
    }

    fn encode(&self, column_type: ColumnType, at: usize, out: &mut Vec<u8>) -> Result<Written, LayoutError> {
        let limit = i32::MAX as u64;
        if self.values.len() as u64 > limit {
            let found = self.values.len() as u64;
            return Err(LayoutError::Value { what: "total length of column", at, found, limit });
        }
        let mut written = self.nulls.encode(column_type, self.ends.len(), out)?;
        let offset = begin(out);
        out.extend_from_slice(&0_u32.to_le_bytes());
        append_values(out, &self.ends);
        written.offsets = (offset, count("length of column offsets", (self.ends.len() + 1) * 4)?);
        Ok(written)
    }
}

/// A column of `utf8`.
#[derive(Clone, Debug, Default)]
pub struct Utf8Builder(Varying<u8>);

impl Utf8Builder {
    /// An empty column.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text.
    #[inline]
    pub fn push(&mut self, text: &str) {
        self.0.push(text.as_bytes());
    }

    /// Adds a text or a null.
    #[inline]
    pub fn push_option(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.push(text),
            None => self.push_null(),
        }
    }
}

/// A column of `binary`.
#[derive(Clone, Debug, Default)]
pub struct BinaryBuilder(Varying<u8>);

impl BinaryBuilder {
    /// An empty column.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.push(bytes);
    }

    /// Adds bytes or a null.
    #[inline]
    pub fn push_option(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.push(bytes),
            None => self.push_null(),
        }
    }
}

/// A column of `list<f32>`.
#[derive(Clone, Debug, Default)]
pub struct ListF32Builder(Varying<f32>);

impl ListF32Builder {
    /// An empty column.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a list.
    #[inline]
    pub fn push(&mut self, values: &[f32]) {
        self.0.push(values);
    }

    /// Adds a list or a null.
    #[inline]
    pub fn push_option(&mut self, values: Option<&[f32]>) {
        match values {
            Some(values) => self.push(values),
            None => self.push_null(),
        }
    }
}

macro_rules! varying {
    ($($builder:ident, $type:ident, $put:ident;)*) => {$(
        impl ColumnBuilder for $builder {
            fn column_type(&self) -> ColumnType {
                ColumnType::$type
            }

            fn len(&self) -> usize {
                self.0.ends.len()
            }

            fn push_null(&mut self) {
                self.0.push_null();
            }

            fn truncate(&mut self, rows: usize) {
                self.0.truncate(rows);
            }
        }

        impl sealed::Encode for $builder {
            fn encode(&self, at: usize, out: &mut Vec<u8>) -> Result<Written, LayoutError> {
                let mut written = self.0.encode(ColumnType::$type, at, out)?;
                written.values = $put(out, &self.0.values)?;
                Ok(written)
            }
        }
    )*};
}

varying! {
    Utf8Builder, Utf8, put_bytes;
    BinaryBuilder, Binary, put_bytes;
    ListF32Builder, ListF32, put_values;
}

/// A column of `f32[N]`.
#[derive(Clone, Debug)]
pub struct FixedF32Builder {
    size: u32,
    len: usize,
    values: Vec<f32>,
    nulls: Nulls,
}

impl FixedF32Builder {
    /// An empty column of lists of `size` floats, 1 to 65,536 as in [`ColumnType::fixed`].
    pub fn new(size: u32) -> Self {
        Self { size, len: 0, values: Vec::new(), nulls: Nulls::default() }
    }

    /// Adds a list, which must hold exactly as many floats as the column's type says; with any
    /// other number the answer cannot be written.
    #[inline]
    pub fn push(&mut self, values: &[f32]) {
        self.values.extend_from_slice(values);
        self.len += 1;
    }

    /// Adds a list or a null.
    #[inline]
    pub fn push_option(&mut self, values: Option<&[f32]>) {
        match values {
            Some(values) => self.push(values),
            None => self.push_null(),
        }
    }

    /// The floats that the rows must amount to.
    fn expected(&self, rows: usize) -> usize {
        rows.saturating_mul(self.size as usize)
    }
}

impl ColumnBuilder for FixedF32Builder {
    fn column_type(&self) -> ColumnType {
        ColumnType::FixedF32(self.size)
    }

    fn len(&self) -> usize {
        self.len
    }

    fn push_null(&mut self) {
        self.nulls.0.push(self.len);
        self.values.resize(self.values.len() + self.size as usize, 0.0);
        self.len += 1;
    }

    fn truncate(&mut self, rows: usize) {
        self.len = self.len.min(rows);
        self.values.truncate(self.expected(self.len));
        self.nulls.truncate(rows);
    }
}

impl sealed::Encode for FixedF32Builder {
    fn encode(&self, at: usize, out: &mut Vec<u8>) -> Result<Written, LayoutError> {
        let (expected, found) = (self.expected(self.len), self.values.len());
        if ColumnType::fixed(self.size).is_none() || expected != found {
            let what = "floats of column";
            return Err(LayoutError::Length { what, at, expected: expected as u64, found: found as u64 });
        }
        let mut written = self.nulls.encode(self.column_type(), self.len, out)?;
        written.values = put_values(out, &self.values)?;
        Ok(written)
    }
}

/// A column whose type is known only at run time.
#[derive(Clone, Debug)]
pub enum AnyBuilder {
    /// `bool`
    Bool(BoolBuilder),
    /// `i32` and `date`
    I32(PrimitiveBuilder<i32>),
    /// `i64` and `timestamp`
    I64(PrimitiveBuilder<i64>),
    /// `u32`
    U32(PrimitiveBuilder<u32>),
    /// `u64`
    U64(PrimitiveBuilder<u64>),
    /// `f32`
    F32(PrimitiveBuilder<f32>),
    /// `f64`
    F64(PrimitiveBuilder<f64>),
    /// `utf8`
    Utf8(Utf8Builder),
    /// `binary`
    Binary(BinaryBuilder),
    /// `list<f32>`
    ListF32(ListF32Builder),
    /// `f32[N]`
    FixedF32(FixedF32Builder),
}

impl AnyBuilder {
    /// An empty column of this type.
    pub fn new(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Bool => Self::Bool(BoolBuilder::new()),
            ColumnType::I32 => Self::I32(PrimitiveBuilder::new()),
            ColumnType::Date => Self::I32(PrimitiveBuilder::date()),
            ColumnType::I64 => Self::I64(PrimitiveBuilder::new()),
            ColumnType::Timestamp => Self::I64(PrimitiveBuilder::timestamp()),
            ColumnType::U32 => Self::U32(PrimitiveBuilder::new()),
            ColumnType::U64 => Self::U64(PrimitiveBuilder::new()),
            ColumnType::F32 => Self::F32(PrimitiveBuilder::new()),
            ColumnType::F64 => Self::F64(PrimitiveBuilder::new()),
            ColumnType::Utf8 => Self::Utf8(Utf8Builder::new()),
            ColumnType::Binary => Self::Binary(BinaryBuilder::new()),
            ColumnType::ListF32 => Self::ListF32(ListF32Builder::new()),
            ColumnType::FixedF32(size) => Self::FixedF32(FixedF32Builder::new(size)),
        }
    }

    fn inner(&self) -> &dyn ColumnBuilder {
        match self {
            Self::Bool(column) => column,
            Self::I32(column) => column,
            Self::I64(column) => column,
            Self::U32(column) => column,
            Self::U64(column) => column,
            Self::F32(column) => column,
            Self::F64(column) => column,
            Self::Utf8(column) => column,
            Self::Binary(column) => column,
            Self::ListF32(column) => column,
            Self::FixedF32(column) => column,
        }
    }

    fn inner_mut(&mut self) -> &mut dyn ColumnBuilder {
        match self {
            Self::Bool(column) => column,
            Self::I32(column) => column,
            Self::I64(column) => column,
            Self::U32(column) => column,
            Self::U64(column) => column,
            Self::F32(column) => column,
            Self::F64(column) => column,
            Self::Utf8(column) => column,
            Self::Binary(column) => column,
            Self::ListF32(column) => column,
            Self::FixedF32(column) => column,
        }
    }
}

impl ColumnBuilder for AnyBuilder {
    fn column_type(&self) -> ColumnType {
        self.inner().column_type()
    }

    fn len(&self) -> usize {
        self.inner().len()
    }

    fn push_null(&mut self) {
        self.inner_mut().push_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.inner_mut().truncate(rows);
    }
}

impl sealed::Encode for AnyBuilder {
    fn encode(&self, at: usize, out: &mut Vec<u8>) -> Result<Written, LayoutError> {
        self.inner().encode(at, out)
    }
}
