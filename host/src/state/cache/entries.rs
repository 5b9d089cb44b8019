//! The entries of a cache, by number. They lie in chunks, so that one more never moves the others: with
//! half a million of them that would stop a worker for tens of milliseconds.

use std::ops::{Index, IndexMut};

use super::entry::Entry;

/// Entries of a chunk: 64 KiB, so that a cache with few keys is small, and the list of chunks stays in
/// the first-level cache when they are many.
const CHUNK: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Entries {
    chunks: Vec<Box<[Entry; CHUNK]>>,
    len: usize,
}

impl Entries {
    /// Adds an entry; returns its number.
    pub(super) fn push(&mut self, entry: Entry) -> u32 {
        let id = self.len as u32;
        if self.len == self.chunks.len() * CHUNK {
            self.chunks.push(Box::new([Entry::default(); CHUNK]));
        }
        self.len += 1;
        self[id] = entry;
        id
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&Entry> {
        self.chunks.get(id as usize / CHUNK).map(|chunk| &chunk[id as usize % CHUNK])
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Entry> {
        self.chunks.get_mut(id as usize / CHUNK).map(|chunk| &mut chunk[id as usize % CHUNK])
    }
}

impl Index<u32> for Entries {
    type Output = Entry;

    #[inline]
    fn index(&self, id: u32) -> &Entry {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }
}

impl IndexMut<u32> for Entries {
    #[inline]
    fn index_mut(&mut self, id: u32) -> &mut Entry {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::super::arena::Block;
    use super::*;

    #[test]
    fn entries_are_found_by_number_and_stay_where_they_are() {
        let mut entries = Entries::default();
        let entry = |hash| Entry::new(hash, 0, Block::default(), 0);
        assert_eq!(entries.push(entry(7)), 0);
        let first = std::ptr::from_ref(&entries[0]);
        for hash in 1..5_000 {
            assert_eq!(u64::from(entries.push(entry(hash))), hash);
        }
        assert_eq!(
            (entries.len(), entries[1_023].hash, entries[1_024].hash, entries[4_999].hash),
            (5_000, 1_023, 1_024, 4_999)
        );
        assert_eq!(first, std::ptr::from_ref(&entries[0]));
        assert!(entries.get(u32::MAX).is_none() && entries.get_mut(5_120).is_none());
    }
}
