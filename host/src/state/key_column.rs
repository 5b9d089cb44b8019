//! A key column of a batch, as the bytes of each row's key.
//!
//! The bytes are those that [`hash_keys`](crate::record::hash_keys) hashes: text and binary as they
//! are, numbers widened to `i64` as eight bytes little-endian, null as the empty key.

use arrow::array::{Array, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType, UInt32Type, UInt64Type};

/// Keys of a batch by row, borrowed from an Arrow column.
#[derive(Clone, Copy, Debug)]
pub struct KeyColumn<'a> {
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
}

#[derive(Clone, Copy, Debug)]
enum Values<'a> {
    Bytes { offsets: &'a [i32], data: &'a [u8] },
    I32(&'a [i32]),
    I64(&'a [i64]),
    U32(&'a [u32]),
    U64(&'a [u64]),
}

/// Room for the bytes of a number.
pub(crate) type Scratch = [u8; 8];

impl<'a> KeyColumn<'a> {
    /// The keys in `column`; `None` when a column of this type cannot be a key.
    pub fn new(column: &'a dyn Array) -> Option<Self> {
        let values = match column.data_type() {
            DataType::Utf8 => {
                let array = column.as_string::<i32>();
                Values::Bytes { offsets: array.value_offsets(), data: array.value_data() }
            }
            DataType::Binary => {
                let array = column.as_binary::<i32>();
                Values::Bytes { offsets: array.value_offsets(), data: array.value_data() }
            }
            DataType::Int32 => Values::I32(column.as_primitive::<Int32Type>().values()),
            DataType::Int64 => Values::I64(column.as_primitive::<Int64Type>().values()),
            DataType::UInt32 => Values::U32(column.as_primitive::<UInt32Type>().values()),
            DataType::UInt64 => Values::U64(column.as_primitive::<UInt64Type>().values()),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Values::I64(column.as_primitive::<TimestampMillisecondType>().values())
            }
            _ => return None,
        };
        Some(Self { values, nulls: column.nulls().filter(|nulls| nulls.null_count() > 0) })
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        match self.values {
            Values::Bytes { offsets, .. } => offsets.len().saturating_sub(1),
            Values::I32(values) => values.len(),
            Values::I64(values) => values.len(),
            Values::U32(values) => values.len(),
            Values::U64(values) => values.len(),
        }
    }

    /// Bytes of the key of `row`.
    #[inline]
    pub(crate) fn get<'s>(&'s self, row: usize, scratch: &'s mut Scratch) -> &'s [u8] {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return &[];
        }
        let number = match self.values {
            Values::Bytes { offsets, data } => return &data[offsets[row] as usize..offsets[row + 1] as usize],
            Values::I32(values) => i64::from(values[row]),
            Values::I64(values) => values[row],
            Values::U32(values) => i64::from(values[row]),
            Values::U64(values) => values[row] as i64,
        };
        *scratch = number.to_le_bytes();
        scratch
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Int32Array, Int64Array, StringArray, TimestampMillisecondArray,
        UInt32Array, UInt64Array,
    };

    use super::*;
    use crate::record::{hash_key, hash_keys};

    #[test]
    fn keys_have_the_bytes_that_were_hashed_in_every_type_and_in_slices() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("a"), None, Some("longer key"), Some("")])),
            Arc::new(BinaryArray::from(vec![Some(b"a".as_slice()), None, Some(&[0, 255]), Some(b"")])),
            Arc::new(Int32Array::from(vec![Some(-1), None, Some(0), Some(i32::MAX)])),
            Arc::new(Int64Array::from(vec![Some(-1), None, Some(0), Some(i64::MIN)])),
            Arc::new(UInt32Array::from(vec![Some(1), None, Some(0), Some(u32::MAX)])),
            Arc::new(UInt64Array::from(vec![Some(1), None, Some(0), Some(u64::MAX)])),
            Arc::new(TimestampMillisecondArray::from(vec![Some(-1), None, Some(0), Some(5)])),
        ];
        for whole in columns {
            for column in [whole.clone(), whole.slice(1, 3), whole.slice(2, 0)] {
                let keys = KeyColumn::new(&column).unwrap();
                let mut hashes = Vec::new();
                assert!(hash_keys(&column, &mut hashes));
                assert_eq!(keys.len(), column.len());
                for (row, hash) in hashes.into_iter().enumerate() {
                    assert_eq!(hash_key(keys.get(row, &mut [0; 8])), hash, "{:?} row {row}", column.data_type());
                }
            }
        }
    }

    #[test]
    fn a_boolean_column_cannot_be_a_key() {
        assert!(KeyColumn::new(&BooleanArray::from(vec![true])).is_none());
    }
}
