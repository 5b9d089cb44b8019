//! Memory for records (key and slot side by side) of varying size.
//!
//! Blocks come in size classes, four to a doubling, so that at most a fifth of a block is unused.
//! Each class cuts its blocks from chunks; freed blocks are kept for the class. Records above
//! the largest class get a chunk of their own, which is given back when they are freed.

/// Bytes of a chunk: large enough that the table of chunks stays in the first-level cache, small
/// enough that a class with few records costs little.
const CHUNK: usize = 256 * 1024;
/// Bytes of the smallest block.
pub(super) const SMALLEST: usize = 64;
const LARGEST: usize = 32 * 1024;
/// Classes from [`SMALLEST`] to [`LARGEST`]: nine doublings of four, and the smallest itself.
const CLASSES: usize = 37;
/// Class of a record with a chunk of its own.
const OWN_CHUNK: u8 = u8::MAX;

/// A block of the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    chunk: u32,
    offset: u32,
    class: u8,
}

#[derive(Debug)]
pub(super) struct Arena {
    chunks: Vec<Vec<u8>>,
    /// Chunks whose memory was given back.
    free_chunks: Vec<u32>,
    free_blocks: [Vec<(u32, u32)>; CLASSES],
    /// Chunk of each class that still has uncut room, and where that room begins.
    open: [(u32, u32); CLASSES],
    /// Bytes in chunks, used or not.
    reserved: usize,
}

impl Arena {
    pub(super) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free_chunks: Vec::new(),
            free_blocks: std::array::from_fn(|_| Vec::new()),
            open: [(0, CHUNK as u32); CLASSES],
            reserved: 0,
        }
    }

    /// A block for `size` bytes.
    pub(super) fn allocate(&mut self, size: usize) -> Block {
        let class = class_of(size);
        if class == OWN_CHUNK {
            return Block { chunk: self.add_chunk(size), offset: 0, class };
        }
        let index = class as usize;
        if let Some((chunk, offset)) = self.free_blocks[index].pop() {
            return Block { chunk, offset, class };
        }
        let step = class_size(class) as u32;
        let (mut chunk, mut offset) = self.open[index];
        if offset + step > CHUNK as u32 {
            (chunk, offset) = (self.add_chunk(CHUNK), 0);
        }
        self.open[index] = (chunk, offset + step);
        Block { chunk, offset, class }
    }

    pub(super) fn free(&mut self, block: Block) {
        if block.class == OWN_CHUNK {
            self.reserved -= std::mem::take(&mut self.chunks[block.chunk as usize]).len();
            self.free_chunks.push(block.chunk);
        } else {
            self.free_blocks[block.class as usize].push((block.chunk, block.offset));
        }
    }

    /// Bytes that a record in this block may have.
    #[inline]
    pub(super) fn capacity(&self, block: Block) -> usize {
        if block.class == OWN_CHUNK { self.chunks[block.chunk as usize].len() } else { class_size(block.class) }
    }

    /// The first `len` bytes of a block.
    #[inline]
    pub(super) fn get(&self, block: Block, len: usize) -> &[u8] {
        let start = block.offset as usize;
        &self.chunks[block.chunk as usize][start..start + len]
    }

    /// The bytes `from..to` of a block, to write.
    #[inline]
    pub(super) fn get_mut(&mut self, block: Block, from: usize, to: usize) -> &mut [u8] {
        let start = block.offset as usize;
        &mut self.chunks[block.chunk as usize][start + from..start + to]
    }

    /// A larger or smaller home for a record of which the first `keep` bytes are copied.
    pub(super) fn relocate(&mut self, old: Block, size: usize, keep: usize) -> Block {
        let new = self.allocate(size);
        let (from, to) = (old.offset as usize, new.offset as usize);
        if old.chunk == new.chunk {
            self.chunks[old.chunk as usize].copy_within(from..from + keep, to);
        } else if let Ok([source, target]) = self.chunks.get_disjoint_mut([old.chunk as usize, new.chunk as usize]) {
            target[to..to + keep].copy_from_slice(&source[from..from + keep]);
        }
        self.free(old);
        new
    }

    /// Bytes that the arena holds, used or not.
    pub(super) fn reserved(&self) -> usize {
        self.reserved
    }

    fn add_chunk(&mut self, size: usize) -> u32 {
        self.reserved += size;
        let chunk = vec![0; size];
        if let Some(index) = self.free_chunks.pop() {
            self.chunks[index as usize] = chunk;
            return index;
        }
        self.chunks.push(chunk);
        (self.chunks.len() - 1) as u32
    }
}

/// Size class of a record.
#[inline]
fn class_of(size: usize) -> u8 {
    if size <= SMALLEST {
        return 0;
    }
    if size > LARGEST {
        return OWN_CHUNK;
    }
    let last = size - 1;
    let doubling = last.ilog2();
    (4 * (doubling - SMALLEST.ilog2()) + ((last >> (doubling - 2)) & 3) as u32 + 1) as u8
}

/// Bytes of a block of this class.
#[inline]
fn class_size(class: u8) -> usize {
    let Some(step) = class.checked_sub(1) else { return SMALLEST };
    (usize::from(step % 4) + 5) << (SMALLEST.ilog2() - 2 + u32::from(step / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        assert_eq!(class_of(LARGEST) as usize, CLASSES - 1);
        assert_eq!(class_of(LARGEST + 1), OWN_CHUNK);
        for size in 0..=LARGEST {
            let class = class_of(size);
            assert!(class_size(class) >= size, "size {size} class {class}");
            assert!(class == 0 || class_size(class - 1) < size, "size {size} class {class}");
        }
        for class in 1..CLASSES as u8 {
            let (below, size) = (class_size(class - 1), class_size(class));
            assert!(size <= below * 5 / 4 + 1, "class {class}: {below} to {size}");
        }
    }

    #[test]
    fn blocks_do_not_overlap_and_freed_ones_come_back() {
        let mut arena = Arena::new();
        let sizes = [1, 64, 65, 300, 5_000, 32_768, 32_769, 400_000];
        let blocks: Vec<_> = (0..200).map(|i| (arena.allocate(sizes[i % 8]), sizes[i % 8], i as u8)).collect();
        for &(block, size, mark) in &blocks {
            arena.get_mut(block, 0, size).fill(mark);
        }
        for &(block, size, mark) in &blocks {
            assert!(arena.get(block, size).iter().all(|&byte| byte == mark));
            assert!(arena.capacity(block) >= size);
        }
        let reserved = arena.reserved();
        for &(block, ..) in &blocks {
            arena.free(block);
        }
        for &(_, size, _) in &blocks {
            arena.allocate(size);
        }
        assert_eq!(arena.reserved(), reserved);
    }

    #[test]
    fn a_record_keeps_its_beginning_when_it_moves() {
        let mut arena = Arena::new();
        for (from, to) in [(60, 70), (70, 60), (70, 80), (300, 100_000), (100_000, 300), (40_000, 50_000)] {
            let block = arena.allocate(from);
            arena.get_mut(block, 0, 10).copy_from_slice(b"0123456789");
            let moved = arena.relocate(block, to, 10);
            assert_eq!(arena.get(moved, 10), b"0123456789");
            arena.free(moved);
        }
    }

    #[test]
    fn a_large_record_gives_its_memory_back() {
        let mut arena = Arena::new();
        let block = arena.allocate(1 << 20);
        assert_eq!(arena.reserved(), 1 << 20);
        arena.free(block);
        assert_eq!(arena.reserved(), 0);
    }
}
