//! Keys: their bytes, their hash and their key group.
//!
//! The hash is xxh3-64 of the key's bytes (text as UTF-8, numbers as 8 bytes little-endian), the
//! same on every platform and in every version; a checkpoint names it.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMillisecondType, UInt32Type, UInt64Type};
use xxhash_rust::xxh3::xxh3_64;

/// Number of key groups of a pipeline: the unit in which keyed state moves between workers.
pub const KEY_GROUPS: u16 = 128;

/// Name of the hash of keys, for whatever is kept by key group.
pub const KEY_HASH: &str = "xxh3-64";

/// Hash of a key.
pub type KeyHash = u64;

/// Hash of a key's bytes.
#[inline]
pub fn hash_key(key: &[u8]) -> KeyHash {
    xxh3_64(key)
}

/// Key group of a hash, below [`KEY_GROUPS`]. The high bits, as hash tables use the low ones.
#[inline]
pub fn key_group(hash: KeyHash) -> u16 {
    (hash >> 57) as u16
}

/// Calls `f` with the bytes of each row's key; `None` where the key is null.
/// Returns false when a column of this type cannot be a key.
pub fn key_bytes(column: &dyn Array, mut f: impl FnMut(Option<&[u8]>)) -> bool {
    macro_rules! integers {
        ($t:ty) => {{
            let array = column.as_primitive::<$t>();
            for i in 0..array.len() {
                if array.is_null(i) {
                    f(None);
                } else {
                    f(Some(&(array.value(i) as i64).to_le_bytes()));
                }
            }
        }};
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().for_each(|v| f(v.map(str::as_bytes))),
        DataType::Binary => column.as_binary::<i32>().iter().for_each(f),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => integers!(UInt64Type),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, _) => integers!(TimestampMillisecondType),
        _ => return false,
    }
    true
}

/// Appends the hash of each row's key to `out`; a null key hashes as the empty key.
/// Returns false when a column of this type cannot be a key.
pub fn hash_keys(column: &dyn Array, out: &mut Vec<KeyHash>) -> bool {
    out.reserve(column.len());
    key_bytes(column, |key| out.push(hash_key(key.unwrap_or_default())))
}
