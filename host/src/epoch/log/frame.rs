//! How records lie in a segment. All numbers are little-endian.
//!
//! ```text
//! segment:  magic "MLSTRLOG", format u32 = 1, run u64, first epoch u64, CRC32C of these u32; frames
//! frame:    [body length u64][CRC32C u32][body]
//! body:     [kind u8 = 1][epoch u64][checksum of the parent's record u32][header length u32][header: JSON]
//!             an epoch was prepared; for each buffer of slots then follows
//!             [operator u16][length u64][stored u64][slots: state/dirty.rs]
//!             where `stored` is less than `length`, the slots are one Zstandard frame
//!           [kind u8 = 2][epoch u64] the epoch is known to be committed
//! ```
//!
//! The CRC covers the frame's place in the segment, the length and the body. With the place in it, a
//! copy of a frame inside of a slot is not mistaken for a frame when a damaged segment is searched.
//! The *checksum* of a record is the CRC32C of the body alone: it names the record wherever it lies,
//! and with the parent's in it, all that came before.

use std::borrow::Cow;
use std::io::IoSlice;

use super::LogError;
use crate::epoch::EpochRecord;
use crate::state::DirtySlots;

/// The format that this version writes and reads.
pub(super) const FORMAT: u32 = 1;
/// Length of a segment's header.
pub(super) const SEGMENT_HEADER: usize = 32;
/// Length of what stands before a body.
pub(super) const FRAME_HEADER: usize = 12;
/// Kind of a prepared epoch.
pub(super) const PREPARED: u8 = 1;
/// Kind of the note that an epoch is committed.
pub(super) const COMMITTED: u8 = 2;
/// Length of a note's body, the shortest there is.
pub(super) const NOTE: u64 = 9;
/// Length of what stands before the JSON header in the body of a prepared epoch.
pub(super) const PREPARED_PREFIX: usize = 17;
/// Where in the body of a prepared epoch the length of its JSON header is.
pub(super) const HEADER_LENGTH: usize = 13;
/// Length of what stands before the slots of one buffer.
pub(super) const BUFFER_PREFIX: usize = 18;

/// Zstandard's level. Slots, which have no zeros any more, shrink to 28 to 40 % at 350 MB/s.
pub(super) const LEVEL: i32 = -3;
/// Bytes of a buffer that is worth it. Shorter ones are on the disk sooner than they are compressed, and
/// those of short epochs are so many that processor time counts.
pub(super) const LONG: usize = 16 << 20;

const MAGIC: &[u8; 8] = b"MLSTRLOG";

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) run: u64,
    pub(super) first: u64,
}

/// Why a segment's header cannot be used.
#[derive(Debug)]
pub(super) enum BadHeader {
    /// Cut short, or not what was written.
    Damaged(&'static str),
    /// Of a format that this version does not read.
    Format(u32),
}

impl SegmentHeader {
    pub(super) fn encode(self) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[12..20].copy_from_slice(&self.run.to_le_bytes());
        out[20..28].copy_from_slice(&self.first.to_le_bytes());
        let crc = crc32c::crc32c(&out[..28]);
        out[28..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let damaged = BadHeader::Damaged;
        let (fields, crc) = bytes.split_at_checked(28).ok_or(damaged("its header is cut short"))?;
        let magic = fields.starts_with(MAGIC).then_some(()).ok_or(damaged("it does not begin as a segment does"));
        magic?;
        // The format before the CRC: another one may have its CRC elsewhere.
        match u32_at(fields, 8) {
            Some(FORMAT) => {}
            Some(format) if format != 0 => return Err(BadHeader::Format(format)),
            _ => return Err(damaged("its header has no format")),
        }
        if u32_at(crc, 0) != Some(crc32c::crc32c(fields)) {
            return Err(damaged("the checksum of its header does not fit"));
        }
        match (u64_at(fields, 12), u64_at(fields, 20)) {
            (Some(run), Some(first)) => Ok(Self { run, first }),
            _ => Err(damaged("its header is cut short")),
        }
    }
}

/// Name of a segment's file: names sort as segments do.
pub(super) fn segment_name(run: u64, first: u64) -> String {
    format!("{run:010}-{first:020}.log")
}

/// Run and first epoch of a segment by its name; `None` for other files.
pub(super) fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (run, first) = name.strip_suffix(".log")?.split_once('-')?;
    let (run, first) = (run.parse().ok()?, first.parse().ok()?);
    (segment_name(run, first) == name).then_some((run, first))
}

/// The slots of one operator and worker as they are stored, and what stands before them.
type Buffer<'a> = ([u8; BUFFER_PREFIX], Cow<'a, [u8]>);

/// A frame that is ready to be written, apart from its place.
pub(super) struct Frame<'a> {
    /// Everything of the body before the first buffer of slots.
    fixed: Vec<u8>,
    buffers: Vec<Buffer<'a>>,
    length: u64,
    checksum: u32,
}

impl<'a> Frame<'a> {
    /// The frame of a prepared epoch.
    pub(super) fn prepared(
        record: &EpochRecord,
        parent_checksum: u32,
        slots: &'a [DirtySlots],
    ) -> Result<Self, LogError> {
        let too_large = |bytes| LogError::TooLarge { epoch: record.epoch, bytes, limit: u32::MAX.into() };
        let mut fixed = vec![PREPARED];
        fixed.extend_from_slice(&record.epoch.to_le_bytes());
        fixed.extend_from_slice(&parent_checksum.to_le_bytes());
        fixed.extend_from_slice(&[0; 4]);
        // JSON of numbers, texts and maps with text keys: only memory can fail.
        serde_json::to_writer(&mut fixed, record).map_err(|_| too_large(u64::MAX))?;
        let header = (fixed.len() - PREPARED_PREFIX) as u64;
        let header = u32::try_from(header).map_err(|_| too_large(header))?;
        fixed[HEADER_LENGTH..PREPARED_PREFIX].copy_from_slice(&header.to_le_bytes());
        let buffers = slots.iter().filter(|slots| !slots.is_empty()).map(|slots| {
            let mut prefix = [0; BUFFER_PREFIX];
            prefix[..2].copy_from_slice(&slots.operator().number().to_le_bytes());
            let stored = packed(slots.bytes());
            prefix[2..10].copy_from_slice(&(slots.bytes().len() as u64).to_le_bytes());
            prefix[10..].copy_from_slice(&(stored.len() as u64).to_le_bytes());
            (prefix, stored)
        });
        Ok(Self::new(fixed, buffers.collect()))
    }

    /// The frame of a note that an epoch is committed.
    pub(super) fn committed(epoch: u64) -> Self {
        let mut fixed = vec![COMMITTED];
        fixed.extend_from_slice(&epoch.to_le_bytes());
        Self::new(fixed, Vec::new())
    }

    fn new(fixed: Vec<u8>, buffers: Vec<Buffer<'a>>) -> Self {
        let mut checksum = crc32c::crc32c(&fixed);
        let mut length = fixed.len() as u64;
        for (prefix, bytes) in &buffers {
            checksum = crc32c::crc32c_append(crc32c::crc32c_append(checksum, prefix), bytes);
            length += (BUFFER_PREFIX + bytes.len()) as u64;
        }
        Self { fixed, buffers, length, checksum }
    }

    /// Bytes that the frame takes.
    pub(super) fn size(&self) -> u64 {
        FRAME_HEADER as u64 + self.length
    }

    pub(super) fn checksum(&self) -> u32 {
        self.checksum
    }

    /// What stands before the body of a frame at `offset`.
    pub(super) fn header(&self, offset: u64) -> [u8; FRAME_HEADER] {
        let mut header = [0; FRAME_HEADER];
        header[..8].copy_from_slice(&self.length.to_le_bytes());
        header[8..].copy_from_slice(&frame_crc(offset, self.length, self.checksum).to_le_bytes());
        header
    }

    /// The frame in pieces, `header` first.
    pub(super) fn slices<'s>(&'s self, header: &'s [u8]) -> Vec<IoSlice<'s>> {
        let mut slices = Vec::with_capacity(2 + 2 * self.buffers.len());
        slices.extend([IoSlice::new(header), IoSlice::new(&self.fixed)]);
        for (prefix, bytes) in &self.buffers {
            slices.extend([IoSlice::new(prefix), IoSlice::new(bytes)]);
        }
        slices
    }
}

/// Slots as they are stored: many are compressed, where that makes them shorter.
fn packed(slots: &[u8]) -> Cow<'_, [u8]> {
    let packed = (slots.len() >= LONG).then(|| zstd::bulk::compress(slots, LEVEL));
    match packed {
        Some(Ok(packed)) if packed.len() < slots.len() => Cow::Owned(packed),
        _ => Cow::Borrowed(slots),
    }
}

/// The CRC of a frame, from its place, the length of its body and the body's checksum.
pub(super) fn frame_crc(offset: u64, length: u64, checksum: u32) -> u32 {
    let place = crc32c::crc32c_append(crc32c::crc32c(&offset.to_le_bytes()), &length.to_le_bytes());
    usize::try_from(length).map_or(!checksum, |length| crc32c::crc32c_combine(place, checksum, length))
}

/// A whole segment with one record.
pub(super) fn segment_of(frame: &Frame<'_>, header: SegmentHeader) -> Vec<u8> {
    let mut out = header.encode().to_vec();
    let before = frame.header(SEGMENT_HEADER as u64);
    frame.slices(&before).iter().for_each(|slice| out.extend_from_slice(slice));
    out
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
