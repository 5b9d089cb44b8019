//! Copies what changed before the barrier asks for it, so that the barrier finds little left to do.
//!
//! With 100,000 changed slots an epoch, copying them all at the barrier stops a worker for tens of
//! milliseconds. So each batch copies a few that were changed shortly before, while they are still in
//! the processor's cache. One that changes once more in the same epoch is copied once more, at the
//! barrier. Where that is the rule (few keys, changed all the time) the copies are for nothing, and
//! stop; where it is the exception, they cost less than those at the barrier would. And an epoch that
//! changes few slots has none.

use super::SlotCache;
use crate::state::DirtySlots;

/// So many changed entries make it worth while: fewer are copied at the barrier in a few milliseconds,
/// and short epochs have as many.
const MANY: usize = 8192;
/// Changed entries that wait at least, the newest: a key is often changed several times in a row.
const WAIT: usize = 512;
/// Copies after which it is known whether they are worth it.
const PROBE: usize = 256;
/// One copy for nothing may come on so many.
const WORTH: usize = 4;

/// What was copied since the last barrier.
#[derive(Debug, Default)]
pub(super) struct Early {
    slots: Option<DirtySlots>,
    /// Entries at the beginning of the cache's list of changed ones that were copied.
    pub taken: usize,
    /// Entries that changed after they were copied.
    pub again: Vec<u32>,
    counts: Counts,
    /// Bytes that the last epoch took.
    usual_bytes: usize,
}

/// Copies of this epoch and, counted half as much, of the one before, and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    copied: usize,
    again: usize,
}

impl Counts {
    fn worth_it(self) -> bool {
        self.copied < PROBE || self.again * WORTH <= self.copied
    }

    fn next_epoch(self) -> Self {
        Self { copied: self.copied / 2, again: self.again / 2 }
    }
}

impl Early {
    /// A copied entry changed again.
    pub(super) fn changed(&mut self, id: u32) {
        self.again.push(id);
        self.counts.again += 1;
    }

    /// What the epoch has, for what is left to be added; the next one begins.
    pub(super) fn finish(&mut self) -> Option<DirtySlots> {
        self.taken = 0;
        self.again.clear();
        self.counts = self.counts.next_epoch();
        let slots = self.slots.take();
        self.usual_bytes = slots.as_ref().map_or(0, |slots| slots.bytes().len());
        slots
    }
}

impl SlotCache {
    /// Copies some of the entries that changed a while ago, at most two for each row of a batch.
    pub(super) fn copy_early(&mut self, rows: usize) {
        let ready = self.dirty.len().saturating_sub(self.early.taken + WAIT).min(2 * rows);
        if ready == 0 || self.dirty.len() < MANY || !self.early.counts.worth_it() {
            return;
        }
        let (operator, bytes) = (self.operator, self.early.usual_bytes + self.early.usual_bytes / 8);
        // The epoch in progress gets its number at its barrier.
        let slots = self.early.slots.take().unwrap_or_else(|| DirtySlots::with_capacity(operator, 0, bytes));
        let from = self.early.taken;
        let dirty = std::mem::take(&mut self.dirty);
        self.early.slots = Some(self.copy(&dirty[from..from + ready], slots));
        self.dirty = dirty;
        self.early.taken += ready;
        self.early.counts.copied += ready;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_go_on_while_few_are_for_nothing() {
        let worth_it = |copied, again| Counts { copied, again }.worth_it();
        assert!(worth_it(0, 0));
        assert!(worth_it(PROBE - 1, PROBE - 1));
        assert!(worth_it(1_000, 250));
        assert!(!worth_it(1_000, 251));
    }

    #[test]
    fn what_was_not_worth_it_is_tried_again_after_some_epochs() {
        let mut counts = Counts { copied: 1_000, again: 900 };
        let epochs = (1..).find(|_| {
            counts = counts.next_epoch();
            counts.worth_it()
        });
        assert_eq!((epochs, counts), (Some(2), Counts { copied: 250, again: 225 }));
    }
}
