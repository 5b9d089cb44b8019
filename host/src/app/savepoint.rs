//! Makes savepoints of a pipeline, running or not, and begins a pipeline with one.
//!
//! A savepoint is made from checkpoint storage alone: the newest snapshot, brought up to the newest
//! committed epoch by the log since, in a folder beside the state. The host that may be running is
//! neither asked nor slowed down.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::Error;
use super::checkpoint::{LogFolder, positions};
use crate::checkpoint::{self, Manifest, Recorded, Savepoint, Snapshotter, Staging, Storage};
use crate::config::{OperatorKind, Pipeline};
use crate::epoch::log::{self, Folder, Reader};
use crate::epoch::protocol::History;
use crate::epoch::{Decider, EpochRecord, Origin};
use crate::report::{RestoreReport, SavedOperator, SavepointReport};
use crate::state::{self, SavedState, Store};

/// How often a savepoint is begun anew when the host deletes the snapshot that it began with.
const ATTEMPTS: usize = 3;

/// What a restore may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Leave out state of operators that the pipeline does not have, instead of refusing.
    pub allow_non_restored_state: bool,
    /// Delete the state that is there and forget what was committed, instead of refusing.
    pub replace: bool,
    /// A pipeline that already went on from this very savepoint is left as it is, instead of
    /// refused: a host that is started again with the same arguments must not go back again.
    pub once: bool,
}

/// Makes a savepoint of the newest committed epoch.
///
/// # Errors
/// When the name is taken, nothing is committed, or something on the way is damaged.
pub fn create_savepoint(pipeline: &Pipeline, name: &str) -> Result<SavepointReport, Error> {
    let storage = Storage::open(&pipeline.checkpoint.location)?;
    Savepoint::check_free(&storage, name)?;
    let work = Staging::create(&pipeline.state.path.join(format!("savepoint-{}", std::process::id())))?;
    let mut attempt = 1;
    let (database, record) = loop {
        match materialise(pipeline, &storage, work.path()) {
            Err(Interim::Gone) if attempt < ATTEMPTS => attempt += 1,
            Err(Interim::Gone) => {
                let problem = "the host deletes its snapshots faster than they can be read; raise `checkpoint.retain`";
                return Err(Error::Failed(problem.to_owned()));
            }
            Err(Interim::Failed(error)) => return Err(error),
            Ok(done) => break done,
        }
    };
    let state = SavedState::open(&database).map_err(checkpoint::Error::from)?;
    let made = Savepoint::create(&storage, name, &pipeline.name, record, &state, &work.path().join("blocks"))?;
    Ok(report(&storage, &made))
}

/// The savepoints of a pipeline, by name.
///
/// # Errors
/// When they cannot be read.
pub fn list_savepoints(pipeline: &Pipeline) -> Result<Vec<SavepointReport>, Error> {
    let storage = Storage::open(&pipeline.checkpoint.location)?;
    let names = checkpoint::savepoints(&storage)?;
    let read = |name: &String| Ok(report(&storage, &Savepoint::read(&storage, name)?));
    names.iter().map(read).collect()
}

/// Begins a pipeline with a savepoint: its state becomes that of a new epoch, later than all before,
/// and the epoch log a new history that begins with it. The next run goes on from there.
///
/// # Errors
/// When the savepoint is missing, damaged or does not fit, a host is running, or there is state that
/// would be lost.
pub fn restore_savepoint(pipeline: &Pipeline, name: &str, options: RestoreOptions) -> Result<RestoreReport, Error> {
    let storage = Storage::open(&pipeline.checkpoint.location)?;
    let savepoint = Savepoint::read(&storage, name)?;
    savepoint.check_pipeline(&storage, &pipeline.name)?;
    let state = database_config(pipeline);
    let log = LogFolder::of(&storage, &pipeline.state.path)?.read();
    let snapshots = checkpoint::snapshots(&storage)?;
    let is_new =
        log.as_ref().is_ok_and(|log| log.history().newest == 0) && snapshots.is_empty() && is_empty(&state.path)?;
    if !is_new && !options.replace {
        let before = checkpoint::Origin::read(&storage)?.filter(|origin| options.once && origin.savepoint == name);
        let Some(origin) = before else { return Err(refuse_to_replace(pipeline, &storage, name)) };
        let (savepoint, epoch, state) = (origin.savepoint, origin.epoch, state.path);
        return Ok(RestoreReport { savepoint, epoch, state, done_before: true, ..RestoreReport::default() });
    }
    if !is_empty(&state.path)? {
        // Whoever holds it would go on with what is deleted. One that is damaged can be replaced.
        if let Err(error @ state::Error::Locked { .. }) = Store::open(&state, &[]) {
            return Err(checkpoint::Error::from(error).into());
        }
    }
    // Two behind all others: the epoch in between, on which the new one stands, nobody has or had.
    let used = [newest_epoch(&storage, &log)?, savepoint.epoch].into_iter();
    let epoch = snapshots.iter().map(|id| id.epoch).chain(used).max().unwrap_or(0) + 2;
    let run = checkpoint::claim_run(&storage, &pipeline.name)?.run;
    remove(&state.path)?;
    let restored = savepoint.restore(&storage, &state, &keyed(pipeline), epoch, options.allow_non_restored_state)?;
    begin_history(pipeline, storage, &savepoint, &state, run, epoch)?;
    let checkpoint::Restored { operators, slots, left_out } = restored;
    let (savepoint, state) = (savepoint.name, state.path);
    Ok(RestoreReport { savepoint, epoch, state, operators, slots, left_out, done_before: false })
}

/// Writes the record with which the new history begins, and the snapshot that it begins with: from
/// then on the savepoint is not needed any more.
fn begin_history(
    pipeline: &Pipeline,
    storage: Storage,
    savepoint: &Savepoint,
    state: &state::Config,
    run: u64,
    epoch: u64,
) -> Result<(), Error> {
    let store = Store::open(state, &keyed(pipeline)).map_err(checkpoint::Error::from)?;
    let mut record: EpochRecord = serde_json::from_value(savepoint.record.clone()).map_err(|e| {
        Error::Failed(format!("savepoint `{}` has a record that this version cannot read: {e}", savepoint.name))
    })?;
    let parent = epoch - 1;
    (record.epoch, record.parent, record.run, record.committed) = (epoch, parent, run, parent);
    (record.decider, record.origin) = (Decider::Log, Origin::Savepoint { name: savepoint.name.clone() });
    record.operators = store.operators().iter().map(|(name, id)| (name.clone(), id.number())).collect();
    let (segment, bytes) = log::first_segment(&record)?;
    LogFolder::begin(&storage, &pipeline.state.path, &segment, &bytes)?;
    checkpoint::Origin { savepoint: savepoint.name.clone(), epoch, run }.write(&storage)?;
    let header =
        serde_json::to_value(&record).map_err(|e| Error::Failed(format!("the record of epoch {epoch}: {e}")))?;
    let history = LogFolder::of(&storage, &pipeline.state.path)?.read()?;
    let checksum = history.history().get(epoch).map(|summary| summary.checksum);
    let staging = pipeline.state.path.join("snapshot");
    let mut snapshotter = Snapshotter::new(Arc::new(storage), &pipeline.checkpoint, &pipeline.name, run, staging)?;
    snapshotter.take(&store, |_| Some(Recorded { header, checksum: checksum? }))?;
    Ok(())
}

/// A database as of the newest committed epoch, below `work`, and the header of that epoch's record.
fn materialise(pipeline: &Pipeline, storage: &Storage, work: &Path) -> Result<(PathBuf, Value), Interim> {
    let database = work.join("db");
    remove(&database)?;
    let log = LogFolder::of(storage, work).map_err(Interim::Failed)?.read().map_err(Interim::Failed)?;
    let history = log.history();
    let committed = history.decided();
    let snapshot =
        checkpoint::newest_snapshot(storage, &pipeline.name, |m| m.epoch <= committed.max(1) && is_of(m, history))?;
    let (from, mut record, numbers) = match snapshot {
        Some(manifest) => {
            checkpoint::restore_snapshot(storage, &manifest, &database)?;
            (manifest.epoch, Some(manifest.record), manifest.operators)
        }
        // The log has everything since the beginning.
        None if history.base == 0 => (0, None, BTreeMap::new()),
        None => {
            let first = history.base + 1;
            return Err(Interim::Failed(Error::Failed(format!(
                "there is no snapshot in {} from which the epoch log, which begins with epoch {first}, could go on; \
                 wait until the host has taken one (`checkpoint.snapshot_interval`)",
                storage.location()
            ))));
        }
    };
    let config = state::Config { path: database.clone(), ..pipeline.state.clone() };
    let open =
        |numbers: &BTreeMap<String, u16>| Store::open_numbered(&config, &[], numbers).map_err(checkpoint::Error::from);
    let mut store = open(&numbers)?;
    for epoch in history.records.iter().map(|r| r.epoch).filter(|&epoch| epoch > from && epoch <= committed) {
        let (read, slots) = log.read(epoch).map_err(|e| Interim::Failed(e.into()))?;
        if read.operators.keys().any(|name| !store.operators().contains_key(name)) {
            // An operator that is new since the snapshot.
            store.flush().map_err(checkpoint::Error::from)?;
            drop(store);
            store = open(&read.operators)?;
        }
        store.apply(epoch, slots).map_err(checkpoint::Error::from)?;
        let header = serde_json::to_value(&read);
        record = Some(header.map_err(|e| Interim::Failed(Error::Failed(format!("the record of epoch {epoch}: {e}"))))?);
    }
    store.flush().map_err(checkpoint::Error::from)?;
    let record = record.ok_or_else(|| {
        let (name, place) = (&pipeline.name, storage.location());
        Interim::Failed(Error::Failed(format!(
            "there is nothing to keep: pipeline `{name}` has no committed epoch in {place}; run it first"
        )))
    })?;
    Ok((database, record))
}

/// Whether a snapshot is of this history.
fn is_of(manifest: &Manifest, history: &History) -> bool {
    match history.get(manifest.epoch) {
        Some(record) => record.checksum == manifest.record_checksum,
        None if manifest.epoch == history.base => [0, manifest.record_checksum].contains(&history.base_checksum),
        None => history.records.is_empty(),
    }
}

/// Why there is no database yet.
enum Interim {
    /// Something that was there is not any more: the host has deleted it meanwhile.
    Gone,
    Failed(Error),
}

impl From<checkpoint::Error> for Interim {
    fn from(error: checkpoint::Error) -> Self {
        if error.is_missing() { Self::Gone } else { Self::Failed(error.into()) }
    }
}

impl From<Error> for Interim {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The newest epoch that the log has ever had.
fn newest_epoch(storage: &Storage, log: &Result<Reader<Folder>, Error>) -> Result<u64, Error> {
    /// More than any run makes in a segment: how many epochs a damaged one had cannot be known.
    const LEAP: u64 = 1_000_000;
    match log {
        Ok(log) => Ok(log.history().newest),
        Err(_) => Ok(checkpoint::newest_log_name(storage)?.saturating_add(LEAP)),
    }
}

/// The database of a pipeline.
fn database_config(pipeline: &Pipeline) -> state::Config {
    state::Config { path: pipeline.state.path.join("db"), ..pipeline.state.clone() }
}

/// Names of the operators that have a key.
fn keyed(pipeline: &Pipeline) -> Vec<&str> {
    let kinds = pipeline.operators.iter().map(|o| &o.kind);
    let keyed = kinds.filter_map(|kind| match kind {
        OperatorKind::Plugin(config) => config.key.as_ref().map(|_| config.name.as_str()),
        OperatorKind::Inference(_) | OperatorKind::External(_) => None,
    });
    keyed.collect()
}

fn is_empty(folder: &Path) -> Result<bool, Error> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(Error::Failed(format!("the state folder {} cannot be read: {error}", folder.display()))),
    }
}

fn remove(folder: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::Failed(format!("the state folder {} cannot be emptied: {error}", folder.display())))
        }
        _ => Ok(()),
    }
}

fn refuse_to_replace(pipeline: &Pipeline, storage: &Storage, name: &str) -> Error {
    Error::Failed(format!(
        "pipeline `{}` has state in {} or {} that would be lost: to go back to savepoint `{name}` say `--replace`, to \
         go on from where it is run it without the savepoint",
        pipeline.name,
        pipeline.state.path.display(),
        storage.location(),
    ))
}

fn report(storage: &Storage, savepoint: &Savepoint) -> SavepointReport {
    let operator = |(name, state): (&String, &checkpoint::OperatorState)| SavedOperator {
        name: name.clone(),
        slots: state.slots,
        versions: state.versions.iter().copied().collect(),
    };
    SavepointReport {
        name: savepoint.name.clone(),
        pipeline: savepoint.pipeline.clone(),
        location: storage.location().to_string(),
        epoch: savepoint.epoch,
        created_at_ms: savepoint.created_at_ms,
        bytes: savepoint.bytes(),
        positions: positions(&savepoint.record),
        operators: savepoint.operators.iter().map(operator).collect(),
    }
}
