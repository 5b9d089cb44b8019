//! Reads and verifies segments, one frame at a time: what is kept in memory is one record, and of
//! the slots only those that are asked for.
//!
//! A frame that cannot be read is either the end of a write that never finished (nothing was
//! acknowledged behind it), or damage. It is an unfinished write only where such a write can be: at
//! the very end of a run's newest segment, with no whole frame behind it.

use std::io::{self, BufReader, Read};

use super::disk::{Disk, DiskFile};
use super::frame::{self, BadHeader, SegmentHeader};
use super::lineage::{Place, Run, Stored};
use super::{LogError, Unfinished};
use crate::epoch::EpochRecord;
use crate::epoch::protocol::Summary;
use crate::state::{DirtySlots, OperatorId};

/// Read ahead; records without slots are far smaller.
const BUFFER: usize = 64 << 10;

/// One frame's content.
pub(super) enum Entry {
    Prepared { record: Box<EpochRecord>, checksum: u32, parent_checksum: u32, slots: Vec<DirtySlots> },
    Committed(u64),
}

/// Why a frame could not be read.
pub(super) enum Problem {
    Io(io::Error),
    /// Its bytes are not what was written, or not all are there.
    Damaged(String),
    /// Its bytes are what was written, but not what this version understands.
    Foreign(String),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The file became shorter while it was read.
            io::ErrorKind::UnexpectedEof => Self::Damaged("a frame is cut short".into()),
            _ => Self::Io(error),
        }
    }
}

/// A file from `offset` on.
struct Tail<'a, F> {
    file: &'a F,
    offset: u64,
}

impl<F: DiskFile> Read for Tail<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// A body on its way in, and the checksum of what has been read of it.
struct Body<R> {
    input: io::Take<R>,
    checksum: u32,
}

impl<R: Read> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.checksum = crc32c::crc32c_append(self.checksum, &buffer[..read]);
        Ok(read)
    }
}

impl<R: Read> Body<R> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut out = [0; N];
        self.read_exact(&mut out)?;
        Ok(out)
    }

    /// The next `len` bytes; `None` when the body has not as many.
    fn bytes(&mut self, len: u64) -> io::Result<Option<Vec<u8>>> {
        if len > self.input.limit() {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?);
        let read = self.take(len).read_to_end(&mut out)?;
        if (read as u64) < len { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Some(out)) }
    }
}

/// What a body holds, before its checksum is known to be right.
enum Parts {
    Prepared { epoch: u64, parent_checksum: u32, header: Vec<u8>, buffers: Vec<(u16, Vec<u8>)> },
    Committed(u64),
    Unknown(String),
}

/// The slots of a buffer; `None` when they are not as long as they are said to be.
fn unpacked(stored: Vec<u8>, length: u64) -> Option<Vec<u8>> {
    if stored.len() as u64 == length {
        return Some(stored);
    }
    let length = usize::try_from(length).ok()?;
    zstd::bulk::decompress(&stored, length).ok().filter(|slots| slots.len() == length)
}

fn parts(body: &mut Body<impl Read>, limit: u64, keep_slots: bool) -> io::Result<Parts> {
    let [kind] = body.array()?;
    match kind {
        frame::COMMITTED => {
            let epoch = u64::from_le_bytes(body.array()?);
            Ok(if body.input.limit() == 0 {
                Parts::Committed(epoch)
            } else {
                Parts::Unknown("a note is too long".into())
            })
        }
        frame::PREPARED if body.input.limit() >= 16 => {
            let epoch = u64::from_le_bytes(body.array()?);
            let parent_checksum = u32::from_le_bytes(body.array()?);
            let length = u32::from_le_bytes(body.array()?);
            let Some(header) = body.bytes(length.into())? else {
                return Ok(Parts::Unknown(format!("the header of epoch {epoch} does not fit into its record")));
            };
            let mut buffers = Vec::new();
            while keep_slots && body.input.limit() > 0 {
                let short = || Parts::Unknown(format!("the slots of epoch {epoch} do not fit into its record"));
                if body.input.limit() < frame::BUFFER_PREFIX as u64 {
                    return Ok(short());
                }
                let operator = u16::from_le_bytes(body.array()?);
                let length = u64::from_le_bytes(body.array()?);
                let stored = u64::from_le_bytes(body.array()?);
                if length > limit {
                    let problem = format!("slots of epoch {epoch} have {length} bytes, more than the limit of {limit}");
                    return Ok(Parts::Unknown(problem));
                }
                let Some(bytes) = body.bytes(stored)? else { return Ok(short()) };
                match unpacked(bytes, length) {
                    Some(bytes) => buffers.push((operator, bytes)),
                    None => return Ok(Parts::Unknown(format!("slots of epoch {epoch} cannot be decompressed"))),
                }
            }
            Ok(Parts::Prepared { epoch, parent_checksum, header, buffers })
        }
        frame::PREPARED => Ok(Parts::Unknown("a record is too short".into())),
        kind => Ok(Parts::Unknown(format!("kind {kind} of record is not known to this version"))),
    }
}

/// Reads the frame at `offset` of a segment of `size` bytes, and says where the next one is; `None`
/// at the end. A record longer than `limit` is not taken into memory.
fn read_frame(
    input: &mut impl Read,
    offset: u64,
    size: u64,
    limit: u64,
    keep_slots: bool,
) -> Result<Option<(Entry, u64)>, Problem> {
    let rest = size.saturating_sub(offset);
    if rest == 0 {
        return Ok(None);
    }
    if rest < frame::FRAME_HEADER as u64 {
        return Err(Problem::Damaged("a frame is cut short".into()));
    }
    let mut head = [0; frame::FRAME_HEADER];
    input.read_exact(&mut head)?;
    let (length, crc) = (frame::u64_at(&head, 0).unwrap_or(0), frame::u32_at(&head, 8).unwrap_or(0));
    let there = rest - frame::FRAME_HEADER as u64;
    if length < frame::NOTE {
        return Err(Problem::Damaged(format!("a frame says that it has {length} bytes, which none has")));
    }
    if length > there {
        return Err(Problem::Damaged(format!("a frame is cut short: {there} of {length} bytes are there")));
    }
    let mut body = Body { input: input.take(length), checksum: 0 };
    let parts = if length > limit {
        Parts::Unknown(format!("a record has {length} bytes, more than the limit of {limit}"))
    } else {
        parts(&mut body, limit, keep_slots)?
    };
    io::copy(&mut body, &mut io::sink())?;
    if body.input.limit() > 0 {
        return Err(Problem::Damaged("a frame is cut short".into()));
    }
    if frame::frame_crc(offset, length, body.checksum) != crc {
        return Err(Problem::Damaged("the checksum of a frame does not fit".into()));
    }
    let entry = match parts {
        Parts::Unknown(problem) => return Err(Problem::Foreign(problem)),
        Parts::Committed(epoch) => Entry::Committed(epoch),
        Parts::Prepared { epoch, parent_checksum, header, buffers } => {
            let unreadable = |error| Problem::Foreign(format!("the header of epoch {epoch}: {error}"));
            let record: Box<EpochRecord> = serde_json::from_slice(&header).map_err(unreadable)?;
            if record.epoch != epoch {
                return Err(Problem::Foreign(format!("the header of epoch {epoch} is of epoch {}", record.epoch)));
            }
            let slots = buffers.into_iter().map(|(operator, bytes)| {
                DirtySlots::from_bytes(OperatorId::from_number(operator), epoch, bytes)
                    .map_err(|error| Problem::Foreign(format!("epoch {epoch}: {error}")))
            });
            Entry::Prepared {
                record,
                checksum: body.checksum,
                parent_checksum,
                slots: slots.collect::<Result<_, _>>()?,
            }
        }
    };
    Ok(Some((entry, offset + frame::FRAME_HEADER as u64 + length)))
}

/// The record at a place, with its slots.
pub(super) fn read_record<D: Disk>(
    disk: &D,
    place: &Place,
    limit: u64,
) -> Result<(EpochRecord, u32, Vec<DirtySlots>), LogError> {
    let path = disk.path(&place.segment);
    let file = disk.open(&place.segment).map_err(LogError::io(&path, "open"))?;
    let mut input = BufReader::with_capacity(BUFFER, Tail { file: &file, offset: place.offset });
    let corrupt = |problem| LogError::Corrupt { path: path.clone(), offset: place.offset, problem };
    match read_frame(&mut input, place.offset, place.offset + place.size, limit, true) {
        Ok(Some((Entry::Prepared { record, checksum, slots, .. }, _))) => Ok((*record, checksum, slots)),
        Ok(_) => Err(corrupt("the record is not there any more".into())),
        Err(Problem::Io(error)) => Err(LogError::io(&path, "read")(error)),
        Err(Problem::Damaged(problem) | Problem::Foreign(problem)) => Err(corrupt(problem)),
    }
}

/// What a segment holds up to its end, or to what cannot be read.
#[derive(Default)]
struct Scanned {
    records: Vec<Stored>,
    notes: Vec<u64>,
    size: u64,
    /// Where reading ended before the end, why, and whether this can be a write that never finished.
    stop: Option<(u64, String, bool)>,
}

fn scan_segment<D: Disk>(disk: &D, name: &str, named: SegmentHeader, limit: u64) -> Result<Scanned, LogError> {
    let path = disk.path(name);
    let read = LogError::io(&path, "read");
    let file = disk.open(name).map_err(LogError::io(&path, "open"))?;
    let mut out = Scanned { size: file.size().map_err(LogError::io(&path, "read"))?, ..Scanned::default() };
    let mut input = BufReader::with_capacity(BUFFER, Tail { file: &file, offset: 0 });
    let mut header = Vec::with_capacity(frame::SEGMENT_HEADER);
    input.by_ref().take(frame::SEGMENT_HEADER as u64).read_to_end(&mut header).map_err(LogError::io(&path, "read"))?;
    match SegmentHeader::decode(&header) {
        Ok(header) if header == named => {}
        Ok(SegmentHeader { run, first }) => {
            out.stop = Some((0, format!("it says that it begins with epoch {first} of run {run}"), false));
            return Ok(out);
        }
        Err(BadHeader::Format(format)) => return Err(LogError::Format { path, format, known: frame::FORMAT }),
        Err(BadHeader::Damaged(problem)) => {
            let unfinished = !frame_after(&file, 0, out.size).map_err(read)?;
            out.stop = Some((0, problem.into(), unfinished));
            return Ok(out);
        }
    }
    let mut offset = frame::SEGMENT_HEADER as u64;
    loop {
        match read_frame(&mut input, offset, out.size, limit, false) {
            Ok(None) => return Ok(out),
            Ok(Some((Entry::Committed(epoch), next))) => {
                out.notes.push(epoch);
                offset = next;
            }
            Ok(Some((Entry::Prepared { record, checksum, parent_checksum, .. }, next))) => {
                let place = Place { segment: name.into(), offset, size: next - offset };
                out.records.push(Stored { summary: Summary::new(&record, checksum, parent_checksum), place });
                offset = next;
            }
            Err(Problem::Io(error)) => return Err(read(error)),
            Err(Problem::Foreign(problem)) => {
                out.stop = Some((offset, problem, false));
                return Ok(out);
            }
            Err(Problem::Damaged(problem)) => {
                let unfinished = !frame_after(&file, offset + 1, out.size).map_err(read)?;
                out.stop = Some((offset, problem, unfinished));
                return Ok(out);
            }
        }
    }
}

/// Whether there is a whole frame anywhere from `start` on.
fn frame_after(file: &impl DiskFile, start: u64, size: u64) -> io::Result<bool> {
    const PEEK: usize = frame::FRAME_HEADER + frame::PREPARED_PREFIX;
    let mut input = BufReader::with_capacity(BUFFER, Tail { file, offset: start });
    let (mut window, mut at) = (Vec::new(), 0);
    for offset in start..size {
        if window.len() - at < PEEK {
            window.drain(..at);
            at = 0;
            input.by_ref().take(BUFFER as u64).read_to_end(&mut window)?;
        }
        if looks_like_frame(&window[at..], size - offset) {
            let mut body = BufReader::with_capacity(BUFFER, Tail { file, offset });
            match read_frame(&mut body, offset, size, u64::MAX, false) {
                Ok(Some(_)) | Err(Problem::Foreign(_)) => return Ok(true),
                Ok(None) | Err(Problem::Damaged(_)) => {}
                Err(Problem::Io(error)) => return Err(error),
            }
        }
        at += 1;
    }
    Ok(false)
}

/// A cheap look before the checksum is computed.
fn looks_like_frame(bytes: &[u8], rest: u64) -> bool {
    let Some(length) = frame::u64_at(bytes, 0) else { return false };
    let fits = length >= frame::NOTE && length <= rest.saturating_sub(frame::FRAME_HEADER as u64);
    fits && match bytes.get(frame::FRAME_HEADER) {
        Some(&frame::COMMITTED) => length == frame::NOTE,
        Some(&frame::PREPARED) => frame::u32_at(bytes, frame::FRAME_HEADER + frame::HEADER_LENGTH)
            .is_some_and(|header| u64::from(header) + frame::PREPARED_PREFIX as u64 <= length),
        _ => false,
    }
}

/// Reads the headers of all records, run by run, oldest first. What breaks a run ends it, and is
/// kept with it: behind the place where a later run took over, it does not matter.
pub(super) fn scan_runs<D: Disk>(disk: &D, limit: u64) -> Result<Vec<Run>, LogError> {
    let names = disk.list().map_err(LogError::io(&disk.path(""), "list"))?;
    let mut segments: Vec<(u64, u64, String)> =
        names.into_iter().filter_map(|name| frame::parse_name(&name).map(|(run, first)| (run, first, name))).collect();
    segments.sort_unstable();
    let mut runs: Vec<Run> = Vec::new();
    for (index, (run, first, name)) in segments.iter().enumerate() {
        if runs.last().is_none_or(|last| last.run != *run) {
            runs.push(Run { run: *run, ..Run::default() });
        }
        let Some(current) = runs.last_mut() else { continue };
        let newest = segments.get(index + 1).is_none_or(|(next, ..)| next != run);
        let scanned = scan_segment(disk, name, SegmentHeader { run: *run, first: *first }, limit)?;
        let last = scanned.records.last().map_or(*first, |stored| stored.summary.epoch);
        current.segments.push((name.as_str().into(), last.max(*first)));
        if current.broken.is_none() {
            add(current, disk, name, scanned, newest);
        }
    }
    Ok(runs)
}

/// Adds a segment to its run, as far as it goes on from what is there.
fn add<D: Disk>(run: &mut Run, disk: &D, name: &str, scanned: Scanned, newest: bool) {
    for stored in scanned.records {
        let Summary { epoch, parent, run: writer, .. } = stored.summary;
        let offset = stored.place.offset;
        let corrupt = |problem| LogError::Corrupt { path: disk.path(name), offset, problem };
        let before = run.records.last().map(|stored| &stored.summary);
        let broken = match before {
            _ if writer != run.run => {
                Some(corrupt(format!("a record of run {writer} is among those of run {}", run.run)))
            }
            _ if parent >= epoch => Some(corrupt(format!("epoch {epoch} says that it stands on epoch {parent}"))),
            Some(before) if !stored.summary.stands_on(before) && !stored.summary.begins_a_history() => {
                Some(LogError::Gap { path: disk.path(name), parent, found: before.epoch })
            }
            _ => None,
        };
        if broken.is_some() {
            run.broken = broken;
            return;
        }
        run.records.push(stored);
    }
    run.notes.extend(scanned.notes);
    if let Some((offset, problem, unfinished)) = scanned.stop {
        let path = disk.path(name);
        if unfinished && newest {
            run.unfinished = Some(Unfinished { path, offset, bytes: scanned.size - offset });
        } else {
            run.broken = Some(LogError::Corrupt { path, offset, problem });
        }
    }
}
