//! Output ports under construction: columns, and where each row comes from.

use alloc::vec::Vec;

use crate::LayoutError;
use crate::builder::{ColumnBuilder, Columns};
use crate::encode::{put_values, write_columns};
use crate::layout::{PORT, begin, count, put_u32};

/// Flag of a port whose row `i` comes from input row `i`.
pub(crate) const IDENTITY: u32 = 1;
/// The rows of one output port: columns, and for each row the input row it comes from.
#[derive(Clone, Debug, Default)]
pub struct PortBuilder<C> {
    /// The columns; push one value to each, then call [`PortBuilder::end_row`].
    pub columns: C,
    origins: Vec<u32>,
}

impl<C: Columns> PortBuilder<C> {
    /// A port without rows.
    pub fn new(columns: C) -> Self {
        Self { columns, origins: Vec::new() }
    }

    /// Ends a row that comes from row `origin` of the input. Origins never go back.
    #[inline]
    pub fn end_row(&mut self, origin: u32) {
        self.origins.push(origin);
    }

    /// Number of ended rows.
    pub fn rows(&self) -> usize {
        self.origins.len()
    }

    /// Forgets all rows from `rows` on, in every column, also those of a row that was not ended.
    pub fn truncate(&mut self, rows: usize) {
        self.origins.truncate(rows);
        self.columns.each_mut(&mut |column| column.truncate(rows));
    }
}

/// An output port of any row type, as [`finish`](crate::Answer::finish) takes it.
pub trait Port {
    /// Input row of every output row.
    fn origins(&self) -> &[u32];
    /// Shows every column, in the declared order.
    fn each(&self, visit: &mut dyn FnMut(&dyn ColumnBuilder));
    /// Forgets all rows; capacity stays.
    fn clear(&mut self);
}

impl<C: Columns> Port for PortBuilder<C> {
    fn origins(&self) -> &[u32] {
        &self.origins
    }

    fn each(&self, visit: &mut dyn FnMut(&dyn ColumnBuilder)) {
        self.columns.each(visit);
    }

    fn clear(&mut self) {
        self.truncate(0);
    }
}

/// Writes a port's origins and columns; returns its entry of the port directory.
pub(crate) fn write_port(out: &mut Vec<u8>, port: &dyn Port, rows_in: usize) -> Result<[u8; PORT], LayoutError> {
    let origins = port.origins();
    let mut columns = 0;
    port.each(&mut |_| columns += 1);
    // Loops without a branch, so that they are vectorised.
    let identity = origins.len() == rows_in
        && origins.iter().zip(0_u32..).fold(true, |same, (&origin, row)| same & (origin == row));
    let mut entry = [0; PORT];
    put_u32(&mut entry, 0, count("number of output rows", origins.len())?);
    put_u32(&mut entry, 4, count("number of columns", columns)?);
    if identity {
        put_u32(&mut entry, 8, IDENTITY);
    } else {
        put_u32(&mut entry, 12, put_values(out, origins)?.0);
    }
    put_u32(&mut entry, 16, begin(out));
    write_columns(out, origins.len(), columns, &mut |visit| port.each(visit))?;
    Ok(entry)
}
