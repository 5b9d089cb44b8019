//! What a barrier takes from the cache: a copy of the slots that changed in the epoch.
//!
//! No row of the worker is processed meanwhile, so this is the gap that a barrier makes. With many
//! keys, nearly all of it would be waiting for memory: of each slot an entry and a record, which
//! lie anywhere. As in `resolve.rs`, passes that only read let the misses overlap.

use super::SlotCache;
use super::resolve::CACHE_LINE;
use crate::record::key_group;
use crate::state::DirtySlots;

/// Entries of a pass: what they and their records take stays in the second-level cache.
const PASS: usize = 128;

impl SlotCache {
    /// At a barrier: copies the slots changed since the last one. Their entries stay until
    /// [`applied`](Self::applied) is told of `epoch`.
    ///
    /// # Panics
    /// When `epoch` has been applied already: the entries would not be kept.
    pub fn hand_over(&mut self, epoch: u64) -> DirtySlots {
        assert!(epoch > self.applied, "epoch {epoch} is handed over after epoch {} was applied", self.applied);
        // An entry's weight is more than what is copied of it. Pages that stay empty cost nothing.
        let mut slots = DirtySlots::with_capacity(self.operator, epoch, self.stats.dirty_bytes);
        let dirty = std::mem::take(&mut self.dirty);
        for pass in dirty.chunks(PASS) {
            self.touch_dirty(pass);
            for &id in pass {
                let entry = &mut self.entries[id as usize];
                entry.set_dirty(false);
                entry.handed_over = epoch;
                let record = self.arena.get(entry.block, entry.record_len());
                let (key, slot) = record.split_at(entry.key_len as usize);
                let value = entry.is_present().then_some((entry.version, entry.expires, slot));
                slots.push(key_group(entry.hash), key, value);
            }
        }
        // Its memory is used again.
        self.dirty = dirty;
        self.dirty.clear();
        self.stats.dirty_bytes = 0;
        slots
    }

    /// Reads entries, then records, and nothing else.
    fn touch_dirty(&self, ids: &[u32]) {
        let mut sum = ids.iter().fold(0, |sum, &id| sum ^ self.entry(id).hash as u8);
        for &id in ids {
            let entry = self.entry(id);
            let record = self.arena.get(entry.block, entry.record_len());
            sum = record.iter().step_by(CACHE_LINE).chain(record.last()).fold(sum, |sum, byte| sum ^ byte);
        }
        std::hint::black_box(sum);
    }
}
