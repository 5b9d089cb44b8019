//! Where things lie in a buffer: the header's fields, bounds of sections, and the record sizes.
//!
//! Every offset that comes from a buffer passes through [`Span::new`], which is the one place that
//! compares it with the buffer's length; all arithmetic on such numbers is in `u64`, so that it
//! holds on a 32-bit guest.

use alloc::vec::Vec;

use crate::LayoutError;

/// The version of the packed layout that this crate reads and writes.
pub const FORMAT: u16 = 1;

/// `MSPB` in the first four bytes.
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"MSPB");
/// Bytes of the header, of input and answer alike.
pub(crate) const HEADER: usize = 80;
/// Bytes of an entry of a column directory.
pub(crate) const COLUMN: usize = 32;
/// Bytes of an entry of a port directory.
pub(crate) const PORT: usize = 24;
/// Bytes of an entry of the slot, error, timer and counter tables.
pub(crate) const ENTRY: usize = 16;

/// Kind of a buffer in its header.
pub(crate) const KIND_INPUT: u16 = 1;
pub(crate) const KIND_ANSWER: u16 = 2;
pub(crate) const KIND_TIMERS: u16 = 3;

/// Offsets of the header's fields.
pub(crate) mod at {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const FORMAT: usize = 4;
    pub(crate) const KIND: usize = 6;
    pub(crate) const ROWS: usize = 8;
    pub(crate) const COLUMNS: usize = 12;
    pub(crate) const KEYS: usize = 16;
    pub(crate) const TOTAL: usize = 20;

    /// Input and timers.
    pub(crate) mod input {
        pub(crate) const WATERMARK: usize = 24;
        pub(crate) const PROCESSING_TIME: usize = 32;
        pub(crate) const EVENT_TIMES: usize = 40;
        pub(crate) const KEY_INDEX: usize = 44;
        pub(crate) const KEY_OFFSETS: usize = 48;
        pub(crate) const KEY_BYTES: usize = 52;
        pub(crate) const KEY_BYTES_LEN: usize = 56;
        pub(crate) const SLOTS: usize = 60;
        pub(crate) const SLOT_BYTES: usize = 64;
        pub(crate) const SLOT_BYTES_LEN: usize = 68;
    }

    /// Answer.
    pub(crate) mod answer {
        pub(crate) const PORTS: usize = 24;
        pub(crate) const SLOT_COUNT: usize = 28;
        pub(crate) const SLOTS: usize = 32;
        pub(crate) const SLOT_BYTES: usize = 36;
        pub(crate) const SLOT_BYTES_LEN: usize = 40;
        pub(crate) const ERROR_COUNT: usize = 44;
        pub(crate) const ERRORS: usize = 48;
        pub(crate) const ERROR_TEXT: usize = 52;
        pub(crate) const ERROR_TEXT_LEN: usize = 56;
        pub(crate) const TIMER_COUNT: usize = 60;
        pub(crate) const TIMERS: usize = 64;
        pub(crate) const COUNTER_COUNT: usize = 68;
        pub(crate) const COUNTERS: usize = 72;
    }
}

/// The number at `at` of a record; `at` is always a constant of this crate.
#[inline]
pub(crate) fn u16_at<const N: usize>(record: &[u8; N], at: usize) -> u16 {
    u16::from_le_bytes([record[at], record[at + 1]])
}

#[inline]
pub(crate) fn u32_at<const N: usize>(record: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
}

#[inline]
pub(crate) fn u64_at<const N: usize>(record: &[u8; N], at: usize) -> u64 {
    u64::from(u32_at(record, at)) | (u64::from(u32_at(record, at + 4)) << 32)
}

#[inline]
pub(crate) fn put_u16<const N: usize>(record: &mut [u8; N], at: usize, value: u16) {
    record[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

#[inline]
pub(crate) fn put_u32<const N: usize>(record: &mut [u8; N], at: usize, value: u32) {
    record[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[inline]
pub(crate) fn put_u64<const N: usize>(record: &mut [u8; N], at: usize, value: u64) {
    record[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// The header, once magic, format and length were found right.
pub(crate) fn read_header(bytes: &[u8]) -> Result<&[u8; HEADER], LayoutError> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Err(LayoutError::Length { what: "header", at: 0, expected: HEADER as u64, found: bytes.len() as u64 });
    };
    expect("magic", u32_at(header, at::MAGIC).into(), MAGIC.into())?;
    expect("format", u16_at(header, at::FORMAT).into(), FORMAT.into())?;
    expect("total length", u32_at(header, at::TOTAL).into(), bytes.len() as u64)?;
    Ok(header)
}

pub(crate) fn expect(field: &'static str, found: u64, expected: u64) -> Result<(), LayoutError> {
    if found == expected { Ok(()) } else { Err(LayoutError::Header { field, expected, found }) }
}

/// A header with the fields that input and answer share; the total length follows in [`seal`].
pub(crate) fn new_header(kind: u16, rows: usize, columns: usize, keys: usize) -> Result<[u8; HEADER], LayoutError> {
    let mut header = [0; HEADER];
    put_u32(&mut header, at::MAGIC, MAGIC);
    put_u16(&mut header, at::FORMAT, FORMAT);
    put_u16(&mut header, at::KIND, kind);
    put_u32(&mut header, at::ROWS, count("number of rows", rows)?);
    put_u32(&mut header, at::COLUMNS, count("number of columns", columns)?);
    put_u32(&mut header, at::KEYS, count("number of keys", keys)?);
    Ok(header)
}

/// Puts the finished header in front of a buffer whose length fits its field.
pub(crate) fn seal(out: &mut [u8], header: &mut [u8; HEADER]) -> Result<(), LayoutError> {
    put_u32(header, at::TOTAL, count("length of the buffer", out.len())?);
    patch(out, 0, header);
    Ok(())
}

/// A count as the layout stores it.
pub(crate) fn count(what: &'static str, value: usize) -> Result<u32, LayoutError> {
    u32::try_from(value).map_err(|_| LayoutError::Value { what, at: 0, found: value as u64, limit: u32::MAX.into() })
}

/// Pads to the next section and says where it begins. A position past 4 GiB wraps here and is
/// refused by [`seal`], which every writer ends with.
pub(crate) fn begin(out: &mut Vec<u8>) -> u32 {
    out.resize(out.len().next_multiple_of(8), 0);
    position(out)
}

pub(crate) fn position(out: &[u8]) -> u32 {
    out.len() as u32
}

/// Appends `len` zero bytes to be patched later.
pub(crate) fn reserve(out: &mut Vec<u8>, len: usize) -> usize {
    let start = out.len();
    out.resize(start + len, 0);
    start
}

/// Overwrites bytes that [`reserve`] made room for. The length is a constant so that this is a
/// store and not a call: it runs once per key.
#[inline]
pub(crate) fn patch<const N: usize>(out: &mut [u8], at: usize, bytes: &[u8; N]) {
    if let Some(place) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = *bytes;
    }
}

/// A part of a buffer whose bounds were checked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl Span {
    /// Checks a section against the buffer.
    pub(crate) fn new(
        total: usize,
        what: &'static str,
        at: usize,
        offset: u32,
        len: impl Into<u64>,
    ) -> Result<Self, LayoutError> {
        let (offset, len, total) = (u64::from(offset), len.into(), total as u64);
        // `offset + len` cannot wrap: the first is below 2^32 and the second was compared.
        if !offset.is_multiple_of(8) || len > total || offset + len > total {
            return Err(LayoutError::Section { what, at, offset, len, total });
        }
        // Both are at most `total`, which was a `usize`.
        Ok(Self { start: offset as usize, len: len as usize })
    }

    /// The bytes; empty when the span is of another buffer.
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start..self.start + self.len).unwrap_or_default()
    }

    /// The records of `N` bytes in it.
    pub(crate) fn records<const N: usize>(self, bytes: &[u8]) -> &[[u8; N]] {
        self.of(bytes).as_chunks().0
    }
}

/// Checks a table of `count` records of `N` bytes.
pub(crate) fn table<const N: usize>(
    total: usize,
    what: &'static str,
    at: usize,
    offset: u32,
    count: impl Into<u64>,
) -> Result<Span, LayoutError> {
    // Counts are at most 2^32 and records at most 32 bytes: the product fits.
    Span::new(total, what, at, offset, count.into() * N as u64)
}

/// Checks that offsets lead from 0 to `len` without going back, and fit `i32`. Hence no byte of the
/// values is out of sight of the rows, and what holds for all values holds for each row.
pub(crate) fn check_offsets(what: &'static str, at: usize, offsets: &[[u8; 4]], len: usize) -> Result<(), LayoutError> {
    // One pass without a branch.
    let (mut last, mut ascending) = (0, true);
    for &offset in offsets {
        let offset = u32::from_le_bytes(offset);
        ascending &= last <= offset;
        last = offset;
    }
    if !ascending {
        return Err(LayoutError::Order { what, at });
    }
    let first = offsets.first().map_or(0, |&first| u32::from_le_bytes(first));
    let (span, len) = (u64::from(last - first), len as u64);
    if first != 0 || span != len {
        return Err(LayoutError::Length { what, at, expected: len, found: span });
    }
    if last > i32::MAX as u32 {
        return Err(LayoutError::Value { what, at, found: last.into(), limit: i32::MAX as u64 });
    }
    Ok(())
}
