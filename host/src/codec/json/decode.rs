//! JSON lines to columns: one pass over each record, straight into the columns of the schema.
//!
//! The names of a stream's records come in the same order nearly always. So the bytes between two
//! values (`,"amount":`, white space included) are remembered by their position in the record and
//! compared as a whole; only where they differ the name is read and looked up.
//!
//! Unknown fields are checked and skipped. Deliberate differences from serde_json: a field of the
//! schema that occurs twice refuses the row, an unknown one may; numbers of unknown fields may be
//! of any size; nesting ends at 64 levels; `-0` is an integer; every float is the nearest one.

use std::collections::HashMap;

use super::cursor::{Cursor, Text};
use super::fault::{Expected, Fault, Refusal};
use crate::codec::columns::{Column, Values};
use crate::codec::number::Number;
use crate::codec::text::{decode_base64, parse_date, parse_timestamp};

/// Most positions whose names are remembered: a bound on memory, beyond any real record.
const MAX_REMEMBERED: usize = 1024;

/// Reads records of one schema.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Index of the column of each field.
    names: HashMap<Vec<u8>, usize>,
    /// What stood before each value of earlier records.
    remembered: Vec<Lead>,
    /// Room for what is checked but not kept.
    scratch: Vec<u8>,
}

/// What leads to a value: everything since the previous one.
#[derive(Debug, Default)]
struct Lead {
    bytes: Vec<u8>,
    column: Option<usize>,
}

impl Reader {
    /// A reader into `columns`.
    pub fn new(columns: &[Column]) -> Self {
        let names = columns.iter().enumerate().map(|(i, c)| (c.name.clone().into_bytes(), i)).collect();
        Self { names, remembered: Vec::new(), scratch: Vec::new() }
    }

    /// Reads one record as row number `row` of `columns`, which may hold part of it after an error.
    ///
    /// # Errors
    /// The reason in one line.
    pub fn read(&mut self, record: &[u8], row: usize, columns: &mut [Column]) -> Result<(), String> {
        let mut cursor = Cursor { text: record, at: 0 };
        let mut place = (None, 0);
        self.object(&mut cursor, row, columns, &mut place).map_err(|fault| {
            Refusal { fault, field: place.0, value_at: place.1, at: cursor.at }.describe(record, columns)
        })
    }

    /// `place` is the field that is being read and where its value starts.
    fn object(
        &mut self,
        cursor: &mut Cursor<'_>,
        row: usize,
        columns: &mut [Column],
        place: &mut (Option<usize>, usize),
    ) -> Result<(), Fault> {
        let mut missing = columns.len();
        let mut position = 0;
        loop {
            let lead = match self.remembered.get(position) {
                Some(lead) if cursor.take(&lead.bytes) => lead.column,
                _ => match self.lead(cursor, position)? {
                    Some(column) => column,
                    None => break,
                },
            };
            position += 1;
            if let Some(column) = lead.and_then(|i| columns.get_mut(i)) {
                *place = (lead, cursor.at);
                if column.filled > row {
                    return Err(Fault::Duplicate);
                }
                if cursor.peek() == b'n' {
                    cursor.word(b"null")?;
                    if !column.nullable {
                        return Err(Fault::Null);
                    }
                    column.push_null();
                } else {
                    value(cursor, &mut column.values, &mut self.scratch)?;
                    column.filled += 1;
                }
                missing -= 1;
                place.0 = None;
            } else {
                cursor.skip(&mut self.scratch)?;
            }
            if cursor.peek() == b'}' {
                break;
            }
        }
        cursor.expect(b'}', Expected::Field)?;
        cursor.space();
        if !cursor.is_at_end() {
            return Err(Fault::Trailing);
        }
        if missing > 0 {
            absent(row, columns, place)?;
        }
        Ok(())
    }

    /// Reads what leads to the value at `position` and remembers it; `None` at the end of the object.
    #[inline(never)]
    fn lead(&mut self, cursor: &mut Cursor<'_>, position: usize) -> Result<Option<Option<usize>>, Fault> {
        let start = cursor.at;
        cursor.space();
        if position == 0 {
            cursor.expect(b'{', Expected::Value).map_err(|_| Fault::Object)?;
            cursor.space();
        }
        if cursor.peek() == b'}' {
            return Ok(None);
        }
        if position > 0 {
            cursor.expect(b',', Expected::Field)?;
            cursor.space();
        }
        if cursor.peek() != b'"' {
            return Err(Fault::Syntax(Expected::Name));
        }
        let name = cursor.string()?;
        let column = if name.escaped {
            self.scratch.clear();
            cursor.unescape(name, &mut self.scratch)?;
            self.names.get(&self.scratch)
        } else {
            self.names.get(name.raw)
        };
        let column = column.copied();
        cursor.space();
        cursor.expect(b':', Expected::Colon)?;
        cursor.space();
        if position < MAX_REMEMBERED {
            if self.remembered.len() <= position {
                self.remembered.resize_with(position + 1, Lead::default);
            }
            if let Some(lead) = self.remembered.get_mut(position) {
                lead.bytes.clear();
                lead.bytes.extend_from_slice(cursor.text.get(start..cursor.at).unwrap_or_default());
                lead.column = column;
            }
        }
        Ok(Some(column))
    }
}

/// Gives the fields that are not in the record a null.
#[cold]
fn absent(row: usize, columns: &mut [Column], place: &mut (Option<usize>, usize)) -> Result<(), Fault> {
    for (index, column) in columns.iter_mut().enumerate() {
        if column.filled > row {
            continue;
        }
        if !column.nullable {
            place.0 = Some(index);
            return Err(Fault::Missing);
        }
        column.push_null();
    }
    Ok(())
}

/// Reads a value that is not null.
#[inline]
fn value(cursor: &mut Cursor<'_>, values: &mut Values, scratch: &mut Vec<u8>) -> Result<(), Fault> {
    match values {
        Values::Bool(v) => v.push(boolean(cursor)?),
        Values::I32(v) => v.push(narrow(integer(cursor)?)?),
        Values::I64(v) => v.push(integer(cursor)?),
        Values::U32(v) => v.push(narrow(unsigned(cursor)?)?),
        Values::U64(v) => v.push(unsigned(cursor)?),
        Values::F32(v) => v.push(cursor.number()?.to_f32(cursor.text).ok_or(Fault::Range)?),
        Values::F64(v) => v.push(cursor.number()?.to_f64(cursor.text).ok_or(Fault::Range)?),
        Values::Timestamp(v) => v.push(match cursor.peek() {
            b'"' => parse_timestamp(plain(cursor, scratch)?).ok_or(Fault::Type)?,
            _ => integer(cursor)?,
        }),
        Values::Date(v) => v.push(match cursor.peek() {
            b'"' => parse_date(plain(cursor, scratch)?).ok_or(Fault::Type)?,
            _ => narrow(integer(cursor)?)?,
        }),
        Values::Utf8(v) => {
            let text = string(cursor)?;
            cursor.unescape(text, &mut v.items)?;
            v.close();
        }
        Values::Binary(v) => {
            if !decode_base64(plain(cursor, scratch)?, &mut v.items) {
                return Err(Fault::Type);
            }
            v.close();
        }
        Values::List(v) => {
            floats(cursor, &mut v.items, usize::MAX)?;
            v.close();
        }
        Values::FixedList { size, items } => {
            if floats(cursor, items, *size)? != *size {
                return Err(Fault::Length);
            }
        }
    }
    Ok(())
}

fn boolean(cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    match cursor.peek() {
        b't' => cursor.word(b"true").map(|()| true),
        b'f' => cursor.word(b"false").map(|()| false),
        _ => Err(cursor.unless_value(Fault::Type)),
    }
}

#[inline]
fn integer(cursor: &mut Cursor<'_>) -> Result<i64, Fault> {
    let number = cursor.number()?;
    if !number.integral {
        return Err(Fault::Type);
    }
    let magnitude = number.magnitude(cursor.text).ok_or(Fault::Range)?;
    let value = if number.negative { 0_i64.checked_sub_unsigned(magnitude) } else { magnitude.try_into().ok() };
    value.ok_or(Fault::Range)
}

#[inline]
fn unsigned(cursor: &mut Cursor<'_>) -> Result<u64, Fault> {
    let number = cursor.number()?;
    if !number.integral {
        return Err(Fault::Type);
    }
    let magnitude = number.magnitude(cursor.text).ok_or(Fault::Range)?;
    if number.negative && magnitude > 0 { Err(Fault::Range) } else { Ok(magnitude) }
}

#[inline]
fn narrow<A, B: TryFrom<A>>(value: A) -> Result<B, Fault> {
    B::try_from(value).map_err(|_| Fault::Range)
}

#[inline]
fn string<'a>(cursor: &mut Cursor<'a>) -> Result<Text<'a>, Fault> {
    if cursor.peek() == b'"' { cursor.string() } else { Err(cursor.unless_value(Fault::Type)) }
}

/// A string without escapes, in `scratch` where it had some.
fn plain<'a, 'b: 'a>(cursor: &mut Cursor<'b>, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Fault> {
    let text = string(cursor)?;
    if !text.escaped {
        return Ok(text.raw);
    }
    scratch.clear();
    cursor.unescape(text, scratch)?;
    Ok(scratch)
}

/// Appends an array of numbers to `items`; returns how many. Beyond `limit` it stops.
fn floats(cursor: &mut Cursor<'_>, items: &mut Vec<f32>, limit: usize) -> Result<usize, Fault> {
    if cursor.peek() != b'[' {
        return Err(cursor.unless_value(Fault::Type));
    }
    cursor.at += 1;
    cursor.space();
    if cursor.peek() == b']' {
        cursor.at += 1;
        return Ok(0);
    }
    let (text, before) = (cursor.text, items.len());
    loop {
        // Not through the cursor: the place stays in a register from number to number.
        let number = match Number::scan(text, cursor.at) {
            Ok(number) => number,
            Err(_) => return cursor.number().map(|_| 0),
        };
        items.push(number.to_f32(text).ok_or(Fault::Range)?);
        cursor.at = number.end;
        if cursor.peek() != b',' {
            cursor.space();
            if cursor.peek() == b']' {
                cursor.at += 1;
                return Ok(items.len() - before);
            }
        }
        cursor.expect(b',', Expected::Item)?;
        if items.len() - before >= limit {
            return Err(Fault::Length);
        }
        cursor.space();
    }
}

/// Reads `text` as one value of a column, for formats whose fields hold lists as text.
pub(crate) fn list(text: &[u8], values: &mut Values) -> bool {
    let mut cursor = Cursor { text, at: 0 };
    cursor.space();
    value(&mut cursor, values, &mut Vec::new()).is_ok() && {
        cursor.space();
        cursor.is_at_end()
    }
}
