//! What is wrong with a packed buffer, or with what should become one.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::ColumnType;

/// Why a packed buffer was refused, or could not be written. `at` is the index of the column, row,
/// key or entry meant by `what`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// A field of the header is not what it must be.
    Header {
        /// Name of the field.
        field: &'static str,
        /// What it must be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// A section is misaligned or reaches beyond the buffer.
    Section {
        /// Name of the section.
        what: &'static str,
        /// Index of the column or port it belongs to.
        at: usize,
        /// Its offset in the buffer.
        offset: u64,
        /// Its length in bytes.
        len: u64,
        /// Length of the buffer.
        total: u64,
    },
    /// A section or column has another length than the rows ask for.
    Length {
        /// Name of the section.
        what: &'static str,
        /// Index of the column or port it belongs to.
        at: usize,
        /// The length it must have.
        expected: u64,
        /// The length it has.
        found: u64,
    },
    /// A column has another type than the one declared.
    Type {
        /// Index of the column.
        at: usize,
        /// The declared type.
        expected: ColumnType,
        /// The type found.
        found: ColumnType,
    },
    /// A number lies beyond its limit.
    Value {
        /// What the number is.
        what: &'static str,
        /// Index of the entry.
        at: usize,
        /// The number.
        found: u64,
        /// The largest that is allowed.
        limit: u64,
    },
    /// Numbers that must not descend, or must not repeat, do.
    Order {
        /// What the numbers are.
        what: &'static str,
        /// Index of the first that is wrong.
        at: usize,
    },
    /// Text is not UTF-8, or is cut within a character.
    Text {
        /// What the text is.
        what: &'static str,
        /// Index of the column or entry.
        at: usize,
    },
    /// A column that was declared without nulls has some.
    Null {
        /// Index of the column.
        at: usize,
    },
    /// The column's type has no place in the packed layout.
    Unsupported {
        /// Index of the column.
        at: usize,
        /// The type, in its own words.
        data_type: String,
    },
    /// Arrow refused an array that the layout allows.
    Arrow(String),
    /// The error lies in this output port.
    Port(usize, Box<LayoutError>),
}

impl LayoutError {
    pub(crate) fn in_port(self, port: usize) -> Self {
        Self::Port(port, Box::new(self))
    }
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { field, expected, found } => {
                write!(f, "packed batch: header field `{field}` is {found}, expected {expected}")
            }
            Self::Section { what, at, offset, len, total } => write!(
                f,
                "packed batch: {what} {at} at byte {offset} with {len} bytes is not 8-byte aligned within the {total} \
                 bytes of the buffer"
            ),
            Self::Length { what, at, expected, found } => {
                write!(f, "packed batch: {what} {at} has length {found}, expected {expected}")
            }
            Self::Type { at, expected, found } => {
                write!(f, "packed batch: column {at} is `{found}`, but `{expected}` was declared")
            }
            Self::Value { what, at, found, limit } => {
                write!(f, "packed batch: {what} {at} is {found}, at most {limit} is allowed")
            }
            Self::Order { what, at } => write!(f, "packed batch: {what} {at} repeats or goes back"),
            Self::Text { what, at } => write!(f, "packed batch: {what} {at} is not UTF-8"),
            Self::Null { at } => {
                write!(f, "packed batch: column {at} has nulls; declare it nullable or leave them out")
            }
            Self::Unsupported { at, data_type } => write!(
                f,
                "packed batch: column {at} has type {data_type}, which plugins cannot read; use one of bool, i32, \
                 i64, u32, u64, f32, f64, utf8, binary, timestamp, date, list<f32>, f32[N] without null items"
            ),
            Self::Arrow(message) => write!(f, "packed batch: {message}"),
            Self::Port(port, error) => write!(f, "output port {port}: {error}"),
        }
    }
}

impl core::error::Error for LayoutError {}
