//! The hash table of a cache: from a tag of the key's hash to the number of an entry. It is made of parts
//! that grow each for itself, as one table of half a million tags would stop a worker while it grows.

use hashbrown::HashTable;

use crate::record::KeyHash;

const PARTS: usize = 16;

/// What the table holds: 32 bits of the key's hash, and the entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    pub tag: u32,
    pub id: u32,
}

impl Tag {
    #[inline]
    pub(super) fn new(hash: KeyHash, id: u32) -> Self {
        Self { tag: hash as u32, id }
    }

    /// The hash that places the tag: its low bits choose the place, the high ones the control byte, some
    /// in between the part; all must depend on the tag alone so that a part can grow by itself.
    #[inline]
    fn spread(&self) -> u64 {
        u64::from(self.tag).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

#[derive(Debug, Default)]
pub(super) struct Table([HashTable<Tag>; PARTS]);

impl Table {
    /// The entry with the tag of `hash` for which `fits` holds.
    #[inline]
    pub(super) fn find(&self, hash: KeyHash, mut fits: impl FnMut(u32) -> bool) -> Option<u32> {
        let wanted = Tag::new(hash, 0);
        let spread = wanted.spread();
        self.0[part(spread)].find(spread, |tag| tag.tag == wanted.tag && fits(tag.id)).map(|tag| tag.id)
    }

    pub(super) fn insert(&mut self, hash: KeyHash, id: u32) {
        let tag = Tag::new(hash, id);
        self.0[part(tag.spread())].insert_unique(tag.spread(), tag, Tag::spread);
    }

    pub(super) fn remove(&mut self, hash: KeyHash, id: u32) {
        let spread = Tag::new(hash, id).spread();
        if let Ok(tag) = self.0[part(spread)].find_entry(spread, |tag| tag.id == id) {
            tag.remove();
        }
    }
}

#[inline]
fn part(spread: u64) -> usize {
    (spread >> 40) as usize % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::hash_key;

    #[test]
    fn entries_are_found_by_hash_until_they_are_removed() {
        let hash = |key: u32| hash_key(&key.to_le_bytes());
        let mut table = Table::default();
        (0..10_000).for_each(|key| table.insert(hash(key), key));
        assert!((0..10_000).all(|key| table.find(hash(key), |id| id == key) == Some(key)));
        assert_eq!(table.find(hash(7), |_| false), None);
        (0..5_000).for_each(|key| table.remove(hash(key), key));
        assert!((0..10_000).all(|key| table.find(hash(key), |id| id == key).is_some() == (key >= 5_000)));
        let lengths = table.0.each_ref().map(HashTable::len);
        assert!(lengths.iter().all(|len| (200..430).contains(len)), "{lengths:?}");
    }
}
