//! Blocks of a savepoint's file: slots of one key group each.
//!
//! ```text
//! block:   [key group u32][bytes of the slots u32][bytes of the frame u32][CRC-32C u32][frame]
//! frame:   zstd, of the slots
//! slots:   [number u32] and for each: [key length u32][key][version u32][expires i64][slot length u32][slot]
//! ```
//!
//! All numbers are little-endian; the checksum is of the three numbers before it and the frame. What
//! is read may be anything: each length is checked against what is there, and nothing is made larger
//! than [`MAX_RAW`].

use crate::state::Slot;

/// Bytes of slots after which a block is full: large enough to compress well.
const FULL: usize = 1 << 20;
/// Bytes of slots that a block may have: the last slot may be large.
pub(super) const MAX_RAW: usize = 1 << 30;
/// Bytes before the frame.
pub(super) const HEADER: usize = 16;
/// zstd's own default: a fraction of the time of the higher levels for nearly their result.
const LEVEL: i32 = 3;

/// Gathers the slots of a key group.
#[derive(Debug)]
pub(super) struct Builder {
    raw: Vec<u8>,
    slots: u32,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { raw: vec![0; 4], slots: 0 }
    }

    /// Adds a slot. Fails when it is too large for any block.
    pub(super) fn push(&mut self, slot: Slot<'_>) -> Result<(), String> {
        let size = slot.key.len() + slot.bytes.len();
        if size > MAX_RAW - FULL - 64 {
            return Err(format!("a slot of {size} bytes, more than a savepoint can hold"));
        }
        self.raw.extend_from_slice(&(slot.key.len() as u32).to_le_bytes());
        self.raw.extend_from_slice(slot.key);
        self.raw.extend_from_slice(&slot.version.to_le_bytes());
        self.raw.extend_from_slice(&slot.expires.to_le_bytes());
        self.raw.extend_from_slice(&(slot.bytes.len() as u32).to_le_bytes());
        self.raw.extend_from_slice(slot.bytes);
        self.slots += 1;
        Ok(())
    }

    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    pub(super) fn is_full(&self) -> bool {
        self.raw.len() >= FULL
    }

    /// The block; the builder is empty then.
    pub(super) fn finish(&mut self, key_group: u16) -> std::io::Result<Vec<u8>> {
        self.raw[..4].copy_from_slice(&self.slots.to_le_bytes());
        let frame = zstd::bulk::compress(&self.raw, LEVEL)?;
        let mut block = Vec::with_capacity(HEADER + frame.len());
        for number in [u32::from(key_group), self.raw.len() as u32, frame.len() as u32] {
            block.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&block), &frame);
        block.extend_from_slice(&checksum.to_le_bytes());
        block.extend_from_slice(&frame);
        self.raw.truncate(4);
        self.slots = 0;
        Ok(block)
    }
}

/// The slots of a block, checked and expanded.
#[derive(Debug)]
pub(super) struct Slots {
    raw: Vec<u8>,
    slots: u32,
}

/// Reads a block, of which the index says what it must be.
pub(super) fn read(block: &[u8], key_group: u16, slots: u32) -> Result<Slots, String> {
    let short = || "it is shorter than its beginning".to_owned();
    let (header, frame) = block.split_at_checked(HEADER).ok_or_else(short)?;
    let (numbers, []) = header.as_chunks::<4>() else { return Err(short()) };
    let &[group, raw_len, frame_len, checksum] = numbers else { return Err(short()) };
    let [group, raw_len, frame_len, checksum] = [group, raw_len, frame_len, checksum].map(u32::from_le_bytes);
    let found = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), frame);
    if found != checksum || frame.len() != frame_len as usize {
        return Err(format!("its checksum is {found:08x}, and should be {checksum:08x}"));
    }
    if group != u32::from(key_group) || raw_len as usize > MAX_RAW {
        return Err(format!("it says that it has {raw_len} bytes of key group {group}"));
    }
    // Room is made for what the checksum vouches for, and zstd fills no more.
    let raw = zstd::bulk::decompress(frame, raw_len as usize).map_err(|e| format!("it cannot be expanded: {e}"))?;
    let count = raw.first_chunk::<4>().map(|count| u32::from_le_bytes(*count));
    if raw.len() != raw_len as usize || count != Some(slots) {
        return Err(format!("it has {} bytes and {count:?} slots, and not {raw_len} and {slots}", raw.len()));
    }
    Ok(Slots { raw, slots })
}

impl Slots {
    /// Calls `each` with the slots in their order.
    pub(super) fn each<E: From<String>>(&self, mut each: impl FnMut(Slot<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut rest = &self.raw[4..];
        for index in 0..self.slots {
            let slot = take(&mut rest).ok_or_else(|| format!("it ends within slot {index} of {}", self.slots))?;
            each(slot)?;
        }
        if rest.is_empty() { Ok(()) } else { Err(format!("{} bytes follow its last slot", rest.len()).into()) }
    }
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<Slot<'a>> {
    let (key_len, tail) = rest.split_first_chunk::<4>()?;
    let (key, tail) = tail.split_at_checked(u32::from_le_bytes(*key_len) as usize)?;
    let (version, tail) = tail.split_first_chunk::<4>()?;
    let (expires, tail) = tail.split_first_chunk::<8>()?;
    let (len, tail) = tail.split_first_chunk::<4>()?;
    let (bytes, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *rest = tail;
    Some(Slot { key, version: u32::from_le_bytes(*version), expires: i64::from_le_bytes(*expires), bytes })
}
