//! The slots that one cache changed in one epoch, in one contiguous buffer.
//!
//! Layout, one record a slot, little-endian:
//! `[key length u32][value length u32][key][value]`, where key and value are exactly what the
//! [`Store`](super::Store) keeps (see `store/layout.rs`) and a value length of `u32::MAX` (without a
//! value) deletes the key. So the store writes the pieces as they are, and a log can keep the bytes
//! as they are.
//!
//! A slot that was copied before its barrier and changed again is there twice; what comes later counts.

use super::store::OperatorId;
use super::store::layout;
use crate::record::KEY_GROUPS;

const DELETED: u32 = u32::MAX;

/// Changed slots of one (operator, worker), of one epoch.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
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

/// Bytes that are not slots of the operator that they are said to be of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot {index} of operator {operator}, at byte {offset} of its buffer: {problem}")]
pub struct InvalidSlots {
    /// Number of the operator.
    pub operator: u16,
    /// Which slot, from 0.
    pub index: usize,
    /// Where it begins.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl DirtySlots {
    /// Takes bytes that were kept in the layout above, after checking all of them: whoever kept
    /// them is not trusted.
    ///
    /// # Errors
    /// When a slot is cut short, or is not one of this operator.
    pub fn from_bytes(operator: OperatorId, epoch: u64, bytes: Vec<u8>) -> Result<Self, InvalidSlots> {
        let (mut len, mut rest) = (0, bytes.as_slice());
        while !rest.is_empty() {
            let offset = bytes.len() - rest.len();
            let invalid = |problem| InvalidSlots { operator: operator.number(), index: len, offset, problem };
            let (slot, tail) = split_slot(rest).ok_or_else(|| invalid("it is cut short"))?;
            let (group, owner) = layout::parse_key(slot.key).ok_or_else(|| invalid("its key is not one of a slot"))?;
            if owner != operator {
                return Err(invalid("its key belongs to another operator"));
            }
            if group >= KEY_GROUPS {
                return Err(invalid("its key group does not exist"));
            }
            if slot.value.is_some_and(|value| value.len() < layout::VALUE_HEADER) {
                return Err(invalid("its value is shorter than its header"));
            }
            rest = tail;
            len += 1;
        }
        Ok(Self { operator, epoch, bytes, len })
    }

    pub(crate) fn with_capacity(operator: OperatorId, epoch: u64, bytes: usize) -> Self {
        Self { operator, epoch, bytes: Vec::with_capacity(bytes), len: 0 }
    }

    /// The same as of another epoch: the one that their barrier ends.
    pub(crate) fn of_epoch(self, epoch: u64) -> Self {
        Self { epoch, ..self }
    }

    /// The operator whose slots these are.
    pub fn operator(&self) -> OperatorId {
        self.operator
    }

    /// The epoch in which they were changed.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Number of slots, those that are there twice counted twice.
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

    /// Adds a slot, or its deletion when `value` (version, expiry, slot) is `None`.
    pub(crate) fn push(&mut self, key_group: u16, key: &[u8], value: Option<(u32, i64, &[u8])>) {
        self.push_as_long_as(key_group, key, value, 0);
    }

    /// The same for a slot whose value had this length before, which it keeps where it can. Returns the
    /// length that it has now.
    pub(crate) fn push_as_long_as(
        &mut self,
        key_group: u16,
        key: &[u8],
        value: Option<(u32, i64, &[u8])>,
        length: usize,
    ) -> usize {
        let key_len = (layout::KEY_PREFIX + key.len()) as u32;
        self.bytes.extend_from_slice(&key_len.to_le_bytes());
        let (value_len, mut stored) = (self.bytes.len(), 0);
        self.bytes.extend_from_slice(&DELETED.to_le_bytes());
        layout::push_key(&mut self.bytes, key_group, self.operator, key);
        if let Some((version, expires, slot)) = value {
            let begin = self.bytes.len();
            layout::push_value(&mut self.bytes, version, expires, slot, length);
            let len = (self.bytes.len() - begin) as u32;
            self.bytes[value_len..value_len + 4].copy_from_slice(&len.to_le_bytes());
            stored = len as usize;
        }
        self.len += 1;
        stored
    }

    /// The slots. One that is there twice counts as it is the second time.
    pub fn iter(&self) -> impl Iterator<Item = DirtySlot<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (slot, tail) = split_slot(rest)?;
            rest = tail;
            Some(slot)
        })
    }
}

/// The first slot, and what follows it; `None` when it is cut short.
fn split_slot(bytes: &[u8]) -> Option<(DirtySlot<'_>, &[u8])> {
    let (key_len, rest) = bytes.split_first_chunk::<4>()?;
    let (value_len, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key_len) as usize)?;
    let (value, rest) = match u32::from_le_bytes(*value_len) {
        DELETED => (None, rest),
        len => rest.split_at_checked(len as usize).map(|(value, rest)| (Some(value), rest))?,
    };
    Some((DirtySlot { key, value }, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPERATOR: OperatorId = OperatorId(3);

    /// Key group, key, and what is written to it.
    type Written = (u16, Vec<u8>, Option<Vec<u8>>);

    fn slots(written: &[Written]) -> DirtySlots {
        let mut slots = DirtySlots::with_capacity(OPERATOR, 9, 0);
        for (group, key, value) in written {
            slots.push(*group, key, value.as_deref().map(|value| (1, 2, value)));
        }
        slots
    }

    fn problem(bytes: Vec<u8>) -> (usize, usize, &'static str) {
        let error = DirtySlots::from_bytes(OPERATOR, 9, bytes).unwrap_err();
        (error.index, error.offset, error.problem)
    }

    proptest! {
        #[test]
        fn slots_survive_as_bytes(written in prop::collection::vec(
            (0..KEY_GROUPS, prop::collection::vec(any::<u8>(), 0..9), prop::option::of(prop::collection::vec(any::<u8>(), 0..9))),
            0..20,
        )) {
            let slots = slots(&written);
            let read = DirtySlots::from_bytes(OPERATOR, 9, slots.bytes().to_vec()).unwrap();
            prop_assert_eq!(read.len(), written.len());
            prop_assert!(read.iter().eq(slots.iter()));
        }

        #[test]
        fn any_bytes_are_taken_whole_or_refused(bytes in prop::collection::vec(prop_oneof![0..6u8, any::<u8>()], 0..64)) {
            if let Ok(read) = DirtySlots::from_bytes(OPERATOR, 9, bytes.clone()) {
                let size: usize = read.iter().map(|s| 8 + s.key.len() + s.value.map_or(0, <[u8]>::len)).sum();
                prop_assert_eq!((size, read.iter().count()), (bytes.len(), read.len()));
            }
        }

        #[test]
        fn a_cut_never_goes_unseen(keep in 1..63usize) {
            let bytes = slots(&[(1, b"k".to_vec(), Some(b"value".to_vec())), (2, b"longer".to_vec(), Some(b"v".to_vec()))]);
            let first = slots(&[(1, b"k".to_vec(), Some(b"value".to_vec()))]).bytes().len();
            prop_assume!(keep != first && keep < bytes.bytes().len());
            let (index, offset, what) = problem(bytes.bytes()[..keep].to_vec());
            let expected = if keep < first { (0, 0) } else { (1, first) };
            prop_assert_eq!(((index, offset), what), (expected, "it is cut short"));
        }
    }

    #[test]
    fn slots_of_somebody_else_are_refused() {
        let mut other = DirtySlots::with_capacity(OperatorId(4), 9, 0);
        other.push(1, b"k", None);
        assert_eq!(problem(other.bytes().to_vec()).2, "its key belongs to another operator");
        assert_eq!(problem(slots(&[(KEY_GROUPS, vec![], None)]).bytes().to_vec()).2, "its key group does not exist");
        let mut timer = slots(&[(1, b"k".to_vec(), None)]).bytes().to_vec();
        timer[8 + 4] = 2;
        assert_eq!(problem(timer).2, "its key is not one of a slot");
        let mut short = slots(&[(1, vec![], Some(vec![]))]).bytes().to_vec();
        short[4] = 11;
        short.pop();
        assert_eq!(problem(short).2, "its value is shorter than its header");
    }
}
