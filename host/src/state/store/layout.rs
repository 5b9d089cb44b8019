//! What a slot looks like in RocksDB.
//!
//! Key: `[key group u16 BE][operator id u16 BE][kind u8][key bytes]`, so that a key group is one
//! range. Value: `[state schema version u32 LE][expires at i64 LE, ms][slot bytes]`.
//! Keys that begin with `FF FF` (no key group is that high) belong to the store itself.

use super::OperatorId;

/// Length of what stands before the key bytes.
pub(crate) const KEY_PREFIX: usize = 5;
/// Length of what stands before the slot bytes.
pub(crate) const VALUE_HEADER: usize = 12;

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

/// Appends the store's value for a slot.
#[inline]
pub(crate) fn push_value(out: &mut Vec<u8>, version: u32, expires: i64, slot: &[u8]) {
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&expires.to_le_bytes());
    out.extend_from_slice(slot);
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

/// Reads a value; `None` when it is shorter than its header.
pub(crate) fn parse_value(value: &[u8]) -> Option<StoredSlot<'_>> {
    let (version, rest) = value.split_first_chunk::<4>()?;
    let (expires, bytes) = rest.split_first_chunk::<8>()?;
    Some(StoredSlot { version: u32::from_le_bytes(*version), expires: i64::from_le_bytes(*expires), bytes })
}
