//! What can be wrong with a record of JSON, and how it is said in one line.

use super::cursor::{Cursor, MAX_DEPTH};
use crate::codec::columns::{Column, Values};

/// What is wrong; the place is where the cursor stands. Small, as every read may return it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Something else was expected here.
    Syntax(Expected),
    Number,
    Utf8,
    Control,
    Escape,
    Surrogate,
    Depth,
    /// The record is not an object.
    Object,
    /// Something follows the object.
    Trailing,
    /// A value of another type than the field's.
    Type,
    /// A null where there must be a value.
    Null,
    /// A number outside the range of the field's type.
    Range,
    /// A list of another length than the field's.
    Length,
    /// The field was there before.
    Duplicate,
    /// The field is not there.
    Missing,
}

/// What should have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Value,
    Name,
    Colon,
    Quote,
    /// The next field or the end of the object.
    Field,
    /// The next item or the end of the array.
    Item,
}

impl Expected {
    fn describe(self) -> &'static str {
        match self {
            Self::Value => "a value",
            Self::Name => "a name in quotes",
            Self::Colon => "`:`",
            Self::Quote => "`\"`",
            Self::Field => "`,` or `}`",
            Self::Item => "`,` or `]`",
        }
    }
}

/// A refused record: what is wrong, and with which field.
#[derive(Debug)]
pub(super) struct Refusal {
    pub fault: Fault,
    /// Index of the field that was being read.
    pub field: Option<usize>,
    /// Where the value of that field starts.
    pub value_at: usize,
    /// Where the fault is.
    pub at: usize,
}

/// Longest excerpt of a value or text in a message.
const EXCERPT: usize = 40;

impl Refusal {
    /// The reason in one line: the field, what was expected, what was found.
    pub fn describe(&self, record: &[u8], columns: &[Column]) -> String {
        let at = self.at;
        let place = |what: &str| match self.field.and_then(|i| columns.get(i)) {
            Some(field) => format!("field `{}`, byte {}: {what}", field.name, at + 1),
            None => format!("byte {}: {what}", at + 1),
        };
        let found = excerpt(record.get(at..).unwrap_or_default());
        match self.fault {
            Fault::Syntax(expected) if at >= record.len() => {
                place(&format!("the record ends where {} should be (cut off?)", expected.describe()))
            }
            Fault::Syntax(expected) => place(&format!("expected {}, found `{found}`", expected.describe())),
            Fault::Number => place("a malformed number (JSON wants 0.5, -1, 2e3; not .5, +1, 01 or 1.)"),
            Fault::Utf8 => place("invalid UTF-8"),
            Fault::Control => {
                let byte = record.get(at).copied().unwrap_or_default();
                place(&format!("control character U+{byte:04X} in a string; JSON wants it escaped"))
            }
            Fault::Escape => place(&format!("invalid escape `{}`", truncate(&found, 6))),
            Fault::Surrogate => place(&format!("`{}` is half of a surrogate pair", truncate(&found, 6))),
            Fault::Depth => place(&format!("more than {MAX_DEPTH} levels of nesting")),
            Fault::Object => format!("expected a JSON object, found `{found}`"),
            Fault::Trailing => place(&format!("`{found}` follows the object; one object a line is expected")),
            Fault::Type | Fault::Null | Fault::Range | Fault::Length | Fault::Duplicate | Fault::Missing => {
                match self.field.and_then(|i| columns.get(i)) {
                    Some(field) => self.describe_value(record, field),
                    None => place("a value that does not fit"),
                }
            }
        }
    }

    fn describe_value(&self, record: &[u8], field: &Column) -> String {
        let Column { name, type_name, values, .. } = field;
        let value = value(record, self.value_at);
        match self.fault {
            Fault::Null => format!("field `{name}` is null; it must be {type_name}"),
            Fault::Duplicate => format!("field `{name}` occurs twice"),
            Fault::Missing => format!("field `{name}` ({type_name}) is missing"),
            Fault::Range => format!("field `{name}`: {value} does not fit {type_name}"),
            Fault::Length => match values {
                Values::FixedList { size, .. } => format!("field `{name}`: expected {size} numbers, found {value}"),
                _ => format!("field `{name}`: {value} has too many items"),
            },
            _ => format!("field `{name}`: expected {}, found {value}", expectation(values)),
        }
    }
}

/// What a field of this type may hold, for a message.
pub(crate) fn expectation(values: &Values) -> String {
    match values {
        Values::Bool(_) => "true or false".into(),
        Values::I32(_) => "an integer (i32)".into(),
        Values::I64(_) => "an integer (i64)".into(),
        Values::U32(_) => "an integer (u32)".into(),
        Values::U64(_) => "an integer (u64)".into(),
        Values::F32(_) => "a number (f32)".into(),
        Values::F64(_) => "a number (f64)".into(),
        Values::Timestamp(_) => "a timestamp (milliseconds since 1970, or RFC 3339 text)".into(),
        Values::Date(_) => "a date (YYYY-MM-DD, or days since 1970)".into(),
        Values::Utf8(_) => "a string".into(),
        Values::Binary(_) => "a string of base64".into(),
        Values::List(_) => "an array of numbers (f32)".into(),
        Values::FixedList { size, .. } => format!("an array of {size} numbers (f32)"),
    }
}

/// The value that starts at `at`, shortened; what is there when it is no value.
fn value(record: &[u8], at: usize) -> String {
    let mut cursor = Cursor { text: record, at };
    let end = if cursor.skip(&mut Vec::new()).is_ok() { cursor.at } else { record.len() };
    excerpt(record.get(at..end).unwrap_or_default())
}

/// The beginning of `bytes` as printable text of one line.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let bytes = bytes.trim_ascii_end();
    // A character has at most four bytes.
    let head = String::from_utf8_lossy(bytes.get(..EXCERPT * 4).unwrap_or(bytes));
    let printable: String = head.chars().take(EXCERPT).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    if printable.chars().count() < head.chars().count() || head.len() < bytes.len() {
        printable + "…"
    } else {
        printable
    }
}

fn truncate(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}
