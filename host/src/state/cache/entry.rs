//! What the cache knows of one key, in one cache line; key and slot bytes lie in the arena.

use super::arena::Block;

/// The key has a slot (which may have expired).
const PRESENT: u8 = 1;
/// Changed since the last barrier.
const DIRTY: u8 = 2;
/// Used since the eviction hand last came by.
const REFERENCED: u8 = 4;
/// Not on the free list.
const OCCUPIED: u8 = 8;

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(super) struct Entry {
    pub hash: u64,
    /// `first stamp of a batch + index of the key in that batch`, for the last batch that had it.
    pub stamp: u64,
    /// Event time from which the slot reads as absent.
    pub expires: i64,
    /// Last barrier for which the slot was copied; 0 is none.
    pub handed_over: u64,
    /// Home of the record: key bytes, then slot bytes.
    pub block: Block,
    pub key_len: u32,
    pub slot_len: u32,
    /// State schema version of the slot.
    pub version: u32,
    flags: u8,
    /// Length of the value that was last copied for the store; 0 when it is not known.
    pub stored: u16,
}

const _: () = assert!(size_of::<Entry>() == 64, "an entry is one cache line");

impl Entry {
    /// An entry for a key without a slot.
    pub(super) fn new(hash: u64, stamp: u64, block: Block, key_len: u32) -> Self {
        Self { hash, stamp, block, key_len, flags: OCCUPIED | REFERENCED, ..Self::default() }
    }

    pub(super) fn record_len(&self) -> usize {
        self.key_len as usize + self.slot_len as usize
    }

    /// Whether the key has a slot at this event time.
    #[inline]
    pub(super) fn is_live(&self, now_ms: i64) -> bool {
        self.has(PRESENT) && self.expires > now_ms
    }

    #[inline]
    pub(super) fn is_present(&self) -> bool {
        self.has(PRESENT)
    }

    #[inline]
    pub(super) fn set_present(&mut self, on: bool) {
        self.set(PRESENT, on);
    }

    #[inline]
    pub(super) fn is_dirty(&self) -> bool {
        self.has(DIRTY)
    }

    #[inline]
    pub(super) fn set_dirty(&mut self, on: bool) {
        self.set(DIRTY, on);
    }

    #[inline]
    pub(super) fn set_referenced(&mut self) {
        self.flags |= REFERENCED;
    }

    /// Whether the entry was used since this was last asked.
    pub(super) fn take_referenced(&mut self) -> bool {
        let referenced = self.has(REFERENCED);
        self.set(REFERENCED, false);
        referenced
    }

    /// Whether the entry may be dropped: it is in use, and the store has what it holds.
    pub(super) fn is_evictable(&self, applied: u64) -> bool {
        self.flags & (OCCUPIED | DIRTY) == OCCUPIED && self.handed_over <= applied
    }

    #[inline]
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    fn set(&mut self, flag: u8, on: bool) {
        if on {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }
}
