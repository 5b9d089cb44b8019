//! The slots that one cache changed in one epoch, in one contiguous buffer.
//!
//! Layout, one record a slot, little-endian:
//! `[key length u32][value length u32][key][value]`, where key and value are exactly what the
//! [`Store`](super::Store) keeps (see `store/layout.rs`) and a value length of `u32::MAX` (without a
//! value) deletes the key. So the store writes the pieces as they are, and a log can keep the bytes
//! as they are.

use super::store::OperatorId;
use super::store::layout;

const DELETED: u32 = u32::MAX;

/// Changed slots of one (operator, worker), of one epoch.
#[derive(Debug)]
pub struct DirtySlots {
    operator: OperatorId,
    epoch: u64,
    bytes: Vec<u8>,
    len: usize,
}

/// One changed slot, as the store keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtySlot<'a> {
    /// Key of the record in the store.
    pub key: &'a [u8],
    /// Value of the record; `None` deletes it.
    pub value: Option<&'a [u8]>,
}

impl DirtySlots {
    pub(crate) fn with_capacity(operator: OperatorId, epoch: u64, bytes: usize) -> Self {
        Self { operator, epoch, bytes: Vec::with_capacity(bytes), len: 0 }
    }

    /// The operator whose slots these are.
    pub fn operator(&self) -> OperatorId {
        self.operator
    }

    /// The epoch in which they were changed.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The records, in the layout described above.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes that [`push`](Self::push) takes for a slot.
    pub(crate) fn record_size(key_len: usize, slot_len: usize) -> usize {
        8 + layout::KEY_PREFIX + key_len + layout::VALUE_HEADER + slot_len
    }

    /// Adds a slot, or its deletion when `value` (version, expiry, slot) is `None`.
    pub(crate) fn push(&mut self, key_group: u16, key: &[u8], value: Option<(u32, i64, &[u8])>) {
        let key_len = (layout::KEY_PREFIX + key.len()) as u32;
        let value_len = value.map_or(DELETED, |(_, _, slot)| (layout::VALUE_HEADER + slot.len()) as u32);
        self.bytes.extend_from_slice(&key_len.to_le_bytes());
        self.bytes.extend_from_slice(&value_len.to_le_bytes());
        layout::push_key(&mut self.bytes, key_group, self.operator, key);
        if let Some((version, expires, slot)) = value {
            layout::push_value(&mut self.bytes, version, expires, slot);
        }
        self.len += 1;
    }

    /// The slots, in the order in which they were first changed.
    pub fn iter(&self) -> impl Iterator<Item = DirtySlot<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (key_len, tail) = rest.split_first_chunk::<4>()?;
            let (value_len, tail) = tail.split_first_chunk::<4>()?;
            let (key, tail) = tail.split_at_checked(u32::from_le_bytes(*key_len) as usize)?;
            let value_len = u32::from_le_bytes(*value_len);
            let (value, tail) = match value_len {
                DELETED => (None, tail),
                len => tail.split_at_checked(len as usize).map(|(value, tail)| (Some(value), tail))?,
            };
            rest = tail;
            Some(DirtySlot { key, value })
        })
    }
}
