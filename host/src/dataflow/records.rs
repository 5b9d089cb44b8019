//! What a sink of messages knows of each record: its end, its key, its place in the source. And the
//! longest record that such a sink takes: a longer one becomes a dead letter here, before the sink,
//! as the pipeline would otherwise fail at it for ever.

use std::io::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType, UInt32Type, UInt64Type};

use super::endpoint::Records;

/// A row whose record is too long: its index in the batch, and the record.
pub(crate) struct TooLong {
    pub row: usize,
    pub record: Vec<u8>,
}

impl Records {
    /// Takes note of the records that were appended to `bytes` behind `start`, one a line and one a
    /// row. Those longer than `limit` are taken out and returned.
    pub(crate) fn note(
        &mut self,
        bytes: &mut Vec<u8>,
        start: usize,
        limit: Option<usize>,
        key: Option<&dyn Array>,
        places: &[u64],
    ) -> Vec<TooLong> {
        let mut too_long = Vec::new();
        let (mut from, mut to, mut row) = (start, start, 0);
        // JSON escapes line ends, so a line is a record.
        while let Some(length) = memchr::memchr(b'\n', bytes.get(from..).unwrap_or_default()).map(|at| at + 1) {
            let with_key = length - 1 + key.map_or(0, |key| key_length(key, row));
            if limit.is_some_and(|limit| with_key > limit) {
                let record = bytes[from..from + length - 1].to_vec();
                too_long.push(TooLong { row, record });
            } else {
                if from != to {
                    bytes.copy_within(from..from + length, to);
                }
                to += length;
                self.ends.push(u32::try_from(to).unwrap_or(u32::MAX));
                self.origins.push(places.get(row).copied().unwrap_or_default());
                if let Some(key) = key {
                    self.push_key(key, row);
                }
            }
            from += length;
            row += 1;
        }
        bytes.truncate(to);
        too_long
    }

    /// A key is the text of its column's value.
    fn push_key(&mut self, column: &dyn Array, row: usize) {
        if column.is_null(row) {
            self.null_keys.resize(self.key_ends.len(), false);
            self.null_keys.push(true);
        } else {
            match column.data_type() {
                DataType::Utf8 => self.keys.extend_from_slice(column.as_string::<i32>().value(row).as_bytes()),
                DataType::Binary => self.keys.extend_from_slice(column.as_binary::<i32>().value(row)),
                DataType::Int32 => self.write_key(column.as_primitive::<Int32Type>().value(row)),
                DataType::Int64 => self.write_key(column.as_primitive::<Int64Type>().value(row)),
                DataType::UInt32 => self.write_key(column.as_primitive::<UInt32Type>().value(row)),
                DataType::UInt64 => self.write_key(column.as_primitive::<UInt64Type>().value(row)),
                DataType::Timestamp(TimeUnit::Millisecond, _) => {
                    self.write_key(column.as_primitive::<TimestampMillisecondType>().value(row));
                }
                // Refused when the pipeline was checked.
                _ => {}
            }
            if !self.null_keys.is_empty() {
                self.null_keys.push(false);
            }
        }
        self.key_ends.push(u32::try_from(self.keys.len()).unwrap_or(u32::MAX));
    }

    fn write_key(&mut self, value: impl std::fmt::Display) {
        // Writing to a vector cannot fail.
        let _ = write!(self.keys, "{value}");
    }
}

/// Bytes of a key, at most.
fn key_length(column: &dyn Array, row: usize) -> usize {
    /// Digits and sign of the longest number.
    const NUMBER: usize = 20;
    match column.data_type() {
        _ if column.is_null(row) => 0,
        DataType::Utf8 => column.as_string::<i32>().value(row).len(),
        DataType::Binary => column.as_binary::<i32>().value(row).len(),
        _ => NUMBER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};

    #[test]
    fn ends_keys_and_places_go_with_their_records() {
        let mut bytes = b"old\n{1}\n{22}\n{3}\n".to_vec();
        let mut records = Records::default();
        let keys = StringArray::from(vec![Some("a"), None, Some("c")]);
        assert!(records.note(&mut bytes, 4, None, Some(&keys), &[7, 8, 9]).is_empty());
        assert_eq!((&records.ends[..], &records.origins[..]), (&[8, 13, 17][..], &[7, 8, 9][..]));
        assert_eq!((&records.keys[..], &records.key_ends[..]), (&b"ac"[..], &[1, 1, 2][..]));
        assert_eq!(records.null_keys, [false, true, false]);
    }

    #[test]
    fn a_record_over_the_limit_is_taken_out_and_its_neighbours_close_up() {
        let mut bytes = b"{1}\n{22}\n{3}\n".to_vec();
        let mut records = Records::default();
        let keys = Int64Array::from(vec![10, 20, 30]);
        let long = records.note(&mut bytes, 0, Some(23), Some(&keys), &[1, 2, 3]);
        assert_eq!(bytes, b"{1}\n{3}\n");
        assert_eq!(long.iter().map(|l| (l.row, &l.record[..])).collect::<Vec<_>>(), [(1, &b"{22}"[..])]);
        assert_eq!((&records.ends[..], &records.origins[..]), (&[4, 8][..], &[1, 3][..]));
        assert_eq!((&records.keys[..], records.null_keys.len()), (&b"1030"[..], 0));
    }

    #[test]
    fn a_long_key_makes_a_record_too_long() {
        let (mut bytes, mut records) = (b"{1}\n{2}\n".to_vec(), Records::default());
        let keys = StringArray::from(vec!["a".repeat(50), "b".into()]);
        let long = records.note(&mut bytes, 0, Some(20), Some(&keys), &[1, 2]);
        assert_eq!((long.len(), &bytes[..], &records.keys[..]), (1, &b"{2}\n"[..], &b"b"[..]));
    }
}
