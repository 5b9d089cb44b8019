//! What a barrier takes from the cache: a copy of the slots that changed in the epoch.
//!
//! No row of the worker is processed meanwhile, so this is the gap that a barrier makes; `early.rs`
//! keeps it short. With many keys, nearly all of it would be waiting for memory: of each slot an entry
//! and a record, which lie anywhere. As in `resolve.rs`, passes that only read let the misses overlap.
//!
//! The cache counts barriers, because an entry that is copied before its barrier does not know the
//! epoch's number yet, and must stay all the same until that epoch is applied.

use std::collections::VecDeque;

use super::SlotCache;
use super::resolve::CACHE_LINE;
use crate::record::key_group;
use crate::state::DirtySlots;

/// Entries of a pass: what they and their records take stays in the second-level cache.
const PASS: usize = 128;

/// The barriers that the cache has seen, numbered from 1.
#[derive(Debug)]
pub(super) struct Barriers {
    /// The one that ends the epoch in progress.
    pub next: u64,
    /// The last one whose epoch, and all before it, are applied; 0 is none.
    pub applied: u64,
    /// Those in between: epoch and barrier.
    waiting: VecDeque<(u64, u64)>,
}

impl Barriers {
    pub(super) fn new() -> Self {
        Self { next: 1, applied: 0, waiting: VecDeque::new() }
    }

    fn pass(&mut self, epoch: u64) {
        self.waiting.push_back((epoch, self.next));
        self.next += 1;
    }

    pub(super) fn apply(&mut self, epoch: u64) {
        while let Some((_, barrier)) = self.waiting.pop_front_if(|(waiting, _)| *waiting <= epoch) {
            self.applied = barrier;
        }
    }
}

impl SlotCache {
    /// At a barrier: the slots changed since the last one, some of which were copied before. Their
    /// entries stay until [`applied`](Self::applied) is told of `epoch`.
    ///
    /// # Panics
    /// When `epoch` has been applied already: the entries would not be kept.
    pub fn hand_over(&mut self, epoch: u64) -> DirtySlots {
        assert!(epoch > self.applied, "epoch {epoch} is handed over after epoch {} was applied", self.applied);
        let (dirty, taken) = (std::mem::take(&mut self.dirty), self.early.taken);
        let again = std::mem::take(&mut self.early.again);
        let slots = self.early.finish();
        // An entry's weight is more than what is copied of it. Pages that stay empty cost nothing.
        let slots = slots.unwrap_or_else(|| DirtySlots::with_capacity(self.operator, epoch, self.stats.dirty_bytes));
        let slots = self.copy(&dirty[taken..], slots);
        let slots = self.copy(&again, slots);
        self.barriers.pass(epoch);
        // Their memory is used again.
        (self.dirty, self.early.again) = (dirty, again);
        self.dirty.clear();
        self.early.again.clear();
        self.stats.dirty_bytes = 0;
        slots.of_epoch(epoch)
    }

    /// Copies changed entries, which are clean then, but stay until the epoch is applied.
    pub(super) fn copy(&mut self, ids: &[u32], mut slots: DirtySlots) -> DirtySlots {
        for pass in ids.chunks(PASS) {
            self.touch_dirty(pass);
            for &id in pass {
                let entry = &mut self.entries[id];
                entry.set_dirty(false);
                entry.handed_over = self.barriers.next;
                let record = self.arena.get(entry.block, entry.record_len());
                let (key, slot) = record.split_at(entry.key_len as usize);
                let value = entry.is_present().then_some((entry.version, entry.expires, slot));
                let stored = slots.push_as_long_as(key_group(entry.hash), key, value, entry.stored.into());
                // What is longer than this is not kept so.
                entry.stored = u16::try_from(stored).unwrap_or(0);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barrier_counts_as_applied_with_its_epoch_or_a_later_one() {
        let mut barriers = Barriers::new();
        [7, 9, 10].into_iter().for_each(|epoch| barriers.pass(epoch));
        let applied = [6, 7, 8, 10, 10].map(|epoch| {
            barriers.apply(epoch);
            barriers.applied
        });
        assert_eq!((applied, barriers.next), ([0, 1, 1, 3, 3], 4));
    }
}
