//! CSV (RFC 4180) to columns. The header's names are matched with the schema's fields, columns
//! that the schema does not name are ignored. An empty field is a null; where the field is
//! required it is an empty text, and refused for every other type. Lists stand in a field as JSON
//! arrays, bytes as base64.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};

use super::Error;
use super::columns::{Column, Values};
use super::json::{excerpt, expectation, list};
use super::text::{decode_base64, parse_date, parse_timestamp};

#[cfg(test)]
mod tests;

/// Reads records of one schema.
#[derive(Debug)]
pub(crate) struct Reader {
    splitter: csv_core::Reader,
    /// Index in the schema of each column of the file; `None` for one to ignore.
    columns: Vec<Option<usize>>,
    /// The header that `columns` was made from.
    header: Option<Arc<[u8]>>,
    /// Text of the fields of the record, without quotes.
    text: Vec<u8>,
    /// End of each field in `text`.
    ends: Vec<usize>,
}

impl Reader {
    /// A reader for records without a header: the columns are those of the schema.
    pub fn new(columns: &[Column]) -> Self {
        Self {
            splitter: ReaderBuilder::new().terminator(Terminator::Any(b'\n')).build(),
            columns: (0..columns.len()).map(Some).collect(),
            header: None,
            text: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Matches the columns of the file with those of the schema.
    ///
    /// # Errors
    /// When a required field has no column, or a field has two.
    pub fn header(&mut self, header: Option<&Arc<[u8]>>, columns: &[Column]) -> Result<(), Error> {
        let Some(header) = header else { return Ok(()) };
        if self.header.as_ref() == Some(header) {
            return Ok(());
        }
        let refuse = |what: String| Error::Schema(format!("the header `{}` {what}", excerpt(header)));
        // At most one name a byte, and one more.
        let count = self.split(header, header.len() + 1).map_err(refuse)?;
        let indices: HashMap<&[u8], usize> = columns.iter().enumerate().map(|(i, c)| (c.name.as_bytes(), i)).collect();
        let mut found = vec![false; columns.len()];
        let mut order = Vec::with_capacity(count);
        for name in fields(&self.text, &self.ends, count) {
            let index = indices.get(name.trim_ascii()).copied();
            if let Some(seen) = index.and_then(|i| found.get_mut(i))
                && std::mem::replace(seen, true)
            {
                return Err(refuse(format!("names the column `{}` twice", excerpt(name))));
            }
            order.push(index);
        }
        let missing = columns.iter().zip(found).find(|(column, found)| !found && !column.nullable);
        if let Some((column, _)) = missing {
            return Err(refuse(format!(
                "has no column `{}` ({}); add it, or make the field nullable in the schema",
                column.name, column.type_name
            )));
        }
        self.columns = order;
        self.header = Some(header.clone());
        Ok(())
    }

    /// Reads one record as row number `row` of `columns`, which may hold part of it after an error.
    ///
    /// # Errors
    /// The reason in one line.
    pub fn read(&mut self, record: &[u8], row: usize, columns: &mut [Column]) -> Result<(), String> {
        let expected = self.columns.len();
        let count = self.split(record, expected + 1)?;
        if count != expected {
            let more = if count > expected { "or more " } else { "" };
            return Err(format!("expected {expected} fields, as the header has, found {count} {more}fields"));
        }
        for (index, text) in self.columns.iter().zip(fields(&self.text, &self.ends, count)) {
            let Some(column) = index.and_then(|i| columns.get_mut(i)) else { continue };
            if text.is_empty() && column.nullable {
                column.push_null();
            } else {
                value(text, &mut column.values).map_err(|fault| fault.describe(text, column))?;
                column.filled += 1;
            }
        }
        for column in columns.iter_mut().filter(|column| column.filled <= row) {
            column.push_null();
        }
        Ok(())
    }

    /// Splits a record into at most `most` fields; returns how many there are.
    fn split(&mut self, record: &[u8], most: usize) -> Result<usize, String> {
        // One more, as the splitter wants room even where it writes nothing.
        if self.text.len() <= record.len() {
            self.text.resize(record.len() + 1, 0);
        }
        if self.ends.len() < most + 1 {
            self.ends.resize(most + 1, 0);
        }
        self.splitter.reset();
        let ends = self.ends.get_mut(..most).unwrap_or_default();
        let (result, read, written, mut count) = self.splitter.read_record(record, &mut self.text, ends);
        if result == ReadRecordResult::OutputEndsFull {
            return Ok(most);
        }
        // A field that is still open does not end at a line end.
        let (ends, text) = (self.ends.get_mut(count..), self.text.get_mut(written..));
        let (result, _, _, last) = self.splitter.read_record(b"\n", text.unwrap_or_default(), ends.unwrap_or_default());
        count += last;
        if result == ReadRecordResult::Record && read == record.len() {
            return Ok(count);
        }
        Err("a quoted field is not closed (or only behind the limit on the length of a record)".into())
    }
}

/// The fields of a record that was split.
fn fields<'a>(text: &'a [u8], ends: &'a [usize], count: usize) -> impl Iterator<Item = &'a [u8]> {
    let mut start = 0;
    ends.iter().take(count).map(move |&end| {
        let field = text.get(start..end).unwrap_or_default();
        start = end;
        field
    })
}

/// What can be wrong with a field.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Type,
    Range,
    Utf8,
}

impl Fault {
    fn describe(self, text: &[u8], column: &Column) -> String {
        let (name, value) = (&column.name, excerpt(text));
        match self {
            Self::Utf8 => format!("field `{name}`: invalid UTF-8 in `{value}`"),
            Self::Range => format!("field `{name}`: {value} does not fit {}", column.type_name),
            Self::Type if text.is_empty() => {
                format!("field `{name}` is empty; it must be {}", expectation(&column.values))
            }
            Self::Type => format!("field `{name}`: expected {}, found `{value}`", expectation(&column.values)),
        }
    }
}

/// Reads a field that is not null.
fn value(text: &[u8], values: &mut Values) -> Result<(), Fault> {
    match values {
        Values::Bool(v) => v.push(match text {
            b"true" => true,
            b"false" => false,
            _ => return Err(Fault::Type),
        }),
        Values::I32(v) => v.push(integer(text)?),
        Values::I64(v) => v.push(integer(text)?),
        Values::U32(v) => v.push(integer(text)?),
        Values::U64(v) => v.push(integer(text)?),
        Values::F32(v) => v.push(finite(parse::<f32>(text)?, f32::is_finite, text)?),
        Values::F64(v) => v.push(finite(parse::<f64>(text)?, f64::is_finite, text)?),
        Values::Timestamp(v) => v.push(match integer(text) {
            Err(Fault::Type) => parse_timestamp(text).ok_or(Fault::Type)?,
            time => time?,
        }),
        Values::Date(v) => v.push(match parse_date(text) {
            Some(date) => date,
            None => integer(text)?,
        }),
        Values::Utf8(v) => {
            std::str::from_utf8(text).map_err(|_| Fault::Utf8)?;
            v.items.extend_from_slice(text);
            v.close();
        }
        Values::Binary(v) => {
            if !decode_base64(text, &mut v.items) {
                return Err(Fault::Type);
            }
            v.close();
        }
        Values::List(_) | Values::FixedList { .. } => {
            if !list(text, values) {
                return Err(Fault::Type);
            }
        }
    }
    Ok(())
}

fn parse<T: FromStr>(text: &[u8]) -> Result<T, Fault> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Fault::Type)
}

/// An integer; one that is out of range is told from what is none.
fn integer<T: FromStr>(text: &[u8]) -> Result<T, Fault> {
    parse(text).map_err(|fault| {
        let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
        if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) { Fault::Range } else { fault }
    })
}

/// The number, unless it is infinite or none: text may say so, or be beyond the largest float.
fn finite<T: Copy>(value: T, is_finite: fn(T) -> bool, text: &[u8]) -> Result<T, Fault> {
    match is_finite(value) {
        true => Ok(value),
        false if text.iter().any(u8::is_ascii_digit) => Err(Fault::Range),
        false => Err(Fault::Type),
    }
}
