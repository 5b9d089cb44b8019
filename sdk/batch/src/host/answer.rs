//! An answer as Arrow batches that share its buffer.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeListArray, Float32Array, ListArray,
    PrimitiveArray, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, DataType, Date32Type, Field, FieldRef, Float32Type, Float64Type, Int32Type, Int64Type, SchemaRef,
    TimestampMillisecondType, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;

use super::column_type;
use crate::answer_index::{Index, PortIndex};
use crate::entry::Entry;
use crate::layout::{Span, check_offsets};
use crate::{AnswerSpec, ColumnType, CounterIncrement, LayoutError, Limits, RowError, SlotChange, TimerChange};

/// What an answer may hold, with the Arrow schema of every output port.
#[derive(Clone, Debug)]
pub struct AnswerSchemas {
    schemas: Vec<SchemaRef>,
    spec: AnswerSpec,
}

impl AnswerSchemas {
    /// The expectations of one plugin; made once per generation.
    ///
    /// # Errors
    /// When a field has a type without a place in the layout.
    pub fn new(schemas: Vec<SchemaRef>, counters: u32, limits: Limits) -> Result<Self, LayoutError> {
        let types = |schema: &SchemaRef| {
            schema
                .fields()
                .iter()
                .enumerate()
                .map(|(at, field)| {
                    let data_type = field.data_type();
                    column_type(data_type)
                        .ok_or_else(|| LayoutError::Unsupported { at, data_type: data_type.to_string() })
                })
                .collect::<Result<Vec<_>, _>>()
        };
        let ports = schemas
            .iter()
            .enumerate()
            .map(|(port, schema)| types(schema).map_err(|error| error.in_port(port)))
            .collect::<Result<_, _>>()?;
        Ok(Self { schemas, spec: AnswerSpec { ports, counters, limits } })
    }

    /// Schema of every output port.
    pub fn schemas(&self) -> &[SchemaRef] {
        &self.schemas
    }
}

/// A checked answer, its ports as Arrow batches.
///
/// The batches share the answer's buffer and keep all of it alive, slots included, for as long as
/// one of them lives.
#[derive(Clone, Debug)]
pub struct AnswerView {
    buffer: Buffer,
    index: Index,
    batches: Vec<RecordBatch>,
    origins: Vec<Option<ScalarBuffer<u32>>>,
}

impl AnswerView {
    /// Reads the answer to an input of `rows` rows and `keys` keys, and checks all of it. A
    /// `Vec<u8>` is taken over without a copy, unless its allocation is not 8-byte aligned.
    ///
    /// # Errors
    /// When anything is not as format 1 and `expected` have it; nothing of such an answer is used.
    pub fn parse(
        buffer: impl Into<Buffer>,
        expected: &AnswerSchemas,
        rows: usize,
        keys: usize,
    ) -> Result<Self, LayoutError> {
        let mut buffer: Buffer = buffer.into();
        if !(buffer.as_ptr() as usize).is_multiple_of(8) {
            // Arrow's own allocations are aligned to more than this.
            buffer = Buffer::from_slice_ref(buffer.as_slice());
        }
        let index = Index::parse(buffer.as_slice(), &expected.spec, rows, keys)?;
        let mut batches = Vec::with_capacity(index.ports.len());
        let mut origins = Vec::with_capacity(index.ports.len());
        for (at, (port, schema)) in index.ports.iter().zip(&expected.schemas).enumerate() {
            batches.push(batch(&buffer, port, schema).map_err(|error| error.in_port(at))?);
            origins.push(port.origins.map(|span| scalars(&buffer, span)));
        }
        Ok(Self { buffer, index, batches, origins })
    }

    /// Rows of every port, in the order of its origins.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// Rows of one port, in the order of its origins. `None` when there is no such port.
    pub fn port_batch(&self, port: usize) -> Option<&RecordBatch> {
        self.batches.get(port)
    }

    /// For every row of a port the input row it comes from, never descending; `None` when row `i`
    /// comes from input row `i`.
    pub fn origin(&self, port: usize) -> Option<&ScalarBuffer<u32>> {
        self.origins.get(port)?.as_ref()
    }

    /// Slots that the guest changed, no key twice.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = SlotChange<'_>> {
        self.index.slots(self.buffer.as_slice())
    }

    /// Rows that the guest could not process.
    pub fn errors(&self) -> impl ExactSizeIterator<Item = RowError<'_>> {
        self.index.errors(self.buffer.as_slice())
    }

    /// Timers that the guest set or cancelled, in its order.
    pub fn timers(&self) -> impl ExactSizeIterator<Item = TimerChange> {
        self.index.timers(self.buffer.as_slice())
    }

    /// Increments of counters.
    pub fn counters(&self) -> impl ExactSizeIterator<Item = CounterIncrement> {
        self.index.counters(self.buffer.as_slice())
    }
}

fn batch(buffer: &Buffer, port: &PortIndex, schema: &SchemaRef) -> Result<RecordBatch, LayoutError> {
    let columns = port
        .columns
        .iter()
        .zip(schema.fields())
        .enumerate()
        .map(|(at, (entry, field))| column(buffer, entry, at, port.rows, field))
        .collect::<Result<Vec<_>, _>>()?;
    // A port without columns has rows all the same.
    let options = RecordBatchOptions::new().with_row_count(Some(port.rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(refused)
}

/// Builds one array. Arrow's constructors check contents once more where a broken one could be
/// read out of bounds (text, offsets); that is the check that counts, and the only pass over text.
fn column(buffer: &Buffer, entry: &Entry, at: usize, rows: usize, field: &Field) -> Result<ArrayRef, LayoutError> {
    let nulls = entry
        .validity
        .map(|span| NullBuffer::new(BooleanBuffer::new(bytes(buffer, span), 0, rows)))
        .filter(|nulls| nulls.null_count() > 0);
    if nulls.is_some() && !field.is_nullable() {
        return Err(LayoutError::Null { at });
    }
    let broken_text = |_: ArrowError| LayoutError::Text { what: "text of column", at };
    Ok(match entry.column_type {
        ColumnType::Bool => {
            let values = BooleanBuffer::new(bytes(buffer, entry.values), 0, rows);
            Arc::new(BooleanArray::new(values, nulls))
        }
        ColumnType::I32 => primitive::<Int32Type>(buffer, entry, nulls)?,
        ColumnType::I64 => primitive::<Int64Type>(buffer, entry, nulls)?,
        ColumnType::U32 => primitive::<UInt32Type>(buffer, entry, nulls)?,
        ColumnType::U64 => primitive::<UInt64Type>(buffer, entry, nulls)?,
        ColumnType::F32 => primitive::<Float32Type>(buffer, entry, nulls)?,
        ColumnType::F64 => primitive::<Float64Type>(buffer, entry, nulls)?,
        ColumnType::Date => primitive::<Date32Type>(buffer, entry, nulls)?,
        ColumnType::Timestamp => {
            let zone = match field.data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            let values = scalars(buffer, entry.values);
            let array = PrimitiveArray::<TimestampMillisecondType>::try_new(values, nulls).map_err(refused)?;
            Arc::new(array.with_timezone_opt(zone))
        }
        ColumnType::Utf8 => {
            let offsets = offsets(buffer, entry, at, entry.values.len)?;
            Arc::new(StringArray::try_new(offsets, bytes(buffer, entry.values), nulls).map_err(broken_text)?)
        }
        ColumnType::Binary => {
            let offsets = offsets(buffer, entry, at, entry.values.len)?;
            Arc::new(BinaryArray::try_new(offsets, bytes(buffer, entry.values), nulls).map_err(refused)?)
        }
        ColumnType::ListF32 => {
            let offsets = offsets(buffer, entry, at, entry.values.len / 4)?;
            let array = ListArray::try_new(item(field, at)?, offsets, items(buffer, entry)?, nulls);
            Arc::new(array.map_err(refused)?)
        }
        ColumnType::FixedF32(size) => {
            let size = i32::try_from(size).unwrap_or(i32::MAX);
            let array = FixedSizeListArray::try_new(item(field, at)?, size, items(buffer, entry)?, nulls);
            Arc::new(array.map_err(refused)?)
        }
    })
}

fn primitive<T: ArrowPrimitiveType>(
    buffer: &Buffer,
    entry: &Entry,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, LayoutError> {
    let values = scalars::<T::Native>(buffer, entry.values);
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values, nulls).map_err(refused)?))
}

fn items(buffer: &Buffer, entry: &Entry) -> Result<ArrayRef, LayoutError> {
    Ok(Arc::new(Float32Array::try_new(scalars(buffer, entry.values), None).map_err(refused)?))
}

/// The item of a list as the schema names it.
fn item(field: &Field, at: usize) -> Result<FieldRef, LayoutError> {
    match field.data_type() {
        DataType::List(item) | DataType::FixedSizeList(item, _) => Ok(Arc::clone(item)),
        other => Err(LayoutError::Unsupported { at, data_type: other.to_string() }),
    }
}

/// Offsets after the checks that Arrow would panic on.
fn offsets(buffer: &Buffer, entry: &Entry, at: usize, limit: usize) -> Result<OffsetBuffer<i32>, LayoutError> {
    check_offsets("offsets of column", at, entry.offsets.records(buffer.as_slice()), limit)?;
    Ok(OffsetBuffer::new(scalars(buffer, entry.offsets)))
}

/// A section of the buffer, shared. Sections were checked against this buffer.
fn bytes(buffer: &Buffer, span: Span) -> Buffer {
    buffer.slice_with_length(span.start, span.len)
}

/// A section as numbers: its start is aligned because the buffer and the offset are.
fn scalars<T: ArrowNativeType>(buffer: &Buffer, span: Span) -> ScalarBuffer<T> {
    ScalarBuffer::new(bytes(buffer, span), 0, span.len / size_of::<T>())
}

fn refused(error: ArrowError) -> LayoutError {
    LayoutError::Arrow(error.to_string())
}
