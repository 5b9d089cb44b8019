//! A store that holds whole epochs, of which those since the last flush are gone when the process is.

use std::collections::BTreeMap;

use crate::epoch::protocol::{Committed, Held};
use crate::state::DirtySlots;

/// Keys of the store, and what they hold.
pub(super) type Slots = BTreeMap<Vec<u8>, Vec<u8>>;

/// What one machine has of the state.
#[derive(Clone, Default)]
pub(super) struct SimStore {
    pub(super) held: Held,
    pub(super) slots: Slots,
    flushed: Option<(Held, Slots)>,
}

impl SimStore {
    pub(super) fn apply(&mut self, committed: Committed, slots: &[DirtySlots]) -> Result<(), String> {
        let epoch = committed.epoch();
        if epoch <= self.held.epoch {
            return Err(format!("epoch {epoch} comes after {}", self.held.epoch));
        }
        for slot in slots.iter().flat_map(DirtySlots::iter) {
            match slot.value {
                Some(value) => self.slots.insert(slot.key.to_vec(), value.to_vec()),
                None => self.slots.remove(slot.key),
            };
        }
        self.held = Held { epoch, checksum: Some(committed.checksum()) };
        Ok(())
    }

    pub(super) fn flush(&mut self) {
        self.flushed = Some((self.held, self.slots.clone()));
    }

    pub(super) fn flushed(&self) -> u64 {
        self.flushed.as_ref().map_or(0, |(held, _)| held.epoch)
    }

    pub(super) fn replace(&mut self, held: Held, slots: Slots) {
        (self.held, self.slots) = (held, slots);
        self.flush();
    }

    /// The process is gone.
    pub(super) fn reopen(&mut self) {
        (self.held, self.slots) = self.flushed.clone().unwrap_or_default();
    }
}
