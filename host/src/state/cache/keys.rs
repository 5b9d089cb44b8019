//! The distinct keys of a batch, and their slots.

use super::SlotCache;
use crate::state::NEVER;

/// Keys of one batch, by their index in the batch. Slots are read and written in place; what is
/// written is handed over at the next barrier.
///
/// Methods that take a key index panic when it is not below [`len`](Self::len).
#[derive(Debug)]
pub struct Keys<'c> {
    pub(super) cache: &'c mut SlotCache,
    pub(super) now_ms: i64,
    /// Event time of what is written.
    pub(super) written_ms: i64,
}

impl Keys<'_> {
    /// Index of each row's key.
    pub fn row_index(&self) -> &[u32] {
        &self.cache.batch.rows
    }

    /// Number of distinct keys. (A key may lack a row where two keys share a 64-bit hash.)
    pub fn len(&self) -> usize {
        self.cache.batch.len
    }

    /// Whether the batch had no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of a key.
    pub fn key(&self, k: usize) -> &[u8] {
        let entry = self.cache.entry(self.id(k));
        self.cache.arena.get(entry.block, entry.key_len as usize)
    }

    /// Schema version and bytes of a key's slot; `None` when the key has none, or it has expired.
    #[inline]
    pub fn get(&self, k: usize) -> Option<(u32, &[u8])> {
        let entry = self.cache.entry(self.id(k));
        if !entry.is_live(self.now_ms) {
            return None;
        }
        let record = self.cache.arena.get(entry.block, entry.record_len());
        Some((entry.version, &record[entry.key_len as usize..]))
    }

    /// Writes a key's slot. It expires the operator's TTL after the event time of the writing given
    /// to [`SlotCache::begin`].
    #[inline]
    pub fn put(&mut self, k: usize, version: u32, slot: &[u8]) {
        let id = self.id(k);
        let ttl_ms = self.cache.ttl_ms;
        let expires = if ttl_ms == 0 || self.written_ms == i64::MIN {
            NEVER
        } else {
            self.written_ms.saturating_add_unsigned(ttl_ms)
        };
        self.cache.mark_dirty(id);
        self.cache.store_slot(id, version, expires, slot);
    }

    /// Deletes a key's slot.
    pub fn delete(&mut self, k: usize) {
        let id = self.id(k);
        if !self.cache.entry(id).is_present() {
            return;
        }
        self.cache.mark_dirty(id);
        self.cache.clear_slot(id);
    }

    #[inline]
    fn id(&self, k: usize) -> u32 {
        assert!(k < self.cache.batch.len, "key index {k} of a batch with {} keys", self.cache.batch.len);
        self.cache.batch.ids[k]
    }
}
