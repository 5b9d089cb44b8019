//! Columns whose rows have any length: text, bytes, lists of floats.

use alloc::vec::Vec;

use super::{ColumnBuilder, Nulls, sealed};
use crate::encode::{Written, append_values, put_bytes, put_values};
use crate::layout::{begin, count};
use crate::{ColumnType, LayoutError};

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
