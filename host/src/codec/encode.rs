//! Batches to records: JSON lines or CSV, row by row from columns that are looked up once a batch.
//!
//! What a source of the same schema reads back is written: a timestamp as integer milliseconds, a
//! date as `YYYY-MM-DD`, bytes as base64, a float in the shortest form that reads back the same. A
//! float that is not finite is a null. A null is `null` in JSON and an empty field in CSV.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, SchemaRef, TimeUnit,
    TimestampMillisecondType, UInt32Type, UInt64Type,
};

use super::json::write_string;
use super::text::{encode_base64, write_date};
use super::{Error, Format};
use crate::record::format_type;

#[cfg(test)]
mod tests;

/// Encodes rows of one schema.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    fields: Vec<Field>,
}

/// A field that is written.
#[derive(Debug)]
struct Field {
    /// Index of its column.
    column: usize,
    name: String,
    data_type: DataType,
    /// What stands before each value.
    lead: Vec<u8>,
}

impl Encoder {
    /// An encoder for rows of `schema` that writes `fields` in this order, or all.
    ///
    /// # Errors
    /// When the schema has no such field, or a type cannot be encoded.
    pub fn new(format: Format, schema: &SchemaRef, fields: Option<&[String]>) -> Result<Self, Error> {
        let columns: Vec<usize> = match fields {
            None => (0..schema.fields().len()).collect(),
            Some(names) => names.iter().map(|name| index_of(schema, name)).collect::<Result<_, _>>()?,
        };
        if columns.is_empty() {
            return Err(Error::Schema("there is no field to write; name at least one".into()));
        }
        let mut chosen = Vec::with_capacity(columns.len());
        for (position, column) in columns.into_iter().enumerate() {
            let field = schema.field(column);
            if !is_known(field.data_type()) {
                let found = format_type(field.data_type());
                return Err(Error::Schema(format!(
                    "field `{}` is of type {found}, which records cannot hold",
                    field.name()
                )));
            }
            let mut lead = Vec::new();
            match format {
                Format::Json => {
                    lead.push(if position == 0 { b'{' } else { b',' });
                    write_string(field.name(), &mut lead);
                    lead.push(b':');
                }
                Format::Csv if position > 0 => lead.push(b','),
                Format::Csv => {}
            }
            let (name, data_type) = (field.name().clone(), field.data_type().clone());
            chosen.push(Field { column, name, data_type, lead });
        }
        Ok(Self { format, fields: chosen })
    }

    /// The line that comes before all records, when the format has one.
    pub fn header(&self) -> Option<Vec<u8>> {
        if self.format == Format::Json {
            return None;
        }
        let mut line = Vec::new();
        for field in &self.fields {
            line.extend_from_slice(&field.lead);
            write_quoted(field.name.as_bytes(), &mut line);
        }
        line.push(b'\n');
        Some(line)
    }

    /// Appends the rows of `batch` to `out`.
    ///
    /// # Errors
    /// When the batch is not of the encoder's schema; nothing is appended then.
    pub fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut cells = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let array = batch.columns().get(field.column).filter(|array| array.data_type() == &field.data_type);
            let values = array.and_then(Cells::new).ok_or_else(|| {
                let expected = format_type(&field.data_type);
                Error::Schema(format!("a batch to encode has no column `{}` of type {expected}", field.name))
            })?;
            cells.push((field.lead.as_slice(), values, array.and_then(|a| a.nulls())));
        }
        match self.format {
            Format::Json => rows::<Json>(batch.num_rows(), &cells, out),
            Format::Csv => rows::<Csv>(batch.num_rows(), &cells, out),
        }
        Ok(())
    }
}

fn index_of(schema: &SchemaRef, name: &str) -> Result<usize, Error> {
    schema.index_of(name).map_err(|_| {
        let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        Error::Schema(format!("there is no field `{name}` to write; the rows have {}", known.join(", ")))
    })
}

/// The values of a column.
enum Cells<'a> {
    Bool(&'a BooleanArray),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U32(&'a [u32]),
    U64(&'a [u64]),
    F32(&'a [f32]),
    F64(&'a [f64]),
    Date(&'a [i32]),
    Utf8(&'a StringArray),
    Binary(&'a BinaryArray),
    /// All items, and the end of each row's among them behind the start of the first.
    List(&'a [f32], &'a [i32]),
    FixedList(&'a [f32], usize),
}

fn is_known(data_type: &DataType) -> bool {
    Cells::new(&arrow::array::new_empty_array(data_type)).is_some()
}

impl<'a> Cells<'a> {
    fn new(array: &'a ArrayRef) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Boolean => Self::Bool(array.as_boolean_opt()?),
            DataType::Int32 => Self::I32(array.as_primitive_opt::<Int32Type>()?.values()),
            DataType::Int64 => Self::I64(array.as_primitive_opt::<Int64Type>()?.values()),
            DataType::UInt32 => Self::U32(array.as_primitive_opt::<UInt32Type>()?.values()),
            DataType::UInt64 => Self::U64(array.as_primitive_opt::<UInt64Type>()?.values()),
            DataType::Float32 => Self::F32(array.as_primitive_opt::<Float32Type>()?.values()),
            DataType::Float64 => Self::F64(array.as_primitive_opt::<Float64Type>()?.values()),
            DataType::Timestamp(TimeUnit::Millisecond, None) => {
                Self::I64(array.as_primitive_opt::<TimestampMillisecondType>()?.values())
            }
            DataType::Date32 => Self::Date(array.as_primitive_opt::<Date32Type>()?.values()),
            DataType::Utf8 => Self::Utf8(array.as_string_opt()?),
            DataType::Binary => Self::Binary(array.as_binary_opt()?),
            DataType::List(_) => {
                let lists = array.as_list_opt::<i32>()?;
                Self::List(lists.values().as_primitive_opt::<Float32Type>()?.values(), lists.value_offsets())
            }
            DataType::FixedSizeList(..) => {
                let lists = array.as_fixed_size_list_opt()?;
                let size = usize::try_from(lists.value_length()).ok()?;
                Self::FixedList(lists.values().as_primitive_opt::<Float32Type>()?.values(), size)
            }
            _ => return None,
        })
    }

    /// Appends the value of `row`.
    #[inline]
    fn write<S: Style>(&self, row: usize, out: &mut Vec<u8>) {
        fn at<T: Copy + Default>(values: &[T], row: usize) -> T {
            values.get(row).copied().unwrap_or_default()
        }
        fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
            out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
        match self {
            Self::Bool(v) => out.extend_from_slice(if v.value(row) { b"true" } else { b"false" }),
            Self::I32(v) => integer(at(v, row), out),
            Self::I64(v) => integer(at(v, row), out),
            Self::U32(v) => integer(at(v, row), out),
            Self::U64(v) => integer(at(v, row), out),
            Self::F32(v) => float(at(v, row), f32::is_finite, S::NULL, out),
            Self::F64(v) => float(at(v, row), f64::is_finite, S::NULL, out),
            Self::Date(v) => {
                let before = out.len();
                S::quote(out);
                if write_date(at(v, row), out) {
                    S::quote(out);
                } else {
                    out.truncate(before);
                    integer(at(v, row), out);
                }
            }
            Self::Utf8(v) => S::text(v.value(row), out),
            Self::Binary(v) => {
                S::quote(out);
                encode_base64(v.value(row), out);
                S::quote(out);
            }
            Self::List(items, offsets) => {
                let (start, end) = (at(offsets, row) as usize, at(offsets, row + 1) as usize);
                list::<S>(items.get(start..end).unwrap_or_default(), out);
            }
            Self::FixedList(items, size) => {
                list::<S>(items.get(row * size..(row + 1) * size).unwrap_or_default(), out);
            }
        }
    }
}

/// How a format differs from the other.
trait Style {
    const NULL: &'static [u8];
    const END: &'static [u8];
    /// What stands before and behind a list.
    const LIST: (&'static [u8], &'static [u8]);
    /// The quote around text that needs no escape.
    fn quote(out: &mut Vec<u8>);
    fn text(text: &str, out: &mut Vec<u8>);
}

struct Json;

impl Style for Json {
    const NULL: &'static [u8] = b"null";
    const END: &'static [u8] = b"}\n";
    const LIST: (&'static [u8], &'static [u8]) = (b"[", b"]");
    fn quote(out: &mut Vec<u8>) {
        out.push(b'"');
    }
    #[inline]
    fn text(text: &str, out: &mut Vec<u8>) {
        write_string(text, out);
    }
}

struct Csv;

impl Style for Csv {
    const NULL: &'static [u8] = b"";
    const END: &'static [u8] = b"\n";
    const LIST: (&'static [u8], &'static [u8]) = (b"\"[", b"]\"");
    fn quote(_: &mut Vec<u8>) {}
    fn text(text: &str, out: &mut Vec<u8>) {
        write_quoted(text.as_bytes(), out);
    }
}

type Column<'a> = (&'a [u8], Cells<'a>, Option<&'a NullBuffer>);

fn rows<S: Style>(count: usize, columns: &[Column<'_>], out: &mut Vec<u8>) {
    for row in 0..count {
        for (lead, cells, nulls) in columns {
            out.extend_from_slice(lead);
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                out.extend_from_slice(S::NULL);
            } else {
                cells.write::<S>(row, out);
            }
        }
        out.extend_from_slice(S::END);
    }
}

#[inline]
fn float<T: zmij::Float + Copy>(value: T, is_finite: fn(T) -> bool, null: &[u8], out: &mut Vec<u8>) {
    if is_finite(value) {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(null);
    }
}

fn list<S: Style>(items: &[f32], out: &mut Vec<u8>) {
    out.extend_from_slice(S::LIST.0);
    for (index, &item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // Not empty in CSV either: inside a list it is JSON.
        float(item, f32::is_finite, b"null", out);
    }
    out.extend_from_slice(S::LIST.1);
}

/// Appends a CSV field, in quotes where it needs them.
fn write_quoted(text: &[u8], out: &mut Vec<u8>) {
    if !text.iter().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r')) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for (index, part) in text.split(|&b| b == b'"').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part);
    }
    out.push(b'"');
}
