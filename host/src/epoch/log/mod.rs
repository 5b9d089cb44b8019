//! The epoch log: one record for each committed or prepared epoch, in segments that only grow.
//!
//! Segments are files `<run>-<first epoch>.log` in one folder; `frame.rs` has their layout. A run
//! appends only to segments of its own, so a host that was taken for dead cannot damage what its
//! successor writes; `lineage.rs` says which records count.
//!
//! What [`Log::append`] returned for is on disk: file and folder are synced. After a failed sync
//! nobody knows what is, so the log is *poisoned*: it acknowledges nothing any more. Where a disk is
//! full, the record is taken back, and can be appended again.
//!
//! In memory are the records' headers, in short; slots are handed over or read one record at a time.

mod disk;
mod error;
mod frame;
mod lineage;
mod reader;
mod scan;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::sync::Arc;

use self::error::is_full;
use self::frame::{Frame, SegmentHeader};
use self::lineage::Place;
use super::EpochRecord;
use super::protocol::{Durable, History, Summary};
use crate::state::DirtySlots;

pub use disk::{Disk, DiskFile, Folder};
pub use error::LogError;
pub use lineage::Unfinished;
pub use reader::{Reader, check};

/// Limits of the log.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A segment that is at least this long is followed by another one. 64 MiB: a few seconds of
    /// writing, so that cutting the log frees disk soon.
    pub segment_bytes: u64,
    /// The longest record. 2 GiB: an epoch changes at most what the workers' caches hold.
    pub record_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, record_bytes: 2 << 30 }
    }
}

/// The log of one run, open for appending.
#[derive(Debug)]
pub struct Log<D: Disk = Folder> {
    reader: Reader<D>,
    options: Options,
    run: u64,
    current: Option<Current<D::File>>,
    poisoned: Option<String>,
}

/// The segment that is being written.
#[derive(Debug)]
struct Current<F> {
    name: Arc<str>,
    file: F,
    /// Where its last whole frame ends.
    len: u64,
}

impl<D: Disk> Log<D> {
    /// Opens the log for `run`, a number that no run before has had. Whoever else could commit must
    /// be fenced before, or what is read here may be outdated at once.
    ///
    /// # Errors
    /// When a newer run has written to it, or a segment is damaged or missing: nothing is changed then.
    pub fn open(disk: D, run: u64, options: Options) -> Result<Self, LogError> {
        Self::open_after(disk, run, options, run.saturating_sub(1))
    }

    /// Reads the log again, for going back within a run: what it holds is not taken from memory,
    /// since another host may have taken over.
    ///
    /// # Errors
    /// When it has, or a segment is damaged or missing; or when the log is poisoned.
    pub fn reopen(self) -> Result<Self, LogError> {
        self.usable()?;
        Self::open_after(self.reader.into_disk(), self.run, self.options, self.run)
    }

    fn open_after(disk: D, run: u64, options: Options, newest_run: u64) -> Result<Self, LogError> {
        let reader = Reader::open(disk, options.record_bytes)?;
        let newer = reader.history().newest_run;
        if newer > newest_run {
            return Err(LogError::Superseded { path: reader.disk().path(""), run, newer });
        }
        for Unfinished { path, offset, bytes } in reader.unfinished() {
            tracing::info!(
                path = %path.display(), offset, bytes,
                "the last write to this segment of the epoch log never finished, and is ignored: nothing of it was committed",
            );
        }
        // What is about to be relied on may have been written, but never synced, by a run that died.
        reader.sync()?;
        Ok(Self { reader, options, run, current: None, poisoned: None })
    }

    /// The records that count, in short.
    pub fn history(&self) -> &History {
        self.reader.history()
    }

    /// A record with its slots.
    ///
    /// # Errors
    /// When there is none of this epoch, or it is damaged.
    pub fn read(&self, epoch: u64) -> Result<(EpochRecord, Vec<DirtySlots>), LogError> {
        self.reader.read(epoch)
    }

    /// Bytes of all segments.
    ///
    /// # Errors
    /// When the file system cannot tell.
    pub fn bytes(&self) -> Result<u64, LogError> {
        self.reader.bytes()
    }

    /// Whether a sync failed: the process must stop.
    pub fn poisoned(&self) -> bool {
        self.poisoned.is_some()
    }

    /// Appends the record of an epoch and brings it to disk.
    ///
    /// # Errors
    /// When the disk is full (nothing was appended, and the same call may succeed later), or the
    /// record could not be written or brought to disk.
    pub fn append(&mut self, record: &EpochRecord, slots: &[DirtySlots]) -> Result<Durable, LogError> {
        self.check_order(record)?;
        let parent_checksum = self.history().checksum(record.parent);
        let frame = Frame::prepared(record, parent_checksum, slots)?;
        let (epoch, limit) = (record.epoch, self.options.record_bytes);
        if frame.size() > limit {
            return Err(LogError::TooLarge { epoch, bytes: frame.size(), limit });
        }
        self.roll()?;
        let place = match self.current.take() {
            Some(current) => self.extend(current, &frame, epoch)?,
            None => self.begin(&frame, epoch)?,
        };
        let summary = Summary::new(record, frame.checksum(), parent_checksum);
        let durable = Durable::new(&summary, place.size);
        self.reader.push(summary, place);
        Ok(durable)
    }

    /// A segment with only this record, and its name, for storage that keeps each record as an object
    /// of its own: put into a folder, such segments are the log. For the record that is appended next.
    ///
    /// # Errors
    /// When the record's header is too large.
    pub fn object(&self, record: &EpochRecord, slots: &[DirtySlots]) -> Result<(String, Vec<u8>), LogError> {
        let frame = Frame::prepared(record, self.history().checksum(record.parent), slots)?;
        let header = SegmentHeader { run: record.run, first: record.epoch };
        Ok((frame::segment_name(header.run, header.first), frame::segment_of(&frame, header)))
    }

    /// Notes that an epoch is committed. A hint that saves questions: it is neither synced nor
    /// missed when it cannot be written.
    pub fn note_committed(&mut self, epoch: u64) {
        if self.usable().is_err() {
            return;
        }
        let Some(mut current) = self.current.take() else { return };
        let frame = Frame::committed(epoch);
        let header = frame.header(current.len);
        match current.file.append(&mut frame.slices(&header)) {
            Ok(()) => {
                current.len += frame.size();
                self.reader.note(epoch);
            }
            Err(_) if current.file.set_len(current.len).is_ok() => {}
            Err(error) => return self.poison(&current.name, "a half-written note could not be taken back", &error),
        }
        self.current = Some(current);
    }

    /// Drops the records behind `epoch`: prepared, and found not to be committed. Those of this run
    /// are cut off; those of older runs are behind the place where this run goes on.
    ///
    /// # Errors
    /// When the file system refuses; the log is poisoned then.
    pub fn truncate_after(&mut self, epoch: u64) -> Result<(), LogError> {
        self.usable()?;
        let dropped = self.reader.truncate_after(epoch);
        // Where to cut each segment: at its first dropped record.
        let mut cuts: Vec<Place> = dropped.into_iter().filter(|(run, _)| *run == self.run).map(|(_, p)| p).collect();
        cuts.dedup_by(|later, first| later.segment == first.segment);
        // Newest first: what is left at any moment has no gap.
        for place in cuts.into_iter().rev() {
            let segment = place.segment.clone();
            self.cut_off(place).map_err(|error| self.poisoning(&segment, "records could not be cut off", &error))?;
        }
        Ok(())
    }

    /// Cuts a segment where a record begins, or removes it when that is its first.
    fn cut_off(&mut self, Place { segment, offset, .. }: Place) -> io::Result<()> {
        let current = self.current.take_if(|current| current.name == segment);
        let disk = self.reader.disk();
        if offset <= frame::SEGMENT_HEADER as u64 {
            disk.remove(&segment)?;
            disk.sync()?;
            self.reader.forget(&segment);
            return Ok(());
        }
        let mut file = current.map_or_else(|| disk.reopen(&segment), |current| Ok(current.file))?;
        file.set_len(offset)?;
        file.sync()?;
        self.current = Some(Current { name: segment, file, len: offset });
        Ok(())
    }

    /// Deletes whole segments, oldest first, whose records are all of `up_to` or before, but not the
    /// one with the newest record. Returns how many.
    ///
    /// # Errors
    /// When the file system refuses; what could be deleted is, and the log goes on.
    pub fn cut(&mut self, up_to: u64) -> Result<usize, LogError> {
        self.usable()?;
        let mut deleted = 0;
        while let Some(name) = self.reader.oldest_segment(up_to) {
            if self.current.as_ref().is_some_and(|current| current.name == name) {
                break;
            }
            let disk = self.reader.disk();
            // Synced one by one: were a later one gone and an earlier one back after a loss of power,
            // there would be a gap.
            disk.remove(&name).and_then(|()| disk.sync()).map_err(LogError::io(&disk.path(&name), "delete"))?;
            self.reader.forget(&name);
            deleted += 1;
        }
        Ok(deleted)
    }

    fn check_order(&self, record: &EpochRecord) -> Result<(), LogError> {
        self.usable()?;
        let history = self.history();
        let last = history.last();
        let follows = last.is_none_or(|last| last == record.parent) || record.begins_a_history();
        if record.run == self.run && record.epoch > history.newest && record.parent < record.epoch && follows {
            return Ok(());
        }
        let EpochRecord { epoch, parent, run, .. } = *record;
        let newest = last.filter(|_| !follows).unwrap_or(history.newest);
        Err(LogError::Order { epoch, parent, run, newest, log_run: self.run })
    }

    /// Closes the current segment when it is long enough.
    fn roll(&mut self) -> Result<(), LogError> {
        let Some(mut current) = self.current.take_if(|current| current.len >= self.options.segment_bytes) else {
            return Ok(());
        };
        // A note at its end may not be on disk yet, and only the newest segment may end in the middle
        // of a frame.
        current.file.sync().map_err(|error| self.poisoning(&current.name, "it could not be brought to disk", &error))
    }

    /// Appends to the segment that is being written.
    fn extend(&mut self, mut current: Current<D::File>, frame: &Frame<'_>, epoch: u64) -> Result<Place, LogError> {
        let header = frame.header(current.len);
        let mut parts = frame.slices(&header);
        fail::fail_point!("log-torn-write", |_| -> Result<Place, LogError> { tear(&mut current.file, &parts) });
        if let Err(error) = current.file.append(&mut parts) {
            if let Err(second) = current.file.set_len(current.len) {
                return Err(self.poisoning(&current.name, "a half-written record could not be taken back", &second));
            }
            let error = self.refused(&current.name, epoch, frame.size(), error);
            self.current = Some(current);
            return Err(error);
        }
        current.file.sync().map_err(|e| self.poisoning(&current.name, "a record could not be brought to disk", &e))?;
        let place = Place { segment: current.name.clone(), offset: current.len, size: frame.size() };
        current.len += frame.size();
        self.current = Some(current);
        Ok(place)
    }

    /// Begins a segment with its first record.
    fn begin(&mut self, frame: &Frame<'_>, epoch: u64) -> Result<Place, LogError> {
        let name: Arc<str> = frame::segment_name(self.run, epoch).into();
        let offset = frame::SEGMENT_HEADER as u64;
        let header = [&SegmentHeader { run: self.run, first: epoch }.encode()[..], &frame.header(offset)].concat();
        let mut parts = frame.slices(&header);
        let disk = self.reader.disk();
        let mut file = match disk.create(&name) {
            Ok(file) => file,
            Err(error) => return Err(self.refused(&name, epoch, frame.size(), error)),
        };
        fail::fail_point!("log-torn-write", |_| -> Result<Place, LogError> { tear(&mut file, &parts) });
        if let Err(error) = file.append(&mut parts) {
            if let Err(second) = disk.remove(&name) {
                return Err(self.poisoning(&name, "a half-written segment could not be taken back", &second));
            }
            return Err(self.refused(&name, epoch, frame.size(), error));
        }
        if let Err(error) = file.sync().and_then(|()| disk.sync()) {
            return Err(self.poisoning(&name, "a record could not be brought to disk", &error));
        }
        let size = frame.size();
        self.current = Some(Current { name: name.clone(), file, len: offset + size });
        self.reader.add_segment(name.clone(), epoch);
        Ok(Place { segment: name, offset, size })
    }

    fn usable(&self) -> Result<(), LogError> {
        self.poisoned.as_ref().map_or(Ok(()), |reason| Err(LogError::Poisoned { reason: reason.clone() }))
    }

    fn refused(&self, name: &str, epoch: u64, bytes: u64, error: io::Error) -> LogError {
        let path = self.reader.disk().path(name);
        if is_full(&error) { LogError::Full { path, epoch, bytes } } else { LogError::io(&path, "write")(error) }
    }

    fn poison(&mut self, name: &str, what: &str, error: &io::Error) {
        let reason = format!("{what}: {}: {error}", self.reader.disk().path(name).display());
        self.poisoned.get_or_insert(reason);
    }

    fn poisoning(&mut self, name: &str, what: &str, error: &io::Error) -> LogError {
        self.poison(name, what, error);
        LogError::Poisoned { reason: self.poisoned.clone().unwrap_or_default() }
    }
}

/// The segment with which a new history begins, and its name: for the record of a state that was
/// restored, also beside a log that is damaged.
///
/// # Errors
/// When the record's header is too large.
pub fn first_segment(record: &EpochRecord) -> Result<(String, Vec<u8>), LogError> {
    let (header, frame) = (SegmentHeader { run: record.run, first: record.epoch }, Frame::prepared(record, 0, &[])?);
    Ok((frame::segment_name(header.run, header.first), frame::segment_of(&frame, header)))
}

/// Writes half of a record and ends the process: what a loss of power may leave.
fn tear(file: &mut impl DiskFile, parts: &[IoSlice<'_>]) -> ! {
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
    let _ = file.append(&mut [IoSlice::new(&bytes[..bytes.len() / 2])]).and_then(|()| file.sync());
    std::process::abort()
}
