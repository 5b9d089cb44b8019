//! A column of any type, for readers of schemas: harnesses, tests.

use alloc::vec::Vec;

use super::{
    BinaryBuilder, BoolBuilder, ColumnBuilder, FixedF32Builder, ListF32Builder, PrimitiveBuilder, Utf8Builder, sealed,
};
use crate::encode::Written;
use crate::{ColumnType, LayoutError};

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
