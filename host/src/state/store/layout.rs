//! What a slot looks like in RocksDB.
//!
//! Key: `[key group u16 BE][operator id u16 BE][kind u8][key bytes]`, so that a key group is one
//! range. Value: `[state schema version u32 LE][expires at i64 LE, ms][slot bytes]`, and where the
//! highest bit of the version is set, the slot without its zeros (`state/sparse.rs`). A host that does
//! not know that form takes it for a version that is too new, and refuses it.
//! Keys that begin with `FF FF` (no key group is that high) belong to the store itself.

use super::OperatorId;
use crate::state::{MAX_VERSION, sparse};

/// Length of what stands before the key bytes.
pub(crate) const KEY_PREFIX: usize = 5;
/// Length of what stands before the slot bytes.
pub(crate) const VALUE_HEADER: usize = 12;

/// In the version: the slot is packed.
const PACKED: u32 = MAX_VERSION + 1;

/// The kind byte of slots; other kinds (timers, collections) are rows of their own.
pub(super) const KIND_SLOT: u8 = 1;
/// Beginning of the store's own keys.
pub(super) const META_PREFIX: [u8; 2] = [0xFF, 0xFF];

/// A slot as the store holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredSlot<'a> {
    pub version: u32,
    pub expires: i64,
    pub bytes: &'a [u8],
}

/// Beginning of the keys of an operator's slots in one key group.
pub(super) fn prefix(key_group: u16, operator: OperatorId) -> [u8; KEY_PREFIX] {
    let [g0, g1] = key_group.to_be_bytes();
    let [o0, o1] = operator.0.to_be_bytes();
    [g0, g1, o0, o1, KIND_SLOT]
}

/// Appends the store's key for a slot.
#[inline]
pub(crate) fn push_key(out: &mut Vec<u8>, key_group: u16, operator: OperatorId, key: &[u8]) {
    out.extend_from_slice(&prefix(key_group, operator));
    out.extend_from_slice(key);
}

/// Appends the store's value for a slot whose version is at most [`MAX_VERSION`]. A packed one is made
/// as long as it was before (`length`) where that is a little longer.
#[inline]
pub(crate) fn push_value(out: &mut Vec<u8>, version: u32, expires: i64, slot: &[u8], length: usize) {
    debug_assert!(version <= MAX_VERSION, "version {version} is one of a packed slot");
    let begin = out.len();
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&expires.to_le_bytes());
    if sparse::pack(slot, length.saturating_sub(VALUE_HEADER), out) {
        out[begin..begin + 4].copy_from_slice(&(version | PACKED).to_le_bytes());
    } else {
        out.extend_from_slice(slot);
    }
}

/// Key group and operator of a slot's key; `None` when it is not one.
pub(crate) fn parse_key(key: &[u8]) -> Option<(u16, OperatorId)> {
    match *key {
        [g0, g1, o0, o1, KIND_SLOT, ..] => {
            Some((u16::from_be_bytes([g0, g1]), OperatorId(u16::from_be_bytes([o0, o1]))))
        }
        _ => None,
    }
}

/// Reads a value; `None` when it is not one. A packed slot is unpacked into `unpacked`.
pub(crate) fn parse_value<'a>(value: &'a [u8], unpacked: &'a mut Vec<u8>) -> Option<StoredSlot<'a>> {
    let (version, rest) = value.split_first_chunk::<4>()?;
    let (expires, bytes) = rest.split_first_chunk::<8>()?;
    let (version, expires) = (u32::from_le_bytes(*version), i64::from_le_bytes(*expires));
    if version & PACKED == 0 {
        return Some(StoredSlot { version, expires, bytes });
    }
    sparse::unpack(bytes, unpacked)?;
    Some(StoredSlot { version: version & !PACKED, expires, bytes: unpacked })
}

/// When the slot of a value expires; `None` when it is not one.
pub(super) fn expiry(value: &[u8]) -> Option<i64> {
    let (_, rest) = value.split_first_chunk::<4>()?;
    rest.first_chunk::<8>().map(|expires| i64::from_le_bytes(*expires))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_was_written_packed_or_not() {
        for slot in [&[][..], b"short", &[7; 100], &[0; 100]] {
            let (mut value, mut unpacked) = (Vec::new(), Vec::new());
            push_value(&mut value, 5, -9, slot, 0);
            assert_eq!(value.len() < VALUE_HEADER + slot.len(), slot == [0; 100]);
            assert_eq!(expiry(&value), Some(-9));
            assert_eq!(parse_value(&value, &mut unpacked), Some(StoredSlot { version: 5, expires: -9, bytes: slot }));
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        assert_eq!(parse_value(&[0; VALUE_HEADER - 1], &mut Vec::new()), None);
        assert_eq!(expiry(&[0; VALUE_HEADER - 1]), None);
        let packed = [&PACKED.to_le_bytes()[..], &[0; 8], &[200, 0, 0, 0]].concat();
        assert_eq!(parse_value(&packed, &mut Vec::new()), None);
    }
}
