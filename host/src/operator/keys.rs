//! The keys of a batch, or of a part of it, as the packed layout wants them: dense indices, and
//! slots in the layout version that the plugin reads.

use std::cell::Cell;
use std::ops::Range;

use millstream_batch::{KeyTable, Slot};

use super::error::Fault;
use super::instance::Instance;
use super::slots::{Keyed, Slots};

/// Stands for an index that there is not; the layout refuses it.
const NONE: u32 = u32::MAX;

/// Slots carried over from an older version, by key index of the batch, ascending.
pub(super) type Migrated = Vec<(u32, Vec<u8>)>;

/// Which keys a call is about. Scratch space, kept between batches.
#[derive(Debug, Default)]
pub(super) struct Dense {
    /// Whether the batch's own indices serve, because the call is about all of it.
    whole: bool,
    /// For each row of the part, an index into `keys`.
    rows: Vec<u32>,
    /// For each key of the part, its index in the batch.
    keys: Vec<u32>,
    /// For each key of the batch, its index in `keys`, or [`NONE`].
    at: Vec<u32>,
}

impl Dense {
    /// Takes all keys as they are.
    pub(super) fn whole(&mut self) {
        self.whole = true;
    }

    /// Numbers the keys of `rows`, which are indices below `keys`, in order of appearance.
    pub(super) fn part(&mut self, rows: &[u32], keys: u32) {
        self.whole = false;
        self.rows.clear();
        self.keys.clear();
        self.at.clear();
        self.at.resize(keys as usize, NONE);
        for &key in rows {
            let Some(at) = self.at.get_mut(key as usize) else {
                self.rows.push(NONE);
                continue;
            };
            if *at == NONE {
                *at = self.keys.len() as u32;
                self.keys.push(key);
            }
            self.rows.push(*at);
        }
    }

    /// Sets up for the rows `range` of `keyed`; `whole` when that is all of them.
    pub(super) fn set<S>(&mut self, keyed: &Keyed<'_, S>, range: Range<usize>, whole: bool) {
        if whole {
            self.whole();
        } else {
            self.part(keyed.rows.get(range).unwrap_or_default(), keyed.keys);
        }
    }

    /// For each row the index of its key.
    pub(super) fn rows<'a, S>(&'a self, keyed: &Keyed<'a, S>) -> &'a [u32] {
        if self.whole { keyed.rows } else { &self.rows }
    }

    /// Number of keys.
    pub(super) fn len<S>(&self, keyed: &Keyed<'_, S>) -> usize {
        if self.whole { keyed.keys as usize } else { self.keys.len() }
    }

    /// Index in the batch of a key.
    pub(super) fn in_batch(&self, key: usize) -> u32 {
        if self.whole { key as u32 } else { self.keys.get(key).copied().unwrap_or(NONE) }
    }
}

/// Slots as the packed layout reads them.
pub(super) struct Table<'a, S> {
    pub(super) slots: &'a S,
    pub(super) dense: &'a Dense,
    pub(super) len: usize,
    /// Version that the plugin reads; `None` when it keeps no state.
    pub(super) version: Option<u32>,
    pub(super) migrated: &'a Migrated,
    /// Set when a slot of another version was met: what was written is not to be used then.
    pub(super) stale: Cell<bool>,
}

impl<S: Slots> KeyTable for Table<'_, S> {
    fn len(&self) -> usize {
        self.len
    }

    fn key(&self, key: usize) -> &[u8] {
        self.slots.key(self.dense.in_batch(key))
    }

    fn slot(&self, key: usize) -> Option<Slot<'_>> {
        let expected = self.version?;
        let key = self.dense.in_batch(key);
        let (version, bytes) = self.slots.get(key)?;
        if version == expected {
            return Some(Slot { version, bytes });
        }
        if let Ok(at) = self.migrated.binary_search_by_key(&key, |(key, _)| *key) {
            let (_, bytes) = self.migrated.get(at)?;
            return Some(Slot { version: expected, bytes });
        }
        self.stale.set(true);
        None
    }
}

impl<S: Slots> Table<'_, S> {
    /// Carries every slot of an older version over.
    pub(super) fn migrate(&self, instance: &mut Instance) -> Result<Migrated, Fault> {
        let Some(expected) = self.version else { return Ok(Vec::new()) };
        let mut migrated = Vec::new();
        for key in (0..self.len).map(|key| self.dense.in_batch(key)) {
            match self.slots.get(key) {
                Some((version, _)) if version > expected => {
                    return Err(Fault::Host(format!(
                        "a slot has state version {version}, the plugin reads {expected}; run a newer version of the plugin"
                    )));
                }
                Some((version, slot)) if version < expected => migrated.push((key, instance.migrate(version, slot)?)),
                _ => {}
            }
        }
        migrated.sort_unstable_by_key(|(key, _)| *key);
        Ok(migrated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_part_are_numbered_as_they_appear() {
        let mut dense = Dense::default();
        dense.part(&[7, 2, 7, 9, 2], 10);
        assert_eq!(dense.rows, [0, 1, 0, 2, 1]);
        assert_eq!(dense.keys, [7, 2, 9]);
        assert_eq!(dense.in_batch(2), 9);
        dense.part(&[2], 10);
        assert_eq!((dense.rows.as_slice(), dense.keys.as_slice()), (&[0][..], &[2][..]));
    }
}
