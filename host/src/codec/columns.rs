//! Columns while a batch is built: plain vectors, one value a row, from which Arrow arrays are
//! made without a copy. A row that turns out to be bad is taken back with [`Column::truncate`].

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int32Array, Int64Array,
    ListArray, PrimitiveArray, StringArray, UInt32Array, UInt64Array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Date32Type, Field, TimeUnit, TimestampMillisecondType};
use arrow::error::ArrowError;

use crate::record::format_type;

/// One column while it is built.
#[derive(Debug)]
pub(crate) struct Column {
    /// Name of the field.
    pub name: String,
    /// Name of its type, as pipelines write it.
    pub type_name: String,
    /// Whether a row may have no value.
    pub nullable: bool,
    /// Rows that have a value or a null; the row that is being read counts once it has one.
    pub filled: usize,
    /// The values so far.
    pub values: Values,
    /// Validity of the first rows, empty until a null appears; rows beyond its end are valid.
    validity: Vec<bool>,
    item: Option<Arc<Field>>,
}

/// Values of one type.
#[derive(Debug)]
pub(crate) enum Values {
    Bool(Vec<bool>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Timestamp(Vec<i64>),
    Date(Vec<i32>),
    Utf8(Runs<u8>),
    Binary(Runs<u8>),
    List(Runs<f32>),
    FixedList { size: usize, items: Vec<f32> },
}

/// Values of varying length, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Runs<T> {
    /// All items of all rows.
    pub items: Vec<T>,
    /// End of each row's run in `items`.
    ends: Vec<i32>,
}

impl<T> Runs<T> {
    /// Ends the run of a row: all items since the last end are its value.
    #[inline]
    pub fn close(&mut self) {
        // A block is shorter than 2 GiB, and no value has more items than its text has bytes.
        self.ends.push(self.items.len() as i32);
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.items.truncate(self.ends.last().map_or(0, |&end| end as usize));
    }

    fn take(&mut self) -> (Vec<T>, OffsetBuffer<i32>) {
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.append(&mut self.ends);
        let items = replace(&mut self.items);
        (items, OffsetBuffer::new(offsets.into()))
    }
}

impl Column {
    /// An empty column for `field`; `None` when records cannot hold its type.
    pub fn new(field: &Field) -> Option<Self> {
        let is_float = |item: &Arc<Field>| item.data_type() == &DataType::Float32;
        let values = match field.data_type() {
            DataType::Boolean => Values::Bool(Vec::new()),
            DataType::Int32 => Values::I32(Vec::new()),
            DataType::Int64 => Values::I64(Vec::new()),
            DataType::UInt32 => Values::U32(Vec::new()),
            DataType::UInt64 => Values::U64(Vec::new()),
            DataType::Float32 => Values::F32(Vec::new()),
            DataType::Float64 => Values::F64(Vec::new()),
            DataType::Timestamp(TimeUnit::Millisecond, None) => Values::Timestamp(Vec::new()),
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Utf8 => Values::Utf8(Runs::default()),
            DataType::Binary => Values::Binary(Runs::default()),
            DataType::List(item) if is_float(item) => Values::List(Runs::default()),
            DataType::FixedSizeList(item, size) if is_float(item) && *size > 0 => {
                Values::FixedList { size: usize::try_from(*size).ok()?, items: Vec::new() }
            }
            _ => return None,
        };
        let item = match field.data_type() {
            DataType::List(item) | DataType::FixedSizeList(item, _) => Some(item.clone()),
            _ => None,
        };
        Some(Self {
            name: field.name().clone(),
            type_name: format_type(field.data_type()),
            nullable: field.is_nullable(),
            filled: 0,
            values,
            validity: Vec::new(),
            item,
        })
    }

    /// Gives the next row no value.
    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Bool(v) => v.push(false),
            Values::I32(v) | Values::Date(v) => v.push(0),
            Values::I64(v) | Values::Timestamp(v) => v.push(0),
            Values::U32(v) => v.push(0),
            Values::U64(v) => v.push(0),
            Values::F32(v) => v.push(0.0),
            Values::F64(v) => v.push(0.0),
            Values::Utf8(v) | Values::Binary(v) => v.close(),
            Values::List(v) => v.close(),
            Values::FixedList { size, items } => items.resize(items.len() + *size, 0.0),
        }
        self.validity.resize(self.filled, true);
        self.validity.push(false);
        self.filled += 1;
    }

    /// Drops every value beyond the first `rows` rows, complete or not.
    pub fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Bool(v) => v.truncate(rows),
            Values::I32(v) | Values::Date(v) => v.truncate(rows),
            Values::I64(v) | Values::Timestamp(v) => v.truncate(rows),
            Values::U32(v) => v.truncate(rows),
            Values::U64(v) => v.truncate(rows),
            Values::F32(v) => v.truncate(rows),
            Values::F64(v) => v.truncate(rows),
            Values::Utf8(v) | Values::Binary(v) => v.truncate(rows),
            Values::List(v) => v.truncate(rows),
            Values::FixedList { size, items } => items.truncate(rows * *size),
        }
        self.validity.truncate(rows);
        self.filled = self.filled.min(rows);
    }

    /// The column as an array; it is empty afterwards.
    pub fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let rows = std::mem::take(&mut self.filled);
        let nulls = if self.validity.is_empty() {
            None
        } else {
            self.validity.resize(rows, true);
            Some(NullBuffer::from(std::mem::take(&mut self.validity)))
        };
        fn array<T: ArrowPrimitiveType>(
            values: &mut Vec<T::Native>,
            nulls: Option<NullBuffer>,
        ) -> Result<ArrayRef, ArrowError> {
            Ok(Arc::new(PrimitiveArray::<T>::try_new(ScalarBuffer::from(replace(values)), nulls)?))
        }
        let item = || self.item.clone().unwrap_or_else(|| Arc::new(Field::new("item", DataType::Float32, false)));
        Ok(match &mut self.values {
            Values::Bool(v) => Arc::new(BooleanArray::new(replace(v).into(), nulls)),
            Values::I32(v) => Arc::new(Int32Array::try_new(replace(v).into(), nulls)?),
            Values::I64(v) => Arc::new(Int64Array::try_new(replace(v).into(), nulls)?),
            Values::U32(v) => Arc::new(UInt32Array::try_new(replace(v).into(), nulls)?),
            Values::U64(v) => Arc::new(UInt64Array::try_new(replace(v).into(), nulls)?),
            Values::F32(v) => Arc::new(Float32Array::try_new(replace(v).into(), nulls)?),
            Values::F64(v) => Arc::new(Float64Array::try_new(replace(v).into(), nulls)?),
            Values::Timestamp(v) => array::<TimestampMillisecondType>(v, nulls)?,
            Values::Date(v) => array::<Date32Type>(v, nulls)?,
            Values::Utf8(v) => {
                let (bytes, offsets) = v.take();
                Arc::new(StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls)?)
            }
            Values::Binary(v) => {
                let (bytes, offsets) = v.take();
                Arc::new(BinaryArray::try_new(offsets, Buffer::from_vec(bytes), nulls)?)
            }
            Values::List(v) => {
                let (items, offsets) = v.take();
                Arc::new(ListArray::try_new(item(), offsets, Arc::new(Float32Array::new(items.into(), None)), nulls)?)
            }
            Values::FixedList { size, items } => {
                let items = Arc::new(Float32Array::new(replace(items).into(), None));
                Arc::new(FixedSizeListArray::try_new(item(), *size as i32, items, nulls)?)
            }
        })
    }
}

/// The vector, leaving an empty one with room for as much again: batches of one source are alike.
fn replace<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len());
    std::mem::replace(values, room)
}
