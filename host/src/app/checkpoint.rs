//! Looks into checkpoint storage: what is there, and whether it is as it was written.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Error;
use crate::checkpoint::{self, Location, Manifest, Staging, Storage};
use crate::epoch::log::{self, Folder, Options, Reader};
use crate::epoch::{EpochRecord, LogError};
use crate::record::Position;
use crate::report::{
    BadReport, CheckpointList, CheckpointReport, FileReport, LogReport, PositionReport, SnapshotReport, VerifyReport,
};

/// Folder of the epoch log in a storage that is a folder.
const LOG: &str = "log";

impl From<checkpoint::Error> for Error {
    fn from(error: checkpoint::Error) -> Self {
        match error {
            checkpoint::Error::Superseded { .. } => Self::Fenced(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<LogError> for Error {
    fn from(error: LogError) -> Self {
        match error.fenced() {
            true => Self::Fenced(error.to_string()),
            false => Self::Failed(error.to_string()),
        }
    }
}

/// What a storage holds.
///
/// # Errors
/// When it cannot be read. (Of a damaged snapshot only the name is needed, and `verify` finds it.)
pub fn list_checkpoints(location: &str) -> Result<CheckpointList, Error> {
    let storage = open(location)?;
    let mut snapshots = Vec::new();
    for id in checkpoint::snapshots(&storage)? {
        snapshots.push(snapshot_report(&Manifest::read(&storage, id)?));
    }
    let log = log_report(&LogFolder::of(&storage, &std::env::temp_dir())?)?;
    let (newest_run, savepoints) = (checkpoint::newest_run(&storage)?, checkpoint::savepoints(&storage)?);
    Ok(CheckpointList { location: storage.location().to_string(), newest_run, snapshots, log, savepoints })
}

/// One snapshot in full: of an epoch, or the newest one.
///
/// # Errors
/// When it is not there, or damaged.
pub fn inspect_checkpoint(location: &str, epoch: Option<u64>) -> Result<CheckpointReport, Error> {
    let storage = open(location)?;
    let found = checkpoint::snapshots(&storage)?.into_iter().rev().find(|id| epoch.is_none_or(|e| id.epoch == e));
    let id = found.ok_or_else(|| {
        let which = epoch.map_or_else(|| "no snapshot".to_owned(), |epoch| format!("no snapshot of epoch {epoch}"));
        Error::Failed(format!("there is {which} in {location}; `millstream checkpoint list` shows what is there"))
    })?;
    let manifest = Manifest::read(&storage, id)?;
    let file = |f: &checkpoint::ManifestFile| FileReport { name: f.name.clone(), object: f.object(), bytes: f.size };
    Ok(CheckpointReport {
        snapshot: snapshot_report(&manifest),
        positions: positions(&manifest.record),
        operators: manifest.operators.keys().cloned().collect(),
        files: manifest.files.iter().map(file).collect(),
        record: without_rows(manifest.record),
    })
}

/// A record to be looked at: of rows in flight their number says enough.
fn without_rows(mut record: Value) -> Value {
    for (_, rows) in record.get_mut("in_flight").and_then(Value::as_object_mut).into_iter().flatten() {
        if let Some(rows) = rows.as_object_mut() {
            rows.remove("data");
        }
    }
    record
}

/// Reads everything in a storage, and says what is damaged or missing.
///
/// # Errors
/// When it cannot be listed.
pub fn verify_checkpoints(location: &str) -> Result<VerifyReport, Error> {
    let storage = open(location)?;
    let found = checkpoint::verify(&storage)?;
    let mut bad: Vec<BadReport> =
        found.bad.into_iter().map(|b| BadReport { object: b.object, problem: b.problem }).collect();
    let log = LogFolder::of(&storage, &std::env::temp_dir())?;
    let (log_records, errors) = log::check(&log.path, Options::default().record_bytes);
    match errors.is_empty() {
        true => bad.extend(lost_end(&storage, &log)?),
        false => bad.extend(errors.iter().map(bad_log)),
    }
    let (snapshots, savepoints, files, bytes) = (found.snapshots, found.savepoints, found.files, found.bytes);
    let location = storage.location().to_string();
    let log_records = log_records as u64;
    Ok(VerifyReport { location, ok: bad.is_empty(), snapshots, savepoints, log_records, files, bytes, bad })
}

fn open(location: &str) -> Result<Storage, Error> {
    let location = Location::parse(location).map_err(Error::Failed)?;
    Ok(Storage::open(&location)?)
}

/// The epoch log of a storage as a folder of segments. That of a bucket is fetched.
pub(super) struct LogFolder {
    pub path: PathBuf,
    /// Deleted with it.
    _fetched: Option<Staging>,
}

impl LogFolder {
    /// `work` is where a folder for what is fetched can be made.
    pub(super) fn of(storage: &Storage, work: &Path) -> Result<Self, Error> {
        if let Location::Folder(folder) = storage.location() {
            return Ok(Self { path: folder.join(LOG), _fetched: None });
        }
        let fetched = Staging::create(&work.join(format!("millstream-log-{}", std::process::id())))?;
        checkpoint::fetch_log(storage, fetched.path())?;
        Ok(Self { path: fetched.path().to_owned(), _fetched: Some(fetched) })
    }

    /// Begins a new history with a segment: in the storage, and where that is a bucket in the state
    /// folder too, from which the host reads it.
    pub(super) fn begin(storage: &Storage, state: &Path, name: &str, segment: &[u8]) -> Result<(), Error> {
        checkpoint::put_log_segment(storage, name, segment)?;
        if let Location::S3 { .. } = storage.location() {
            let local = Storage::open_or_create(&Location::Folder(state.to_owned()))?;
            checkpoint::put_log_segment(&local, name, segment)?;
        }
        Ok(())
    }

    /// Reads the headers of its records.
    pub(super) fn read(&self) -> Result<Reader<Folder>, Error> {
        Ok(Reader::open(Folder::at(&self.path), Options::default().record_bytes)?)
    }
}

fn log_report(log: &LogFolder) -> Result<LogReport, Error> {
    let reader = log.read()?;
    let history = reader.history();
    Ok(LogReport {
        records: history.records.len(),
        first_epoch: history.records.first().map(|r| r.epoch),
        last_epoch: history.last(),
        committed: history.decided(),
        bytes: reader.bytes()?,
    })
}

fn bad_log(error: &LogError) -> BadReport {
    let (object, problem) = match error {
        LogError::Corrupt { path, offset, problem } => (path, format!("at byte {offset}: {problem}")),
        LogError::Gap { path, parent, found } => {
            (path, format!("it goes on from epoch {parent}, but the log before it ends with epoch {found}"))
        }
        LogError::Format { path, format, .. } => {
            (path, format!("its format is {format}, which this version does not know"))
        }
        LogError::Io { path, source, .. } => (path, source.to_string()),
        other => return BadReport { object: "log".to_owned(), problem: other.to_string() },
    };
    BadReport { object: object.display().to_string(), problem }
}

/// A damaged last record looks like a write that never finished. But a snapshot is of a committed
/// epoch: the log of its run must go that far.
fn lost_end(storage: &Storage, log: &LogFolder) -> Result<Option<BadReport>, Error> {
    let Some(newest) = checkpoint::snapshots(storage)?.pop() else { return Ok(None) };
    let reader = log.read()?;
    let history = reader.history();
    let last = history.last().unwrap_or(history.base);
    if newest.run < history.newest_run || newest.epoch <= last {
        return Ok(None);
    }
    let (epoch, log) = (newest.epoch, log.path.display());
    let (object, place) = match reader.unfinished().last() {
        Some(cut) => (cut.path.display().to_string(), format!("it cannot be read from byte {} on", cut.offset)),
        None => (log.to_string(), format!("it ends with epoch {last}")),
    };
    Ok(Some(BadReport { object, problem: format!("{place}, but there is a snapshot of epoch {epoch}") }))
}

fn snapshot_report(manifest: &Manifest) -> SnapshotReport {
    SnapshotReport {
        epoch: manifest.epoch,
        run: manifest.run,
        pipeline: manifest.pipeline.clone(),
        created_at_ms: manifest.created_at_ms,
        version: manifest.version.clone(),
        files: manifest.files.len(),
        bytes: manifest.bytes(),
    }
}

/// Where the sources go on, for a record of any version.
pub(super) fn positions(record: &Value) -> Vec<PositionReport> {
    let Ok(record) = serde_json::from_value::<EpochRecord>(record.clone()) else { return Vec::new() };
    let by_source = record.sources.into_iter();
    by_source
        .flat_map(|(source, positions)| {
            let report =
                move |p: Position| PositionReport { source: source.clone(), partition: p.partition, next: p.next };
            positions.into_iter().map(report)
        })
        .collect()
}
