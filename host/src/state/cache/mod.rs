//! The write-back cache of one operator on one worker.
//!
//! Three structures: a hash table from a 32-bit tag of the key's hash to an entry number; the
//! entries, one cache line each; and an arena with the records, key and slot side by side. A key
//! that is cached thus costs about four cache misses, and the passes of `resolve.rs` let the
//! misses of neighbouring rows overlap.
//!
//! Life of an entry: written → *dirty* → copied for a barrier, *pinned* → its epoch is applied
//! → *clean*. Only clean entries are evicted (second chance), so what the store lacks is always
//! here. Hence the byte bound yields to dirty and pinned entries; [`SlotCache::needs_barrier`] says
//! when an early barrier would help.

mod arena;
mod early;
mod entries;
mod entry;
mod hand_over;
mod keys;
mod resolve;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::arena::Arena;
use self::early::Early;
use self::entries::Entries;
use self::entry::Entry;
use self::hand_over::Barriers;
pub use self::keys::Keys;
use self::resolve::Batch;
use self::table::Table;
use super::store::SlotSource;
use super::{OperatorId, Store};

/// Bytes that an entry costs beside its record: its cache line, and its share of the hash table
/// (eight bytes and a control byte, at a load of one half to seven eighths).
const ENTRY_BYTES: usize = size_of::<Entry>() + 16;

/// Most bytes that a new key gets for a slot it does not have yet.
const LARGEST_GUESS: usize = 1024;

/// A write-back cache of slots, for one operator on one worker thread.
#[derive(Debug)]
pub struct SlotCache {
    source: Arc<dyn SlotSource>,
    operator: OperatorId,
    ttl_ms: u64,
    max_bytes: usize,
    table: Table,
    entries: Entries,
    free_entries: Vec<u32>,
    arena: Arena,
    batch: Batch,
    /// Entries changed since the last barrier, in the order in which they were first changed.
    dirty: Vec<u32>,
    early: Early,
    barriers: Barriers,
    /// Last epoch that the store has applied.
    applied: u64,
    /// Where the eviction goes on.
    hand: usize,
    /// Every slot that the store has for this cache is also here: a key that is not cached has none.
    complete: bool,
    /// Length of the slot last written: what a new key is likely to need.
    usual_slot: usize,
    stats: CacheStats,
}

/// Figures of a cache. The counts run from its creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Rows whose key was cached.
    pub hits: u64,
    /// Keys that had to be looked up in the store, or were known to be new.
    pub misses: u64,
    /// Entries dropped to keep the bound.
    pub evictions: u64,
    /// Bytes of entries and records.
    pub bytes: usize,
    /// Bytes of those changed since the last barrier.
    pub dirty_bytes: usize,
    /// Keys with a slot, expired ones included until they are evicted.
    pub live_keys: usize,
    /// Bytes allocated for records, used or free.
    pub reserved_bytes: usize,
}

impl SlotCache {
    /// An empty cache in front of `store`. Slots expire `ttl_ms` of event time after their last
    /// write, or never when that is 0.
    ///
    /// Create it when every earlier cache of the operator has been handed over and applied.
    pub fn new(store: Arc<Store>, operator: OperatorId, ttl_ms: u64, max_bytes: usize) -> Self {
        let applied = store.applied_epoch();
        Self::with_source(store, operator, ttl_ms, max_bytes, applied)
    }

    fn with_source(
        source: Arc<dyn SlotSource>,
        operator: OperatorId,
        ttl_ms: u64,
        max_bytes: usize,
        applied: u64,
    ) -> Self {
        // A failing look here shows again at the first load, which reports it.
        let complete = source.has_no_slots(operator).unwrap_or(false);
        Self {
            source,
            operator,
            ttl_ms,
            max_bytes,
            table: Table::default(),
            entries: Entries::default(),
            free_entries: Vec::new(),
            arena: Arena::new(),
            batch: Batch::default(),
            dirty: Vec::new(),
            early: Early::default(),
            barriers: Barriers::new(),
            applied,
            hand: 0,
            complete,
            usual_slot: 0,
            stats: CacheStats::default(),
        }
    }

    /// Changes the TTL of slots written from now on.
    pub fn set_ttl(&mut self, ttl_ms: u64) {
        self.ttl_ms = ttl_ms;
    }

    /// The store has applied everything up to `epoch`: entries not written since may be evicted.
    pub fn applied(&mut self, epoch: u64) {
        self.applied = self.applied.max(epoch);
        self.barriers.apply(epoch);
    }

    /// Whether so much is dirty that the bound can only be kept by an early barrier.
    pub fn needs_barrier(&self) -> bool {
        self.stats.dirty_bytes > self.max_bytes / 2
    }

    /// Figures of the cache.
    pub fn stats(&self) -> CacheStats {
        CacheStats { reserved_bytes: self.arena.reserved(), ..self.stats }
    }

    #[inline]
    fn entry(&self, id: u32) -> &Entry {
        &self.entries[id]
    }

    /// Bytes that an entry counts for.
    #[inline]
    fn weight(&self, id: u32) -> usize {
        ENTRY_BYTES + self.arena.capacity(self.entry(id).block)
    }

    #[inline]
    fn mark_dirty(&mut self, id: u32) {
        let entry = &mut self.entries[id];
        if entry.is_dirty() {
            return;
        }
        entry.set_dirty(true);
        if entry.handed_over == self.barriers.next {
            // It was copied for this epoch already, and counts already.
            return self.early.changed(id);
        }
        self.dirty.push(id);
        self.stats.dirty_bytes += self.weight(id);
    }

    /// Writes a slot into its record, which moves when it no longer fits, or fills less than half
    /// of its block.
    #[inline]
    fn store_slot(&mut self, id: u32, version: u32, expires: i64, slot: &[u8]) {
        let entry = self.entries[id];
        let key_len = entry.key_len as usize;
        let (len, capacity) = (key_len + slot.len(), self.arena.capacity(entry.block));
        if len > capacity || (len < capacity / 2 && capacity > arena::SMALLEST) {
            self.resize(id, len);
        }
        let entry = &mut self.entries[id];
        self.arena.get_mut(entry.block, key_len, len).copy_from_slice(slot);
        if !entry.is_present() {
            entry.set_present(true);
            self.stats.live_keys += 1;
        }
        entry.slot_len = slot.len() as u32;
        entry.version = version;
        entry.expires = expires;
        self.usual_slot = slot.len();
    }

    /// Drops the slot of an entry that has one, and keeps the key.
    fn clear_slot(&mut self, id: u32) {
        let key_len = self.entry(id).key_len as usize;
        self.resize(id, key_len);
        let entry = &mut self.entries[id];
        entry.set_present(false);
        entry.slot_len = 0;
        self.stats.live_keys -= 1;
    }

    /// Moves a record to a block for `len` bytes; only its key goes with it.
    #[cold]
    fn resize(&mut self, id: u32, len: usize) {
        let before = self.weight(id);
        let entry = &mut self.entries[id];
        entry.block = self.arena.relocate(entry.block, len, entry.key_len as usize);
        let after = self.weight(id);
        self.stats.bytes = self.stats.bytes - before + after;
        if self.entry(id).is_dirty() {
            self.stats.dirty_bytes = self.stats.dirty_bytes - before + after;
        }
    }

    /// Adds an entry without a slot, stamped for the batch in hand.
    fn insert(&mut self, hash: u64, stamp: u64, key: &[u8]) -> u32 {
        let block = self.arena.allocate(key.len() + self.usual_slot.min(LARGEST_GUESS));
        self.arena.get_mut(block, 0, key.len()).copy_from_slice(key);
        let entry = Entry::new(hash, stamp, block, key.len() as u32);
        let id = if let Some(id) = self.free_entries.pop() {
            self.entries[id] = entry;
            id
        } else {
            self.entries.push(entry)
        };
        self.table.insert(hash, id);
        self.stats.bytes += self.weight(id);
        id
    }

    /// Drops a clean entry.
    fn remove(&mut self, id: u32) {
        self.stats.bytes -= self.weight(id);
        let entry = std::mem::take(&mut self.entries[id]);
        self.table.remove(entry.hash, id);
        self.arena.free(entry.block);
        self.free_entries.push(id);
        if entry.is_present() {
            self.stats.live_keys -= 1;
            self.complete = false;
        }
    }

    /// Drops clean entries until the bound is kept, in at most `steps` steps: a cache full of dirty
    /// entries must not be searched from end to end for every batch.
    fn evict(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.stats.bytes <= self.max_bytes {
                return;
            }
            self.hand = if self.hand + 1 < self.entries.len() { self.hand + 1 } else { 0 };
            let Some(entry) = self.entries.get_mut(self.hand as u32) else { return };
            if entry.is_evictable(self.barriers.applied) && !entry.take_referenced() {
                self.remove(self.hand as u32);
                self.stats.evictions += 1;
            }
        }
    }
}
