//! Columns of `bool`: one bit a row from the start, so that writing them is a copy.

use alloc::vec::Vec;

use super::{ColumnBuilder, Nulls, sealed};
use crate::encode::{Written, put_bytes};
use crate::{ColumnType, LayoutError};

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
