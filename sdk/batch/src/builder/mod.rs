//! Columns as a guest builds them: one vector per column, kept from batch to batch.
//!
//! Pushing a number is a `Vec` push and nothing else: nulls are remembered by row and become a
//! bitmap only when the column is written. A push never fails; what does not fit the layout (a
//! fixed list of the wrong length, more than 2 GiB of text) is reported when the answer is written.

mod any;
mod boolean;
mod fixed;
mod primitive;
mod varying;

pub use any::AnyBuilder;
pub use boolean::BoolBuilder;
pub use fixed::FixedF32Builder;
pub use primitive::PrimitiveBuilder;
pub use varying::{BinaryBuilder, ListF32Builder, Utf8Builder};

use alloc::vec::Vec;

use crate::encode::{Written, begin_column};
use crate::layout::{begin, count};
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
    use alloc::vec::Vec;

    use crate::LayoutError;
    use crate::encode::Written;

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
