//! The model: a batch as plain cells, and its way into and out of every form of a column.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, FixedSizeListArray, Float32Array, Float64Array,
    Int32Array, Int64Array, ListArray, StringArray, TimestampMillisecondArray, UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Field, Float32Type, Float64Type, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit,
    TimestampMillisecondType, UInt32Type, UInt64Type,
};
use millstream_batch::{
    AnyBuilder, BinaryColumn, BoolColumn, Column, ColumnBuilder, ColumnType, FixedF32Column, ListF32Column,
    PrimitiveColumn, Slot, Utf8Column,
};
use proptest::collection::{SizeRange, vec};
use proptest::prelude::*;

/// A value; floats by their bits, so that NaN equals itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Bool(bool),
    I32(i32),
    I64(i64),
    U32(u32),
    U64(u64),
    F32(u32),
    F64(u64),
    Utf8(String),
    Binary(Vec<u8>),
    List(Vec<u32>),
}

/// A column of cells.
#[derive(Clone, Debug)]
pub struct Cells {
    pub column_type: ColumnType,
    pub cells: Vec<Option<Cell>>,
}

pub fn any_type() -> impl Strategy<Value = ColumnType> {
    prop_oneof![
        Just(ColumnType::Bool),
        Just(ColumnType::I32),
        Just(ColumnType::I64),
        Just(ColumnType::U32),
        Just(ColumnType::U64),
        Just(ColumnType::F32),
        Just(ColumnType::F64),
        Just(ColumnType::Utf8),
        Just(ColumnType::Binary),
        Just(ColumnType::Timestamp),
        Just(ColumnType::Date),
        Just(ColumnType::ListF32),
        (1_u32..5).prop_map(ColumnType::FixedF32),
    ]
}

fn any_cell(column_type: ColumnType) -> BoxedStrategy<Cell> {
    match column_type {
        ColumnType::Bool => any::<bool>().prop_map(Cell::Bool).boxed(),
        ColumnType::I32 | ColumnType::Date => any::<i32>().prop_map(Cell::I32).boxed(),
        ColumnType::I64 | ColumnType::Timestamp => any::<i64>().prop_map(Cell::I64).boxed(),
        ColumnType::U32 => any::<u32>().prop_map(Cell::U32).boxed(),
        ColumnType::U64 => any::<u64>().prop_map(Cell::U64).boxed(),
        ColumnType::F32 => any::<u32>().prop_map(Cell::F32).boxed(),
        ColumnType::F64 => any::<u64>().prop_map(Cell::F64).boxed(),
        ColumnType::Utf8 => prop_oneof!["[a-z]{0,12}", ".{0,6}"].prop_map(Cell::Utf8).boxed(),
        ColumnType::Binary => vec(any::<u8>(), 0..12).prop_map(Cell::Binary).boxed(),
        ColumnType::ListF32 => vec(any::<u32>(), 0..6).prop_map(Cell::List).boxed(),
        ColumnType::FixedF32(size) => vec(any::<u32>(), size as usize).prop_map(Cell::List).boxed(),
    }
}

/// A column of `rows` rows, with nulls or without.
pub fn any_column(rows: usize) -> impl Strategy<Value = Cells> {
    (any_type(), prop_oneof![Just(0.0), Just(0.3), Just(1.0)]).prop_flat_map(move |(column_type, nulls)| {
        let cell = (prop::bool::weighted(nulls), any_cell(column_type));
        vec(cell.prop_map(|(null, cell)| (!null).then_some(cell)), rows)
            .prop_map(move |cells| Cells { column_type, cells })
    })
}

pub fn any_columns(rows: usize, number: impl Into<SizeRange>) -> impl Strategy<Value = Vec<Cells>> {
    vec(any_column(rows), number)
}

/// A key, and the version and bytes of its state.
pub type Key = (Vec<u8>, Option<(u32, Vec<u8>)>);

/// Keys and their state.
#[derive(Clone, Debug)]
pub struct Table(pub Vec<Key>);

impl millstream_batch::KeyTable for Table {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn key(&self, key: usize) -> &[u8] {
        &self.0[key].0
    }

    fn slot(&self, key: usize) -> Option<Slot<'_>> {
        self.0[key].1.as_ref().map(|(version, bytes)| Slot { version: *version, bytes })
    }
}

pub fn any_table(keys: impl Into<SizeRange>) -> impl Strategy<Value = Table> {
    let slot = prop::option::of((1_u32..4, vec(any::<u8>(), 1..20)));
    vec((vec(any::<u8>(), 0..10), slot), keys).prop_map(Table)
}

fn item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}

pub fn data_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::I32 => DataType::Int32,
        ColumnType::I64 => DataType::Int64,
        ColumnType::U32 => DataType::UInt32,
        ColumnType::U64 => DataType::UInt64,
        ColumnType::F32 => DataType::Float32,
        ColumnType::F64 => DataType::Float64,
        ColumnType::Utf8 => DataType::Utf8,
        ColumnType::Binary => DataType::Binary,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
        ColumnType::Date => DataType::Date32,
        ColumnType::ListF32 => DataType::List(item()),
        ColumnType::FixedF32(size) => DataType::FixedSizeList(item(), size as i32),
    }
}

pub fn schema(columns: &[Cells]) -> SchemaRef {
    let field = |(at, column): (usize, &Cells)| Field::new(at.to_string(), data_type(column.column_type), true);
    Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()))
}

macro_rules! pick {
    ($cell:expr, $kind:ident) => {
        match $cell {
            Some(Cell::$kind(value)) => Some(value.clone()),
            None => None,
            other => panic!("{other:?} in a column of another type"),
        }
    };
}

impl Cells {
    /// As an Arrow array.
    pub fn to_arrow(&self) -> ArrayRef {
        let cells = self.cells.iter();
        let floats = |cell: &Option<Cell>| pick!(cell, List).map(|bits| bits.into_iter().map(f32::from_bits));
        match self.column_type {
            ColumnType::Bool => Arc::new(cells.map(|c| pick!(c, Bool)).collect::<BooleanArray>()),
            ColumnType::I32 => Arc::new(cells.map(|c| pick!(c, I32)).collect::<Int32Array>()),
            ColumnType::Date => Arc::new(cells.map(|c| pick!(c, I32)).collect::<Date32Array>()),
            ColumnType::I64 => Arc::new(cells.map(|c| pick!(c, I64)).collect::<Int64Array>()),
            ColumnType::Timestamp => Arc::new(cells.map(|c| pick!(c, I64)).collect::<TimestampMillisecondArray>()),
            ColumnType::U32 => Arc::new(cells.map(|c| pick!(c, U32)).collect::<UInt32Array>()),
            ColumnType::U64 => Arc::new(cells.map(|c| pick!(c, U64)).collect::<UInt64Array>()),
            ColumnType::F32 => Arc::new(cells.map(|c| pick!(c, F32).map(f32::from_bits)).collect::<Float32Array>()),
            ColumnType::F64 => Arc::new(cells.map(|c| pick!(c, F64).map(f64::from_bits)).collect::<Float64Array>()),
            ColumnType::Utf8 => Arc::new(cells.map(|c| pick!(c, Utf8)).collect::<StringArray>()),
            ColumnType::Binary => Arc::new(cells.map(|c| pick!(c, Binary)).collect::<BinaryArray>()),
            ColumnType::ListF32 => {
                let lists: Vec<Vec<f32>> =
                    self.cells.iter().map(|c| floats(c).map(Iterator::collect).unwrap_or_default()).collect();
                let items: Float32Array = lists.concat().into();
                let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
                Arc::new(ListArray::new(item(), offsets, Arc::new(items), self.nulls()))
            }
            ColumnType::FixedF32(size) => {
                let zeros = || vec![0.0; size as usize];
                let lists: Vec<Vec<f32>> =
                    self.cells.iter().map(|c| floats(c).map_or_else(zeros, Iterator::collect)).collect();
                let items: Float32Array = lists.concat().into();
                Arc::new(FixedSizeListArray::new(item(), size as i32, Arc::new(items), self.nulls()))
            }
        }
    }

    fn nulls(&self) -> Option<NullBuffer> {
        Some(self.cells.iter().map(Option::is_some).collect())
    }

    /// As a guest would build it.
    pub fn to_builder(&self) -> AnyBuilder {
        let mut builder = AnyBuilder::new(self.column_type);
        for cell in &self.cells {
            match (&mut builder, cell) {
                (builder, None) => builder.push_null(),
                (AnyBuilder::Bool(b), Some(Cell::Bool(v))) => b.push(*v),
                (AnyBuilder::I32(b), Some(Cell::I32(v))) => b.push(*v),
                (AnyBuilder::I64(b), Some(Cell::I64(v))) => b.push(*v),
                (AnyBuilder::U32(b), Some(Cell::U32(v))) => b.push(*v),
                (AnyBuilder::U64(b), Some(Cell::U64(v))) => b.push(*v),
                (AnyBuilder::F32(b), Some(Cell::F32(v))) => b.push(f32::from_bits(*v)),
                (AnyBuilder::F64(b), Some(Cell::F64(v))) => b.push(f64::from_bits(*v)),
                (AnyBuilder::Utf8(b), Some(Cell::Utf8(v))) => b.push(v),
                (AnyBuilder::Binary(b), Some(Cell::Binary(v))) => b.push(v),
                (AnyBuilder::ListF32(b), Some(Cell::List(v))) => b.push(&from_bits(v)),
                (AnyBuilder::FixedF32(b), Some(Cell::List(v))) => b.push(&from_bits(v)),
                (builder, cell) => panic!("{cell:?} in {:?}", builder.column_type()),
            }
        }
        builder
    }

    /// The rows from `start` on, `len` of them.
    pub fn slice(&self, start: usize, len: usize) -> Self {
        Self { column_type: self.column_type, cells: self.cells[start..start + len].to_vec() }
    }
}

fn from_bits(bits: &[u32]) -> Vec<f32> {
    bits.iter().copied().map(f32::from_bits).collect()
}

fn to_bits(values: impl IntoIterator<Item = f32>) -> Cell {
    Cell::List(values.into_iter().map(f32::to_bits).collect())
}

/// Reads a column through the guest's views, one row past the end too.
pub fn from_column(column: &Column<'_>) -> Result<Vec<Option<Cell>>, millstream_batch::LayoutError> {
    macro_rules! read {
        ($view:ty, $row:ident, $value:ident => $cell:expr) => {{
            let view = column.view::<$view>()?;
            assert!(view.get(column.rows()).is_none());
            assert!(view.get(usize::MAX).is_none());
            (0..column.rows()).map(|$row| view.get($row).map(|$value| $cell)).collect()
        }};
    }
    Ok(match column.column_type() {
        ColumnType::Bool => read!(BoolColumn, row, v => Cell::Bool(v)),
        ColumnType::I32 | ColumnType::Date => read!(PrimitiveColumn<i32>, row, v => Cell::I32(v)),
        ColumnType::I64 | ColumnType::Timestamp => read!(PrimitiveColumn<i64>, row, v => Cell::I64(v)),
        ColumnType::U32 => read!(PrimitiveColumn<u32>, row, v => Cell::U32(v)),
        ColumnType::U64 => read!(PrimitiveColumn<u64>, row, v => Cell::U64(v)),
        ColumnType::F32 => read!(PrimitiveColumn<f32>, row, v => Cell::F32(v.to_bits())),
        ColumnType::F64 => read!(PrimitiveColumn<f64>, row, v => Cell::F64(v.to_bits())),
        ColumnType::Utf8 => read!(Utf8Column, row, v => Cell::Utf8(v.into())),
        ColumnType::Binary => read!(BinaryColumn, row, v => Cell::Binary(v.into())),
        ColumnType::ListF32 => read!(ListF32Column, row, v => to_bits(v.iter())),
        ColumnType::FixedF32(_) => read!(FixedF32Column, row, v => to_bits(v.iter())),
    })
}

/// Reads an Arrow array.
pub fn from_arrow(array: &dyn Array) -> Vec<Option<Cell>> {
    let cell = |row: usize| match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Int32 => Cell::I32(array.as_primitive::<Int32Type>().value(row)),
        DataType::Date32 => Cell::I32(array.as_primitive::<Date32Type>().value(row)),
        DataType::Int64 => Cell::I64(array.as_primitive::<Int64Type>().value(row)),
        DataType::Timestamp(..) => Cell::I64(array.as_primitive::<TimestampMillisecondType>().value(row)),
        DataType::UInt32 => Cell::U32(array.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => Cell::U64(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float32 => Cell::F32(array.as_primitive::<Float32Type>().value(row).to_bits()),
        DataType::Float64 => Cell::F64(array.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Utf8 => Cell::Utf8(array.as_string::<i32>().value(row).into()),
        DataType::Binary => Cell::Binary(array.as_binary::<i32>().value(row).into()),
        DataType::List(_) => {
            to_bits(array.as_list::<i32>().value(row).as_primitive::<Float32Type>().values().iter().copied())
        }
        DataType::FixedSizeList(..) => {
            to_bits(array.as_fixed_size_list().value(row).as_primitive::<Float32Type>().values().iter().copied())
        }
        other => panic!("{other} is no column type"),
    };
    (0..array.len()).map(|row| array.is_valid(row).then(|| cell(row))).collect()
}
