//! Columns of numbers.

use alloc::vec::Vec;

use super::{ColumnBuilder, Nulls, sealed};
use crate::encode::{Written, put_values};
use crate::{ColumnType, LayoutError, Native};

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
