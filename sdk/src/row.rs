//! Rows: how a struct stands for columns of a batch. `#[derive(Row)]` implements [`Row`] and
//! [`ReadRow`]; the types that a field may have are in `row::fields`.
//!
//! Reading borrows from the batch: a `&str` field points into it. Writing goes to column builders
//! that keep their memory from batch to batch.

mod fields;

use millstream_batch::{Column, ColumnType, Columns, LayoutError};

pub use fields::{AsDate, AsTimestamp, Date, ReadField, RowField, Timestamp};
#[doc(hidden)]
pub use millstream_batch::{self as batch, ColumnBuilder};

/// One column that a row reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name of the column.
    pub name: &'static str,
    /// Its type.
    pub data_type: ColumnType,
    /// Whether values may be missing.
    pub nullable: bool,
}

/// A struct as a row, and how it is written.
pub trait Row: Sized {
    /// The columns in the making; one type per row, whatever the row's lifetime.
    type Builders: Columns;
    /// The columns, in the order of the fields.
    const FIELDS: &'static [Field];

    /// Columns without rows.
    fn builders() -> Self::Builders;

    /// Adds the row to the columns.
    fn write(self, builders: &mut Self::Builders);

    /// The event time of the row, if a field is marked as one.
    fn event_time(&self) -> Option<i64>;
}

/// A struct as a row that is read from a batch.
pub trait ReadRow<'a>: Row {
    /// Views of its columns.
    type Views;

    /// Makes the views, once per batch, from the column at each index.
    ///
    /// # Errors
    /// When a column is missing, of another type, or broken.
    fn bind(column: impl Fn(usize) -> Result<Column<'a>, LayoutError>) -> Result<Self::Views, LayoutError>;

    /// Reads one row.
    ///
    /// # Errors
    /// When a value is missing that the struct does not declare as an `Option`.
    fn read(views: &Self::Views, row: usize) -> Result<Self, Missing>;
}

/// A column that lacks a value where the row needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Name of the column.
    pub column: &'static str,
}
