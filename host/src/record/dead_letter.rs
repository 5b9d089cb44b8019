//! A dead letter: a row that could not be processed, with its place, its reason and its bytes.
//! Dead letters are ordinary rows of a fixed schema, so any sink can keep them.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

/// One rejected row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Name of the source in the pipeline.
    pub source: Arc<str>,
    /// Partition of the source: a file's path, a topic and partition, `stdin`.
    pub partition: Arc<str>,
    /// Place in the partition (file: line number from 1).
    pub offset: u64,
    /// The operator that rejected it; empty when it could not be decoded.
    pub operator: Arc<str>,
    /// What went wrong, in one line.
    pub reason: String,
    /// The record's bytes as read, or the row as JSON when it was decoded already.
    pub raw: Vec<u8>,
}

impl DeadLetter {
    /// Cuts the raw record where the letter would be longer than `limit` bytes as JSON, and says so.
    pub fn shorten(&mut self, limit: usize) {
        // Escaped text is up to six times as long, and what else is in a letter needs room.
        let room = limit / 8;
        if self.raw.len() <= room {
            return;
        }
        let text = std::str::from_utf8(&self.raw);
        let encoded = match text {
            Ok(text) => serde_json::to_string(text).map_or(usize::MAX, |json| json.len()),
            Err(_) => self.raw.len().div_ceil(3) * 4,
        };
        if encoded.saturating_add(6 * self.reason.len() + 1024) <= limit {
            return;
        }
        let (length, kept) = (self.raw.len(), text.map_or(room, |text| text.floor_char_boundary(room)));
        self.raw.truncate(kept);
        self.reason.push_str(&format!(" (the first {kept} of its {length} bytes are kept)"));
    }
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("source", DataType::Utf8, false),
        Field::new("partition", DataType::Utf8, false),
        Field::new("offset", DataType::UInt64, false),
        Field::new("operator", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("raw", DataType::Utf8, true),
        Field::new("raw_bytes", DataType::Binary, true),
    ]))
});

/// Schema of a dead-letter sink: `raw` holds the record when it is valid UTF-8, `raw_bytes`
/// otherwise.
pub fn dead_letter_schema() -> SchemaRef {
    SCHEMA.clone()
}

/// Dead letters as rows of [`dead_letter_schema`].
pub fn dead_letter_batch(letters: &[DeadLetter]) -> RecordBatch {
    let text =
        |f: fn(&DeadLetter) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(letters.iter().map(f))) };
    let raw: StringArray = letters.iter().map(|l| std::str::from_utf8(&l.raw).ok()).collect();
    let raw_bytes: BinaryArray =
        letters.iter().map(|l| std::str::from_utf8(&l.raw).is_err().then_some(l.raw.as_slice())).collect();
    let columns = vec![
        text(|l| &l.source),
        text(|l| &l.partition),
        Arc::new(UInt64Array::from_iter_values(letters.iter().map(|l| l.offset))) as ArrayRef,
        text(|l| &l.operator),
        text(|l| &l.reason),
        Arc::new(raw),
        Arc::new(raw_bytes),
    ];
    RecordBatch::try_new(dead_letter_schema(), columns).unwrap_or_else(|_| RecordBatch::new_empty(dead_letter_schema()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(raw: &[u8]) -> DeadLetter {
        let empty = Arc::<str>::default;
        let (reason, raw) = ("bad".into(), raw.to_vec());
        DeadLetter { source: empty(), partition: empty(), offset: 1, operator: empty(), reason, raw }
    }

    #[test]
    fn a_letter_is_cut_only_when_it_would_be_too_long_as_json() {
        for (raw, cut) in [
            (vec![b'a'; 8_000], false),
            (vec![b'a'; 20_000], true),
            // Six bytes each as JSON.
            (vec![1; 3_000], true),
            ("é".repeat(9_000).into_bytes(), true),
            (vec![255; 9_000], true),
        ] {
            let mut letter = letter(&raw);
            letter.shorten(10_000);
            assert_eq!(letter.raw.len() < raw.len(), cut, "{} bytes", raw.len());
            assert_eq!(letter.reason.contains("bytes are kept"), cut);
            assert!(raw.starts_with(&letter.raw) && letter.raw.len() >= raw.len().min(1_249));
            assert_eq!(std::str::from_utf8(&letter.raw).is_ok(), std::str::from_utf8(&raw).is_ok());
        }
    }
}
