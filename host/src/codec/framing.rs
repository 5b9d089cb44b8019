//! Where records end: cheap enough for the thread that reads.
//!
//! Bytes are read into [`Framer::room`], so they are copied only when they wait for the rest of
//! their record. A block holds at most so many records and bytes (a longer record is a block of
//! its own), and memory is bounded by the longest record that is allowed: of a longer one the
//! first bytes are kept, the others counted.
//!
//! A CSV record may go on over several lines inside quotes. Should a quote never be closed, one
//! bad record must not swallow the file: a record over the limit, or open at the end of the input,
//! ends at its first line end, and reading goes on behind it.

use std::sync::Arc;

use memchr::{memchr, memchr_iter, memchr2};

use super::Format;
use super::decode::without_mark;
use crate::record::RawBlock;

#[cfg(test)]
mod tests;

/// Least room for a read: what a pipe holds, and enough that a call costs little a row.
const ROOM: usize = 64 << 10;

/// Bytes kept of a record that is too long: enough to recognise it.
const KEPT: usize = 256;

/// Bound of all sizes, as ends are `u32` and columns count in `i32`.
const MAX_BYTES: usize = 1 << 30;

/// Bounds of a block.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most records of a block.
    pub rows: usize,
    /// Most bytes of a block of more than one record.
    pub bytes: usize,
    /// Longest record in bytes, line end not counted.
    pub record: usize,
}

/// Cuts a stream of bytes into blocks of whole records.
#[derive(Debug)]
pub struct Framer {
    format: Format,
    limits: Limits,
    /// What has been read, and room for more.
    buffer: Vec<u8>,
    /// Bytes of the buffer that have been read.
    filled: usize,
    /// Bytes of the buffer in which ends have been looked for.
    scanned: usize,
    /// Ends of the records of the next block.
    ends: Vec<u32>,
    /// Its records that are too long; each one completes its block, so at most one.
    oversized: Vec<(u32, u64)>,
    /// Whether the next block is complete.
    full: bool,
    /// Bytes that were read of a record that is too long, and dropped behind its beginning.
    dropped: u64,
    /// Whether the last record that was looked at is inside quotes.
    quoted: bool,
    /// Length of the last record up to its last closing quote: another quote there is an escaped one.
    closed: usize,
    /// Line of the first record of the next block.
    line: u64,
    /// Bytes of the stream that were read, and the one at which the next block begins.
    read: u64,
    byte: u64,
    header: Option<Arc<[u8]>>,
    ended: bool,
}

impl Framer {
    /// A framer at the beginning of a stream.
    pub fn new(format: Format, limits: Limits) -> Self {
        let limits = Limits {
            rows: limits.rows.max(1),
            bytes: limits.bytes.clamp(1, MAX_BYTES),
            record: limits.record.clamp(1, MAX_BYTES),
        };
        Self {
            format,
            limits,
            buffer: Vec::new(),
            filled: 0,
            scanned: 0,
            ends: Vec::new(),
            oversized: Vec::new(),
            full: false,
            dropped: 0,
            quoted: false,
            closed: 0,
            line: 1,
            read: 0,
            byte: 0,
            header: None,
            ended: false,
        }
    }

    /// Where the next bytes of the stream are to be put; never empty.
    pub fn room(&mut self) -> &mut [u8] {
        if self.buffer.len() < self.filled + ROOM {
            self.buffer.resize(self.filled + ROOM, 0);
        }
        self.buffer.get_mut(self.filled..).unwrap_or_default()
    }

    /// Says that `count` bytes were put at the beginning of the room.
    pub fn advance(&mut self, count: usize) {
        self.read += count as u64;
        self.filled = (self.filled + count).min(self.buffer.len());
        self.scan();
    }

    /// Says that the stream has ended: what is left is a record.
    pub fn end(&mut self) {
        self.ended = true;
        self.scan();
    }

    /// Whether a whole record is waiting.
    pub fn has_records(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Line of the first record that has not been handed out yet.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Byte of the stream at which that record begins.
    pub fn byte(&self) -> u64 {
        self.byte
    }

    /// The header line, once it was read.
    pub fn header(&self) -> Option<&Arc<[u8]>> {
        self.header.as_ref()
    }

    /// A framer that reads the header of such a stream; none when its format has no header.
    pub fn for_header(&self) -> Option<Self> {
        (self.format == Format::Csv).then(|| Self::new(self.format, self.limits))
    }

    /// Goes on in the middle of a stream: at `byte`, where the record of line `line` begins.
    pub fn resume(&mut self, line: u64, byte: u64, header: Option<Arc<[u8]>>) {
        (self.line, self.read, self.byte, self.header) = (line, byte, byte, header);
    }

    /// The next block that is full; with `partial`, or at the end, also one that is not.
    pub fn next_block(&mut self, partial: bool) -> Option<RawBlock> {
        if self.ends.is_empty() || !(self.full || partial || self.ended) {
            return None;
        }
        let end = self.start();
        let rest = self.filled - end;
        let bytes = if end < self.buffer.len() / 2 {
            // A small block out of much room: the room stays.
            let bytes = self.buffer.get(..end).unwrap_or_default().to_vec();
            self.buffer.copy_within(end..self.filled, 0);
            bytes
        } else {
            let mut next = Vec::with_capacity(self.buffer.len());
            next.extend_from_slice(self.buffer.get(end..self.filled).unwrap_or_default());
            let mut bytes = std::mem::replace(&mut self.buffer, next);
            bytes.truncate(end);
            bytes
        };
        self.filled = rest;
        // Of what waits nothing was taken out yet, except the middle of a record that is too long.
        self.byte = self.read - self.dropped - rest as u64;
        self.scanned = self.scanned.saturating_sub(end);
        let room = Vec::with_capacity(self.ends.len());
        let block = RawBlock {
            first_offset: self.line,
            offsets: Vec::new(),
            ends: std::mem::replace(&mut self.ends, room),
            oversized: std::mem::take(&mut self.oversized),
            header: self.header.clone(),
            bytes,
        };
        self.line += match self.format {
            Format::Json => block.ends.len(),
            Format::Csv => memchr_iter(b'\n', &block.bytes).count() + block.oversized.len(),
        } as u64;
        self.full = false;
        self.scan();
        Some(block)
    }

    /// Where the record that is being looked at starts.
    fn start(&self) -> usize {
        self.ends.last().map_or(0, |&end| end as usize)
    }

    /// How much is kept of a record that is too long.
    fn kept(&self) -> usize {
        self.limits.record.min(KEPT)
    }

    /// Looks for ends of records until the block is full or no byte is left.
    fn scan(&mut self) {
        while !self.full {
            if let Some(at) = self.find() {
                self.close(at, at + 1);
                continue;
            }
            let open = self.filled - self.start();
            let is_long = self.dropped > 0 || open > self.limits.record;
            let is_last = self.ended && open > 0;
            if !(is_long || is_last) {
                return;
            }
            if let Some(at) = self.first_line_end(self.filled) {
                self.close(at, at + 1);
            } else if self.ended {
                self.close(self.filled, self.filled);
            } else {
                self.dropped += (open - self.kept()) as u64;
                self.filled = self.start() + self.kept();
                self.scanned = self.filled;
                return;
            }
        }
    }

    /// The line end at which the record that is being looked at ends.
    fn find(&mut self) -> Option<usize> {
        if self.format == Format::Json || self.dropped > 0 {
            let found = memchr(b'\n', self.buffer.get(self.scanned..self.filled)?);
            let at = found.map(|i| self.scanned + i);
            self.scanned = at.map_or(self.filled, |at| at + 1);
            return at;
        }
        let start = self.start();
        while let Some(found) = memchr2(b'"', b'\n', self.buffer.get(self.scanned..self.filled)?) {
            let at = self.scanned + found;
            self.scanned = at + 1;
            if self.buffer.get(at) == Some(&b'\n') {
                if !self.quoted {
                    return Some(at);
                }
            } else if self.quoted {
                self.quoted = false;
                self.closed = at + 1 - start;
            } else {
                // Elsewhere a quote is an ordinary character.
                let opens = at == start || self.buffer.get(at - 1) == Some(&b',');
                self.quoted = opens || at - start == self.closed;
            }
        }
        self.scanned = self.filled;
        None
    }

    /// The first line end before `end` in a record that may hold some.
    fn first_line_end(&self, end: usize) -> Option<usize> {
        if self.format == Format::Json || self.dropped > 0 {
            return None;
        }
        let start = self.start();
        memchr(b'\n', self.buffer.get(start..end)?).map(|i| start + i)
    }

    /// Ends the record at `at`; the next one starts at `next`.
    fn close(&mut self, at: usize, next: usize) {
        let start = self.start();
        let length = self.dropped + (at - start) as u64;
        if length > self.limits.record as u64 {
            if let Some(at) = self.first_line_end(at) {
                return self.close(at, at + 1);
            }
            let end = start + self.kept();
            self.buffer.copy_within(next..self.filled, end);
            self.filled -= next - end;
            self.oversized.push((self.ends.len() as u32, length));
            self.full = true;
            self.push(end);
        } else if next > self.limits.bytes && !self.ends.is_empty() {
            // It does not fit: the block is full, and the record will be found again.
            self.full = true;
            self.look_from(start);
        } else {
            self.push(next);
        }
    }

    /// Puts a record into the block, or keeps it as the header.
    fn push(&mut self, end: usize) {
        self.dropped = 0;
        self.look_from(end);
        if self.format == Format::Csv && self.header.is_none() {
            self.take_header(end);
            return;
        }
        self.ends.push(end as u32);
        self.full |= self.ends.len() >= self.limits.rows || end >= self.limits.bytes;
    }

    /// Looks for the end of the record that starts at `start`.
    fn look_from(&mut self, start: usize) {
        self.scanned = start;
        self.quoted = false;
        self.closed = 0;
    }

    /// Takes the first record, which ends at `end`, out of the stream: it is the header, unless blank.
    fn take_header(&mut self, end: usize) {
        let record = self.buffer.get(..end).unwrap_or_default();
        let header = without_mark(record).trim_ascii_end();
        self.line += (memchr_iter(b'\n', record).count() + self.oversized.len()) as u64;
        if !header.is_empty() {
            self.header = Some(header.into());
        }
        self.oversized.clear();
        self.full = false;
        self.buffer.copy_within(end..self.filled, 0);
        self.filled -= end;
        self.byte = self.read - self.filled as u64;
        self.scanned = 0;
    }
}
