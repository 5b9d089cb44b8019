//! From the rows of a batch to its distinct keys.
//!
//! There is no hash map per batch: each entry carries a stamp, and a batch owns a range of stamps
//! that no earlier batch had. An entry whose stamp lies in the range was seen in this batch, and
//! the place in the range is the index of its key.
//!
//! The work is done in passes over the batch. Within a pass the rows do not depend on each other,
//! so the processor overlaps their cache misses; done row by row, each row would wait for a chain
//! of four. Passes that only read memory ahead of those that work on it look idle and are not: with
//! 100,000 keys they halve the time, as a pass of few instructions keeps more misses under way.

use super::{Keys, SlotCache};
use crate::record::{KeyHash, key_group};
use crate::state::store::layout;
use crate::state::{Error, KeyColumn};

/// No entry.
const NONE: u32 = u32::MAX;
/// Bytes that the processor fetches at once.
pub(super) const CACHE_LINE: usize = 64;
/// Eviction steps per row of a batch, about a nanosecond each. A row adds at most one entry, so when
/// every entry was used since the last sweep the bound is exceeded by a sixteenth before one goes.
const EVICTION_STEPS: usize = 16;

/// The batch in hand; its buffers are used again for the next.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Per row: first the entry, then the index of its key.
    pub rows: Vec<u32>,
    /// Entry of each distinct key: the first `len` are valid.
    pub ids: Vec<u32>,
    /// Number of distinct keys.
    pub len: usize,
    /// First stamp of the batch; 0 is the stamp of no batch.
    first_stamp: u64,
    /// Rows whose key was not found by the quick way.
    unresolved: Vec<u32>,
    /// Entries added by this batch.
    added: Vec<u32>,
}

impl SlotCache {
    /// Resolves the keys of a batch and loads the slots that are not cached, in one read.
    ///
    /// `hashes` are the hashes of `keys`. `now_ms` is the operator's watermark: slots whose expiry it
    /// has reached read as absent. `written_ms` is the newest event time of the batch: slots written
    /// expire a TTL after it, so that none lives shorter than its TTL. `i64::MIN` stands for a time
    /// not known: nothing has expired, and slots written then do not expire until they are written
    /// again.
    ///
    /// # Errors
    /// When the store cannot be read; the cache is as before then.
    ///
    /// # Panics
    /// When `hashes` and `keys` differ in length.
    pub fn begin(
        &mut self,
        hashes: &[KeyHash],
        keys: &KeyColumn<'_>,
        now_ms: i64,
        written_ms: i64,
    ) -> Result<Keys<'_>, Error> {
        assert_eq!(hashes.len(), keys.len(), "one hash for each key");
        self.evict(EVICTION_STEPS * hashes.len());
        self.copy_early(hashes.len());
        let batch = &mut self.batch;
        batch.first_stamp += batch.len.max(1) as u64;
        batch.len = 0;
        batch.unresolved.clear();
        batch.added.clear();
        if batch.ids.len() < hashes.len() {
            batch.ids.resize(hashes.len(), NONE);
        }

        self.probe(hashes);
        self.touch_entries();
        self.stamp(hashes);
        self.touch_records();
        self.verify(keys);
        self.stats.hits += (hashes.len() - self.batch.unresolved.len()) as u64;
        if !self.batch.unresolved.is_empty() {
            self.resolve_rest(hashes, keys);
            self.load_added()?;
        }
        Ok(Keys { cache: self, now_ms, written_ms })
    }

    /// First pass, over the hash table: the entry whose tag fits.
    fn probe(&mut self, hashes: &[KeyHash]) {
        let table = &self.table;
        self.batch.rows.clear();
        self.batch.rows.extend(hashes.iter().map(|&hash| table.find(hash, |_| true).unwrap_or(NONE)));
    }

    /// Second pass, over the entries: reads them and nothing else, so that the processor has as many
    /// cache misses under way as it can. This stands in for prefetching.
    fn touch_entries(&self) {
        let mut sum = 0;
        for &id in &self.batch.rows {
            sum ^= self.entries.get(id).map_or(0, |entry| entry.stamp);
        }
        std::hint::black_box(sum);
    }

    /// Third pass: the whole hash must fit; the stamp says whether the key is new to the batch. No
    /// branch on that, as it could not be predicted.
    fn stamp(&mut self, hashes: &[KeyHash]) {
        let Batch { rows, ids, first_stamp, unresolved, .. } = &mut self.batch;
        let first = *first_stamp;
        let mut len = 0;
        for (row, (slot, &hash)) in rows.iter_mut().zip(hashes).enumerate() {
            let id = *slot;
            match self.entries.get_mut(id) {
                Some(entry) if entry.hash == hash => {
                    let new = entry.stamp < first;
                    let k = if new { len as u64 } else { entry.stamp.wrapping_sub(first) };
                    entry.stamp = first + k;
                    entry.set_referenced();
                    ids[len] = id;
                    len += usize::from(new);
                    *slot = k as u32;
                }
                _ => {
                    *slot = NONE;
                    unresolved.push(row as u32);
                }
            }
        }
        self.batch.len = len;
    }

    /// Fourth pass, over the records: the same for each cache line of key and slot.
    fn touch_records(&self) {
        let mut sum = 0;
        for &id in &self.batch.ids[..self.batch.len] {
            let entry = self.entry(id);
            let record = self.arena.get(entry.block, entry.record_len());
            sum = record.iter().step_by(CACHE_LINE).chain(record.last()).fold(sum, |sum, byte| sum ^ byte);
        }
        std::hint::black_box(sum);
    }

    /// Fifth pass: the key's bytes must fit.
    fn verify(&mut self, keys: &KeyColumn<'_>) {
        let Batch { rows, ids, unresolved, .. } = &mut self.batch;
        let mut scratch = [0; 8];
        for (row, k) in rows.iter_mut().enumerate() {
            if *k == NONE {
                continue;
            }
            let entry = &self.entries[ids[*k as usize]];
            let key = keys.get(row, &mut scratch);
            if key != self.arena.get(entry.block, entry.key_len as usize) {
                *k = NONE;
                unresolved.push(row as u32);
            }
        }
    }

    /// Rows that the passes left over: new keys, and keys that share hash bits with others.
    fn resolve_rest(&mut self, hashes: &[KeyHash], keys: &KeyColumn<'_>) {
        let mut scratch = [0; 8];
        let unresolved = std::mem::take(&mut self.batch.unresolved);
        for &row in &unresolved {
            let hash = hashes[row as usize];
            let key = keys.get(row as usize, &mut scratch);
            let next_stamp = self.batch.first_stamp + self.batch.len as u64;
            let id = self.find_exactly(hash, key).unwrap_or_else(|| {
                let id = self.insert(hash, 0, key);
                self.batch.added.push(id);
                id
            });
            let entry = &mut self.entries[id];
            entry.set_referenced();
            if entry.stamp < self.batch.first_stamp {
                entry.stamp = next_stamp;
                // With colliding hashes there can be more keys than rows.
                match self.batch.ids.get_mut(self.batch.len) {
                    Some(slot) => *slot = id,
                    None => self.batch.ids.push(id),
                }
                self.batch.len += 1;
            }
            self.batch.rows[row as usize] = (entry.stamp - self.batch.first_stamp) as u32;
        }
        self.stats.hits += (unresolved.len() - self.batch.added.len()) as u64;
        self.stats.misses += self.batch.added.len() as u64;
        self.batch.unresolved = unresolved;
    }

    fn find_exactly(&self, hash: KeyHash, key: &[u8]) -> Option<u32> {
        self.table.find(hash, |id| {
            let entry = self.entry(id);
            entry.hash == hash && self.arena.get(entry.block, entry.key_len as usize) == key
        })
    }

    /// Reads the slots of the entries that this batch added. When that fails the entries must go:
    /// they would read as keys without a slot.
    fn load_added(&mut self) -> Result<(), Error> {
        if self.complete || self.batch.added.is_empty() {
            return Ok(());
        }
        let added = std::mem::take(&mut self.batch.added);
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(added.len());
        for &id in &added {
            let entry = self.entry(id);
            let key = self.arena.get(entry.block, entry.key_len as usize);
            layout::push_key(&mut bytes, key_group(entry.hash), self.operator, key);
            ends.push(bytes.len());
        }
        let source = self.source.clone();
        let loaded = source.load(&bytes, &ends, &mut |index, slot| {
            self.store_slot(added[index], slot.version, slot.expires, slot.bytes);
        });
        if loaded.is_err() {
            let complete = self.complete;
            added.iter().for_each(|&id| self.remove(id));
            self.complete = complete;
        }
        self.batch.added = added;
        loaded
    }
}
