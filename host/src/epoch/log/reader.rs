//! The log as it is on disk, for reading: also beside the host that writes it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::lineage::{Place, Unfinished, lineage};
use super::scan::{read_record, scan_runs};
use super::{Folder, LogError};
use crate::epoch::EpochRecord;
use crate::epoch::protocol::{History, Summary};
use crate::state::DirtySlots;

/// How often a listing is repeated when the host deletes segments under it.
const ATTEMPTS: usize = 5;

/// The records of a log.
#[derive(Debug)]
pub struct Reader<D: Disk = Folder> {
    disk: D,
    limit: u64,
    history: History,
    /// Where each record of the history lies.
    places: Vec<Place>,
    /// All segments, oldest first, and the newest epoch in each.
    segments: Vec<(Arc<str>, u64)>,
    unfinished: Vec<Unfinished>,
}

impl<D: Disk> Reader<D> {
    /// Reads the headers of all records, and verifies all segments.
    ///
    /// # Errors
    /// When a segment is damaged or missing.
    pub fn open(disk: D, record_limit: u64) -> Result<Self, LogError> {
        let mut attempt = 1;
        let runs = loop {
            match scan_runs(&disk, record_limit) {
                Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                runs => break runs?,
            }
        };
        let segments = runs.iter().flat_map(|run| run.segments.iter().cloned()).collect();
        let unfinished = runs.iter().filter_map(|run| run.unfinished.clone()).collect();
        let (history, places) = lineage(runs)?;
        Ok(Self { disk, limit: record_limit, history, places, segments, unfinished })
    }

    /// The records that count, in short.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Writes that never finished.
    pub fn unfinished(&self) -> &[Unfinished] {
        &self.unfinished
    }

    /// A record with its slots.
    ///
    /// # Errors
    /// When there is none of this epoch, or it is damaged.
    pub fn read(&self, epoch: u64) -> Result<(EpochRecord, Vec<DirtySlots>), LogError> {
        let index = self.history.position(epoch).ok_or(LogError::Unknown { epoch })?;
        let (Some(place), Some(known)) = (self.places.get(index), self.history.records.get(index)) else {
            return Err(LogError::Unknown { epoch });
        };
        let (record, checksum, slots) = read_record(&self.disk, place, self.limit)?;
        if checksum != known.checksum {
            let problem = format!("the record of epoch {epoch} is not the one that was there");
            return Err(LogError::Corrupt { path: self.disk.path(&place.segment), offset: place.offset, problem });
        }
        Ok((record, slots))
    }

    /// Bytes of all segments.
    ///
    /// # Errors
    /// When the file system cannot tell.
    pub fn bytes(&self) -> Result<u64, LogError> {
        let size = |name: &str| self.disk.open(name).and_then(|file| file.size());
        self.segments.iter().map(|(name, _)| size(name).map_err(LogError::io(&self.disk.path(name), "read"))).sum()
    }

    pub(super) fn disk(&self) -> &D {
        &self.disk
    }

    pub(super) fn into_disk(self) -> D {
        self.disk
    }

    /// Brings what was read to disk. Of each run only the newest segment can be missing there.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        for (index, place) in self.places.iter().enumerate() {
            let run = |index: usize| self.history.records.get(index).map(|record| record.run);
            if run(index) != run(index + 1) {
                let path = self.disk.path(&place.segment);
                let synced = self.disk.open(&place.segment).and_then(|mut file| file.sync());
                synced.map_err(LogError::io(&path, "bring to disk"))?;
            }
        }
        if !self.places.is_empty() {
            self.disk.sync().map_err(LogError::io(&self.disk.path(""), "bring to disk"))?;
        }
        Ok(())
    }

    pub(super) fn push(&mut self, summary: Summary, place: Place) {
        if let Some((name, newest)) = self.segments.last_mut()
            && *name == place.segment
        {
            *newest = summary.epoch;
        }
        if summary.begins_a_history() {
            self.places.clear();
        }
        self.history.push(summary);
        self.places.push(place);
    }

    pub(super) fn note(&mut self, epoch: u64) {
        self.history.noted = self.history.noted.max(epoch);
    }

    pub(super) fn add_segment(&mut self, name: Arc<str>, first: u64) {
        self.segments.push((name, first));
    }

    /// Takes the records behind `epoch` out: their runs and places.
    pub(super) fn truncate_after(&mut self, epoch: u64) -> Vec<(u64, Place)> {
        let keep = self.history.records.partition_point(|record| record.epoch <= epoch);
        let runs = self.history.records.drain(keep..).map(|record| record.run);
        runs.zip(self.places.drain(keep..)).collect()
    }

    /// The oldest segment, when all its records are of `up_to` or before and it does not hold the
    /// newest record of the history.
    pub(super) fn oldest_segment(&self, up_to: u64) -> Option<Arc<str>> {
        let (name, newest) = self.segments.first()?;
        let needed = self.places.last().is_some_and(|place| place.segment == *name);
        (*newest <= up_to && !needed).then(|| name.clone())
    }

    /// Forgets a segment that was deleted.
    pub(super) fn forget(&mut self, name: &str) {
        self.segments.retain(|(segment, _)| **segment != *name);
        let gone = self.places.iter().take_while(|place| *place.segment == *name).count();
        self.places.drain(..gone);
        if let Some(last) = self.history.records.drain(..gone).next_back() {
            (self.history.base, self.history.base_checksum) = (last.epoch, last.checksum);
        }
    }
}

/// Verifies all segments and all records of the history, to the last slot. Returns how many records
/// there are, and what is wrong.
pub fn check(folder: impl Into<PathBuf>, record_limit: u64) -> (usize, Vec<LogError>) {
    match Reader::open(Folder::at(folder), record_limit) {
        Err(error) => (0, vec![error]),
        Ok(reader) => {
            let records = &reader.history.records;
            let errors = records.iter().filter_map(|record| reader.read(record.epoch).err()).collect();
            (records.len(), errors)
        }
    }
}
