//! Blocks of records to batches. A bad record is rejected with its reason; its neighbours stay.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit, TimestampMillisecondType};

use super::columns::Column;
use super::{Error, Format, csv, json};
use crate::record::{Batch, RawBlock, format_type};

#[cfg(test)]
mod tests;

/// The rows of a block.
#[derive(Debug)]
pub struct Decoded {
    /// Rows that could be decoded.
    pub batch: Batch,
    /// Records that could not.
    pub rejected: Vec<Rejected>,
}

/// A record that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Place in the partition (file: number of its first line, from 1).
    pub offset: u64,
    /// What is wrong with it, in one line.
    pub reason: String,
    /// Its bytes without the line end; the beginning when it was too long to keep.
    pub raw: Vec<u8>,
}

/// Decodes records of one source. One belongs to each worker: it learns how the records look.
#[derive(Debug)]
pub struct Decoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    reader: Reader,
    event_time: Option<usize>,
    max_record_bytes: usize,
}

#[derive(Debug)]
enum Reader {
    Json(json::Reader),
    Csv(Box<csv::Reader>),
}

impl Decoder {
    /// A decoder for rows of `schema`. Its `event_time` column, a `timestamp` or `i64`, must have a
    /// value in every row. `max_record_bytes` is named in the rejection of a longer record.
    ///
    /// # Errors
    /// When a type cannot be decoded, or the event time has no such column.
    pub fn new(
        format: Format,
        schema: &SchemaRef,
        event_time: Option<&str>,
        max_record_bytes: usize,
    ) -> Result<Self, Error> {
        let mut columns = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let column = Column::new(field).ok_or_else(|| {
                let found = format_type(field.data_type());
                Error::Schema(format!("field `{}` is of type {found}, which records cannot hold", field.name()))
            })?;
            columns.push(column);
        }
        if columns.is_empty() {
            return Err(Error::Schema("the schema has no field; name at least one".into()));
        }
        let event_time = event_time.map(|name| time_column(schema, name)).transpose()?;
        if let Some(column) = event_time.and_then(|i| columns.get_mut(i)) {
            column.nullable = false;
        }
        let reader = match format {
            Format::Json => Reader::Json(json::Reader::new(&columns)),
            Format::Csv => Reader::Csv(Box::new(csv::Reader::new(&columns))),
        };
        Ok(Self { schema: schema.clone(), columns, reader, event_time, max_record_bytes })
    }

    /// Decodes the records of a block, in order.
    ///
    /// # Errors
    /// When the block's header lacks a required field.
    pub fn decode(&mut self, block: &RawBlock) -> Result<Decoded, Error> {
        if let Reader::Csv(reader) = &mut self.reader {
            reader.header(block.header.as_ref(), &self.columns)?;
        }
        let mut offsets = Vec::with_capacity(block.ends.len());
        let mut rejected = Vec::new();
        let mut oversized = block.oversized.iter().peekable();
        let (mut start, mut next_offset) = (0, block.first_offset);
        for (index, &end) in (0_u32..).zip(&block.ends) {
            let bytes = block.bytes.get(start..end as usize).unwrap_or_default();
            start = end as usize;
            let offset = block.offsets.get(index as usize).copied().unwrap_or(next_offset);
            next_offset += self.lines(bytes);
            let record = without_line_end(bytes);
            if let Some((_, length)) = oversized.next_if(|(at, _)| *at == index) {
                let reason = too_long(*length, self.max_record_bytes);
                rejected.push(Rejected { offset, reason, raw: record.to_vec() });
                continue;
            }
            if record.trim_ascii().is_empty() {
                continue;
            }
            let row = offsets.len();
            let result = match &mut self.reader {
                Reader::Json(reader) => {
                    // A byte order mark may open a file, and is no part of its first record.
                    let text = if offset == 1 { without_mark(record) } else { record };
                    reader.read(text, row, &mut self.columns)
                }
                Reader::Csv(reader) => reader.read(record, row, &mut self.columns),
            };
            match result {
                Ok(()) => offsets.push(offset),
                Err(reason) => {
                    self.columns.iter_mut().for_each(|column| column.truncate(row));
                    rejected.push(Rejected { offset, reason, raw: record.to_vec() });
                }
            }
        }
        let arrays = self.columns.iter_mut().map(Column::take).collect::<Result<Vec<_>, _>>()?;
        let event_times = match self.event_time.and_then(|i| arrays.get(i)) {
            Some(array) => times(array),
            None => ScalarBuffer::default(),
        };
        let columns = RecordBatch::try_new(self.schema.clone(), arrays)?;
        Ok(Decoded { batch: Batch { columns, offsets: offsets.into(), event_times }, rejected })
    }

    /// Lines of a record: in CSV a quoted field may hold line ends.
    fn lines(&self, record: &[u8]) -> u64 {
        match &self.reader {
            Reader::Json(_) => 1,
            Reader::Csv(_) => memchr::memchr_iter(b'\n', record).count() as u64,
        }
    }
}

/// Index of the column that holds the event time.
fn time_column(schema: &SchemaRef, name: &str) -> Result<usize, Error> {
    let Some((index, field)) = schema.column_with_name(name) else {
        return Err(Error::Schema(format!("event_time = \"{name}\": the schema has no field `{name}`")));
    };
    match field.data_type() {
        DataType::Int64 | DataType::Timestamp(TimeUnit::Millisecond, None) => Ok(index),
        other => Err(Error::Schema(format!(
            "event_time = \"{name}\": the field is of type {}; it must be timestamp or i64 (milliseconds)",
            format_type(other)
        ))),
    }
}

/// The values of an event time column, shared with it.
fn times(array: &dyn Array) -> ScalarBuffer<i64> {
    if let Some(times) = array.as_primitive_opt::<TimestampMillisecondType>() {
        return times.values().clone();
    }
    array.as_primitive_opt::<Int64Type>().map(|times| times.values().clone()).unwrap_or_default()
}

/// A record without `\n` or `\r\n`.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Text without the byte order mark that some programs write at the beginning of a file.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

fn too_long(length: u64, limit: usize) -> String {
    let limit = match limit {
        n if n >= 1 << 20 && n % (1 << 20) == 0 => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 && n % (1 << 10) == 0 => format!("{} KiB", n >> 10),
        n => format!("{n} bytes"),
    };
    format!("record of {length} bytes is longer than the limit of {limit} (max_record)")
}
