//! Gathers the records of one partition into a block.

use std::time::Instant;

use crate::record::RawBlock;

/// Bytes kept of a record that is too long: enough to recognise it.
const KEPT: usize = 256;

/// A block that is being filled.
#[derive(Debug, Default)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    offsets: Vec<u64>,
    oversized: Vec<(u32, u64)>,
    /// When its first record came.
    since: Option<Instant>,
}

impl Builder {
    /// Takes a record in. Of one longer than `limit` the beginning is kept.
    pub fn push(&mut self, offset: u64, value: &[u8], limit: usize) {
        self.skip();
        let mut kept = value;
        if value.len() > limit {
            kept = value.get(..KEPT.min(limit)).unwrap_or_default();
            self.oversized.push((self.ends.len() as u32, value.len() as u64));
        }
        self.bytes.extend_from_slice(kept);
        self.ends.push(self.bytes.len() as u32);
        self.offsets.push(offset);
    }

    /// Notes that something came that is no record.
    pub fn skip(&mut self) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }

    /// What came since the last call, and when that began. `next` is the offset behind it. A block
    /// without records says that the position moved.
    pub fn take(&mut self, next: u64) -> Option<(RawBlock, Instant)> {
        let since = self.since.take()?;
        let rows = self.ends.len();
        let first_offset = self.offsets.first().copied().unwrap_or(next);
        let room = (self.bytes.len(), rows);
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(room.0));
        let ends = std::mem::replace(&mut self.ends, Vec::with_capacity(room.1));
        // Consecutive ones need no list.
        let is_consecutive = self.offsets.last().is_none_or(|last| last - first_offset + 1 == rows as u64);
        let offsets = if is_consecutive {
            self.offsets.clear();
            Vec::new()
        } else {
            std::mem::take(&mut self.offsets)
        };
        let oversized = std::mem::take(&mut self.oversized);
        Some((RawBlock { bytes, ends, first_offset, offsets, oversized, header: None }, since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_offsets_need_no_list_and_others_do() {
        let mut builder = Builder::default();
        assert!(builder.take(0).is_none());
        for offset in 5..8 {
            builder.push(offset, b"{}", 10);
        }
        let (block, _) = builder.take(8).unwrap();
        assert_eq!((block.first_offset, block.offsets, block.ends), (5, vec![], vec![2, 4, 6]));
        builder.push(9, b"{}", 10);
        builder.push(12, b"{}", 10);
        let (block, _) = builder.take(13).unwrap();
        assert_eq!((block.first_offset, block.offsets, block.bytes), (9, vec![9, 12], b"{}{}".to_vec()));
    }

    #[test]
    fn of_a_record_that_is_too_long_the_beginning_is_kept() {
        let mut builder = Builder::default();
        builder.push(1, b"0123456789", 10);
        builder.push(2, b"0123456789X", 10);
        let (block, _) = builder.take(3).unwrap();
        assert_eq!((block.oversized, block.bytes.len()), (vec![(1, 11)], 20));
    }

    #[test]
    fn what_was_only_skipped_moves_the_position() {
        let mut builder = Builder::default();
        builder.skip();
        let (block, _) = builder.take(7).unwrap();
        assert_eq!((block.first_offset, block.ends.len()), (7, 0));
    }
}
