//! The epoch log of a pipeline: segments in a folder, and where checkpoints go to a bucket, each
//! record there as well, before its epoch can be committed: who loses the folder finds all in the
//! bucket.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Folder, Location, Log, Options, log_folder};
use crate::checkpoint::{self, Staging, Storage};
use crate::config::Pipeline;
use crate::epoch::protocol::{Durable, History};
use crate::epoch::{EpochLog, EpochRecord, LogError};
use crate::state::DirtySlots;

/// Numbers of operators, as the newest record has them.
pub(super) type Numbers = Arc<Mutex<BTreeMap<String, u16>>>;

pub(super) struct Journal {
    log: Log<Folder>,
    /// A bucket that gets each record too.
    mirror: Option<Arc<Storage>>,
    /// Bytes that were appended.
    pub appended: u64,
}

impl Journal {
    /// Opens the log for a run. `numbers` learns what slots in it call their operators, for a
    /// database that is made from the log alone.
    pub(super) fn open(
        pipeline: &Pipeline,
        storage: &Arc<Storage>,
        run: u64,
        numbers: &Numbers,
    ) -> Result<Self, LogError> {
        let path = log_folder(pipeline);
        let failed = |source| LogError::Io { path: path.clone(), action: "open the folder", source };
        let folder = Folder::create(path.clone()).map_err(failed)?;
        let mirror = match pipeline.checkpoint.location {
            Location::Folder(_) => None,
            Location::S3 { .. } => {
                let is_empty = std::fs::read_dir(&path).map_err(failed)?.next().is_none();
                if is_empty {
                    fetch(storage, &path).map_err(failed)?;
                }
                Some(Arc::clone(storage))
            }
        };
        let log = Log::open(folder, run, Options::default())?;
        if let Some(newest) = log.history().last() {
            *numbers.lock().unwrap_or_else(PoisonError::into_inner) = log.read(newest)?.0.operators;
        }
        Ok(Self { log, mirror, appended: 0 })
    }

    /// Deletes what no recovery needs.
    pub(super) fn cut(&mut self, up_to: u64) -> Result<(), String> {
        self.log.cut(up_to).map_err(|e| e.to_string())?;
        if let Some(bucket) = &self.mirror {
            checkpoint::delete_log_segments(bucket, up_to).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

/// Fetches the log from a bucket: all of it is there, or nothing.
fn fetch(bucket: &Storage, folder: &Path) -> std::io::Result<()> {
    let other = |e: checkpoint::Error| std::io::Error::other(e.to_string());
    let staging = Staging::create(&folder.with_extension("fetching")).map_err(other)?;
    checkpoint::fetch_log(bucket, staging.path()).map_err(other)?;
    // A rename replaces the empty folder.
    std::fs::rename(staging.path(), folder)
}

impl EpochLog for Journal {
    fn append(&mut self, record: &EpochRecord, slots: &[DirtySlots]) -> Result<Durable, LogError> {
        if let Some(bucket) = &self.mirror {
            let (name, object) = self.log.object(record, slots)?;
            let failed = |e: checkpoint::Error| LogError::Mirror { epoch: record.epoch, reason: e.to_string() };
            checkpoint::put_log_segment(bucket, &name, &object).map_err(failed)?;
        }
        let durable = self.log.append(record, slots)?;
        self.appended += durable.bytes();
        Ok(durable)
    }

    fn note_committed(&mut self, epoch: u64) {
        self.log.note_committed(epoch);
    }

    fn history(&self) -> &History {
        self.log.history()
    }

    fn read(&self, epoch: u64) -> Result<(EpochRecord, Vec<DirtySlots>), LogError> {
        self.log.read(epoch)
    }

    fn truncate_after(&mut self, epoch: u64) -> Result<(), LogError> {
        self.log.truncate_after(epoch)
    }
}
