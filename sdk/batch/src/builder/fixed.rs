//! Columns of lists of one length: vectors of features.

use alloc::vec::Vec;

use super::{ColumnBuilder, Nulls, sealed};
use crate::encode::{Written, put_values};
use crate::{ColumnType, LayoutError};

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
